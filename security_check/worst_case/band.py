"""The place of the held voltages in the contracted band, as a coordinate of the ascent.

Most quantities are worst at a corner of the contracted voltages.  The power fed upstream often is
not: currents and their losses fall with the voltage, magnetising losses rise with it, and the power
at the interface is largest where the two balance, inside the band.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import WorstPoints
from security_check.operating_range.slopes import Slopes


def moves(conditions: OperatingConditions, points: WorstPoints, turned: WorstPoints) -> BoolArray:
    """Return for which points the held voltages of the two differ, shape (r,)."""
    held = slice(0, conditions.held)
    differ: BoolArray = (points.free[:, held] != turned.free[:, held]).any(axis=1)
    return differ


def inside(conditions: OperatingConditions, points: WorstPoints) -> BoolArray:
    """Return which points have held voltages at no corner, shape (r,)."""
    band_place = points.free[:, None, : conditions.held]
    at_corner: BoolArray = (band_place == conditions.corners).all(axis=2).any(axis=1)
    return ~at_corner


def leaves_inside(
    conditions: OperatingConditions, points: WorstPoints, turned: WorstPoints
) -> BoolArray:
    """Return which points have held voltages at no corner, but moved when turned, shape (r,)."""
    leaves = moves(conditions, points, turned)
    return leaves & inside(conditions, points) if leaves.any() else leaves


def held_still(
    conditions: OperatingConditions, points: WorstPoints, turned: WorstPoints, rows: IndexArray
) -> WorstPoints:
    """Return the points turned, with the held voltages of the rows named where they were."""
    free = turned.free.copy()
    free[rows, : conditions.held] = points.free[rows, : conditions.held]
    return WorstPoints(turned.share, free)


def at_peak(
    conditions: OperatingConditions,
    ends: tuple[WorstPoints, WorstPoints],
    slopes: tuple[Slopes, Slopes],
    points: WorstPoints,
) -> WorstPoints:
    """Return points with held voltages at the peak of f on the way between two ends.

    The slope along the way is taken as linear; the peak is at its zero.

    Parameters
    ----------
    ends, slopes
        r points each, and the slopes there; f rises from the first towards the second.
    points
        r points, whose held voltages are those of the second end: they stay there where f still
        rises with them.
    """
    first, last = slopes_between(conditions, ends, slopes)
    part = np.where(last < 0.0, first / np.maximum(first - last, 1e-300), 1.0)
    peak = between(conditions, *ends, np.clip(part, 0.0, 1.0))
    return held_still(conditions, peak, points, np.arange(len(part)))


def between(
    conditions: OperatingConditions, first: WorstPoints, last: WorstPoints, part: FloatArray
) -> WorstPoints:
    """Return the first points with held voltages a part (r,) of the way to the last."""
    held = slice(0, conditions.held)
    free = first.free.copy()
    free[:, held] += part[:, None] * (last.free[:, held] - first.free[:, held])
    return WorstPoints(first.share, free)


def slopes_between(
    conditions: OperatingConditions,
    ends: tuple[WorstPoints, WorstPoints],
    slopes: tuple[Slopes, Slopes],
) -> tuple[FloatArray, FloatArray]:
    """Return the slopes of f at both ends of the way between held voltages, per way, (r,)."""
    here, there = (each.free[:, : conditions.held] for each in ends)
    first, last = (_along(conditions, each, there - here) for each in slopes)
    return first, last


def _along(conditions: OperatingConditions, slopes: Slopes, way: FloatArray) -> FloatArray:
    along: FloatArray = (slopes.by_free[:, : conditions.held] * way).sum(axis=1)
    return along
