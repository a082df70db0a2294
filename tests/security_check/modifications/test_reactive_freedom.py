"""Reactive power that connection points choose: against every vertex, one by one.

Brute force tries each customer at both ends of active power, and at none where reactive power
grows with it, each at both ends of the reactive power it may then have.
"""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import complex_vertices, measured, of_rows, violation, worst_values
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import REACTIVE_AREAS, Area, feeder, simbench_network, small_area
from presence import there
from random_boxes import IDLE, check_worst_of_all_vertices, random_box
from sampling import examples, some

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.verdict import LimitChange
from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.modifications.reactive_freedom import with_reactive_freedom
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.points import WorstPoints
from security_check.verification.adversary import attack
from security_check.worst_case.coordinates import coordinates, placed, slopes_along
from security_check.worst_case.starting_points import drawn

AREAS = pytest.mark.parametrize("name", REACTIVE_AREAS)


def numbers(area: Area, points: WorstPoints, u: np.ndarray) -> np.ndarray:
    """Return the complex powers of all customers at some points, shape (c, r), per unit."""
    conditions = area.grid.robust_rows(area.limits.interface).conditions
    base_w = area.flow.network.base_power_w
    each = [
        conditions.operating_point(points.take(np.array([k])), u) for k in range(len(points.share))
    ]
    return np.stack([(s.power_w + 1j * s.reactive_var) / base_w for s in each], axis=1)


class TestStatements:
    def test_are_ranges_of_reactive_power(self):
        network = network_from_pandapower(feeder(3), power_factor=0.9)
        network = with_reactive_freedom(
            network,
            cone_power_factor={"load:0": 0.8},
            range_var={"load:0": (-1_000.0, 3_000.0), "load:2": (500.0, 500.0)},
        )
        freedom = there(network.reactive_freedom)
        np.testing.assert_allclose(freedom.cone, [0.75, 0.0, 0.0])
        np.testing.assert_allclose(freedom.middle * network.base_power_w, [1_000, 0, 500])
        np.testing.assert_allclose(freedom.half * network.base_power_w, [2_000, 0, 0])
        np.testing.assert_allclose(network.reactive_ratio, np.tan(np.arccos(0.9)))

    def test_every_fault_names_the_customer_and_the_numbers(self):
        network = network_from_pandapower(feeder(3))
        with pytest.raises(NetworkFaults) as caught:
            with_reactive_freedom(
                network,
                cone_power_factor={"load:0": 0.0, "load:1": 1.2, "load:7": 0.9, "load:2": np.nan},
                range_var={"load:1": (5.0, -5.0), "load:2": (0.0, np.inf), "load:8": (0.0, 1.0)},
            )
        reported = [str(fault) for fault in caught.value.faults]
        assert len(reported) == 7
        assert "load:0: its cone power factor is 0.0; it must be above 0 and at most 1" in reported
        assert any(t.startswith("load:1: its reactive power is from 5 to -5 var") for t in reported)
        assert (
            "load:7: a cone power factor is given, but there is no such connection point"
            in reported
        )
        assert "load:8: a var range is given, but there is no such connection point" in reported


