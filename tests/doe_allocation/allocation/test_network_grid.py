"""Allocation, reallocation and resumption on small networks that can be tried in full."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
from brute_force import Limits, violation
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import BAND, SMALL_AREAS, Area, feeder, small_area
from sampling import examples
from uncertain_networks import AREAS as UNCERTAIN_AREAS
from uncertain_networks import SETS, extreme_points, model, uncertain_area

from doe_allocation.allocation import ac_filling
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.verdict import LimitChange
from security_check.errors import InsecureError, PowerFlowError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.modifications.reactive_freedom import with_reactive_freedom
from security_check.verification.adversary import attack

ROUNDED_W = 3  # limits are whole watts, rounded down, and rows are exact to about a watt
ROUNDING = 2e-9  # the check takes 1e-9 for rounding, the reference has its own
LOST = 5e-3  # part of a limit that rows which bend may cost although all was secure
AREAS = pytest.mark.parametrize("name", SMALL_AREAS)
BANDS = ((0.97, 1.05), (0.98, 1.04), (0.99, 1.03), (1.0, 1.0))


def secure(area: Area, limits: InterfaceLimits, limits_w: np.ndarray) -> bool:
    return violation(area.flow, Limits(area.limits.voltage, limits), limits_w) <= 2e-9


def _collapsed(*_):
    raise PowerFlowError("too far up")


def held_by(area: Area, limits_w: np.ndarray) -> EnvelopeSet:
    injection_w, withdrawal_w = np.split(limits_w, 2)
    return EnvelopeSet(area.grid.connection_points, injection_w, withdrawal_w)


def uneven(area: Area, limits: InterfaceLimits):
    """Return a secure state in which customers have traded, so that holdings differ."""
    check = area.grid.allocate(limits)
    points = check.connection_points
    for k, (seller, buyer) in enumerate(pairwise(points)):
        for direction in Direction:
            held_w = int(check.envelopes().limits_w(direction)[k])
            wanted_w = min(700 * (k + 1), held_w - 500)
            quantity_w, _ = check.largest_secure_w(direction, seller, buyer, wanted_w)
            changes = [
                LimitChange(seller, direction, -quantity_w),
                LimitChange(buyer, direction, quantity_w),
            ]
            if quantity_w and check.confirm(changes).secure:
                check.commit(changes)
    return check


class TestAllocate:
    @AREAS
    def test_is_secure_at_every_vertex_and_tight(self, name):
        area = small_area(**SMALL_AREAS[name])
        check = area.allocate()
        lower, upper = area.grid.capacity.lower_w(), area.grid.capacity.upper_w()
        assert ((check.limits_w >= lower) & (check.limits_w <= upper)).all()
        worst = violation(area.flow, area.limits, check.limits_w)
        assert -2e-4 < worst <= 2e-9
        names = check.envelopes()
        reasons = np.array(names.injection_bottlenecks + names.withdrawal_bottlenecks)
        np.testing.assert_array_equal(reasons == "capacity", check.limits_w == upper)
        assert "" not in reasons

    @AREAS
    @pytest.mark.parametrize("bisections", [0, 1, 10])
    def test_is_secure_where_searches_refute_whatever_is_drawn_in(
        self, name, bisections, monkeypatch
    ):
        """At the worst the lower bounds are published, each limit with what stopped it."""
        area = small_area(**SMALL_AREAS[name])
        usual = area.allocate().limits_w
        monkeypatch.setattr(ac_filling, "_iterated", _collapsed)
        monkeypatch.setattr(ac_filling, "fill_by_levels", lambda *_: None)
        monkeypatch.setattr(ac_filling, "_raised", _collapsed)
        monkeypatch.setattr(ac_filling, "_BISECTIONS", bisections)
        check = area.grid.allocate(area.limits.interface)
        assert violation(area.flow, area.limits, check.limits_w) <= 2e-9
        lower = area.grid.capacity.lower_w()
        assert (check.limits_w >= lower).all()
        if bisections == 0:
            np.testing.assert_array_equal(check.limits_w, lower)
        if bisections == 10:
            assert check.limits_w.sum() > 0.5 * usual.sum()
        names = check.envelopes()
        assert "" not in names.injection_bottlenecks + names.withdrawal_bottlenecks

    @pytest.mark.parametrize("cone", [0.01, 0.05, 0.1])
    def test_wide_cones_have_secure_envelopes(self, cone):
        network = network_from_pandapower(feeder(4, 1))
        network = with_reactive_freedom(network, cone_power_factor=cone)
        capacity = Capacity.same(network.connection_points, 25_000, 25_000)
        check = NetworkGrid(network, VoltageLimits(), capacity).allocate(BAND)
        assert check.limits_w.min() > 0
        assert check.verdict.loading > 0.99, "a limit is nearly reached"
        found = attack(check.robust_rows, check.limits_w, np.random.default_rng(1))
        assert found.violation <= 1e-9

    @AREAS
    def test_those_with_one_bottleneck_cannot_have_more(self, name):
        area = small_area(**SMALL_AREAS[name])
        check = area.allocate()
        names = check.envelopes()
        reasons = np.array(names.injection_bottlenecks + names.withdrawal_bottlenecks)
        for reason in set(reasons) - {"capacity"}:
            more = check.limits_w
            more[reasons == reason] = (more[reasons == reason] * 1.01).astype(np.int64) + 1
            assert not secure(area, area.limits.interface, more), reason

    def test_weights_are_ratios_where_all_share_one_limit(self):
        area = small_area(4, 3)
        weights = np.array([1.0, 2.0, 1.0, 3.0] * 2)
        grid = NetworkGrid(
            area.grid.network,
            area.limits.voltage,
            Capacity.same(area.grid.connection_points, 25_000, 25_000),
            weights,
        )
        limits_w = grid.allocate(InterfaceLimits(0.98, 1.04, 30_000, 20_000)).limits_w
        for part in np.split(limits_w / weights, 2):
            assert np.ptp(part) < 2
        plain = area.grid.allocate(InterfaceLimits(0.98, 1.04, 30_000, 20_000)).limits_w
        assert np.ptp(plain[:4]) < 2

    @settings(deadline=None, max_examples=30)
    @given(
        name=st.sampled_from(sorted(SMALL_AREAS)),
        injection_w=st.integers(20_000, 120_000),
        withdrawal_w=st.integers(20_000, 120_000),
        less=st.floats(0.4, 1.0),
    )
    def test_a_lower_tso_limit_never_raises_the_least(self, name, injection_w, withdrawal_w, less):
        area = small_area(**SMALL_AREAS[name])
        loose = InterfaceLimits(0.98, 1.04, injection_w, withdrawal_w)
        tight = InterfaceLimits(0.98, 1.04, int(injection_w * less), withdrawal_w)
        before, after = (area.grid.allocate(limits).limits_w for limits in (loose, tight))
        assert after.min() <= before.min() + ROUNDED_W
        assert secure(area, tight, after)
        assert secure(area, loose, before)

    @AREAS
    def test_a_wider_band_never_raises_the_least(self, name):
        area = small_area(**SMALL_AREAS[name])
        least = [area.grid.allocate(InterfaceLimits(*band)).limits_w.min() for band in BANDS]
        assert all(a <= b + ROUNDED_W for a, b in pairwise(least))

    def test_fallbacks_that_are_not_secure_name_the_element(self):
        area = small_area(4, 3)
        with pytest.raises(InsecureError, match=r"interface: .* W"):
            area.grid.allocate(InterfaceLimits(0.98, 1.04, None, 1_000))
        high = small_area(6, 1, capacity_w=25_000, fallback_w=20_000)
        with pytest.raises(InsecureError, match=r"(bus|line|trafo):\d"):
            high.allocate()


class TestReallocate:
    def test_the_same_limits_change_nothing(self):
        for arguments in SMALL_AREAS.values():
            area = small_area(**arguments)
            check = area.allocate()
            again = area.grid.reallocate(area.limits.interface, check.envelopes())
            assert (again.limits_w >= check.limits_w).all()
            assert (again.limits_w - check.limits_w).max() <= ROUNDED_W

    @pytest.mark.parametrize("cut_w", [500, 8_000, 20_000])
    def test_less_curtails_pro_rata_above_the_fallback(self, cut_w):
        area = small_area(**SMALL_AREAS["interface"])
        limits = area.limits.interface
        check = uneven(area, limits)
        had = check.limits_w
        assert np.ptp(had[:4]) > 1_000
        tight = InterfaceLimits(0.99, 1.03, limits.injection_limit_w - cut_w, 60_000)
        after = area.grid.reallocate(tight, check.envelopes())
        assert secure(area, tight, after.limits_w)
        share = (after.limits_w[:4] - 500) / (had[:4] - 500)
        assert share.max() < 1
        # Rounding down leaves a few watts that the filling shares again.
        np.testing.assert_allclose(share, share.mean(), atol=2e-3)
        given = had[:4].sum() - after.limits_w[:4].sum()
        assert cut_w - 4 * ROUNDED_W <= given <= 1.06 * cut_w
        assert set(after.envelopes().injection_bottlenecks) == {"interface"}
        assert (after.limits_w[4:] >= had[4:]).all()

    def test_only_those_who_take_part_are_curtailed(self):
        """Lowering one feeder's room through the band leaves the other direction as it is."""
        area = small_area(**SMALL_AREAS["interface"])
        limits = area.limits.interface
        check = uneven(area, limits)
        tight = InterfaceLimits(0.99, 1.03, limits.injection_limit_w, 30_000)
        after = area.grid.reallocate(tight, check.envelopes())
        assert (after.limits_w[:4] >= check.limits_w[:4]).all()
        assert (after.limits_w[4:] < check.limits_w[4:]).all()

    @AREAS
    def test_more_is_shared_on_top(self, name):
        """From what is left of all limits, equal increments until something binds."""
        area = small_area(**SMALL_AREAS[name])
        tight = InterfaceLimits(0.99, 1.03, 20_000, 20_000)
        loose = InterfaceLimits(0.99, 1.03, 28_000, 20_000)
        check = uneven(area, tight)
        had = check.limits_w
        after = area.grid.reallocate(loose, check.envelopes())
        count = len(had) // 2
        rise = after.limits_w - had
        assert (rise >= -LOST * had).all()
        assert secure(area, loose, after.limits_w)
        names = np.array(after.envelopes().injection_bottlenecks)
        shared = names == "interface"
        assert shared.any()
        assert np.ptp(rise[:count][shared]) <= 2
        assert rise[:count][~shared].max(initial=0) <= rise[:count][shared].min() + 2
        assert rise[:count].sum() > 3_000

    @settings(deadline=None, max_examples=30)
    @given(
        name=st.sampled_from(sorted(SMALL_AREAS)),
        band=st.sampled_from(BANDS),
        injection_w=st.none() | st.integers(8_000, 120_000),
        withdrawal_w=st.none() | st.integers(8_000, 120_000),
    )
    def test_any_update_is_secure_and_keeps_what_it_can(
        self, name, band, injection_w, withdrawal_w
    ):
        area = small_area(**SMALL_AREAS[name])
        check = uneven(area, area.limits.interface)
        low, high = band
        update = InterfaceLimits(low, high, injection_w, withdrawal_w)
        after = area.grid.reallocate(update, check.envelopes())
        lower, upper = area.grid.capacity.lower_w(), area.grid.capacity.upper_w()
        assert ((after.limits_w >= lower) & (after.limits_w <= upper)).all()
        assert secure(area, update, after.limits_w)
        if secure(area, update, check.limits_w):
            kept = after.limits_w >= check.limits_w * (1 - LOST) - ROUNDED_W
            assert kept.all(), "curtailed without need"
        names = after.envelopes()
        assert "" not in names.injection_bottlenecks + names.withdrawal_bottlenecks


