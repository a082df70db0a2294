"""Packing rows taken anew at other limits: the step of Newton's method between two fillings."""

from __future__ import annotations

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.search import WorstPointSearch

MARGIN = 1e-6
"""Part of a row's scale kept free where limits swing, so that the next step ends inside."""

# Steps by which limits shrink until the known rows are secure; each is a step of Newton's method.
_DRAWS = 12
# Halvings of the way to the lower bounds where the power flow has no solution: 10 leave a
# thousandth of it; the lower bounds themselves have a solution.
_HALVINGS = 10
# Part of a row's room between lower bounds and limit; rows used beyond it are taken anew.
_CLOSE = 0.7
# Rows taken anew in one round; bounds the power flows of a round on long feeders.
_AT_ONCE = 256
# Parts of a row's scale; rows closer to their limits than this are near, and stay known.
_WIDE = 0.06


def _rows_near_limits(packing: PackingRows, u: FloatArray, lower: FloatArray) -> IndexArray:
    """Return the rows of whose room between lower bounds and limit u uses ``_CLOSE`` or more.

    Of more than ``_AT_ONCE`` such rows (all buses along a feeder), the fullest; the others follow
    in the next rounds if they are still near.
    """
    room = packing.b - packing.A @ lower
    fullness = packing.A @ (u - lower) - _CLOSE * room
    near = np.flatnonzero(fullness >= 0.0)
    if len(near) > _AT_ONCE:
        part = fullness[near] / np.maximum(room[near], 1e-12)
        near = np.sort(near[np.argsort(-part)[:_AT_ONCE]])
    return near


def relinearised(
    robust: RobustRows, packing: PackingRows, u: FloatArray, lower: FloatArray
) -> tuple[PackingRows, FloatArray, BoolArray]:
    """Take the rows near their limits again at u.

    A first, linear filling may overshoot into voltage collapse; then the rows are taken half-way
    to the lower bounds.

    Returns
    -------
    packing
        All rows.
    u
        The limits at which rows were taken.
    exact
        Shape (r,), whether a row was taken there.
    """
    near = _rows_near_limits(packing, u, lower)
    chosen = packing.take(near)
    for halving in range(_HALVINGS + 1):
        try:
            worst, _ = robust.worst(chosen.rows, chosen.points, u)
        except PowerFlowError:
            if halving == _HALVINGS:
                raise
            u = 0.5 * (u + lower)
            continue
        break
    # New rows come first, so that they replace older ones taken at the same point.
    left = np.setdiff1d(np.arange(len(packing.rows)), near)
    packing = PackingRows.joined([worst, packing.take(left)])
    kept = packing.distinct(u)
    return packing.take(kept), u, kept < len(near)


def rows_after_search(
    search: WorstPointSearch, packing: PackingRows, u: FloatArray, exact: BoolArray | None = None
) -> PackingRows:
    """Return the rows near their limits at u, exact there, with those that a search adds.

    ``exact``, shape (r,), marks the rows that are exact at u already; none of them where not given.
    """
    robust = search.robust
    near = robust.excess(packing, u) > -_WIDE
    if exact is None:
        exact = np.zeros(len(near), dtype=bool)
    known, stale = packing.take(near & exact), packing.take(near & ~exact)
    if len(stale.rows):
        renewed = robust.exact(stale.rows, stale.points, u)
        known = PackingRows.joined([known, renewed])
    return PackingRows.joined([known, search.find_new_worst_points(known, u, near=_WIDE)])


def shrink_until_secure(
    robust: RobustRows, packing: PackingRows, u: FloatArray, lower: FloatArray
) -> tuple[PackingRows, FloatArray] | None:
    """Shrink limits towards the lower bounds until the AC power flow of known rows is secure.

    ``None`` where they are still not secure after the last step.
    """
    for _ in range(_DRAWS):
        packing, u, _ = relinearised(robust, packing, u, lower)
        if robust.excess(packing, u).max(initial=-1.0) <= SECURE:
            return packing, u
        used = packing.A @ (u - lower)
        room = packing.b - packing.A @ lower - MARGIN * robust.limits.scale[packing.rows]
        part = np.divide(room, used, out=np.ones_like(room), where=used > np.maximum(room, 0.0))
        u = lower + max(float(part.min(initial=1.0)), 0.0) * (u - lower)
    return None
