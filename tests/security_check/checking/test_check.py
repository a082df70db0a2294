"""The check of trades against every vertex of the box, and the life of its state."""

from __future__ import annotations

import re

import numpy as np
import pytest
from brute_force import Limits, violation
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BAND, SMALL_AREAS, Area, simbench_network, small_area
from presence import there
from sampling import examples
from trade_moves import INJECTION, WITHDRAWAL, column, moved, random_trades, trade

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.check import SecurityCheck
from security_check.checking.verdict import LimitChange
from security_check.errors import InsecureError, PowerFlowError
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.verification.adversary import attack
from security_check.worst_case.search import WorstPointSearch

ROUNDING = 2e-9  # the check takes 1e-9 for rounding, the reference has its own


@pytest.fixture(params=SMALL_AREAS)
def area(request) -> Area:
    return small_area(**SMALL_AREAS[request.param])


def true_largest_w(
    area: Area, check: SecurityCheck, direction: Direction, seller: str, buyer: str, wanted_w: int
) -> int:
    """Return the largest secure transfer by bisection over the vertices' AC power flow."""

    def is_secure(quantity_w: int) -> bool:
        limits_w = check.limits_w
        limits_w[column(check, direction, seller)] -= quantity_w
        limits_w[column(check, direction, buyer)] += quantity_w
        return violation(area.flow, area.limits, limits_w) <= ROUNDING

    low, high = 0, wanted_w + 1
    assert is_secure(0)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_secure(middle) else (low, middle)
    return low


class TestLargestSecureQuantity:
    @pytest.mark.slow
    def test_is_that_of_the_vertices(self, area, request):
        """What is confirmed is secure everywhere, and little of what would be is lost.

        A straight row lies above a quantity that bends down with power, so where such a quantity
        binds (thin lines; a transformer behind unlike feeders) the first answer may be small.
        """
        check = area.allocate()
        found, possible = [], []
        for direction, seller, buyer, wanted_w in random_trades(check, 40, seed=1):
            most_w = true_largest_w(area, check, direction, seller, buyer, wanted_w)
            before = check.limits_w
            quantity_w = trade(check, direction, seller, buyer, wanted_w)
            assert quantity_w <= most_w
            after = check.limits_w
            assert violation(area.flow, area.limits, after) <= ROUNDING
            expected = before.copy()
            expected[column(check, direction, seller)] -= quantity_w
            expected[column(check, direction, buyer)] += quantity_w
            np.testing.assert_array_equal(after, expected)
            found.append(quantity_w)
            possible.append(most_w)
        assert 0 < sum(1 for f, p in zip(found, possible, strict=True) if f < p or not p) < 40
        assert sum(found) >= 0.6 * sum(possible)

    @pytest.mark.parametrize("name", ["voltages bind", "interface", "small transformer"])
    def test_is_within_a_percent_where_quantities_are_nearly_straight(self, name):
        area = small_area(**SMALL_AREAS[name])
        for seed in range(6):
            check = area.allocate()
            (order,) = random_trades(check, 1, seed)
            most_w = true_largest_w(area, check, *order)
            assert trade(check, *order) >= 0.99 * most_w - 2

    def test_is_the_smallest_quotient_of_headroom_and_slope(self, area):
        check = area.allocate()
        base_w = area.flow.network.base_power_w
        for direction, seller, buyer, _ in random_trades(check, 30, seed=2):
            slope = (
                check.rows.A[:, column(check, direction, buyer)]
                - check.rows.A[:, column(check, direction, seller)]
            )
            room_w = base_w * check.headroom[slope > 0] / slope[slope > 0]
            expected = max(int(np.floor(room_w.min(initial=1e6))), 0)
            quantity_w, element = check.largest_secure_w(direction, seller, buyer, 1_000_000)
            assert quantity_w == expected
            if element:
                names = {check.robust_rows.element(int(row)) for row in check.rows.rows}
                assert element in names

    def test_nothing_moves_in_a_full_row_that_the_buyer_loads_more(self):
        area = small_area(5, 1)
        check = area.allocate()
        full = check.headroom <= check.headroom.min() + 1e-12
        row = check.rows.A[np.flatnonzero(full)[0]][:5]
        seller, buyer = check.connection_points[row.argmin()], check.connection_points[row.argmax()]
        quantity_w, element = check.largest_secure_w(INJECTION, seller, buyer, 5_000)
        assert quantity_w < 5
        assert element == area.allocate().envelopes().envelopes()[row.argmax()].injection_bottleneck


