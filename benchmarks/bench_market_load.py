"""What does a large market cost: a day of a town, resting orders, blocks over many intervals?

Run with ``python benchmarks/bench_market_load.py [PART ...] [--minutes M]``; the parts are
``memory``, ``joint`` and ``day``.  The benchmark asserts nothing; seeds are fixed.  Seconds are
processor times of one thread.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
import tracemalloc
import warnings
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandapower.networks
from bench_allocation import grid_of, machine
from bench_security import grid_of as joint_grid_of
from market_setup import CAPACITY_W, DIRECTIONS, NOW, QUARTER, START, Placed, an_exchange

from exchange.vocabulary.commands import CloseGate, OpenSession, SubmitJoint, SubmitOrder
from exchange.vocabulary.events import Event, Traded
from exchange.vocabulary.network_port import NetworkPort
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.rules import MarketRules
from orderbook.order import Side
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

CUSTOMERS = 1_000
INTERVALS = 96
RESTING = 5_000


def a_day(minutes: float) -> None:
    """Trade the day of a town, interval by interval, until the time limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the readers of network files
        network = network_from_pandapower(pandapower.networks.lv_schutterwald())
    grid = joint_grid_of(network)
    exchange = an_exchange(grid, MarketRules(lot_w=100))
    draw = random.Random(1)
    active = draw.sample(range(len(grid.connection_points)), CUSTOMERS)
    print(
        f"\nlv_schutterwald: {CUSTOMERS:,} of {len(grid.connection_points):,} customers trade, "
        f"{INTERVALS} intervals x 2 directions"
    )
    timed = Placed(exchange)
    began, opened_s, done, traded_w = time.process_time(), 0.0, 0.0, 0
    deadline = began + 60 * minutes
    for k in range(INTERVALS):
        if time.process_time() > deadline:
            break
        start = START + k * QUARTER
        before = time.process_time()
        exchange.handle(
            OpenSession(start, start + QUARTER, start, InterfaceLimits(0.98, 1.04)), NOW
        )
        opened_s += time.process_time() - before
        share, bought_w = _trade_interval(timed, grid, start, active, draw, deadline)
        exchange.handle(CloseGate(start), NOW)
        traded_w += bought_w
        done += share
    seconds = time.process_time() - began
    print(
        f"  {done:.2f} intervals in {seconds:.0f} s ({seconds / done:.1f} s each, "
        f"{INTERVALS * seconds / done / 60:.0f} minutes for a day), of which {opened_s:.0f} s "
        f"allocation; {traded_w / 1e6:,.2f} MW traded\n  {timed.report()}"
    )


