"""What happens after the gate: readings, and statements of account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.vocabulary.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRead(Event):
    """Mean power was metered and held against the final envelope.

    The interval was kept where ``breach_w`` is 0; else the participant owes the DSO ``penalty``
    tick-watts.  A correction ``replaces`` an earlier reading, whose penalty of
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
    """A connection point of which no reading came, and its owner."""

    participant: str
    connection_point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteringClosed(Event):
    """No reading of an interval is taken any more; ``missing`` are those that never came."""

    interval: datetime
    missing: tuple[MissingReading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementIssued(Event):
    """What one interval brought to an account since its last statement, in tick-watts.

    One is issued when the gate closes, and another when the readings of the interval close, if
    they led to penalties.  The account is a participant's, or one of the DSO's
    (``DSO_ACCOUNTS``); ``compensation`` is what it received, ``penalties`` what
    it owes, so that ``balance = received - paid + compensation - penalties``.  Over all accounts of
    an interval the balances add up to zero, and so do compensation and penalties.
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
