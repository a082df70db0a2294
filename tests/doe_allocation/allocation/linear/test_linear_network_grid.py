"""The grid of a linear network against the equations of its circuit, at every vertex."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from fairness_oracles import best, lexicographic_shares
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_areas import LinearArea, linear_areas
from sampling import examples

from doe_allocation.allocation.curtailment import Curtailment, CurtailmentPolicy
from doe_allocation.fairness.principles import ComparedShare, Fairness, LevelScope, Rule
from security_check.checking.verdict import LimitChange
from security_check.errors import InsecureError
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.model.limits import InterfaceLimits
from security_check.verification.monotonicity import ProofStatus

FREE = InterfaceLimits(0.9, 1.1)
TOLERANCE_W = 1e-2
PRINCIPLES = [
    Fairness(),
    Fairness(over=ComparedShare.WIDTH),
    Fairness(Rule.EQUAL),
    Fairness(Rule.EQUAL, common=LevelScope.ALL),
    Fairness(Rule.PROPORTIONAL_TO_CAPACITY),
    Fairness(Rule.PROPORTIONAL),
    Fairness(Rule.ALPHA, alpha=2.0),
    Fairness(Rule.MAXIMUM_SUM),
]
LIMIT = st.none() | st.integers(400, 1500)
# Whether the power at rest, up to 1,500 W either way, leaves room under limits of the exchange.
AREAS = linear_areas()


def within(area: LinearArea, limits: InterfaceLimits, held: EnvelopeSet) -> bool:
    """Return whether no flow leaves its limits at any vertex or at the interface."""
    low, high = area.extremes_w(held.injection_w, held.withdrawal_w)
    least, most = area.exchange_w(held.injection_w, held.withdrawal_w)
    return bool(
        (low >= area.lower_w - TOLERANCE_W).all()
        and (high <= area.upper_w + TOLERANCE_W).all()
        and (limits.injection_limit_w is None or most <= limits.injection_limit_w + TOLERANCE_W)
        and (limits.withdrawal_limit_w is None or -least <= limits.withdrawal_limit_w + TOLERANCE_W)
    )


def contract(
    area: LinearArea, injection_w: int | None, withdrawal_w: int | None
) -> InterfaceLimits:
    """Return limits of the exchange above what is exchanged at rest."""
    total = int(area.setpoint_w.sum())
    more = [None if each is None else each + abs(total) for each in (injection_w, withdrawal_w)]
    return InterfaceLimits(0.9, 1.1, *more)


@settings(deadline=None, max_examples=examples(30))
@given(AREAS, st.sampled_from(PRINCIPLES), LIMIT, LIMIT)
def test_envelopes_keep_every_vertex_within_its_limits_and_leave_no_watt_unnamed(
    area: LinearArea, fairness: Fairness, injection_w: int | None, withdrawal_w: int | None
) -> None:
    limits = contract(area, injection_w, withdrawal_w)
    grid = area.grid().with_fairness(fairness)
    held = grid.allocate(limits).envelopes()
    assert within(area, limits, held)
    attacked = grid.attack(limits, grid.resume(limits, held).limits_w, np.random.default_rng(1))
    assert attacked.violation <= 1e-6
    if fairness.is_common or fairness.over is ComparedShare.WIDTH:
        return
    for direction, names in (
        (Direction.INJECTION, held.injection_bottlenecks),
        (Direction.WITHDRAWAL, held.withdrawal_bottlenecks),
    ):
        for i, name in enumerate(names):
            limit_w = held.limits_w(direction)[i]
            assert (name == "capacity") == (limit_w == 1000)
            if name == "capacity":
                continue
            # A watt and the rounding of the others more, and the named element is beyond.
            raised = {each: held.limits_w(each) + 1 for each in Direction}
            raised[direction][i] += 1
            more = EnvelopeSet(
                area.points, raised[Direction.INJECTION], raised[Direction.WITHDRAWAL]
            )
            assert not within(area, limits, more)


@settings(deadline=None, max_examples=examples(30))
@given(AREAS, st.data())
def test_the_worst_case_of_a_branch_is_that_of_all_vertices(area: LinearArea, data) -> None:
    grid = area.grid()
    held = grid.allocate(FREE).envelopes()
    low, high = area.extremes_w(held.injection_w, held.withdrawal_w)
    check = grid.resume(FREE, held)
    sizes = check.linear_rows().headroom
    lines = len(area.ends)
    assert sizes[:lines] == pytest.approx(area.upper_w - high, abs=1e-6)
    assert sizes[lines:] == pytest.approx(low - area.lower_w, abs=1e-6)
    for each in check.explanations():
        line = int(each.verdict.element.partition(":")[2])
        flow = area.flows_w(each.operating_point.power_w)[line]
        assert each.verdict.value == pytest.approx(flow, abs=1e-6)
        assert min(abs(flow - high[line]), abs(flow - low[line])) < 1e-6
    # The adversary finds the same on any box, a secure one or not.
    u = np.array(data.draw(st.lists(st.integers(0, 2000), min_size=8, max_size=8)))
    low, high = area.extremes_w(*np.split(u, 2))
    half = (area.upper_w - area.lower_w) / 2
    worst = max(((high - area.upper_w) / half).max(), ((area.lower_w - low) / half).max())
    found = grid.attack(FREE, u, np.random.default_rng(0), samples=8)
    assert found.violation == pytest.approx(worst, abs=1e-9)


@settings(deadline=None, max_examples=examples(8))
@given(linear_areas(points=3))
def test_max_min_is_that_of_linear_programs_over_all_vertices(area: LinearArea) -> None:
    c, rest = 3, area.flows_w(np.zeros(3))
    unit = np.array([area.flows_w(each) - rest for each in np.eye(c)])  # (c, l)
    A, b = [], []
    for vertex in itertools.product((True, False), repeat=c):
        into = np.array(vertex)
        flows = np.concatenate([unit * into[:, None], -unit * ~into[:, None]]).T  # (l, 2 c)
        A += [*flows, *-flows]
        b += [*(area.upper_w - rest), *(rest - area.lower_w)]
    scale = 1000.0
    least, most = np.zeros(2 * c), np.ones(2 * c)
    rows, bounds = np.array(A), np.array(b) / scale
    fair = lexicographic_shares(rows, bounds, least, most, np.eye(2 * c), np.ones(2 * c))
    got = area.grid().allocate(FREE).limits_w
    assert got == pytest.approx(scale * fair, abs=1.01)
    largest = area.grid().with_fairness(Fairness(Rule.MAXIMUM_SUM)).allocate(FREE).limits_w.sum()
    assert largest == pytest.approx(scale * best(rows, bounds, least, most, most), abs=6.01)


@settings(deadline=None, max_examples=examples(20))
@given(AREAS, st.data())
def test_after_any_trades_no_vertex_leaves_its_limits(area: LinearArea, data) -> None:
    check = area.grid().allocate(FREE)
    for _ in range(8):
        way = data.draw(st.sampled_from(Direction))
        seller, buyer = data.draw(st.permutations(area.points))[:2]
        held = check.envelopes().limits_w(way)[area.points.index(seller)]
        wanted_w = data.draw(st.integers(0, int(held)))
        traded_w, element = check.largest_secure_w(way, seller, buyer, wanted_w)
        if element:  # a watt more is too much
            more_w = traded_w + 1
            changes = [LimitChange(seller, way, -more_w), LimitChange(buyer, way, more_w)]
            assert not check.confirm(changes).secure
            before = check.limits_w
            with pytest.raises(InsecureError, match="branch:"):
                check.copy().commit(changes)
            assert np.array_equal(check.limits_w, before)
        changes = [LimitChange(seller, way, -traded_w), LimitChange(buyer, way, traded_w)]
        assert check.confirm(changes).secure
        check.commit(changes)
        assert within(area, FREE, check.envelopes())


@settings(deadline=None, max_examples=examples(20))
@given(AREAS, st.sampled_from(CurtailmentPolicy), st.integers(0, 600), st.integers(0, 600))
def test_curtailment_cuts_no_more_than_a_smaller_contract_requires(
    area: LinearArea, policy: CurtailmentPolicy, injection_w: int, withdrawal_w: int
) -> None:
    grid = area.grid()
    held = grid.allocate(FREE).envelopes()
    limits = contract(area, injection_w, withdrawal_w)
    have = np.concatenate([held.injection_w, held.withdrawal_w])
    curtailment = Curtailment(policy, have[None])
    after = grid.reallocate(limits, held, curtailment).envelopes()
    assert within(area, limits, after)
    assert (grid.rows_under(limits, after).headroom >= -TOLERANCE_W).all()
    allowed = {
        Direction.INJECTION: limits.injection_limit_w - area.setpoint_w.sum(),
        Direction.WITHDRAWAL: limits.withdrawal_limit_w + area.setpoint_w.sum(),
    }
    for way, most_w in allowed.items():
        before_w, now_w = held.limits_w(way).sum(), after.limits_w(way).sum()
        assert now_w >= min(before_w, most_w) - 4 - TOLERANCE_W
    back = grid.reallocate(FREE, after).envelopes()
    assert (back.injection_w >= after.injection_w).all()
    assert within(area, FREE, back)


def line_of_two(setpoint_w: float = 0.0) -> LinearArea:
    """A--B--C with a feeder of 1 kW at its end, whose set point loads it already."""
    ends = [(0, 1), (1, 2), (0, 3), (3, 4)]
    limit = np.array([1000.0, 600.0, 5e3, 5e3])
    rest = np.array([0.0, 0.0, setpoint_w, 0.0, 0.0])
    return LinearArea(ends, [1.0] * 4, -limit, limit, [1, 2], rest)


def test_an_allocation_is_proved_and_explains_what_binds() -> None:
    grid = line_of_two(setpoint_w=-200.0).grid(capacity_w=2000)
    envelopes, proof = grid.prove(FREE)
    # Withdrawal at C: 600 - 200 = 400 W by the second branch; at B what is left of 1,000 W.
    assert envelopes.withdrawal_w.tolist() == [400, 400]
    assert envelopes.injection_w.tolist() == [600, 600]
    assert envelopes.injection_bottlenecks == ("branch:0", "branch:0")
    assert set(envelopes.withdrawal_bottlenecks) <= {"branch:0", "branch:1"}
    assert proof.secure
    assert proof.standing[ProofStatus.PROVED] == 8
    assert {str(each.verdict) for each in proof.explanations} == {
        "secure: branch:0 reaches -1,000 W of -1,000 W (100.00 %) with 2 of 2 connection points "
        "injecting, 0 withdrawing",
        "secure: branch:0 reaches 1,000 W of 1,000 W (100.00 %) with 0 of 2 connection points "
        "injecting, 2 withdrawing",
        "secure: branch:1 reaches 600 W of 600 W (100.00 %) with 0 of 2 connection points "
        "injecting, 1 withdrawing",
    }
    assert grid.resume(FREE, envelopes).explain("branch:1").startswith("branch:1 reaches 600 W")
    assert grid.resume(FREE, envelopes).explain("branch:9") == ""


def test_a_set_point_beyond_a_limit_names_branch_flow_and_limit() -> None:
    with pytest.raises(InsecureError) as caught:
        line_of_two(setpoint_w=-700.0).grid().allocate(FREE)
    assert str(caught.value).startswith("branch:1: not secure: branch:1 reaches 700 W of 600 W")
    (violation,) = caught.value.violations
    assert (violation.element, violation.value, violation.limit) == ("branch:1", 700.0, 600.0)


def test_the_interface_bounds_the_power_at_the_slack_bus() -> None:
    grid = line_of_two(setpoint_w=-200.0).grid()
    held = grid.allocate(InterfaceLimits(0.9, 1.1, 100, 500)).envelopes()
    assert held.injection_w.tolist() == [150, 150]  # 100 W out, after 200 W of its own
    assert held.withdrawal_w.tolist() == [150, 150]
    assert set(held.injection_bottlenecks) == {"interface"}
    with pytest.raises(InsecureError, match="interface: not secure: interface reaches 200 W of 50"):
        grid.allocate(InterfaceLimits(0.9, 1.1, None, 50))


@pytest.mark.parametrize(
    ("limits", "value"),
    [(InterfaceLimits(0.9, 1.1, 100), 300.0), (InterfaceLimits(0.9, 1.1, None, 100), 900.0)],
)
def test_the_adversary_breaks_a_contract_either_way(limits: InterfaceLimits, value: float) -> None:
    # 500 W out and 700 W in, on top of 200 W in at rest; the branches would bear that.
    grid = line_of_two(setpoint_w=-200.0).grid()
    found = grid.attack(limits, np.array([250, 250, 350, 350]), np.random.default_rng(0))
    assert (found.element, found.value, found.limit) == ("interface", value, 100.0)
    assert found.violation == pytest.approx(value / 100.0 - 1.0)
    assert abs(found.operating_point.power_w.sum() - 200.0) == value
    assert {each.element for each in found.others} == {f"branch:{k}" for k in range(4)}


def test_a_contract_that_needs_reactive_power_is_not_kept() -> None:
    grid = line_of_two().grid()
    grid.allocate(InterfaceLimits(0.9, 1.1, reactive_min_var=-5, reactive_max_var=5))
    with pytest.raises(InsecureError, match="is 0 var, but the limit is 5 var"):
        grid.allocate(InterfaceLimits(0.9, 1.1, reactive_min_var=5))


def test_a_rise_beyond_a_negative_limit_is_refused() -> None:
    check = line_of_two().grid().allocate(FREE)
    with pytest.raises(ValueError, match=r"load:0: a change of -900 W would make its injection"):
        check.confirm([LimitChange("load:0", Direction.INJECTION, -900)])
