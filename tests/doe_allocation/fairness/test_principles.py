"""Every rule over random packing polytopes and over the rows of real networks."""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np
import pytest
from fairness_oracles import best, gap_to_optimum, lexicographic_shares
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BAND, SMALL_AREAS, simbench_network, small_area

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.alpha import AlphaFairness
from doe_allocation.fairness.linear_rules import MaximumSum, WidthFilling
from doe_allocation.fairness.principles import ComparedShare, Fairness, LevelScope, Rule
from doe_allocation.fairness.progressive_filling import Filling
from doe_allocation.fairness.rule import CAPACITY, OnTop
from security_check.model.limits import VoltageLimits

PRINCIPLES = [
    Fairness(),
    Fairness(over=ComparedShare.WIDTH),
    Fairness(Rule.EQUAL),
    Fairness(Rule.EQUAL, common=LevelScope.ALL),
    Fairness(Rule.PROPORTIONAL_TO_CAPACITY),
    Fairness(Rule.PROPORTIONAL),
    Fairness(Rule.ALPHA, alpha=0.3),
    Fairness(Rule.ALPHA, alpha=2.0),
    Fairness(Rule.ALPHA, alpha=20.0),
    Fairness(Rule.MAXIMUM_SUM),
]
LEAVE_ROOM = {Rule.EQUAL, Rule.PROPORTIONAL_TO_CAPACITY}  # a common level stops at the first row


def polytope(seed: int, *, floors: bool = True):
    """Return A, b, lower, upper, weight of a random packing polytope; an even number of limits."""
    rng = np.random.default_rng(seed)
    m, rows = 2 * int(rng.integers(1, 5)), int(rng.integers(1, 9))
    A = rng.uniform(0.1, 2.0, (rows, m)) * (rng.random((rows, m)) < rng.uniform(0.3, 1.0))
    lower = rng.uniform(0, 1.0, m) * (rng.random(m) < 0.3) * floors
    upper = lower + rng.uniform(0.3, 6.0, m)
    return A, A @ lower + rng.uniform(0.2, 6.0, rows), lower, upper, rng.choice([0.5, 1, 1, 3], m)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 10**9), principle=st.sampled_from(PRINCIPLES))
def test_is_within_rows_and_bounds_and_names_what_stops_each(seed, principle):
    A, b, lower, upper, weight = polytope(seed)
    filled = principle(lower, upper, weight).filled(A, b)
    u = filled.u
    assert (A @ u <= b + 1e-8).all()
    assert (u >= lower - 1e-12).all()
    assert (u <= upper + 1e-12).all()
    for i, row in enumerate(filled.bottleneck):
        if row == CAPACITY:
            assert u[i] == pytest.approx(upper[i], rel=1e-6)
            continue
        assert A[row] @ u == pytest.approx(b[row], abs=2e-6)
        assert A[row, i] > 0 or principle.rule in LEAVE_ROOM


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**9), principle=st.sampled_from(PRINCIPLES))
def test_whom_no_row_stops_has_its_capacity_to_the_watt(seed, principle):
    """Every other connection point is in rows that may be full, the rest in one that never is."""
    A, b, lower, upper, weight = polytope(seed)
    rng, base_w = np.random.default_rng(seed), 10.0 ** int(1 + seed % 8)
    points = len(lower) // 2
    k = np.arange(2 * points).reshape(2, points)
    stopped = np.concatenate([k, k + 2 * points], axis=1).ravel() < 2 * points
    all_A, all_lower = np.zeros((len(A) + 1, 4 * points)), np.zeros(4 * points)
    all_A[:-1, stopped], all_A[-1, ~stopped] = A, rng.uniform(0.1, 2.0, 2 * points)
    all_lower[stopped], all_upper, all_weight = lower, np.zeros(4 * points), np.ones(4 * points)
    all_upper[stopped], all_weight[stopped] = upper, weight
    most_w = rng.integers(1, int(6 * base_w), 2 * points)
    all_upper[~stopped] = most_w / base_w
    all_b = np.append(b, 1.001 * all_A[-1] @ all_upper)
    common = principle.rule in LEAVE_ROOM  # a level that stops for all limits
    if common:
        all_A, all_b = all_A[-1:], all_b[-1:]
    u = principle(all_lower, all_upper, all_weight).filled(all_A, all_b).u[~stopped]
    # As limits are published: rounded down, but for a millionth of a watt.
    assert (np.floor(u * base_w + 1e-6) == most_w).all()


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**9))
def test_no_sum_is_larger_than_the_maximum_sum(seed):
    A, b, lower, upper, weight = polytope(seed)
    u = MaximumSum(lower, upper, weight).filled(A, b).u
    assert u.sum() == pytest.approx(best(A, b, lower, upper, np.ones(len(u))), abs=1e-7)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**9))
