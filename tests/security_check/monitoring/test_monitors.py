"""What is monitored: values, gradients against differences, limits."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import interface_node, passive_at_nodes, point_nodes, solve
from flow_cases import CASES, random_points
from networks import feeder

from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.slopes import slopes_of
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviations import Deviations


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return random_points(request.param)


def test_gradients_are_those_of_differences(case):
    """Every row by every power and by the interface voltage, central differences of f."""
    flow, power, interface = case
    monitors = Monitors(flow)
    ports = flow.network.ports
    nothing = Deviations.none(len(ports.names))
    conditions = OperatingConditions(
        flow.network, np.array([[0.0], [2.0]]), ports.passive_power_pu, nothing
    )
    rows = np.arange(len(monitors))
    per_unit = power / flow.network.base_power_w
    customers = len(per_unit)
    step = 1e-5 * np.abs(per_unit).max()
    for k in range(2):
        here = solve(flow, per_unit[:, [k]], interface[[k]])
        at = here.take(np.zeros(len(rows), dtype=int))
        slopes = slopes_of(conditions, *monitors.gradients(rows, at))
        by_power, by_voltage = slopes.by_power, slopes.by_free
        moves = np.vstack([step * np.eye(customers), np.zeros((1, customers))]).T
        changes = np.append(np.zeros(customers), 1e-5)

        def f(sign, k=k, moves=moves, changes=changes):
            at = per_unit[:, [k]] + sign * moves
            return monitors.all_values(solve(flow, at, interface[k] + sign * changes))

        ahead, behind = f(1), f(-1)
        numeric = (ahead - behind) / (2 * np.append(np.full(customers, step), 1e-5))
        # A current row jumps where its current turns, and counts an idle branch's own direction.
        now = monitors.all_values(here)
        terminals = flow.network.terminals
        of_current = np.isin(monitors.kind, (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT))
        rating = np.ones(len(rows))
        rating[of_current] = np.tile(terminals.rating_pu, 2)
        smooth = ~of_current | (np.abs(now[:, 0]) > 0.06 * rating)
        assert smooth[of_current].any()
        scale = np.abs(numeric).max(axis=1, keepdims=True)
        error = np.abs(np.column_stack([by_power, by_voltage]) - numeric) / scale
        assert error[smooth].max() < 1e-5


def test_an_interface_row_is_the_power_of_the_external_grid(case):
    flow, power, interface = case
    network, monitors = flow.network, Monitors(flow)
    per_unit = power / network.base_power_w
    points = solve(flow, per_unit, interface)
    voltage = flow.node_voltages(points)
    node = interface_node(network)
    inwards = (voltage[node] * (network.admittance @ voltage)[node].conj()).real
    at_interface = point_nodes(network) == node
    local = per_unit[at_interface].sum(axis=0) + passive_at_nodes(network)[node].real
    values = monitors.all_values(points)
    for kind, sign in ((RowKind.INTERFACE_WITHDRAWAL, 1.0), (RowKind.INTERFACE_INJECTION, -1.0)):
        found = values[monitors.kind == kind][0]
        np.testing.assert_allclose(found, sign * (inwards - local), rtol=0, atol=1e-12)


def test_row_limits_are_what_was_asked_for():
    flow = PowerFlow(network_from_pandapower(feeder(3)))
    monitors = Monitors(flow)
    limits = monitors.row_limits(VoltageLimits(0.9, 1.1), InterfaceLimits(0.98, 1.04, 5_000, None))
    for kind, expected in (
        (RowKind.VOLTAGE_MAX, 1.1),
        (RowKind.VOLTAGE_MIN, -0.9),
        (RowKind.INTERFACE_INJECTION, 5_000 / flow.network.base_power_w),
        (RowKind.INTERFACE_WITHDRAWAL, np.inf),
    ):
        np.testing.assert_array_equal(limits.limit[monitors.kind == kind], expected)
    for kind in (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT):
        np.testing.assert_array_equal(
            limits.limit[monitors.kind == kind], flow.network.terminals.rating_pu
        )
    row = int(np.flatnonzero(monitors.kind == RowKind.CURRENT_IMPORT)[0])
    assert monitors.elements[row] == "line:0"
    assert monitors.describe(row, limits.limit[row] / 2, limits) == pytest.approx(
        (70.0, 140.0, "A")
    )