class TestWorstPoints:
    @settings(deadline=None, max_examples=examples(80))
    @given(name=st.sampled_from(sorted(REACTIVE_AREAS)), seed=st.integers(0, 10**6))
    def test_are_those_of_all_vertices(self, name, seed):
        """At least as bad as the worst vertex, and truly reached at the point named."""
        area = small_area(**REACTIVE_AREAS[name])
        limits_w = random_box(area, seed)
        network = area.flow.network
        u = limits_w / network.base_power_w
        robust, found = check_worst_of_all_vertices(area, limits_w)
        values, scale = robust.values(found, u), robust.limits.scale
        power = numbers(area, found.points, u)
        assert (power.real <= u[: len(power), None] + 1e-12).all()
        assert (power.real >= -u[len(power) :, None] - 1e-12).all()
        freedom, ratio = there(network.reactive_freedom), network.reactive_ratio[:, None]
        off = np.abs(power.imag - ratio * power.real - freedom.middle[:, None])
        most = freedom.half[:, None] + freedom.cone[:, None] * np.abs(power.real)
        assert (off <= most + 1e-12).all()
        at = measured(area.flow, power, robust.conditions.ports(found.points, u)[1][0])
        ends = {"highest": at["voltage"], "lowest": at["voltage"], "current": at["current"]}
        ends |= {"injected": -at["drawn"], "withdrawn": at["drawn"]}
        by_row = {int(row): value for rows, value in of_rows(robust.monitors, ends) for row in rows}
        for k, row in enumerate(found.rows):
            seen = by_row[int(row)][k]
            assert seen >= values[k] - 1e-6 * scale[row], robust.element(int(row))

    @settings(deadline=None, max_examples=examples(40))
    @given(
        name=st.sampled_from(sorted(REACTIVE_AREAS)),
        seed=st.integers(0, 10**6),
        size=st.floats(0.1, 1.5),
    )
    def test_no_bound_is_below_the_truth(self, name, seed, size):
        area = small_area(**REACTIVE_AREAS[name])
        limits_w = (random_box(area, seed) * size).astype(np.int64)
        worst = worst_values(area.flow, area.limits, limits_w)
        robust = area.grid.robust_rows(area.limits.interface)
        u = limits_w / area.flow.network.base_power_w
        bounds = area.grid.monitors.bounds(robust.conditions, u, robust.limits)
        if worst["lowest"].min() >= robust.limits.voltage_min_pu:
            for rows, brute in of_rows(area.grid.monitors, worst):
                assert (bounds[rows] >= brute - 1e-12).all()

    @AREAS
    def test_slopes_are_those_of_differences(self, name):
        """By active power, at the reactive power's part of its range; and by reactive power."""
        area = small_area(**REACTIVE_AREAS[name])
        check = area.allocate()
        robust, conditions = check.robust_rows, check.robust_rows.conditions
        u = check.limits_w / area.flow.network.base_power_w
        rng = np.random.default_rng(0)
        rows = robust.limited
        share = rng.uniform(0.7, 0.9, (len(rows), robust.points))
        share = np.where(rng.random((len(rows), 1)) < 0.5, share, 1.0 - share)
        points = drawn(conditions, share, rng)
        here = robust.problem.at(rows, points, u)
        slopes = here.slopes
        is_current = robust.monitors.kind[rows] // 2 == RowKind.CURRENT_EXPORT // 2
        busy = ~is_current | (np.abs(here.values) > IDLE * robust.limits.limit[rows])
        assert busy.sum() > len(rows) // 2
        at, low, high = coordinates(conditions, points, u)
        along = slopes_along(conditions, points, slopes, u)[:, robust.points :]
        reach = (high - low)[:, robust.points :]
        step = 1e-4
        for k in range(len(conditions.choosers)):
            ahead, behind = points.free.copy(), points.free.copy()
            ahead[:, conditions.held + k] += step
            behind[:, conditions.held + k] -= step
            up, down = (
                robust.problem.evaluate(rows, WorstPoints(points.share, free), u)[0]
                for free in (ahead, behind)
            )
            slope = along[:, k] * 0.5 * reach[:, k]
            error = np.abs((up - down) / (2 * step) - slope)
            assert error[busy].max() < 1e-6
        assert at.shape == (len(rows), robust.points + len(conditions.choosers))

    @AREAS
    def test_are_those_of_the_points_that_coordinates_place(self, name):
        """A customer who leaves zero power takes the reactive power along that a cone allows."""
        area = small_area(**REACTIVE_AREAS[name])
        check = area.allocate()
        robust, conditions = check.robust_rows, check.robust_rows.conditions
        rng = np.random.default_rng(1)
        one_sided = np.repeat(rng.random(robust.points)[None] < 0.5, 2, axis=0)
        one_sided[1] = ~one_sided[0]
        u = np.where(one_sided.ravel(), check.limits_w, 0) / area.flow.network.base_power_w
        rows = robust.limited
        idle = np.where(one_sided[0], 0.0, 1.0)  # the end of each range that is no power
        share = np.where(rng.random((len(rows), robust.points)) < 0.5, idle, 0.5)
        points = drawn(conditions, share, rng)
        points.free[:, conditions.choosing] = rng.choice([-0.9, 0.9], (len(rows), 1))
        here = robust.problem.at(rows, points, u)
        busy = np.abs(here.values) > IDLE * np.abs(robust.limits.limit[rows])
        at, low, high = coordinates(conditions, points, u)
        along = slopes_along(conditions, points, here.slopes, u)
        for k in range(robust.points):
            step = 1e-3 * (high - low)[:, k] * np.where(idle[k] == 1.0, -1.0, 1.0)
            moved = at.copy()
            moved[:, k] += step
            there = placed(conditions, points, points, moved, u)
            values, expected = robust.problem.evaluate(rows, there, u)[0], along[:, k] * step
            same = busy & (values * here.values > 0.0)  # no current that turns round
            error = np.abs(values - here.values - expected)[same]
            assert error.max() < 1e-2 * np.abs(expected[same]).max() + 1e-9
            assert same.sum() > 0.9 * busy.sum()


