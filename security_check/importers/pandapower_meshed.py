"""Build a meshed ``Network`` with generators from a pandapower net.

Generators (``gen``) hold the voltages of their buses.  Without a distributed slack every external
grid is part of the interface.  With a distributed slack only the first one is, and the others are
generators, as in pandapower's own power flow with ``distributed_slack``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandapower as pp
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.errors import Fault, NetworkFaults
from security_check.importers import Net
from security_check.importers.pandapower_faults import no_path
from security_check.importers.pandapower_meshed_faults import meshed_faults
from security_check.importers.pandapower_model import (
    PLAIN,
    ModelledNet,
    buses_of,
    connected,
    finite,
    modelling,
    passive_injection,
    terminals,
    without_powers,
)
from security_check.importers.pandapower_taps import Taps
from security_check.model.element_ids import element_id, kind_of
from security_check.model.generators import Generators
from security_check.model.network import Network, reactive_ratios, selection
from security_check.model.network_elements import Interface, Ports


@dataclass(frozen=True, slots=True)
class _Machine:
    """One generator, or external grid, with the values of the net."""

    name: str
    node: int
    power_mw: float
    voltage_pu: float
    weight: float
    power_limits_mw: tuple[float, float]
    reactive_limits_mvar: tuple[float, float]


def meshed_network_from_pandapower(
    net: Net,
    *,
    connection_points: str = "load",
    passive: Literal["none", "as-given"] = "none",
    taps: Taps | None = None,
    power_factor: float | Mapping[str, float] = 1.0,
    distributed_slack: bool = False,
    name: str = "",
) -> Network:
    """Return the network of ``net`` with its voltage-controlled generators.

    Parameters
    ----------
    net
        A pandapower net with external grids and generators in service.  Not modified.  The
        contract, not the net, limits the power of the interface's external grids.
    connection_points, passive, taps, power_factor
        As in :func:`~security_check.importers.pandapower_balanced.network_from_pandapower`, but
        generators stay in service either way.
    distributed_slack
        Whether external grids and generators share the imbalance in proportion to their
        ``slack_weight``; otherwise the external grids take all of it.
    name
        The net's own where not given.

    Raises
    ------
    NetworkFaults
        With every fault found, each naming its element.
    """
    ids = connected(net, connection_points)
    ratios, faults = reactive_ratios(ids, power_factor)
    faults = meshed_faults(net, connection_points, passive, distributed_slack, taps) + faults
    if faults:
        raise NetworkFaults(faults)
    model = _modelled(without_powers(net, connection_points, passive, taps))
    buses = buses_of(net, connection_points)
    machines = _machines(net, model, distributed_slack, model.cut_off(ids, buses))
    grids = np.array([m.node for m in machines if kind_of(m.name) == "ext_grid"])
    passive_power = passive_injection(model.internal, grids)
    held, machines = _references(net, machines, distributed_slack)
    at = model.at(buses)
    at_nodes = np.unique(np.concatenate([at, np.flatnonzero(passive_power)]))
    generators = _generators(held[0], machines, model.base_mva, len(at_nodes))
    ports = _ports(model, at_nodes, passive_power, generators, machines)
    return Network(
        name=name or str(net.name or "pandapower net"),
        nodes=model.names,
        admittance=model.admittance,
        interface=_interface(net, held, model),
        voltages=model.voltages(np.array([m.node for m in held])),
        terminals=terminals(model.net, model.internal),
        ports=ports,
        connection_points=ids,
        port_shares=sp.csr_array(selection(np.searchsorted(at_nodes, at), len(ports.names)).T),
        reactive_ratio=ratios,
        base_power_w=model.base_mva * 1e6,
        generators=generators if machines else None,
    )


def _modelled(net: Net) -> ModelledNet:
    """Return the net, without customers and generators, as pandapower modelled it.

    Whether its power flow converges does not matter: the matrices are there before it begins.
    """
    with modelling(), suppress(pp.LoadflowNotConverged):
        pp.runpp(
            net,
            calculate_voltage_angles=True,
            trafo_model="t",
            max_iteration=1,
            init="flat",  # a DC power flow divides by each reactance, and a branch may have none
            **PLAIN,
        )
    return finite(ModelledNet(net, net._ppc["internal"]))


def _ports(
    model: ModelledNet,
    at_nodes: IndexArray,
    passive_power: ComplexArray,
    generators: Generators,
    machines: list[_Machine],
) -> Ports:
    """Return the ports of powers, then those of generators."""
    held = np.array([group[0].node for group in _by_node(machines)], dtype=np.int64)
    return Ports(
        tuple(model.names[i] for i in at_nodes) + generators.names,
        sp.csr_array(selection(np.concatenate([at_nodes, held]), model.nodes).T),
        np.append(passive_power[at_nodes], np.zeros(len(held))),
    )


def _machines(
    net: Net, model: ModelledNet, distributed_slack: bool, cut_off: list[Fault]
) -> list[_Machine]:
    """Return external grids, first, and generators in service.

    Raises
    ------
    NetworkFaults
        With those at buses without a path to the interface, and the customers ``cut_off``.
    """
    machines, faults = [], []
    for kind in ("ext_grid", "gen"):
        rows = net[kind][net[kind].in_service.astype(bool)]
        for i, row in rows.iterrows():
            node = int(model.lookup[int(row.bus)])
            if not 0 <= node < model.nodes:
                faults.append(no_path(element_id(kind, i), row.bus))
                continue
            power = float(row.p_mw * row.scaling) if kind == "gen" else 0.0
            weight = float(row.slack_weight) if distributed_slack else 0.0
            machines.append(
                _Machine(
                    element_id(kind, i),
                    node,
                    power,
                    float(row.vm_pu),
                    weight,
                    _limits(row, "p_mw"),
                    _limits(row, "q_mvar"),
                )
            )
    if faults or cut_off:
        raise NetworkFaults(faults + cut_off)
    return machines


def _limits(row: Any, quantity: str) -> tuple[float, float]:
    """Return the lowest and the highest value that a row allows; infinite where not stated."""
    low, high = (float(row.get(f"{end}_{quantity}", math.nan)) for end in ("min", "max"))
    return -math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high


def _references(
    net: Net, machines: list[_Machine], distributed_slack: bool
) -> tuple[list[_Machine], list[_Machine]]:
    """Return the machines that are the interface, and those that are generators."""
    grids = int(net.ext_grid.in_service.astype(bool).sum())
    count = 1 if distributed_slack else grids
    held, others = machines[:count], machines[count:]
    nodes = {m.node: m.name for m in held}
    faults = [
        Fault(m.name, f"{nodes[m.node]} holds the voltage of its bus already")
        for m in others
        if m.node in nodes
    ]
    for first, *more in _by_node(others):
        faults += [
            Fault(
                m.name,
                f"it holds the node of {first.name} at {m.voltage_pu:g} p.u., "
                f"but {first.name} at {first.voltage_pu:g} p.u.",
            )
            for m in more
            if m.voltage_pu != first.voltage_pu
        ]
    if faults:
        raise NetworkFaults(faults)
    return held, others


def _interface(net: Net, held: list[_Machine], model: ModelledNet) -> Interface:
    """Return the held nodes, with magnitudes in proportion to the net's set points.

    In each electrically separate part they are those of its first external grid, which is the one
    that lies in the contracted band.
    """
    angles = net.ext_grid.va_degree[net.ext_grid.in_service.astype(bool)].to_numpy(dtype=float)
    turned = np.exp(1j * np.deg2rad(angles[: len(held)] - angles[0]))
    part = connected_components(abs(model.admittance), directed=False)[1][[m.node for m in held]]
    set_point = np.array([m.voltage_pu for m in held])
    size = set_point / set_point[[int(np.flatnonzero(part == own)[0]) for own in part]]
    node, own = np.unique([m.node for m in held], return_index=True)
    return Interface(
        node.astype(np.int64),
        (size * turned)[own][:, None].astype(np.complex128),
        float(model.volts[node[0]]) or None,
    )


def _by_node(machines: list[_Machine]) -> list[list[_Machine]]:
    """Return the machines in groups that share a node."""
    groups: dict[int, list[_Machine]] = {}
    for machine in machines:
        groups.setdefault(machine.node, []).append(machine)
    return list(groups.values())


def _generators(
    reference: _Machine, machines: list[_Machine], base_mva: float, first_port: int
) -> Generators:
    """Return the generators, those at one node as one, with shares that add up to 1.

    Generators at one node share reactive power in proportion to their ranges and the imbalance in
    proportion to their weights, so the limits of the one are exactly those at which the first of
    them reaches its own.
    """
    groups = _by_node(machines)
    weights = np.array([sum(m.weight for m in group) for group in groups])
    whole = float(weights.sum()) + reference.weight or 1.0
    shares: FloatArray = weights / whole
    ports: IndexArray = first_port + np.arange(len(groups))
    return Generators(
        names=tuple("+".join(m.name for m in group) for group in groups),
        ports=ports,
        power_pu=np.array([sum(m.power_mw for m in group) for group in groups]) / base_mva,
        voltage_pu=np.array([group[0].voltage_pu for group in groups]),
        participation=shares,
        reference_participation=1.0 - float(shares.sum()),
        power_limits_pu=_stacked([_joint_power_limits(g) for g in groups]) / base_mva,
        reactive_limits_pu=_stacked(
            [
                (
                    sum(m.reactive_limits_mvar[0] for m in group),
                    sum(m.reactive_limits_mvar[1] for m in group),
                )
                for group in groups
            ]
        )
        / base_mva,
    )


def _stacked(limits: list[tuple[float, float]]) -> FloatArray:
    return np.array(limits, dtype=np.float64).reshape(-1, 2)


def _joint_power_limits(group: list[_Machine]) -> tuple[float, float]:
    """Return the joint powers at which the first of a group reaches a limit of its own.

    Each takes a part of the imbalance in proportion to its weight, so all move together.
    """
    weight, power = sum(m.weight for m in group), sum(m.power_mw for m in group)
    if len(group) == 1 or weight == 0.0:
        return sum(m.power_limits_mw[0] for m in group), sum(m.power_limits_mw[1] for m in group)
    moving = [m for m in group if m.weight > 0.0]
    down = max((m.power_limits_mw[0] - m.power_mw) / m.weight for m in moving)
    up = min((m.power_limits_mw[1] - m.power_mw) / m.weight for m in moving)
    return power + weight * down, power + weight * up
