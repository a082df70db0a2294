"""Sides and coordinates of points: active power, and reactive power where it is chosen.

Each customer's active power lies between two limits, and so does the reactive power of customers
who choose it (``ReactiveFreedom``).  A search changes *sides*, shares from 0 to 1; an ascent moves
along the *coordinates*, powers per unit.  There are c connection points, f with chosen reactive
power, hence c + f sides or coordinates.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import WorstPoints, halves
from security_check.operating_range.slopes import Slopes, rising
from security_check.worst_case.row_problem import RISE


def sides_of(conditions: OperatingConditions, points: WorstPoints) -> FloatArray:
    """Return the sides of points, shape (r, c + f): 0 is the lower end, 1 the upper.

    Active power of all customers, then the chosen reactive power.
    """
    if not len(conditions.choosers):
        return points.share
    return np.hstack([points.share, 0.5 * (1.0 + conditions.parts(points.free)[1])])


def at_sides(
    conditions: OperatingConditions, points: WorstPoints, sides: FloatArray
) -> WorstPoints:
    """Return the points at other sides, with all other coordinates unchanged."""
    count = points.share.shape[1]
    if not len(conditions.choosers):
        return WorstPoints(sides, points.free)
    free = points.free.copy()
    free[:, conditions.choosing] = 2.0 * sides[:, count:] - 1.0
    return WorstPoints(sides[:, :count], free)


def opposite_to(
    conditions: OperatingConditions, points: WorstPoints, stay: BoolArray
) -> WorstPoints:
    """Return the points with all sides changed, except those in ``stay``.

    Parameters
    ----------
    stay
        Shape (r, c) or (r, c + f).  Without the last f columns, a customer's reactive power stays
        if its active power does.
    """
    sides = sides_of(conditions, points)
    return at_sides(conditions, points, np.where(whole_sides(conditions, stay), sides, 1.0 - sides))


def whole_sides(conditions: OperatingConditions, stay: BoolArray) -> BoolArray:
    """Return flags of customers, (r, c), as flags of sides, (r, c + f); the latter as they are."""
    if stay.shape[1] > len(conditions.network.connection_points):
        return stay
    return np.hstack([stay, stay[:, conditions.choosers]])


def disagreeing_at(
    conditions: OperatingConditions,
    points: WorstPoints,
    elsewhere: WorstPoints,
    slopes: Slopes,
    u: FloatArray,
) -> BoolArray:
    """Return the sides that the slopes at other points do not agree with, shape (r, c + f).

    Parameters
    ----------
    points
        r points, whose sides are tested.
    elsewhere, slopes
        r other points of the box, and the slopes there.
    u
        Shape (2 c,), per unit.
    """
    there, width = rising(conditions, slopes, u), np.add(*halves(u))
    if len(conditions.choosers):
        there = np.hstack([there, conditions.parts(slopes.by_free)[1]])
        width = np.hstack(
            [
                np.broadcast_to(width, elsewhere.share.shape),
                conditions.reactive_reach(elsewhere.power(u)),
            ]
        )
    acts = np.abs(there) * width > RISE
    disagreeing: BoolArray = acts & ((there > 0) != (sides_of(conditions, points) > 0.5))
    return disagreeing


def coordinates(
    conditions: OperatingConditions, points: WorstPoints, u: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the coordinates of points, and their lowest and highest values, (r, c + f) each.

    Active power of all customers, then the chosen reactive power, per unit.  Along the first,
    chosen reactive power keeps its share of the largest allowed.
    """
    injection, withdrawal = halves(u)
    power = points.power(u)
    shape = power.shape
    low, high = np.broadcast_to(-withdrawal, shape), np.broadcast_to(injection, shape)
    if not len(conditions.choosers):
        return power, low, high
    reach = conditions.reactive_reach(power)
    at = np.hstack([power, conditions.parts(points.free)[1] * reach])
    return at, np.hstack([low, -reach]), np.hstack([high, reach])


def placed(
    conditions: OperatingConditions,
    points: WorstPoints,
    origin: WorstPoints,
    at: FloatArray,
    u: FloatArray,
) -> WorstPoints:
    """Return the points moved to other coordinates, with the rest unchanged.

    The coordinates were taken at ``origin``.  A customer whose active power moves keeps the share
    of the largest reactive power that it has there, as :func:`slopes_along` assumes.
    """
    injection, withdrawal = halves(u)
    count = len(injection)
    width = np.maximum(injection + withdrawal, 1e-300)
    share = np.clip((at[:, :count] + withdrawal) / width, 0.0, 1.0)
    if not len(conditions.choosers):
        return WorstPoints(share, points.free)
    free = points.free.copy()
    reach = conditions.reactive_reach(origin.power(u))
    part = np.clip(at[:, count:] / np.maximum(reach, 1e-300), -1.0, 1.0)
    free[:, conditions.choosing] = np.where(reach > 0.0, part, origin.free[:, conditions.choosing])
    return WorstPoints(share, free)


def slopes_along(
    conditions: OperatingConditions, points: WorstPoints, slopes: Slopes, u: FloatArray
) -> FloatArray:
    """Return slopes along the coordinates, shape (r, c + f)."""
    if not len(conditions.choosers):
        return slopes.by_power
    by_power, by_reactive = slopes.by_power.copy(), conditions.parts(slopes.by_free)[1]
    by_power[:, conditions.choosers] += _tilt(conditions, points, u) * by_reactive
    return np.hstack([by_power, by_reactive])


def kinks(conditions: OperatingConditions, slopes: Slopes) -> FloatArray:
    """Return the rise of slopes inside a range, where it has a kink, (r, c + f), >= 0.

    Chosen reactive power grows with active power either way, so the slope by active power rises
    at zero.
    """
    kinks = np.zeros((len(slopes.by_power), slopes.by_power.shape[1] + len(conditions.choosers)))
    kinks[:, conditions.choosers] = (
        2.0 * conditions.cone * np.abs(conditions.parts(slopes.by_free)[1])
    )
    return kinks


def _tilt(conditions: OperatingConditions, points: WorstPoints, u: FloatArray) -> FloatArray:
    """Return the change of chosen reactive power per unit of active power, shape (r, f).

    From one end of the range to the other; in between, a cone allows less.
    """
    injection, withdrawal = (limits[conditions.choosers] for limits in halves(u))
    chord = (injection - withdrawal) / np.maximum(injection + withdrawal, 1e-300)
    tilt: FloatArray = conditions.cone * chord * conditions.parts(points.free)[1]
    return tilt


def steps(
    conditions: OperatingConditions, points: WorstPoints, u: FloatArray, step: FloatArray
) -> ComplexArray:
    """Return changes of port powers for a step along each coordinate alone.

    Parameters
    ----------
    points
        r points.
    step
        Shape (r, c + f).

    Returns
    -------
    ComplexArray
        Shape (J, r, c + f).
    """
    count = len(conditions.network.connection_points)
    power = step[:, :count, None] * np.eye(count)
    change = conditions.port_change(power.reshape(-1, count).T).reshape(-1, len(step), count)
    if not len(conditions.choosers):
        return change
    shares = conditions.network.port_shares[:, conditions.choosers].toarray()
    tilted = _tilt(conditions, points, u) * step[:, conditions.choosers]
    change[:, :, conditions.choosers] += 1j * shares[:, None, :] * tilted
    return np.concatenate([change, 1j * shares[:, None, :] * step[:, count:]], axis=2)
