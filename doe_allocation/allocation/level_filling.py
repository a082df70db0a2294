"""Progressive filling on the AC rows themselves, level by level.

Where rows are linear, one filling gives the max-min limits.  Rows that curve may be full at the
limits found and far from full in the smaller box in which all limits stand at the level of one that
they stop: withdrawal limits that rose later have changed the worst point.  Then that limit stopped
too early.  So here the common level itself rises, by Newton's method on rows taken anew at each
level, until the AC power flow refutes more; limits that take part in what refutes it stop, and the
others go on.  The level of every limit is then the largest at which all limits together are secure:
progressive filling (Bertsekas and Gallager, Data Networks, 2nd ed., section 6.5.2) on a set that
need not be convex, only such that a smaller box is secure, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.allocation.ac_allocation import AcAllocation
from doe_allocation.allocation.fairness_gap import largest_gap
from doe_allocation.allocation.levels import (
    FULL,
    SAME,
    acting,
    at_level,
    levels_of,
    takes_part,
    together,
)
from doe_allocation.allocation.relinearisation import (
    MARGIN,
    relinearised,
    rows_after_search,
    shrink_until_secure,
)
from doe_allocation.fairness.progressive_filling import Filling, progressive_filling
from doe_allocation.fairness.rule import CAPACITY
from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.search import WorstPointSearch

# How many times a search may refute the limits before other methods take over.
_SEARCHES = 12
# Trials of one level at most: Newton's method takes three to five, bisection thirty.
_TRIALS = 40
# Fillings that use up the room left free; the first mostly confirms.
_FINISHES = 3
# How often limits shrink at the end, and parts of a row's scale by which searches then refute them.
_SHRINKS = 4
_LITTLE = 1e-4
# A gap that is worth another rise, and the part of it that the last rise may leave to go on.
_FAIR = 1e-4
_FASTER = 0.9
# Halvings of the way to a level at which some power flow has no solution: 12 leave 0.02 %.
_HALVINGS = 12
# Part of the highest level: a bracket this narrow is closed, 0.003 W of a household's 30 kW.
_CLOSED = 1e-7


@dataclass(frozen=True, slots=True)
class _Course:
    """The limits at each level; those that stopped stay where they are."""

    filling: Filling
    open_: BoolArray
    held: FloatArray

    def at(self, level: float) -> FloatArray:
        """Return all limits at a level, shape (2 c,)."""
        return np.where(self.open_, at_level(self.filling, level), self.held)

    def level_under(self, robust: RobustRows, packing: PackingRows, low: float) -> float:
        """Return the level at which the first linear row is full but for ``MARGIN`` of room."""
        begin = self.at(low)
        all_at_once = replace(
            self.filling,
            lower=begin,
            upper=np.where(self.open_, self.filling.upper, begin),
            group=np.zeros(len(begin), dtype=np.int64),
        )
        A = acting(robust, self.filling, packing)
        b = packing.b - (packing.A - A) @ begin - MARGIN * robust.limits.scale[packing.rows]
        reached = progressive_filling(A, b, all_at_once).u
        return float(levels_of(self.filling, reached)[self.open_].max())


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows known: some follow their worst points, others stay where they refuted limits.

    An ascent that begins at such a point in a smaller box may lead to another one, and what refuted
    the limits would be lost.
    """

    packing: PackingRows
    refuters: PackingRows

    def taken(self, robust: RobustRows, u: FloatArray, lower: FloatArray) -> tuple[_Rows, bool]:
        """Return the rows taken anew at u, and whether every power flow has a solution."""
        packing = self.packing
        try:
            packing, reached, _ = relinearised(robust, packing, u, lower)
            if not np.array_equal(reached, u):
                return _Rows(packing, self.refuters), False
            still = robust.exact(self.refuters.rows, self.refuters.points, u)
        except PowerFlowError:
            return _Rows(packing, self.refuters), False
        packing = PackingRows.joined([packing, still])
        packing = packing.take(packing.distinct(u))
        return _Rows(packing, self.refuters), True


@dataclass(frozen=True, slots=True)
class _Stop:
    """The highest secure level, the rows exact there, and the rows that refute more.

    ``beyond`` is the lowest level refuted, infinite where none was.
    """

    level: float
    beyond: float
    rows: _Rows
    refuting: PackingRows


@dataclass(frozen=True, slots=True)
class _Risen:
    """Limits whose common level rose as far as it goes.

    Parameters
    ----------
    packing
        All rows, those near their limits exact at the limits.
    u, bottleneck
        Shape (2 c,), the limits, and the monitored row that stops each, or ``CAPACITY``.
    stops
        The rows that stopped limits, each at its worst point at that level.
    beyond
        Shape (2 c,), limits at which the power flow has no solution; u where it has.
    """

    packing: PackingRows
    u: FloatArray
    bottleneck: IndexArray
    stops: PackingRows
    beyond: FloatArray


