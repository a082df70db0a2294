"""Meshed networks with generators, and every vertex of their envelopes after every outage.

The brute force knows node voltages only: generators' powers follow from the balance of their
nodes, not from what the power flow says of its ports.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp
from brute_force import Limits, solve, vertices

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.check import SecurityCheck
from security_check.importers.pandapower_outages import outages_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.monitoring.case_power_flow import CaseFlow
from security_check.power_flow.implicit_zbus import PowerFlow

Net = Any


def ring(
    customers: int = 5,
    seed: int = 0,
    *,
    max_i_ka: float = 0.4,
    q_mvar: float = 60.0,
    p_mw: tuple[float, float] = (-100.0, 140.0),
) -> Net:
    """Return a 110 kV ring with a chord, an external grid, two generators and that many loads."""
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=100.0)
    buses = [pp.create_bus(net, 110.0, index=3 * k + 1) for k in range(customers + 3)]
    pp.create_ext_grid(net, buses[0], vm_pu=1.02, slack_weight=1.0)
    around = itertools.pairwise([*range(len(buses)), 0])
    for start, end in [*around, (1, len(buses) // 2 + 1)]:
        pp.create_line_from_parameters(
            net,
            buses[start],
            buses[end],
            length_km=float(rng.uniform(15.0, 45.0)),
            r_ohm_per_km=0.06,
            x_ohm_per_km=0.4,
            c_nf_per_km=9.0,
            max_i_ka=max_i_ka,
        )
    places = rng.permutation(np.arange(1, len(buses)))
    for k, weight in ((0, 2.0), (1, 1.0)):
        pp.create_gen(
            net,
            buses[places[k]],
            p_mw=20.0 + 10.0 * k,
            vm_pu=1.01 + 0.01 * k,
            min_q_mvar=-q_mvar,
            max_q_mvar=q_mvar,
            min_p_mw=p_mw[0],
            max_p_mw=p_mw[1],
            slack_weight=weight,
        )
    for place in places[2:]:
        pp.create_load(net, buses[place], p_mw=10.0, q_mvar=2.0)
    pp.create_sgen(net, buses[places[0]], p_mw=6.0, q_mvar=1.0)
    return net


@dataclass(frozen=True)
class MeshedArea:
    """A grid to allocate on, and what the brute force needs to know of it."""

    grid: NetworkGrid
    outages: tuple[NetworkState, ...]
    limits: Limits

    def allocate(self) -> SecurityCheck:
        return self.grid.allocate(self.limits.interface)

    @property
    def flows(self) -> list[tuple[str, PowerFlow]]:
        """The power flow of every state, each with its name."""
        flow = self.grid.monitors.power_flow
        assert isinstance(flow, CaseFlow)
        return [(str(c.state), c.power_flow) for c in flow.cases]


INTERFACE = InterfaceLimits(1.0, 1.04)


@functools.cache
def meshed_area(
    customers: int = 5,
    seed: int = 0,
    *,
    max_i_ka: float = 0.4,
    q_mvar: float = 60.0,
    p_mw: tuple[float, float] = (-100.0, 140.0),
    distributed_slack: bool = True,
    outages: tuple[str, ...] = (),
    capacity_w: int = 120_000_000,
    power_factor: float = 1.0,
    interface: InterfaceLimits = INTERFACE,
) -> MeshedArea:
    """Return an area so small that all its vertices can be tried after every outage."""
    network, states = outages_from_pandapower(
        ring(customers, seed, max_i_ka=max_i_ka, q_mvar=q_mvar, p_mw=p_mw),
        outages,
        passive="as-given",
        power_factor=power_factor,
        distributed_slack=distributed_slack,
    )
    capacity = Capacity.same(network.connection_points, capacity_w, capacity_w, 1_000, 1_000)
    limits = Limits(VoltageLimits(0.92, 1.08), interface)
    grid = NetworkGrid(network, limits.voltage, capacity, states=states)
    return MeshedArea(grid, tuple(states), limits)


def over(value: np.ndarray, limit: np.ndarray | float, scale: np.ndarray | float) -> float:
    """Return the largest excess over a limit, in parts of a scale; axis 0 is the element."""
    if not value.size:
        return -np.inf
    return float(((value.max(axis=1) - limit) / scale).max())


def violation(flow: PowerFlow, limits: Limits, power_pu: np.ndarray) -> float:
    """Return the largest violation of one state at any of the points, all over the band.

    In parts of what the robust rows measure with.
    """
    return max(_at(flow, limits, power_pu, held) for held in limits.held_pu)


def _at(flow: PowerFlow, limits: Limits, power_pu: np.ndarray, interface_pu: float) -> float:
    network = flow.network
    points = solve(flow, power_pu, np.full(power_pu.shape[1], interface_pu))
    nodes = flow.node_voltages(points)
    size = np.abs(np.asarray(network.voltages.incidence @ nodes))
    low, high = limits.voltage.minimum_pu, limits.voltage.maximum_pu
    current = np.abs(np.asarray(network.terminals.admittance @ nodes))
    rating = network.terminals.rating_pu
    found = [
        over(size, high, high - 1.0),
        over(-size, -low, 1.0 - low),
        over(current, rating, rating),
        *_of_generators(network, nodes, power_pu),
    ]
    drawn = (
        nodes[network.interface.nodes]
        * np.asarray(network.admittance @ nodes).conj()[network.interface.nodes]
    )
    drawn = drawn.real.sum(axis=0) - _given(network, power_pu)[network.interface.nodes].real.sum(0)
    base = network.base_power_w
    for power, limit_w in (
        (-drawn, limits.interface.injection_limit_w),
        (drawn, limits.interface.withdrawal_limit_w),
    ):
        if limit_w is not None:
            found.append(over(power[None, :] * base, limit_w, max(limit_w, 1_000)))
    return max(found)


def _given(network: Network, power_pu: np.ndarray) -> np.ndarray:
    """Return the complex power of all but generators at every node, shape (n, B)."""
    shares = network.port_shares.toarray() * (1.0 + 1j * network.reactive_ratio)
    ports = shares @ power_pu + network.ports.passive_power_pu[:, None]
    return network.ports.incidence @ ports


def _of_generators(network: Network, nodes: np.ndarray, power_pu: np.ndarray) -> list[float]:
    generators = network.generators
    if generators is None:
        return []
    produced = nodes * (network.admittance @ nodes).conj() - _given(network, power_pu)
    at = network.ports.incidence.toarray()[:, generators.ports].argmax(axis=0)
    found = []
    for value, bounds in (
        (produced[at].real, generators.power_limits_pu),
        (produced[at].imag, generators.reactive_limits_pu),
    ):
        width = bounds[:, 1] - bounds[:, 0]
        found += [over(value, bounds[:, 1], width), over(-value, -bounds[:, 0], width)]
    return found


def worst_of(area: MeshedArea, limits_w: np.ndarray) -> dict[str, float]:
    """Return the largest violation over all vertices in every state, by its name."""
    power = vertices(limits_w, area.grid.network.base_power_w)
    return {name: violation(flow, area.limits, power) for name, flow in area.flows}
