"""The steps that replace a box, for a quantity's largest value, by parts of it.

What the steps are is in the table of :mod:`.branch_and_bound`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from security_check.arrays import FloatArray


@dataclass(slots=True)
class Step:
    """What replaces a box for some quantities.

    Parameters
    ----------
    rows
        The quantities.
    kind
        ``fixed``, ``ends``, ``split`` or ``peak``.
    variables
        Those fixed, or the one of ends or split.
    sides
        1 where a fixed variable is at its upper end, 0 at its lower.
    peak
        The point of the tangent, shape (n,).
    parts
        The boxes that replace it.
    """

    rows: list[int]
    kind: str
    variables: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()
    peak: FloatArray | None = None
    parts: list[BoundNode] = field(default_factory=list)


@dataclass(slots=True)
class BoundNode:
    """A box, and what replaces it for quantities that its bound does not settle."""

    low: FloatArray
    high: FloatArray
    steps: list[Step] = field(default_factory=list)


def parts_of(
    low: FloatArray, high: FloatArray, step: Step
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the boxes that replace a box."""
    if step.kind == "fixed":
        at, upper = list(step.variables), np.array(step.sides) == 1
        lower, higher = low.copy(), high.copy()
        lower[at] = higher[at] = np.where(upper, high[at], low[at])
        yield lower, higher
        return
    (variable,) = step.variables
    for side in (0, 1):
        lower, higher = low.copy(), high.copy()
        if step.kind == "split":
            middle = 0.5 * (low[variable] + high[variable])
            (higher if side == 0 else lower)[variable] = middle
        else:
            lower[variable] = higher[variable] = (low, high)[side][variable]
        yield lower, higher


def is_concave(second: FloatArray, spread: FloatArray, half: FloatArray) -> bool:
    """Return whether all Hessians within ``spread`` of ``second`` are negative definite.

    In the variables that have a width.
    """
    free = half > 0.0
    scale = half[free]
    both = scale[:, None] * scale[None, :]
    largest = np.linalg.eigvalsh(second[np.ix_(free, free)] * both).max(initial=-np.inf)
    return bool(largest + (spread[np.ix_(free, free)] * both).sum(axis=1).max(initial=0.0) < 0.0)


def tangent_rise(slope: FloatArray, x: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """Return the largest rise of a tangent from the point x of a box."""
    return float(np.maximum(slope * (low - x), slope * (high - x)).sum())


def newton_within(
    slope: FloatArray, second: FloatArray, x: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Return the next point of Newton's method for a largest value within a box."""
    free = high > low
    for _ in range(len(x)):
        step = np.zeros_like(x)
        chosen = np.ix_(free, free)
        if not free.any():
            break
        step[free] = np.linalg.solve(second[chosen], -slope[free])
        blocked = free & (((x <= low) & (step < 0.0)) | ((x >= high) & (step > 0.0)))
        if not blocked.any():
            break
        free = free & ~blocked
    moved: FloatArray = np.clip(x + step, low, high)
    return moved