class TestIntervals:
    @settings(deadline=None, max_examples=examples(24))
    @given(
        name=st.sampled_from(sorted(UNCERTAIN_AREAS)),
        kinds=st.lists(st.sampled_from(sorted(SETS)), min_size=2, max_size=3, unique=True),
    )
    @example(name="thin lines", kinds=["box", "small budget", "flat ellipsoid"])
    def test_one_after_another_of_different_uncertainty_are_as_secure_as_each_alone(
        self, name, kinds
    ):
        """What an interval learned of its worst deviations does not count in the next."""
        area = uncertain_area(**UNCERTAIN_AREAS[name])
        grid, contract = copy.copy(area.grid), area.limits.interface
        for kind in kinds:
            grid = grid.with_forecast(model(SETS[kind]).forecast(grid.network))
            check, alone = grid.allocate(contract), area.with_set(SETS[kind]).allocate(contract)
            more = area.half_band_pu @ extreme_points(SETS[kind]).T
            assert violation(area.flow, area.limits, check.limits_w, more) <= ROUNDING
            np.testing.assert_allclose(check.limits_w, alone.limits_w, atol=ROUNDED_W)
            found = grid.attack(
                contract, check.limits_w, np.random.default_rng(0), samples=16, climbs=2
            )
            assert found.violation <= ROUNDING


