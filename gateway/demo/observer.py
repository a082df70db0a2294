"""The observer of the demo's day: a mirror of the envelopes, and counts of events.

It uses events only, in the order of the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

import numpy as np

from exchange.vocabulary.events import (
    AlarmRaised,
    Event,
    GateClosed,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    MatchBlocked,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    Refused,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.rules import OPERATOR
from exchange.vocabulary.settlement_events import StatementIssued
from gateway.demo.adversary_process import AttackedEnvelopes
from gateway.demo.report import Party
from orderbook.order import Side
from security_check.arrays import IntArray
from security_check.model.envelope import Direction, Envelope
from security_check.model.limits import InterfaceLimits


@dataclass(slots=True)
class ObservedInterval:
    """One interval: its interface limits, and its envelopes at opening, now, and at closing.

    ``opened_w`` and ``now_w`` have shape (2, c), injection first, in watts.
    """

    start: datetime
    interface_limits: InterfaceLimits
    opened: tuple[Envelope, ...]
    opened_w: IntArray
    now_w: IntArray
    closed: tuple[Envelope, ...] = ()
    trades: int = 0


@dataclass(frozen=True, slots=True)
class ContractChange:
    """New interface limits of an interval during trading, and the changes of holdings."""

    event: InterfaceLimitsUpdated
    before: InterfaceLimits
    cuts: list[HoldingCurtailed] = field(default_factory=list)
    raises: list[HoldingRaised] = field(default_factory=list)


class DayObserver:
    """Counts events and mirrors the envelopes.

    Parameters
    ----------
    check
        Called with the envelopes after every trade.
    """

    def __init__(self, check: Callable[[AttackedEnvelopes], None]) -> None:
        self._check = check
        self._row: dict[str, int] = {}
        self.sessions: dict[datetime, ObservedInterval] = {}
        self.trades: list[Traded] = []
        self.orders = 0
        self.amendments = 0
        self.cancelled: Counter[str] = Counter()
        self.refusals: list[Refused] = []
        self.blocked: list[MatchBlocked] = []
        self.updates: list[ContractChange] = []
        self.statements: list[StatementIssued] = []
        self.alarms: list[AlarmRaised] = []

    def take(self, events: Iterable[Event]) -> None:
        """Take events, in order."""
        for event in events:
            match event:
                case SessionOpened():
                    self._open(event)
                case Traded():
                    self._trade(event)
                case OrderAccepted():
                    self.orders += 1
                case OrderAmended():
                    self.amendments += 1
                case OrderCancelled():
                    self.cancelled[event.reason] += 1
                case Refused():
                    self.refusals.append(event)
                case MatchBlocked():
                    self.blocked.append(event)
                case InterfaceLimitsUpdated():
                    session = self.sessions[event.interval]
                    self.updates.append(ContractChange(event, session.interface_limits))
                    session.interface_limits = event.interface_limits
                case HoldingCurtailed() | HoldingRaised():
                    self._set(event)
                case GateClosed():
                    self._close(event)
                case StatementIssued():
                    self.statements.append(event)
                case AlarmRaised():
                    self.alarms.append(event)

    def _open(self, event: SessionOpened) -> None:
        self._row = {e.connection_point: i for i, e in enumerate(event.envelopes)}
        opened_w = np.array(
            [
                [envelope.injection_limit_w for envelope in event.envelopes],
                [envelope.withdrawal_limit_w for envelope in event.envelopes],
            ],
            dtype=np.int64,
        )
        self.sessions[event.start] = ObservedInterval(
            event.start, event.interface_limits, event.envelopes, opened_w, opened_w.copy()
        )

    def _trade(self, event: Traded) -> None:
        for fill in event.fills:
            column = 0 if fill.direction is Direction.INJECTION else 1
            now_w = self.sessions[fill.interval].now_w
            now_w[column, self._row[fill.connection_point]] += fill.change_w
        self.trades.append(event)
        for start in dict.fromkeys(fill.interval for fill in event.fills):
            session = self.sessions[start]
            session.trades += 1
            limits_w = session.now_w.reshape(-1).copy()
            self._check(AttackedEnvelopes(event.trade_id, session.interface_limits, limits_w))

    def _set(self, event: HoldingCurtailed | HoldingRaised) -> None:
        column = 0 if event.direction is Direction.INJECTION else 1
        row = self._row[event.connection_point]
        self.sessions[event.interval].now_w[column, row] = event.to_w
        update = self.updates[-1]
        if isinstance(event, HoldingCurtailed):
            update.cuts.append(event)
        else:
            update.raises.append(event)

    def _close(self, event: GateClosed) -> None:
        session = self.sessions[event.interval]
        session.closed = event.envelopes
        final = [[e.injection_limit_w for e in event.envelopes]]
        final += [[e.withdrawal_limit_w for e in event.envelopes]]
        assert (session.now_w == np.array(final)).all(), (
            "the mirror differs from the final envelopes"
        )

    @property
    def welfare(self) -> int:
        """Welfare of the trades, in tick-watts."""
        return sum(trade.gain for trade in self.trades)

    @property
    def traded_w(self) -> int:
        """Watts of limits that were bought."""
        fills = (fill for trade in self.trades for fill in trade.fills)
        return sum(fill.quantity_w for fill in fills if fill.side is Side.BUY)

    def paid(self, party_of: Mapping[str, Party]) -> dict[tuple[Party, Party], Fraction]:
        """Return the payments between kinds of customers, in tick-watts.

        The payments in a clearing are divided among the receivers (the system operator with its
        congestion rent is one of them) in proportion to what each receives.
        """
        flows: dict[tuple[Party, Party], Fraction] = {}
        for trade in self.trades:
            amounts = [(fill.participant, fill.amount) for fill in trade.fills]
            amounts.append((OPERATOR, -sum(amount for _, amount in amounts)))
            total = sum(amount for _, amount in amounts if amount > 0)
            for payer, paid in amounts:
                for receiver, received in amounts:
                    if paid > 0 > received:
                        pair = party_of[payer], party_of[receiver]
                        share = Fraction(-paid * received, total)
                        flows[pair] = flows.get(pair, Fraction(0)) + share
        return flows
