"""Clearing programs at the edge of what a solver bears: prices of a tick and of the bound.

Lots of one watt, rows that hardly feel some limits, and quantities over four decades.
"""

from __future__ import annotations

import numpy as np
from random_programs import BASE_W

from exchange.clearing.problem import NetworkRows, ProgramLeg, ProgramOrder
from orderbook.order import Side

POINTS = 20
HIGHEST_TICKS = 1_000_000
MOST_W = 20_000


def wild_program(
    seed: int, *, orders: int = 60, conditional: float = 0.0
) -> tuple[NetworkRows, list[ProgramOrder]]:
    """Return rows, and orders of which a share is all-or-none or has a minimum quantity."""
    rng = np.random.default_rng(seed)
    A = rng.uniform(0, 1, (15, 2 * POINTS)) ** 3 * 10.0 ** rng.uniform(-3, 1, (15, 1))
    A[rng.random(A.shape) < 0.3] = 0.0
    headroom = 10.0 ** rng.uniform(-6, 0, 15) * A.max(axis=1) * MOST_W / BASE_W
    headroom[rng.random(15) < 0.2] = 0.0
    found = []
    for number in range(1, orders + 1):
        quantity_w = max(1, int(10 ** rng.uniform(0, np.log10(MOST_W))))
        price = (
            rng.integers(-HIGHEST_TICKS, HIGHEST_TICKS + 1),
            rng.integers(0, 10),
            HIGHEST_TICKS - rng.integers(0, 3),
            rng.integers(0, 3) - HIGHEST_TICKS,
        )[rng.integers(4)]
        minimum_w = 0
        if rng.random() < conditional:
            whole = rng.random() < 0.5
            minimum_w = quantity_w if whole else int(rng.integers(1, quantity_w + 1))
        found.append(
            ProgramOrder(
                order_id=number,
                side=(Side.BUY, Side.SELL)[rng.integers(2)],
                limit_price_ticks=int(price),
                rank=number,
                legs=(ProgramLeg(int(rng.integers(2 * POINTS)), quantity_w),),
                minimum_w=minimum_w,
            )
        )
    return NetworkRows.of_one(A, headroom, BASE_W), found
