"""Random days of one program, decided by a seed alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
from clearing_oracle import Oracle
from random_programs import (
    BASE_W,
    LOT_W,
    POINTS,
    Case,
    cancel,
    changes_w,
)

from exchange.clearing.problem import TIE, NetworkRows, ProgramLeg, ProgramOrder, Tier
from exchange.clearing.welfare_clearing import WelfareClearing
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
            legs=(ProgramLeg(int(rng.integers(2 * POINTS)), quantity_w),),
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
        settled = self.clearing.screen.settled and not self.clearing.screen.leaves_out
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
            Case(self.rows(), resting, self.case.reserve).check(optimum)
            if not optimum.quantities_w:
                break
            change = changes_w(resting, optimum, 2 * POINTS)
            self.clearing.execute(optimum)
            self.h = np.maximum(self.h - self.A @ change / BASE_W, 0.0)
        self.clearing.orders.check_invariants()
        if self.oracle:
            left = self.case.left_after(self.clearing, self.rows())
            assert left.linear()[1] <= optimum.bound * (1 + 1e-9) + 1e-3
            assert left.whole_lots() <= self.most_left(left) + 1e-3

    def most_left(self, left: Oracle) -> float:
        """Return what may be left to gain: a lot."""
        return HIGHEST * LOT_W

    def resting(self) -> tuple[ProgramOrder, ...]:
        return tuple(self.case.left_after(self.clearing, self.rows()).orders)
