"""Retained messages on the state of an area: envelopes in force, and the market session."""

from __future__ import annotations

from typing import Literal

from exchange.vocabulary.reasons import AlarmKind
from gateway.formats.records import Time
from gateway.messages.outgoing import OutgoingMessage


class Fallback(OutgoingMessage):
    """Limits to which a device without contact returns; they lie inside every envelope."""

    injection_limit_w: int
    withdrawal_limit_w: int


class EnvelopeMessage(OutgoingMessage):
    """The envelope in force of a connection point in an interval; magnitudes in watts.

    The highest ``version`` on a topic is the newest.  It was made at ``issued_at``.  At
    ``confirmed_at`` it was still in force; a device without a later message after ``holds_until``
    no longer knows, and returns to the fallback.
    """

    connection_point: str
    start: Time
    end: Time
    injection_limit_w: int
    withdrawal_limit_w: int
    injection_bottleneck: str
    withdrawal_bottleneck: str
    final: bool
    version: int
    issued_at: Time
    confirmed_at: Time
    holds_until: Time
    fallback: Fallback


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
