"""Joint orders over several intervals: what prices leave out has no part in what trades.

The same random market runs three ways: as it is, with every joint order in one program with all
intervals that it touches, and against scipy, which solves the program of everything from nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clearing_oracle import Oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from market import GATE, QUARTER, START, Market, all_of, interface
from sampling import much
from trade_checks import check_payments, held_w, lot_value, program_of

from exchange.clearing import work_budget
from exchange.clearing.problem import NetworkRows
from exchange.market.joint_order_screen import JointScreen
from exchange.vocabulary.commands import (
    CancelOrder,
    HaltTrading,
    OpenSession,
    ResumeTrading,
    SubmitJoint,
)
from exchange.vocabulary.events import Traded
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.rules import ExchangeRate, MarketRules
from orderbook.order import Side
from security_check.model.envelope import Direction

POINTS = 4
INTERVALS = [START + k * QUARTER for k in range(5)]
CAPACITY_W = 200
ONE_TO_ONE = MarketRules(max_conditional_orders=10**6, max_conditional_orders_each=10**6)
WEIGHTED = MarketRules(
    exchange_rate=ExchangeRate.NETWORK_WEIGHTED,
    reserve_price_ticks=9,
    max_conditional_orders=10**6,
    max_conditional_orders_each=10**6,
)
RULES = st.sampled_from([ONE_TO_ONE, WEIGHTED])
SEEDS = st.integers(0, 2**32 - 1)
ALONE: list[dict[str, Any]] = [{}, {}, {}, {"all_or_none": True}, {"minimum_w": 8}]


class Quarters:
    """A random market of several intervals with many joint orders, decided by a seed alone."""

    def __init__(self, seed: int, rules: MarketRules) -> None:
        self.rng = np.random.default_rng(seed)
        rows = []
        for _ in range(2):
            row = [int(each) for each in self.rng.integers(0, 3, 2 * POINTS)]
            bound = sum(row) * CAPACITY_W // 2 + int(self.rng.integers(0, 60))
            rows.append((row, bound, bound - int(self.rng.integers(0, 10))))
        self.rows, self.bounds = [row for row, _, _ in rows], [ac for _, _, ac in rows]
        self.half = POINTS * CAPACITY_W // 2
        self.limits = interface(self.half + 20, self.half + 20)
        self.market = Market(
            points=POINTS, capacity_w=CAPACITY_W, rows=rows, limits=self.limits, rules=rules
        )
        for start in INTERVALS[1:]:
            self.market.do(OpenSession(start, start + QUARTER, GATE, self.limits))

    @property
    def orders(self):
        return list(self.market.exchange.state.orders.values())

    def go(self, steps: int, *, check: bool = False) -> Quarters:
        for number in range(steps):
            self.step(number)
            if check:
                self.check_nothing_left()
        return self

    def step(self, number: int) -> None:
        kind = self.rng.random()
        if kind < 0.1 and self.orders:
            order = self.orders[self.rng.integers(len(self.orders))]
            self.market.do(
                CancelOrder(order.participant, self.market.new_id(), order.client_order_id)
            )
        elif kind < 0.14:
            start = self.one_of(INTERVALS)
            self.market.do(HaltTrading(f"h{number}", start))
            self.submit()
            self.submit_joint(number)
            self.market.do(ResumeTrading(f"r{number}", start))
        elif kind < 0.4:
            self.submit_joint(number)
        else:
            self.submit()

    def submit(self) -> None:
        quantity_w = int(self.rng.integers(8, 25))
        self.market.submit(
            int(self.rng.integers(POINTS)),
            self.one_of(["buy", "sell"]),
            quantity_w,
            int(self.rng.integers(1, 20)),
            direction=self.one_of(list(Direction)),
            interval=self.one_of(INTERVALS),
            **self.one_of(ALONE),
        )

    def submit_joint(self, number: int) -> None:
        owner = int(self.rng.integers(POINTS))
        places = [(start, direction) for start in INTERVALS for direction in Direction]
        chosen = self.rng.permutation(len(places))[: self.rng.integers(2, 5)]
        quantity_w, whole = int(self.rng.integers(1, 20)), bool(self.rng.random() < 0.5)
        legs = tuple(
            Leg(
                f"load:{owner}",
                places[place][1],
                places[place][0],
                Side(self.one_of(["buy", "sell"])),
                quantity_w + (k if whole else 0),
                int(self.rng.integers(1, 20)),
            )
            for k, place in enumerate(chosen)
        )
        self.market.do(SubmitJoint(f"p{owner}", f"j{number}", legs, whole))

    def one_of(self, choices):
        return choices[self.rng.integers(len(choices))]

    def check_nothing_left(self) -> None:
        """Check against scipy's whole program, in lots and with all conditions."""
        ones, none = [1] * POINTS, [0] * POINTS
        A = np.array([*self.rows, ones + none, none + ones], dtype=float)
        bounds = np.array([*self.bounds, self.half + 20, self.half + 20], dtype=float)
        rows = [
            NetworkRows.of_one(A, bounds - A @ held_w(self.market.exchange.envelopes(start)), 1.0)
            for start in INTERVALS
        ]
        rules = self.market.rules
        reserve = 9 if rules.exchange_rate is ExchangeRate.NETWORK_WEIGHTED else None
        points = self.market.grid.connection_points
        oracle = Oracle(
            program_of(self.orders, points, INTERVALS),
            NetworkRows.joined(rows),
            1,
            reserve,
            len(INTERVALS),
        )
        most = lot_value(self.orders, rules)
        if self.orders and oracle.linear()[1] > most:
            assert oracle.whole_lots() <= most + 1e-6


@pytest.fixture(autouse=True)
def all_effort(monkeypatch):
    """Let no search wait: what is shown here is what trades where none has to."""
    monkeypatch.setattr(work_budget, "REGAINED", work_budget.JOINED)


def trades(quarters: Quarters) -> list:
    """Return who traded what, and what it paid, and when."""
    found = all_of(quarters.market.events, Traded)
    return [(event.time, event.fills, event.taker_order_id, event.rent) for event in found]


def always_joined(seed: int, rules: MarketRules, steps: int) -> Quarters:
    """Run a market in which every joint order is in one program with all that it touches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JointScreen, "may_take_part", lambda _, orders, *prices: orders)
        return Quarters(seed, rules).go(steps)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, rules=RULES)
def test_what_prices_leave_out_has_no_part_in_what_trades(seed, rules):
    screened = Quarters(seed, rules).go(20)
    assert trades(screened) == trades(always_joined(seed, rules, 20))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, rules=RULES)
def test_nothing_is_left_to_gain_over_all_intervals(seed, rules):
    quarters = Quarters(seed, rules).go(18, check=True)
    for traded in all_of(quarters.market.events, Traded):
        check_payments(traded, rules)


@pytest.mark.slow
@pytest.mark.parametrize("rules", [ONE_TO_ONE, WEIGHTED], ids=["balanced", "weighted"])
def test_in_long_runs(rules):
    for seed in range(much(12)):
        screened = Quarters(seed, rules).go(120, check=True)
        assert trades(screened) == trades(always_joined(seed, rules, 120))
