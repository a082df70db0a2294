"""The best whole lots near a vertex, and the linear program with all rows, against brute force."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import Case, cases
from scipy.optimize import linprog

from exchange.clearing.integer_points import Vertex

_linprog: Any = linprog  # its stubs do not know bounds in one array


def random_vertex(seed: int, parts: int = 1) -> Vertex | None:
    """Return a random small program at its optimum, with scipy's duals; ``None`` if it is 0.

    Rows belong to one of the parts each, and so do columns.
    """
    rng = np.random.default_rng(seed)
    count, rows = int(rng.integers(2, 6)), int(rng.integers(1, 6))
    sign = rng.choice([-1.0, 1.0], count)
    a = np.round(rng.uniform(0, 1, (rows, count)), int(rng.integers(1, 4))) * sign
    a *= rng.integers(parts, size=rows)[:, None] == rng.integers(parts, size=count)
    h = np.round(rng.uniform(0, 3, rows), 2)
    worth = -sign * 5.0 + rng.integers(-6, 7, count) + sign * 10.0
    upper = rng.integers(1, 5, count)
    balances = np.array([sign]) if rng.random() < 0.6 else np.zeros((0, count))
    found = _linprog(
        -worth,
        A_ub=a,
        b_ub=h,
        A_eq=balances if len(balances) else None,
        b_eq=np.zeros(len(balances)) if len(balances) else None,
        bounds=np.column_stack([np.zeros(count), upper]),
        method="highs",
    )
    assert found.status == 0
    trades = np.flatnonzero(found.x > 1e-9)
    if not len(trades):
        return None
    eta = np.maximum(-found.ineqlin.marginals, 0.0)
    # What a unit gains at local prices is the dual of its upper bound.
    surplus = -(found.lower.marginals + found.upper.marginals)
    return Vertex(
        units=found.x[trades],
        upper=upper[trades],
        worth=worth[trades],
        surplus=surplus[trades],
        balances=balances[:, trades],
        rows=a[:, trades],
        eta=eta,
        room=h + 1e-9,
    )


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_columns_are_decided_upon_one_by_one(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small parts, others decided upon leave a column no choice: it stays where it is."""
    monkeypatch.setattr("exchange.clearing.integer_points._MOST", 5)
    found = Counter(
        check(vertex, share)
        for seed in range(300)
        if (vertex := random_vertex(seed, parts)) is not None
        for share in (0.0, 0.5, 0.9)
    )
    assert min(found["found"], found["none"]) > 50


def best_by_trying(vertex: Vertex) -> float:
    best = 0.0
    for point in itertools.product(*(range(int(most) + 1) for most in vertex.upper)):
        z = np.array(point)
        if (vertex.balances @ z).any() or (vertex.rows @ z > vertex.room).any():
            continue
        best = max(best, float(vertex.worth @ z))
    return best


def check(vertex: Vertex, share: float) -> str:
    """Check the best whole lots worth so much of the optimum; return what was found."""
    least = share * float(vertex.worth @ vertex.units)
    best = vertex.best(least)
    if best is None:
        return "unknown"
    truth = best_by_trying(vertex)
    if not best.any():
        assert truth <= least + 1e-6
        return "none"
    assert not (vertex.balances @ best).any()
    assert (vertex.rows @ best <= vertex.room).all()
    assert ((best >= 0) & (best <= vertex.upper)).all()
    assert float(vertex.worth @ best) == pytest.approx(truth)
    return "found"


@given(seed=st.integers(0, 10**9), share=st.floats(0.02, 0.98))
@settings(max_examples=200, deadline=None)
def test_the_best_whole_lots_or_none_are_those_of_trying_all(seed: int, share: float) -> None:
    vertex = random_vertex(seed)
    if vertex is not None:
        check(vertex, share)


def test_there_are_whole_lots_and_there_are_none() -> None:
    vertices = [vertex for seed in range(150) if (vertex := random_vertex(seed)) is not None]
    seen = Counter(check(vertex, share) for vertex in vertices for share in (0.4, 0.8, 0.97))
    assert min(seen["found"], seen["none"]) > 50
    assert seen["unknown"] < sum(seen.values()) / 3


@given(cases(count=14, prices=30))
@settings(max_examples=150, deadline=None)
def test_the_linear_optimum_is_that_of_all_rows_and_columns(case: Case) -> None:
    """Rows and columns enter the solver when they matter; nothing must be missed."""
    clearing = case.filled()
    orders, rows, program = clearing.orders, clearing._rows, clearing._program
    upper = orders.units[: orders.size].copy()
    relaxed = program.solve(np.zeros_like(upper), upper, rows.h)
    gain = case.oracle().linear()[1]
    assert relaxed.gain * clearing._lot_w == pytest.approx(gain, abs=1e-3)
    columns = np.flatnonzero(relaxed.units)
    assert rows.hold(orders.change(columns, relaxed.units[columns]), rows.h + 1e-8)
    # Strong duality: the prices prove it.
    proved = relaxed.eta @ rows.h + upper @ np.maximum(relaxed.surplus, 0.0)
    assert proved == pytest.approx(relaxed.gain, abs=1e-4)
