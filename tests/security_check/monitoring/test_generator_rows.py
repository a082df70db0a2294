"""Limits of generators as rows: values are pandapower's, gradients are those of differences."""

from __future__ import annotations

import numpy as np
import pytest
from meshed_cases import NETS, at_ports, by_pandapower, customers_pu, flow_of, solved
from meshed_networks import ring

from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.monitoring.case_monitors import monitors_of
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.slopes import slopes_of
from security_check.uncertainty.deviations import Deviations

NAMES = ["case9, shared", "case30", "urban, shared", "two grids", "one bus, shared"]
VOLTAGE = VoltageLimits(0.9, 1.1)
INTERFACE = InterfaceLimits(1.0, 1.05)


@pytest.fixture(params=NAMES, scope="module")
def case(request):
    net, flow = flow_of(request.param)
    return net, flow, monitors_of(flow.network), NETS[request.param][1]


def test_powers_are_pandapowers(case):
    net, flow, monitors, shared = case
    power = customers_pu(net, flow)
    values = monitors.all_values(monitors.power_flow.solve(*_inputs(net, flow, power)))
    base = flow.network.base_power_w
    compared = 0
    for k in range(power.shape[1]):
        other = by_pandapower(net, flow, power[:, k], shared)
        for row in np.flatnonzero(monitors.kind >= RowKind.REACTIVE_MAX):
            column = "q_mvar" if monitors.kind[row] <= RowKind.REACTIVE_MIN else "p_mw"
            sign = -1 if monitors.kind[row] in (RowKind.REACTIVE_MIN, RowKind.POWER_MIN) else 1
            members = [member.split(":") for member in monitors.elements[row].split("+")]
            mega = sum(other[f"res_{table}"].at[int(i), column] for table, i in members)
            assert values[row, k] * base == pytest.approx(sign * mega * 1e6, abs=1.0)
            compared += 1
    assert compared >= 4 * power.shape[1]


def _inputs(net, flow, power):
    source = np.full((1, power.shape[1]), float(net.ext_grid.vm_pu.iloc[0]))
    return at_ports(flow, power), source


def test_all_ways_of_asking_for_values_agree(case):
    net, flow, monitors, _ = case
    points = monitors.power_flow.solve(*_inputs(net, flow, customers_pu(net, flow)))
    every = np.arange(len(monitors))
    values = monitors.all_values(points)
    place = every % 3
    np.testing.assert_allclose(monitors.values_at(every, place, points), values[every, place])
    own = monitors.values(every, points.take(place))
    np.testing.assert_allclose(own, values[every, place], rtol=0, atol=1e-12)


def test_gradients_are_those_of_differences(case):
    """Every row by every customer and by the held voltage, central differences of f."""
    net, flow, monitors, _ = case
    network = flow.network
    nothing = Deviations.none(len(network.ports.names))
    passive = network.ports.passive_power_pu
    conditions = OperatingConditions(network, np.ones((1, 1)), passive, nothing)
    power = customers_pu(net, flow, columns=1)
    ports, source = _inputs(net, flow, power)
    here = monitors.power_flow.solve(ports, source, tolerance_pu=1e-12)
    rows = np.arange(len(monitors))
    by_port, by_source = monitors.gradients(rows, here.take(np.zeros_like(rows)))
    customers = len(power)
    step = 1e-4 * np.abs(power).max()
    moves = np.hstack([step * np.eye(customers), np.zeros((customers, 1))])
    held = np.append(np.zeros(customers), 1e-4)

    def f(sign):
        moved = at_ports(flow, power + sign * moves), source + sign * held[None, :]
        return monitors.all_values(monitors.power_flow.solve(*moved, tolerance_pu=1e-12))

    numeric = (8 * (f(1) - f(-1)) - (f(2) - f(-2))) / 12 / np.append(np.full(customers, step), 1e-4)
    by_power = slopes_of(conditions, by_port, by_source).by_power
    found = np.column_stack([by_power, by_source[0]])
    scale = np.abs(numeric).max(axis=1, keepdims=True)
    now = monitors.all_values(here)[:, 0]
    # A current row jumps where its current turns, and counts an idle branch's own direction.
    of_current = np.isin(monitors.kind, (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT))
    limits = monitors.row_limits(VOLTAGE, INTERFACE)
    smooth = ~of_current | (np.abs(now) > 0.06 * limits.limit)
    moving = scale[:, 0] > 1e-6  # the voltages of generators' own buses never move
    compared = smooth & moving
    error = (np.abs(found - numeric)[compared] / scale[compared]).max()
    assert error < 1e-6
    assert (smooth & of_current).any()
    np.testing.assert_allclose(found[~moving], 0.0, atol=1e-6)


