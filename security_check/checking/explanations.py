"""Verdicts, explanations and bottlenecks, read from the rows that a check tracks.

A check keeps tracking rows that have fallen far from their limits, while untracked rows may be
fuller.  So only rows near their limits are named here, all of which are tracked.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import FloatArray
from security_check.checking.tracked_rows import CRITICAL, NEAR
from security_check.checking.verdict import Explanation, Verdict
from security_check.errors import Violation
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows


def verdict_of(robust: RobustRows, near: PackingRows, u: FloatArray) -> Verdict:
    """Return the verdict on a box of envelopes, from rows that are exact there.

    It is that of the fullest row; where no row is near its limit, none is named.
    """
    values = robust.values(near, u)
    excess = robust.violation(near.rows, values)
    if excess.max(initial=-np.inf) <= -NEAR:
        return Verdict(True, "", 0.0, 0.0, "", 0.0)
    worst = int(excess.argmax())
    row = int(near.rows[worst])
    value, limit, unit = robust.monitors.describe(row, float(values[worst]), robust.limits)
    operating_point = robust.conditions.operating_point(near.points.take(np.array([worst])), u)
    return Verdict(
        secure=bool(excess[worst] <= SECURE),
        element=robust.element(row),
        value=value,
        limit=limit,
        unit=unit,
        loading=1.0 + float(excess[worst]),
        circumstances=str(operating_point),
        nominal_v=robust.nominal_v(row),
    )


def violations(robust: RobustRows, near: PackingRows, u: FloatArray) -> tuple[Violation, ...]:
    """Return every element over its limit in a box of envelopes, the worst first.

    An element is there once for each of its limits, with the worst value of all rows given.
    """
    values = robust.values(near, u)
    excess = robust.violation(near.rows, values)
    found: dict[tuple[str, float, str], Violation] = {}
    for k in np.argsort(-excess, kind="stable")[: int((excess > SECURE).sum())]:
        row = int(near.rows[k])
        value, limit, unit = robust.monitors.describe(row, float(values[k]), robust.limits)
        element = robust.element(row)
        found.setdefault((element, limit, unit), Violation(element, value, limit, unit))
    return tuple(found.values())


def worst_case(robust: RobustRows, near: PackingRows, u: FloatArray, element: str) -> str:
    """Return a sentence on the worst case of an element; empty where it is not near its limit."""
    mine = np.array([robust.element(int(row)) == element for row in near.rows], dtype=bool)
    verdict = verdict_of(robust, near.take(mine), u)
    return verdict.worst_case if verdict.element else ""


def explanations(robust: RobustRows, near: PackingRows, u: FloatArray) -> list[Explanation]:
    """Return, for each element at its limit, its worst value and vertex; the fullest first.

    One vertex for each element and kind of limit (of a current, each way).
    """
    values = robust.values(near, u)
    excess = robust.violation(near.rows, values)
    found: dict[tuple[str, int], Explanation] = {}
    for k in np.argsort(-excess):
        row = int(near.rows[k])
        limit = robust.element(row), int(robust.monitors.kind[row])
        if excess[k] <= -CRITICAL or limit in found:
            continue
        one = near.take(np.array([k]))
        operating_point = robust.conditions.operating_point(one.points, u)
        found[limit] = Explanation(
            verdict_of(robust, one, u), operating_point, row, float(values[k])
        )
    return list(found.values())


def nearest_elements(robust: RobustRows, near: PackingRows, u: FloatArray) -> tuple[str, ...]:
    """Return, for each of the 2 c limits, the element that binds first if it rises alone.

    Only rows near their limits count; empty where none of them binds.
    """
    near = near.take(robust.excess(near, u) > -NEAR)
    if not len(near.rows):
        return ("",) * len(u)
    headroom = near.b - near.A @ u
    room = np.maximum(headroom, 0.0)[:, None] / np.maximum(near.A, 1e-300)
    first = room.argmin(axis=0)
    reached = near.A[first, np.arange(len(first))] > 0
    return tuple(
        robust.element(int(near.rows[k])) if ok else ""
        for k, ok in zip(first, reached, strict=True)
    )
