"""The market days whose journals and snapshots are kept in ``tests/data``.

A day is its rules, its connection points and its commands.  Rules and connection points belong to
the files: they are not in a journal, and a state is restored with them.  ``tools/freeze.py``
carries the commands out and writes what came of it; tests only read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from linear_grid import LinearGrid
from market_days import CAPACITY_W, FALLBACK_W, POINTS
from network_days import OUTAGES, UNCERTAIN, Commands, NetworkDay
from wild_days import WildDay

from exchange.vocabulary.network_port import NetworkPort
from exchange.vocabulary.rules import (
    ConnectionTerms,
    CurtailmentPolicy,
    ExchangeRate,
    MarketRules,
    MeteringRules,
)
from gateway.messages.topics import Topics
from gateway.ports import JournalEntry, Snapshot
from gateway.service.core import ExchangeSetup, JournaledExchange

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class FrozenDay:
    """A day: its rules and connection points, and how its network and commands are made.

    ``snapshots`` are the parts of the day, in percent of its entries, after which there is one.
    """

    rules: MarketRules
    terms: tuple[ConnectionTerms, ...]
    make: Callable[[], tuple[NetworkPort, Commands]]
    snapshots: tuple[int, ...] = (65, 100)

    def setup(self, grid: NetworkPort | None = None) -> ExchangeSetup:
        """Return what an exchange is made of; without a network, one that has no limits."""
        stand_in = LinearGrid([each.injection_capacity_w for each in self.terms])
        return ExchangeSetup(Topics("frozen"), grid or stand_in, self.rules, self.terms)


def record(day: FrozenDay) -> tuple[list[JournalEntry], list[tuple[Snapshot, str]]]:
    """Carry a day out; return its entries, and its snapshots with the digests of the states."""
    grid, wanted = day.make()
    core = JournaledExchange(day.setup(grid))
    entries, states = [], {}
    for command, now in wanted:
        entry, _ = core.handle(command, now)
        if entry is not None:
            entries.append(entry)
            states[entry.sequence] = core.snapshot(), core.exchange.digest()
    core.exchange.check_invariants()
    return entries, [states[max(1, len(entries) * part // 100)] for part in day.snapshots]


def _wild(seed: int, steps: int, rules: MarketRules) -> FrozenDay:
    def make() -> tuple[NetworkPort, Commands]:
        day = WildDay(seed, rules)
        for _ in range(steps):
            day.step()
        grid = day.market.grid
        return LinearGrid(grid.capacity_w, grid.rows), day.market.commands

    owners = [*range(POINTS - 1), 0]
    capacities = (CAPACITY_W, CAPACITY_W, FALLBACK_W, FALLBACK_W)
    terms = (
        ConnectionTerms(f"load:{k}", f"p{owner}", *capacities) for k, owner in enumerate(owners)
    )
    return FrozenDay(rules, tuple(terms), make)


def _on_network(day: NetworkDay, rules: MarketRules) -> FrozenDay:
    terms = (
        ConnectionTerms(f"load:{k}", f"p{k}", day.capacity_w, day.capacity_w)
        for k in range(day.customers)
    )
    return FrozenDay(rules, tuple(terms), day.make)


FROZEN_DAYS: dict[str, FrozenDay] = {
    "continuous": _wild(
        113,
        90,
        MarketRules(
            lot_w=1,
            answers_kept=6,
            answers_kept_for=60 * MINUTE,
            curtailment=CurtailmentPolicy.LAST_IN_FIRST_OUT,
            compensation_price_ticks=5,
            metering=MeteringRules(3, 2, 60 * MINUTE),
        ),
    ),
    "auctions": _wild(
        104,
        90,
        MarketRules(
            lot_w=5,
            answers_kept=3,
            answers_kept_for=timedelta(0),
            exchange_rate=ExchangeRate.NETWORK_WEIGHTED,
            reserve_price_ticks=3,
            compensation_price_ticks=2,
            opening_auction=20 * MINUTE,
            closing_auction=20 * MINUTE,
            batch_every=15 * MINUTE,
            metering=MeteringRules(3, 2, 60 * MINUTE),
        ),
    ),
    "outages": _on_network(
        OUTAGES,
        MarketRules(
            lot_w=1_000,
            answers_kept=4,
            compensation_price_ticks=4,
            metering=MeteringRules(7, 20_000, timedelta(hours=24)),
        ),
    ),
    "uncertain": _on_network(
        UNCERTAIN,
        MarketRules(
            answers_kept=4,
            compensation_price_ticks=4,
            metering=MeteringRules(7, 20, timedelta(hours=24)),
        ),
    ),
}
