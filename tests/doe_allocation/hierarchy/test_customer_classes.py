"""Classes of customers below a child: divided like customers, summed up like one limit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doe_allocation.fairness.principles import MAX_MIN
from doe_allocation.fairness.progressive_filling import Filling
from doe_allocation.fairness.rule import CAPACITY
from doe_allocation.hierarchy.customer_classes import (
    CustomerClass,
    NestedPrinciple,
    classes_of,
    divide_at_common_share,
)

BASE_W = 1e5


def random_problem(seed: int) -> tuple:
    """Return customers of some children, their rows, and the principle over children only."""
    rng = np.random.default_rng(seed)
    members = int(rng.integers(2, 9))
    child = rng.integers(0, 3, members)  # 0: a customer of the parent itself
    child[0] = 1
    weight = rng.choice([0.5, 1.0, 2.0], members)
    largest = rng.uniform(0.5, 8.0, members).round(1) * 1e3
    limits = [np.flatnonzero(child == k) for k in (1, 2) if (child == k).any()]
    limits += [np.array([i]) for i in np.flatnonzero(child == 0)]
    rows = rng.random((4, len(limits))) * (rng.random((4, len(limits))) < 0.7)
    room = rng.uniform(0.2, 1.0, 4) * (rows @ np.array([largest[own].sum() for own in limits]))
    return rng, weight, largest, limits, child, rows, room / BASE_W + 1e-3


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 10**6))
def test_limits_are_the_sums_of_max_min_over_all_customers(seed: int) -> None:
    """As if the parent saw every customer below, each with its child's coefficient."""
    _, weight, largest, limits, child, rows, room = random_problem(seed)
    count = len(limits)
    classes = [
        tuple(CustomerClass(weight[i], largest[i]) for i in own) if child[own[0]] else ()
        for own in limits
    ]
    upper = np.array([largest[own].sum() for own in limits]) / BASE_W
    weights = np.array([weight[own].sum() for own in limits])
    both = NestedPrinciple(MAX_MIN, (*classes, *classes), np.zeros(2 * count), BASE_W)
    nested = both(np.zeros(2 * count), np.tile(upper, 2), np.tile(weights, 2))
    nothing = np.zeros_like(rows)
    A = np.block([[rows, nothing], [nothing, rows]])
    found = nested.filled(A, np.tile(room, 2))

    order = np.concatenate(limits)
    place = np.repeat(np.arange(count), [len(own) for own in limits])
    zero = np.zeros(len(order))
    flat = Filling(zero, largest[order] / BASE_W, weight[order], zero)
    expected = np.bincount(place, flat.filled(rows[:, place], room).u, count)
    np.testing.assert_allclose(found.u, np.tile(expected, 2), rtol=1e-9, atol=1e-9)
    full = (A @ found.u) >= np.tile(room, 2) - 1e-9
    for k, stop in enumerate(found.bottleneck):
        assert full[stop] if stop != CAPACITY else found.u[k] == pytest.approx(np.tile(upper, 2)[k])


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 10**6),
    idle=st.floats(-4e3, 4e3),
    least=st.floats(0.0, 6e3),
    part=st.floats(0.0, 1.0),
)
def test_bounds_hold_whatever_crosses_idle_and_rise_where_asked(
    seed: int, idle: float, least: float, part: float
) -> None:
    rng = np.random.default_rng(seed)
    classes = tuple(
        CustomerClass(float(w), float(g)) for w, g in rng.uniform([1.0, 0.0], [5.0, 4e3], (3, 2))
    )
    usable = sum(each.largest_w for each in classes)
    lower = np.array([max(least, idle, 0.0), 0.0, max(least, idle, 0.0), 0.0]) / BASE_W
    upper = np.maximum(np.tile([idle + usable, 2e3], 2) / BASE_W, lower)
    nested = NestedPrinciple(
        MAX_MIN, (classes, (), classes, ()), np.array([idle, 0, idle, 0]), BASE_W
    )(lower, upper, np.ones(4))
    free = nested.filled(np.zeros((0, 4)), np.zeros(0)).u
    np.testing.assert_allclose(free, upper, atol=1e-9)
    full = nested.filled(np.eye(4), lower).u
    np.testing.assert_allclose(full, lower, atol=1e-9)
    raised = lower + part * (upper - lower)
    above = nested.above(raised)
    np.testing.assert_allclose(above.filled(np.eye(4), raised).u, raised, atol=1e-8)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 40), losses=st.floats(0.9, 1.1))
def test_few_classes_keep_the_sums(seed: int, count: int, losses: float) -> None:
    rng = np.random.default_rng(seed)
    members = [
        CustomerClass(float(w), float(w * share))
        for w, share in rng.uniform([0.5, 0.0], [2.0, 9e3], (count, 2))
    ]
    through = losses * sum(each.largest_w for each in members)
    few = classes_of(members, through)
    assert 1 <= len(few) <= 8
    assert sum(c.largest_w for c in few) == pytest.approx(through)
    assert sum(c.weight for c in few) == pytest.approx(losses * sum(m.weight for m in members))
    shares = [each.share_w for each in few]
    assert shares == sorted(shares)
    if count <= 1:
        assert len(few) == 1


def test_equal_customers_are_one_class() -> None:
    assert len(classes_of([CustomerClass(1.0, 5e3)] * 30, 150e3)) == 1


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**6), part=st.floats(0.0, 1.2))
def test_levelled_parts_share_a_total_at_one_level(seed: int, part: float) -> None:
    rng = np.random.default_rng(seed)
    lower = rng.uniform(0.0, 1.0, 5)
    upper = lower + rng.uniform(0.0, 3.0, 5)
    weight = rng.uniform(0.5, 2.0, 5)
    total = part * upper.sum()
    found = divide_at_common_share(total, lower, upper, weight)
    expected = np.clip(total, lower.sum(), upper.sum())
    assert found.sum() == pytest.approx(expected, rel=1e-9)
    inside = (found > lower + 1e-9) & (found < upper - 1e-9)
    if inside.any():
        level = (found / weight)[inside]
        assert np.ptp(level) <= 1e-9 * level.max()
        held = (found <= lower + 1e-9) & (lower < upper - 1e-9)
        assert (lower[held] / weight[held] >= level.min() - 1e-9).all()
