"""The events of safeguards: what cancels the orders of a participant whose device is lost."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.vocabulary.events import Event
from exchange.vocabulary.orders import AnsweredRequest
from exchange.vocabulary.reasons import CancelReason, OnDisconnect


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeguardSet(Event):
    """The safeguard of a session is in force, in place of any other of the device or session.

    With ``KEEP`` and without ``silent_s`` the session has none any more.
    """

    answers: AnsweredRequest
    participant: str
    session: str
    device: str | None
    on_disconnect: OnDisconnect
    silent_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost(Event):
    """A guarded session is lost, and its safeguard has ended.

    The ``orders`` orders cancelled just before, a joint one once, were all that the participant
    had; they have the same ``reason``.
    """

    participant: str
    session: str
    reason: CancelReason
    orders: int
