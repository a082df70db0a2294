"""Event by event: the price screen changes nothing, and nothing is left to gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_run import Run
from random_programs import (
    BASE_W,
    LOT_W,
    buy,
    cancel,
    clearing_of,
    free_network,
    sell,
)

from exchange.clearing.problem import Tier


@pytest.mark.parametrize("conditional", [0.0, 0.1])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
@pytest.mark.slow
def test_the_price_screen_never_changes_a_result(conditional: float, seed: int) -> None:
    screened = Run(seed, screening=True, conditional=conditional, oracle=False)
    solved = Run(seed, screening=False, conditional=conditional, oracle=False)
    screened.go(30)
    solved.go(30)
    assert screened.steps == solved.steps
    assert Tier.PRICE_SCREEN not in solved.tiers


@given(seed=st.integers(0, 10**6))
@settings(max_examples=18, deadline=None)
@pytest.mark.slow
def test_after_every_event_no_improvement_above_one_lot_is_left(seed: int) -> None:
    Run(seed, screening=True, conditional=0.0, oracle=True).go(30)


def test_every_tier_is_met_and_most_events_need_no_solver() -> None:
    run = Run(7, screening=True, conditional=0.05, oracle=True)
    run.go(120)
    assert set(run.tiers) == set(Tier)
    assert run.tiers.most_common(1)[0][0] is Tier.PRICE_SCREEN


def test_the_bound_kept_with_every_event_is_the_bound_computed_anew() -> None:
    run = Run(4, screening=True, conditional=0.0, oracle=False)
    run.go(60)
    screen, orders = run.clearing.screen, run.clearing.orders
    for number in range(1_000, 1_020):
        run.clearing.add(run.order(number))
    for number in range(1_000, 1_020, 2):
        cancel(run.clearing, number)
    surplus = np.maximum(orders.surplus(screen.local), 0.0)
    rows_worth = screen.bound - float(surplus @ orders.units[: orders.size])
    assert rows_worth >= -1e-6
    eta = screen.duals[1]
    scale = run.A.max(axis=1) * LOT_W / BASE_W
    assert rows_worth == pytest.approx(float(eta @ (run.h / scale)), abs=1e-6)


def test_a_tick_better_than_the_local_price_is_enough() -> None:
    clearing = clearing_of(free_network(), sell(1, 0, 50, 20), buy(2, 1, 50, 19))
    assert not clearing.optimum().quantities_w
    assert clearing.screen.local[0] == 19.5
    assert not clearing.add(buy(3, 2, 50, 19))
    assert clearing.optimum().tier is Tier.PRICE_SCREEN
    assert clearing.add(buy(4, 2, 50, 20))
    assert clearing.optimum().quantities_w == {1: 50, 4: 50}
