"""Support points and margins of uncertainty sets against scipy's optimisers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from presence import there
from sampling import examples
from scipy.optimize import linprog, minimize

from security_check.arrays import FloatArray
from security_check.errors import InsecureError
from security_check.model.limits import InterfaceLimits
from security_check.uncertainty.deviation_sets import (
    BoxSet,
    BudgetSet,
    DeviationSet,
    EllipsoidSet,
    ProductSet,
    source_vertices,
)

_minimize: Any = minimize  # its stubs do not know these constraints

SIZES = st.integers(1, 6)


def margin(deviations: DeviationSet, direction: FloatArray) -> FloatArray:
    """Return the effect of the worst deviation on rows with these gradients, shape (r,)."""
    return (deviations.support(direction) * direction).sum(axis=1)


@st.composite
def directions(draw, size: int | None = None):
    """Directions with ties and zeros among their components, as symmetric networks have them."""
    d = draw(SIZES) if size is None else size
    component = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5]), st.floats(-3.0, 3.0))
    drawn = draw(arrays(float, (draw(st.integers(1, 4)), d), elements=component))
    return np.round(drawn, 3)  # solvers take what is smaller for zero


def covariance_of(seed: int, size: int, rank: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(size, rank))
    return factor @ factor.T


def budget_by_linear_program(direction: np.ndarray, gamma: float) -> float:
    """Return the largest ``direction @ (p - n)`` with p, n in [0, 1], sum(p + n) <= gamma."""
    both = np.concatenate([direction, -direction])
    d = len(direction)
    solved = linprog(
        -both,
        A_ub=np.vstack([np.ones(2 * d), np.hstack([np.eye(d), np.eye(d)])]),
        b_ub=np.concatenate([[gamma], np.ones(d)]),
        bounds=[(0.0, 1.0)] * (2 * d),
        method="highs",
    )
    assert solved.status == 0
    return float(-there(solved.fun))


@settings(deadline=None, max_examples=examples(60))
@given(direction=directions())
def test_a_box_is_farthest_at_its_signs(direction):
    box = BoxSet(direction.shape[1])
    np.testing.assert_allclose(margin(box, direction), np.abs(direction).sum(axis=1))
    assert (np.abs(box.support(direction)) <= box.largest).all()


@settings(deadline=None, max_examples=examples(100))
@given(direction=directions(), part=st.floats(0.0, 1.0))
def test_a_budget_is_what_a_linear_program_says(direction, part):
    gamma = part * direction.shape[1]
    budget = BudgetSet(direction.shape[1], gamma)
    support = budget.support(direction)
    assert (np.abs(support) <= budget.largest + 1e-12).all()
    assert (np.abs(support).sum(axis=1) <= gamma + 1e-12).all()
    expected = [budget_by_linear_program(row, gamma) for row in direction]
    np.testing.assert_allclose(margin(budget, direction), expected, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=examples(60))
@given(direction=directions(), parts=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_budget_lies_between_nothing_and_the_box(direction, parts):
    d = direction.shape[1]
    less, more = (margin(BudgetSet(d, part * d), direction) for part in sorted(parts))
    assert (less <= more + 1e-12).all()
    np.testing.assert_array_equal(BudgetSet(d, 0).support(direction), 0.0 * direction)
    np.testing.assert_array_equal(BudgetSet(d, d).support(direction), BoxSet(d).support(direction))
    assert (more <= margin(BoxSet(d), direction) + 1e-12).all()


@settings(deadline=None, max_examples=examples(60))
@given(
    direction=directions(),
    seed=st.integers(0, 10**6),
    radius=st.floats(0.0, 5.0),
    loss=st.integers(0, 2),
)
def test_an_ellipsoid_is_its_closed_form_and_contains_its_points(direction, seed, radius, loss):
    """Also where the covariance is singular: deviations that always move together."""
    d = direction.shape[1]
    sigma = covariance_of(seed, d, max(d - loss, 1))
    ellipsoid = EllipsoidSet(sigma, radius)
    spread = np.sqrt(np.maximum(np.einsum("rd,de,re->r", direction, sigma, direction), 0.0))
    np.testing.assert_allclose(margin(ellipsoid, direction), radius * spread, rtol=1e-7, atol=1e-7)
    support = ellipsoid.support(direction)
    assert (np.abs(support) <= ellipsoid.largest * (1 + 1e-9) + 1e-9).all()
    inverse = np.linalg.pinv(sigma, rcond=1e-10, hermitian=True)
    inside = np.einsum("rd,de,re->r", support, inverse, support)
    assert (inside <= radius**2 * (1 + 1e-5) + 1e-9).all()


@pytest.mark.parametrize("seed", range(12))
def test_an_ellipsoid_is_what_a_solver_says(seed):
    rng = np.random.default_rng(seed)
    d, radius = int(rng.integers(2, 6)), float(rng.uniform(0.5, 3.0))
    sigma = covariance_of(seed, d, d + 2)
    direction = rng.normal(size=d)
    inverse = np.linalg.inv(sigma)
    solved = _minimize(
        lambda xi: -direction @ xi,
        np.zeros(d),
        jac=lambda xi: -direction,
        constraints={
            "type": "ineq",
            "fun": lambda xi: radius**2 - xi @ inverse @ xi,
            "jac": lambda xi: -2 * inverse @ xi,
        },
        method="SLSQP",
        options={"ftol": 1e-9, "maxiter": 500},
    )
    assert solved.success
    assert margin(EllipsoidSet(sigma, radius), direction[None])[0] == pytest.approx(
        -solved.fun, rel=1e-6
    )


@settings(deadline=None, max_examples=examples(40))
@given(direction=directions(), seed=st.integers(0, 10**6), radius=st.floats(0.0, 3.0))
def test_independent_deviations_add_up_in_squares(direction, seed, radius):
    """A diagonal covariance, and radius and deviations scale alike."""
    deviation = np.random.default_rng(seed).uniform(0.0, 2.0, direction.shape[1])
    ellipsoid = EllipsoidSet(np.diag(deviation**2), radius)
    expected = radius * np.sqrt(((direction * deviation) ** 2).sum(axis=1))
    np.testing.assert_allclose(margin(ellipsoid, direction), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ellipsoid.largest, radius * deviation)
    larger = margin(EllipsoidSet(np.diag(deviation**2), radius + 0.5), direction)
    assert (larger >= margin(ellipsoid, direction)).all()


@settings(deadline=None, max_examples=examples(60))
@given(data=st.data(), direction=directions(5), gamma=st.floats(0.0, 3.0))
def test_no_point_of_a_set_is_farther_than_its_support(data, direction, gamma):
    """Random points of each set, drawn without its own code."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    point = rng.uniform(-1.0, 1.0, 5)
    point *= min(1.0, gamma / np.abs(point).sum())
    sigma = covariance_of(3, 5, 5)
    ball = rng.normal(size=5)
    ball *= 2.0 * rng.random() / np.linalg.norm(ball)
    drawn = np.linalg.cholesky(sigma) @ ball
    assert (direction @ point <= margin(BudgetSet(5, gamma), direction) + 1e-9).all()
    assert (direction @ drawn <= margin(EllipsoidSet(sigma, 2.0), direction) + 1e-9).all()


