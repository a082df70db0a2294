"""The mixed-integer program of a choice, with few variables and rows.

Every live column counts in *steps*: a conditional order that trades all or nothing has one step,
every other column steps of one unit.  Only an order that trades nothing, or any quantity from a
minimum of more than one unit on, needs a second variable, its *acceptance*, and two rows that tie
units to it.  (All-or-nothing orders could be modelled that way too, but solvers take several times
longer.)  Rows that hold for every choice within the bounds are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.clearing.conditional.bounds import shared_rows
from exchange.clearing.highs import INFINITY, MixedProgram
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.rounding import Rounding
from security_check.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class LexicographicObjective:
    """An objective that puts one choice before another.

    Parameters
    ----------
    weights
        For each of some columns, the weight of its acceptance and of each unit.
    least
        The value that a choice must reach.
    """

    weights: dict[int, tuple[float, float]]
    least: float

    def value(self, units: FloatArray) -> float:
        """Return the value of a choice."""
        return sum(
            accepted + each * float(units[column])
            for column, (accepted, each) in self.weights.items()
            if units[column] > 0.0
        )


@dataclass(frozen=True, slots=True)
class ChoiceProgram:
    """The variables of a choice between bounds.

    Parameters
    ----------
    rounding
        The program.
    columns
        Shape (live,), columns that may trade.
    step
        Shape (live,), units of a step of each.
    lower, upper
        Shape (live,), bounds in steps.
    open
        Which of the columns have a variable for their acceptance.
    minimum
        Shape (open,), the least these trade when accepted, in units.
    integer
        Shape (live,), which count in whole steps.
    """

    rounding: Rounding
    columns: IntArray
    step: FloatArray
    lower: FloatArray
    upper: FloatArray
    open: IntArray
    minimum: FloatArray
    integer: BoolArray

    @classmethod
    def between(
        cls, rounding: Rounding, low: FloatArray, high: FloatArray, *, whole: bool
    ) -> ChoiceProgram:
        """Return the variables for units between bounds, shape (columns,) each.

        ``whole`` says whether plain columns trade whole lots, too.
        """
        columns = np.flatnonzero(high > 0.0)
        conditional = rounding.orders.limit[columns] < 0
        minimum = np.ones(len(columns))
        for k in np.flatnonzero(conditional).tolist():
            minimum[k] = rounding.orders.least_units(int(columns[k]))
        lower, upper = low[columns], high[columns]
        at_once = conditional & (upper == minimum)
        step = np.where(at_once, minimum, 1.0)
        choose = np.flatnonzero(conditional & ~at_once & (lower == 0.0) & (minimum > 1.0))
        return cls(
            rounding=rounding,
            columns=columns,
            step=step,
            lower=lower / step,
            upper=upper / step,
            open=choose,
            minimum=minimum[choose],
            integer=conditional | whole,
        )

    def best(
        self, least_gain: float, gap: float, aim: LexicographicObjective | None = None
    ) -> FloatArray | None:
        """Return a best choice, shape (all columns,); ``None`` if none is found.

        Best is what gains the most; or what an aim puts first, at a gain no less.

        Raises
        ------
        ClearingError
            When the solver comes to no result.
        """
        live, accepted = len(self.columns), len(self.open)
        worth = np.append(self.rounding.worth(self.columns) * self.step, np.zeros(accepted))
        # The row of the gain is scaled, so that the tolerance of rows means lots in it, too.
        scale = float(np.abs(worth).max(initial=1.0))
        value, more, least = worth, np.zeros((0, live + accepted)), np.zeros(0)
        if least_gain > -INFINITY:
            more, least = worth[None] / scale, np.array([least_gain / scale])
        if aim is not None:
            value, constant = self._value_of(aim)
            more, least = np.vstack([more, value]), np.append(least, aim.least - constant)
        shared, lower, upper = self._shared()
        rows, none = [shared, self._acceptance(), more], np.zeros(2 * accepted)
        solution = MixedProgram(
            value=value,
            coefficients=np.vstack(rows),
            row_lower=np.concatenate([lower, none - INFINITY, least]),
            row_upper=np.concatenate([upper, none, np.full(len(least), INFINITY)]),
            lower=np.append(self.lower, np.zeros(accepted)),
            upper=np.append(self.upper, np.ones(accepted)),
            integer=np.append(self.integer, np.ones(accepted, dtype=bool)),
        ).solve(gap, self.rounding.budget.choices)
        if solution is None:
            return None
        steps = solution[:live]
        steps[self.integer] = np.rint(steps[self.integer])
        units = np.zeros(len(self.rounding.upper))
        units[self.columns] = steps * self.step
        return units

    def _shared(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return coefficients and bounds of balances, and of network rows that may bind."""
        r = self.rounding
        rows = shared_rows(r, self.columns) * self.step
        balances = len(rows) - len(r.h)
        most = np.maximum(rows, 0.0) @ self.upper + np.minimum(rows, 0.0) @ self.lower
        may_bind = most[balances:] > r.h - LotRows.tolerance(r.h)
        kept = np.append(np.arange(balances), balances + np.flatnonzero(may_bind))
        h = r.h[may_bind]
        return (
            np.pad(rows[kept], ((0, 0), (0, len(self.open)))),
            np.append(np.zeros(balances), np.full(len(h), -INFINITY)),
            np.append(np.zeros(balances), h),
        )

    def _acceptance(self) -> FloatArray:
        """Return rows, at most 0, that tie units to acceptance z: ``min z <= units <= max z``."""
        live, accepted = len(self.columns), len(self.open)
        rows, each = np.zeros((2, accepted, live + accepted)), np.arange(accepted)
        rows[0, each, self.open], rows[0, each, live + each] = -1.0, self.minimum
        rows[1, each, self.open], rows[1, each, live + each] = 1.0, -self.upper[self.open]
        return rows.reshape(2 * accepted, live + accepted)

    def _value_of(self, aim: LexicographicObjective) -> tuple[FloatArray, float]:
        """Return the weight of each variable, shape (variables,), and a constant."""
        live = len(self.columns)
        value, constant = np.zeros(live + len(self.open)), 0.0
        place = {column: i for i, column in enumerate(self.columns.tolist())}
        chosen = {i: live + k for k, i in enumerate(self.open.tolist())}
        for column, (accepted, each) in aim.weights.items():
            i = place.get(column)
            if i is None:
                continue
            value[i] = each * self.step[i]
            if i in chosen:
                value[chosen[i]] = accepted
            elif self.step[i] > 1.0:
                value[i] += accepted
            else:
                constant += accepted
        return value, constant
