"""All-or-none, minimum quantities and blocks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from random_programs import (
    BASE_W,
    LOT_W,
    Case,
    buy,
    cases,
    changes_w,
    clearing_of,
    free_network,
    network,
    sell,
)

from exchange.clearing.problem import NetworkRows, ProgramLeg, ProgramOrder, Tier
from orderbook.order import Side


@given(cases(conditional=True))
@settings(max_examples=80, deadline=None)
def test_conditions_are_kept_and_little_is_lost(case: Case) -> None:
    clearing = case.filled()
    optimum = clearing.optimum()
    case.check(optimum)
    best = case.oracle().whole_lots()
    assert optimum.gain <= best + 1e-5
    # Fractions of plain orders decide which conditional orders trade, so whole lots may lose a
    # lot for each order at most; on average they lose far less.
    assert optimum.gain >= best - case.lot_value() * len(case.orders)


@given(cases(count=5, lots=3, prices=8, points=2, conditional=True))
@settings(max_examples=60, deadline=None)
def test_without_a_network_conditions_reach_what_trying_everything_reaches(case: Case) -> None:
    open_ = Case(free_network(2), case.orders, case.reserve)
    assert open_.filled().optimum().gain == pytest.approx(open_.oracle().brute_force(), abs=1e-6)


def test_all_or_none_waits_until_all_is_there() -> None:
    clearing = clearing_of(free_network(2), sell(1, 0, 100, 10, minimum_w=100), buy(2, 1, 60, 30))
    assert not clearing.optimum().quantities_w
    clearing.add(buy(3, 1, 40, 12))
    optimum = clearing.optimum()
    assert optimum.tier in (Tier.LINEAR, Tier.MIXED_INTEGER)
    assert optimum.quantities_w == {1: 100, 2: 60, 3: 40}


def test_all_or_none_trades_at_a_loss_of_others_if_welfare_rises() -> None:
    """The last watts come from a bid below the ask, carried by the bids above it."""
    clearing = clearing_of(
        free_network(2), buy(1, 1, 60, 30), buy(2, 1, 40, 8), sell(3, 0, 100, 10, minimum_w=100)
    )
    optimum = clearing.optimum()
    assert optimum.tier is Tier.MIXED_INTEGER
    assert optimum.quantities_w == {1: 60, 2: 40, 3: 100}
    assert optimum.gain == 60 * 20 - 40 * 2


def test_the_older_of_two_equal_all_or_none_orders_trades() -> None:
    clearing = clearing_of(
        free_network(2),
        sell(1, 0, 100, 10, minimum_w=100),
        sell(2, 0, 100, 10, minimum_w=100),
        buy(3, 1, 150, 12),
    )
    assert clearing.optimum().quantities_w == {1: 100, 3: 100}


def test_a_minimum_holds_for_what_trades_at_once() -> None:
    clearing = clearing_of(free_network(2), sell(1, 0, 100, 10, minimum_w=50), buy(2, 1, 40, 12))
    assert not clearing.optimum().quantities_w
    clearing.add(buy(3, 1, 20, 12))
    optimum = clearing.optimum()
    assert optimum.quantities_w == {1: 60, 2: 40, 3: 20}
    clearing.execute(optimum)
    # Less than the minimum is left: all of that, or none.
    clearing.add(buy(4, 1, 30, 12))
    assert not clearing.optimum().quantities_w
    clearing.add(buy(5, 1, 10, 12))
    assert clearing.optimum().quantities_w == {1: 40, 4: 30, 5: 10}


def block(number: int, side: Side, price: int, *legs: tuple[int, int], **more: Any) -> ProgramOrder:
    return ProgramOrder(
        number, side, price, number, tuple(ProgramLeg(c, q) for c, q in legs), **more
    )


def test_a_block_trades_in_its_ratio_over_two_intervals() -> None:
    """Intervals of two points: limits 0 to 3 and 4 to 7."""
    rows = NetworkRows.joined([free_network(2), free_network(2)])
    clearing = clearing_of(
        rows, block(1, Side.SELL, 10, (0, 40), (4, 80)), buy(2, 1, 40, 15), intervals=2
    )
    assert not clearing.optimum().quantities_w
    clearing.add(buy(3, 5, 50, 15))
    # Half a lot of the first for each lot of the second: 20 and 40 watts.
    optimum = clearing.optimum()
    assert optimum.quantities_w == {1: 60, 2: 20, 3: 40}
    clearing.execute(optimum)
    assert clearing.orders.remaining(clearing.orders.entry(1)) == (
        ProgramLeg(0, 20),
        ProgramLeg(4, 40),
    )


def test_a_block_may_lose_in_one_interval_what_it_gains_in_another() -> None:
    rows = NetworkRows.joined([network([[0.0, 1.0, 0.0, 0.0]], [3.0]), free_network(2)])
    clearing = clearing_of(
        rows,
        buy(1, 1, 100, 5),
        buy(2, 5, 100, 25),
        block(3, Side.SELL, 10, (0, 50), (4, 50)),
        intervals=2,
    )
    optimum = clearing.optimum()
    assert optimum.quantities_w == {1: 30, 2: 30, 3: 60}
    orders = (buy(1, 1, 100, 5), buy(2, 5, 100, 25), block(3, Side.SELL, 10, (0, 50), (4, 50)))
    case = Case(rows, orders, intervals=2)
    case.check(optimum)
    assert optimum.gain == pytest.approx(case.oracle().whole_lots())


def test_random_blocks_agree_with_the_oracle() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first = network(rng.uniform(0, 2, (1, 4)).tolist(), [float(rng.uniform(0, 12))])
        rows = NetworkRows.joined([first, free_network(2)])
        orders = [
            ProgramOrder(n, list(Side)[int(rng.integers(2))], int(rng.integers(1, 20)), n,
                         (ProgramLeg(int(rng.integers(8)), int(rng.integers(1, 8)) * LOT_W),))
            for n in range(1, 9)
        ]  # fmt: skip
        for n in (9, 10):
            legs = [(int(rng.integers(4)), int(rng.integers(1, 4)) * 2 * LOT_W)]
            legs.append((4 + int(rng.integers(4)), legs[0][1] // 2 * int(rng.integers(1, 3))))
            minimum_w = sum(q for _, q in legs) if n == 9 else 0
            side = list(Side)[int(rng.integers(2))]
            orders.append(block(n, side, int(rng.integers(1, 20)), *legs, minimum_w=minimum_w))
        case = Case(rows, tuple(orders), intervals=2)
        optimum = case.filled().optimum()
        case.check(optimum)
        best = case.oracle().whole_lots()
        assert best - 2 * case.lot_value() <= optimum.gain <= best + 1e-5


def test_an_all_or_none_order_that_no_whole_lots_go_with_waits() -> None:
    """Ten lots need 6.5 and 3.5 of two buyers: neither 7 and 3 nor 6 and 4 satisfies both rows."""
    coefficients = [[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]
    rows = network(coefficients, [6.5, 3.5])
    orders = (buy(1, 1, 100, 30), buy(2, 2, 100, 30), sell(3, 0, 100, 10, minimum_w=100))
    clearing = clearing_of(rows, *orders)
    assert not clearing.optimum().quantities_w
    clearing.add(sell(4, 0, 90, 20))
    optimum = clearing.optimum()
    assert optimum.quantities_w == {1: 60, 2: 30, 4: 90}
    change = changes_w((*orders, sell(4, 0, 90, 20)), optimum, 6)
    assert (rows.A @ change / BASE_W <= rows.headroom).all()


def test_an_order_with_a_minimum_trades_as_much_as_goes_in_whole_lots() -> None:
    """Ten lots, of 6.5 and 3.5, keep its condition and are no whole lots; nine are, of 6 and 3."""
    coefficients = [[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]
    clearing = clearing_of(
        network(coefficients, [6.5, 3.5]),
        buy(1, 1, 100, 30),
        buy(2, 2, 100, 30),
        sell(3, 0, 100, 10, minimum_w=50),
    )
    optimum = clearing.optimum()
    assert optimum.quantities_w == {1: 60, 2: 30, 3: 90}
    assert optimum.gain == 90 * 20


def test_another_conditional_order_trades_where_the_best_one_goes_with_no_whole_lots() -> None:
    """All ten lots gain more in fractions, but only the eight are 6 and 2 of the buyers."""
    coefficients = [[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]
    clearing = clearing_of(
        network(coefficients, [6.5, 3.5]),
        buy(1, 1, 100, 30),
        buy(2, 2, 100, 30),
        sell(3, 0, 80, 12, minimum_w=80),
        sell(4, 0, 100, 10, minimum_w=100),
    )
    assert clearing.optimum().quantities_w == {1: 60, 2: 20, 3: 80}


@pytest.mark.parametrize("seed", range(40))
def test_ties_among_many_conditional_orders_go_to_the_oldest(seed: int) -> None:
    """Against every choice: no choice of equal gain gives an older order more."""
    rng = np.random.default_rng(seed)
    rows = network(rng.integers(0, 3, (2, 4)).tolist(), rng.integers(4, 12, 2).tolist())
    orders = []
    for number in range(1, 8):
        lots, column = int(rng.integers(2, 5)), int(rng.integers(2))
        minimum_w = int(rng.integers(2, lots + 1)) * LOT_W
        orders.append(sell(number, column, lots * LOT_W, 10, minimum_w=minimum_w))
    orders.append(buy(8, 1, int(rng.integers(3, 13)) * LOT_W, 12))
    optimum = Case(rows, tuple(orders)).filled().optimum()
    Case(rows, tuple(orders)).check(optimum)
    best, most = 0.0, (0,) * 7
    choices = [[0, *range(o.minimum_w // LOT_W, o.quantity_w // LOT_W + 1)] for o in orders[:7]]
    for choice in itertools.product(*choices):
        change = np.zeros(4)
        for own, lots in zip(orders, choice, strict=False):
            change[own.legs[0].column] -= lots
        change[1] += sum(choice)
        load = rows.A @ change * LOT_W / BASE_W
        if sum(choice) * LOT_W > orders[7].quantity_w or (load > rows.headroom + 1e-9).any():
            continue
        best, most = max((best, most), (20.0 * sum(choice), choice))
    assert optimum.gain == best
    assert tuple(optimum.quantities_w.get(n, 0) // LOT_W for n in range(1, 8)) == most


@given(cases(count=12, conditional=True))
@settings(max_examples=60, deadline=None)
def test_orders_that_come_one_by_one_leave_no_more_than_a_lot(case: Case) -> None:
    """Minimum quantities among plain orders, cleared to the end after each."""
    clearing = case.clearing()
    by_number = {order.order_id: order for order in case.orders}
    change = np.zeros(case.rows.A.shape[1])
    for order in case.orders:
        clearing.add(order)
        while (optimum := clearing.optimum()).quantities_w:
            for number, quantity_w in optimum.quantities_w.items():
                own = by_number[number]
                change[own.legs[0].column] += own.sign * quantity_w
            clearing.execute(optimum)
        headroom = case.rows.headroom - case.rows.A @ change / BASE_W
        left = case.left_after(clearing, NetworkRows.of_one(case.rows.A, headroom, BASE_W))
        waiting = Case(case.rows, tuple(left.orders), case.reserve)
        assert left.whole_lots() <= waiting.lot_value() + 1e-5
