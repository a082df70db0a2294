"""Small networks with switches and taps, and what an operator could do, found by brute force."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import pandapower as pp
from pandapower.topology import create_nxgraph

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.reconfiguration.choices import Configuration
from doe_allocation.reconfiguration.pandapower_switching import SwitchedNet
from security_check.errors import GridError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits

Net = Any
CABLE = {"r_ohm_per_km": 0.4, "x_ohm_per_km": 0.12, "c_nf_per_km": 250.0}


@dataclass
class Case:
    """A net, what may be switched, and what envelopes must hold under."""

    net: Net
    switchable: tuple[str, ...]
    taps: dict[str, tuple[int, int]]
    interface: InterfaceLimits
    voltage: VoltageLimits
    capacity_w: int
    power_factor: float = 1.0
    passive: Any = "none"

    def build(self, net: Net) -> Any:
        return network_from_pandapower(net, power_factor=self.power_factor, passive=self.passive)

    def switched(self) -> SwitchedNet:
        faults: list[Any] = []
        found = SwitchedNet(copy.deepcopy(self.net), self.switchable, self.taps, faults)
        assert not faults, faults
        return found

    def capacity(self) -> Capacity:
        points = tuple(f"load:{i}" for i in self.net.load.index)
        return Capacity.same(points, self.capacity_w, self.capacity_w)

    def allocated(self, configuration: Configuration) -> Any:
        """Allocate on a fresh grid of a copy of the net that is modified here."""
        grid = self.grid(configuration)
        return grid.allocate(self.interface).limits_w

    def grid(self, configuration: Configuration) -> NetworkGrid:
        return NetworkGrid(self.build(self.modified(configuration)), self.voltage, self.capacity())

    def modified(self, configuration: Configuration) -> Net:
        net = copy.deepcopy(self.net)
        for name, closed in zip(self.switchable, configuration.closed, strict=True):
            table, index = name.split(":")
            net[table].loc[int(index), {"switch": "closed", "line": "in_service"}[table]] = closed
        for name, tap in zip(self.taps, configuration.taps, strict=True):
            net.trafo.loc[int(name.split(":")[1]), "tap_pos"] = tap
        return net

    def is_radial(self, configuration: Configuration) -> bool:
        """Judge by pandapower's own graph; one more node joins the external grids."""
        graph = nx.MultiGraph(create_nxgraph(self.modified(configuration), respect_switches=True))
        graph.add_edges_from(("grid", bus) for bus in self.net.ext_grid.bus)
        return nx.is_tree(graph)

    def radial(self) -> list[Configuration]:
        spans = [range(low, high + 1) for low, high in self.taps.values()]
        every = [
            Configuration(closed, taps)
            for closed in itertools.product((False, True), repeat=len(self.switchable))
            for taps in itertools.product(*spans)
        ]
        return [each for each in every if self.is_radial(each)]

    def brute_force(self) -> Iterator[tuple[Configuration, Any]]:
        """Yield every radial configuration that has secure envelopes, with its limits."""
        for configuration in self.radial():
            try:
                yield configuration, self.allocated(configuration)
            except GridError:
                continue


def small_case(
    seed: int,
    *,
    customers: int = 5,
    ties: int = 2,
    tap_changer: bool = False,
    bus_switches: bool = False,
    line_switches: bool = False,
    second_source: bool = False,
    passive: bool = False,
) -> Case:
    """Return a random net behind a transformer: a tree with some more lines, all switchable."""
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=0.1)
    upper, head = pp.create_bus(net, 20.0), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(
        net, upper, head, sn_mva=float(rng.uniform(0.06, 0.2)), vn_hv_kv=20.0, vn_lv_kv=0.4,
        vkr_percent=1.5, vk_percent=4.0, pfe_kw=0.3, i0_percent=0.3, shift_degree=150,
        tap_side="hv", tap_neutral=0, tap_pos=0, tap_min=-2, tap_max=2, tap_step_percent=2.5,
        tap_changer_type="Ratio",
    )  # fmt: skip
    if second_source:
        other = pp.create_bus(net, 0.4)
        pp.create_ext_grid(net, other)
    buses = [head]
    lines, switchable = [], []
    for _ in range(customers):
        bus = pp.create_bus(net, 0.4)
        lines.append((int(rng.choice(buses)), bus))
        buses.append(bus)
        pp.create_load(net, bus, p_mw=0.004, q_mvar=0.001)
    if passive:
        pp.create_sgen(net, int(rng.choice(buses[1:])), p_mw=0.006, q_mvar=0.002)
        pp.create_shunt(net, int(rng.choice(buses[1:])), q_mvar=-0.003)
    first_tie = len(lines)
    for _ in range(ties):
        a, b = rng.choice(buses, 2, replace=False)
        lines.append((int(a), int(b)))
    if second_source:
        lines.append((other, int(rng.choice(buses[1:]))))
    for k, (start, b) in enumerate(lines):
        a = start
        kind = int(rng.integers(3))
        if bus_switches and kind == 0:
            middle = pp.create_bus(net, 0.4)
            switch = pp.create_switch(net, a, middle, et="b", closed=k < first_tie)
            a = middle
        line = pp.create_line_from_parameters(
            net, a, b, length_km=float(rng.uniform(0.05, 0.4)),
            max_i_ka=float(rng.uniform(0.06, 0.25)), **CABLE,
        )  # fmt: skip
        if bus_switches and kind == 0:
            switchable.append(f"switch:{switch}")
        elif line_switches and kind == 1:
            at = a if rng.random() < 0.5 else b
            switch = pp.create_switch(net, at, line, et="l", closed=k < first_tie)
            switchable.append(f"switch:{switch}")
        else:
            net.line.loc[line, "in_service"] = k < first_tie
            switchable.append(f"line:{line}")
    tie = bool(rng.integers(2))
    return Case(
        net,
        tuple(switchable),
        {"trafo:0": (-1, 1)} if tap_changer else {},
        InterfaceLimits(0.98, 1.03, 60_000 if tie else None, 40_000 if tie else None),
        VoltageLimits(0.93, 1.07),
        int(rng.choice([8_000, 30_000])),
        float(rng.choice([1.0, 0.9])),
        "as-given" if passive else "none",
    )


def level_w(case: Case, limits_w: Any) -> int:
    """Return the smallest limit below capacity, and the capacity where there is none."""
    below = [int(limit) for limit in limits_w if limit < case.capacity_w]
    return min(below, default=case.capacity_w)