class TestConfirmAndCommit:
    def test_confirming_changes_no_limit(self, area):
        check = area.allocate()
        before, headroom = check.limits_w, check.headroom.copy()
        seller, buyer, *_ = check.connection_points
        assert check.confirm(moved(INJECTION, seller, buyer, 1)).secure
        check.confirm(moved(INJECTION, seller, buyer, 400))
        np.testing.assert_array_equal(check.limits_w, before)
        assert not np.shares_memory(check.limits_w, check.limits_w)
        if check.headroom.shape == headroom.shape:
            np.testing.assert_allclose(check.headroom, headroom, rtol=0, atol=1e-4)

    @settings(deadline=None, max_examples=examples(60))
    @given(data=st.data())
    def test_a_verdict_is_that_of_the_vertices(self, data):
        """Any joint change of limits, also one that adds power, near what is secure."""
        name = data.draw(st.sampled_from(sorted(SMALL_AREAS)))
        area = small_area(**SMALL_AREAS[name])
        check = area.allocate()
        limits_w = check.limits_w
        target = data.draw(
            st.lists(st.floats(0.7, 1.35), min_size=len(limits_w), max_size=len(limits_w))
        )
        wanted_w = (limits_w * np.array(target)).astype(int)
        changes = [
            LimitChange(point, direction, int(wanted_w[k] - limits_w[k]))
            for direction in Direction
            for point in check.connection_points
            for k in [column(check, direction, point)]
        ]
        truth = violation(area.flow, area.limits, wanted_w)
        verdict = check.confirm(changes)
        # A worst point may lie between the vertices; the verdict may then see a little more.
        assert verdict.loading - 1 >= truth - 1e-6 or truth < -0.05
        if truth > ROUNDING:
            assert not verdict.secure
            assert verdict.loading > 1
            with pytest.raises(InsecureError, match=verdict.element):
                check.commit(changes)
            np.testing.assert_array_equal(check.limits_w, limits_w)
        elif verdict.secure:
            check.commit(changes)
            np.testing.assert_array_equal(check.limits_w, wanted_w)
            assert check.verdict == verdict
        else:
            assert truth > -1e-3, "refused, far from any limit"

    def test_committing_without_asking_asks(self, area):
        check, twin = area.allocate(), area.allocate()
        seller, buyer, *_ = check.connection_points
        changes = moved(INJECTION, seller, buyer, 1)
        assert twin.confirm(changes).secure
        twin.commit(changes)
        check.commit(changes)
        np.testing.assert_array_equal(check.limits_w, twin.limits_w)
        assert check.verdict == twin.verdict

    def test_committing_something_else_than_confirmed_asks_again(self):
        area = small_area(5, 1)
        check = area.allocate()
        row = check.rows.A[check.headroom.argmin()][:5]
        seller, buyer = check.connection_points[row.argmin()], check.connection_points[row.argmax()]
        assert check.confirm(moved(INJECTION, buyer, seller, 100)).secure
        before = check.limits_w
        with pytest.raises(InsecureError):
            check.commit(moved(INJECTION, seller, buyer, 3_000))
        np.testing.assert_array_equal(check.limits_w, before)

    def test_a_confirmation_counts_once(self):
        area = small_area(5, 1)
        check = area.allocate()
        row = check.rows.A[check.headroom.argmin()][:5]
        seller, buyer = check.connection_points[row.argmin()], check.connection_points[row.argmax()]
        check.commit(moved(INJECTION, buyer, seller, 100))
        changes = moved(INJECTION, seller, buyer, 90)
        assert check.confirm(changes).secure
        check.commit(changes)
        before = check.limits_w
        with pytest.raises(InsecureError):
            check.commit(changes)  # secure once, not twice
        np.testing.assert_array_equal(check.limits_w, before)

    def test_a_refusal_teaches_the_rows(self):
        """Rows are straight, the network is not: what was refused is not offered again."""
        taught = 0
        for arguments in SMALL_AREAS.values():
            check = small_area(**arguments).allocate()
            for direction, seller, buyer, wanted_w in random_trades(check, 40, seed=3):
                first_w, _ = check.largest_secure_w(direction, seller, buyer, wanted_w)
                if not first_w:
                    continue
                changes = moved(direction, seller, buyer, first_w)
                if check.confirm(changes).secure:
                    check.commit(changes)
                    continue
                second_w, element = check.largest_secure_w(direction, seller, buyer, first_w)
                assert second_w < first_w
                assert element
                taught += 1
        assert taught >= 10

    def test_a_limit_below_zero_is_refused(self):
        check = small_area(4, 0).allocate()
        held_w = int(check.limits_w[0])
        with pytest.raises(ValueError, match=f"load:0.*{-held_w - 1}.*-1 W"):
            check.confirm([LimitChange("load:0", INJECTION, -held_w - 1)])

    def test_an_unknown_connection_point_is_no_answer(self):
        check = small_area(4, 0).allocate()
        with pytest.raises(KeyError):
            check.confirm([LimitChange("load:77", INJECTION, 1)])
        with pytest.raises(KeyError):
            check.largest_secure_w(INJECTION, "load:0", "load:77", 1)


