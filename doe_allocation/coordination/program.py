"""The linear programme of every clearing: least cost, within limits that may have to give way.

A limit that no activation keeps is exceeded as little as possible: an excess costs more than any
activation.  So every clearing has an optimum, and what remains is seen in the AC power flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.packing_program import FairnessError, Packing, PackingProgram
from security_check.arrays import BoolArray, FloatArray
from security_check.errors import GridError

EXCESS_PRICE = 1e6
"""EUR for an hour in which a limit is exceeded by its whole scale."""


class NotClearedError(GridError):
    """A clearing has no solution: no activation keeps what operators agreed on."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows ``low <= A x <= high``; shapes (r, n), (r,) and (r,)."""

    A: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def none(cls, variables: int) -> Rows:
        """Return no rows over so many variables."""
        return cls(np.zeros((0, variables)), np.zeros(0), np.zeros(0))

    def and_also(self, other: Rows) -> Rows:
        """Return these rows and others over the same variables."""
        return Rows(
            np.concatenate([self.A, other.A]),
            np.concatenate([self.low, other.low]),
            np.concatenate([self.high, other.high]),
        )


@dataclass(frozen=True, slots=True)
class Optimum:
    """The optimum of a programme.

    Parameters
    ----------
    values
        Shape (n,).
    cost
        Its cost, with that of limits exceeded.
    limit_worth, exact_worth
        Shape (r,) each: by how much the cost falls with a unit more of a row's bound.
    """

    values: FloatArray
    cost: float
    limit_worth: FloatArray
    exact_worth: FloatArray


def cheapest(
    cost: FloatArray, lower: FloatArray, upper: FloatArray, limits: Rows, exact: Rows
) -> Optimum:
    """Return the cheapest values within bounds, with limits that give way and exact rows.

    Parameters
    ----------
    cost, lower, upper
        Shape (n,).
    limits
        Rows that give way at :data:`EXCESS_PRICE`.
    exact
        Rows that hold.

    Raises
    ------
    NotClearedError
        When no values meet the exact rows.
    """
    n = len(cost)
    none = np.zeros(0, dtype=np.int64)
    program = PackingProgram(Packing(np.zeros((0, n)), np.zeros(0), lower, upper, none, scale=1.0))
    above, below = _may_bind(lower, upper, limits)
    kept = np.flatnonzero(above | below)
    excess = []
    for k in kept.tolist():
        for binds, sign in ((above[k], -1.0), (below[k], 1.0)):
            if binds:
                excess.append((k, sign))
                program.add_variable(0.0, np.inf)
    if not n and not excess:  # the solver reports programs without variables as empty
        return Optimum(cost, 0.0, np.zeros(len(limits.A)), np.zeros(len(exact.A)))
    gain = np.concatenate([-cost, np.full(len(excess), -EXCESS_PRICE)])
    program.set_gain(gain)
    slack = np.zeros((len(limits.A), len(excess)))
    for column, (row, sign) in enumerate(excess):
        slack[row, column] = sign
    for k in kept.tolist():
        widened = np.concatenate([limits.A[k], slack[k]])
        program.add_row(widened, float(limits.low[k]), float(limits.high[k]))
    for coefficients, low, high in zip(exact.A, exact.low, exact.high, strict=True):
        program.add_row(coefficients, float(low), float(high))
    try:
        best = program.solve()
    except FairnessError as error:
        raise NotClearedError(f"no activation keeps all that is asked: {error}") from None
    limit_worth = np.zeros(len(limits.A))
    limit_worth[kept] = best.worth[: len(kept)]
    values = np.clip(best.values[:n], lower, upper)
    return Optimum(values, -float(gain @ best.values), limit_worth, best.worth[len(kept) :])


def _may_bind(lower: FloatArray, upper: FloatArray, rows: Rows) -> tuple[BoolArray, BoolArray]:
    """Return which rows some values between the bounds bring above, and below, their limits."""
    ends = np.stack([_times(rows.A, lower), _times(rows.A, upper)])
    most, least = ends.max(axis=0).sum(axis=1), ends.min(axis=0).sum(axis=1)
    return most > rows.high, least < rows.low


def _times(A: FloatArray, bound: FloatArray) -> FloatArray:
    """Return each term of the rows at a bound, which may be infinite."""
    with np.errstate(invalid="ignore"):
        return np.where(A != 0.0, A * bound, 0.0)
