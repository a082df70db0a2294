"""Whole lots around a vertex of the linear program: all of them that are worth enough.

At an optimum of the linear program that is a vertex, every other point is reached by giving
something up: slack in a row that is full, at the row's price, or units of a column that is full,
at the column's surplus.  What may be given up is what the optimum gains beyond what is asked for.
So the points worth that much form a simplex, often one with no whole lots in it at all, which is
seen from its corners; and where there are few whole lots between its corners, all are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.program import TIE, FloatArray, IntArray
from exchange.program_rows import BoolArray

_MOST = 4_000  # points looked at
_SURE = 1e-6  # lots by which corners may be off
_SINGULAR = 1e9  # lots that a lot of slack moves, above which figures tell nothing


@dataclass(frozen=True, slots=True)
class Vertex:
    """The columns that trade at an optimum, and what holds them there.

    Parameters
    ----------
    units
        Shape (columns,), what trades; only columns that do.
    upper
        Shape (columns,), at most.
    worth, surplus
        Shape (columns,), what a unit gains, and gains at local prices, in tick-lots.
    balances, rows
        Shape (groups, columns) and (m, columns): coefficients of the groups that balance, and of
        all rows.
    eta
        Shape (m,), prices of the rows in ticks.
    """

    units: FloatArray
    upper: IntArray
    worth: FloatArray
    surplus: FloatArray
    balances: FloatArray
    rows: FloatArray
    eta: FloatArray

    def box(self, least: float) -> tuple[IntArray, IntArray] | None:
        """Return bounds that all whole lots worth at least so much lie between.

        Where the lower exceeds the upper bound for a column there are none.  ``None`` where the
        optimum is no vertex that its prices describe.

        Parameters
        ----------
        least
            In tick-lots.
        """
        full = self.surplus > TIE
        basic = np.flatnonzero(~full)
        priced = np.flatnonzero(self.eta > TIE)
        shared = self.balances[self.balances.any(axis=1)]
        block = np.concatenate([shared, self.rows[priced]])
        if not len(basic) or len(basic) != len(block):
            return None
        try:
            inverse = np.linalg.inv(block[:, basic])
        except np.linalg.LinAlgError:
            return None
        if not np.abs(inverse).max() < _SINGULAR:
            return None
        spare = max(float(self.worth @ self.units) - least, 0.0)
        # What the basic columns change by at each corner: one row's slack, one column's units.
        by_row = -inverse[:, len(shared) :] * (spare / self.eta[priced])
        given = np.minimum(spare / self.surplus[full], self.units[full])
        corners = np.concatenate([by_row, (inverse @ block[:, full]) * given], axis=1)
        low, high = self.units.copy(), self.units.copy()
        low[basic] += corners.min(axis=1, initial=0.0)
        high[basic] += corners.max(axis=1, initial=0.0)
        low[full] -= given
        return (
            np.ceil(np.maximum(low, 0.0) - _SURE).astype(np.int64),
            np.floor(np.minimum(high, self.upper) + _SURE).astype(np.int64),
        )

    def best(self, least: float, room: FloatArray) -> IntArray | None:
        """Return the best whole units worth at least so much, all 0 if there are none.

        ``None`` where that is not for certain known without looking at too many.

        Parameters
        ----------
        least
            In tick-lots.
        room
            Shape (m,), headrooms in lots, with what rounding may exceed them by.
        """
        bounds = self.box(least)
        if bounds is None:
            return None
        low, high = bounds
        none = np.zeros_like(low)
        if (low > high).any():
            return none
        counts = high - low + 1
        if np.prod(counts.astype(np.float64)) > _MOST:
            return None
        points = low + np.stack(np.unravel_index(np.arange(counts.prod()), counts), axis=1)
        gain = points @ self.worth
        good = self._good(points, gain >= least - _SURE, room)
        if not len(good):
            return none
        best: IntArray = points[good[np.argmax(gain[good])]]
        return best

    def _good(self, points: IntArray, worthy: BoolArray, room: FloatArray) -> IntArray:
        """Return which points are worthy, balance, and leave all rows intact."""
        good = np.flatnonzero(worthy)
        good = good[~(points[good] @ self.balances.T).any(axis=1)]
        kept: IntArray = good[(points[good] @ self.rows.T <= room).all(axis=1)]
        return kept
