"""Reactive power through the interface, and bands of single buses, against every vertex.

The oracle knows node voltages only: what the interface supplies is the balance of its node.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from brute_force import complex_vertices, inside, interface_node, point_nodes, solve
from hypothesis import example, given, settings
from hypothesis import strategies as st
from meshed_networks import meshed_area, ring
from networks import REACTIVE_AREAS, SMALL_AREAS, feeder, small_area
from random_boxes import random_box
from sampling import examples

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.hierarchy.interface_statement import interface_extremes
from security_check.errors import InsecureError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_outages import outages_from_pandapower
from security_check.model.limits import BusBand, InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.modifications.reactive_freedom import with_reactive_freedom
from security_check.power_flow.implicit_zbus import PowerFlow

BAND = InterfaceLimits(0.98, 1.04)
OFF_ZERO = {
    "a range off zero": {"customers": 4, "seed": 1, "range_var": (2_000.0, 5_000.0)},
    "a range below zero": {"customers": 4, "seed": 7, "range_var": (-6_000.0, -1_000.0)},
}
AREAS = SMALL_AREAS | REACTIVE_AREAS | OFF_ZERO


def supplied(flow: PowerFlow, power_pu: np.ndarray, held_pu: float) -> np.ndarray:
    """Return the complex power out of the network at its interface, shape (B,), per unit."""
    network = flow.network
    if not np.iscomplexobj(power_pu):
        power_pu = (1 + 1j * network.reactive_ratio)[:, None] * power_pu
    points = solve(flow, power_pu, np.full(power_pu.shape[1], held_pu))
    voltage = flow.node_voltages(points)
    at = interface_node(network)
    drawn = voltage[at] * np.asarray(network.admittance @ voltage)[at].conj()
    entering = np.asarray(network.ports.incidence @ network.ports.passive_power_pu)
    return power_pu[point_nodes(network) == at].sum(axis=0) + entering[at] - drawn


def tried(network: Network, limits_w: np.ndarray) -> np.ndarray:
    """Return all vertices, many points inside, and along the ways between opposite vertices."""
    corners = complex_vertices(network, limits_w)
    within = inside(network, limits_w, 400, np.random.default_rng(0))
    ways = np.linspace(0.0, 1.0, 21)
    first = corners[:, :: max(corners.shape[1] // 16, 1)]
    along = [t * first + (1.0 - t) * first[:, ::-1] for t in ways]
    return np.hstack([corners, within, *along])


def extremes(flow: PowerFlow, limits_w: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Return the largest and smallest active, then reactive, power out, in watts and var."""
    power = tried(flow.network, limits_w)
    every = np.concatenate([supplied(flow, power, v) for v in np.linspace(*band, 9)])
    every = every * flow.network.base_power_w
    return np.array([every.real.max(), every.real.min(), every.imag.max(), every.imag.min()])


@settings(deadline=None, max_examples=examples(60))
@given(name=st.sampled_from(sorted(AREAS)), seed=st.integers(0, 10**6))
def test_the_extremes_are_those_of_all_vertices(name: str, seed: int) -> None:
    area = small_area(**AREAS[name])
    limits_w = random_box(area, seed)
    found = interface_extremes(area.grid.robust_rows(BAND), limits_w)
    brute = extremes(area.flow, limits_w, (0.98, 1.04))
    ours = np.array(
        [found.injection_w, -found.withdrawal_w, found.reactive_max_var, found.reactive_min_var]
    )
    beyond = (ours - brute) * np.array([1.0, -1.0, 1.0, -1.0])
    size = 1e-5 * limits_w.sum()  # what the search's own tolerances leave
    assert (beyond > -size).all(), (ours, brute)
    assert (beyond < 0.02 * limits_w.sum()).all(), (ours, brute)


