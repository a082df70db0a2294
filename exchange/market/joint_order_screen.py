"""Which joint orders may trade: local prices prove of most that they do not.

Without joint orders the program of several intervals falls apart into one for each.  So the duals
of these, side by side, are duals of the program over all of them and all joint orders, and by weak
duality trades with at least m units of a joint order j gain no more than

    sum over intervals (what is found there + gain_tolerance)
    + sum over joint orders i (what all of i gains at local prices, if that is more than nothing)
    + m * (what a unit of j gains at local prices: less than nothing)

with the gain_tolerance of ``ParticipationBound``, over all intervals and joint orders that are
connected with j.  Where that is less than what is found without joint orders, j has no part in any
optimum.  One that may have a part is brought in.  That moves prices, so the rest are looked at
again at those of the program that has it: joint orders may pay for each other's legs.
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

_EQUAL = 1e-6  # relative: the difference of two gains, each as exact as the solver


@dataclass(frozen=True, slots=True)
class _Least:
    """The least that a joint order trades: all of it, or as many lots as keep the ratio.

    Parameters
    ----------
    limits
        Shape (legs,), the limits of its legs among those of all intervals.
    lots
        Shape (legs,), what these change by.
    worth
        What that is worth at its limit prices, in tick-lots.
    places
        Which intervals it has legs in.
    """

    limits: IntArray
    lots: IntArray
    worth: float
    places: IntArray


class JointScreen:
    """The local prices of intervals side by side, and what joint orders gain at them.

    Parameters
    ----------
    connection_points
        In the network's order.
    lot_w
        Watts of a lot.
    """

    __slots__ = ("_gain_tolerance", "_least", "_local", "_lot_w", "_places", "_points", "_shown")

    def __init__(self, connection_points: Sequence[str], lot_w: int) -> None:
        self._points = {point: i for i, point in enumerate(connection_points)}
        self._lot_w = lot_w
        self._places: dict[datetime, int] = {}
        self._shown: list[FloatArray] = []
        self._local: FloatArray = np.zeros((0, 2 * len(self._points)))
        self._gain_tolerance: FloatArray = np.zeros(0)
        self._least: dict[int, _Least] = {}

    def forget(self, order_id: int) -> None:
        """Forget a joint order that is gone."""
        self._least.pop(order_id, None)

    def show(self, interval: datetime, reach: ParticipationBound) -> None:
        """Take up what an interval's own program leaves in reach.  O(1) where prices stay."""
        place = self._place(interval)
        if self._shown[place] is not reach.local:
            self._shown[place] = self._local[place] = reach.local
        self._gain_tolerance[place] = reach.gain_tolerance

    def may_take_part(
        self, orders: Iterable[Legs], searched: Collection[datetime], found: ParticipationBound
    ) -> list[Legs]:
        """Return those joint orders with a leg in a program that may have a part in its optimum.

        O(limits of all intervals), and O(legs) for each order.

        Parameters
        ----------
        orders
            All that are not in the program and connected with it, be it through each other; what
            the intervals of their other legs leave in reach was shown.
        searched
            The intervals of the program, in the order of its columns.
        found
            What its optimum leaves in reach.
        """
        places = [self._place(start) for start in searched]
        local, gain_tolerance = self._local.copy(), self._gain_tolerance.copy()
        local[places] = found.local.reshape(len(places), -1)
        gain_tolerance[places] = 0.0
        prices = local.reshape(-1)
        left, others, asked = found.gain_tolerance, set(), []
        for legs in orders:
            least = self._least_of(legs)
            gained = least.worth - float(prices[least.limits] @ least.lots)
            units = legs[0].remaining_w // (self._lot_w * abs(int(least.lots[0])))
            left += units * max(gained, 0.0)
            others.update(least.places.tolist())
            if any(leg.interval in searched for leg in legs):
                asked.append((legs, gained, TIE * float(np.abs(least.lots).sum())))
        left = (left + float(gain_tolerance[list(others)].sum())) * (1.0 + _EQUAL)
        return [legs for legs, gained, tie in asked if _may_gain(gained, left, tie)]

    def _place(self, interval: datetime) -> int:
        place = self._places.get(interval)
        if place is None:
            place = self._places[interval] = len(self._places)
            prices = np.zeros((1, 2 * len(self._points)))
            self._shown.append(prices)
            self._local = np.concatenate([self._local, prices])
            self._gain_tolerance = np.concatenate([self._gain_tolerance, np.zeros(1)])
        return place

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
        places = np.array([self._place(leg.interval) for leg in legs], dtype=np.int64)
        count = len(self._points)
        within = [
            count * (leg.direction is Direction.WITHDRAWAL) + self._points[leg.connection_point]
            for leg in legs
        ]
        limits = 2 * count * places + np.array(within, dtype=np.int64)
        return _Least(limits, lots, float(prices @ lots), np.unique(places))


def _may_gain(gained: float, left: float, tie: float) -> bool:
    """Return whether the least that an order trades may be worth it, with what is left to gain."""
    return gained + left > -tie
