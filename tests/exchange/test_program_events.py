"""Event by event: the price screen changes nothing, and nothing is left to gain."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import (
    BASE_W,
    LOT_W,
    POINTS,
    Case,
    buy,
    cancel,
    changes_w,
    check,
    free_network,
    sell,
    what_is_left,
)

from exchange.program import TIE, Leg, NetworkRows, ProgramOrder, Tier
from exchange.welfare import WelfareClearing
from orderbook.order import Side

ROWS = 3
HIGHEST = 30
Step = tuple[int, tuple[tuple[int, int], ...]]


class Run:
    """A random market day of one program, decided by a seed alone."""

    def __init__(self, seed: int, *, screening: bool, conditional: float, oracle: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.conditional, self.oracle = conditional, oracle
        digits = (0, 3)[seed % 2]
        limits = 2 * POINTS
        self.A = np.round(self.rng.uniform(0, 3, (ROWS, limits)), digits)
        self.h = self.rng.uniform(0, 15, ROWS) * LOT_W / BASE_W
        reserve = None if seed % 3 else int(self.rng.integers(0, 5))
        self.case = Case(self.rows(), (), reserve)
        self.clearing: WelfareClearing = self.case.clearing(screening=screening)
        self.steps: list[Step] = []
        self.tiers: Counter[Tier] = Counter()

    def rows(self) -> NetworkRows:
        return NetworkRows.of_one(self.A, self.h, BASE_W)

    def order(self, number: int) -> ProgramOrder:
        rng = self.rng
        quantity_w = int(rng.integers(1, 12)) * LOT_W
        minimum_w = 0
        if rng.random() < self.conditional:
            minimum_w = int(rng.integers(1, quantity_w + 1))
        return ProgramOrder(
            order_id=number,
            side=list(Side)[int(rng.integers(2))],
            limit_price_ticks=int(rng.integers(1, HIGHEST)),
            rank=number,
            legs=(Leg(int(rng.integers(2 * POINTS)), quantity_w),),
            minimum_w=minimum_w,
        )

    def go(self, events: int) -> None:
        for event in range(events):
            resting = sorted(entry.order.order_id for entry in self.clearing.orders)
            kind = self.rng.random()
            if kind < 0.65 or not resting:
                self.arrive(self.order(event + 1))
            elif kind < 0.75:
                cancel(self.clearing, int(self.rng.choice(resting)))
            elif kind < 0.85:
                self.shrink(int(self.rng.choice(resting)))
            else:
                self.move_rows()
            self.settle(event)

    def arrive(self, order: ProgramOrder) -> None:
        settled = self.clearing.screen.settled
        local = self.clearing.screen.local
        gained = sum(
            order.change_w(leg, order.quantity_w) * (order.price_of(leg) - float(local[leg.column]))
            for leg in order.legs
        )
        may_trade = self.clearing.add(order)
        if settled and gained < -TIE * order.quantity_w:
            assert not may_trade

    def shrink(self, number: int) -> None:
        entry = self.clearing.orders.entry(number)
        if entry.units > 1:
            self.clearing.reduce(number, self.clearing.orders.watts(entry, 1))

    def move_rows(self) -> None:
        """Let headrooms and coefficients drift, and rows come and go."""
        count = len(self.h)
        self.h = self.h * self.rng.uniform(0.9, 1.1, count)
        self.h += self.rng.random(count) * (self.rng.random(count) < 0.3) * LOT_W / BASE_W
        if self.rng.random() < 0.2 and count > 1:
            gone = int(self.rng.integers(count))
            self.A, self.h = np.delete(self.A, gone, axis=0), np.delete(self.h, gone)
        if self.rng.random() < 0.2:
            self.A = np.vstack([self.A, self.rng.uniform(0, 3, 2 * POINTS)])
            self.h = np.append(self.h, self.rng.uniform(0, 5) * LOT_W / BASE_W)
        if self.rng.random() < 0.3:
            drift = self.rng.uniform(0.95, 1.05, self.A.shape)
            self.A = np.where(self.rng.random(self.A.shape) < 0.2, self.A * drift, self.A)
        self.clearing.replace_rows(self.rows())

    def settle(self, event: int) -> None:
        while True:
            optimum = self.clearing.optimum()
            self.tiers[optimum.tier] += 1
            self.steps.append((event, tuple(optimum.quantities_w.items())))
            resting = self.resting()
            check(Case(self.rows(), resting, self.case.reserve), optimum)
            if not optimum.quantities_w:
                break
            change = changes_w(resting, optimum, 2 * POINTS)
            self.clearing.execute(optimum)
            self.h = np.maximum(self.h - self.A @ change / BASE_W, 0.0)
        self.clearing.orders.check_invariants()
        if self.oracle:
            left = what_is_left(self.case, self.clearing, self.rows())
            most = HIGHEST * LOT_W
            assert left.linear()[1] <= optimum.bound + 1e-3
            assert left.whole_lots() <= most + 1e-3

    def resting(self) -> tuple[ProgramOrder, ...]:
        return tuple(what_is_left(self.case, self.clearing, self.rows()).orders)


@pytest.mark.parametrize("conditional", [0.0, 0.1])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
@pytest.mark.slow
def test_the_price_screen_never_changes_a_result(conditional: float, seed: int) -> None:
    screened = Run(seed, screening=True, conditional=conditional, oracle=False)
    solved = Run(seed, screening=False, conditional=conditional, oracle=False)
    screened.go(80)
    solved.go(80)
    assert screened.steps == solved.steps
    assert Tier.PRICE_SCREEN not in solved.tiers


@given(seed=st.integers(0, 10**6))
@settings(max_examples=6, deadline=None)
@pytest.mark.slow
def test_after_every_event_no_improvement_above_one_lot_is_left(seed: int) -> None:
    Run(seed, screening=True, conditional=0.0, oracle=True).go(80)


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
    clearing = WelfareClearing(free_network(), LOT_W)
    clearing.add(sell(1, 0, 50, 20))
    clearing.add(buy(2, 1, 50, 19))
    assert not clearing.optimum().quantities_w
    assert clearing.screen.local[0] == 19.5
    assert not clearing.add(buy(3, 2, 50, 19))
    assert clearing.optimum().tier is Tier.PRICE_SCREEN
    assert clearing.add(buy(4, 2, 50, 20))
    assert clearing.optimum().quantities_w == {1: 50, 4: 50}