def test_an_interface_is_stated_as_pandapower_computes_it() -> None:
    import pandapower as pp

    net = feeder(4, 1)
    network = network_from_pandapower(net, power_factor=0.9)
    grid = NetworkGrid(
        network, VoltageLimits(), Capacity.same(network.connection_points, 9_000, 9_000)
    )
    limits_w = np.array([9_000] * 4 + [0] * 4)
    contract = InterfaceLimits(1.02, 1.02, reactive_max_var=1)
    finding = grid.attack(contract, limits_w, np.random.default_rng(0))
    assert (finding.element, finding.unit) == ("interface", "var")
    net.ext_grid.vm_pu = 1.02
    net.load.p_mw = -finding.operating_point.power_w * 1e-6
    net.load.q_mvar = -finding.operating_point.reactive_var * 1e-6
    pp.runpp(net, trafo_model="t", calculate_voltage_angles=True, tolerance_mva=1e-10)
    assert finding.value == pytest.approx(-1e6 * net.res_ext_grid.q_mvar.sum(), abs=0.01)


@functools.cache
def unlimited_range(name: str) -> tuple[int, int]:
    area = small_area(**AREAS[name])
    check = area.grid.allocate(BAND)
    found = interface_extremes(area.grid.robust_rows(BAND), check.limits_w)
    return int(found.reactive_min_var), int(found.reactive_max_var)


@example(name="cone", part=0.71875, upper=True)  # two customers must change sides at once
@settings(deadline=None, max_examples=examples(25))
@given(
    name=st.sampled_from(["lagging", "thin mesh, lagging", "cone"]),
    part=st.floats(0.2, 0.8),
    upper=st.booleans(),
)
def test_envelopes_keep_a_reactive_limit_at_every_vertex(
    name: str, part: float, upper: bool
) -> None:
    """Half of what would be exchanged without the limit: it binds, and holds everywhere."""
    area = small_area(**AREAS[name])
    low, high = unlimited_range(name)
    limit = int(part * (high if upper else low))
    contract = InterfaceLimits(
        0.98,
        1.04,
        reactive_max_var=limit if upper else None,
        reactive_min_var=None if upper else limit,
    )
    check = area.grid.allocate(contract)
    most, least = extremes(area.flow, check.limits_w, (0.98, 1.04))[2:]
    reached = most if upper else -least
    assert reached <= abs(limit) + 1e-3
    assert reached >= 0.97 * abs(limit)  # whole watts of few customers, and no more, are left
    names = set(check.envelopes().injection_bottlenecks + check.envelopes().withdrawal_bottlenecks)
    assert "interface" in names
    free = area.grid.allocate(BAND).limits_w
    assert area.grid.attack(contract, check.limits_w, np.random.default_rng(0)).violation <= 1e-6
    found = area.grid.attack(contract, free, np.random.default_rng(0))
    assert found.violation > 0.1
    assert (found.element, found.unit) == ("interface", "var")


def test_the_limit_holds_after_outages_and_with_generators() -> None:
    network, states = outages_from_pandapower(
        ring(4, 1), ("line:1", "line:3"), passive="as-given", distributed_slack=True
    )
    capacity = Capacity.same(network.connection_points, 40_000_000, 40_000_000)
    grid = NetworkGrid(network, VoltageLimits(0.92, 1.08), capacity, states=states)
    free = grid.allocate(InterfaceLimits(1.0, 1.04))
    low = interface_extremes(
        grid.robust_rows(InterfaceLimits(1.0, 1.04)), free.limits_w
    ).reactive_min_var
    floor = interface_extremes(grid.robust_rows(InterfaceLimits(1.0, 1.04)), 0 * free.limits_w)
    wanted = int(0.5 * (low + floor.reactive_min_var))
    assert low < wanted < 0
    contract = InterfaceLimits(1.0, 1.04, reactive_min_var=wanted)
    check = grid.allocate(contract)
    assert check.limits_w.sum() < free.limits_w.sum()
    assert grid.attack(contract, check.limits_w, np.random.default_rng(0)).violation <= 1e-6
    reached = interface_extremes(grid.robust_rows(contract), check.limits_w).reactive_min_var
    assert wanted - 100 <= reached <= 0.97 * wanted


def test_a_limit_that_the_idle_network_breaks_is_reported_in_var() -> None:
    area = small_area(**SMALL_AREAS["lagging"])
    with pytest.raises(InsecureError, match=r"interface: .* already reaches -[\d,]+ var, its "):
        area.grid.allocate(InterfaceLimits(0.98, 1.04, reactive_min_var=0))