def test_of_several_largest_sums_the_max_min_one_is_chosen(seed):
    """Coefficients are the same for all in each row, so that sums leave much open."""
    rng = np.random.default_rng(seed)
    m, rows = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    A = (rng.random((rows, m)) < 0.7).astype(float)
    b, lower, upper = rng.uniform(0.5, 4.0, rows), np.zeros(m), rng.uniform(0.3, 3.0, m)
    u = MaximumSum(lower, upper, np.ones(m)).filled(A, b).u
    total = best(A, b, lower, upper, np.ones(m))
    rows_, room = np.vstack([A, -np.ones(m)]), np.append(b, -total + 1e-8)
    wanted = lexicographic_shares(rows_, room, lower, upper, np.eye(m), np.ones(m))
    np.testing.assert_allclose(u, wanted, rtol=0, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**9))
def test_widths_are_the_lexicographic_max_min_ones(seed):
    A, b, lower, upper, weight = polytope(seed)
    pairs = np.hstack([np.eye(len(lower) // 2)] * 2)
    weight = weight[: len(pairs)]
    u = WidthFilling(lower, upper, weight).filled(A, b).u
    wanted = lexicographic_shares(A, b, lower, upper, pairs, weight)
    # A floor may lift a width above its level; the oracle fixes levels, so floors count there.
    wanted = np.maximum(wanted, pairs @ lower)
    # What others give way to rounding, 1e-8 or so each, counts twenty times where they weigh most.
    np.testing.assert_allclose(pairs @ u, wanted, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 10**9), alpha=st.sampled_from([0.05, 0.3, 1.0, 1.7, 3.0, 6.0, 15.0]))
def test_no_point_has_a_larger_alpha_fair_value(seed, alpha):
    A, b, lower, upper, weight = polytope(seed)
    u = AlphaFairness(lower, upper, weight, alpha).filled(A, b).u
    assert (u > 0).all()
    gradient = (u / weight) ** -alpha
    assert gap_to_optimum(A, b, lower, upper, gradient, u) < 1e-6


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**9), common=st.sampled_from(list(LevelScope)))
def test_a_common_level_is_as_high_as_its_rows_let_it(seed, common):
    A, b, lower, upper, weight = polytope(seed, floors=False)
    u = Fairness(Rule.EQUAL, common=common)(lower, upper, weight).filled(A, b).u
    half = len(u) // 2
    groups = (
        [slice(0, half), slice(half, None)] if common is LevelScope.DIRECTION else [slice(None)]
    )
    level = np.zeros(len(u))
    for group in groups:
        level[group] = u[group].max()
    np.testing.assert_allclose(u, np.minimum(level, upper), atol=1e-12)
    for group in groups:
        raised = level.copy()
        raised[group] += 1e-6
        full = (A @ np.minimum(raised, upper) > b).any()
        assert full or (u[group] == upper[group]).all()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**9))
def test_every_limit_gets_the_same_part_of_its_capacity(seed):
    A, b, lower, upper, weight = polytope(seed, floors=False)
    rule = Fairness(Rule.PROPORTIONAL_TO_CAPACITY, common=LevelScope.ALL)(lower, upper, weight)
    part = rule.filled(A, b).u / upper
    most = float((b / np.maximum(A @ upper, 1e-12)).min())
    np.testing.assert_allclose(part, min(most, 1.0), rtol=1e-9)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**9))
def test_from_the_maximum_sum_to_max_min_as_alpha_grows(seed):
    A, b, lower, upper, _ = polytope(seed, floors=False)
    one = np.ones(len(lower))
    family = [
        AlphaFairness(lower, upper, one, alpha).filled(A, b).u
        for alpha in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 300.0)
    ]
    # On the way, neither sum nor minimum need be monotone (Tang, Wang and Low, 2006), but both
    # ends are the largest of their kind.
    fair = Filling(lower, upper, one, lower).filled(A, b).u
    for u in family:
        assert u.sum() <= family[0].sum() + 1e-7
        assert u.min() <= fair.min() + 1e-7
    assert family[0].sum() == pytest.approx(best(A, b, lower, upper, one), abs=1e-7)
    # With alpha, a coefficient k matters as k^(-1/alpha); chained over rows a little more.
    np.testing.assert_allclose(family[-1], fair, rtol=0.08)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0, 50.0])