class TestFailsClosed:
    def test_a_power_flow_without_solution_confirms_nothing(self):
        check = small_area(5, 1).allocate()
        before, verdict = check.limits_w, check.verdict
        collapse = [LimitChange(point, WITHDRAWAL, 10**6) for point in check.connection_points]
        with pytest.raises(PowerFlowError):
            check.confirm(collapse)
        with pytest.raises(PowerFlowError):
            check.commit(collapse)
        np.testing.assert_array_equal(check.limits_w, before)
        assert check.verdict == verdict
        assert trade(check, WITHDRAWAL, "load:0", "load:1", 1) == 1  # and life goes on

    def test_a_failed_check_forgets_no_earlier_confirmation_wrongly(self):
        """After a failure only what is confirmed, or secure when asked again, is committed."""
        check = small_area(5, 1).allocate()
        changes = moved(INJECTION, "load:0", "load:1", 1)
        check.confirm(changes)
        with pytest.raises(PowerFlowError):
            check.confirm([LimitChange("load:0", WITHDRAWAL, 10**7)])
        check.commit(changes)
        assert violation(*_of(small_area(5, 1)), check.limits_w) <= ROUNDING

    def test_envelopes_that_are_not_secure_get_no_check(self, area):
        secure_w = area.allocate().limits_w
        robust = area.grid.robust_rows(area.limits.interface)
        with pytest.raises(InsecureError) as caught:
            SecurityCheck(WorstPointSearch(robust), (secure_w * 1.02).astype(int) + 5)
        assert caught.value.element in str(caught.value)
        with pytest.raises(PowerFlowError):
            SecurityCheck(WorstPointSearch(robust), secure_w * 100)


def _of(area: Area) -> tuple[PowerFlow, Limits]:
    return area.flow, area.limits


