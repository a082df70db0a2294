"""A market whose rows are more than the solver bears: coefficients over fourteen decades.

What it asks for in one auction, of orders with minimum quantities among plain ones of up to a
gigawatt in lots of one watt, ends the mixed-integer solver in infeasibilities of its own making.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from linear_grid import LinearSecurity
from market import Market

from security_check.checking.linear_rows import LinearRows
from security_check.model.envelope import Direction

POINTS = 16
_BASE_W = 1e4
_HIGHEST_TICKS = 1_000_000
_MOST_W = 10**9


def wild_market(seed: int, patch: pytest.MonkeyPatch) -> tuple[Market, list[dict[str, Any]]]:
    """Return a market under such rows, and one order for each of its participants."""
    rng = np.random.default_rng(seed)
    A = 10.0 ** rng.uniform(-14, 0, (6, 2 * POINTS))
    headroom = 10.0 ** rng.uniform(-14, 2, 6) * _MOST_W / _BASE_W
    market = Market(points=POINTS, capacity_w=10**10)
    before_w = market.grid.latest.envelopes()
    held_w = np.concatenate([before_w.injection_w, before_w.withdrawal_w])

    def linear_rows(security: LinearSecurity) -> LinearRows:
        now = security.envelopes()
        risen_w = np.concatenate([now.injection_w, now.withdrawal_w]) - held_w
        left = headroom - A @ risen_w / _BASE_W
        return LinearRows.of_one(A, left, _BASE_W, lambda row: f"line:{row}")

    patch.setattr(LinearSecurity, "linear_rows", linear_rows)
    orders: list[dict[str, Any]] = []
    for participant in range(POINTS):
        quantity_w = max(1, int(10 ** rng.uniform(0, 9)))
        price = (
            rng.integers(0, _HIGHEST_TICKS + 1),
            rng.integers(0, 10),
            _HIGHEST_TICKS - rng.integers(0, 3),
        )[rng.integers(3)]
        order = {
            "participant": participant,
            "side": ("buy", "sell")[rng.integers(2)],
            "quantity_w": quantity_w,
            "limit_price_ticks": int(price),
            "direction": list(Direction)[rng.integers(2)],
        }
        if rng.random() < 0.4:
            order["minimum_w"] = int(rng.integers(1, quantity_w + 1))
        orders.append(order)
    return market, orders
