"""Voltage unbalance, and an interface whose phases differ: against others, and every vertex."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import opendssdirect as dss
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    three_phase_buses,
    violation,
    worst_values,
)

from doe_allocation.capacity import Capacity
from doe_allocation.network_grid import NetworkGrid
from security_check.adversary import attack
from security_check.conditions import Conditions, Deviations
from security_check.from_opendss import network_from_opendss
from security_check.limits import InterfaceLimits, VoltageLimits
from security_check.monitors import Kind, Monitors
from security_check.network import Network
from security_check.packing import PackingRows
from security_check.phases_from_pandapower import phases_from_pandapower
from security_check.power_flow import PowerFlow
from security_check.robust_rows import RobustRows

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
    """Return the largest of each bus' six rows."""
    monitors, values = values_of(network, power_w, source_pu)
    found: dict[str, float] = {}
    for row in np.flatnonzero(monitors.kind == Kind.UNBALANCE):
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

    def test_holds_what_it_is_told(self):
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
        current = terminals.admittance @ voltage
        through = sum(
            (voltage[network.nodes.index(f"bus:0.{phase}")] * np.conj(current[k])).real
            for phase in "abc"
            for k in range(len(terminals.elements))
            if (terminals.elements[k], terminals.sides[k]) == (f"trafo:0.{phase}", "hv")
        )
        drawn = values[monitors.kind == Kind.INTERFACE_WITHDRAWAL]
        assert drawn == pytest.approx([through], abs=1e-12)
        assert drawn * network.base_power_w == pytest.approx(-power_w.sum(), rel=0.3)

    def test_needs_no_short_circuit_data(self):
        net = phase_net(3)
        net.ext_grid = net.ext_grid.drop(columns=["s_sc_max_mva", "rx_max", "r0x0_max", "x0x_max"])
        phases_from_pandapower(net, held="phases")

    def test_takes_customers_at_the_interface_bus_itself(self):
        import pandapower as pp

        net = phase_net(3)
        pp.create_asymmetric_load(net, 0, p_b_mw=0.01)
        network = phases_from_pandapower(net, held="phases")
        without = phases_from_pandapower(phase_net(3), held="phases")
        held, power_w = np.array([1.0, 1.01, 0.99]), np.array([1e3, -2e3, 500.0, -7e3])
        monitors, values = values_of(network, power_w, held)
        other, alone = values_of(without, power_w[:3], held)
        for ours, theirs, more in ((monitors, other, 7e3),):
            drawn = values[ours.kind == Kind.INTERFACE_WITHDRAWAL]
            before = alone[theirs.kind == Kind.INTERFACE_WITHDRAWAL]
            assert (drawn - before) * network.base_power_w == pytest.approx([more], abs=1e-6)


# -- rows against every vertex ------------------------------------------------------------------


def area(name: str, contract: InterfaceLimits, limits: VoltageLimits = LIMITS) -> NetworkGrid:
    network = phase_network(name)
    capacity = Capacity.same(network.connection_points, 12_000, 12_000)
    return NetworkGrid(network, limits, capacity)


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
    corners = np.ones((1, network.held))
    conditions = Conditions(network, corners, network.ports.passive_power_pu, nothing)
    rng = np.random.default_rng(3)
    customers, held = len(network.connection_points), network.held
    power = rng.uniform(-8e3, 8e3, (customers, 1)) / network.base_power_w
    source = 1.0 + rng.uniform(-0.03, 0.03, (held, 1))
    points = flow.solve(at_phases(network, power), source)
    rows = np.arange(len(monitors))
    slopes = conditions.slopes(
        *monitors.gradients(rows, points.take(np.zeros(len(rows), dtype=int)))
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
    smooth[monitors.kind == Kind.UNBALANCE] = np.abs(now[monitors.kind == Kind.UNBALANCE]) > 1.1e-3
    assert smooth[monitors.kind == Kind.UNBALANCE].sum() > 6
    error = np.abs(ours - numeric) / np.abs(numeric).max(axis=1, keepdims=True)
    assert error[smooth].max() < 1e-5


@settings(deadline=None, max_examples=40)
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
    monitors, flow = grid.monitors, grid.monitors.power_flow
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
    robust = RobustRows(
        monitors, replace(robust.limits, limit=limit, scale=scale), robust.conditions
    )
    known, _ = robust.worst(robust.limited, robust.start_points(robust.limited), u)
    found = PackingRows.joined([known, robust.challenge(known, u, near=np.inf)])
    values = robust.values(found, u)
    for rows, brute in of_phase_rows(monitors, worst):
        best = values[np.isin(found.rows, rows)].max()
        short = (brute - best) / scale[rows[0]]
        assert short < 1e-6, (robust.element(int(rows[0])), best, brute)
    # Whoever says more than the vertices must have a point of the box to show for it.
    power, held = found.points.power(u), found.points.free[:, : flow.network.held]
    injection, withdrawal = np.split(u, 2)
    assert (power <= injection + 1e-12).all()
    assert (power >= -withdrawal - 1e-12).all()
    at = measured(flow, power.T, held.T)
    there = {"highest": at["voltage"], "lowest": at["voltage"], "current": at["current"]}
    there |= {"injected": -at["drawn"], "withdrawn": at["drawn"], "unbalance": at["unbalance"]}
    by_row = {int(row): value for rows, value in of_phase_rows(monitors, there) for row in rows}
    for k, row in enumerate(found.rows):
        assert by_row[int(row)][k] >= values[k] - 1e-6 * scale[row], robust.element(int(row))


@settings(deadline=None, max_examples=40)
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 10**6), size=st.floats(0.05, 1.0))
def test_no_bound_is_below_the_truth(name, seed, size):
    contract = contract_of(name)
    grid = area(name, contract)
    flow = grid.monitors.power_flow
    count = 2 * len(grid.connection_points)
    limits_w = (size * np.random.default_rng(seed).uniform(0, 9_000, count)).astype(np.int64)
    robust = grid.robust_rows(contract)
    worst = worst_values(flow, limits_w, robust.conditions.source_corners)
    lowest = min(robust.limits.voltage_min_pu, float(worst["lowest"].min()))
    limits = replace(robust.limits, voltage_min_pu=lowest)
    bounds = grid.monitors.bounds(robust.conditions, limits_w / flow.network.base_power_w, limits)
    for rows, brute in of_phase_rows(grid.monitors, worst):
        assert (bounds[rows] >= brute - 1e-12).all(), grid.monitors.elements[rows[0]]
