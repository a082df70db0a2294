"""Programs of extreme numbers, also where the solver gives up on objectives that are not scaled.

A row that feels an order by a ten-millionth has duals of 1e13 ticks, and a gain of 1e9 as a row to
hold is more than an absolute tolerance of 1e-9 bears.  Which of them the solver gives up on changes
with its version: so a stand-in gives up on all of them, or on none.
"""

from __future__ import annotations

import numpy as np
import pytest
from clearing_oracle import Oracle
from failing_solver import give_up_where
from hypothesis import given, settings
from hypothesis import strategies as st
from presence import there
from random_programs import BASE_W, Case, cases
from scipy.optimize import Bounds, LinearConstraint, milp
from wild_programs import HIGHEST_TICKS, wild_program

from exchange.clearing.highs import INFINITY, MixedProgram
from exchange.clearing.problem import ClearingError, NetworkRows, ProgramOrder
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.clearing.work_budget import RemainingWork
from exchange.vocabulary.rules import ExchangeRate

SEEDS = st.integers(0, 10**6)


def cleared(
    rows: NetworkRows, orders: list[ProgramOrder], rate: ExchangeRate
) -> tuple[WelfareClearing, np.ndarray]:
    """Clear after each order; return the program and the headrooms left, in rows of scipy's."""
    clearing = WelfareClearing(rows, 1, rate)
    change_w = np.zeros(rows.A.shape[1])
    by_number = {order.order_id: order for order in orders}
    for order in orders:
        clearing.add(order)
        while (optimum := clearing.optimum()).quantities_w:
            for number, quantity_w in optimum.quantities_w.items():
                own = by_number[number]
                change_w[own.legs[0].column] += own.sign * quantity_w
            clearing.execute(optimum)
    return clearing, rows.headroom - rows.A @ change_w / BASE_W


@given(seed=SEEDS, gives_up=st.booleans())
@settings(max_examples=30, deadline=None)
def test_duals_beyond_the_ratio_test_clear_and_the_bound_holds(seed: int, gives_up: bool) -> None:
    rows, orders = wild_program(seed, orders=20)
    with pytest.MonkeyPatch.context() as patch:
        given_up = give_up_where(patch, lambda attempt: gives_up and attempt.large)
        clearing, headroom = cleared(rows, orders, ExchangeRate.NETWORK_WEIGHTED)
        bound = clearing.optimum().bound
    assert gives_up or not given_up
    allowed = 1e-9 / BASE_W * rows.A.max(axis=1)
    assert (headroom >= -4 * allowed).all()
    left = [
        ProgramOrder(
            entry.order.order_id,
            entry.order.side,
            entry.order.limit_price_ticks,
            entry.order.rank,
            clearing.orders.remaining(entry),
        )
        for entry in clearing.orders
    ]
    rest = NetworkRows.of_one(rows.A, np.maximum(headroom, 0.0), BASE_W)
    _, gain = Oracle(left, rest, 1, reserve=0).linear()
    assert gain <= bound * (1 + 1e-6) + 1.0
    assert bound <= 2 * HIGHEST_TICKS  # A lot bought and a lot sold at the bounds of prices.


@given(seed=SEEDS, gives_up=st.booleans())
@settings(max_examples=15, deadline=None)
def test_conditional_orders_of_a_thousand_million_tick_watts_clear(
    seed: int, gives_up: bool
) -> None:
    rows, orders = wild_program(seed, orders=14, conditional=0.3)
    with pytest.MonkeyPatch.context() as patch:
        give_up_where(patch, lambda attempt: gives_up and attempt.large)
        clearing, headroom = cleared(rows, orders, ExchangeRate.ONE_TO_ONE)
    assert (headroom >= -4e-9 / BASE_W * rows.A.max(axis=1)).all()
    clearing.orders.check_invariants()


@given(cases(conditional=True))
@settings(max_examples=60, deadline=None)
def test_what_trades_does_not_depend_on_where_the_solver_gives_up(case: Case) -> None:
    solved = case.filled().optimum()
    with pytest.MonkeyPatch.context() as patch:
        give_up_where(patch, lambda attempt: attempt.large)
        again = case.filled().optimum()
    assert again.quantities_w == solved.quantities_w
    assert again.gain == solved.gain


@given(cases(conditional=True), st.booleans())
@settings(max_examples=60, deadline=None)
def test_where_the_solver_gives_up_for_good_nothing_or_something_right_trades(
    case: Case, only_mixed: bool
) -> None:
    clearing = case.filled()
    with pytest.MonkeyPatch.context() as patch:
        given_up = give_up_where(patch, lambda attempt: attempt.mixed or not only_mixed)
        try:
            case.check(clearing.optimum())
        except ClearingError:
            assert given_up
    case.check(clearing.optimum())  # It works again.


@given(SEEDS, st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_mixed_program_is_solved_to_its_gap_at_any_scale(seed: int, gives_up: bool) -> None:
    draw, count = np.random.default_rng(seed), 15
    value, gap = draw.integers(1, 1_000, count).astype(float), 20.0
    weights = draw.integers(1, 30, (4, count)).astype(float)
    room, whole = weights.sum(axis=1) // 3, np.ones(count)
    program = MixedProgram(
        value, weights, np.full(4, -INFINITY), room, 0 * whole, 3 * whole, whole.astype(bool)
    )
    with pytest.MonkeyPatch.context() as patch:
        given_up = give_up_where(patch, lambda attempt: gives_up and attempt.large)
        found = program.solve(gap, RemainingWork(10**9))
    assert found is not None
    assert bool(given_up) is gives_up
    assert (weights @ np.rint(found) <= room).all()
    best = milp(
        -value,
        constraints=LinearConstraint(weights, ub=room),
        integrality=whole.astype(int),
        bounds=Bounds(0, 3),
    )
    assert value @ np.rint(found) >= -there(best.fun) - gap - 1e-6