class TestLimits:
    def monitors(self, **how):
        network = meshed_network_from_pandapower(ring(4, p_mw=(-50.0, 80.0)), **how)
        return monitors_of(network)

    def of(self, monitors, kind):
        limits = monitors.row_limits(VOLTAGE, INTERFACE)
        at = np.flatnonzero(monitors.kind == kind)
        return limits.limit[at], limits.scale[at]

    def test_are_the_generators_and_measured_against_their_ranges(self):
        monitors = self.monitors(distributed_slack=True)
        for kind, limit, scale in (
            (RowKind.REACTIVE_MAX, 0.6, 1.2),
            (RowKind.REACTIVE_MIN, 0.6, 1.2),
            (RowKind.POWER_MAX, 0.8, 1.3),
            (RowKind.POWER_MIN, 0.5, 1.3),
        ):
            found = self.of(monitors, kind)
            np.testing.assert_allclose(found, [[limit] * 2, [scale] * 2])

    def test_power_that_never_changes_is_no_row_within_its_limits(self):
        limit, _ = self.of(self.monitors(), RowKind.POWER_MAX)
        assert np.isinf(limit).all()

    def test_power_that_never_changes_is_a_row_beyond_them(self):
        network = meshed_network_from_pandapower(ring(4, p_mw=(-50.0, 25.0)))
        limit, _ = self.of(monitors_of(network), RowKind.POWER_MAX)
        np.testing.assert_allclose(limit, [np.inf, 0.25])

    def test_are_reported_in_watts_and_vars(self):
        monitors = self.monitors(distributed_slack=True)
        limits = monitors.row_limits(VOLTAGE, INTERFACE)
        reported = {
            RowKind(monitors.kind[row]): monitors.describe(int(row), value, limits)
            for row in np.flatnonzero(np.array(monitors.elements) == "gen:1")
            for value in [0.1]
        }
        assert reported == {
            RowKind.REACTIVE_MAX: (1e7, 6e7, "var"),
            RowKind.REACTIVE_MIN: (-1e7, -6e7, "var"),
            RowKind.POWER_MAX: (1e7, 8e7, "W"),
            RowKind.POWER_MIN: (-1e7, -5e7, "W"),
        }


def test_sensitivities_are_taken_at_zero_power():
    net, flow = flow_of("case30, shared")
    monitors = monitors_of(flow.network)
    idle = flow.idle
    np.testing.assert_allclose(
        idle.power_pu[: flow.generators.ports[0], 0],
        flow.network.ports.passive_power_pu[: flow.generators.ports[0]],
    )
    by_port, by_source = monitors.no_load_gradients
    assert by_port.shape == (len(flow.network.ports.names), len(monitors))
    assert by_source.shape == (1, len(monitors))
    row = int(np.flatnonzero(monitors.kind == RowKind.POWER_MAX)[1])
    share = flow.generators.participation[1]
    # One unit more injected anywhere is that unit less to share, but for its effect on losses.
    trading = np.flatnonzero(flow.network.port_shares.sum(axis=1))
    np.testing.assert_allclose(by_port[trading, row].real, -share, rtol=0.2)
    # That effect, too, is the one that differences see around no power of any customer.
    step = 1e-3 * np.eye(len(flow.network.connection_points))
    ports, source = _inputs(net, flow, np.hstack([step, -step]))
    there = monitors.power_flow.solve(ports, source, tolerance_pu=1e-12)
    up, down = np.split(monitors.all_values(there)[row], 2)
    by_customer = flow.network.port_shares.T @ by_port[:, row].real
    np.testing.assert_allclose(by_customer, (up - down) / 2e-3, rtol=1e-4)
    assert monitors.acts_strongly(np.array([row])).all()
    assert not monitors.acts_strongly(np.arange(len(monitors))).all()
    assert solved(net, flow, customers_pu(net, flow)).voltage.shape[1] == 3
