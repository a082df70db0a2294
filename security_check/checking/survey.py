"""Bounds of all rows since they were last evaluated.

A trade changes two limits by little.  The change of every monitored quantity has a rigorous bound,
so rows far from their limits need no power flow for many trades: a survey evaluates all rows, and
is repeated only when the bounds have used up the distance of some row to its limit.  Its speed
is measured in :mod:`security_check.checking.tracked_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray, IndexArray
from security_check.operating_range.points import WorstPoints
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows

# Parts of a row's scale.  A survey is repeated when a row may have come closer to its limit than
# this; for rows already tracked at a worse point, only before another point could exceed it.
_SPARE = 0.02
_SPARE_TRACKED = 1e-4


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
        """Return these rows and others, with f of each, shape (r,)."""
        return SurveyedRows(
            np.concatenate([self.rows, more.rows]),
            WorstPoints.joined([self.points, more.points]),
            np.concatenate([self.values, values]),
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """Bounds of all R rows in one box of envelopes, except at points at which they are tracked.

    Parameters
    ----------
    values
        Shape (R,), per unit of f: the largest value found of each row, or its rigorous bound, at
        points at which it is not tracked, plus a bound of its change since then; ``-inf`` where
        no other point of a row is known.
    spare
        Shape (R,), the least allowed distance to the limit, in parts of the row's scale.
    """

    values: FloatArray
    spare: FloatArray

    @classmethod
    def of(cls, bounds: FloatArray, seen: SurveyedRows, near: PackingRows) -> Survey:
        """Return the survey from bounds and power flows in one box.

        Parameters
        ----------
        bounds
            Shape (R,), rigorous bounds, used for rows without a power flow.
        seen
            The rows evaluated by power flow.
        near
            The rows that are tracked.
        """
        values = bounds.copy()
        values[seen.rows] = -np.inf
        elsewhere = ~near.has(seen.rows, seen.points)
        np.maximum.at(values, seen.rows[elsewhere], seen.values[elsewhere])
        spare = np.full(len(values), _SPARE)
        spare[near.rows] = _SPARE_TRACKED
        return cls(values, spare)

    def after(self, step: FloatArray) -> Survey:
        """Return the survey of a box to which no row moves by more than ``step``, shape (R,)."""
        # A row that is tracked at all its points stays at -inf, whatever the step (inf - inf).
        known = self.values > -np.inf
        return Survey(
            np.where(known, self.values + np.where(known, step, 0.0), -np.inf), self.spare
        )

    def unsure(self, robust: RobustRows) -> IndexArray:
        """Return the rows that may be near their limits at points at which they are not tracked."""
        rows = robust.limited
        unsure: IndexArray = rows[robust.violation(rows, self.values[rows]) > -self.spare[rows]]
        return unsure
