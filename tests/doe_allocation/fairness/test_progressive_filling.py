"""Progressive filling against a sequence of linear programs, and the properties of its result."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL_AREAS, simbench_network, small_area

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.progressive_filling import Filling, progressive_filling
from doe_allocation.fairness.rule import CAPACITY
from security_check.model.limits import InterfaceLimits, VoltageLimits

EXACT = 1e-6


def lexicographic(A: np.ndarray, b: np.ndarray, filling: Filling) -> np.ndarray:
    """Return the lexicographic max-min point by linear programs alone.

    Raise the common level of all that are not fixed yet as far as possible; fix those that
    cannot be above it in any solution; again, until all are fixed.  Those below their lower
    bound's level do not hold back the level.
    """
    m = A.shape[1]
    u, level = cp.Variable(m), cp.Variable()
    fixed: dict[int, float] = {}
    # With its lower bound as floor, a limit is behind the level only until it reaches it.
    polytope = [A @ u <= b, u >= filling.lower, u <= filling.upper]
    while len(fixed) < m:
        open_ = [i for i in range(m) if i not in fixed]
        held = [u[i] >= fixed[i] for i in fixed]
        behind = [u[i] >= filling.offset[i] + filling.weight[i] * level for i in open_]
        problem = cp.Problem(cp.Maximize(level), polytope + held + behind)
        reached = float(problem.solve(solver=cp.HIGHS))
        level_of = filling.offset + filling.weight * reached
        at = {i: max(level_of[i], filling.lower[i]) for i in open_}
        more = {}
        for i in open_:
            # The solver keeps constraints to about 1e-7, so what was reached must be left room.
            others = [u[j] >= at[j] - 1e-9 for j in open_]
            slack = [u[j] >= fixed[j] - 1e-9 for j in fixed]
            most = cp.Problem(cp.Maximize(u[i]), polytope + slack + others).solve(solver=cp.HIGHS)
            more[i] = most - at[i]
        least = min(more.values())
        assert least < 1e-4, "the level can rise, though it was as high as it can be"
        fixed |= {i: at[i] for i in open_ if more[i] <= max(1e-7, 1.01 * least)}
    return np.array([fixed[i] for i in range(m)])


def polytope(seed: int, offset: str) -> tuple[np.ndarray, np.ndarray, Filling]:
    """Return a random packing polytope whose lower bounds are inside."""
    rng = np.random.default_rng(seed)
    m, rows = int(rng.integers(2, 8)), int(rng.integers(1, 9))
    A = rng.uniform(0.1, 2.0, (rows, m)) * (rng.random((rows, m)) < rng.uniform(0.2, 1.0))
    lower = rng.uniform(0, 1.5, m) * (rng.random(m) < 0.4)
    upper = lower + rng.uniform(0.1, 6.0, m) * (rng.random(m) < 0.95)
    b = A @ lower + rng.uniform(0.2, 6.0, rows)
    weight = rng.choice([0.5, 1.0, 1.0, 2.0, 3.7], m)
    starts = {"zero": np.zeros(m), "lower": lower, "negative": -rng.uniform(0, 1, m)}[offset]
    return A, b, Filling(lower, upper, weight, starts)


OFFSETS = ["zero", "lower", "negative"]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("seed", range(12))
def test_equals_the_sequence_of_linear_programs(offset, seed):
    A, b, filling = polytope(seed, offset)
    filled = progressive_filling(A, b, filling)
    np.testing.assert_allclose(filled.u, lexicographic(A, b, filling), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ["voltages bind", "thin lines", "interface", "thin mesh, lagging"])
def test_equals_the_sequence_on_a_network(name):
    """Filling the rows found, from nothing, gives the envelopes allocated; so do the programs."""
    area = small_area(**SMALL_AREAS[name])
    assert_rows_give_envelopes(area.grid, area.limits.interface)


@pytest.mark.slow
def test_equals_the_sequence_on_the_reference():
    network = simbench_network("1-LV-semiurb4--0-sw")
    capacity = Capacity.same(network.connection_points, 30_000, 30_000)
    grid = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity)
    assert_rows_give_envelopes(grid, InterfaceLimits(0.98, 1.04))


def assert_rows_give_envelopes(grid: NetworkGrid, limits: InterfaceLimits) -> None:
    check = grid.allocate(limits)
    rows = check.rows
    kilo = grid.network.base_power_w / 1e3  # in kW, so that programs see numbers near 1
    A = rows.A / np.abs(rows.A).max(axis=1, keepdims=True)
    b = rows.b * kilo / np.abs(rows.A).max(axis=1)
    lower, upper = grid.capacity.lower_w() / 1e3, grid.capacity.upper_w() / 1e3
    filling = Filling(lower, upper, np.ones(len(lower)), np.zeros(len(lower)))
    filled = progressive_filling(A, b, filling)
    # Rounded down to watts, and rows are tangents of what is not quite straight.
    np.testing.assert_allclose(filled.u, check.limits_w / 1e3, rtol=0, atol=5e-3)
    np.testing.assert_allclose(filled.u, lexicographic(A, b, filling), rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=300)
@given(seed=st.integers(0, 10**9), offset=st.sampled_from(OFFSETS))
def test_is_feasible_and_every_limit_has_a_bottleneck(seed, offset):
    A, b, filling = polytope(seed, offset)
    filled = progressive_filling(A, b, filling)
    u = filled.u
    assert (A @ u <= b + 1e-9).all()
    assert (u >= filling.lower).all()
    assert (u <= filling.upper).all()
    level = (u - filling.offset) / filling.weight
    for i, row in enumerate(filled.bottleneck):
        if row == CAPACITY:
            assert u[i] == filling.upper[i]
            continue
        assert A[row, i] > 0
        assert A[row] @ u == pytest.approx(b[row], abs=1e-9)
        # A limit with more in the same row does not have it from this filling.
        for j in np.flatnonzero(A[row] > 0):
            assert level[j] <= level[i] + 1e-9 or u[j] == pytest.approx(filling.lower[j], abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**9), factor=st.floats(0.1, 10.0))
def test_does_not_depend_on_units_or_order(seed, factor):
    A, b, filling = polytope(seed, "zero")
    u = progressive_filling(A, b, filling).u
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(b))
    of_rows = rng.uniform(0.1, 10, len(b))
    again = progressive_filling(
        (A * of_rows[:, None])[rows],
        (b * of_rows * factor)[rows],
        Filling(
            filling.lower * factor, filling.upper * factor, filling.weight, filling.offset * factor
        ),
    )
    np.testing.assert_allclose(again.u, u * factor, rtol=1e-9, atol=1e-9)
    columns = rng.permutation(A.shape[1])
    mixed = Filling(
        filling.lower[columns],
        filling.upper[columns],
        filling.weight[columns],
        filling.offset[columns],
    )
    np.testing.assert_allclose(
        progressive_filling(A[:, columns], b, mixed).u, u[columns], rtol=1e-9, atol=1e-9
    )


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**9), more=st.floats(1.0, 3.0))
def test_more_room_never_lowers_the_least(seed, more):
    A, b, filling = polytope(seed, "lower")
    room = b - A @ filling.lower

    def least(space):
        u = progressive_filling(A, A @ filling.lower + space, filling).u
        can_rise = filling.upper > filling.lower
        return ((u - filling.lower) / filling.weight)[can_rise].min(initial=np.inf)

    assert least(room * more) >= least(room) - 1e-9


def test_by_hand():
    """Three links of 10, 4 and 6 in a row; one uses all, the others one each."""
    A = np.array([[1.0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]])
    b = np.array([10.0, 4.0, 6.0])
    filling = Filling(np.zeros(4), np.array([9.0, 9, 9, 3.5]), np.ones(4), np.zeros(4))
    filled = progressive_filling(A, b, filling)
    np.testing.assert_allclose(filled.u, [2, 8, 2, 3.5])
    assert filled.bottleneck.tolist() == [1, 0, 1, CAPACITY]


def test_weights_by_hand():
    filling = Filling(np.zeros(2), np.full(2, 9.0), np.array([1.0, 3.0]), np.zeros(2))
    np.testing.assert_allclose(
        progressive_filling(np.ones((1, 2)), np.array([8.0]), filling).u, [2, 6]
    )


def test_a_lower_bound_counts_towards_a_share_or_not():
    """With offset zero, who has 3 waits for the other; else both get the same on top."""
    lower, upper = np.array([3.0, 0.0]), np.full(2, 9.0)
    A, b = np.ones((1, 2)), np.array([7.0])
    level = progressive_filling(A, b, Filling(lower, upper, np.ones(2), np.zeros(2)))
    np.testing.assert_allclose(level.u, [3.5, 3.5])
    more = progressive_filling(A, b, Filling(lower, upper, np.ones(2), lower))
    np.testing.assert_allclose(more.u, [5, 2])


def test_a_row_that_lower_bounds_fill_freezes_its_own_only():
    lower = np.array([2.0, 0.0, 0.0])
    A = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    filling = Filling(lower, np.full(3, 9.0), np.ones(3), np.zeros(3))
    filled = progressive_filling(A, np.array([2.0, 5.0]), filling)
    np.testing.assert_allclose(filled.u, [2, 0, 5])
    assert filled.bottleneck.tolist() == [0, 0, 1]


def test_without_rows_every_limit_reaches_capacity():
    filling = Filling(np.zeros(3), np.array([1.0, 2, 0]), np.ones(3), np.zeros(3))
    filled = progressive_filling(np.zeros((0, 3)), np.zeros(0), filling)
    np.testing.assert_array_equal(filled.u, filling.upper)
    assert (filled.bottleneck == CAPACITY).all()