class TestState:
    @pytest.mark.parametrize("name", SMALL_AREAS)
    def test_after_hundreds_of_trades_is_one_computed_from_nothing(self, name):
        area = small_area(**SMALL_AREAS[name])
        check = area.allocate()
        done = 0
        for k, (direction, seller, buyer, wanted_w) in enumerate(random_trades(check, 300, seed=4)):
            done += trade(check, direction, seller, buyer, wanted_w) > 0
            if k % 25 == 24:
                self.assert_equal_from_nothing(area, check)
        assert done >= 50
        self.assert_equal_from_nothing(area, check)

    @staticmethod
    def assert_equal_from_nothing(area: Area, check: SecurityCheck) -> None:
        fresh = area.grid.resume(area.limits.interface, check.envelopes())
        np.testing.assert_array_equal(fresh.limits_w, check.limits_w)
        assert check.verdict.secure
        assert fresh.verdict.secure
        limits = check.robust_rows.limits
        tightest = [
            {
                int(row): min(h for r, h in zip(c.rows.rows, c.headroom, strict=True) if r == row)
                for row in set(c.rows.rows)
            }
            for c in (check, fresh)
        ]
        for row in set(tightest[0]) | set(tightest[1]):
            here, there = (found.get(row, np.inf) / limits.scale[row] for found in tightest)
            if min(here, there) < 0.02:  # near its limit: both must know it, and agree
                assert here == pytest.approx(there, abs=1e-6), check.robust_rows.element(row)

    @pytest.mark.slow
    def test_after_a_thousand_trades_on_a_real_network_is_one_computed_from_nothing(self):
        network = simbench_network("1-LV-semiurb4--0-sw")
        capacity = Capacity.same(network.connection_points, 30_000, 30_000)
        grid = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity)
        area = Area(grid, Limits(VoltageLimits(0.90, 1.10), BAND))
        check = area.allocate()
        done = 0
        for direction, seller, buyer, wanted_w in random_trades(check, 3_000, seed=7):
            done += trade(check, direction, seller, buyer, wanted_w) > 0
            if done % 100 == 99:
                check.check_invariants()
                self.assert_equal_from_nothing(area, check)
            if done == 1_100:
                break
        assert done >= 1_000
        self.assert_equal_from_nothing(area, check)
        found = attack(check.robust_rows, check.limits_w, np.random.default_rng(1), samples=500)
        assert found.violation <= ROUNDING

    def test_a_copy_is_independent(self, area):
        check = area.allocate()
        other = check.copy()
        before, headroom = check.limits_w, check.headroom.copy()
        moves = 0
        for direction, seller, buyer, wanted_w in random_trades(other, 30, seed=5):
            moves += trade(other, direction, seller, buyer, wanted_w) > 0
        assert moves
        np.testing.assert_array_equal(check.limits_w, before)
        np.testing.assert_array_equal(check.headroom, headroom)
        assert (other.limits_w != before).any()
        # A confirmation belongs to the one that was asked.
        seller, buyer, *_ = check.connection_points
        held = check.copy()
        changes = moved(INJECTION, seller, buyer, 1)
        held.confirm(changes)
        check.commit(changes)
        np.testing.assert_array_equal(held.limits_w, before)

    def test_limits_are_handed_out_as_copies(self):
        check = small_area(4, 0).allocate()
        check.limits_w[:] = 0
        assert (check.limits_w > 0).all()
        with pytest.raises(ValueError, match="read-only"):
            check.envelopes().injection_w[0] = 0


