"""Programs that the solver gave up on before it started again with a scaled objective."""

from __future__ import annotations

import numpy as np
import pytest
from clearing_oracle import Oracle
from random_programs import BASE_W
from wild_programs import HIGHEST_TICKS, wild_program

from exchange.clearing.problem import NetworkRows, ProgramOrder
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.vocabulary.rules import ExchangeRate


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


@pytest.mark.parametrize("seed", [9, 12, 88, 106, 109])
def test_duals_beyond_the_ratio_test_clear_and_the_bound_holds(seed: int) -> None:
    """A row that feels an order by a ten-millionth has duals of 1e13 ticks."""
    rows, orders = wild_program(seed)
    clearing, headroom = cleared(rows, orders, ExchangeRate.NETWORK_WEIGHTED)
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
    bound = clearing.optimum().bound
    assert gain <= bound * (1 + 1e-6) + 1.0
    assert bound <= 2 * HIGHEST_TICKS  # A lot bought and a lot sold at the bounds of prices.


@pytest.mark.parametrize("seed", [0, 32, 38, 41])
def test_conditional_orders_of_a_thousand_million_tick_watts_clear(seed: int) -> None:
    """A gain of 1e9 as a row to hold is more than an absolute tolerance of 1e-9 bears."""
    rows, orders = wild_program(seed, orders=40, conditional=0.15)
    clearing, headroom = cleared(rows, orders, ExchangeRate.ONE_TO_ONE)
    assert (headroom >= -4e-9 / BASE_W * rows.A.max(axis=1)).all()
    clearing.orders.check_invariants()
