"""How fast is the welfare clearing, and which tier ends how many events?

Run with ``python benchmarks/bench_clearing.py [events]``.  Nothing here is asserted; seeds are
fixed.  Times are of one thread's processor, so that a busy machine does not show.
"""

from __future__ import annotations

import gc
import platform
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from exchange.program import ExchangeRate, Leg, NetworkRows, ProgramOrder, Tier
from exchange.welfare import WelfareClearing
from orderbook.order import Side

POINTS = 40
ROWS = 40
RESTING = 1_000
LOT_W = 1
BASE_W = 1e6
EVENTS = 5_000


@dataclass
class Market:
    """A program under a stream of random events, and how long each took."""

    congested: bool
    rate: ExchangeRate
    seed: int = 7
    seconds: dict[str, list[float]] = field(default_factory=dict)
    tiers: Counter[Tier] = field(default_factory=Counter)
    binding: list[int] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        weights = np.random.default_rng(self.seed)
        # Rows weigh limits by up to thirty, as voltages along a feeder do.
        self.A = weights.uniform(0.03, 1.0, (ROWS, 2 * POINTS)) * (
            weights.random((ROWS, 2 * POINTS)) < 0.6
        )
        room_w = 3_000.0 if self.congested else 1e9
        self.headroom = weights.uniform(0.2, 1.0, ROWS) * room_w / BASE_W
        rows = NetworkRows(self.A, self.headroom, BASE_W)
        self.clearing = WelfareClearing(rows, LOT_W, self.rate)

    def order(self) -> ProgramOrder:
        self.number += 1
        side = self.rng.choice(list(Side))
        middle = 10_000 if self.rate is ExchangeRate.ONE_TO_ONE else 0
        away = round(self.rng.gauss(600.0, 500.0))
        price = middle - away if side is Side.BUY else middle + away
        column = self.rng.randrange(2 * POINTS)
        quantity_w = self.rng.randrange(100, 3_000)
        return ProgramOrder(self.number, side, price, self.number, (Leg(column, quantity_w),))

    def fill(self, resting: int) -> None:
        while len(self.clearing.orders) < resting:
            self.clearing.add(self.order())
            self.settle("filling")

    def settle(self, kind: str) -> None:
        while True:
            began = time.process_time()
            optimum = self.clearing.optimum()
            name = f"{kind}: {optimum.tier}"
            self.seconds.setdefault(name, []).append(time.process_time() - began)
            self.tiers[optimum.tier] += 1
            if not optimum.quantities_w:
                return
            self.binding.append(int(np.count_nonzero(optimum.prices.rows > 1e-6)))
            self.clearing.execute(optimum)

    def event(self) -> None:
        """An order, or the cancellation of one, so that about as many rest as before."""
        if len(self.clearing.orders) > RESTING and self.rng.random() < 0.6:
            entries = list(self.clearing.orders)
            victim = self.rng.choice(entries).order.order_id
            began = time.process_time()
            self.clearing.cancel(victim)
            self.seconds.setdefault("cancel", []).append(time.process_time() - began)
            self.settle("after a cancel")
            return
        order = self.order()
        began = time.process_time()
        self.clearing.screen.may_improve(order)
        self.seconds.setdefault("may_improve", []).append(time.process_time() - began)
        began = time.process_time()
        self.clearing.add(order)
        self.seconds.setdefault("add", []).append(time.process_time() - began)
        self.settle("optimum")


def report(title: str, market: Market, events: int) -> None:
    print(f"\n{title}")
    market.fill(RESTING)
    market.seconds.clear()
    market.tiers.clear()
    market.binding.clear()
    gc.collect()
    gc.freeze()
    began = time.process_time()
    for _ in range(events):
        market.event()
    seconds = time.process_time() - began
    print(f"  {events:,} events, {events / seconds:,.0f}/s; {len(market.clearing.orders):,} rest")
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
    """Time an auction: a book that was never cleared."""
    for _ in range(2 * RESTING):
        market.clearing.add(market.order())
    began = time.process_time()
    optimum = market.clearing.optimum()
    milliseconds = (time.process_time() - began) * 1e3
    print(
        f"\nopening auction of {2 * RESTING:,} orders: {milliseconds:.1f} ms, {optimum.tier}, "
        f"{len(optimum.quantities_w):,} trade"
    )


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    print(f"Python {platform.python_version()}, {RESTING:,} orders rest, {ROWS} rows")
    report("uncongested", Market(False, ExchangeRate.ONE_TO_ONE), events)
    report("congested", Market(True, ExchangeRate.ONE_TO_ONE), events)
    report("congested, network-weighted", Market(True, ExchangeRate.NETWORK_WEIGHTED), events)
    opening(Market(True, ExchangeRate.ONE_TO_ONE))


if __name__ == "__main__":
    main()