class TestEnvelopes:
    def test_bottlenecks_after_a_trade_are_what_stops_each_limit_alone(self, area):
        check = area.allocate()
        for direction, seller, buyer, wanted_w in random_trades(check, 10, seed=6):
            trade(check, direction, seller, buyer, wanted_w)
        named = 0
        for envelope in check.envelopes():
            for direction, bottleneck in (
                (INJECTION, envelope.injection_bottleneck),
                (WITHDRAWAL, envelope.withdrawal_bottleneck),
            ):
                verdict = None
                for change_w in (1_000, 3_000, 10_000):
                    change = LimitChange(envelope.connection_point, direction, change_w)
                    verdict = check.copy().confirm([change])
                    if not verdict.secure:
                        break
                if bottleneck and not there(verdict).secure and change_w == 1_000:
                    stops = {
                        check.robust_rows.element(int(row))
                        for row, headroom in zip(check.rows.rows, check.headroom, strict=True)
                        if headroom < 0.2
                    }
                    assert bottleneck in stops
                    named += 1
        assert named

    @pytest.mark.parametrize("name", ["voltages bind", "interface", "thin lines"])
    def test_what_is_said_after_each_trade_is_what_a_fresh_check_says(self, name):
        """Also where it was asked before the trade, of the envelopes then."""
        area = small_area(**SMALL_AREAS[name])
        check, changed = area.allocate(), 0
        assert check.envelopes().fairness_gap is not None
        said = {element: check.explain(element) for element in elements(check)}
        for order in random_trades(check, 8, seed=9):
            if not trade(check, *order):
                continue
            assert check.envelopes().fairness_gap is None
            fresh = area.grid.resume(area.limits.interface, check.envelopes())
            for element in elements(check) | said.keys():
                text = check.explain(element)
                assert numbers(text) == pytest.approx(numbers(fresh.explain(element)), rel=1e-5)
                changed += said.get(element) not in {None, text}
                said[element] = text
            here, there = (
                {(e.verdict.element, e.verdict.limit): e.value_pu for e in c.explanations()}
                for c in (check, fresh)
            )
            assert here == pytest.approx(there, abs=1e-6)
        assert changed > 1

    def test_bottlenecks_given_last_until_a_trade(self):
        check = small_area(4, 0).allocate()
        names = [f"reason {i}" for i in range(8)]
        other = check.with_bottlenecks(names)
        assert list(other.envelopes().injection_bottlenecks) == names[:4]
        assert list(other.envelopes().withdrawal_bottlenecks) == names[4:]
        assert "reason 0" not in check.envelopes().injection_bottlenecks
        assert trade(other, INJECTION, "load:0", "load:1", 1) == 1
        assert not set(names) & set(other.envelopes().injection_bottlenecks)

    def test_without_any_limit_near_nothing_is_named(self):
        area = small_area(4, 0, capacity_w=500, fallback_w=0, interface=InterfaceLimits(1.0, 1.0))
        check = area.grid.resume(area.limits.interface, _tiny(area))
        assert set(check.envelopes().injection_bottlenecks) == {""}
        assert check.largest_secure_w(INJECTION, "load:0", "load:1", 1) == (1, "")
        assert check.verdict.secure

    @pytest.mark.parametrize("part", [0.01, 0.08, 0.3, 0.5, 0.9])
    def test_after_large_sales_only_what_a_fresh_check_names_is_named(self, part):
        network = simbench_network("1-LV-semiurb4--0-sw")
        points = network.connection_points
        capacity = Capacity.same(points, 30_000, 30_000)
        grid = NetworkGrid(network, VoltageLimits(0.9, 1.1), capacity)
        check = grid.allocate(BAND)
        sold = (part * check.limits_w).astype(np.int64).reshape(2, -1)
        changes = [
            LimitChange(point, direction, -int(sold[k, i]))
            for k, direction in enumerate((INJECTION, WITHDRAWAL))
            for i, point in enumerate(points)
        ]
        check.commit(changes)
        fresh = SecurityCheck(grid.search(BAND), check.limits_w)
        assert check.verdict.element == fresh.verdict.element
        assert check.verdict.loading == pytest.approx(fresh.verdict.loading, abs=1e-6)
        assert check.explain(fresh.verdict.element) == fresh.explain(fresh.verdict.element)
        if not fresh.verdict.element:
            assert set(check.envelopes().injection_bottlenecks) == {""}


def elements(check: SecurityCheck) -> set[str]:
    return {check.robust_rows.element(int(row)) for row in check.rows.rows}


def numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text.replace(",", ""))]


def _tiny(area: Area):
    held = area.allocate().envelopes()
    count = len(held)
    return type(held)(held.connection_points, np.ones(count), np.ones(count))
