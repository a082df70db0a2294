"""The adversary finds what is there to be found, and nothing that is not."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import only_flow, solve, violation
from networks import SMALL_AREAS, simbench_network, small_area

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.errors import PowerFlowError
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.verification.adversary import attack

BETWEEN_VOLTAGES = 2e-7  # what brute force may miss between the voltages that it tries

AREAS = pytest.mark.parametrize("name", SMALL_AREAS)


@AREAS
def test_finds_nothing_in_what_was_allocated(name):
    area = small_area(**SMALL_AREAS[name])
    check = area.allocate()
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(1))
    assert found.violation <= 1e-9
    assert found.violation > -0.01, "a limit is reached, to the watt that was rounded off"
    assert found.points_tried > 500


@AREAS
@pytest.mark.parametrize("seed", range(3))
def test_finds_the_worst_vertex(name, seed):
    area = small_area(**SMALL_AREAS[name])
    check = area.allocate()
    rng = np.random.default_rng(seed)
    limits_w = (check.limits_w * rng.uniform(0.5, 1.2, len(check.limits_w))).astype(np.int64)
    truth = violation(area.flow, area.limits, limits_w)
    found = attack(check.robust_rows, limits_w, rng)
    assert truth - 1e-9 <= found.violation <= truth + BETWEEN_VOLTAGES


@AREAS
def test_finds_one_limit_raised_a_little_above_the_secure_set(name):
    """And names the point, which breaks the same limit when it is looked at again."""
    area = small_area(**SMALL_AREAS[name])
    check = area.allocate()
    robust, base_w = check.robust_rows, area.flow.network.base_power_w
    found_one = 0
    for k in range(len(check.limits_w)):
        limits_w = check.limits_w
        limits_w[k] += 100
        truth = violation(area.flow, area.limits, limits_w)
        found = attack(robust, limits_w, np.random.default_rng(k), samples=16, climbs=3)
        assert truth - 1e-9 <= found.violation <= truth + BETWEEN_VOLTAGES
        if found.violation <= 1e-9:
            continue
        found_one += 1
        injection, withdrawal = np.split(limits_w, 2)
        power_w = found.operating_point.power_w
        assert (np.isclose(power_w, injection) | np.isclose(power_w, -withdrawal)).all()
        held_pu = found.operating_point.interface_voltage_pu
        assert held_pu in area.limits.band or found.element == "interface"
        assert area.limits.band[0] <= held_pu <= area.limits.band[1]
        assert abs(found.value) > abs(found.limit) or found.element.startswith("bus")
        power = found.operating_point.power_w[:, None] / base_w
        solved = solve(area.flow, power, np.array([found.operating_point.interface_voltage_pu]))
        again = robust.monitors.all_values(solved)[robust.limited]
        worst = robust.violation(robust.limited[:, None], again).max()
        assert worst == pytest.approx(found.violation, abs=1e-8)
    assert found_one >= len(check.limits_w) // 3


def test_mixed_vertices_are_what_breaks():
    """Half a percent more for those who have least: secure if all inject, or all withdraw."""
    network = simbench_network("1-LV-semiurb4--0-sw")
    capacity = Capacity.same(network.connection_points, 30_000, 30_000)
    grid = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity)
    robust = grid.robust_rows(InterfaceLimits(0.98, 1.04))
    limits_w = grid.allocate(InterfaceLimits(0.98, 1.04)).limits_w
    least = np.flatnonzero(limits_w[:41] < limits_w[:41].min() + 10)
    factor = np.full(41, 0.97)  # for the others less, so that the transformer is out of it
    factor[least] = 1.005
    limits_w[:41] = (limits_w[:41] * factor).astype(np.int64)
    injection, withdrawal = np.split(limits_w / network.base_power_w, 2)
    power = np.stack([injection, injection, -withdrawal, -withdrawal], axis=1)
    solved = solve(only_flow(grid.monitors), power, np.array([0.98, 1.04, 0.98, 1.04]))
    values = grid.monitors.all_values(solved)
    uniform = robust.violation(robust.limited[:, None], values[robust.limited])
    assert uniform.max() <= 1e-9
    found = attack(robust, limits_w, np.random.default_rng(0), samples=1)
    assert found.violation > 1e-3


def test_a_voltage_collapse_is_an_error():
    area = small_area(5, 1)
    check = area.allocate()
    with pytest.raises(PowerFlowError):
        attack(check.robust_rows, check.limits_w * 100, np.random.default_rng(0))


def test_an_empty_box_is_one_point():
    area = small_area(4, 0, interface=InterfaceLimits(1.0, 1.0))
    check = area.allocate()
    found = attack(check.robust_rows, 0 * check.limits_w, np.random.default_rng(0))
    assert found.violation < -0.5
    np.testing.assert_array_equal(found.operating_point.power_w, 0)


def test_the_same_seed_finds_the_same():
    area = small_area(**SMALL_AREAS["thin lines"])
    check = area.allocate()
    once, again = (
        attack(check.robust_rows, check.limits_w, np.random.default_rng(5)) for _ in range(2)
    )
    assert once.element == again.element
    assert once.violation == again.violation
    np.testing.assert_array_equal(once.operating_point.power_w, again.operating_point.power_w)


def test_looks_inside_the_box_too():
    """Where losses bend a voltage down, those in between are worse than either of their ends."""
    network = simbench_network("1-MV-rural--0-sw")
    capacity = Capacity.same(network.connection_points, 3_000_000, 3_000_000)
    grid = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity)
    robust = grid.robust_rows(InterfaceLimits(0.98, 1.04))
    count = len(network.connection_points)
    limits_w = np.repeat([500_000, 300_000], count)
    found = attack(robust, limits_w, np.random.default_rng(0), samples=64, climbs=4)
    power_w, held_pu = found.operating_point.power_w, found.operating_point.interface_voltage_pu
    between = (power_w < 499_999) & (power_w > -299_999)
    assert found.element.startswith("bus:")
    assert between.any()
    ends = np.where(power_w > 100_000, 500_000, -300_000)
    power = np.stack([power_w, np.where(between, ends, power_w)], axis=1)
    flow = only_flow(grid.monitors)
    solved = solve(flow, power / network.base_power_w, np.full(2, held_pu))
    voltage = np.abs(np.asarray(network.voltages.incidence @ flow.node_voltages(solved)))
    inside, rounded = voltage[network.voltages.elements.index(found.element)]
    assert inside == pytest.approx(found.value, abs=1e-8)
    assert inside > rounded
