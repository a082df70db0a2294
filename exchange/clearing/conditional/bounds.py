"""Bounds on the units of each column, within which lie all choices that gain enough.

A choice says which conditional orders trade, and how much.  Two proofs, both from linear programs,
leave a mixed-integer program little or nothing to decide.

*Duality.*  No choice gains more than the linear optimum, less the surplus of the units that it
takes off columns better than their local prices, or adds to columns that are worse.

*Probing.*  Each conditional order that is still open is tried: it trades at no choice that gains
enough if the linear program with it accepted gains too little, and at all of them if the linear
program without it does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.clearing.highs import INFINITY, WarmModel
from exchange.clearing.linear.linear_program import LpSolution
from exchange.clearing.order_columns import per_lot_of
from exchange.clearing.problem import TIE
from exchange.clearing.rounding import WHOLE, Rounding
from exchange.clearing.work_budget import ProgramCost
from security_check.arrays import BoolArray, FloatArray, IntArray

EQUAL = 1e-6
"""Share of a gain, and tick-lots, within which two gains are equal, so that time decides.

The solver errs by 1e-9 of a tick and of a lot for each column and row.
"""


def gain_tolerance(gain: float) -> float:
    """Return the difference, in tick-lots, up to which another gain is equal to ``gain``."""
    return EQUAL * max(1.0, abs(gain))


class WarmChoices:
    """The linear program of a choice, without conditions, in a solver that stays warm.

    Only its bounds change.

    Parameters
    ----------
    rounding
        The program.

    Attributes
    ----------
    rounding
        As above.
    proved
        A gain, and the bounds proved for choices in fractions that gain as much.
    """

    __slots__ = ("_columns", "_model", "_rows", "proved", "rounding")

    def __init__(self, rounding: Rounding) -> None:
        self.rounding = rounding
        self._columns: IntArray = np.zeros(0, dtype=np.int64)
        self._model: WarmModel | None = None
        self._rows = 0
        self.proved: tuple[float, FloatArray, FloatArray] | None = None

    @property
    def work(self) -> ProgramCost:
        """The cost of solving it once."""
        return ProgramCost(self._rows, len(self._columns))

    def bound(self, low: FloatArray, high: FloatArray) -> float:
        """Return the most that units between bounds gain, in tick-lots.

        Infinity where the solver is not sure, minus infinity where nothing is feasible.

        Parameters
        ----------
        low, high
            Shape (columns,), bounds in units.
        """
        model = self._model
        if model is None or high[self._outside()].any():
            model = self._load(np.flatnonzero(high > 0.0))
        model.set_bounds(low[self._columns], high[self._columns])
        return model.bound()

    def solve(self, low: FloatArray, high: FloatArray) -> tuple[float, FloatArray]:
        """Return the most that units between bounds gain, as :meth:`bound`, and these units.

        Where the gain is infinite, the units are 0.
        """
        bound = self.bound(low, high)
        units = np.zeros(len(high))
        if abs(bound) < INFINITY and self._model is not None:
            units[self._columns] = self._model.values()
        return bound, units

    def _outside(self) -> BoolArray:
        outside: BoolArray = np.ones(len(self.rounding.upper), dtype=bool)
        outside[self._columns] = False
        return outside

    def _load(self, columns: IntArray) -> WarmModel:
        r = self.rounding
        groups = r.member()
        self._columns, self._rows = columns, len(groups) + len(r.h)
        self._model = WarmModel(
            np.concatenate([np.zeros(len(groups)), np.full(len(r.h), -INFINITY)]),
            np.concatenate([np.zeros(len(groups)), r.h]),
        )
        self._model.add(r.worth(columns), shared_rows(r, columns))
        return self._model


@dataclass(frozen=True, slots=True)
class ChoiceBounds:
    """Bounds of each column at all choices that gain enough.

    Parameters
    ----------
    programs
        The linear program.
    relaxed
        Its optimum.
    whole
        Whether plain columns trade whole lots, too, and not fractions.
    """

    programs: WarmChoices
    relaxed: LpSolution
    whole: bool

    @property
    def rounding(self) -> Rounding:
        """The program."""
        return self.programs.rounding

    def of_gain(self, least: float) -> tuple[FloatArray, FloatArray]:
        """Return the least and the most units of each column, shape (columns,) each."""
        least -= self._error()
        low, high = self._by_duality(least)
        before = self.programs.proved
        if before is not None and before[0] <= least:
            # Choices that gain more, or trade whole lots, lie within the bounds proved before.
            own = list(self.rounding.orders.conditions)
            high[own] = np.minimum(high, before[2])[own]
            # If the bounds contradict each other no choice gains as much; a program finds that out.
            low[own] = np.minimum(np.maximum(low, before[1]), high)[own]
        self._probe(low, high, least)
        if not self.whole:
            self.programs.proved = least, low.copy(), high.copy()
        return low, high

    def _error(self) -> float:
        """Return the error of a gain, in tick-lots, from the tolerances of solver and rounding."""
        own = np.array(list(self.rounding.orders.conditions), dtype=np.int64)
        worth = float(np.abs(self.rounding.worth(own)).sum())
        return gain_tolerance(self.relaxed.gain) + WHOLE * worth

    def _by_duality(self, least: float) -> tuple[FloatArray, FloatArray]:
        r = self.rounding
        low, high = np.zeros(len(r.upper)), r.upper.astype(np.float64)
        spare = max(self.relaxed.gain - least, 0.0)
        surplus = self.relaxed.surplus
        reach = spare / np.maximum(np.abs(surplus), TIE) + WHOLE
        worse, better = surplus < -TIE, surplus > TIE
        high[worse] = np.minimum(high, reach)[worse]
        low[better] = np.maximum(high - reach, 0.0)[better]
        integer = np.full(len(high), self.whole)
        integer[list(r.orders.conditions)] = True
        low[integer], high[integer] = np.ceil(low[integer]), np.floor(high[integer])
        for column in r.orders.conditions:
            minimum = r.orders.least_units(column)
            if high[column] < minimum:
                high[column] = 0.0
            if low[column]:
                low[column] = max(low[column], minimum)
        return low, high

    def _probe(self, low: FloatArray, high: FloatArray, least: float) -> None:
        """Narrow the bounds of conditional columns by solving with and without each.

        Costs two small warm linear programs for each conditional order that is open.
        """
        own = self.rounding.orders.conditions
        asked = [column for column in own if not low[column] and high[column]]
        budget, work = self.rounding.budget.choices, self.programs.work
        for column in asked:
            budget.spend(2 * work.linear)
            if not budget.left:
                break
            lower, upper, minimum = (
                low.copy(),
                high.copy(),
                self.rounding.orders.least_units(column),
            )
            lower[column] = minimum
            if self.programs.bound(lower, upper) < least:
                high[column] = 0.0
                continue
            lower[column] = upper[column] = 0.0
            if self.programs.bound(lower, upper) < least:
                low[column] = minimum


def shared_rows(rounding: Rounding, columns: IntArray) -> FloatArray:
    """Return the change of balances and rows per unit of each column, shape (rows, columns)."""
    groups = per_lot_of(rounding.member())
    return np.concatenate(
        [
            rounding.orders.coefficients(columns, groups),
            rounding.orders.coefficients(columns, rounding.rows.of_limits),
        ]
    )
