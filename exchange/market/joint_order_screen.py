"""Which joint orders may trade: local prices prove that most do not.

Without joint orders the program of several intervals falls apart into one for each interval.  So
the duals of these, side by side, are duals of the program over all intervals and joint orders, and
by weak duality trades with at least m units of a joint order j gain no more than

    sum over intervals (optimum found there + relaxation gap)
    + sum over joint orders i (gain of all of i at local prices, if positive)
    + m * (gain of a unit of j at local prices, where negative)

with the relaxation gap of ``ParticipationBound``, over all intervals and joint orders that are
connected with j.  Where that is less than the optima found without joint orders, j takes part in no
optimum.  A joint order that may take part is brought in.  That changes prices, so the other joint
orders are checked again at the prices of the joined program: they may pay for each other's legs.

Measured: with all intervals in one program instead, an order beside one block over 96 intervals
takes 18 times as long (p50 108 ms instead of 5.9 ms; docs/benchmarks.md).  Trades are the same in
the random markets of ``tests/exchange/market/test_joint_order_selection.py``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from exchange.clearing.problem import TIE, ParticipationBound
from exchange.market.market_program import Legs
from orderbook.order import Side
from security_check.arrays import FloatArray, IntArray
from security_check.model.envelope import Direction

_EQUAL = 1e-6  # share of a gain by which it may be off: two gains differ, each with solver error


@dataclass(frozen=True, slots=True)
class _Least:
    """The least that a joint order trades: all of it, or the fewest lots that keep the ratio.

    Parameters
    ----------
    limits
        Shape (legs,), the limits of its legs among those of all intervals.
    lots
        Shape (legs,), the change of each.
    worth
        Its worth at the limit prices, in tick-lots.
    intervals
        The intervals it has legs in, by their number in the screen.
    """

    limits: IntArray
    lots: IntArray
    worth: float
    intervals: IntArray


class JointScreen:
    """The local prices of intervals side by side, and what joint orders gain at them.

    Parameters
    ----------
    connection_points
        In the network's order.
    lot_w
        Watts of a lot.
    """

    __slots__ = ("_least", "_local", "_lot_w", "_numbers", "_points", "_relaxation_gap", "_shown")

    def __init__(self, connection_points: Sequence[str], lot_w: int) -> None:
        self._points = {point: i for i, point in enumerate(connection_points)}
        self._lot_w = lot_w
        self._numbers: dict[datetime, int] = {}
        self._shown: list[FloatArray] = []
        self._local: FloatArray = np.zeros((0, 2 * len(self._points)))
        self._relaxation_gap: FloatArray = np.zeros(0)
        self._least: dict[int, _Least] = {}

    def forget(self, order_id: int) -> None:
        """Forget a joint order that is gone."""
        self._least.pop(order_id, None)

    def show(self, interval: datetime, bound: ParticipationBound) -> None:
        """Store the participation bound of an interval's own program.  O(1) where prices stay."""
        number = self._number(interval)
        if self._shown[number] is not bound.local:
            self._shown[number] = self._local[number] = bound.local
        self._relaxation_gap[number] = bound.relaxation_gap

    def may_take_part(
        self, orders: Iterable[Legs], searched: Collection[datetime], found: ParticipationBound
    ) -> list[Legs]:
        """Return the joint orders that have a leg in a program and may take part in its optimum.

        O(limits of all intervals), and O(legs) for each order.

        Parameters
        ----------
        orders
            All joint orders that are not in the program and connected with it, directly or through
            each other; the bounds of the intervals of their other legs are shown already.
        searched
            The intervals of the program, in the order of its columns.
        found
            Its participation bound.
        """
        numbers = [self._number(start) for start in searched]
        local, relaxation_gap = self._local.copy(), self._relaxation_gap.copy()
        local[numbers] = found.local.reshape(len(numbers), -1)
        relaxation_gap[numbers] = 0.0
        prices = local.reshape(-1)
        left, others, asked = found.relaxation_gap, set(), []
        for legs in orders:
            least = self._least_of(legs)
            gained = least.worth - float(prices[least.limits] @ least.lots)
            units = legs[0].remaining_w // (self._lot_w * abs(int(least.lots[0])))
            left += units * max(gained, 0.0)
            others.update(least.intervals.tolist())
            if any(leg.interval in searched for leg in legs):
                asked.append((legs, gained, TIE * float(np.abs(least.lots).sum())))
        left = (left + float(relaxation_gap[list(others)].sum())) * (1.0 + _EQUAL)
        return [legs for legs, gained, tie in asked if _may_gain(gained, left, tie)]

    def _number(self, interval: datetime) -> int:
        number = self._numbers.get(interval)
        if number is None:
            number = self._numbers[interval] = len(self._numbers)
            prices = np.zeros((1, 2 * len(self._points)))
            self._shown.append(prices)
            self._local = np.concatenate([self._local, prices])
            self._relaxation_gap = np.concatenate([self._relaxation_gap, np.zeros(1)])
        return number

    def _least_of(self, legs: Legs) -> _Least:
        least = self._least.get(legs[0].order_id)
        if least is None:
            least = self._least[legs[0].order_id] = self._new_least(legs)
        return least

    def _new_least(self, legs: Legs) -> _Least:
        lots = np.array([leg.remaining_w // self._lot_w for leg in legs], dtype=np.int64)
        if not any(leg.required_w for leg in legs):
            lots //= math.gcd(*lots.tolist())
        lots *= np.array([1 if leg.side is Side.BUY else -1 for leg in legs])
        prices = np.array([leg.limit_price_ticks for leg in legs], dtype=np.float64)
        numbers = np.array([self._number(leg.interval) for leg in legs], dtype=np.int64)
        count = len(self._points)
        within = [
            count * (leg.direction is Direction.WITHDRAWAL) + self._points[leg.connection_point]
            for leg in legs
        ]
        limits = 2 * count * numbers + np.array(within, dtype=np.int64)
        return _Least(limits, lots, float(prices @ lots), np.unique(numbers))


def _may_gain(gained: float, left: float, tie: float) -> bool:
    """Return whether an optimum may have an order, by the gain of the least it trades."""
    return gained + left > -tie