def fill_by_levels(
    search: WorstPointSearch, filling: Filling, packing: PackingRows
) -> AcAllocation | None:
    """Return the max-min limits, whose common level rises in the AC power flow itself.

    Parameters
    ----------
    search
        The network's rows under one interval's limits; c connection points.
    filling
        The course of the 2 c limits; secure at its lower bounds.
    packing
        Rows that may bind, at some of their worst points.

    Returns
    -------
    AcAllocation or None
        ``None`` where searches refute the limits to the end.
    """
    robust, collapse, course, secure = search.robust, 0.0, filling, filling.lower
    best: AcAllocation | None = None
    refuters = robust.no_rows()
    for attempt in range(_SEARCHES):
        risen = _risen(robust, course, _Rows(packing, refuters), best is not None)
        packing, u = _without_room(robust, course, risen.packing, risen.u)
        box, beyond = risen.u, risen.beyond
        try:
            known, settled, missed = _settled(search, packing, u, filling.lower)
            ended = not len(missed.rows) and bool((beyond > box).any())
            secure = secure if len(missed.rows) else settled
            if not len(missed.rows) and not ended:
                gap = largest_gap(robust, course, known, settled, risen.stops)
                lost = float((u - settled).max() / u.max())
                found = AcAllocation(settled, risen.bottleneck, known, max(gap, collapse, lost))
                if gap <= _FAIR or (best is not None and gap >= _FASTER * (best.gap or 0.0)):
                    return found
                # A limit of hardly any influence stopped at a row which it does not touch now.
                best, course, missed = found, course.above(settled), known
        except PowerFlowError:
            # Mostly a row that is not known yet refutes the limits before the voltage collapses.
            missed, box, beyond = _before_collapse(search, course, secure, u)
            ended = attempt > 0 or not len(missed.rows)
        if ended:
            stopped = _stopped_by_collapse(search, box, beyond, beyond > box)
            course = replace(course, upper=np.where(stopped, box, course.upper))
            size = np.maximum(box, SAME * filling.upper.max())
            collapse = max(collapse, float(((beyond - box) / size)[stopped].max(initial=0.0)))
        packing = PackingRows.joined([packing, missed])
        refuters = PackingRows.joined([refuters, missed])
        refuters = refuters.take(refuters.distinct_anywhere())
    return best


def _settled(
    search: WorstPointSearch, packing: PackingRows, u: FloatArray, lower: FloatArray
) -> tuple[PackingRows, FloatArray, PackingRows]:
    """Return the rows near their limits, the limits, and the rows that refute them.

    Where searches refute limits by little only, which is what ascents leave, all limits shrink by
    as much.
    """
    robust = search.robust
    for _ in range(_SHRINKS):
        known = rows_after_search(search, packing, u)
        excess = robust.excess(known, u)
        missed = known.take(excess > SECURE)
        if not 0.0 < excess.max(initial=-1.0) <= _LITTLE or not len(missed.rows):
            break
        drawn = shrink_until_secure(robust, known, u, lower)
        if drawn is None:
            break
        packing, u = drawn
    return known, u, missed


def _without_room(
    robust: RobustRows, filling: Filling, packing: PackingRows, u: FloatArray
) -> tuple[PackingRows, FloatArray]:
    """Raise limits by the room left free, so that a customer of little influence gains nothing."""
    taken = packing
    try:
        for _ in range(_FINISHES):
            A = acting(robust, filling, taken)
            top = filling.above(u).filled(A, taken.b - (taken.A - A) @ u).u
            taken, reached, _ = relinearised(robust, taken, top, filling.lower)
            if not np.array_equal(reached, top):
                break
            if robust.excess(taken, top).max(initial=-1.0) <= SECURE:
                return taken, top
    except PowerFlowError:
        pass  # the room is at the end of the solutions: it stays free
    return packing, u


def _before_collapse(
    search: WorstPointSearch, filling: Filling, secure: FloatArray, u: FloatArray
) -> tuple[PackingRows, FloatArray, FloatArray]:
    """Return the highest level below limits u whose box has power flow solutions, by bisection.

    Limits found ``secure`` before do not fall below these, unless u is lower.

    Returns
    -------
    found
        The rows nearest their limits there.
    box, beyond
        The limits at that level, and at the lowest level without solutions.
    """
    begin = np.minimum(secure, u) if (u > secure).any() else filling.lower
    low = float(levels_of(filling, begin)[u > begin].min(initial=np.inf))
    high, found = float(levels_of(filling, u).max()), search.robust.no_rows()
    low = min(low, high)

    def at(level: float) -> FloatArray:
        return np.maximum(begin, np.minimum(u, at_level(filling, level)))

    for _ in range(_HALVINGS):
        level = 0.5 * (low + high)
        try:
            found = search.find_new_worst_points(search.robust.no_rows(), at(level), near=1.0)
            low = level
        except PowerFlowError:
            high = level
    return found, at(low), at(high)


