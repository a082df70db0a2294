"""The events after the gate: meter readings and statements of account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.vocabulary.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRead(Event):
    """Mean power was metered and compared with the final envelope.

    Where ``breach_w`` is 0 the envelope was respected; else the participant owes the DSO
    ``penalty`` tick-watts.  A correction ``replaces`` an earlier reading, whose penalty of
    ``reversed_penalty`` tick-watts is booked back.
    """

    reading_id: str
    interval: datetime
    participant: str
    connection_point: str
    injection_w: int
    withdrawal_w: int
    injection_limit_w: int
    withdrawal_limit_w: int
    tolerance_w: int
    breach_w: int
    penalty: int
    replaces: str | None = None
    reversed_penalty: int = 0


@dataclass(frozen=True, slots=True)
class MissingReading:
    """A connection point without a reading, and the participant that owns it."""

    participant: str
    connection_point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteringClosed(Event):
    """The readings of an interval have closed; ``missing`` are the points without a reading."""

    interval: datetime
    missing: tuple[MissingReading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementIssued(Event):
    """The bookings of one interval on one account since its last statement, in tick-watts.

    One is issued when the gate closes, and another when the readings of the interval close, if
    they led to penalties.  The account is a participant's, or one of the DSO's
    (``DSO_ACCOUNTS``).  It received ``compensation``, owes ``penalties``, and received for its
    flexibility ``flexibility`` more than it paid for that of others:
    ``balance = received - paid + compensation - penalties + flexibility``.  Over all accounts of
    an interval the balances add up to zero, and so do these three.
    """

    interval: datetime
    participant: str
    bought_w: int
    sold_w: int
    paid: int
    received: int
    balance: int
    compensation: int = 0
    penalties: int = 0
    flexibility: int = 0
