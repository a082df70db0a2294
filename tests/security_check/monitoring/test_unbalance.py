"""Voltage unbalance, and an interface whose phases differ: against others, and every vertex."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import opendssdirect as dss
import pandapower as pp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import feeder
from phase_networks import (
    NEGATIVE,
    POSITIVE,
    at_phases,
    four_wires,
    is_current,
    measured,
    of_phase_rows,
    phase_net,
    phase_network,
    run_circuit,
    run_phases,
    violation,
    worst_values,
)
from sampling import examples
from scipy.optimize import linprog

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.verdict import LimitChange
from security_check.errors import InsecureError
from security_check.importers.opendss import network_from_opendss
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.slopes import slopes_of
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviation_sets import source_vertices
from security_check.uncertainty.deviations import Deviations
from security_check.verification.adversary import attack
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import WorstPointSearch

NAMES = ("source 0", "source 1", "source 4", "bus 0", "bus 2", "bus 5", "neutral 0")
UNBALANCED = InterfaceLimits(0.98, 1.04, unbalance_pu=0.01)
BALANCED = InterfaceLimits(0.98, 1.04)
LIMITS = VoltageLimits(0.90, 1.10, 0.02)
slow = pytest.mark.slow


def values_of(network: Network, power_w: np.ndarray, source_pu: np.ndarray) -> tuple:
    """Return the monitors and all their values at one operating point."""
    monitors = Monitors(PowerFlow(network))
    power = at_phases(network, power_w[:, None] / network.base_power_w)
    points = monitors.power_flow.solve(power, source_pu[:, None])
    return monitors, monitors.all_values(points)[:, 0]


def largest_unbalance(network: Network, power_w: np.ndarray, source_pu: np.ndarray) -> dict:
    """Return the largest of each bus' rows."""
    monitors, values = values_of(network, power_w, source_pu)
    found: dict[str, float] = {}
    for row in np.flatnonzero(monitors.kind == RowKind.UNBALANCE):
        bus = monitors.elements[row]
        found[bus] = max(found.get(bus, -1.0), float(values[row]))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_unbalance_is_pandapowers(seed):
    net = phase_net(5, seed)
    network = phases_from_pandapower(net, power_factor=0.95)
    power_w = np.random.default_rng(seed).uniform(-15e3, 15e3, 5)
    run_phases(net, network, power_w, 1.02)
    found = largest_unbalance(network, power_w, np.array([1.02]))
    inside = net.bus.index[1:]
    assert set(found) == {f"bus:{bus}" for bus in inside}
    ours = 100 * np.array([found[f"bus:{bus}"] for bus in inside])
    theirs = net.res_bus_3ph.unbalance_percent[inside].to_numpy()
    assert theirs.max() > 0.3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)


@pytest.mark.parametrize("seed", range(3))
def test_unbalance_is_that_of_opendss_sequence_voltages(tmp_path: Path, seed):
    master = four_wires(tmp_path)
    network = network_from_opendss(master)
    power_w = np.random.default_rng(seed).uniform(-15e3, 15e3, 5)
    found = largest_unbalance(network, power_w, np.ones(3))
    run_circuit(master, network, power_w)
    assert set(found) == {"bus:up", "bus:head", "bus:a", "bus:b"}
    for bus, value in found.items():
        dss.Circuit.SetActiveBus(bus.removeprefix("bus:"))
        _, positive, negative = dss.Bus.SeqVoltages()
        assert value == pytest.approx(negative / positive, abs=1e-7)
    assert max(found.values()) > 3e-3


