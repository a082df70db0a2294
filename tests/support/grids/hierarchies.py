"""Operational graphs of real networks, and all of their networks joined into one.

The joined net is put together by pandapower's own tools and solved by its own power flow, which
knows of no operators, contracts or rows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandapower as pp
from others_warnings import others_warnings_ignored
from pandapower.toolbox import merge_nets

from doe_allocation.capacity import Capacity
from doe_allocation.hierarchy.allocation import HierarchyAllocation
from doe_allocation.hierarchy.operators import Child, Operator
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_outages import outages_from_pandapower
from security_check.model.limits import VoltageLimits
from security_check.model.network_state import NetworkState

Net = Any


@dataclass(frozen=True)
class Owned:
    """One operator and the pandapower net that it is made of."""

    operator: Operator
    net: Net
    children: Mapping[str, Owned] = field(default_factory=dict)


def owned(
    name: str,
    net: Net,
    children: Mapping[str, tuple[Owned, tuple[float, float]]] | None = None,
    *,
    capacity_w: int | Mapping[str, int] = 20_000,
    limits: VoltageLimits | None = None,
    meshed: bool = False,
    fallback_w: int = 0,
    outages: tuple[str, ...] = (),
) -> Owned:
    """Return an operator of a net; children at its loads, each with the band promised."""
    children = children or {}
    states: Sequence[NetworkState] = ()
    if meshed:
        network, states = outages_from_pandapower(
            net, outages, passive="as-given", distributed_slack=True
        )
    else:
        network = network_from_pandapower(net, passive="as-given", name=name)
    points = network.connection_points
    largest = capacity_w if isinstance(capacity_w, Mapping) else dict.fromkeys(points, capacity_w)
    most = np.array([largest[point] for point in points], dtype=np.int64)
    least = np.minimum(most, fallback_w)
    operator = Operator(
        name,
        network,
        limits or VoltageLimits(0.9, 1.1),
        Capacity(points, most, most, least, least),
        {point: Child(below.operator, band) for point, (below, band) in children.items()},
        tuple(states),
    )
    return Owned(operator, net, {point: below for point, (below, _) in children.items()})


def medium_voltage(loads: int = 4, seed: int = 0, *, km: float = 4.0, passive: bool = True) -> Net:
    """Return a 20 kV feeder behind a 110 kV transformer, with loads, and passive demand."""
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=10.0)
    high = pp.create_bus(net, 110.0)
    previous = pp.create_bus(net, 20.0)
    pp.create_ext_grid(net, high, vm_pu=1.0)
    pp.create_transformer(net, high, previous, "25 MVA 110/20 kV")
    for _ in range(loads):
        bus = pp.create_bus(net, 20.0)
        length = float(km * rng.uniform(0.7, 1.3))
        pp.create_line(net, previous, bus, length, "NA2XS2Y 1x95 RM/25 12/20 kV")
        pp.create_load(net, bus, p_mw=0.1)
        if passive:
            pp.create_sgen(net, bus, p_mw=-0.05 * float(rng.random()), q_mvar=-0.02)
        previous = bus
    return net


@dataclass(frozen=True)
class Boundary:
    """Where an operator's interface is in the joined net: a bus on each side of a switch."""

    operator: str
    parent_bus: int
    bus: int


@dataclass(frozen=True)
class Joined:
    """All networks of a graph as one net, and which of its loads is whose customer."""

    net: Net
    customers: dict[tuple[str, str], int]
    boundaries: tuple[Boundary, ...]


def joined(root: Owned) -> Joined:
    """Return all nets as one: a child's external grid gives way to the bus of its parent."""
    net = copy.deepcopy(root.net)
    for table in ("loadcases", "profiles"):  # of simbench; merging stumbles over their indices
        net.pop(table, None)
    customers = {(root.operator.name, f"load:{i}"): int(i) for i in net.load.index}
    boundaries: list[Boundary] = []
    for point, below in root.children.items():
        net = _hung_on(
            net, (root.operator.name, point), joined(below), customers, boundaries, below
        )
    return Joined(net, customers, tuple(boundaries))


def _hung_on(
    net: Net,
    at: tuple[str, str],
    inner: Joined,
    customers: dict[tuple[str, str], int],
    boundaries: list[Boundary],
    below: Owned,
) -> Net:
    load = customers.pop(at)
    bus = int(net.load.bus.at[load])
    net.load.drop(load, inplace=True)
    with others_warnings_ignored():
        both, lookup = merge_nets(
            net, inner.net, validate=False, std_prio_on_net1=True, return_net2_reindex_lookup=True
        )

    def of(table: str, index: int) -> int:
        return int(lookup.get(table, {}).get(index, index))

    grid = int(inner.net.ext_grid.index[0])
    held = of("bus", int(inner.net.ext_grid.bus.at[grid]))
    both.ext_grid.drop(of("ext_grid", grid), inplace=True)
    pp.create_switch(both, bus, held, et="b")
    boundaries.append(Boundary(below.operator.name, bus, held))
    boundaries += [
        Boundary(b.operator, of("bus", b.parent_bus), of("bus", b.bus)) for b in inner.boundaries
    ]
    customers |= {key: of("load", index) for key, index in inner.customers.items()}
    return both


def run(whole: Joined, power_w: Mapping[tuple[str, str], float], root_pu: float) -> Net:
    """Solve the joined net with customers' powers, injection positive; unity power factor."""
    net = whole.net
    net.ext_grid.vm_pu = root_pu
    for key, load in whole.customers.items():
        net.load.loc[load, ["p_mw", "q_mvar"]] = -power_w[key] * 1e-6, 0.0
    pp.runpp(
        net,
        calculate_voltage_angles=True,
        trafo_model="t",
        tolerance_mva=1e-10,
        max_iteration=50,
        numba=False,
        lightsim2grid=False,
        distributed_slack=bool(len(net.gen)),
    )
    return net


def power_out(net: Net, boundary: Boundary) -> complex:
    """Return the power in W and var out of the network below, by all that is at its bus."""
    into = 0j
    for table, side in (
        ("line", "from"),
        ("line", "to"),
        ("trafo", "hv"),
        ("trafo", "lv"),
    ):
        at = net[table].index[net[table][f"{side}_bus"] == boundary.bus]
        found = net[f"res_{table}"].loc[at]
        into += complex(found[f"p_{side}_mw"].sum(), found[f"q_{side}_mvar"].sum())
    for table, sign in (("load", 1.0), ("sgen", -1.0)):
        found = net[f"res_{table}"].loc[net[table].index[net[table].bus == boundary.bus]]
        into += sign * complex(found.p_mw.sum(), found.q_mvar.sum())
    return -1e6 * into


def corner(
    result: HierarchyAllocation, injects: Mapping[tuple[str, str], bool]
) -> dict[tuple[str, str], float]:
    """Return every customer's power at one end of its envelope."""
    return {
        key: float(up if injects[key] else -down) for key, (up, down) in result.customers.items()
    }
