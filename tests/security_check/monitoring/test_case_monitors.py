"""Several states of a network as one set of rows: each row is its own case's, nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from meshed_networks import meshed_area, ring
from networks import BAND, feeder

from security_check.errors import NetworkFaults, PowerFlowError
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_outages import outages_from_pandapower
from security_check.model.element import State
from security_check.model.limits import VoltageLimits
from security_check.model.network_state import NetworkState
from security_check.monitoring.case_monitors import CaseMonitors, monitors_of
from security_check.operating_range.conditions import OperatingConditions
from security_check.uncertainty.deviations import Deviations

OUTAGES = ("line:1", "gen:0", "line:4")
VOLTAGE = VoltageLimits(0.92, 1.08)


@pytest.fixture(scope="module")
def area():
    return meshed_area(4, 3, outages=OUTAGES)


@pytest.fixture(scope="module")
def points(area):
    """Powers at the ports, held voltages, and what is monitored there in each state alone."""
    network = area.grid.network
    rng = np.random.default_rng(4)
    power = rng.uniform(-0.3, 0.3, (len(network.connection_points), 5))
    ports = network.port_shares @ power + network.ports.passive_power_pu[:, None]
    source = rng.uniform(1.0, 1.04, (1, 5))
    alone = [monitors_of(network), *(monitors_of(outage.network) for outage in area.outages)]
    return ports, source, alone


def test_elements_tell_their_case(area):
    elements = area.grid.monitors.elements
    assert {e.partition(" without ")[2] for e in elements} == {"", *OUTAGES}
    assert "line:1 without line:1" not in elements
    assert "gen:0 without gen:0" not in elements
    assert "gen:1 without gen:0" in elements
    assert len(area.grid.monitors.sides) == len(elements) == len(area.grid.monitors)


def test_values_and_gradients_are_those_of_each_state_alone(area, points):
    ports, source, alone = points
    joint = area.grid.monitors
    solved = joint.power_flow.solve(ports, source)
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(joint))
    place = rng.integers(0, 5, len(rows))
    each = [m.all_values(m.power_flow.solve(ports, source)) for m in alone]
    expected = np.concatenate(each)
    np.testing.assert_allclose(joint.all_values(solved), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        joint.values_at(rows, place, solved), expected[rows, place], rtol=0, atol=1e-9
    )
    own = solved.take(place)
    np.testing.assert_allclose(joint.values(rows, own), expected[rows, place], rtol=0, atol=1e-9)
    by_port, by_source = joint.gradients(rows, own)
    first = np.cumsum([0, *(len(m) for m in alone)])
    for k, monitors in enumerate(alone):
        at = np.flatnonzero((rows >= first[k]) & (rows < first[k + 1]))
        there = monitors.power_flow.solve(ports, source).take(place[at])
        single = monitors.gradients(rows[at] - first[k], there)
        np.testing.assert_allclose(by_port[:, at], single[0], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(by_source[:, at], single[1], rtol=1e-6, atol=1e-7)


def test_limits_descriptions_and_reach_are_those_of_each_state_alone(area, points):
    _, _, alone = points
    joint = area.grid.monitors
    interface = area.limits.interface
    limits = joint.row_limits(VOLTAGE, interface)
    each = [monitors.row_limits(VOLTAGE, interface) for monitors in alone]
    np.testing.assert_array_equal(limits.limit, np.concatenate([one.limit for one in each]))
    np.testing.assert_array_equal(limits.scale, np.concatenate([one.scale for one in each]))
    first = np.cumsum([0, *(len(m) for m in alone)])
    acts = joint.acts_strongly(np.arange(len(joint)))
    for k, monitors in enumerate(alone):
        rows = np.arange(len(monitors))
        np.testing.assert_array_equal(acts[first[k] : first[k + 1]], monitors.acts_strongly(rows))
        for row in rows[:: max(len(rows) // 20, 1)]:
            reported = joint.describe(int(first[k] + row), 0.5, limits)
            assert reported == monitors.describe(int(row), 0.5, each[k])


def test_points_taken_stay_the_same(area, points):
    ports, source, _ = points
    joint = area.grid.monitors
    rows = np.arange(len(joint))
    whole = joint.power_flow.solve(ports, source)
    expected = joint.all_values(whole)
    half = joint.power_flow.solve(ports, source).take(np.array([3, 4, 1, 2, 1]))
    joint.values(rows[::7], half.take(np.zeros(len(rows[::7]), dtype=int)))  # solves some of it
    found = joint.all_values(half.take(np.array([1, 2, 3, 4])))
    np.testing.assert_allclose(found, expected[:, [4, 1, 2, 1]], rtol=0, atol=1e-9)
    again = joint.power_flow.solve(ports, source, start=whole.voltage)
    np.testing.assert_allclose(joint.all_values(again), expected, rtol=0, atol=1e-9)
    assert whole.voltage.shape == ports.shape


def test_only_the_case_of_a_row_is_solved(area, points, monkeypatch):
    ports, source, _ = points
    joint = area.grid.monitors
    asked = []

    def noted(name, solve):
        def run(power, *rest):
            asked.append((name, power.shape[1]))
            return solve(power, *rest)

        return run

    for case in joint.power_flow.cases:
        flow = case.power_flow
        monkeypatch.setattr(flow, "solve", noted(case.state.outage, flow.solve))
    row = np.array([joint.elements.index("line:3 without gen:0")])
    solved = joint.power_flow.solve(ports, source)
    for _ in range(2):
        joint.values(row, solved.take(np.array([2])))
        joint.values_at(np.repeat(row, 3), np.array([2, 3, 3]), solved)
    assert asked == [("gen:0", 1), ("gen:0", 1)]


def test_a_case_without_solution_is_reported():
    network, outages = outages_from_pandapower(ring(4, 3), ["line:1"])
    joint = monitors_of(network, outages)
    ports = np.full((len(network.ports.names), 1), -40.0 + 0j)
    solved = joint.power_flow.solve(ports, np.ones((1, 1)))
    row = np.array([joint.elements.index("line:3 without line:1")])
    with pytest.raises(PowerFlowError, match=r"^without line:1: 1 of 1 power flows"):
        joint.values(row, solved)


def test_ordinary_networks_have_cases_too():
    """A mesh without generators: no other library, and the rigorous bounds stay in use."""
    network, outages = outages_from_pandapower(feeder(5, 2, meshed=True), ["line:2"])
    assert network.generators is None
    joint = monitors_of(network, outages)
    assert isinstance(joint, CaseMonitors)
    nothing = Deviations.none(len(network.ports.names))
    conditions = OperatingConditions(
        network, np.array([[BAND.voltage_min_pu]]), network.ports.passive_power_pu, nothing
    )
    limits = joint.row_limits(VOLTAGE, BAND)
    bounds = joint.bounds(conditions, np.full(10, 1e-3), limits)
    alone = [monitors_of(network), monitors_of(outages[0].network)]
    own = [monitors.row_limits(VOLTAGE, BAND) for monitors in alone]
    each = [m.bounds(conditions, np.full(10, 1e-3), of) for m, of in zip(alone, own, strict=True)]
    np.testing.assert_array_equal(bounds, np.concatenate(each))
    assert np.isfinite(bounds).any()
    boxes = np.full(10, 1e-3), np.full(10, 2e-3)
    drift = joint.drift(conditions, *boxes, limits)
    each = [m.drift(conditions, *boxes, of) for m, of in zip(alone, own, strict=True)]
    np.testing.assert_array_equal(drift, np.concatenate(each))
    assert np.isfinite(drift).any()


@pytest.mark.parametrize(
    "change",
    [
        {"base_power_w": 5.0},
        {"connection_points": ("a", "b", "c", "d")},
    ],
)
def test_a_state_of_another_network_is_named(area, change):
    other = replace(area.outages[0].network, **change)
    with pytest.raises(
        NetworkFaults, match=r"^without line:9: its customers, ports, held voltages or"
    ):
        monitors_of(area.grid.network, [NetworkState(State(outage="line:9"), other)])


def test_states_whose_ports_differ_are_named(area):
    other = meshed_network_from_pandapower(ring(4, 3))  # nothing passive, so fewer ports
    with pytest.raises(NetworkFaults, match=r"^without line:9: "):
        monitors_of(area.grid.network, [NetworkState(State(outage="line:9"), other)])
