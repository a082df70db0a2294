"""What do conditional orders cost: thirty in a usual market, and a flood of them?

Run with ``python benchmarks/bench_conditional.py``.  It asserts nothing; seeds are fixed.
It times the program alone, without power flow and journal.  An event is an order and all trades
that follow; times are processor times of one thread.
"""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from exchange.clearing.problem import NetworkRows, ProgramLeg, ProgramOrder
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.clearing.work_budget import WorkBudget
from orderbook.order import Side

LIMITS = 120
BASE_W = 1e6


@dataclass
class Book:
    """A program that receives orders, with the time of each event."""

    headroom_w: float
    seed: int
    effort: WorkBudget = field(default_factory=WorkBudget)
    seconds: list[float] = field(default_factory=list)
    used_up: int = 0
    gain: int = 0
    number: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        numbers = np.random.default_rng(self.seed)
        headroom = numbers.uniform(0.0, self.headroom_w, 8) / BASE_W
        rows = NetworkRows.of_one(numbers.uniform(0.0, 1.0, (8, LIMITS)), headroom, BASE_W)
        self.clearing = WelfareClearing(rows, 1, budget=self.effort)

    def place(self, side: Side, quantity_w: int, price: int, *, all_or_none: bool) -> None:
        """Place an order at a random limit of the first direction, and trade."""
        self.number += 1
        legs = (ProgramLeg(self.draw.randrange(LIMITS // 2), quantity_w),)
        minimum_w = quantity_w if all_or_none else 0
        order = ProgramOrder(self.number, side, price, self.number, legs, minimum_w)
        began = time.process_time()
        self.effort.renew()
        self.clearing.add(order)
        while (optimum := self.clearing.optimum()).quantities_w:
            self.clearing.execute(optimum)
            self.gain += optimum.gain
        self.seconds.append(time.process_time() - began)
        self.used_up += not self.effort.choices.left

    @property
    def conditional(self) -> int:
        """Return the number of resting conditional orders."""
        return len(self.clearing.orders.conditions)

    def side(self) -> Side:
        """Return either side."""
        return self.draw.choice((Side.BUY, Side.SELL))


def a_usual_market(seed: int) -> Book:
    """Keep 30 all-or-none orders near the price among 600 plain ones; add 200 plain ones."""
    book = Book(4_000.0, seed)
    draw = book.draw
    for _ in range(600):
        side = book.side()
        away = draw.randint(1, 200) * (1 if side is Side.SELL else -1)
        book.place(side, draw.randint(1, 100), 1_000 + away, all_or_none=False)
    measured = list[float]()
    for _ in range(200):
        while book.conditional < 30:
            price = 1_000 + draw.randint(-10, 10)
            book.place(book.side(), draw.randint(20, 400), price, all_or_none=True)
        book.seconds.clear()
        price = 1_000 + draw.randint(-60, 60)
        book.place(book.side(), draw.randint(1, 100), price, all_or_none=False)
        measured += book.seconds
    book.seconds = measured
    return book


def a_flood(seed: int) -> Book:
    """Add 50 all-or-none orders of even quantities near one price, the most that may rest."""
    book = Book(1e9, seed)
    draw = book.draw
    for number in range(50):
        side = Side.SELL if number < 40 else Side.BUY
        price = (100 if side is Side.SELL else 101) + draw.randint(0, 3)
        book.place(side, 2 * draw.randint(20_000, 90_000), price, all_or_none=True)
    return book


def show(title: str, books: Sequence[Book]) -> None:
    """Print the times of the events of some books."""
    ms = 1e3 * np.concatenate([book.seconds for book in books])
    print(
        f"{title}: mean {ms.mean():.1f} ms, p50 {np.median(ms):.1f} ms, "
        f"p99 {np.quantile(ms, 0.99):.0f} ms, slowest {ms.max():.0f} ms; "
        f"effort used up in {sum(book.used_up for book in books)} events; "
        f"gained {sum(book.gain for book in books):,} tick-watts"
    )


def main() -> None:
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    show(
        "30 conditional orders among 600, 200 events, 5 seeds", list(map(a_usual_market, range(5)))
    )
    show("a flood of 50 conditional orders, 6 seeds", list(map(a_flood, range(1, 7))))


if __name__ == "__main__":
    main()