def _trade_interval(
    timed: Placed,
    grid: NetworkPort,
    start: datetime,
    active: Sequence[int],
    draw: random.Random,
    deadline: float,
) -> tuple[float, int]:
    """Let each participant place an order in each direction.

    Returns the part of the orders placed before the deadline, and the watts bought.
    """
    places = [(i, direction) for i in active for direction in DIRECTIONS]
    draw.shuffle(places)
    traded_w = 0
    for number, (i, direction) in enumerate(places):
        if time.process_time() > deadline:
            return number / len(places), traded_w
        point = grid.connection_points[i]
        holdings = timed.exchange.state.sessions[start].holdings
        position = holdings.position(direction, point)
        # Most limit prices do not reach the middle of the market, so most orders rest.
        side = draw.choice((Side.BUY, Side.SELL))
        most_w = position.buyable_w if side is Side.BUY else position.sellable_w
        quantity_w = min(100 * draw.randint(5, 40), most_w // 100 * 100)
        if not quantity_w:
            continue
        away = round(draw.gauss(150.0, 150.0))
        price = 1_000 - away if side is Side.BUY else 1_000 + away
        events = timed.handle(
            SubmitOrder(
                f"p{i}",
                f"{start:%H%M}-{number}",
                OrderTerms(point, direction, start, side, quantity_w, max(price, 1)),
            ),
            NOW,
        )
        traded_w += sum(
            fill.quantity_w
            for event in events
            if isinstance(event, Traded)
            for fill in event.fills
            if fill.side is Side.BUY
        )
    return 1.0, traded_w


def show_memory() -> None:
    """Measure the memory of a resting order: state, book, answer and program."""
    grid = grid_of("bundled:semiurb4", CAPACITY_W)
    exchange = an_exchange(grid, MarketRules())
    band = InterfaceLimits(0.98, 1.04)
    exchange.handle(OpenSession(START, START + QUARTER, START, band), NOW)
    draw = random.Random(1)

    def place(number: int) -> None:
        i = draw.randrange(len(grid.connection_points))
        side = draw.choice((Side.BUY, Side.SELL))
        price = draw.randrange(1, 5_000) + (5_000 if side is Side.SELL else 0)
        point = grid.connection_points[i]
        direction = draw.choice(DIRECTIONS)
        order = SubmitOrder(
            f"p{i}", f"c{number}", OrderTerms(point, direction, START, side, 1, price)
        )
        exchange.handle(order, NOW)

    for number in range(100):
        place(number)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    rested = len(exchange.state.orders)
    for number in range(100, RESTING):
        place(number)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    more = len(exchange.state.orders) - rested
    print(f"\nmemory: {(after - before) / more:,.0f} bytes for each of {more:,} resting orders")


def show_joint() -> None:
    """Measure trades in a day of intervals while blocks over all of them rest."""
    grid = grid_of("bundled:semiurb4", CAPACITY_W)
    print(f"\nbundled:semiurb4: {INTERVALS} intervals, blocks with a leg in each")
    for blocks in (0, 1, 20):
        seconds, traded = _trade_beside(grid, blocks)
        tracemalloc.start()
        _trade_beside(grid, 0)
        _, without = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        tracemalloc.clear_traces()
        _trade_beside(grid, blocks)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        ms = 1e3 * np.array(seconds)
        print(
            f"  {blocks:2} at rest: {traded} of {len(ms)} orders trade, "
            f"p50 {np.median(ms):.2f} ms, slowest {ms.max():.1f} ms; "
            f"peak memory {(peak - without) / 1e6:+.1f} MB"
        )


def _trade_beside(grid: NetworkPort, blocks: int) -> tuple[list[float], int]:
    """Return the times of orders while blocks rest, and the number of trades."""
    exchange = an_exchange(
        grid, MarketRules(max_conditional_orders=10**6, max_conditional_orders_each=10**6)
    )
    starts = [START + k * QUARTER for k in range(INTERVALS)]
    for start in starts:
        limits = InterfaceLimits(0.98, 1.04)
        exchange.handle(OpenSession(start, start + QUARTER, start, limits), NOW)
    draw, points = random.Random(1), grid.connection_points

    def place(number: int, start: datetime, side: Side, price: int) -> list[Event]:
        i = draw.randrange(1, len(points))
        direction = draw.choice(DIRECTIONS)
        order = SubmitOrder(
            f"p{i}", f"c{number}", OrderTerms(points[i], direction, start, side, 100, price)
        )
        return exchange.handle(order, NOW)

    for k, start in enumerate(starts):
        for number in range(40 * k, 40 * k + 20):
            place(2 * number, start, Side.BUY, draw.randrange(800, 990))
            place(2 * number + 1, start, Side.SELL, draw.randrange(1_010, 1_200))
    for number in range(blocks):
        legs = tuple(
            Leg(points[0], Direction.INJECTION, start, Side.BUY, 100, 900) for start in starts
        )
        exchange.handle(SubmitJoint("p0", f"b{number}", legs, False), NOW)
    seconds, traded = [], 0
    for number in range(10**6, 10**6 + 100):
        side = draw.choice((Side.BUY, Side.SELL))
        began = time.process_time()
        events = place(number, draw.choice(starts), side, 1_100 if side is Side.BUY else 900)
        seconds.append(time.process_time() - began)
        traded += any(isinstance(event, Traded) for event in events)
    return seconds, traded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {"memory": show_memory, "joint": show_joint}
    parser.add_argument("parts", nargs="*", help=f"{', '.join([*parts, 'day'])}; all if none")
    parser.add_argument("--minutes", type=float, default=5.0, help="for the day at most")
    asked = parser.parse_args()
    print(machine())
    for name, show in parts.items():
        if not asked.parts or name in asked.parts:
            show()
    if not asked.parts or "day" in asked.parts:
        a_day(asked.minutes)


if __name__ == "__main__":
    main()
