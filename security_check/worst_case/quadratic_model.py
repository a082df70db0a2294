"""Quadratic models of monitored quantities over a box, and their ascent.

Losses in common reactances bend a voltage down in the joint power of many customers, each of which
has hardly any effect alone.  There gradients are nearly zero and point to vertices far beyond the
worst point; second derivatives lead to it.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import FloatArray, IndexArray
from security_check.operating_range.points import WorstPoints, halves
from security_check.operating_range.slopes import slopes_of
from security_check.uncertainty.deviation_sets import DeviationSet
from security_check.worst_case.coordinates import coordinates, slopes_along, steps
from security_check.worst_case.row_problem import RowProblem

_STEP = 0.02  # difference step, in parts of a customer's range: far above power flow tolerance
_TURNS = 6  # of coordinate ascent and Newton step
_RIDGE = 1e-4  # parts of the largest second derivative
_BATCH = 8192  # power flows run at once, which bounds the memory
_PROJECTIONS = 300  # projected gradient steps at most
_STILL = 1e-7  # parts of a range: a smaller step is the last


def second_derivatives(
    problem: RowProblem,
    rows: IndexArray,
    points: WorstPoints,
    u: FloatArray,
) -> FloatArray:
    """Return the second derivatives of f by the coordinates, each row at its own point.

    By differences of exact gradients, towards the middle of the box.

    Parameters
    ----------
    problem
        The rows and the interval's conditions; x coordinates, as
        :func:`~security_check.worst_case.coordinates.coordinates` has them.
    rows
        Shape (r,).
    points
        r points of the box u.
    u
        Shape (2 c,), per unit.

    Returns
    -------
    FloatArray
        Shape (r, x, x), symmetric; a coordinate without range has none.
    """
    conditions = problem.conditions
    position, low, high = coordinates(conditions, points, u)
    count = position.shape[1]
    step = _STEP * np.where(position > 0.5 * (low + high), low - high, high - low)
    at_once = max(_BATCH // (count + 1), 1)
    parts = []
    for begin in range(0, len(rows), at_once):
        these = np.arange(begin, min(begin + at_once, len(rows)))
        own = points.take(these)
        parts.append(_differences(problem, rows[these], own, step[these], u))
    return np.concatenate([np.zeros((0, count, count)), *parts])


def joint_second_derivatives(
    problem: RowProblem,
    rows: IndexArray,
    points: WorstPoints,
    u: FloatArray,
) -> FloatArray:
    """Return the second derivatives of f by shares and deviations, each row at its own point.

    Shape (r, c + d, c + d), symmetric; by central differences of exact gradients.
    """
    monitors, conditions = problem.monitors, problem.conditions
    width = np.add(*halves(u))
    count, own = len(width), conditions.deviating
    size = np.concatenate([np.ones(count), np.maximum(conditions.deviations.set.largest, 1e-12)])
    all_, r = len(size), len(rows)
    step = np.tile(_STEP * np.concatenate([np.diag(size), -np.diag(size)]), (r, 1))
    share = np.repeat(points.share, 2 * all_, axis=0) + step[:, :count]
    free = np.repeat(points.free, 2 * all_, axis=0)
    free[:, own] += step[:, count:]
    solved = monitors.power_flow.solve(*conditions.ports(WorstPoints(share, free), u))
    slopes = slopes_of(conditions, *monitors.gradients(np.repeat(rows, 2 * all_), solved))
    gradients = np.hstack([slopes.by_power * width, slopes.by_free[:, own]])
    gradients = gradients.reshape(r, 2, all_, all_)
    second = (gradients[:, 0] - gradients[:, 1]) / (2.0 * _STEP * size[:, None])
    return 0.5 * (second + second.transpose(0, 2, 1))


def climb_within(
    gradient: FloatArray, second: FloatArray, begin: FloatArray, within: DeviationSet
) -> FloatArray:
    """Return shares and deviations that raise a quadratic model around ``begin``.

    By accelerated projected gradients, restarted where they would go down (O'Donoghue and
    Candes, Adaptive Restart for Accelerated Gradient Schemes, 2015).

    Parameters
    ----------
    gradient, second
        Shapes (r, c + d) and (r, c + d, c + d), of the model at ``begin``.
    begin
        Shape (r, c + d), shares from 0 to 1, and deviations of the set.
    within
        The set of d deviations.
    """
    count = begin.shape[1] - within.count
    steep = np.maximum(np.abs(second).sum(axis=2).max(axis=1, keepdims=True), 1e-300)
    at, ahead = begin, begin
    momentum = np.ones((len(begin), 1))
    for _ in range(_PROJECTIONS):
        slope = gradient + (second @ (ahead - begin)[:, :, None])[:, :, 0]
        reached = ahead + slope / steep
        shares, deviations = reached[:, :count], reached[:, count:]
        reached = np.hstack([np.clip(shares, 0.0, 1.0), within.nearest(deviations)])
        moved = reached - at
        if np.abs(moved).max(initial=0.0) < _STILL:
            return reached
        on = (slope * moved).sum(axis=1, keepdims=True) > 0.0
        following = np.where(on, 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)), 1.0)
        ahead = reached + np.where(on, (momentum - 1.0) / following, 0.0) * moved
        at, momentum = reached, following
    return at


def _differences(
    problem: RowProblem,
    rows: IndexArray,
    points: WorstPoints,
    step: FloatArray,
    u: FloatArray,
) -> FloatArray:
    monitors, conditions = problem.monitors, problem.conditions
    r, count = step.shape
    injected, source = conditions.ports(points, u)
    shifted = np.repeat(injected[:, :, None], count + 1, axis=2)
    shifted[:, :, :count] += steps(conditions, points, u, step)
    each = np.repeat(np.arange(r), count + 1)
    shifted = np.ascontiguousarray(shifted.reshape(len(injected), -1))
    solved = monitors.power_flow.solve(shifted, source[:, each])
    slopes = slopes_of(conditions, *monitors.gradients(rows[each], solved))
    gradients = slopes_along(conditions, points.take(each), slopes, u).reshape(r, count + 1, count)
    change = gradients[:, :count] - gradients[:, count:]
    second = np.divide(
        change, step[:, :, None], out=np.zeros_like(change), where=step[:, :, None] != 0.0
    )
    return 0.5 * (second + second.transpose(0, 2, 1))


def climb_quadratic(
    gradient: FloatArray,
    second: FloatArray,
    room: tuple[FloatArray, FloatArray],
    kink: FloatArray,
    enough: FloatArray,
) -> FloatArray:
    """Return steps d that raise ``gradient d + d second d / 2`` within a box, one per row.

    By turns of coordinate ascent, which finds the customers at an end of their range, and Newton
    steps of the others, for which coordinate ascent alone would take hundreds of sweeps.

    Parameters
    ----------
    gradient
        Shape (r, c).
    second
        Shape (r, c, c), symmetric.
    room
        Smallest (at most 0) and largest (at least 0) steps, shape (r, c) each.
    kink
        Shape (r, c), >= 0: the rise of the gradient at a kink inside a range; the gradient given
        is that from end to end.
    enough
        Shape (r,): the climb stops when no row could gain more than this, to first order.
    """
    down, up = room
    # Nothing within the box turns a gradient that outweighs all second derivatives.
    reach = (np.abs(second) @ (up - down)[:, :, None])[:, :, 0]
    settled = ((gradient > reach) & (up <= 0.0)) | ((gradient < -reach) & (down >= 0.0))
    settled |= up <= down
    open_ = np.flatnonzero(~settled.all(axis=0))
    gradient, down, up = gradient[:, open_], down[:, open_], up[:, open_]
    kink, second = kink[:, open_], second[:, open_][:, :, open_]
    step = np.zeros_like(gradient)
    on, taken = np.arange(len(step)), step.copy()
    for _ in range(_TURNS):
        _sweep(gradient, second, (down, up), kink, taken)
        slope = gradient + (second @ taken[:, :, None])[:, :, 0]
        gain = np.where(slope > 0.0, slope * (up - taken), slope * (down - taken)).sum(axis=1)
        far = gain > enough
        step[on] = taken
        if not far.any():
            break
        if not far.all():
            on, enough, taken, slope = on[far], enough[far], taken[far], slope[far]
            gradient, second, kink = gradient[far], second[far], kink[far]
            down, up = down[far], up[far]
        _newton(slope, second, (down, up), taken)
        step[on] = taken
    whole = np.zeros(settled.shape)
    whole[:, open_] = step
    return whole


def _sweep(
    gradient: FloatArray,
    second: FloatArray,
    room: tuple[FloatArray, FloatArray],
    kink: FloatArray,
    step: FloatArray,
) -> None:
    """Move each customer in turn, in place, to its best position given the others.

    That is an end of its range where the model bends up, or where a kink outweighs its curvature.
    """
    down, up = room
    diagonal = np.einsum("rcc->rc", second)
    bends_down = diagonal * (up - down) + kink < 0.0
    toward_peak = -1.0 / np.where(bends_down, diagonal, -1.0)
    by_customer = np.ascontiguousarray(second.transpose(1, 0, 2))
    slope = gradient + (second @ step[:, :, None])[:, :, 0]
    for i in (*range(step.shape[1]), *reversed(range(step.shape[1]))):
        g, half = slope[:, i], 0.5 * diagonal[:, i]
        low, high = down[:, i] - step[:, i], up[:, i] - step[:, i]
        peak = np.minimum(np.maximum(g * toward_peak[:, i], low), high)
        end = np.where((g + half * high) * high > (g + half * low) * low, high, low)
        move = np.where(bends_down[:, i], peak, end)
        move = np.where((g + half * move) * move > 0.0, move, 0.0)
        step[:, i] += move
        slope += move[:, None] * by_customer[i]


def _newton(
    slope: FloatArray, second: FloatArray, room: tuple[FloatArray, FloatArray], step: FloatArray
) -> None:
    """Move those strictly inside their ranges, in place, to their joint peak or up to an end."""
    down, up = room
    edge = 1e-9 * (up - down)
    inside = (step > down + edge) & (step < up - edge)
    both = inside[:, :, None] & inside[:, None, :]
    curve = np.where(both, -second, 0.0)
    size = np.einsum("rcc->rc", curve).max(axis=1, initial=1e-300)
    # The joint power of many customers bends f, their differences hardly do: a ridge keeps steps
    # along the latter small.
    ridge = np.where(inside, _RIDGE * size[:, None], size[:, None])
    each = np.arange(step.shape[1])
    curve[:, each, each] += ridge
    direction = np.linalg.solve(curve, np.where(inside, slope, 0.0)[:, :, None])[:, :, 0]
    target = np.minimum(np.maximum(step + direction, down), up)
    move = target - step
    first = (slope * move).sum(axis=1)
    bend = np.einsum("rc,rcd,rd->r", move, second, move)
    length = np.where(bend < 0.0, np.clip(-first / np.where(bend < 0.0, bend, -1.0), 0.0, 1.0), 1.0)
    step += np.where(first > 0.0, length, 0.0)[:, None] * move
