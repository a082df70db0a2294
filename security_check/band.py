"""The place of the held voltages in the contracted band: one more coordinate to climb along.

Most quantities are worst at a corner of what the contract allows, as the gradient says.  The power
fed upstream often is not: currents and their losses fall with the voltage, magnetising losses
rise with it, and where the two balance, inside the band, most arrives at the interface.
"""

from __future__ import annotations

import numpy as np

from security_check.conditions import Conditions, Slopes
from security_check.network import FloatArray, IndexArray
from security_check.worst_points import BoolArray, WorstPoints


def leaves_inside(conditions: Conditions, points: WorstPoints, turned: WorstPoints) -> BoolArray:
    """Return which points have held voltages at no corner, and would move them, shape (r,)."""
    here, there = (each.free[:, : conditions.held] for each in (points, turned))
    leaves: BoolArray = (here != there).any(axis=1)
    if leaves.any():
        leaves &= ~(here[:, None, :] == conditions.corners).all(axis=2).any(axis=1)
    return leaves


def held_still(
    conditions: Conditions, points: WorstPoints, turned: WorstPoints, rows: IndexArray
) -> WorstPoints:
    """Return the points turned, with the held voltages of the rows named where they were."""
    free = turned.free.copy()
    free[rows, : conditions.held] = points.free[rows, : conditions.held]
    return WorstPoints(turned.share, free)


def at_peak(
    conditions: Conditions,
    ends: tuple[WorstPoints, WorstPoints],
    slopes: tuple[Slopes, Slopes],
    points: WorstPoints,
) -> WorstPoints:
    """Return points with held voltages where f peaks on the way between two ends.

    That is where the slope along the way passes zero, were it to change evenly.

    Parameters
    ----------
    ends, slopes
        r points each, and the slopes there; f rises from the first towards the second.
    points
        r points, whose held voltages are those of the second end: they stay there where f still
        rises with them.
    """
    here, there = (each.free[:, : conditions.held] for each in ends)
    way = there - here
    first, last = (_along(conditions, each, way) for each in slopes)
    part = np.where(last < 0.0, first / np.maximum(first - last, 1e-300), 1.0)
    free = points.free.copy()
    free[:, : conditions.held] = here + np.clip(part, 0.0, 1.0)[:, None] * way
    return WorstPoints(points.share, free)


def _along(conditions: Conditions, slopes: Slopes, way: FloatArray) -> FloatArray:
    along: FloatArray = (slopes.by_free[:, : conditions.held] * way).sum(axis=1)
    return along
