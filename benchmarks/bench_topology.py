"""How fast are configurations searched: all 50,751 of case33bw, and by the heuristic?"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
import warnings
from typing import Any

import numpy as np
import pandapower.networks

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.reconfiguration.choices import Configuration
from doe_allocation.reconfiguration.pandapower_switching import SwitchedNet
from doe_allocation.reconfiguration.refutation import RadialRefuter
from doe_allocation.reconfiguration.relaxation import bound_by_relaxation
from doe_allocation.reconfiguration.search import best_configuration
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits

BAND, VOLTAGE = InterfaceLimits(0.98, 1.02), VoltageLimits(0.90, 1.10)


def _line(what: str, seconds: float, more: str = "") -> None:
    print(f"| {what} | {seconds:.3g} s | {more} |")


def main() -> None:
    warnings.simplefilter("ignore")  # of the readers of network files
    net = pandapower.networks.case33bw()
    net.line["max_i_ka"] = 0.4
    faults: list[Any] = []
    switched = SwitchedNet(net, [f"line:{i}" for i in net.line.index], {}, faults)
    choices = switched.choices(None)
    points = tuple(f"load:{i}" for i in net.load.index)
    capacity = Capacity.same(points, 2_000_000, 2_000_000)
    spent = {"network": 0.0, "allocation": 0.0}

    def evaluate(configuration: Configuration) -> Any:
        begin = time.process_time()
        network = network_from_pandapower(switched.set(configuration))
        built = time.process_time()
        limits_w = NetworkGrid(network, VOLTAGE, capacity).allocate(BAND).limits_w
        spent["network"] += built - begin
        spent["allocation"] += time.process_time() - built
        return limits_w

    begin = time.process_time()
    closed = list(choices.graph.configurations())
    _line(f"{len(closed):,} configurations listed", time.process_time() - begin)
    refuter = RadialRefuter(switched.branches(network_from_pandapower), VOLTAGE, [BAND], capacity)
    for level_w in (100_000.0, 200_000.0, 245_000.0):
        sample = np.array(closed[::10])
        begin = time.process_time()
        refuted = refuter.refuted(sample, (), level_w)
        took = time.process_time() - begin
        part = 100.0 * refuted.mean()
        _line(
            f"{len(sample):,} refuted at {level_w / 1e3:g} kW",
            took,
            f"{1e6 * took / len(sample):.0f} us each, {part:.2f} % refuted",
        )
    begin = time.process_time()
    every = [bound_by_relaxation(refuter.switched, choices, VOLTAGE, [BAND], capacity)]
    _line("bound by the program", time.process_time() - begin, f"{every[0].bound_w:,.0f} W")
    for what, limit in (("exact", 100_000), ("heuristic, with the bound", 10)):
        spent["network"] = spent["allocation"] = 0.0
        begin = time.process_time()
        found = best_configuration(
            choices,
            evaluate,
            capacity.upper_w(),
            refuter=refuter,
            relax=lambda: (every[0].bound_w, every[0].configuration),
            exact_limit=limit,
        )
        assert found.best is not None
        _line(
            what,
            time.process_time() - begin,
            f"{found.best.smallest_uncapped_w:,} W, gap {found.gap_w:,} W; "
            f"{found.evaluated} allocated, each "
            f"{1e3 * spent['network'] / (found.evaluated + 1):.0f} ms for the network and "
            f"{1e3 * spent['allocation'] / (found.evaluated + 1):.0f} ms for the allocation",
        )


if __name__ == "__main__":
    main()
