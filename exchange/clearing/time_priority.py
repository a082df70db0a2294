"""Among optima, older orders first: exactly, and only where there is more than one optimum.

The rule: of all optima take those that give the oldest order the most, of these the ones that give
the next the most, and so on.  It singles out one optimum.  Where no row binds it is price-time
priority: better prices are filled at every optimum, as much is traded at equal prices as can be
(otherwise a bid and an ask with room could both have more), and each side goes by time.

All optima of a linear program form a face, and any optimal duals describe it: columns with a
positive surplus are full on it, those with a negative one empty, rows with a positive dual full.
What is left to decide are the columns at their local price, one after the other.
"""

from __future__ import annotations

import numpy as np

from exchange.clearing.linear_program import LinearProgram, LpSolution
from exchange.clearing.order_columns import ProgramOrders
from exchange.clearing.problem import TIE
from security_check.arrays import BoolArray, FloatArray, IntArray

_WHOLE = 1e-7  # lots that count as nothing
_SINGULAR = 1e-9


def oldest_first(
    program: LinearProgram,
    orders: ProgramOrders,
    relaxed: LpSolution,
    lower: IntArray,
    upper: IntArray,
    h: FloatArray,
    taken: IntArray,
) -> FloatArray:
    """Return the one optimum that serves older orders first, in units, shape (columns,).

    Costs a small linear program for each tied column that is not full; mostly there is none.

    Parameters
    ----------
    program, orders
        The program just solved, and its orders.
    relaxed
        The optimum it found.
    lower, upper, h
        What it was solved for.
    taken
        Shape (columns,), units that were decided upon before; they are gone from ``upper``, and
        the oldest orders of each column have them.

    Raises
    ------
    ClearingError
        When the solver is not sure.
    """
    tied = (np.abs(relaxed.surplus) <= TIE) & (upper > lower)
    units = relaxed.units.copy()
    if not _open(program, orders, relaxed, tied):
        return units
    low, high = units.copy(), units.copy()
    low[tied], high[tied] = lower[tied], upper[tied]
    ahead = -taken.astype(np.float64)
    for entry in orders.oldest_first(np.flatnonzero(tied)):
        column = entry.column
        if not tied[column]:
            continue
        ahead[column] = min(ahead[column] + entry.units, upper[column])
        if ahead[column] <= 0.0:
            continue
        if units[column] < ahead[column] - _WHOLE:
            units = program.most_of(column, low, high, h, relaxed)
        if units[column] < ahead[column] - _WHOLE:
            # It cannot have all: this is its share, and younger ones of the column have none.
            low[column] = high[column] = units[column]
            tied[column] = False
            if not _open(program, orders, relaxed, tied):
                break
        else:
            low[column] = ahead[column]
    return units


def _open(
    program: LinearProgram, orders: ProgramOrders, relaxed: LpSolution, tied: BoolArray
) -> bool:
    """Return whether the rows leave the tied columns any freedom.

    They leave none when the columns are independent in the rows that are full at every optimum.
    """
    columns = np.flatnonzero(tied)
    if not len(columns):
        return False
    block = orders.coefficients(columns, program.tight_rows(relaxed))
    if len(columns) > len(block):
        return True
    strengths = np.linalg.svd(block, compute_uv=False)
    return bool(strengths[len(columns) - 1] <= _SINGULAR)