class TestBandsOfBuses:
    @pytest.mark.parametrize("name", ["voltages bind", "a mesh"])
    def test_hold_at_every_vertex(self, name: str) -> None:
        area = small_area(**SMALL_AREAS[name])
        network = area.flow.network
        bus = network.voltages.elements[-1]
        band = BusBand(bus, 0.95, 1.05)
        limits = VoltageLimits(0.92, 1.08, buses=(BusBand(bus, 0.90, 1.06), band))
        grid = NetworkGrid(network, limits, area.grid.capacity)
        check = grid.allocate(BAND)
        power = complex_vertices(network, check.limits_w)
        seen = []
        for held in np.linspace(0.98, 1.04, 9):
            points = solve(area.flow, power, np.full(power.shape[1], held))
            nodes = area.flow.node_voltages(points)
            seen.append(np.abs(np.asarray(network.voltages.incidence @ nodes)))
        voltage = np.concatenate(seen, axis=1)
        assert voltage.max() <= 1.08 + 1e-9
        assert voltage[-1].min() >= 0.95 - 1e-9
        assert voltage[-1].max() <= 1.05 + 1e-9
        assert min(voltage[-1].min() - 0.95, 1.05 - voltage[-1].max()) < 1e-4  # one of them binds
        wide = area.grid.allocate(BAND).limits_w
        found = grid.attack(BAND, wide, np.random.default_rng(0))
        assert found.violation > 0.01
        assert found.element == bus

    def test_name_the_bus_that_is_none_or_has_no_band(self) -> None:
        area = small_area(**SMALL_AREAS["voltages bind"])
        network = area.flow.network
        for band, reported in (
            (BusBand("bus:77", 0.95, 1.05), r"bus:77 has a voltage band .* is not a bus of"),
            (BusBand("bus:3", 0.80, 0.90), r"bus:3 has a voltage band .* 0\.92 to 1\.08 p\.u\."),
        ):
            limits = VoltageLimits(0.92, 1.08, buses=(band,))
            with pytest.raises(ValueError, match=reported):
                NetworkGrid(network, limits, area.grid.capacity).allocate(BAND)
        with pytest.raises(ValueError, match=r"the voltage band of bus:3 needs .* 1\.05 to 0\.95"):
            BusBand("bus:3", 1.05, 0.95)


@pytest.mark.parametrize("low", [1_000.0, -3_000.0])
def test_a_reactive_range_off_zero_is_looked_at_from_end_to_end(low: float) -> None:
    """A child's range moved by so many var moves what the parent's interface carries."""
    network = network_from_pandapower(feeder(2, 1))
    capacity = Capacity.same(network.connection_points, 3_000, 3_000)
    found = []
    for width in (0.0, 2_000.0):
        free = with_reactive_freedom(network, range_var={"load:1": (low, low + width)})
        grid = NetworkGrid(free, VoltageLimits(), capacity)
        found.append(interface_extremes(grid.robust_rows(BAND), capacity.upper_w()))
    point, wide = found
    assert wide.reactive_min_var == pytest.approx(point.reactive_min_var, abs=100)
    assert wide.reactive_max_var == pytest.approx(point.reactive_max_var + 2_000.0, abs=100)


def test_meshed_areas_are_part_of_the_brute_force() -> None:
    """The vertices of a network with generators keep a reactive limit, too."""
    area = meshed_area(4, 1, capacity_w=20_000_000)
    contract = InterfaceLimits(1.0, 1.04, reactive_min_var=-60_000_000)
    check = area.grid.allocate(contract)
    power = complex_vertices(area.grid.network, check.limits_w)
    (flow,) = [flow for _, flow in area.flows]
    least = min(supplied_meshed(flow, power.real, v).imag.min() for v in (1.0, 1.02, 1.04))
    assert least * area.grid.network.base_power_w >= -60_000_000 - 100


def supplied_meshed(flow: PowerFlow, power_pu: np.ndarray, held_pu: float) -> np.ndarray:
    points = solve(flow, power_pu, np.full(power_pu.shape[1], held_pu))
    voltage = flow.node_voltages(points)
    network = flow.network
    at = interface_node(network)
    drawn = voltage[at] * np.asarray(network.admittance @ voltage)[at].conj()
    shares = np.asarray(
        network.ports.incidence
        @ (
            network.port_shares @ (power_pu * (1 + 1j * network.reactive_ratio[:, None]))
            + network.ports.passive_power_pu[:, None]
        )
    )
    return shares[at] - drawn
