"""Packing rows ``A u <= b`` with ``A >= 0``, and the points at which they were taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray, first_of_equal
from security_check.operating_range.points import WorstPoints


@dataclass(frozen=True, slots=True)
class PackingRows:
    """Linear rows ``A u <= b`` of monitored quantities, u = (injection, withdrawal) stacked.

    Parameters
    ----------
    rows
        Shape (r,), indices into the monitors' rows; a row may appear at several points.
    points
        The point at which each was taken.
    A
        Shape (r, 2 c), >= 0, per unit of f over per unit of power.
    b
        Shape (r,), per unit of f.
    """

    rows: IndexArray
    points: WorstPoints
    A: FloatArray
    b: FloatArray

    @classmethod
    def none(cls, connection_points: int, free: int) -> PackingRows:
        """Return no rows, for a number of connection points and of free coordinates."""
        points = WorstPoints(np.zeros((0, connection_points)), np.zeros((0, free)))
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, points, np.zeros((0, 2 * connection_points)), np.zeros(0))

    @classmethod
    def joined(cls, parts: Sequence[PackingRows]) -> PackingRows:
        """Return the rows of all parts, in order."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            WorstPoints.joined([part.points for part in parts]),
            np.concatenate([part.A for part in parts]),
            np.concatenate([part.b for part in parts]),
        )

    def take(self, chosen: IndexArray | BoolArray) -> PackingRows:
        """Return the rows chosen."""
        return PackingRows(
            self.rows[chosen], self.points.take(chosen), self.A[chosen], self.b[chosen]
        )

    def placed(self, where: IndexArray, found: PackingRows) -> PackingRows:
        """Return these rows with those at ``where`` replaced by the ones found."""
        rows, A, b = self.rows.copy(), self.A.copy(), self.b.copy()
        rows[where], A[where], b[where] = found.rows, found.A, found.b
        return PackingRows(rows, self.points.placed(where, found.points), A, b)

    def with_coefficients(self, where: IndexArray, A: FloatArray, b: FloatArray) -> PackingRows:
        """Return these rows, at the same points, with other coefficients at ``where``."""
        all_A, all_b = self.A.copy(), self.b.copy()
        all_A[where], all_b[where] = A, b
        return PackingRows(self.rows, self.points, all_A, all_b)

    def distinct(self, u: FloatArray) -> IndexArray:
        """Return the first of each group of rows that are the same row at the same point of u.

        Points inside the box are found to within the tolerance of an ascent; those that agree
        to a thousandth of the way are the same.
        """
        keys = np.round(self.points.keys(u), 3)
        return np.sort(first_of_equal(np.column_stack([self.rows, keys]))[0])

    def distinct_anywhere(self) -> IndexArray:
        """Return the first of each group that are the same row at the same point of any box."""
        return np.sort(first_of_equal(_row_keys(self.rows, self.points))[0])

    def stays(self, before: PackingRows) -> bool:
        """Return whether these are the same rows, in order, at the same points of any box."""
        return self.points is before.points or np.array_equal(
            _row_keys(self.rows, self.points), _row_keys(before.rows, before.points)
        )

    def has(self, rows: IndexArray, points: WorstPoints) -> BoolArray:
        """Return which of the rows given are among these, at the same point of any box."""
        own, others = _row_keys(self.rows, self.points), _row_keys(rows, points)
        _, group = first_of_equal(np.concatenate([own, others]))
        among: BoolArray = np.isin(group[len(own) :], group[: len(own)])
        return among

    def fullest(self, excess: FloatArray, count: int) -> IndexArray:
        """Return, for each monitored row, its ``count`` rows of the largest excess, in order.

        Parameters
        ----------
        excess
            Shape (r,), by how much each row exceeds its limit.
        count
            Number of rows kept of each.
        """
        return fullest_of_each(self.rows, excess, count)


def fullest_of_each(rows: IndexArray, excess: FloatArray, count: int) -> IndexArray:
    """Return, for each row named, the indices of its ``count`` largest excesses, in order."""
    order = np.lexsort((-excess, rows))
    sorted_rows = rows[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_rows, sorted_rows)
    return np.sort(order[rank < count])


def _row_keys(rows: IndexArray, points: WorstPoints) -> FloatArray:
    """Return one line per row; equal lines are the same row at the same point of any box.

    Shares count also where both limits of a customer are zero: another box may have others.
    """
    return np.column_stack([rows, np.round(points.share, 3), np.round(points.free, 3)])