class TestResume:
    @AREAS
    def test_is_the_state_left(self, name):
        area = small_area(**SMALL_AREAS[name])
        check = uneven(area, area.limits.interface)
        again = area.grid.resume(area.limits.interface, check.envelopes())
        np.testing.assert_array_equal(again.limits_w, check.limits_w)
        assert again.verdict.secure
        assert again.verdict.loading == pytest.approx(check.verdict.loading, abs=1e-6)
        assert again.envelopes() == check.envelopes()

    def test_refuses_what_is_not_secure(self):
        area = small_area(**SMALL_AREAS["interface"])
        held = area.allocate().envelopes()
        with pytest.raises(InsecureError, match="interface"):
            area.grid.resume(InterfaceLimits(0.99, 1.03, 20_000, 60_000), held)


class TestWhatDoesNotFit:
    def test_capacities_of_another_network(self):
        network = small_area(4, 0).grid.network
        with pytest.raises(ValueError, match="connection points"):
            NetworkGrid(network, VoltageLimits(), Capacity.same(["load:0"], 1, 1))

    @pytest.mark.parametrize("weights", [np.ones(3), np.zeros(8), np.full(8, np.nan), -np.ones(8)])
    def test_weights(self, weights):
        grid = small_area(4, 0).grid
        with pytest.raises(ValueError, match="weights"):
            NetworkGrid(grid.network, VoltageLimits(), grid.capacity, weights)

    def test_a_fallback_above_capacity_names_the_point(self):
        with pytest.raises(ValueError, match=r"b: 0 <= fallback 9 W <= withdrawal capacity 8 W"):
            Capacity(("a", "b"), *(np.array(x) for x in ([9, 9], [9, 8], [1, 1], [1, 9])))