def test_one_row_by_hand(alpha):
    """One row with coefficients 1 and 4: ``u ~ a^(-1/alpha)``."""
    A, b = np.array([[1.0, 4.0]]), np.array([10.0])
    u = AlphaFairness(np.zeros(2), np.full(2, 99.0), np.ones(2), alpha).filled(A, b).u
    share = np.array([1.0, 4.0]) ** (-1.0 / alpha)
    np.testing.assert_allclose(u, share * 10.0 / (A[0] @ share), rtol=1e-9)


def test_who_cannot_rise_at_all_does_not_spoil_the_others():
    """The first is in a row that is full already, the third has no capacity."""
    A, b = np.array([[1.0, 0, 0, 0], [0, 1.0, 1.0, 1.0]]), np.array([0.0, 6.0])
    upper = np.array([9.0, 9.0, 0.0, 9.0])
    for alpha in (0.5, 1.0, 8.0):
        filled = AlphaFairness(np.zeros(4), upper, np.ones(4), alpha).filled(A, b)
        np.testing.assert_allclose(filled.u, [0, 3, 0, 3], atol=1e-9)
        assert filled.bottleneck.tolist() == [0, 1, CAPACITY, 1]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**9), principle=st.sampled_from(PRINCIPLES))
def test_on_top_of_what_each_has(seed, principle):
    A, b, lower, upper, weight = polytope(seed)
    new = principle(np.zeros(len(lower)), upper - lower, weight)
    filled = OnTop(new, lower).filled(A, b)
    added = new.filled(A, b - A @ lower)
    np.testing.assert_allclose(filled.u, lower + added.u, atol=1e-12)


NETWORKS = [*SMALL_AREAS, "1-LV-semiurb4--0-sw", "1-LV-rural1--0-sw", "1-LV-semiurb5--0-sw"]


@functools.cache
def rows_of(name: str):
    """Return the robust rows of a network's allocation, in kW, scaled; a dozen kW of capacity."""
    if name in SMALL_AREAS:
        grid, limits = (
            small_area(**SMALL_AREAS[name]).grid,
            SMALL_AREAS[name].get("interface", BAND),
        )
    else:
        network = simbench_network(name)
        capacity = Capacity.same(network.connection_points, 30_000, 30_000)
        grid, limits = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity), BAND
    check = grid.allocate(limits)
    largest = check.rows.A.max(axis=1, keepdims=True)
    b = check.rows.b * grid.network.base_power_w / 1e3 / largest[:, 0]
    lower, upper = grid.capacity.lower_w() / 1e3, grid.capacity.upper_w() / 1e3
    return check.rows.A / largest, b, lower, upper


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_max_min_equals_the_sequence_of_programs_on_real_rows(name):
    A, b, lower, upper = rows_of(name)
    m = len(lower)
    filled = Filling(lower, upper, np.ones(m), np.zeros(m)).filled(A, b)
    # Measured in the largest capacity, so that the programs' tolerances are 1e-6 of a kW.
    scale = upper.max()
    wanted = scale * lexicographic_shares(
        A, b / scale, lower / scale, upper / scale, np.eye(m), np.ones(m)
    )
    np.testing.assert_allclose(filled.u, np.maximum(wanted, lower), rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_alpha_fair_family_on_real_rows(name):
    A, b, lower, upper = rows_of(name)
    one = np.ones(len(lower))
    alphas = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 10.0, 100.0, 1000.0)
    family = [AlphaFairness(lower, upper, one, alpha).filled(A, b).u for alpha in alphas]
    for less, more in pairwise(family):
        assert more.sum() <= less.sum() + 1e-3
        assert more.min() >= less.min() - 1e-3
    for alpha, u in zip(alphas[1:6], family[1:6], strict=True):
        assert gap_to_optimum(A, b, lower, upper, u**-alpha, u) < 1e-5
    assert family[0].sum() == pytest.approx(best(A, b, lower, upper, one), abs=1e-5)
    fair = Filling(lower, upper, one, 0.0 * one).filled(A, b).u
    np.testing.assert_allclose(family[-1], fair, rtol=0.02)