def test_four_wires_are_limited_between_phase_and_neutral(tmp_path: Path):
    master = four_wires(tmp_path)
    network = network_from_opendss(master, power_factor=0.9)
    power_w = np.array([-6e3, 5e3, -4e3, 3e3, -7e3])
    flow = PowerFlow(network)
    got = measured(flow, power_w[:, None] / network.base_power_w, np.ones((3, 1)))
    run_circuit(master, network, power_w)
    neutral_v = []
    for name, ours in zip(network.voltages.elements, got["voltage"][:, 0], strict=True):
        bus, number = name.removeprefix("bus:").split(".")
        dss.Circuit.SetActiveBus(bus)
        parts = np.array(dss.Bus.Voltages())
        at = dict(zip(dss.Bus.Nodes(), parts[0::2] + 1j * parts[1::2], strict=True))
        neutral_v.append(abs(at.get(4, 0.0)))
        theirs = abs(at[int(number)] - at.get(4, 0.0)) / (1e3 * dss.Bus.kVBase())
        assert ours == pytest.approx(theirs, abs=1e-7), name
    assert max(neutral_v) > 2.0, "the neutral stays at ground, so nothing was tried"
    assert "bus:c.2" in network.voltages.elements
    assert not {"bus:c.1", "bus:a.4"} & set(network.voltages.elements)
    assert_currents_are_those_of_opendss(network, got["current"][:, 0])


def assert_currents_are_those_of_opendss(network, current):
    terminals = network.terminals
    for k, (element, side) in enumerate(zip(terminals.elements, terminals.sides, strict=True)):
        name, conductor = element.rsplit(".", 1)
        kind, name = name.split(":")
        dss.Circuit.SetActiveElement(f"{'line' if kind == 'line' else 'transformer'}.{name}")
        count = dss.CktElement.NumConductors()
        own = range((int(side) - 1) * count, int(side) * count)
        at = next(c for c in own if dss.CktElement.NodeOrder()[c] == int(conductor))
        theirs = dss.CktElement.CurrentsMagAng()[2 * at]
        assert current[k] * terminals.base_current_a[k] == pytest.approx(theirs, abs=2e-4)
        if kind == "line":
            assert terminals.rating_pu[k] * terminals.base_current_a[k] == pytest.approx(160.0)
        else:
            rated = 100 / (np.sqrt(3) * (20.0 if side == "1" else 0.4))
            assert terminals.rating_pu[k] * terminals.base_current_a[k] == pytest.approx(rated)
    assert {e for e in terminals.elements if e.startswith("line:spur")} == {
        "line:spur.2", "line:spur.4",
    }  # fmt: skip


def test_phases_of_the_source_may_differ_as_in_opendss(tmp_path: Path):
    """A source of three single ones, so stiff that their own impedance does not matter."""
    master = four_wires(tmp_path)
    text = master.read_text().replace("mvasc3=40 mvasc1=40", "mvasc3=4e7 mvasc1=4e7")
    master.write_text(text)
    network = network_from_opendss(master)
    power_w = np.array([-6e3, 5e3, -4e3, 3e3, -7e3])
    held = np.array([0.985, 1.01, 1.035])
    found = largest_unbalance(network, power_w, held)
    single = [
        f"new vsource.{'abc'[k]} bus1=up.{k + 1} phases=1 basekv={20 / np.sqrt(3)} pu={held[k]} "
        f"angle={-120 * k} mvasc3=4e7 mvasc1=4e7"
        for k in range(3)
    ]
    run_circuit(master, network, power_w, *single, "disable vsource.source")
    for bus, value in found.items():
        dss.Circuit.SetActiveBus(bus.removeprefix("bus:"))
        _, positive, negative = dss.Bus.SeqVoltages()
        assert value == pytest.approx(negative / positive, abs=1e-6)
    assert found["bus:up"] > 0.01


