"""The corners of a box at which every row is evaluated, when curvature may hide worst points.

A voltage is concave in one customer's power where reactance dominates, ``r P - (x P)^2 / 2``: its
minimum over an interval has two candidates, one at each end, and the gradient at one end says
nothing of the other.  Several customers may have to change sides together: those of one bus, of one
power factor, of one feeder.  So a search also starts from corners far from those known.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray, first_of_equal
from security_check.operating_range.points import WorstPoints, halves
from security_check.worst_case.coordinates import disagreeing_at, opposite_to, whole_sides
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import RowProblem

_FEW = 9  # customers of which every corner is tried: 2^9 = 512, at either end of the band
_CLUSTERS = 8  # clusters of customers of which every combination is tried
_ALIKE = 0.05  # customers whose effects differ by less than this part are of one cluster


def turning(problem: RowProblem, rows: IndexArray, points: WorstPoints, u: FloatArray) -> BoolArray:
    """Return the sides whose influence changes sign far from the points, shape (r, c + f).

    Compared are the influences at the points and

    - at the opposite points, where all customers are on their other sides but those that act
      strongly on the row: without these it is far from its limit;
    - of those that act strongly, at the corners where all customers inject or all withdraw, since
      curvature comes from losses, which customers have in common.
    """
    conditions = problem.conditions
    strong = problem.monitors.acting(rows, conditions.deviations)[0]
    every = np.ones_like(points.share)
    there = [opposite_to(conditions, points, strong)]
    there += [WorstPoints(every, points.free), WorstPoints(0.0 * every, points.free)]
    tested = [np.ones_like(strong), strong, strong]
    if len(conditions.choosers):  # a current changes sign with the reactive power behind it
        none = np.zeros((len(strong), len(conditions.choosers)), dtype=bool)
        there.append(opposite_to(conditions, points, np.hstack([strong, none])))
        tested.append(np.ones_like(strong))
    far = WorstPoints.joined(there)
    slopes = problem.rough_slopes(np.tile(rows, len(there)), far, u)
    here = WorstPoints.joined([points] * len(there))
    found = disagreeing_at(conditions, here, far, slopes, u)
    found &= whole_sides(conditions, np.concatenate(tested))
    return np.asarray(found.reshape(len(there), len(rows), found.shape[1]).any(axis=0))


class Corners:
    """The corners of any box that a thorough search tries; c connection points.

    Parameters
    ----------
    robust
        The rows of any interval.
    """

    def __init__(self, robust: RobustRows) -> None:
        self._robust = robust
        self.every = robust.points <= _FEW
        """Whether all corners are tried."""

    def shares(self, u: FloatArray) -> FloatArray:
        """Return the corners of the box u, shape (B, c).

        Without all of them: corners at which groups take one side that act strongly on one row
        (feeders, parts of feeders, and their complements), and every combination of the clusters
        that act most in this box, with all other customers on one side or the other.
        """
        count = self._robust.points
        if self.every:
            return _combinations(np.eye(count))
        monitors = self._robust.monitors
        groups = np.unique(monitors.acts_strongly(np.arange(len(monitors))), axis=0) * 1.0
        clusters = self._clusters(u)
        combined = _combinations(clusters)
        rest = 1.0 - clusters.sum(axis=0)
        return np.unique(np.concatenate([groups, 1.0 - groups, combined, combined + rest]), axis=0)

    def _clusters(self, u: FloatArray) -> FloatArray:
        """Return the clusters of customers that act most, shape (k, c), each 0 or 1."""
        width = np.add(*halves(u))
        effect = self._effects()
        size = np.linalg.norm(effect, axis=0)
        unit = effect / np.maximum(size, 1e-300)
        first, cluster = first_of_equal(np.round(unit.T / _ALIKE))
        weight = np.bincount(cluster, size * width, minlength=len(first))
        most = np.argsort(-weight, kind="stable")[:_CLUSTERS]
        return np.asarray((cluster == most[:, None]) * 1.0)

    def _effects(self) -> FloatArray:
        """Return how a unit of each customer's power acts on all rows without load, (R, c)."""
        return self._robust.no_load_slopes.by_power


def _combinations(sets: FloatArray) -> FloatArray:
    """Return all sums of the sets given, shape (2^k, c), for disjoint sets of shape (k, c)."""
    chosen: BoolArray = (np.arange(2 ** len(sets))[:, None] >> np.arange(len(sets))) & 1 > 0
    return np.asarray(chosen @ sets)
