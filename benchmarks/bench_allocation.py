"""How fast are allocation, the check of a trade, the adversary, and the exchange on a real feeder?

Run with ``python benchmarks/bench_allocation.py``.  The benchmark asserts nothing; seeds are fixed.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.engine import Exchange
from exchange.vocabulary.commands import CancelOrder, Command, OpenSession, SubmitOrder
from exchange.vocabulary.events import (
    Event,
    MatchBlocked,
    OrderAccepted,
    OrderCancelled,
    Refused,
    Traded,
)
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.scenario.network_source import build_network, open_net
from gateway.scenario.schema import NetworkSection
from orderbook.order import Side, TimeInForce
from security_check.checking.check import SecurityCheck
from security_check.checking.verdict import LimitChange
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.verification.adversary import attack

NETWORKS = {  # network: capacity of each connection point, in watts
    "bundled:semiurb4": 30_000,
    "simbench:1-LV-rural1--0-sw": 30_000,
    "simbench:1-LV-rural3--0-sw": 30_000,
    "simbench:1-MV-rural--0-sw": 2_000_000,
}
MARKET = "bundled:semiurb4"
BAND = InterfaceLimits(0.98, 1.04)
REPEATED = 9
LONGEST_S = 5.0
CHECKS = 2_000
CONFIRMATIONS = 200
SAMPLES = 2_000
ORDERS = 10_000
NOW = datetime(2030, 6, 1, 8, tzinfo=UTC)
START = NOW + timedelta(hours=4)


Transfer = tuple[Direction, str, str]
STATUTORY = VoltageLimits(0.90, 1.10)


def grid_of(source: str, capacity_w: int, voltages: VoltageLimits = STATUTORY) -> NetworkGrid:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the readers of network files
        net = open_net(source, Path(), [])
        if net is None:
            raise SystemExit(f"{source} cannot be read; is simbench installed?")
        network, _ = build_network(net, NetworkSection(source=source), "source", {}, source, [])
    assert network is not None
    capacity = Capacity.same(network.connection_points, capacity_w, capacity_w)
    return NetworkGrid(network, voltages, capacity)


def median_s(work: Callable[[], object], times: int) -> float:
    """Return the median seconds of repeated work, without the first run.

    The repetitions stop after some seconds.
    """
    work()
    seconds: list[float] = []
    while len(seconds) < times and sum(seconds) < LONGEST_S:
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def transfers(check: SecurityCheck, count: int, at_least_w: int) -> list[Transfer]:
    """Return random transfers of which the linear rows allow at least a given part."""
    rng = random.Random(1)
    found: list[Transfer] = []
    for _ in range(100 * count):
        direction = rng.choice(list(Direction))
        seller, buyer = rng.sample(check.connection_points, 2)
        transfer = direction, seller, buyer
        if check.largest_secure_w(*transfer, at_least_w)[0] >= at_least_w:
            found.append(transfer)
        if len(found) == count:
            break
    return found


def linear_check_s(check: SecurityCheck) -> float:
    asked = cycle(transfers(check, 50, 0))
    return median_s(lambda: check.largest_secure_w(*next(asked), 1_000), CHECKS)


def confirmed_check_s(check: SecurityCheck) -> float:
    """Time one trade as in the exchange: the linear quantity, then the AC confirmation."""
    asked = cycle(transfers(check, 50, 100))

    def work() -> None:
        direction, seller, buyer = next(asked)
        quantity_w, _ = check.largest_secure_w(direction, seller, buyer, 100)
        check.confirm(
            [LimitChange(seller, direction, -quantity_w), LimitChange(buyer, direction, quantity_w)]
        )

    return median_s(work, CONFIRMATIONS)


def points_per_second(check: SecurityCheck) -> float:
    rng = np.random.default_rng(1)
    began = time.perf_counter()
    found = attack(check.robust_rows, check.limits_w, rng, samples=SAMPLES)
    return found.points_tried / (time.perf_counter() - began)


def a_market(grid: NetworkGrid) -> Exchange:
    terms = [
        ConnectionTerms(point, f"p{i}", 30_000, 30_000)
        for i, point in enumerate(grid.connection_points)
    ]
    exchange = Exchange(grid, MarketRules(lot_w=100), terms)
    exchange.handle(OpenSession(START, START + timedelta(minutes=15), START, BAND), NOW)
    return exchange


def some_commands(grid: NetworkGrid, count: int, crossing: float) -> list[Command]:
    """Return commands: two thirds place an order, some across the spread; one third cancels."""
    rng = random.Random(4)
    commands: list[Command] = []
    placed: list[tuple[str, str]] = []
    for i in range(count):
        if placed and rng.random() < 1 / 3:
            participant, client_order_id = placed.pop(rng.randrange(len(placed)))
            commands.append(CancelOrder(participant, f"r{i}", client_order_id))
            continue
        k = rng.randrange(len(grid.connection_points))
        side = rng.choice(list(Side))
        away = rng.randrange(1, 50)
        if rng.random() < crossing:
            away = -rng.randrange(50)
        immediate = rng.random() < 0.2
        commands.append(
            SubmitOrder(
                f"p{k}",
                f"c{i}",
                OrderTerms(
                    grid.connection_points[k],
                    rng.choice(list(Direction)),
                    START,
                    side,
                    100 * rng.randrange(1, 10),
                    500 - away if side is Side.BUY else 500 + away,
                    TimeInForce.IMMEDIATE_OR_CANCEL if immediate else TimeInForce.GOOD_TILL_CANCEL,
                ),
            )
        )
        if not immediate:
            placed.append((f"p{k}", f"c{i}"))
    return commands


def time_market(grid: NetworkGrid, crossing: float) -> str:
    exchange = a_market(grid)
    commands = some_commands(grid, ORDERS, crossing)
    slowest = 0.0
    counted: Counter[type[Event]] = Counter()
    began = time.process_time()
    for command in commands:
        before = time.process_time()
        events = exchange.handle(command, NOW)
        slowest = max(slowest, time.process_time() - before)
        counted.update(type(event) for event in events)
    seconds = time.process_time() - began
    exchange.check_invariants()
    kinds = (OrderAccepted, Traded, MatchBlocked, OrderCancelled, Refused)
    shown = ", ".join(f"{counted[kind]:,} {kind.__name__}" for kind in kinds)
    return (
        f"{crossing:>6.0%} cross {len(commands) / seconds:>11,.0f} commands/s "
        f"{1e3 * slowest:>8.1f} ms slowest   {shown}"
    )


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return (
        f"{model}, {os.cpu_count()} cores (one used), "
        f"CPython {platform.python_version()}, NumPy {np.__version__}"
    )


def main() -> None:
    print(f"{machine()}\n")
    print(
        f"{'network':<28}{'points':>7}{'allocate':>12}{'linear':>12}{'confirmed':>12}"
        f"{'adversary':>13}"
    )
    print(f"{'':<28}{'':>7}{'ms':>12}{'us':>12}{'ms':>12}{'points/s':>13}")
    grids = {}
    for source, capacity_w in NETWORKS.items():
        grid = grids[source] = grid_of(source, capacity_w)
        allocated_s = median_s(partial(grid.allocate, BAND), REPEATED)
        check = grid.allocate(BAND)
        print(
            f"{source:<28}{len(grid.connection_points):>7}{1e3 * allocated_s:>12.1f}"
            f"{1e6 * linear_check_s(check.copy()):>12.1f}"
            f"{1e3 * confirmed_check_s(check.copy()):>12.2f}{points_per_second(check):>13,.0f}"
        )
    print(
        f"\nExchange.handle on {MARKET}, {ORDERS:,} orders and cancellations, every trade confirmed"
    )
    for crossing in (0.0, 0.02, 0.1, 0.5):
        print(time_market(grids[MARKET], crossing))


if __name__ == "__main__":
    main()