class TestPhasesOfTheInterfaceBus:
    """The variant of the pandapower importer that holds them."""

    def test_is_the_source_where_that_has_no_impedance(self):
        net = phase_net(5, 3)
        net.ext_grid["s_sc_max_mva"] = 1e9
        power_w = np.random.default_rng(5).uniform(-6e3, 6e3, 5)
        one, two = (phases_from_pandapower(net, held=held) for held in ("source", "phases"))
        found = [
            PowerFlow(n).node_voltages(
                PowerFlow(n).solve(
                    at_phases(n, power_w[:, None] / n.base_power_w), np.full((n.held, 1), 1.02)
                )
            )
            for n in (one, two)
        ]
        inside = [k for k, node in enumerate(one.nodes) if not node.startswith("bus:0.")]
        np.testing.assert_allclose(found[0][inside], found[1][inside], rtol=0, atol=1e-7)
        assert [two.nodes[k] for k in two.interface.nodes] == ["bus:0.a", "bus:0.b", "bus:0.c"]

    def test_holds_the_voltages_given(self):
        network = phase_network("bus 2")
        flow = PowerFlow(network)
        held = np.array([[0.99], [1.0], [1.02]])
        count = len(network.connection_points)
        points = flow.solve(at_phases(network, np.full((count, 1), 0.03)), held)
        voltage = flow.node_voltages(points)[network.interface.nodes, 0]
        np.testing.assert_allclose(np.abs(voltage), held[:, 0])
        assert abs(NEGATIVE @ voltage) < abs(POSITIVE @ voltage) / 50

    def test_exchanges_what_flows_through_the_transformer(self):
        """Not what an unbalance drives through the external grid's own impedance."""
        network = phase_network("bus 5")
        flow, held = PowerFlow(network), np.array([1.03, 0.99, 1.01])
        count = len(network.connection_points)
        power_w = np.linspace(-5e3, 4e3, count)
        monitors, values = values_of(network, power_w, held)
        points = flow.solve(
            at_phases(network, power_w[:, None] / network.base_power_w), held[:, None]
        )
        voltage = flow.node_voltages(points)[:, 0]
        terminals = network.terminals
        current = np.asarray(terminals.admittance @ voltage)
        through = sum(
            (voltage[network.nodes.index(f"bus:0.{phase}")] * np.conj(current[k])).real
            for phase in "abc"
            for k in range(len(terminals.elements))
            if (terminals.elements[k], terminals.sides[k]) == (f"trafo:0.{phase}", "hv")
        )
        drawn = values[monitors.kind == RowKind.INTERFACE_WITHDRAWAL]
        assert drawn == pytest.approx([through], abs=1e-12)
        assert drawn > -power_w.sum() / network.base_power_w, "there are losses"

    def test_needs_no_short_circuit_data(self):
        net = phase_net(3)
        net.ext_grid = net.ext_grid.drop(columns=["s_sc_max_mva", "rx_max", "r0x0_max", "x0x_max"])
        phases_from_pandapower(net, held="phases")

    def test_takes_customers_at_the_interface_bus_itself(self):
        net = phase_net(3)
        pp.create_asymmetric_load(net, 0, p_b_mw=0.01)
        network = phases_from_pandapower(net, held="phases")
        without = phases_from_pandapower(phase_net(3), held="phases")
        held, power_w = np.array([1.0, 1.01, 0.99]), np.array([1e3, -2e3, 500.0, -7e3])
        monitors, values = values_of(network, power_w, held)
        other, alone = values_of(without, power_w[:3], held)
        for ours, theirs, more in ((monitors, other, 7e3),):
            drawn = values[ours.kind == RowKind.INTERFACE_WITHDRAWAL]
            before = alone[theirs.kind == RowKind.INTERFACE_WITHDRAWAL]
            assert (drawn - before) * network.base_power_w == pytest.approx([more], abs=1e-6)


# -- rows against every vertex ------------------------------------------------------------------


def area(name: str, contract: InterfaceLimits, limits: VoltageLimits = LIMITS) -> NetworkGrid:
    network = phase_network(name)
    capacity = Capacity.same(network.connection_points, 12_000, 12_000)
    return NetworkGrid(network, limits, capacity)


def rows_and_flow(grid: NetworkGrid) -> tuple[Monitors, PowerFlow]:
    assert isinstance(grid.monitors, Monitors)
    return grid.monitors, grid.monitors.power_flow


def ratings(monitors: Monitors) -> np.ndarray:
    """Return the rating of each row's current, per unit; zero for other rows."""
    network = monitors.power_flow.network
    found = np.zeros(len(monitors))
    at = np.flatnonzero(is_current(monitors))
    found[at] = network.terminals.rating_pu[monitors.phasor[at] - len(network.voltages.elements)]
    return found


