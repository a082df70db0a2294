"""Retained messages on the state of an area: envelopes in force, and the market session."""

from __future__ import annotations

from typing import Literal

from exchange.vocabulary.reasons import AlarmKind
from gateway.formats.records import Time
from gateway.messages.outgoing import OutgoingMessage


class EnvelopeInterval(OutgoingMessage):
    """The limits of one interval; magnitudes in watts."""

    start: Time
    end: Time
    injection_limit_w: int
    withdrawal_limit_w: int
    injection_bottleneck: str
    withdrawal_bottleneck: str
    final: bool


class Fallback(OutgoingMessage):
    """Limits to which a device without contact returns; they lie inside every envelope."""

    injection_limit_w: int
    withdrawal_limit_w: int


class EnvelopeMessage(OutgoingMessage):
    """The envelopes in force of one connection point; the highest ``version`` is the newest.

    They were made at ``issued_at``.  At ``confirmed_at`` they were still in force; a device without
    a later message after ``holds_until`` no longer knows, and returns to the fallback.
    """

    connection_point: str
    version: int
    issued_at: Time
    confirmed_at: Time
    holds_until: Time
    fallback: Fallback
    intervals: tuple[EnvelopeInterval, ...]


class SessionInterval(OutgoingMessage):
    """The market phase of one interval."""

    start: Time
    end: Time
    gate_closes_at: Time
    phase: Literal["open", "halted", "closed"]


class Alarm(OutgoingMessage):
    """An operation failed closed: it was not applied, and trading may be halted."""

    event: int
    time: Time
    kind: AlarmKind
    interval: Time
    halts_trading: bool


class SessionMessage(OutgoingMessage):
    """The state of the market; also its heartbeat, and its last will with ``offline``.

    ``min_price`` and ``max_price`` are the price collar, ``null`` where there is no bound.
    """

    status: Literal["online", "offline"]
    event: int
    time: Time | None
    intervals: tuple[SessionInterval, ...] = ()
    last_alarm: Alarm | None = None
    min_price: str | None = None
    max_price: str | None = None
