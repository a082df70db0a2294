"""Random small clearing programs for Hypothesis, and what every optimum of them must satisfy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from clearing_oracle import Oracle
from hypothesis import strategies as st

from exchange.clearing.problem import ClearingOptimum, NetworkRows, ProgramLeg, ProgramOrder
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.vocabulary.rules import ExchangeRate
from orderbook.order import Side

LOT_W = 10
POINTS = 3
BASE_W = 1e4


@dataclass(frozen=True)
class Case:
    """A program: rows, orders oldest first, and whether directions balance."""

    rows: NetworkRows
    orders: tuple[ProgramOrder, ...]
    reserve: int | None = None
    intervals: int = 1

    @property
    def rate(self) -> ExchangeRate:
        balanced = self.reserve is None
        return ExchangeRate.ONE_TO_ONE if balanced else ExchangeRate.NETWORK_WEIGHTED

    def clearing(self, *, screening: bool = True) -> WelfareClearing:
        return WelfareClearing(
            self.rows,
            LOT_W,
            self.rate,
            reserve_price_ticks=self.reserve or 0,
            intervals=self.intervals,
            screening=screening,
        )

    def filled(self) -> WelfareClearing:
        return with_orders(self.clearing(), self.orders)

    def oracle(self) -> Oracle:
        return Oracle(self.orders, self.rows, LOT_W, self.reserve, self.intervals)

    def changes_w(self, optimum: ClearingOptimum) -> np.ndarray:
        """Return the change of each limit in watts."""
        return changes_w(self.orders, optimum, self.rows.A.shape[1])

    def check(self, optimum: ClearingOptimum) -> None:
        """Check what must hold for every optimum, gain and bounds left out."""
        by_number = {order.order_id: order for order in self.orders}
        for number, quantity_w in optimum.quantities_w.items():
            own = by_number[number]
            assert min(own.minimum_w, own.quantity_w) <= quantity_w <= own.quantity_w
            assert quantity_w > 0
            assert quantity_w % LOT_W == 0
        change = self.changes_w(optimum)
        if self.reserve is None:
            assert not change.reshape(2 * self.intervals, -1).sum(axis=1).any()
        load = self.rows.A @ change / BASE_W
        # A billionth of a lot of the most sensitive limit.
        allowed = 2e-9 * LOT_W / BASE_W * self.rows.A.max(axis=1, initial=0.0)
        assert (load <= np.maximum(self.rows.headroom, 0.0) + allowed + 1e-15).all()
        gain = sum(
            by_number[n].sign * (by_number[n].limit_price_ticks - (self.reserve or 0)) * quantity_w
            for n, quantity_w in optimum.quantities_w.items()
        )
        assert optimum.gain == gain >= 0

    def left_after(self, clearing: WelfareClearing, rows_left: NetworkRows) -> Oracle:
        """Return the oracle of the program after an execution, conditions as they were."""
        left = [
            ProgramOrder(
                order_id=entry.order.order_id,
                side=entry.order.side,
                limit_price_ticks=entry.order.limit_price_ticks,
                rank=entry.order.rank,
                legs=clearing.orders.remaining(entry),
                minimum_w=entry.order.minimum_w,
            )
            for entry in clearing.orders
        ]
        return Oracle(left, rows_left, LOT_W, self.reserve, self.intervals)

    def lot_value(self) -> float:
        """Return the most that a lot bought and a lot sold can gain, in tick-watts."""
        bids = [o.limit_price_ticks for o in self.orders if o.side is Side.BUY]
        asks = [o.limit_price_ticks for o in self.orders if o.side is Side.SELL]
        if self.reserve is not None:
            bids, asks = [*bids, self.reserve], [*asks, self.reserve]
        return LOT_W * max(max(bids, default=0) - min(asks, default=0), 0)


def with_orders(clearing: WelfareClearing, orders: Iterable[ProgramOrder]) -> WelfareClearing:
    for each in orders:
        clearing.add(each)
    return clearing


def clearing_of(rows: NetworkRows, *orders: ProgramOrder, **how: Any) -> WelfareClearing:
    """Return the clearing of orders under rows; ``how`` as for :class:`WelfareClearing`."""
    return with_orders(WelfareClearing(rows, LOT_W, **how), orders)


def buy(number: int, column: int, quantity_w: int, price: int, **more: Any) -> ProgramOrder:
    return ProgramOrder(number, Side.BUY, price, number, (ProgramLeg(column, quantity_w),), **more)


def sell(number: int, column: int, quantity_w: int, price: int, **more: Any) -> ProgramOrder:
    return ProgramOrder(number, Side.SELL, price, number, (ProgramLeg(column, quantity_w),), **more)


def cancel(clearing: WelfareClearing, number: int) -> None:
    """Take all that is left of an order off a program."""
    entry = clearing.orders.entry(number)
    clearing.reduce(number, clearing.orders.watts(entry, entry.units))


def network(
    coefficients: Sequence[Sequence[float]] | np.ndarray,
    headroom_lots: Sequence[float] | np.ndarray,
) -> NetworkRows:
    """Return rows of which a coefficient of 1 takes a lot of headroom for a lot."""
    A = np.array(coefficients, dtype=float).reshape(len(headroom_lots), -1)
    return NetworkRows.of_one(A, np.array(headroom_lots, dtype=float) * LOT_W / BASE_W, BASE_W)


def free_network(points: int = POINTS) -> NetworkRows:
    return NetworkRows.of_one(np.zeros((0, 2 * points)), np.zeros(0), BASE_W)


@st.composite
def rows(draw: st.DrawFn, points: int = POINTS) -> NetworkRows:
    count = draw(st.integers(0, 3))
    digits = draw(st.sampled_from([1, 100]))
    weight = st.integers(0, 3 * digits).map(lambda value: value / digits)
    coefficients = [[draw(weight) for _ in range(2 * points)] for _ in range(count)]
    room = st.one_of(st.just(0.0), st.integers(0, 150).map(lambda value: value / 10))
    headroom = np.array([draw(room) for _ in range(count)])
    if not count:
        return free_network(points)
    return network(coefficients, headroom)


@st.composite
def order(
    draw: st.DrawFn, number: int, *, prices: int, lots: int, conditional: bool, points: int = POINTS
) -> ProgramOrder:
    quantity_w = draw(st.integers(1, lots)) * LOT_W
    minimum_w = 0
    if conditional and draw(st.integers(0, 2)) == 0:
        minimum_w = draw(st.one_of(st.just(quantity_w), st.integers(1, quantity_w)))
    return ProgramOrder(
        order_id=number,
        side=draw(st.sampled_from(Side)),
        limit_price_ticks=draw(st.integers(-3, prices)),
        rank=number,
        legs=(ProgramLeg(draw(st.integers(0, 2 * points - 1)), quantity_w),),
        minimum_w=minimum_w,
    )


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    count: int = 10,
    prices: int = 20,
    lots: int = 9,
    conditional: bool = False,
    points: int = POINTS,
) -> Case:
    numbers = range(1, draw(st.integers(1, count)) + 1)
    orders = tuple(
        draw(order(n, prices=prices, lots=lots, conditional=conditional, points=points))
        for n in numbers
    )
    return Case(draw(rows(points)), orders, draw(st.sampled_from([None, None, 0, 7])))


def changes_w(orders: Sequence[ProgramOrder], optimum: ClearingOptimum, limits: int) -> np.ndarray:
    """Return the change of each limit in watts, shape (limits,)."""
    by_number = {order.order_id: order for order in orders}
    change = np.zeros(limits)
    for number, quantity_w in optimum.quantities_w.items():
        own = by_number[number]
        for leg in own.legs:
            part_w, rest = divmod(leg.quantity_w * quantity_w, own.quantity_w)
            assert rest == 0
            change[leg.column] += own.sign * part_w
    return change
