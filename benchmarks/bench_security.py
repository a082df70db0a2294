"""How fast is the security check on large and unbalanced networks, and how does its time grow?

Run with ``python benchmarks/bench_security.py [PLOT.png]``; with a path it plots the growth.
Seconds are processor times of one thread.  The benchmark asserts nothing; seeds are fixed.
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandapower.networks
import simbench
from bench_allocation import machine

from doe_allocation.allocation.grid import EnvelopeCheck, Grid
from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.verdict import LimitChange
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.envelope import Direction
from security_check.model.islands import Island, islands_of
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network

QUARTERS = 96
TRADES = 300
CAPACITY_W = 30_000
VOLTAGES = VoltageLimits(0.90, 1.10)


def of_part(part: Island) -> NetworkGrid:
    points = part.network.connection_points
    return NetworkGrid(part.network, VOLTAGES, Capacity.same(points, CAPACITY_W, CAPACITY_W))


def grid_of(network: Network) -> Grid:
    joint = IslandsGrid(network, of_part)
    return joint if len(joint.parts) > 1 else joint.parts[0]


def networks() -> dict[str, Callable[[], Network]]:
    def of_simbench(code: str) -> Callable[[], Network]:
        return lambda: network_from_pandapower(simbench.get_simbench_net(code), name=code)

    small = ("1-LV-rural1--0-sw", "1-LV-semiurb4--0-sw", "1-LV-rural3--0-sw")
    return {
        **{code: of_simbench(code) for code in small},
        "European LV, 55 single-phase": lambda: phases_from_pandapower(
            pandapower.networks.ieee_european_lv_asymmetric()
        ),
        "lv_schutterwald": lambda: network_from_pandapower(pandapower.networks.lv_schutterwald()),
    }


def contracts() -> list[InterfaceLimits]:
    """Return a day of contracts whose voltage band changes from interval to interval."""
    hours = np.arange(QUARTERS) / QUARTERS * 2 * np.pi
    low, high = 0.98 + 0.006 * np.sin(hours), 1.035 + 0.005 * np.cos(2 * hours)
    return [InterfaceLimits(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def trade_s(check: EnvelopeCheck) -> float:
    """Return the median seconds of a random trade: linear quantity, AC confirmation, commit."""
    rng, seconds = random.Random(1), []
    for _ in range(TRADES):
        direction = rng.choice(list(Direction))
        seller, buyer = rng.sample(check.connection_points, 2)
        began = time.process_time()
        quantity_w, _ = check.largest_secure_w(direction, seller, buyer, 100)
        if not quantity_w:
            continue
        changes = [
            LimitChange(seller, direction, -quantity_w),
            LimitChange(buyer, direction, quantity_w),
        ]
        if check.confirm(changes).secure:
            check.commit(changes)
            seconds.append(time.process_time() - began)
    return statistics.median(seconds)


def measured(grid: Grid) -> tuple[float, float, float]:
    """Return the seconds of a first interval, of each of a day's, and of a trade."""
    day = contracts()
    first_s = cpu_s(lambda: grid.allocate(day[0]))
    day_s = cpu_s(lambda: [grid.allocate(contract) for contract in day])
    return first_s, day_s / QUARTERS, trade_s(grid.allocate(day[0]).copy())


def tell(name: str, network: Network, figures: tuple[float, float, float]) -> None:
    first_s, interval_s, traded_s = figures
    print(
        f"{name:<30}{len(network.nodes):>7}{len(network.connection_points):>10}"
        f"{1e3 * first_s:>12.1f}{1e3 * interval_s:>12.2f}{interval_s * QUARTERS:>9.2f}"
        f"{1e6 * traded_s:>10.0f}"
    )


def plot(path: Path, customers: list[int], figures: list[tuple[float, float, float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    names = ("first interval", "next interval, from its neighbour", "trade, AC-confirmed")
    order = np.argsort(customers)
    for name, marker, seconds in zip(names, "osv", zip(*figures, strict=True), strict=True):
        values = 1e3 * np.array(seconds)[order]
        axes.loglog(np.array(customers)[order], values, marker=marker, label=name)
    axes.set_xlabel("customers of one low-voltage network")
    axes.set_ylabel("milliseconds, one core")
    axes.set_title("Both directions jointly, 30 kW each way, balanced")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    warnings.simplefilter("ignore")  # of the readers of network files
    print(f"{machine()}\n")
    print(
        f"{'network':<30}{'nodes':>7}{'customers':>10}{'first ms':>12}{'interval ms':>12}", end=""
    )
    print(f"{'day s':>9}{'trade us':>10}")
    sizes: dict[int, tuple[float, float, float]] = {}
    for name, make in networks().items():
        network = make()
        grid = grid_of(network)
        figures = measured(grid)
        tell(name, network, figures)
        if len(parts := islands_of(network)) > 1:
            for part in parts:
                sizes[len(part.points)] = measured(of_part(part))
        elif name.startswith("1-LV"):
            sizes[len(network.connection_points)] = figures
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    if len(sys.argv) > 1:
        plot(Path(sys.argv[1]), list(sizes), list(sizes.values()))


if __name__ == "__main__":
    main()
