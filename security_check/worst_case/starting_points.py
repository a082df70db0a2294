"""Points from which searches for worst points begin, and variants of given points."""

from __future__ import annotations

import numpy as np

from security_check.arrays import BoolArray, FloatArray
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import WorstPoints
from security_check.operating_range.slopes import Slopes

_FIRST = 1e3  # weight of a known direction over a tried one: it comes first in a budget


def other_end(conditions: OperatingConditions, points: WorstPoints) -> WorstPoints:
    """Return the points with the held voltages at the other end of the contracted band."""
    low, high = (_with_source(conditions, points, corner).free for corner in conditions.ends)
    is_low = points.free[:, : conditions.held].sum(axis=1) < 0.0
    return WorstPoints(points.share, np.where(is_low[:, None], high, low))


def reactive_ends(conditions: OperatingConditions, points: WorstPoints) -> list[WorstPoints]:
    """Return the points with all chosen reactive power at the lower and at the upper end."""
    if not len(conditions.choosers):
        return []
    found = []
    for end in (-1.0, 1.0):
        free = points.free.copy()
        free[:, conditions.choosing] = end
        found.append(WorstPoints(points.share, free))
    return found


def one_sided(
    conditions: OperatingConditions,
    points: WorstPoints,
    slopes: Slopes,
    strong: BoolArray,
    side: float,
) -> WorstPoints:
    """Return the points with deviations at their extreme on one side.

    Parameters
    ----------
    points, slopes
        r points, and how their quantities change.
    strong
        Shape (r, d): these deviations follow the slopes, before all others.
    side
        1 injects, 0 withdraws.
    """
    size = np.asarray(conditions.deviations.power_pu.sum(axis=0)).real
    own = np.sign(conditions.parts(slopes.by_free)[2]) * np.abs(size)
    free = points.free.copy()
    known = strong.copy()
    known[:, conditions.deviations.set.count - conditions.deviations.impedances :] = True
    direction = np.where(known, _FIRST * own, (2.0 * side - 1.0) * size)
    free[:, conditions.deviating] = conditions.deviations.set.support(direction)
    return WorstPoints(points.share, free)


def at_ends(conditions: OperatingConditions, share: FloatArray) -> WorstPoints:
    """Return points of these shares at both ends of the band, without deviations.

    Where reactive power is chosen, all of it is at one end or the other.
    """
    points = WorstPoints(share, np.zeros((len(share), conditions.free)))
    ends = [_with_source(conditions, points, corner) for corner in conditions.ends]
    reactive = [changed for end in ends for changed in reactive_ends(conditions, end)]
    return WorstPoints.joined(reactive or ends)


def at_corners(
    conditions: OperatingConditions, sides: FloatArray, size: FloatArray, most: int
) -> WorstPoints:
    """Return points with every coordinate at an end, at all corners of the held voltages.

    At both ends of the band alone, if these were more than ``most`` points.

    Parameters
    ----------
    sides
        Shape (B, c + f + d), 0 or 1: active power, chosen reactive power, deviations.
    size
        Shape (c + f + d,), how strongly coordinates act: deviations that share a budget get it in
        this order.
    """
    count, chosen = len(conditions.network.connection_points), len(conditions.choosers)
    points = WorstPoints(sides[:, :count], np.zeros((len(sides), conditions.free)))
    points.free[:, conditions.choosing] = 2.0 * sides[:, count : count + chosen] - 1.0
    if conditions.deviations.set.count:
        direction = (2.0 * sides - 1.0)[:, count + chosen :] * size[count + chosen :]
        points.free[:, conditions.deviating] = conditions.deviations.set.support(direction)
    many = len(sides) * len(conditions.corners) > most
    corners = conditions.ends if many else range(len(conditions.corners))
    return WorstPoints.joined([_with_source(conditions, points, corner) for corner in corners])


def drawn(
    conditions: OperatingConditions, share: FloatArray, rng: np.random.Generator
) -> WorstPoints:
    """Return points of these shares whose free coordinates are random.

    Mostly extremes; half of the held voltages and of the deviations are inside their sets.
    """
    points = len(share)
    ends = conditions.corners[rng.integers(len(conditions.corners), size=(2, points))]
    between = np.where(rng.random((points, 1)) < 0.5, rng.random((points, 1)), 1.0)
    parts = [between * ends[0] + (1.0 - between) * ends[1]]
    parts.append(rng.choice([-1.0, 0.0, 1.0], size=(points, len(conditions.choosers))))
    direction = rng.normal(size=(points, conditions.deviations.set.count))
    inwards = np.where(rng.random((points, 1)) < 0.5, rng.random((points, 1)), 1.0)
    parts.append(inwards * conditions.deviations.set.support(direction))
    return WorstPoints(share, np.concatenate(parts, axis=1))


def _with_source(conditions: OperatingConditions, points: WorstPoints, corner: int) -> WorstPoints:
    """Return the points with the held voltages at one of the corners."""
    free = points.free.copy()
    free[:, : conditions.held] = conditions.corners[corner]
    return WorstPoints(points.share, free)
