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

_PRICED = 1e-9  # EUR or per unit of power for a per unit: a smaller price is the solver's rounding


@dataclass(frozen=True, slots=True)
class Goal:
    """What to maximise, and between which bounds; o offers.

    Parameters
    ----------
    gain
        Shape (o,), gain for a per unit activated of each.
    lower, upper
        Shape (o,), bounds of what is activated, per unit.
    """

    gain: FloatArray
    lower: FloatArray
    upper: FloatArray


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
    A = rows.A @ change
    kept = np.flatnonzero(_may_bind(goal, A, rows.b))
    if not len(goal.gain):
        if len(kept):
            raise UnrelievableError
        return Activation(np.zeros(0), np.zeros(quantities))
    program = _program(goal, goal.gain)
    for k in kept:
        size = float(np.abs(A[k]).max(initial=0.0)) or 1.0
        program.add_row(A[k] / size, -np.inf, float(rows.b[k]) / size)
    try:
        best = program.solve()
    except FairnessError:
        raise UnrelievableError from None
    size = np.abs(A[kept]).max(axis=1, initial=0.0)
    worth = np.maximum(best.worth, 0.0) / np.where(size > 0.0, size, 1.0) * rows.by_limit[kept]
    worth = np.where(np.abs(worth) > _PRICED, worth, 0.0)
    total = np.zeros(quantities)
    np.add.at(total, rows.quantity[kept], worth)
    return Activation(np.clip(best.values, goal.lower, goal.upper), total)


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
    program = _program(wide, wide.gain)
    for row, bound in zip(rows, most, strict=True):
        program.add_row(row, -np.inf, float(bound))
    try:
        values = program.solve().values
    except FairnessError:
        raise UnrelievableError from None
    return values[:offers], values[offers:]


def _program(goal: Goal, gain: FloatArray) -> PackingProgram:
    none = np.zeros((0, len(gain)))
    bounds = Packing(
        none, np.zeros(0), goal.lower, goal.upper, np.zeros(0, dtype=np.int64), scale=1.0
    )
    program = PackingProgram(bounds)
    program.set_gain(gain)
    return program


def _may_bind(goal: Goal, A: FloatArray, b: FloatArray) -> BoolArray:
    """Return which rows ``A x <= b`` some activation between the bounds exceeds, shape (r,)."""
    most = np.where(A > 0.0, A * goal.upper, A * goal.lower).sum(axis=1)
    return np.asarray(most > b)
