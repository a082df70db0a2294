"""The limits of a rule by their common level, and which of them a row stops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from doe_allocation.fairness.progressive_filling import Filling
from doe_allocation.fairness.rule import FillingRule, OnTop
from security_check.arrays import BoolArray, FloatArray
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows

FULL = 3e-6
"""Part of a row's scale: a row with less room is full; a little more than ``MARGIN``."""

SAME = 1e-6
"""Part of a limit: levels that differ by less are one, and a gap below is none."""

_AT_END = 1e-6  # part of a customer's range: a point this close to an end is at the limit


def course_of(rule: FillingRule) -> Filling | None:
    """Return the course of a rule whose limits follow a common level; ``None`` of other rules."""
    if isinstance(rule, Filling):
        return rule
    inner = course_of(rule.rule) if isinstance(rule, OnTop) else None
    if inner is None or not isinstance(rule, OnTop):
        return None
    return replace(inner, lower=rule.lower, upper=rule.upper, offset=inner.offset + rule.offset)


def at_level(filling: Filling, level: float) -> FloatArray:
    """Return the limits at a level, shape (2 c,), between their bounds."""
    rising: FloatArray = np.clip(
        filling.offset + filling.weight * level, filling.lower, filling.upper
    )
    return rising


def levels_of(filling: Filling, u: FloatArray) -> FloatArray:
    """Return the level that each limit has reached, shape (2 c,)."""
    levels: FloatArray = (u - filling.offset) / filling.weight
    return levels


def takes_part(robust: RobustRows, filling: Filling, rows: PackingRows) -> BoolArray:
    """Return which limits take part in each row, shape (r, 2 c).

    A customer inside its range at the worst point does not reach its limits there: what is left of
    its gradient is the ascent's tolerance.  And a limit whose whole range a full row does not
    notice does not stop at it.
    """
    share, A = rows.points.share, rows.A
    reached = np.hstack([share > 1.0 - _AT_END, share < _AT_END])
    noticed = A * (filling.upper - filling.lower) > FULL * robust.limits.scale[rows.rows][:, None]
    part: BoolArray = reached & noticed
    return part


def acting(robust: RobustRows, filling: Filling, rows: PackingRows) -> FloatArray:
    """Return the coefficients of the limits that take part, zero for all others."""
    return np.where(takes_part(robust, filling, rows), rows.A, 0.0)


def together(filling: Filling, stopped: BoolArray) -> BoolArray:
    """Return the limits that stop where others do: all of a group, if there are groups."""
    if filling.group is None:
        return stopped
    return np.isin(filling.group, filling.group[stopped])
