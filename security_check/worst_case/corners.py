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
from security_check.worst_case.starting_points import at_corners, at_ends

_FEW = 9  # coordinates of which every corner is tried: 2^9 = 512, at either end of the band
_MOST = 2048  # corners in all, where the phases of the interface may move apart
_CLUSTERS = 8  # clusters of coordinates of which every combination is tried
_ALIKE = 0.05  # coordinates whose effects differ by less than this part are of one cluster


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
    far, here = WorstPoints.joined(there), WorstPoints.joined([points] * len(there))
    asked = whole_sides(conditions, np.concatenate(tested))
    # At its own point a row's influences are known: most rows are worst where all customers inject,
    # or all withdraw.
    moved = (far.share != here.share).any(axis=1) | (far.free != here.free).any(axis=1)
    other = np.flatnonzero(moved)
    slopes = problem.rough_slopes(np.tile(rows, len(there))[other], far.take(other), u)
    found = np.zeros_like(asked)
    found[other] = disagreeing_at(conditions, here.take(other), far.take(other), slopes, u)
    found &= asked
    return np.asarray(found.reshape(len(there), len(rows), found.shape[1]).any(axis=0))


class Corners:
    """The corners of any box that a thorough search tries; c connection points.

    A corner has active power, chosen reactive power and deviations each at an end; each is tried
    at either end of the contracted band and, where the phases of the interface may move apart and
    customers are few, at every corner of their voltages.

    Parameters
    ----------
    robust
        The rows of any interval.
    """

    def __init__(self, robust: RobustRows) -> None:
        self._robust = robust
        self.every = robust.points <= _FEW
        """Whether all corners of active power are tried."""

    def points(self, u: FloatArray) -> WorstPoints:
        """Return the corners of the box u.

        All of them where there are at most nine coordinates.  Otherwise

        - all corners of the active power of at most nine customers, or those at which groups take
          one side that act strongly on one row (feeders, parts of feeders, and their
          complements), with all chosen reactive power at one end and no deviation;
        - every combination of the clusters of coordinates that act most in this box, with all
          other coordinates on one side or the other.
        """
        conditions, count = self._robust.conditions, self._robust.points
        effect = self._effects(u)
        size = np.linalg.norm(effect, axis=0)
        if len(size) <= _FEW:
            return at_corners(conditions, _combinations(np.eye(len(size))), size, _MOST)
        clusters = _clusters(effect, size)
        combined = _combinations(clusters)
        rest = 1.0 - clusters.sum(axis=0)
        sides = np.unique(np.concatenate([combined, combined + rest]), axis=0)
        groups = _combinations(np.eye(count)) if self.every else self._groups()
        return WorstPoints.joined(
            [at_ends(conditions, groups), at_corners(conditions, sides, size, _MOST)]
        )

    def _groups(self) -> FloatArray:
        """Return corners at which customers that act strongly on one row oppose all others."""
        monitors = self._robust.monitors
        groups = np.unique(monitors.acts_strongly(np.arange(len(monitors))), axis=0) * 1.0
        return np.concatenate([groups, 1.0 - groups])

    def _effects(self, u: FloatArray) -> FloatArray:
        """Return how each coordinate's whole range acts on all rows without load, (R, c + f + d).

        Coordinates are active power, chosen reactive power and deviations.
        """
        conditions, slopes = self._robust.conditions, self._robust.no_load_slopes
        _, by_reactive, by_deviation = conditions.parts(slopes.by_free)
        reach = conditions.reactive_reach(np.maximum(*halves(u))[None, :])
        return np.hstack(
            [
                slopes.by_power * np.add(*halves(u)),
                by_reactive * 2.0 * reach,
                by_deviation * 2.0 * conditions.deviations.set.largest,
            ]
        )


def _clusters(effect: FloatArray, size: FloatArray) -> FloatArray:
    """Return the clusters of coordinates that act most, shape (k, n), each 0 or 1.

    Parameters
    ----------
    effect, size
        Shapes (R, n) and (n,): how coordinates act on rows, and the norm of that.
    """
    unit = effect / np.maximum(size, 1e-300)
    first, cluster = first_of_equal(np.round(unit.T / _ALIKE))
    weight = np.bincount(cluster, size, minlength=len(first))
    most = np.argsort(-weight, kind="stable")[:_CLUSTERS]
    return np.asarray((cluster == most[:, None]) * 1.0)


def _combinations(sets: FloatArray) -> FloatArray:
    """Return all sums of the sets given, shape (2^k, c), for disjoint sets of shape (k, c)."""
    chosen: BoolArray = (np.arange(2 ** len(sets))[:, None] >> np.arange(len(sets))) & 1 > 0
    return np.asarray(chosen @ sets)