def contract_of(name: str) -> InterfaceLimits:
    return BALANCED if name.startswith("source") else UNBALANCED


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_differences(name):
    """Of every row by every power and every held voltage, where f is smooth."""
    network = phase_network(name)
    monitors = Monitors(flow := PowerFlow(network))
    nothing = Deviations.none(len(network.ports.names))
    corners = np.repeat([[0.0], [2.0]], network.held, axis=1)
    conditions = OperatingConditions(network, corners, network.ports.passive_power_pu, nothing)
    rng = np.random.default_rng(3)
    customers, held = len(network.connection_points), network.held
    power = rng.uniform(-8e3, 8e3, (customers, 1)) / network.base_power_w
    source = 1.0 + rng.uniform(-0.03, 0.03, (held, 1))
    points = flow.solve(at_phases(network, power), source)
    rows = np.arange(len(monitors))
    slopes = slopes_of(
        conditions, *monitors.gradients(rows, points.take(np.zeros(len(rows), dtype=int)))
    )
    ours = np.hstack([slopes.by_power, slopes.by_free])
    step = 1e-5
    moves = step * np.eye(customers + held)

    def f(sign):
        at = power + sign * moves[:customers]
        return monitors.all_values(
            flow.solve(at_phases(network, at), source + sign * moves[customers:])
        )

    numeric = (f(1) - f(-1)) / (2 * step)
    now = monitors.all_values(points)[:, 0]
    smooth = np.abs(now) >= 0.06 * ratings(monitors)
    smooth[monitors.kind == RowKind.UNBALANCE] = (
        np.abs(now[monitors.kind == RowKind.UNBALANCE]) > 1.1e-3
    )
    assert smooth[monitors.kind == RowKind.UNBALANCE].sum() > 12
    error = np.abs(ours - numeric) / np.abs(numeric).max(axis=1, keepdims=True)
    assert error[smooth].max() < 1e-5


@settings(deadline=None, max_examples=examples(40))
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 10**6),
    bound=st.sampled_from([None, 0.002, 0.01, 0.03]),
)
def test_the_worst_is_that_of_all_vertices(name, seed, bound):
    """At least as bad as every vertex, and truly reached at the point named."""
    contract = InterfaceLimits(
        0.98, 1.04, unbalance_pu=None if name.startswith("source") else bound
    )
    grid = area(name, contract)
    monitors, flow = rows_and_flow(grid)
    rng = np.random.default_rng(seed)
    limits_w = rng.integers(0, 9_000, 2 * len(grid.connection_points))
    limits_w[rng.random(len(limits_w)) < 0.1] = 0
    u = limits_w / flow.network.base_power_w
    robust = grid.robust_rows(contract)
    worst = worst_values(flow, limits_w, robust.conditions.source_corners)
    limit = robust.limits.limit.copy()
    for rows, value in of_phase_rows(monitors, worst):
        limit[rows] = value
    scale = np.maximum(np.maximum(np.abs(limit), 1e-3), ratings(monitors))
    limits = replace(robust.limits, limit=limit, scale=scale)
    robust = RobustRows(replace(robust.problem, limits=limits))
    known, _ = robust.worst(robust.limited, robust.start_points(robust.limited), u)
    found = PackingRows.joined(
        [known, WorstPointSearch(robust).find_new_worst_points(known, u, near=np.inf)]
    )
    values = robust.values(found, u)
    for rows, brute in of_phase_rows(monitors, worst):
        best = values[np.isin(found.rows, rows)].max()
        short = (brute - best) / scale[rows[0]]
        assert short < 1e-6, (robust.element(int(rows[0])), best, brute)
    # A value above those of the vertices must come with a point of the box that reaches it.
    power, (_, held) = found.points.power(u), robust.conditions.ports(found.points, u)
    injection, withdrawal = np.split(u, 2)
    assert (power <= injection + 1e-12).all()
    assert (power >= -withdrawal - 1e-12).all()
    at = measured(flow, power.T, held)
    there = {"highest": at["voltage"], "lowest": at["voltage"], "current": at["current"]}
    there |= {"injected": -at["drawn"], "withdrawn": at["drawn"], "unbalance": at["unbalance"]}
    by_row = {int(row): value for rows, value in of_phase_rows(monitors, there) for row in rows}
    for k, row in enumerate(found.rows):
        assert by_row[int(row)][k] >= values[k] - 1e-6 * scale[row], robust.element(int(row))


