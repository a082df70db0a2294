"""Among optima older orders come first: price-time priority, and by time where rows bind."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_programs import (
    BASE_W,
    LOT_W,
    Case,
    buy,
    cancel,
    cases,
    clearing_of,
    free_network,
    network,
    sell,
)

from exchange.clearing.linear.time_priority import oldest_first


def fractions(case: Case) -> np.ndarray:
    """Return what the linear program gives each order, in watts, before rounding."""
    clearing = case.filled()
    orders, rows, program = clearing.orders, clearing._rows, clearing._program
    upper = orders.units[: orders.size].copy()
    none = np.zeros_like(upper)
    relaxed = program.solve(none, upper, rows.h)
    units = oldest_first(program, orders, relaxed, none, upper, rows.h, none)
    shares = {}
    for column in range(orders.size):
        left = units[column]
        for entry in orders.queue(column):
            shares[entry.order.order_id] = min(float(entry.units), left) * LOT_W
            left -= min(float(entry.units), left)
    return np.array([shares[order.order_id] for order in case.orders])


@given(cases(count=12, prices=4))
@settings(max_examples=60, deadline=None)
def test_the_linear_optimum_serves_older_orders_first(case: Case) -> None:
    # The oracle fixes one order after the other to within a hair, which adds up a little.
    np.testing.assert_allclose(fractions(case), case.oracle().by_time(), atol=0.05)


def test_price_then_time_in_an_open_network() -> None:
    """Case 2 of the order book's behaviours, at points of their own."""
    clearing = clearing_of(
        free_network(),
        *(sell(1, 0, 1000, 10), sell(2, 1, 300, 5), sell(3, 2, 300, 5), sell(4, 0, 200, 2)),
    )
    clearing.add(buy(5, 1, 500, 5))
    assert clearing.optimum().quantities_w == {2: 300, 4: 200, 5: 500}


def test_equal_prices_trade() -> None:
    clearing = clearing_of(free_network(), sell(1, 0, 50, 8), buy(2, 1, 30, 8))
    optimum = clearing.optimum()
    assert optimum.quantities_w == {1: 30, 2: 30}
    assert optimum.gain == 0


def test_time_decides_at_equal_prices_where_a_row_binds() -> None:
    rows = network([[0.0, 1.0, 1.0, 0.0, 0.0, 0.0]], [5.0])
    for first, second in ((1, 2), (2, 1)):
        clearing = clearing_of(
            rows,
            sell(1, 0, 100, 10),
            buy(2, first, 40, 20),
            buy(3, second, 40, 20),
            buy(4, second, 40, 20),
        )
        assert clearing.optimum().quantities_w == {1: 50, 2: 40, 3: 10}


def test_ties_within_one_column_go_by_time_after_rounding() -> None:
    rows = network([[0.0, 1.0, 0.0, 0.0]], [5.7])
    clearing = clearing_of(rows, sell(1, 0, 100, 10))
    for number in (2, 3, 4):
        clearing.add(buy(number, 1, 30, 20))
    assert clearing.optimum().quantities_w == {1: 50, 2: 30, 3: 20}


@st.composite
def evenly_matched(draw: st.DrawFn) -> Case:
    """Draw orders of one price and any age at a few points, and one on the other side.

    Rows have headrooms in quarters of a lot, so that several roundings gain the same.
    """
    count = draw(st.integers(2, 4))
    many, one, price = draw(st.sampled_from([(buy, sell, 20), (sell, buy, 10)]))
    ages = draw(st.permutations(range(1, count + 2)))
    points = draw(st.permutations([0, 0, 1, 2, 3][: count + 1]))
    orders = [
        many(age, point, draw(st.integers(1, 7)) * LOT_W, price)
        for age, point in zip(ages, points[:count], strict=False)
    ]
    orders.append(one(ages[-1], count, 30 * LOT_W, 30 - price))
    weights = [
        [draw(st.integers(0, 3)) for _ in range(count)]
        + [0 if one is sell else draw(st.integers(1, 4))]
        + [0] * (count + 1)
        for _ in range(draw(st.integers(2, 3)))
    ]
    room = [draw(st.integers(2, 40)) / 4 for _ in weights]
    return Case(network(weights, room), tuple(sorted(orders, key=lambda order: order.rank)))


def best_neighbour(case: Case) -> tuple[float, tuple[int, ...]] | None:
    """Return the gain and the lots, oldest first, of the best way to round the linear optimum.

    Every way is tried, on scipy's optimum; ``None`` where none balances and holds.
    """
    near = case.oracle().by_time() / LOT_W
    value, loads, room, balance, _ = case.oracle().arrays()
    ways = itertools.product(
        *({int(np.floor(each + 1e-4)), int(np.ceil(each - 1e-4))} for each in near)
    )
    hold = [
        (float(value @ way) * LOT_W, way)
        for way in ways
        if not (balance @ way).any() and (loads @ way * LOT_W <= room + 1e-9 * LOT_W / BASE_W).all()
    ]
    return max(hold, default=None)


def a_lot_for_either() -> Case:
    """Return three buyers at two points, of whose 1.75 lots each either may be rounded up.

    At load:1 the first lot goes to the oldest order, the next one to the youngest.
    """
    weights = [[1, 1, 0, 0, 0, 0], [1, 2, 0, 0, 0, 0], [2, 1, 0, 0, 0, 0]]
    rows = network(weights, [3.5, 5.25, 5.25])
    orders = buy(1, 1, 10, 20), buy(2, 0, 70, 20), buy(3, 1, 70, 20), sell(4, 2, 300, 10)
    return Case(rows, orders)


@given(evenly_matched())
@example(a_lot_for_either())
@settings(max_examples=60, deadline=None)
def test_of_roundings_that_gain_the_same_older_orders_get_the_lot(case: Case) -> None:
    best = best_neighbour(case)
    optimum = case.filled().optimum()
    got = tuple(optimum.quantities_w.get(order.order_id, 0) // LOT_W for order in case.orders)
    if best is not None:
        assert (optimum.gain, got) >= best


def test_a_cancelled_and_repeated_order_has_lost_its_turn() -> None:
    clearing = clearing_of(free_network(), sell(1, 0, 50, 10), sell(2, 1, 50, 10))
    cancel(clearing, 1)
    clearing.add(sell(3, 0, 50, 10))
    clearing.reduce(2, 10)
    clearing.add(buy(4, 2, 60, 10))
    assert clearing.optimum().quantities_w == {2: 40, 3: 20, 4: 60}
