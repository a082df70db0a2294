"""The test of a max-min result: how far a limit could rise without lowering a smaller one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from doe_allocation.allocation.levels import FULL, SAME, at_level, levels_of, takes_part, together
from doe_allocation.fairness.progressive_filling import Filling
from security_check.arrays import BoolArray, FloatArray
from security_check.operating_range.points import WorstPoints, halves
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows


def largest_gap(
    robust: RobustRows,
    filling: Filling,
    known: PackingRows,
    u: FloatArray,
    stops: PackingRows | None = None,
) -> float:
    """Return the largest part by which a limit may rise without lowering a smaller one.

    A limit cannot rise if a row in which it takes part is full in the box in which all larger
    limits are lowered to its level.  Mostly the row's worst point lies in that box, and no power
    flow is needed.

    Parameters
    ----------
    robust
        The rows; c connection points.
    filling
        The course by which levels are compared.
    known
        Rows exact at u, those near their limits among them.
    u
        Shape (2 c,), secure limits.
    stops
        Rows at their worst points in smaller boxes, which may have stopped limits there.

    Returns
    -------
    float
        0 where the limits are max-min, but for linear rows' rounding.
    """
    levels = levels_of(filling, u)
    rises = u < filling.upper - SAME * np.abs(filling.upper)
    full = known.take(robust.excess(known, u) > -FULL)
    power, part = full.points.power(u), takes_part(robust, filling, full)
    gap = 0.0
    for level in _distinct(levels[rises]):
        members = rises & (np.abs(levels - level) <= SAME * abs(level))
        box = np.minimum(u, np.maximum(at_level(filling, level), u * members))
        injection, withdrawal = halves(box)
        slack = SAME * box.max(initial=0.0)
        inside = ((power <= injection + slack) & (-power <= withdrawal + slack)).all(axis=1)
        left = members & ~together(filling, np.asarray(part[inside].any(axis=0)))
        if left.any():
            starts = _starts_in_box(known, u, box, stops)
            gap = max(gap, _gap_in_box(robust, filling, starts, box, left))
    return gap


def _distinct(levels: FloatArray) -> list[float]:
    """Return levels that differ, in order."""
    found: list[float] = []
    for level in np.sort(levels).tolist():
        if not found or level - found[-1] > SAME * abs(level):
            found.append(level)
    return found


def _starts_in_box(
    known: PackingRows, u: FloatArray, box: FloatArray, stops: PackingRows | None
) -> PackingRows:
    """Return rows at points of a smaller box: those of u, cut, and those of the stops."""
    injection, withdrawal = halves(box)
    power = np.clip(known.points.power(u), -withdrawal, injection)
    width = np.maximum(injection + withdrawal, 1e-300)
    share = np.clip((power + withdrawal) / width, 0.0, 1.0)
    cut = replace(known, points=WorstPoints(share, known.points.free))
    starts = cut if stops is None else PackingRows.joined([cut, stops])
    return starts.take(starts.distinct(box))


def _gap_in_box(
    robust: RobustRows,
    filling: Filling,
    starts: PackingRows,
    box: FloatArray,
    left: BoolArray,
) -> float:
    """Return the largest part by which one of the limits ``left`` may rise in a smaller box."""
    rows, values = robust.worst(starts.rows, starts.points, box)
    room = np.maximum(-robust.violation(rows.rows, values), 0.0)
    part = takes_part(robust, filling, rows)
    stopped = together(filling, np.asarray(part[room <= FULL].any(axis=0)))
    rise = np.full(len(box), np.inf)
    for k in range(len(rows.rows)):
        mine = part[k]
        rise[mine] = np.minimum(
            rise[mine], room[k] * robust.limits.scale[rows.rows[k]] / rows.A[k, mine]
        )
    rise = np.minimum(rise, filling.upper - box)
    size = np.maximum(box, SAME * filling.upper.max(initial=0.0))
    parts = (rise / size)[left & ~stopped]
    gap = float(parts.max(initial=0.0))
    return gap if gap > SAME else 0.0