@settings(deadline=None, max_examples=examples(40))
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), size=st.floats(0.05, 1.0))
def test_no_bound_is_below_the_truth(name, seed, size):
    contract = contract_of(name)
    grid = area(name, contract)
    monitors, flow = rows_and_flow(grid)
    count = 2 * len(grid.connection_points)
    limits_w = (size * np.random.default_rng(seed).uniform(0, 9_000, count)).astype(np.int64)
    robust = grid.robust_rows(contract)
    worst = worst_values(flow, limits_w, robust.conditions.source_corners)
    lowest = min(robust.limits.voltage_min_pu, float(worst["lowest"].min()))
    limits = replace(robust.limits, voltage_min_pu=lowest)
    bounds = monitors.bounds(robust.conditions, limits_w / flow.network.base_power_w, limits)
    for rows, brute in of_phase_rows(monitors, worst):
        assert (bounds[rows] >= brute - 1e-12).all(), monitors.elements[rows[0]]


# -- envelopes ----------------------------------------------------------------------------------


def allocated(name: str, contract: InterfaceLimits, limits: VoltageLimits):
    """Return the state after an allocation, and the violation at the worst of all vertices."""
    grid = area(name, contract, limits)
    check = grid.allocate(contract)
    corners = check.robust_rows.conditions.source_corners
    _, flow = rows_and_flow(grid)
    return check, violation(flow, limits, contract, check.limits_w, corners)


ENVELOPES = [
    ("source 1", BALANCED, 0.004),
    ("source 4", BALANCED, 0.005),
    ("bus 0", UNBALANCED, 0.012),
    ("bus 2", UNBALANCED, 0.013),
    ("bus 5", UNBALANCED, 0.015),
    ("neutral 0", UNBALANCED, 0.014),
]


@pytest.mark.parametrize(("name", "contract", "unbalance"), ENVELOPES)
def test_envelopes_under_an_unbalance_limit_withstand_every_vertex(name, contract, unbalance):
    limits = VoltageLimits(0.85, 1.15, unbalance)
    check, worst = allocated(name, contract, limits)
    assert -1e-3 < worst < 1e-6
    finding = attack(check.robust_rows, check.limits_w, np.random.default_rng(0), samples=256)
    assert finding.violation < 1e-6, finding
    assert any(
        kind == RowKind.UNBALANCE
        for kind in check.robust_rows.monitors.kind[check.rows.rows[check.headroom < 1e-5]]
    ), "no unbalance binds, so nothing was tried"
    without, _ = allocated(name, contract, VoltageLimits(0.85, 1.15))
    assert check.limits_w.sum() < 0.99 * without.limits_w.sum()
    broken = attack(
        check.robust_rows, without.limits_w, np.random.default_rng(0), samples=64, climbs=4
    )
    assert broken.violation > 0.01


@pytest.mark.parametrize("name", ["bus 0", "bus 2", "neutral 0"])
def test_envelopes_shrink_with_the_unbalance_contracted(name):
    """And withstand every vertex at every corner of the contract."""
    limits = VoltageLimits(0.85, 1.15, 0.016)
    smallest = []
    for bound in (None, 0.004, 0.008, 0.012):
        contract = InterfaceLimits(0.98, 1.04, unbalance_pu=bound)
        check, worst = allocated(name, contract, limits)
        assert worst < 1e-6
        finding = attack(
            check.robust_rows, check.limits_w, np.random.default_rng(1), samples=128, climbs=6
        )
        assert finding.violation < 1e-6, finding
        smallest.append(check.limits_w.min())
    assert np.all(np.diff(smallest) <= 1)
    assert smallest[-1] < 0.97 * smallest[0]


def test_envelopes_grow_with_the_unbalance_allowed():
    sizes = [
        allocated("source 1", BALANCED, VoltageLimits(0.85, 1.15, bound))[0].limits_w.min()
        for bound in (0.002, 0.004, 0.006, 0.008)
    ]
    assert np.all(np.diff(sizes) > 100)


