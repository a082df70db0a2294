"""Blocks, all-or-none and minimum quantities: a mixed-integer program.

It is needed only where the linear program fills such an order in a way its conditions forbid:
an optimum of the linear program that respects all conditions is one of the mixed-integer program,
because the one relaxes the other.

Once the gain of some choice is known, linear programs say of most columns where they are at all
that gain more (:mod:`exchange.choice_bounds`), and mostly of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exchange.choice_bounds import EQUAL, ChoiceBounds, least_units, shared_rows, slack
from exchange.linear_program import Relaxed
from exchange.lots import LEAST_GAP, WHOLE, Rounding
from exchange.program import ClearingError, FloatArray, IntArray
from exchange.solver import INFINITY, MixedProgram

_WAYS = 2**16  # of sharing among the orders that one program ranks; its weights stay exact


def broken(rounding: Rounding, relaxed: Relaxed) -> list[int]:
    """Return the columns whose conditions an optimum of the linear program does not keep."""
    found = []
    for column in rounding.orders.conditions:
        units = float(relaxed.units[column])
        short = WHOLE < units < least_units(rounding, column) - WHOLE
        if short or abs(units - round(units)) > WHOLE:
            found.append(column)
    return found


@dataclass(frozen=True, slots=True)
class _Aim:
    """An order of choices: what to have most of, and how much of that at least.

    ``weights`` has, for each of some columns, what its acceptance and each unit of it count.
    """

    weights: dict[int, tuple[float, float]]
    least: float

    def value(self, units: FloatArray) -> float:
        """Return what a choice counts."""
        return sum(
            accepted + each * float(units[column])
            for column, (accepted, each) in self.weights.items()
            if units[column] > 0.0
        )


@dataclass(frozen=True, slots=True)
class ConditionalOrders:
    """The choice of conditional orders in one clearing.

    Parameters
    ----------
    rounding
        The program.
    relaxed
        Its optimum without conditions.
    known_gain
        What some choice is known to gain.
    whole
        Whether plain columns count in whole lots, too, and not in fractions.
    """

    rounding: Rounding
    relaxed: Relaxed
    known_gain: float
    whole: bool = False

    @property
    def _bounds(self) -> ChoiceBounds:
        return ChoiceBounds(self.rounding, self.relaxed, self.whole)

    def chosen(self) -> FloatArray | None:
        """Return the units of each column at the best optimum, older conditional orders first.

        ``None`` where nothing gains as much as is known.

        Among choices of equal gain the oldest conditional order gets as much as it can, then the
        next.  In whole lots, gains are equal that differ by less than a lot is worth.

        Raises
        ------
        ClearingError
            When the solver comes to no result.
        """
        low, high = self._bounds.of_gain(self.known_gain)
        own = list(self.rounding.orders.conditions)
        if not self.whole and (low[own] == high[own]).all():
            return high
        found = self._solve(low, high, -INFINITY)
        return None if found is None else self._oldest_first(found)

    def _oldest_first(self, units: FloatArray) -> FloatArray:
        """Return the choice of no less gain that gives the oldest the most, then the next."""
        r = self.rounding
        gain = r.gain(units)
        least = gain - slack(gain)
        low, high = self._bounds.of_gain(least)
        waiting = sorted(r.orders.conditions, key=lambda c: r.orders.conditions[c].rank)
        while True:
            # Whoever has the most that duality allows has it for good.
            while waiting and units[waiting[0]] >= high[waiting[0]]:
                low[waiting[0]] = high[waiting[0]] = units[waiting[0]]
                del waiting[0]
            if (units[waiting] >= high[waiting]).all():
                return units
            ranked = self._next_ranked(waiting, low, high)
            better = self._better(low, high, least, self._aim(ranked, high, units))
            units = units if better is None else better
            low[ranked] = high[ranked] = units[ranked]
            del waiting[: len(ranked)]

    def _next_ranked(self, waiting: Sequence[int], low: FloatArray, high: FloatArray) -> list[int]:
        """Return the oldest of some columns that one program can rank; at least one."""
        ways, ranked = 1.0, list[int]()
        for column in waiting:
            ways *= self._ways(column, high) if low[column] < high[column] else 1.0
            if ranked and ways > _WAYS:
                break
            ranked.append(column)
        return ranked

    def _ways(self, column: int, high: FloatArray) -> float:
        """Return how many units a column may have: none, or from its minimum on."""
        minimum = least_units(self.rounding, column)
        return float(max(high[column] - minimum, 0.0)) + 2.0

    def _aim(self, ranked: Sequence[int], high: FloatArray, units: FloatArray) -> _Aim:
        """Return what puts the first of some columns before all others, and so on.

        It is the number whose digits are what each column has, so it counts in ones.
        """
        weights: dict[int, tuple[float, float]] = {}
        weight = 1.0
        for column in reversed(ranked):
            minimum = least_units(self.rounding, column)
            weights[column] = (weight * (1.0 - minimum), weight)
            weight *= self._ways(column, high)
        now = _Aim(weights, 0.0).value(units)
        return _Aim(weights, now + 1.0)

    def _better(
        self, low: FloatArray, high: FloatArray, least_gain: float, aim: _Aim
    ) -> FloatArray | None:
        """Return the choice that an aim puts first, at a gain no less.

        ``None`` where the solver finds none: what was found before stands then.
        """
        try:
            found = self._solve(low, high, least_gain, aim)
        except ClearingError:
            return None
        return found if found is not None and aim.value(found) > aim.least - 0.5 else None

    def _solve(
        self, low: FloatArray, high: FloatArray, least_gain: float, aim: _Aim | None = None
    ) -> FloatArray | None:
        """Return a best choice within bounds, shape (columns,); ``None`` if there is none.

        Best is what gains the most; or what an aim puts first, at a gain no less.
        """
        r = self.rounding
        live = np.flatnonzero(high > 0.0)
        plain = live[r.orders.limit[live] >= 0]
        own = live[r.orders.limit[live] < 0]
        columns: IntArray = np.concatenate([plain, own])
        groups = r.member()
        accept = self._acceptance(own, high, len(plain))
        shared = len(groups) + len(r.h)
        width = len(columns) + len(own)
        block = np.zeros((shared + len(accept), width))
        block[:shared, : len(columns)] = shared_rows(r, columns)
        block[shared:] = accept
        worth = np.concatenate([r.worth(columns), np.zeros(len(own))])
        # The row of the gain is scaled, so that the tolerance of rows means lots in it, too.
        scale = float(np.abs(worth).max(initial=1.0))
        more, least = [worth / scale], [least_gain / scale]
        value = worth
        if aim is not None:
            value = np.zeros(width)
            for i, column in enumerate(own.tolist()):
                accepted, each = aim.weights.get(column, (0.0, 0.0))
                value[len(plain) + i], value[len(columns) + i] = each, accepted
            more, least = [*more, value], [*least, aim.least]
        none, ones = np.zeros(len(own)), np.ones(len(own))
        solution = MixedProgram(
            value=value,
            coefficients=np.vstack([block, *more]),
            row_lower=np.concatenate(
                [np.zeros(len(groups)), np.full(len(r.h) + len(accept), -INFINITY), least]
            ),
            row_upper=np.concatenate(
                [np.zeros(len(groups)), r.h, np.zeros(len(accept)), np.full(len(more), INFINITY)]
            ),
            lower=np.concatenate([low[columns], none]),
            upper=np.concatenate([high[columns], ones]),
            integer=np.arange(width) >= (0 if self.whole else len(plain)),
        ).solve(self._gap(columns, aim))
        if solution is None:
            return None
        units = np.zeros(len(high))
        units[columns] = solution[: len(columns)]
        integer = columns if self.whole else own
        units[integer] = np.rint(units[integer])
        return units

    def _gap(self, columns: IntArray, aim: _Aim | None) -> float:
        """Return by how much a choice may miss the best."""
        if aim is not None:
            return LEAST_GAP  # aims count in ones
        return max(self.rounding.lot_value(columns), LEAST_GAP) if self.whole else EQUAL

    def _acceptance(self, own: IntArray, high: FloatArray, plain: int) -> FloatArray:
        """Return rows, at most 0, that tie units to acceptance z: ``min z <= units <= max z``."""
        r = self.rounding
        rows = np.zeros((2 * len(own), plain + 2 * len(own)))
        for i, column in enumerate(own.tolist()):
            units, accepted = plain + i, plain + len(own) + i
            minimum = least_units(r, column)
            rows[2 * i, units], rows[2 * i, accepted] = -1.0, minimum
            rows[2 * i + 1, units], rows[2 * i + 1, accepted] = 1.0, -high[column]
        return rows
