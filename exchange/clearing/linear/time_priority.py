"""Time priority among several optima: older orders first.

The rule: of all optima take those that give the oldest order the most, of these the ones that give
the next the most, and so on.  One optimum is left.  Where no row binds it is price-time priority:
better prices are filled at every optimum, at equal prices as much as possible trades (otherwise a
bid and an ask could both have more), and each side is filled by time.

All optima of a linear program form a face, and any optimal duals describe it: on it columns with a
positive surplus are full, those with a negative surplus empty, and rows with a positive dual bind.
So only the columns at their local price are open; they are decided one after the other.
"""

from __future__ import annotations

import numpy as np

from exchange.clearing.linear.linear_program import LinearProgram, LpSolution
from exchange.clearing.problem import TIE
from exchange.clearing.program_orders import ProgramOrders
from security_check.arrays import BoolArray, FloatArray, IntArray

_SHORT = 1e-7  # units by which an order must fall short to count: the solver errs by 1e-9
_SINGULAR = 1e-9  # least singular value, per lot, of independent columns: rows are scaled to 1


def oldest_first(
    program: LinearProgram,
    orders: ProgramOrders,
    relaxed: LpSolution,
    lower: IntArray,
    upper: IntArray,
    h: FloatArray,
    taken: IntArray,
) -> FloatArray:
    """Return the optimum that serves older orders first, in units, shape (columns,).

    Costs a small linear program for each tied column that is not full; usually there is none.

    Parameters
    ----------
    program, orders
        The program just solved, and its orders.
    relaxed
        The optimum it found.
    lower, upper, h
        The bounds and headrooms it was solved for.
    taken
        Shape (columns,), units that trade already; ``upper`` does not have them, and they belong
        to the oldest orders of each column.

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
        if units[column] < ahead[column] - _SHORT:
            units = program.most_of(column, low, high, h, relaxed)
        if units[column] < ahead[column] - _SHORT:
            # It cannot have all: this is its share, and younger orders of the column have none.
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
    """Return whether there are optima that differ in the tied columns.

    There are none when these columns are independent in the rows that bind at every optimum.
    """
    columns = np.flatnonzero(tied)
    if not len(columns):
        return False
    block = orders.coefficients(columns, program.tight_rows(relaxed))
    if len(columns) > len(block):
        return True
    strengths = np.linalg.svd(block, compute_uv=False)
    return bool(strengths[len(columns) - 1] <= _SINGULAR)
