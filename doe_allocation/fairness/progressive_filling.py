"""Fair division of a packing polytope ``A u <= b`` with ``A >= 0``: what a rule is, and filling.

Progressive filling gives *the* lexicographic max-min point of such a polytope: all limits rise
together at rates proportional to their weights; when a row is full, those who take part in it
freeze; each frozen limit has a bottleneck, so nobody's can rise without lowering one that is no
larger (Bertsekas and Gallager, Data Networks, 2nd ed., section 6.5.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.fairness.rule import CAPACITY, PARTICIPATES, Filled
from security_check.arrays import FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class Filling:
    """How limits rise: ``u_i(t) = clip(offset_i + weight_i t, lower_i, upper_i)``.

    Parameters
    ----------
    lower, upper
        Shape (m,), the limits' own bounds, ``lower <= upper``.
    weight
        Shape (m,), rates, > 0.
    offset
        Shape (m,).  Zero fills to a common level (a lower bound counts towards one's share);
        ``offset = lower`` shares increments on top of what each has.
    group
        Shape (m,), where given: a full row freezes everyone of a group of whom one could still rise
        in it, so that a group keeps one common level.
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
        """Return the same filling from higher lower bounds."""
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
    At most 2 m + R events; each costs O(R) plus one product over the limits that change state.
    """
    m = A.shape[1]
    smallest = PARTICIPATES * A.max(axis=1, keepdims=True, initial=0.0)
    takes_part = smallest < A
    headroom = b - A @ filling.lower
    u = filling.lower.copy()
    bottleneck = np.full(m, CAPACITY, dtype=np.int64)
    begins = np.maximum((filling.lower - filling.offset) / filling.weight, 0.0)
    ends = (filling.upper - filling.offset) / filling.weight
    open_ = ends > begins  # may still rise, now or later
    rising = np.zeros(m, dtype=bool)
    full = np.zeros(len(b), dtype=bool)
    level = 0.0
    rate = np.zeros(len(b))
    tolerance = 1e-13 * np.maximum(np.abs(b), 1e-9)
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
        next_level = ends[rising].min(initial=np.inf)
        next_level = min(next_level, begins[waiting].min(initial=np.inf))
        using = ~full & (rate > 0.0)
        step = next_level - level
        room = headroom[using] / rate[using]
        by_row = room.min(initial=np.inf)
        if by_row <= step:
            step, next_level = by_row, level + by_row
        u[rising] += filling.weight[rising] * step
        headroom = headroom - rate * step
        if by_row <= step:
            # The row that stopped the filling is full by definition, whatever rounding says.
            headroom[np.flatnonzero(using)[room <= by_row]] = 0.0
        level = next_level
        at_top = rising & (ends <= level)
        u[at_top] = filling.upper[at_top]
        open_ &= ~at_top
