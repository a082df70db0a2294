"""How fast is the welfare clearing, and how many events does each tier settle?

Run with ``python benchmarks/bench_clearing.py [events]``.  The benchmark asserts nothing; seeds
are fixed.  Times are processor times of one thread, which other load hardly changes.
"""

from __future__ import annotations

import gc
import platform
import random
import sys
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from exchange.clearing.problem import NetworkRows, ProgramLeg, ProgramOrder, Tier
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.vocabulary.rules import ExchangeRate
from orderbook.order import Side

POINTS = 40
ROWS = 40
RESTING = 1_000
MANY = 100_000
LOT_W = 1
BASE_W = 1e6
EVENTS = 5_000


@dataclass
class Market:
    """A program under a stream of random events, with the time of each."""

    congested: bool
    rate: ExchangeRate = ExchangeRate.ONE_TO_ONE
    away_ticks: float = 600.0
    step_ticks: int = 1
    seed: int = 7
    seconds: dict[str, list[float]] = field(default_factory=dict)
    events: list[float] = field(default_factory=list)
    tiers: Counter[Tier] = field(default_factory=Counter)
    binding: list[int] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        weights = np.random.default_rng(self.seed)
        # Coefficients differ by up to a factor of 30, like those of voltages along a feeder.
        self.A = weights.uniform(0.03, 1.0, (ROWS, 2 * POINTS)) * (
            weights.random((ROWS, 2 * POINTS)) < 0.6
        )
        room_w = 3_000.0 if self.congested else 1e9
        self.headroom = weights.uniform(0.2, 1.0, ROWS) * room_w / BASE_W
        rows = NetworkRows.of_one(self.A, self.headroom, BASE_W)
        self.clearing = WelfareClearing(rows, LOT_W, self.rate)

    def order(self, *, resting: bool = False) -> ProgramOrder:
        self.number += 1
        side = self.rng.choice(list(Side))
        middle = 10_000 if self.rate is ExchangeRate.ONE_TO_ONE else 0
        away = round(self.rng.gauss(self.away_ticks, 500.0))
        away = (abs(away) + 1 if resting else away) // self.step_ticks * self.step_ticks
        price = middle - away if side is Side.BUY else middle + away
        column = self.rng.randrange(2 * POINTS)
        quantity_w = self.rng.randrange(100, 3_000)
        return ProgramOrder(
            self.number, side, price, self.number, (ProgramLeg(column, quantity_w),)
        )

    def fill(self, resting: int) -> None:
        while len(self.clearing.orders) < resting:
            self.clearing.add(self.order(resting=resting > RESTING))
            if resting <= RESTING:
                self.settle("filling")
        self.settle("filling")

    def settle(self, kind: str) -> float:
        """Trade until no profitable trade is left; return the seconds."""
        whole = 0.0
        while True:
            began = time.process_time()
            optimum = self.clearing.optimum()
            taken = time.process_time() - began
            self.seconds.setdefault(f"{kind}: {optimum.tier}", []).append(taken)
            self.tiers[optimum.tier] += 1
            whole += taken
            if not optimum.quantities_w:
                return whole
            self.binding.append(int(np.count_nonzero(optimum.prices.rows > 1e-6)))
            began = time.process_time()
            self.clearing.execute(optimum)
            taken = time.process_time() - began
            self.seconds.setdefault("execute", []).append(taken)
            whole += taken

    def left_w(self, number: int) -> int:
        entry = self.clearing.orders.entry(number)
        return self.clearing.orders.watts(entry, entry.units)

    def event(self, resting: list[int], target: int) -> None:
        """Send an order or a cancellation, so that about as many orders rest as before."""
        if len(self.clearing.orders) > target and self.rng.random() < 0.6:
            while True:
                place = self.rng.randrange(len(resting))
                resting[place], resting[-1] = resting[-1], resting[place]
                victim = resting.pop()
                if victim in self.clearing.orders:
                    break
            began = time.process_time()
            self.clearing.reduce(victim, self.left_w(victim))
            kind = "cancel"
        else:
            order = self.order()
            resting.append(order.order_id)
            began = time.process_time()
            self.clearing.add(order)
            kind = "add"
        taken = time.process_time() - began
        self.seconds.setdefault(kind, []).append(taken)
        self.events.append(taken + self.settle(f"after {kind}"))


def report(title: str, market: Market, events: int, target: int = RESTING) -> None:
    print(f"\n{title}")
    market.fill(target)
    market.seconds.clear()
    market.tiers.clear()
    market.binding.clear()
    resting = [entry.order.order_id for entry in market.clearing.orders]
    gc.collect()
    gc.freeze()
    for _ in range(events):
        market.event(resting, target)
    whole = np.array(market.events)
    print(
        f"  {events:,} events, {events / whole.sum():,.0f}/s, median {np.median(whole) * 1e6:,.0f} "
        f"us, p99 {np.percentile(whole, 99) * 1e6:,.0f} us; {len(market.clearing.orders):,} rest"
    )
    answers = sum(market.tiers.values())
    shares = ", ".join(f"{tier} {n / answers:.1%}" for tier, n in market.tiers.most_common())
    print(f"  answers by tier: {shares}")
    if market.binding:
        print(f"  binding rows when trading: {np.mean(market.binding):.1f} on average")
    for name, taken in sorted(market.seconds.items()):
        microseconds = np.array(taken) * 1e6
        print(
            f"  {name:32s} {len(taken):6,} times, median {np.median(microseconds):8.1f} us, "
            f"p99 {np.percentile(microseconds, 99):9.1f} us"
        )


def opening(market: Market) -> None:
    """Time an auction: the first clearing of a book."""
    for _ in range(2 * RESTING):
        market.clearing.add(market.order())
    began = time.process_time()
    optimum = market.clearing.optimum()
    milliseconds = (time.process_time() - began) * 1e3
    print(
        f"\nopening auction of {2 * RESTING:,} orders: {milliseconds:.1f} ms, {optimum.tier}, "
        f"{len(optimum.quantities_w):,} trade"
    )


def memory(orders: int) -> None:
    """Print the memory of a resting order, the order itself included."""
    market = Market(congested=False)
    tracemalloc.start()
    market.fill(orders)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(
        f"\nmemory per resting order: {taken / orders:,.0f} bytes of {orders:,}, at "
        f"{market.clearing.orders.size:,} places and prices"
    )


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    weighted = ExchangeRate.NETWORK_WEIGHTED
    print(f"Python {platform.python_version()}, {RESTING:,} orders rest, {ROWS} rows")
    report("uncongested", Market(congested=False), events)
    report(f"uncongested, {MANY:,} rest", Market(congested=False), events, MANY)
    report("congested", Market(congested=True), events)
    report("congested, another seed", Market(congested=True, seed=8), events)
    report("congested, a third may trade", Market(congested=True, away_ticks=200.0), events)
    report("congested, prices in steps of 100", Market(congested=True, step_ticks=100), events)
    report("congested, network-weighted", Market(congested=True, rate=weighted), events)
    opening(Market(congested=True))
    memory(RESTING)
    memory(MANY)


if __name__ == "__main__":
    main()
