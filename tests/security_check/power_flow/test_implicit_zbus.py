"""The batch power flow: its equations, its batches, its failure.

That voltages and currents are pandapower's own is shown in ``test_pandapower_balanced.py``, that
gradients are those of differences in ``test_monitors.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import interface_node, passive_at_nodes, point_nodes, solve
from flow_cases import CASES, random_points
from networks import feeder
from pandapower_oracle import our_results

from security_check.errors import PowerFlowError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.power_flow.implicit_zbus import PowerFlow


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return random_points(request.param)


def test_currents_add_up_at_every_node(case):
    flow, power, interface = case
    network = flow.network
    per_unit = power / network.base_power_w
    voltage = flow.node_voltages(solve(flow, per_unit, interface))
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
    points = solve(flow, power / flow.network.base_power_w, interface)
    taken = points.take(np.array([3, 0, 3]))
    np.testing.assert_array_equal(taken.voltage, points.voltage[:, [3, 0, 3]])
    np.testing.assert_array_equal(taken.source_pu, interface[None, [3, 0, 3]])


def test_without_power_the_profile_is_the_answer():
    flow = PowerFlow(network_from_pandapower(feeder(4)))
    voltage, _ = our_results(flow, np.zeros((4, 2)), np.array([0.9, 1.1]))
    np.testing.assert_allclose(voltage, flow.no_load * [0.9, 1.1], atol=1e-14)


def test_an_empty_batch_has_no_points():
    flow = PowerFlow(network_from_pandapower(feeder(4)))
    assert solve(flow, np.zeros((4, 0)), np.zeros(0)).voltage.shape == (4, 0)


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