def test_a_trade_is_checked_against_unbalance():
    check, _ = allocated("source 1", BALANCED, VoltageLimits(0.85, 1.15, 0.004))
    points = check.connection_points
    transfers = [
        (seller, buyer, *check.largest_secure_w(Direction.INJECTION, seller, buyer, 1_000))
        for seller in points
        for buyer in points
        if seller != buyer
    ]
    stopped = [(s, b, element) for s, b, quantity_w, element in transfers if quantity_w < 1_000]
    assert stopped
    for seller, buyer, element in stopped:
        assert element.startswith("bus:")
        verdict = check.confirm(
            [
                LimitChange(seller, Direction.INJECTION, -1_000),
                LimitChange(buyer, Direction.INJECTION, 1_000),
            ]
        )
        assert not verdict.secure
        assert verdict.unit == "% unbalance"
        assert verdict.limit == pytest.approx(0.4)


def test_an_unbalance_already_there_leaves_nothing_to_allocate():
    contract = InterfaceLimits(0.98, 1.04, unbalance_pu=0.04)
    with pytest.raises(InsecureError, match="bus:"):
        allocated("bus 0", contract, VoltageLimits(0.85, 1.15, 0.01))


def test_limits_of_unbalance_need_phases():
    network = network_from_pandapower(feeder(3))
    grid = NetworkGrid(
        network, VoltageLimits(0.9, 1.1, 0.02), Capacity.same(network.connection_points, 1, 1)
    )
    with pytest.raises(ValueError, match="no bus of this network"):
        grid.robust_rows(BALANCED)


# -- corners of the contract --------------------------------------------------------------------

CONTRACTS = st.tuples(st.floats(0.85, 1.0), st.floats(0.0, 0.15), st.floats(1e-4, 0.2)).map(
    lambda t: InterfaceLimits(t[0], t[0] + t[1], unbalance_pu=t[2])
)


@given(contract=CONTRACTS, held=st.sampled_from([2, 3]))
@settings(deadline=None)
def test_corners_are_inside_the_contract(contract, held):
    corners = source_vertices(contract, held)
    assert corners.shape[1] == held
    assert (corners >= contract.voltage_min_pu - 1e-11).all()
    assert (corners <= contract.voltage_max_pu + 1e-11).all()
    apart = np.abs(corners - corners.mean(axis=1, keepdims=True))
    assert (apart <= contract.unbalance_pu + 1e-11).all()


@given(contract=CONTRACTS, held=st.sampled_from([2, 3]), seed=st.integers(0, 10**6))
@settings(deadline=None)
def test_corners_are_the_farthest_points_of_the_contract(contract, held, seed):
    direction = np.random.default_rng(seed).normal(size=held)
    apart = np.eye(held) - 1.0 / held
    best = linprog(
        -direction,
        A_ub=np.vstack([apart, -apart]),
        b_ub=np.full(2 * held, contract.unbalance_pu),
        bounds=[(contract.voltage_min_pu, contract.voltage_max_pu)] * held,
    )
    assert best.success
    assert best.fun is not None
    found = (source_vertices(contract, held) @ direction).max()
    assert found == pytest.approx(-best.fun, abs=1e-9)


def test_a_wide_bound_is_the_whole_box_of_phases():
    corners = source_vertices(InterfaceLimits(0.9, 1.1, unbalance_pu=0.5), 3)
    assert len(corners) == 8
    assert set(np.unique(corners)) == {0.9, 1.1}


@pytest.mark.parametrize("bound", [None, 0.0])
@pytest.mark.parametrize("held", [1, 3])
def test_without_unbalance_all_phases_are_equal(bound, held):
    corners = source_vertices(InterfaceLimits(0.98, 1.04, unbalance_pu=bound), held)
    np.testing.assert_array_equal(corners, [[0.98] * held, [1.04] * held])


def test_unbalance_of_one_held_voltage_is_refused():
    with pytest.raises(InsecureError, match="not held one by one"):
        source_vertices(UNBALANCED, 1)
