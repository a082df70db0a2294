"""Progressive filling of a packing polytope ``A u <= b`` with ``A >= 0``.

Progressive filling gives *the* lexicographic max-min point of such a polytope: all limits rise
together at rates proportional to their weights; when a row is full, the limits that take part in it
freeze.  Each frozen limit has a bottleneck, so none can rise without lowering one that is no
larger (Bertsekas and Gallager, Data Networks, 2nd ed., section 6.5.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.fairness.rule import CAPACITY, PARTICIPATES, Filled
from security_check.arrays import BoolArray, FloatArray, IndexArray

_FULL = 1e-13  # parts of a row's bound: less headroom than this is rounding, and the row is full
_SMALLEST_BOUND = 1e-9  # per unit: bounds below count as this, so that a bound of 0 has a tolerance


@dataclass(frozen=True, slots=True)
class Filling:
    """The course of rising limits: ``u_i(t) = clip(offset_i + weight_i t, lower_i, upper_i)``.

    Parameters
    ----------
    lower, upper
        Shape (m,), the limits' own bounds, ``lower <= upper``.
    weight
        Shape (m,), rates, > 0.
    offset
        Shape (m,).  Zero fills to a common level (a lower bound counts towards the share);
        ``offset = lower`` divides increments on top of the lower bounds.
    group
        Shape (m,), where given: a full row freezes all limits of a group of which one could still
        rise in it, so that a group keeps one common level.
    """

    lower: FloatArray
    upper: FloatArray
    weight: FloatArray
    offset: FloatArray
    group: IndexArray | None = None

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits under rows ``A u <= b``; see :func:`progressive_filling`."""
        return progressive_filling(A, b, self)

    def above(self, lower: FloatArray) -> Filling:
        """Return the same rule from higher lower bounds."""
        return replace(self, lower=lower)


def progressive_filling(A: FloatArray, b: FloatArray, filling: Filling) -> Filled:
    """Return the lexicographic max-min point of ``{A u <= b, lower <= u <= upper}``.

    Parameters
    ----------
    A
        Shape (R, m), >= 0.
    b
        Shape (R,).  A row that the lower bounds already fill freezes its participants there.
    filling
        Bounds, weights and offsets.

    Returns
    -------
    Filled
        Each limit's bottleneck is a row of A, or :data:`CAPACITY`.

    Notes
    -----
    At most 2 m + R events, each O(R) plus one product over the limits that change state.
    """
    takes_part = PARTICIPATES * A.max(axis=1, keepdims=True, initial=0.0) < A
    headroom = b - A @ filling.lower
    tolerance = _FULL * np.maximum(np.abs(b), _SMALLEST_BOUND)
    u, bottleneck = filling.lower.copy(), np.full(A.shape[1], CAPACITY, dtype=np.int64)
    begins = np.maximum((filling.lower - filling.offset) / filling.weight, 0.0)
    ends = (filling.upper - filling.offset) / filling.weight
    open_ = ends > begins  # may still rise, now or later
    rising = np.zeros(len(u), dtype=bool)
    full = np.zeros(len(b), dtype=bool)
    rate = np.zeros(len(b))  # of each row's use, per unit of the level
    level = 0.0
    while True:
        newly_full = ~full & (headroom <= tolerance)
        full |= newly_full
        for row in np.flatnonzero(newly_full):
            frozen = open_ & takes_part[row]
            if filling.group is not None:
                frozen = open_ & np.isin(filling.group, filling.group[frozen])
            bottleneck[frozen] = row
            open_ &= ~frozen
        start = open_ & (begins <= level)
        changed = rising ^ start
        if changed.any():
            signed = np.where(start[changed], 1.0, -1.0) * filling.weight[changed]
            rate += A[:, changed] @ signed
            rising = start
        if not open_.any():
            return Filled(u, bottleneck)
        waiting = open_ & ~rising
        change = min(ends[rising].min(initial=np.inf), begins[waiting].min(initial=np.inf))
        step, filled = _rise(headroom, rate, full, change - level)
        u[rising] += filling.weight[rising] * step
        headroom = headroom - rate * step
        headroom[filled] = 0.0  # exactly full, without a rest of rounding
        level = level + step if len(filled) else change
        done = rising & (ends <= level)
        u[done] = filling.upper[done]
        open_ &= ~done


def _rise(
    headroom: FloatArray, rate: FloatArray, full: BoolArray, most: float
) -> tuple[float, IndexArray]:
    """Return by how much the level rises until a row is full, and the rows that are full then.

    ``most`` and no row where none is full before.
    """
    using = np.flatnonzero(~full & (rate > 0.0))
    room = headroom[using] / rate[using]
    step = float(room.min(initial=np.inf))
    return (step, using[room <= step]) if step <= most else (most, using[:0])
