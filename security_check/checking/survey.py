"""Where all rows stood when they were last looked at, and how far they can have moved since.

A trade moves two limits by little.  How much that moves any monitored quantity is bounded
rigorously, so that rows far from their limits need no power flow for many trades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray, IndexArray
from security_check.operating_range.points import WorstPoints
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows

# Rows that may have come closer than this to their limits, in parts of their scale, are looked at
# again; those that are followed at a worse point already, only before they could exceed them.
_SPARE = 0.02
_SPARE_FOLLOWED = 1e-4


@dataclass(frozen=True, slots=True)
class SurveyedRows:
    """Rows at points of a box of envelopes, by the AC power flow; r of them.

    Parameters
    ----------
    rows, values
        Shape (r,), rows of the monitors and f of each at its own point.
    points
        r points.
    """

    rows: IndexArray
    points: WorstPoints
    values: FloatArray

    def and_of(self, more: PackingRows, values: FloatArray) -> SurveyedRows:
        """Return these and others, with f of each, shape (r,)."""
        return SurveyedRows(
            np.concatenate([self.rows, more.rows]),
            WorstPoints.joined([self.points, more.points]),
            np.concatenate([self.values, values]),
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """What all R rows can reach in one box of envelopes, apart from where they are followed.

    Parameters
    ----------
    values
        Shape (R,), per unit of f: the largest value known of each row, or a rigorous bound of it,
        other than at the points at which it is followed trade by trade, and all that it can have
        moved since it was known; ``-inf`` where no other point of a row is known.
    spare
        Shape (R,), how near its limit each may come, in parts of its scale.
    """

    values: FloatArray
    spare: FloatArray

    @classmethod
    def of(cls, bounds: FloatArray, seen: SurveyedRows, near: PackingRows) -> Survey:
        """Return the survey that bounds and power flows in one box make.

        Parameters
        ----------
        bounds
            Shape (R,), rigorous bounds: those of rows that were not looked at count.
        seen
            What was looked at.
        near
            The rows that are followed.
        """
        values = bounds.copy()
        values[seen.rows] = -np.inf
        elsewhere = ~near.has(seen.rows, seen.points)
        np.maximum.at(values, seen.rows[elsewhere], seen.values[elsewhere])
        spare = np.full(len(values), _SPARE)
        spare[near.rows] = _SPARE_FOLLOWED
        return cls(values, spare)

    def after(self, step: FloatArray) -> Survey:
        """Return the survey of a box to which no row moves by more than ``step``, shape (R,)."""
        # A row that is followed at all its points has nothing to move, by however much.
        known = self.values > -np.inf
        return Survey(
            np.where(known, self.values + np.where(known, step, 0.0), -np.inf), self.spare
        )

    def unsure(self, robust: RobustRows) -> IndexArray:
        """Return the rows that may be near their limits where nobody follows them."""
        rows = robust.limited
        unsure: IndexArray = rows[robust.violation(rows, self.values[rows]) > -self.spare[rows]]
        return unsure