def _stopped_by_collapse(
    search: WorstPointSearch, box: FloatArray, beyond: FloatArray, rising: BoolArray
) -> BoolArray:
    """Return which of the rising limits no power flow solution lets rise beyond the box."""
    try:
        search.find_new_worst_points(search.robust.no_rows(), np.where(rising, beyond, box))
        return np.zeros_like(rising)
    except PowerFlowError:
        which = np.flatnonzero(rising)
        if len(which) < 2:
            return rising
    halves_of = np.zeros((2, len(rising)), dtype=bool)
    for part, own in enumerate(np.array_split(which, 2)):
        halves_of[part, own] = True
    first, second = (_stopped_by_collapse(search, box, beyond, half) for half in halves_of)
    both: BoolArray = first | second
    return both if both.any() else rising  # only together do they go too far


def _risen(robust: RobustRows, filling: Filling, rows: _Rows, resumed: bool) -> _Risen:
    """Raise the common level until rows stop every limit, or power flow solutions end.

    ``resumed`` says that the rows are exact at the lower bounds, and that full ones stop limits
    there.
    """
    bottleneck = np.full(len(filling.lower), CAPACITY, dtype=np.int64)
    open_, held = filling.upper > filling.lower, filling.lower.copy()
    stops, level = robust.no_rows(), 0.0
    if resumed:
        stops = rows.packing.take(robust.excess(rows.packing, held) > -FULL)
        open_ = open_ & ~_stopped_by(robust, stops, filling, open_, held, bottleneck)
        level = float(levels_of(filling, held)[open_].min(initial=np.inf))
    while open_.any():
        course = _Course(filling, open_, held)
        top = float(levels_of(filling, filling.upper)[open_].max())
        stop = _highest_level(robust, rows, course, level, top)
        rows, level, held = stop.rows, stop.level, course.at(stop.level)
        stops = PackingRows.joined([stops, stop.refuting])
        blocked = _stopped_by(robust, stop.refuting, filling, open_, held, bottleneck)
        done = open_ & (held >= filling.upper)
        bottleneck[done & ~blocked] = CAPACITY
        if not (blocked | done).any():  # beyond, the power flow has no solution
            fullest = robust.excess(rows.packing, held).argmax()
            bottleneck[open_] = rows.packing.rows[fullest]
            return _Risen(rows.packing, held, bottleneck, stops, course.at(min(stop.beyond, top)))
        open_ = open_ & ~(blocked | done)
    return _Risen(rows.packing, held, bottleneck, stops, held)


def _stopped_by(
    robust: RobustRows,
    rows: PackingRows,
    filling: Filling,
    open_: BoolArray,
    u: FloatArray,
    bottleneck: IndexArray,
) -> BoolArray:
    """Return which open limits rows stop at u; name the fullest row of each in ``bottleneck``."""
    stopped = np.zeros(len(u), dtype=bool)
    for k in np.argsort(robust.excess(rows, u), kind="stable"):
        mine = open_ & takes_part(robust, filling, rows.take(np.array([k])))[0]
        bottleneck[mine], stopped = rows.rows[k], stopped | mine
    whole: BoolArray = open_ & together(filling, stopped)
    bottleneck[whole & ~stopped] = rows.rows[:1]
    return whole


def _highest_level(
    robust: RobustRows, rows: _Rows, course: _Course, low: float, top: float
) -> _Stop:
    """Return the highest level between ``low``, which was found secure, and ``top``.

    A row may have a worse point than the one that ``low`` was confirmed with.  Where rows found
    since say so, ``low`` is tried once more, and may be refuted itself.
    """
    lower, high, confirmed = course.filling.lower, np.inf, False
    none, begin, doubted, tried_again = robust.no_rows(), low, False, False
    refuting = none
    for _ in range(_TRIALS):
        level = min(course.level_under(robust, rows.packing, begin), top)
        if (level <= low or doubted) and not tried_again:
            level, tried_again = low, True
        elif not low < level < high:
            level = 0.5 * (low + min(high, top))
        u = course.at(level)
        rows, solved = rows.taken(robust, u, lower)
        excess = robust.excess(rows.packing, u)
        part = takes_part(robust, course.filling, rows.packing)
        acts = np.logical_or.reduce(part[:, course.open_], axis=1)
        if solved and excess.max(initial=-np.inf) <= SECURE:
            tried_again, low, confirmed = tried_again and level == low, level, True
            if level >= top:
                return _Stop(top, np.inf, rows, none)
            full = (excess > -FULL) & acts
            if full.any():
                return _Stop(level, high, rows, rows.packing.take(full))
        else:
            high, confirmed = level, False
            refuting = rows.packing.take(excess > SECURE) if solved else none
            doubted = solved and not acts[excess > SECURE].any()
        if high - low <= _CLOSED * top:
            break
    if not confirmed:
        rows, _ = rows.taken(robust, course.at(low), lower)
    return _Stop(low, high, rows, refuting)
