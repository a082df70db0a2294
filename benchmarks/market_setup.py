"""A market to measure: an exchange whose commands are timed, on a network of equal customers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tiers import Timed, shares

from exchange.engine import Exchange
from exchange.vocabulary.commands import Command, SubmitOrder
from exchange.vocabulary.events import AlarmRaised, Event, MatchBlocked, OrderAccepted, Traded
from exchange.vocabulary.network_port import NetworkPort
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from security_check.model.envelope import Direction

CAPACITY_W = 30_000
NOW = datetime(2030, 6, 1, 8, tzinfo=UTC)
START = NOW + timedelta(hours=4)
QUARTER = timedelta(minutes=15)
DIRECTIONS = (Direction.INJECTION, Direction.WITHDRAWAL)


@dataclass
class Placed(Timed):
    """As :class:`tiers.Timed`, with the outcomes of orders and the alarms."""

    outcomes: Counter[str] = field(default_factory=Counter)
    alarms: Counter[str] = field(default_factory=Counter)

    def handle(self, command: Command, now: datetime) -> list[Event]:
        events = super().handle(command, now)
        if isinstance(command, SubmitOrder):
            self.outcomes[_outcome(events)] += 1
        self.alarms.update(e.detail for e in events if isinstance(e, AlarmRaised))
        return events

    def report(self) -> str:
        return (
            f"{self.speed()}\n"
            f"  commands end in {shares(self.tiers)}; orders: {shares(self.outcomes)}"
            + "".join(f"\n  ALARM {detail}: {n} times" for detail, n in self.alarms.items())
        )


def _outcome(events: Sequence[Event]) -> str:
    if any(isinstance(event, Traded) for event in events):
        return "traded"
    if any(isinstance(event, MatchBlocked) for event in events):
        return "rests crossed"
    return "rests" if any(isinstance(event, OrderAccepted) for event in events) else "refused"


def an_exchange(grid: NetworkPort, rules: MarketRules) -> Exchange:
    terms = [
        ConnectionTerms(point, f"p{i}", CAPACITY_W, CAPACITY_W)
        for i, point in enumerate(grid.connection_points)
    ]
    return Exchange(grid, rules, terms)