@settings(deadline=None, max_examples=examples(40))
@given(data=st.data(), gamma=st.floats(0.0, 2.0))
def test_sets_side_by_side_are_each_at_their_own_worst(data, gamma):
    direction = data.draw(directions(5))
    budget, box = BudgetSet(2, gamma), BoxSet(3)
    both = ProductSet((budget, box))
    assert both.count == 5
    np.testing.assert_array_equal(
        both.support(direction),
        np.hstack([budget.support(direction[:, :2]), box.support(direction[:, 2:])]),
    )
    np.testing.assert_allclose(
        margin(both, direction), margin(budget, direction[:, :2]) + margin(box, direction[:, 2:])
    )
    np.testing.assert_array_equal(both.largest, np.concatenate([budget.largest, box.largest]))


@settings(deadline=None, max_examples=examples(100))
@given(
    seed=st.integers(0, 10**6),
    gamma=st.floats(0.0, 4.0),
    radius=st.floats(0.0, 2.0),
    size=st.floats(0.1, 5.0),
    rank=st.integers(1, 4),
)
def test_the_nearest_point_cannot_be_bettered(seed, gamma, radius, size, rank):
    """To first order: no point of the set lies farther the way the point itself does."""
    rng = np.random.default_rng(seed)
    sets = (BoxSet(4), BudgetSet(4, gamma), EllipsoidSet(covariance_of(seed, 4, rank), radius))
    point = size * rng.normal(size=(3, 4))
    for one in (*sets, ProductSet(sets)):
        at = np.tile(point, len(sets)) if isinstance(one, ProductSet) else point
        nearest = one.nearest(at)
        way = at - nearest
        beyond = margin(one, way) - (way * nearest).sum(axis=1)
        assert np.abs(beyond).max() < 1e-6 * size**2 * (1.0 + one.largest.max())
        own = one.support(rng.normal(size=at.shape)) * rng.random((3, 1))
        np.testing.assert_allclose(one.nearest(own), own, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gamma", [-0.1, 3.1, float("nan")])
def test_a_budget_needs_a_gamma_within_its_size(gamma):
    with pytest.raises(ValueError, match=r"gamma is .*from 0 to 3"):
        BudgetSet(3, gamma)


@pytest.mark.parametrize(
    ("covariance", "radius", "why"),
    [
        (np.ones((2, 3)), 1.0, r"square matrix, got shape \(2, 3\)"),
        ([[1.0, 0.5], [0.2, 1.0]], 1.0, "symmetric"),
        ([[1.0, np.nan], [np.nan, 1.0]], 1.0, "finite"),
        ([[1.0, 2.0], [2.0, 1.0]], 1.0, "negative eigenvalue"),
        (np.eye(2), -1.0, "radius is -1"),
        (np.eye(2), np.inf, "radius is inf"),
    ],
)
def test_an_ellipsoid_needs_a_covariance_and_a_radius(covariance, radius, why):
    with pytest.raises(ValueError, match=why):
        EllipsoidSet(np.asarray(covariance), radius)


@settings(deadline=None, max_examples=examples(40))
@given(
    low=st.floats(0.9, 0.99),
    width=st.floats(0.01, 0.15),
    unbalance=st.floats(0.001, 0.03),
    seed=st.integers(0, 10**6),
)
def test_corners_of_the_held_voltages_are_those_of_a_linear_program(low, width, unbalance, seed):
    limits = InterfaceLimits(low, low + width, unbalance_pu=unbalance)
    corners = source_vertices(limits, 3)
    assume(len(corners))
    mean = corners.mean(axis=1, keepdims=True)
    assert (np.abs(corners - mean) <= unbalance + 1e-9).all()
    assert ((corners >= low - 1e-9) & (corners <= low + width + 1e-9)).all()
    sides = np.eye(3) - 1.0 / 3.0
    for direction in np.random.default_rng(seed).normal(size=(4, 3)):
        solved = linprog(
            -direction,
            A_ub=np.vstack([sides, -sides]),
            b_ub=np.full(6, unbalance),
            bounds=[(low, low + width)] * 3,
            method="highs",
        )
        assert (corners @ direction).max() == pytest.approx(-there(solved.fun), abs=1e-9)


def test_held_voltages_without_unbalance_move_together():
    np.testing.assert_array_equal(
        source_vertices(InterfaceLimits(0.98, 1.04), 3), [[0.98] * 3, [1.04] * 3]
    )
    with pytest.raises(InsecureError, match=r"unbalance of 0.01 p\.u\. is contracted"):
        source_vertices(InterfaceLimits(0.98, 1.04, unbalance_pu=0.01), 1)


def test_exchanges_stay_at_the_border_of_a_budget():
    for gamma, expected in ((1.5, 9), (1.0, 6), (2.0, 8)):
        budget = BudgetSet(4, gamma)
        point = budget.support(np.array([[3.0, -2.0, 0.0, 0.0]]))[0]
        others = budget.exchanges(point)
        np.testing.assert_allclose(
            np.sort(np.abs(others)), np.sort(np.abs(point))[None] + 0 * others
        )
        assert not (others == point).all(axis=1).any()
        assert len(others) == expected
    both = ProductSet((BudgetSet(2, 1.0), BoxSet(1)))
    np.testing.assert_array_equal(
        both.exchanges(np.array([1.0, 0.0, -1.0])), [[0.0, -1.0, -1.0], [0.0, 1.0, -1.0]]
    )
    assert not len(BoxSet(3).exchanges(np.ones(3)))


def test_every_extreme_point_of_a_budget_is_a_support_point():
    """All of them, the fractional ones included, are reached by some direction."""
    budget = BudgetSet(3, 1.5)
    corners = set()
    for whole, part in itertools.permutations(range(3), 2):
        for signs in itertools.product((-1.0, 1.0), repeat=2):
            corner = np.zeros(3)
            corner[whole], corner[part] = signs[0], 0.5 * signs[1]
            corners.add(tuple(corner))
    found = budget.support(np.random.default_rng(0).normal(size=(500, 3)))
    assert {tuple(row) for row in found} == corners
