"""The linear programme over offers: the best activation under rows, and prices of the limits.

HiGHS solves it, through the fair division's :class:`PackingProgram`, with its tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.packing_program import FairnessError, Packing, PackingProgram
from doe_allocation.procurement.problem import UnrelievableError
from doe_allocation.procurement.quantities import LinearRows
from security_check.arrays import BoolArray, FloatArray

_ROUNDED = 1e-7  # parts of a row's bound: by less, an optimum may be beyond it
_PRICED = 1e-9  # of a scaled row: a smaller price is the solver's rounding


@dataclass(frozen=True, slots=True)
class Goal:
    """What to maximise, and between which bounds; o offers.

    Parameters
    ----------
    gain
        Shape (o,), gain for a per unit activated of each.
    lower, upper
        Shape (o,), bounds of what is activated, per unit.
    lower_is_optimum
        Whether ``lower`` is the optimum of another goal under the same limits: then rounding of
        that optimum does not make this one infeasible.
    """

    gain: FloatArray
    lower: FloatArray
    upper: FloatArray
    lower_is_optimum: bool = False


@dataclass(frozen=True, slots=True)
class Activation:
    """An optimum.

    Parameters
    ----------
    power
        Shape (o,), what is activated of each offer, per unit.
    worth
        Shape (quantities,), the gain for a per unit more of each limit, >= 0 where more is looser.
    """

    power: FloatArray
    worth: FloatArray


def best_activation(
    goal: Goal, rows: LinearRows, change: FloatArray, quantities: int
) -> Activation:
    """Return the best activation under the rows.

    Parameters
    ----------
    change
        Shape (c, o), the injected powers by what is activated of each offer.
    quantities
        Number of quantities that the rows limit.

    Raises
    ------
    UnrelievableError
        When no activation meets all rows.
    """
    A, b = rows.A @ change, rows.b
    if goal.lower_is_optimum:
        reached = A @ goal.lower
        b = np.where(reached - b <= _ROUNDED * np.abs(rows.b), np.maximum(b, reached), b)
    kept = np.flatnonzero(_may_bind(goal, A, b))
    if not len(goal.gain):
        if len(kept):
            raise UnrelievableError
        return Activation(np.zeros(0), np.zeros(quantities))
    unit = _unit(goal)
    most_gain = float(np.abs(goal.gain).max(initial=0.0)) or 1.0
    program = _program(goal, goal.gain / most_gain, unit)
    size = unit * np.abs(A[kept]).max(axis=1, initial=0.0)
    size = np.where(size > 0.0, size, 1.0)
    for row, most, by in zip(unit * A[kept], b[kept], size.tolist(), strict=True):
        program.add_row(row / by, -np.inf, float(most) / by)
    try:
        best = program.solve()
    except FairnessError:
        raise UnrelievableError from None
    priced = np.where(best.worth > _PRICED, best.worth, 0.0)
    worth = most_gain * unit * priced / size * rows.by_limit[kept]
    total = np.zeros(quantities)
    np.add.at(total, rows.quantity[kept], worth)
    return Activation(np.clip(unit * best.values, goal.lower, goal.upper), total)


def elastic_optimum(
    goal: Goal, rows: FloatArray, most: FloatArray, price: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the activation and the further variables of least price that meet all rows.

    Parameters
    ----------
    goal
        Gives the bounds of the o offers; its gain does not count.
    rows, most
        Shapes (r, o + e) and (r,): rows over what is activated and e further variables, each at
        least 0, and their bounds.
    price
        Shape (e,), of these variables.

    Raises
    ------
    UnrelievableError
        When even these variables do not meet all rows.
    """
    offers, none = len(goal.lower), np.zeros(len(price))
    wide = Goal(
        np.concatenate([0.0 * goal.gain, -price]),
        np.concatenate([goal.lower, none]),
        np.concatenate([goal.upper, none + np.inf]),
    )
    unit = _unit(goal)
    program = _program(wide, wide.gain, unit)
    for row, bound in zip(unit * rows, most, strict=True):
        size = float(np.abs(row).max(initial=0.0)) or 1.0
        program.add_row(row / size, -np.inf, float(bound) / size)
    try:
        values = unit * program.solve().values
    except FairnessError:
        raise UnrelievableError from None
    return values[:offers], values[offers:]


def _unit(goal: Goal) -> float:
    """Return the largest offer: variables are in parts of it, so that tolerances suit them."""
    return float(goal.upper.max(initial=0.0)) or 1.0


def _program(goal: Goal, gain: FloatArray, unit: float) -> PackingProgram:
    """Return the programme without rows, its gain at most 1 for a unit."""
    none = np.zeros((0, len(gain)))
    bounds = Packing(
        none,
        np.zeros(0),
        goal.lower / unit,
        goal.upper / unit,
        np.zeros(0, dtype=np.int64),
        scale=1.0,
    )
    program = PackingProgram(bounds)
    program.set_gain(gain)
    return program


def _may_bind(goal: Goal, A: FloatArray, b: FloatArray) -> BoolArray:
    """Return which rows ``A x <= b`` some activation between the bounds exceeds, shape (r,)."""
    most = np.where(A > 0.0, A * goal.upper, A * goal.lower).sum(axis=1)
    return np.asarray(most > b)
