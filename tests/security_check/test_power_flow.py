"""The batch power flow: its equations, its gradients against differences, its failure.

That voltages and currents are pandapower's own is shown in ``test_from_pandapower.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import interface_node, passive_at_nodes, point_nodes
from networks import feeder, menagerie, simbench_network
from oracle import our_results

from security_check.errors import PowerFlowError
from security_check.from_pandapower import network_from_pandapower
from security_check.limits import InterfaceLimits, VoltageLimits
from security_check.monitors import Kind, Monitors
from security_check.power_flow import PowerFlow

NETWORKS = {
    "semiurb4": (lambda: simbench_network("1-LV-semiurb4--0-sw"), 6e3),
    "everything, passive": (
        lambda: network_from_pandapower(menagerie(), passive="as-given", connection_points="sgen"),
        2e5,
    ),
    "everything, lagging": (lambda: network_from_pandapower(menagerie(), power_factor=0.9), 2e5),
    "mesh": (lambda: network_from_pandapower(feeder(8, 2, meshed=True)), 8e3),
}


@pytest.fixture(params=NETWORKS, scope="module")
def case(request):
    """A power flow, and random powers (c, B) in watts with interface voltages (B,)."""
    build, largest_w = NETWORKS[request.param]
    flow = PowerFlow(build())
    rng = np.random.default_rng(7)
    power = rng.uniform(-largest_w, largest_w, (len(flow.network.connection_points), 5))
    return flow, power, rng.uniform(0.95, 1.05, 5)


def test_currents_add_up_at_every_node(case):
    flow, power, interface = case
    network = flow.network
    per_unit = power / network.base_power_w
    voltage = flow.node_voltages(flow.solve(per_unit, interface))
    injected = np.zeros_like(voltage)
    np.add.at(injected, point_nodes(network), per_unit * (1 + 1j * network.reactive_ratio)[:, None])
    injected += passive_at_nodes(network)[:, None]
    drawn = voltage * (network.admittance @ voltage).conj()
    inside = np.arange(len(voltage)) != interface_node(network)
    np.testing.assert_allclose(drawn[inside], injected[inside], rtol=0, atol=2e-8)
    np.testing.assert_array_equal(voltage[interface_node(network)], interface)


def test_a_batch_is_its_columns(case):
    flow, power, interface = case
    voltage, current = our_results(flow, power, interface)
    for k in range(power.shape[1]):
        alone = our_results(flow, power[:, k : k + 1], interface[k : k + 1])
        np.testing.assert_allclose(alone[0][:, 0], voltage[:, k], rtol=0, atol=1e-10)
        np.testing.assert_allclose(alone[1][:, 0], current[:, k], rtol=1e-8, atol=1e-6)


def test_taken_points_are_those_named(case):
    flow, power, interface = case
    points = flow.solve(power / flow.network.base_power_w, interface)
    taken = points.take(np.array([3, 0, 3]))
    np.testing.assert_array_equal(taken.voltage, points.voltage[:, [3, 0, 3]])
    np.testing.assert_array_equal(taken.interface_voltage_pu, interface[[3, 0, 3]])


def test_without_power_the_profile_is_the_answer():
    flow = PowerFlow(network_from_pandapower(feeder(4)))
    voltage, _ = our_results(flow, np.zeros((4, 2)), np.array([0.9, 1.1]))
    np.testing.assert_allclose(voltage, flow.no_load[:, None] * [0.9, 1.1], atol=1e-14)


def test_an_empty_batch_has_no_points():
    flow = PowerFlow(network_from_pandapower(feeder(4)))
    assert flow.solve(np.zeros((4, 0)), np.zeros(0)).voltage.shape == (4, 0)


def test_gradients_are_those_of_differences(case):
    """Every row by every power and by the interface voltage, central differences of f."""
    flow, power, interface = case
    monitors = Monitors(flow)
    rows = np.arange(len(monitors))
    per_unit = power / flow.network.base_power_w
    customers = len(per_unit)
    step = 1e-5 * np.abs(per_unit).max()
    for k in range(2):
        here = flow.solve(per_unit[:, [k]], interface[[k]])
        by_power, by_voltage = monitors.gradients(rows, here.take(np.zeros(len(rows), dtype=int)))
        moves = np.vstack([step * np.eye(customers), np.zeros((1, customers))]).T
        changes = np.append(np.zeros(customers), 1e-5)

        def f(sign, k=k, moves=moves, changes=changes):
            at = per_unit[:, [k]] + sign * moves
            return monitors.all_values(flow.solve(at, interface[k] + sign * changes))

        ahead, behind = f(1), f(-1)
        numeric = (ahead - behind) / (2 * np.append(np.full(customers, step), 1e-5))
        # A current row jumps where its current turns, and counts an idle branch's own direction.
        now = monitors.all_values(here)
        terminals = flow.network.terminals
        of_current = np.isin(monitors.kind, (Kind.CURRENT_EXPORT, Kind.CURRENT_IMPORT))
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
    points = flow.solve(per_unit, interface)
    voltage = flow.node_voltages(points)
    node = interface_node(network)
    inwards = (voltage[node] * (network.admittance @ voltage)[node].conj()).real
    at_interface = point_nodes(network) == node
    local = per_unit[at_interface].sum(axis=0) + passive_at_nodes(network)[node].real
    values = monitors.all_values(points)
    for kind, sign in ((Kind.INTERFACE_WITHDRAWAL, 1.0), (Kind.INTERFACE_INJECTION, -1.0)):
        found = values[monitors.kind == kind][0]
        np.testing.assert_allclose(found, sign * (inwards - local), rtol=0, atol=1e-12)


class TestOverload:
    """What has no solution is an error that names a node, never a number."""

    @pytest.mark.parametrize("each_w", [-1e5, -1e6, -1e12])
    def test_names_a_node(self, each_w):
        flow = PowerFlow(network_from_pandapower(feeder(6, 1)))
        with pytest.raises(PowerFlowError, match=r"1 of 1 power flows .* worst at bus:[2-7]"):
            our_results(flow, np.full((6, 1), each_w), np.ones(1))

    def test_one_bad_column_is_enough(self):
        flow = PowerFlow(network_from_pandapower(feeder(6, 1)))
        power = np.full((6, 3), -1e3)
        power[:, 1] = -1e6
        with pytest.raises(PowerFlowError, match="1 of 3 power flows"):
            our_results(flow, power, np.ones(3))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_numbers_that_are_none(self, value):
        flow = PowerFlow(network_from_pandapower(feeder(6, 1)))
        power = np.zeros((6, 1))
        power[3] = value
        with np.errstate(all="ignore"), pytest.raises(PowerFlowError):
            our_results(flow, power, np.ones(1))
        with np.errstate(all="ignore"), pytest.raises(PowerFlowError):
            our_results(flow, np.zeros((6, 1)), np.array([np.nan]))

    def test_just_below_the_collapse_the_answer_is_still_the_answer(self):
        """The largest demand that converges lies on the high-voltage branch of the curve."""
        flow = PowerFlow(network_from_pandapower(feeder(1)))
        low, high = 0.0, 1e7
        for _ in range(40):
            middle = 0.5 * (low + high)
            try:
                voltage, _ = our_results(flow, np.full((1, 1), -middle), np.ones(1))
            except PowerFlowError:
                high = middle
            else:
                low, end = middle, np.abs(voltage[-1, 0])
        assert 0.45 < end < 0.75
        # For one load behind an impedance the most it can draw is known in closed form.
        z = flow.impedance[point_nodes(flow.network)[0], 0]
        open_voltage = abs(flow.no_load[point_nodes(flow.network)[0]])
        most = open_voltage**2 / (2 * (abs(z) + z.real)) * flow.network.base_power_w
        assert 0.95 * most < low <= most * (1 + 1e-9)


def test_row_limits_are_what_was_asked_for():
    flow = PowerFlow(network_from_pandapower(feeder(3)))
    monitors = Monitors(flow)
    limits = monitors.row_limits(VoltageLimits(0.9, 1.1), InterfaceLimits(0.98, 1.04, 5_000, None))
    for kind, expected in (
        (Kind.VOLTAGE_MAX, 1.1),
        (Kind.VOLTAGE_MIN, -0.9),
        (Kind.INTERFACE_INJECTION, 5_000 / flow.network.base_power_w),
        (Kind.INTERFACE_WITHDRAWAL, np.inf),
    ):
        np.testing.assert_array_equal(limits.limit[monitors.kind == kind], expected)
    for kind in (Kind.CURRENT_EXPORT, Kind.CURRENT_IMPORT):
        np.testing.assert_array_equal(
            limits.limit[monitors.kind == kind], flow.network.terminals.rating_pu
        )
    row = int(np.flatnonzero(monitors.kind == Kind.CURRENT_IMPORT)[0])
    assert monitors.elements[row] == "line:0"
    assert monitors.describe(row, limits.limit[row] / 2, limits) == pytest.approx(
        (70.0, 140.0, "A")
    )
