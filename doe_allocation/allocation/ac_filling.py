"""Fair and secure envelopes: a rule of fairness on robust rows, made exact in the AC power flow.

Rows are linear only near the envelopes at which they were taken, and the envelopes follow from the
rows.  So the rule fills, the rows are taken again at the result (AC power flow and exact gradient
at each row's own worst vertex), and the rule fills again.  This is Newton's method.

If limits do not come to rest, they are settled on the secure side: first by shrinking and raising
them (:func:`_raised_from_below`), then by bisection (:func:`_bisected`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from doe_allocation.allocation.ac_allocation import AcAllocation, bottleneck_rows
from doe_allocation.allocation.fairness_gap import largest_gap
from doe_allocation.allocation.level_filling import fill_by_levels
from doe_allocation.allocation.levels import course_of
from doe_allocation.allocation.relinearisation import (
    MARGIN,
    relinearised,
    rows_after_search,
    shrink_until_secure,
)
from doe_allocation.fairness.rule import CAPACITY, FillingRule
from security_check.arrays import FloatArray, IndexArray
from security_check.checking.explanations import verdict_of, violations
from security_check.checking.verdict import quantity
from security_check.errors import InsecureError, PowerFlowError
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.search import WorstPointSearch

# Rounds of filling and relinearising.  A handful is usual; limits that still move after 12 swing
# between rows without end, and are settled from below.
_ROUNDS = 12
# The same for rules with a level, which rises by itself then.
_ROUNDS_BEFORE_LEVELS = 7
# Every so many rounds worst points are searched for even if limits still move: a row that is
# missing may be the reason why they do.
_PATIENCE = 6
# How many times a search may refute limits that were settled from below, or raised after a
# bisection, before the next method takes over.
_ENDINGS = 6
# Steps by which secure limits are raised again, each of the same kind.
_RAISES = 6
# Halvings of the way from the lower bounds: 10 leave a thousandth of it.
_BISECTIONS = 10
# Largest change of a limit between two rounds that counts as rest, parts of the largest limit.
_STILL = 1e-9
# The same while rows are still being found: far below a watt of a household's limit.
_ROUGH = 1e-4


def allocate_ac(
    search: WorstPointSearch, filling: FillingRule, near: AcAllocation | None = None
) -> AcAllocation:
    """Return the limits of a rule under every robust row, exact in the AC power flow.

    Parameters
    ----------
    search
        The network's rows under one interval's limits, and the search for their worst points;
        c connection points.
    filling
        The rule that divides the 2 c limits, and their bounds, per unit.
    near
        The allocation of a similar interval: its rows are taken first.

    Raises
    ------
    InsecureError
        When the lower bounds themselves break a row; names the element and the numbers.
    PowerFlowError
        When the power flow does not converge even at the lower bounds.

    Notes
    -----
    Rows taken anew replace the old ones, and mostly settle in a handful of rounds.  Limits swing
    where many customers have a small effect on a row that others fill (losses in a common
    reactance), and where rows curve much, the limits at rest may not be max-min.  Then
    :func:`~doe_allocation.allocation.level_filling.fill_by_levels` raises the level itself.  For
    rules without a level :func:`_raised_from_below` ends on the secure side, and if searches refute
    its limits again and again, :func:`_bisected` decides.
    """
    if near is not None:
        try:
            rows = _rows_of(near, search.robust, filling)
            fill = _compared(search, filling, _iterated(search, filling, rows)[0])
        except PowerFlowError:
            fill = None  # the rows of the similar interval do not help here
        if fill is not None and fill.converged:
            return fill
    idle = packing = _rows_at_lower_bounds(search.robust, filling.lower)
    nearest = filling.filled(idle.A, idle.b).u
    try:
        fill, packing, nearest = _iterated(search, filling, packing)
        fill = _compared(search, filling, fill)
    except PowerFlowError:
        fill = None  # limits so high have no power flow solution; lower ones have
    if fill is not None and fill.converged:
        return fill
    course = course_of(filling)
    if course is not None:
        with suppress(PowerFlowError):  # what stands without levels stands
            fill = fill_by_levels(search, course, packing) or fill
    if fill is None:
        try:
            fill = _raised_from_below(search, packing, filling, nearest)
        except PowerFlowError:
            fill = None
    return fill or _bisected(search, idle, filling, nearest)


def _compared(
    search: WorstPointSearch, filling: FillingRule, fill: AcAllocation | None
) -> AcAllocation | None:
    """Return an allocation with its gap to the max-min limits, where the rule has a level."""
    course = course_of(filling)
    if fill is None or course is None:
        return fill
    return replace(fill, gap=largest_gap(search.robust, course, fill.rows, fill.u))


def _iterated(
    search: WorstPointSearch, filling: FillingRule, packing: PackingRows
) -> tuple[AcAllocation | None, PackingRows, FloatArray]:
    """Fill and take rows anew until the limits come to rest.

    Returns
    -------
    fill
        The allocation; ``None`` where limits still swing at the end.
    packing
        The rows at the end.
    nearest
        The limits at which the rows' excess was smallest.
    """
    robust, lower = search.robust, filling.lower
    filled = filling.filled(packing.A, packing.b)
    settled = _STILL
    least, nearest = np.inf, lower
    swinging = _ROUNDS if course_of(filling) is None else _ROUNDS_BEFORE_LEVELS
    for rounds in range(1, swinging + 1):
        packing, reached, exact = relinearised(robust, packing, filled.u, lower)
        filled = filling.filled(packing.A, packing.b)
        u = filled.u
        miss = abs(float(robust.excess(packing, reached).max(initial=-1.0)))
        if miss < least:
            least, nearest = miss, reached
        moved = float(np.abs(u - reached).max(initial=0.0))
        moved /= max(float(reached.max(initial=0.0)), 1e-12)
        if moved > settled and rounds % _PATIENCE:
            continue
        known = rows_after_search(search, packing, u, exact & (moved <= _STILL))
        missed = known.take(robust.excess(known, u) > SECURE)
        if len(missed.rows):
            packing, least = PackingRows.joined([packing, missed]), np.inf
            filled = filling.filled(packing.A, packing.b)
            settled = _ROUGH  # further rows may be missing: search before converging fully
        elif moved <= _STILL:
            return AcAllocation(u, bottleneck_rows(filled, packing), known, 0.0), packing, u
    return None, packing, nearest if np.isfinite(least) else filled.u


def _raised_from_below(
    search: WorstPointSearch, packing: PackingRows, filling: FillingRule, start: FloatArray
) -> AcAllocation | None:
    """Return secure limits near ``start``, raised until rows stop every one of them.

    ``None`` where searches refute the limits to the end.

    The worst case over a smaller box is no worse, so shrinking limits towards the lower bounds
    reaches secure ones.  From there the filling goes on with the secure limits as its lower
    bounds: an increase is kept if the AC power flow confirms it, otherwise the rows that refute it
    are kept.  So the limits only rise, and come to rest.
    """
    robust, u = search.robust, start
    for _ in range(_ENDINGS):
        drawn = shrink_until_secure(robust, packing, u, filling.lower)
        if drawn is None:
            return None
        packing, u, stopped = _raised(robust, *drawn, filling)
        known = rows_after_search(search, packing, u)
        missed = known.take(robust.excess(known, u) > SECURE)
        if not len(missed.rows):
            return AcAllocation(u, stopped, known, None)
        packing = PackingRows.joined([packing, missed])
    return None


def _bisected(
    search: WorstPointSearch, packing: PackingRows, filling: FillingRule, start: FloatArray
) -> AcAllocation:
    """Return limits between the lower bounds and ``start`` that a complete search finds secure.

    The way to ``start`` is bisected, each trial with a search of its own; then single limits are
    raised from there, if a search confirms it.  In the worst case these are the lower bounds.
    """
    robust, lower = search.robust, filling.lower
    known = search.find_new_worst_points(robust.no_rows(), lower)
    _check_secure(robust, known, lower)
    best, stop = lower, CAPACITY
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        trial = lower + 0.5 * (low + high) * (start - lower)
        try:
            found = search.find_new_worst_points(robust.no_rows(), trial)
        except PowerFlowError:
            high = 0.5 * (low + high)
            continue
        excess = robust.excess(found, trial)
        if excess.max(initial=-1.0) <= SECURE:
            low, best, known = 0.5 * (low + high), trial, found
        else:
            high, stop = 0.5 * (low + high), int(found.rows[excess.argmax()])
            packing = PackingRows.joined([packing, found.take(excess > SECURE)])
    if stop == CAPACITY:  # missing power flow solutions stopped it: name the fullest known row
        fullest = known if len(known.rows) else packing
        stop = int(fullest.rows[robust.excess(fullest, best).argmax()])
    stopped = np.where(best < filling.upper, stop, CAPACITY)
    packing = PackingRows.joined([known, packing])
    for _ in range(_ENDINGS):
        try:
            taken, u, by = _raised(robust, packing, best, filling)
            found = rows_after_search(search, taken, u)
        except PowerFlowError:
            break
        missed = found.take(robust.excess(found, u) > SECURE)
        if not len(missed.rows):
            best, stopped, known = u, by, found
            break
        packing = PackingRows.joined([taken, missed])
    return AcAllocation(best, stopped, known, None)


def _raised(
    robust: RobustRows, packing: PackingRows, u: FloatArray, filling: FillingRule
) -> tuple[PackingRows, FloatArray, IndexArray]:
    """Raise secure limits as far as known rows let them, in the order of the filling.

    Returns
    -------
    packing
        The rows known now, exact at the limits.
    u
        The limits.
    stopped
        Shape (2 c,), the monitored row that stops each, or ``CAPACITY``.
    """
    for _ in range(_RAISES):
        margin = MARGIN * robust.limits.scale[packing.rows]
        filled = filling.above(u).filled(packing.A, packing.b - margin)
        stopped = bottleneck_rows(filled, packing)
        if np.abs(filled.u - u).max(initial=0.0) <= _ROUGH * u.max(initial=0.0):
            break
        taken, reached, _ = relinearised(robust, packing, filled.u, u)
        if robust.excess(taken, reached).max(initial=-1.0) <= SECURE:
            packing, u = taken, reached
        else:
            packing = PackingRows.joined([packing, taken])
    return packing, u, stopped


def _rows_of(near: AcAllocation, robust: RobustRows, filling: FillingRule) -> PackingRows:
    """Return the rows of a similar interval that have limits in this one, taken anew."""
    rows = near.rows.take(np.isfinite(robust.limits.limit[near.rows.rows]))
    return robust.exact(rows.rows, rows.points, np.clip(near.u, filling.lower, filling.upper))


def _rows_at_lower_bounds(robust: RobustRows, lower: FloatArray) -> PackingRows:
    """Return all rows, exact at the lower bounds, which must themselves be secure.

    Their coefficients are those without load: exact enough to find the rows that come near.
    """
    try:
        packing, _ = robust.idle_rows(lower)
    except PowerFlowError as error:
        raise PowerFlowError(
            f"even with every limit at its lower bound the power flow has no solution: {error}"
        ) from None
    _check_secure(robust, packing, lower)
    return packing


def _check_secure(robust: RobustRows, packing: PackingRows, lower: FloatArray) -> None:
    """Raise an error where rows exceed their limits with every limit at its lower bound."""
    verdict = verdict_of(robust, packing, lower)
    if not verdict.secure:
        raise InsecureError(
            verdict.element,
            "with every limit at its lower bound it already reaches "
            f"{quantity(verdict.value, verdict.unit)}, "
            f"its limit is {quantity(verdict.limit, verdict.unit)}, "
            f"with {verdict.circumstances}",
            verdict.loading - 1.0,
            violations(robust, packing, lower),
        )