class TestEnvelopes:
    @AREAS
    def test_withstand_every_vertex(self, name):
        area = small_area(**REACTIVE_AREAS[name])
        check = area.allocate()
        broken = violation(area.flow, area.limits, check.limits_w)
        assert -0.01 < broken <= 1e-9, "a limit is reached, to the watt that was rounded off"

    @AREAS
    def test_withstand_the_adversary(self, name):
        area = small_area(**REACTIVE_AREAS[name])
        check = area.allocate()
        found = attack(check.robust_rows, check.limits_w, np.random.default_rng(1))
        assert -0.01 < found.violation <= 1e-9

    @AREAS
    @pytest.mark.parametrize("seed", range(3))
    def test_are_broken_by_the_adversary_where_a_vertex_breaks_them(self, name, seed):
        area = small_area(**REACTIVE_AREAS[name])
        check = area.allocate()
        rng = np.random.default_rng(seed)
        limits_w = (check.limits_w * rng.uniform(0.5, 1.3, len(check.limits_w))).astype(np.int64)
        truth = violation(area.flow, area.limits, limits_w)
        found = attack(check.robust_rows, limits_w, rng)
        assert found.violation >= truth - 1e-9
        power = (found.operating_point.power_w + 1j * found.operating_point.reactive_var)[:, None]
        network = area.flow.network
        held = np.array([found.operating_point.interface_voltage_pu])
        there = measured(area.flow, power / network.base_power_w, held)
        if found.unit == "p.u.":
            k = network.voltages.elements.index(found.element)
            assert there["voltage"][k, 0] == pytest.approx(found.value, abs=1e-8)

    @AREAS
    def test_that_are_too_large_for_it_are_broken_by_reactive_power_alone(self, name):
        """What is fair at a fixed power factor is not secure for those who choose."""
        arguments = REACTIVE_AREAS[name]
        fixed = {k: v for k, v in arguments.items() if k not in ("cone_power_factor", "range_var")}
        without = small_area(**fixed).allocate().limits_w
        area = small_area(**arguments)
        assert violation(area.flow, area.limits, without) > 1e-3
        limits_w = area.allocate().limits_w
        assert np.sort(limits_w).tolist() < np.sort(without).tolist()

    @AREAS
    @pytest.mark.parametrize("seed", [0, 2, 3])
    def test_stay_secure_trade_by_trade(self, name, seed):
        """Small trades and all that one customer holds, each checked against every vertex."""
        area = small_area(**REACTIVE_AREAS[name])
        check = area.allocate()
        rng = np.random.default_rng(seed)
        ids, traded = list(check.connection_points), 0
        for _ in range(30):
            direction = list(Direction)[rng.integers(2)]
            seller, buyer = rng.choice(ids, 2, replace=False)
            has_w = int(np.split(check.limits_w, 2)[direction == "withdrawal"][ids.index(seller)])
            most_w = min(int(rng.choice([2_000, has_w])), has_w)
            quantity_w, _ = check.largest_secure_w(direction, seller, buyer, most_w)
            changes = [
                LimitChange(seller, direction, -quantity_w),
                LimitChange(buyer, direction, quantity_w),
            ]
            if quantity_w and check.confirm(changes).secure:
                check.commit(changes)
                check.check_invariants()
                traded += 1
                assert violation(area.flow, area.limits, check.limits_w) <= 2e-9
        assert traded > 3

    @pytest.mark.parametrize("seed", range(4))
    def test_shrink_with_every_widening(self, seed):
        shapes = [
            {"cone_power_factor": factor, "range_var": (-half, half)}
            for factor, half in ((1.0, 0.0), (0.98, 0.0), (0.95, 0.0), (0.95, 1e3), (0.9, 2e3))
        ]
        levels = [small_area(4, seed, **shape).allocate().limits_w for shape in shapes]
        lowest = [limits_w.min() for limits_w in levels]
        assert (np.diff(lowest) <= 0).all()
        assert lowest[-1] < lowest[0]

    def test_without_width_are_those_of_the_fixed_power_factor(self):
        plain = small_area(5, 2, power_factor=0.95)
        network = with_reactive_freedom(plain.grid.network, cone_power_factor=1.0)
        assert network.reactive_freedom is not None
        grid = NetworkGrid(network, plain.limits.voltage, plain.grid.capacity)
        same = grid.allocate(plain.limits.interface)
        np.testing.assert_array_equal(same.limits_w, plain.allocate().limits_w)

    def test_of_a_range_of_no_width_are_those_of_a_passive_load(self):
        """A point of the range that is not a choice counts like reactive power that is there."""
        area = small_area(4, 1, range_var=(-800.0, -800.0))
        limits_w = area.allocate().limits_w
        assert violation(area.flow, area.limits, limits_w) <= 1e-9
        power = complex_vertices(area.flow.network, limits_w)
        np.testing.assert_allclose(power.imag * area.flow.network.base_power_w, -800.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "capacity_w", "factor", "half_var"),
    [
        ("1-LV-rural3--0-sw", 30_000, 0.95, 0.0),
        ("1-LV-semiurb4--0-sw", 30_000, 0.9, 500.0),
        ("1-MV-rural--0-sw", 2_000_000, 1.0, 50_000.0),
        *some([("1-MV-rural--0-sw", 2_000_000, factor, 0.0) for factor in (0.95, 0.9)], 2),
    ],
)
def test_real_networks_withstand_the_adversary(code, capacity_w, factor, half_var):
    """In medium voltage, both sides of many customers are equally bad for the same row."""
    network = with_reactive_freedom(
        simbench_network(code), cone_power_factor=factor, range_var=(-half_var, half_var)
    )
    capacity = Capacity.same(network.connection_points, capacity_w, capacity_w)
    grid = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity)
    check = grid.allocate(InterfaceLimits(0.98, 1.04))
    assert check.verdict.loading > 0.999
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(0), samples=256)
    assert found.violation <= 1e-4, f"{found.element} at {found.value}, limit {found.limit}"
