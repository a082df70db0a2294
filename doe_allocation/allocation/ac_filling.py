"""Fair and secure envelopes: a rule of fairness on robust rows, made exact in the AC power flow.

Rows are linear only near the envelopes at which they were taken, and the envelopes follow from the
rows.  So the rule fills, the rows are taken again at the result (AC power flow and exact gradient
at each row's own worst vertex), and the rule fills again.  This is Newton's method.

If limits do not come to rest, they are settled on the secure side: first by shrinking and raising
them (:func:`_raised_from_below`), then by bisection (:func:`_bisected`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.rule import CAPACITY, Filled, FillingRule
from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.checking.explanations import verdict_of, violations
from security_check.checking.verdict import quantity
from security_check.errors import InsecureError, PowerFlowError
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.search import WorstPointSearch

# Rounds of filling and relinearising.  A handful is usual; limits that still move after 12 swing
# between rows without end, and are settled from below.
_ROUNDS = 12
# Every so many rounds worst points are searched for even if limits still move: a row that is
# missing may be the reason why they do.
_PATIENCE = 6
# How many times a search may refute limits that were settled from below, or raised after a
# bisection, before the next method takes over.
_ENDINGS = 6
# Steps by which limits shrink until the known rows are secure; each is a step of Newton's method.
_DRAWS = 12
# Steps by which secure limits are raised again, each of the same kind.
_RAISES = 6
# Halvings of the way from the lower bounds: 10 leave a thousandth of it.
_BISECTIONS = 10
# Halvings of the way to the lower bounds where the power flow has no solution: 10 leave a
# thousandth of it; the lower bounds themselves have a solution.
_HALVINGS = 10
# Parts of a row's scale kept free where limits swing, so that the next step ends inside.
_MARGIN = 1e-6
# Part of a row's room between lower bounds and limit; rows used beyond it are taken anew.
_CLOSE = 0.7
# Rows taken anew in one round; bounds the power flows of a round on long feeders.
_AT_ONCE = 256
# Largest change of a limit between two rounds that counts as rest, parts of the largest limit.
_STILL = 1e-9
# The same while rows are still being found: far below a watt of a household's limit.
_ROUGH = 1e-4
# Parts of a row's scale; rows closer to their limits than this are near, and stay known.
_WIDE = 0.06


@dataclass(frozen=True, slots=True)
class AcAllocation:
    """The fair, AC-exact limits.

    Parameters
    ----------
    u
        Shape (2 c,), limits per unit, injection first.
    bottleneck
        Shape (2 c,), index of the monitored row that stopped each limit, or ``CAPACITY``.
    rows
        The rows near their limits at all the worst points found, exact at u.
    rounds
        How many times the rows were taken.
    """

    u: FloatArray
    bottleneck: IndexArray
    rows: PackingRows
    rounds: int

    @property
    def converged(self) -> bool:
        """Whether the rounds converged to a point where rows and rule agree."""
        return self.rounds <= _ROUNDS


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
    reactance); then :func:`_raised_from_below` ends on the secure side.  If searches refute its
    limits again and again, :func:`_bisected` decides.
    """
    if near is not None:
        try:
            fill, _, _ = _iterated(search, filling, _rows_of(near, search.robust, filling))
        except PowerFlowError:
            fill = None  # the rows of the similar interval do not help here
        if fill is not None:
            return fill
    idle = packing = _rows_at_lower_bounds(search.robust, filling.lower)
    nearest = filling.filled(idle.A, idle.b).u
    try:
        fill, packing, nearest = _iterated(search, filling, packing)
        fill = fill or _raised_from_below(search, packing, filling, nearest)
    except PowerFlowError:
        fill = None  # limits so high have no power flow solution; lower ones have
    return fill or _bisected(search, idle, filling, nearest)


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
    for rounds in range(1, _ROUNDS + 1):
        packing, reached, exact = _relinearised(robust, packing, filled.u, lower)
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
            return AcAllocation(u, _bottleneck_rows(filled, packing), known, rounds), packing, u
    return None, packing, nearest if np.isfinite(least) else filled.u


def rows_after_search(
    search: WorstPointSearch, packing: PackingRows, u: FloatArray, exact: BoolArray
) -> PackingRows:
    """Return the rows near their limits at u, exact there, with those that a search adds.

    ``exact``, shape (r,), marks the rows that are exact at u already.
    """
    robust = search.robust
    near = robust.excess(packing, u) > -_WIDE
    known, stale = packing.take(near & exact), packing.take(near & ~exact)
    if len(stale.rows):
        renewed = robust.exact(stale.rows, stale.points, u)
        known = PackingRows.joined([known, renewed])
    return PackingRows.joined([known, search.find_new_worst_points(known, u, near=_WIDE)])


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
    for rounds in range(1, _ENDINGS + 1):
        drawn = shrink_until_secure(robust, packing, u, filling.lower)
        if drawn is None:
            return None
        packing, u, stopped = _raised(robust, *drawn, filling)
        known = rows_after_search(search, packing, u, np.zeros(len(packing.rows), dtype=bool))
        missed = known.take(robust.excess(known, u) > SECURE)
        if not len(missed.rows):
            return AcAllocation(u, stopped, known, _ROUNDS + rounds)
        packing = PackingRows.joined([packing, missed])
    return None


def shrink_until_secure(
    robust: RobustRows, packing: PackingRows, u: FloatArray, lower: FloatArray
) -> tuple[PackingRows, FloatArray] | None:
    """Shrink limits towards the lower bounds until the AC power flow of known rows is secure.

    ``None`` where they are still not secure after the last step.
    """
    for _ in range(_DRAWS):
        packing, u, _ = _relinearised(robust, packing, u, lower)
        if robust.excess(packing, u).max(initial=-1.0) <= SECURE:
            return packing, u
        used = packing.A @ (u - lower)
        room = packing.b - packing.A @ lower - _MARGIN * robust.limits.scale[packing.rows]
        part = np.divide(room, used, out=np.ones_like(room), where=used > np.maximum(room, 0.0))
        u = lower + max(float(part.min(initial=1.0)), 0.0) * (u - lower)
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
            found = rows_after_search(search, taken, u, np.zeros(len(taken.rows), dtype=bool))
        except PowerFlowError:
            break
        missed = found.take(robust.excess(found, u) > SECURE)
        if not len(missed.rows):
            best, stopped, known = u, by, found
            break
        packing = PackingRows.joined([taken, missed])
    return AcAllocation(best, stopped, known, _ROUNDS + _BISECTIONS)


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
        margin = _MARGIN * robust.limits.scale[packing.rows]
        filled = filling.above(u).filled(packing.A, packing.b - margin)
        stopped = _bottleneck_rows(filled, packing)
        if np.abs(filled.u - u).max(initial=0.0) <= _ROUGH * u.max(initial=0.0):
            break
        taken, reached, _ = _relinearised(robust, packing, filled.u, u)
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


def _relinearised(
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


def _bottleneck_rows(filled: Filled, packing: PackingRows) -> IndexArray:
    stopped = filled.bottleneck != CAPACITY
    rows = np.full(len(filled.u), CAPACITY, dtype=np.int64)
    rows[stopped] = packing.rows[filled.bottleneck[stopped]]
    return rows
