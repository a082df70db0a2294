"""Progressive filling on the AC rows themselves, level by level, and the test of a max-min result.

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
from doe_allocation.allocation.relinearisation import relinearised, rows_after_search
from doe_allocation.fairness.progressive_filling import Filling, progressive_filling
from doe_allocation.fairness.rule import CAPACITY, PARTICIPATES, FillingRule, OnTop
from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.operating_range.points import WorstPoints, halves
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.search import WorstPointSearch

# How many times a search may refute the limits before other methods take over.
_SEARCHES = 12
# Trials of one level at most: Newton's method takes three to five, bisection thirty.
_TRIALS = 40
# Fillings that use up the room left free; the first mostly confirms.
_FINISHES = 3
# Halvings of the way to a box in which some power flow has no solution: 6 leave 2 %, for rows near
# their limits there; 11 leave 0.05 % of limits that nothing else stops.
_HALVINGS = 6
_LAST_HALVINGS = 11
# Parts of a row's scale: levels stop at rows with this room, so that a full row in which a higher
# level takes no part does not refute it by what an ascent leaves (REFINED); rows with little more
# room are full.
_ROOM = 1e-6
_FULL = 3e-6
# Part of the highest level: a bracket this narrow is closed, far below a watt.
_CLOSED = 1e-10
# Part of a limit: levels that differ by less are one, and a gap below is none.
_SAME = 1e-6
# Part of a customer's range: a point this close to an end is at the limit.
_AT_END = 1e-6


def course_of(rule: FillingRule) -> Filling | None:
    """Return the course of a rule whose limits follow a common level; ``None`` of other rules."""
    if isinstance(rule, Filling):
        return rule
    inner = course_of(rule.rule) if isinstance(rule, OnTop) else None
    if inner is None or not isinstance(rule, OnTop):
        return None
    return replace(inner, lower=rule.lower, upper=rule.upper, offset=inner.offset + rule.offset)


@dataclass(frozen=True, slots=True)
class _Course:
    """The limits at each level; those that stopped stay where they are."""

    filling: Filling
    open_: BoolArray
    held: FloatArray

    def at(self, level: float) -> FloatArray:
        """Return all limits at a level, shape (2 c,)."""
        return np.where(self.open_, _at_level(self.filling, level), self.held)

    def level_under(self, packing: PackingRows, room: FloatArray, low: float) -> float:
        """Return the level at which the first linear row is full but for its room, shape (r,)."""
        begin = self.at(low)
        together = replace(
            self.filling,
            lower=begin,
            upper=np.where(self.open_, self.filling.upper, begin),
            group=np.zeros(len(begin), dtype=np.int64),
        )
        b = packing.b - _left(packing, begin) - room
        reached = progressive_filling(_acting(packing), b, together).u
        return float(_levels(self.filling, reached)[self.open_].max())


@dataclass(frozen=True, slots=True)
class _Stop:
    """The highest secure level, the rows exact there, and the rows that refute more."""

    level: float
    packing: PackingRows
    refuting: PackingRows


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
    robust, collapses, course = search.robust, 0, filling
    found = robust.no_rows()
    for _ in range(_SEARCHES):
        packing, u, bottleneck = _risen(robust, course, packing, found)
        packing, u = _without_room(robust, course, packing, u)
        try:
            known = rows_after_search(search, packing, u, np.zeros(len(packing.rows), dtype=bool))
            missed = known.take(robust.excess(known, u) > SECURE)
            if not len(missed.rows):
                if course is filling:
                    return AcAllocation(
                        u, bottleneck, known, largest_gap(robust, filling, known, u)
                    )
                return AcAllocation(u, _reasons(robust, filling, known, u, bottleneck), known, None)
        except PowerFlowError:
            # Mostly a row that is not known yet refutes the limits before the voltage collapses.
            halvings = _LAST_HALVINGS if collapses else _HALVINGS
            missed, box = _before_collapse(search, filling.lower, u, halvings)
            collapses += 1
            if collapses > 1 or not len(missed.rows):
                course = replace(course, upper=np.minimum(course.upper, box))
        packing = PackingRows.joined([packing, missed])
        found = PackingRows.joined([found, missed])
    return None


def _reasons(
    robust: RobustRows,
    filling: Filling,
    known: PackingRows,
    u: FloatArray,
    bottleneck: IndexArray,
) -> IndexArray:
    """Return the bottlenecks, those of limits that voltage collapse stops too: the fullest row."""
    stopped = (bottleneck == CAPACITY) & (u < filling.upper)
    if not stopped.any() or not len(known.rows):
        return bottleneck
    return np.where(stopped, known.rows[robust.excess(known, u).argmax()], bottleneck)


def _without_room(
    robust: RobustRows, filling: Filling, packing: PackingRows, u: FloatArray
) -> tuple[PackingRows, FloatArray]:
    """Raise limits by the room left free, so that a customer of little influence gains nothing."""
    taken = packing
    for _ in range(_FINISHES):
        top = filling.above(u).filled(_acting(taken), taken.b - _left(taken, u)).u
        taken, reached, _ = relinearised(robust, taken, top, filling.lower)
        if not np.array_equal(reached, top):
            break
        if robust.excess(taken, top).max(initial=-1.0) <= SECURE:
            return taken, top
    return packing, u


def _before_collapse(
    search: WorstPointSearch, lower: FloatArray, u: FloatArray, halvings: int
) -> tuple[PackingRows, FloatArray]:
    """Return the rows nearest their limits in the largest smaller box that a search can solve."""
    robust, low, high = search.robust, 0.0, 1.0
    found, best = robust.no_rows(), lower
    for _ in range(halvings):
        part = 0.5 * (low + high)
        box = lower + part * (u - lower)
        try:
            found, best = search.find_new_worst_points(robust.no_rows(), box, near=1.0), box
            low = part
        except PowerFlowError:
            high = part
    return found, best


def _risen(
    robust: RobustRows, filling: Filling, packing: PackingRows, found: PackingRows
) -> tuple[PackingRows, FloatArray, IndexArray]:
    """Raise the common level until rows stop every limit; return rows, limits and bottlenecks.

    Rows are taken at the points of those ``found``, too, at every level: in a smaller box they may
    climb to another point, and would be forgotten where they come back.
    """
    bottleneck = np.full(len(filling.lower), CAPACITY, dtype=np.int64)
    open_, held, level = filling.upper > filling.lower, filling.lower.copy(), 0.0
    while open_.any():
        course = _Course(filling, open_, held)
        top = float(_levels(filling, filling.upper)[open_].max())
        stop = _highest_level(robust, (packing, found), course, level, top)
        packing, level, held = stop.packing, stop.level, course.at(stop.level)
        blocked = np.zeros(len(held), dtype=bool)
        for k in np.argsort(robust.excess(stop.refuting, held), kind="stable"):
            mine = open_ & _takes_part(stop.refuting.take(np.array([k])))[0]
            bottleneck[mine], blocked = stop.refuting.rows[k], blocked | mine
        if filling.group is not None:
            together = open_ & np.isin(filling.group, filling.group[blocked])
            bottleneck[together & ~blocked] = stop.refuting.rows[:1]
            blocked = together
        done = open_ & (held >= filling.upper)
        bottleneck[done & ~blocked] = CAPACITY
        if not (blocked | done).any():  # beyond, the power flow has no solution
            bottleneck[open_] = packing.rows[robust.excess(packing, held).argmax()]
            break
        open_ = open_ & ~(blocked | done)
    return packing, held, bottleneck


def _highest_level(
    robust: RobustRows,
    rows: tuple[PackingRows, PackingRows],
    course: _Course,
    low: float,
    top: float,
) -> _Stop:
    """Return the highest level between ``low``, which is secure, and ``top``.

    The second ``rows`` are taken anew at every level, from their own points.
    """
    packing, found = rows
    lower, high, confirmed = course.filling.lower, np.inf, False
    none, begin = robust.no_rows(), low
    refuting = none
    for _ in range(_TRIALS):
        room = _ROOM * robust.limits.scale[packing.rows]
        level = min(course.level_under(packing, room, begin), top)
        if not low < level < high:
            level = 0.5 * (low + min(high, top))
        u = course.at(level)
        packing, reached, _ = relinearised(robust, PackingRows.joined([packing, found]), u, lower)
        if not np.array_equal(reached, u):  # no power flow solution, or none of a gradient
            high, refuting = level, none
        else:
            excess = robust.excess(packing, u)
            if excess.max(initial=-np.inf) <= SECURE:
                low, confirmed = level, True
                if level >= top:
                    return _Stop(top, packing, none)
                full = (excess > -_FULL) & _takes_part(packing)[:, course.open_].any(axis=1)
                if full.any():
                    return _Stop(level, packing, packing.take(full))
            else:
                high, confirmed = level, False
                refuting = packing.take(excess > SECURE)
        if high - low <= _CLOSED * top:
            break
    if not confirmed:
        packing, _, _ = relinearised(robust, packing, course.at(low), lower)
    return _Stop(low, packing, refuting)


def _at_level(filling: Filling, level: float) -> FloatArray:
    rising: FloatArray = np.clip(
        filling.offset + filling.weight * level, filling.lower, filling.upper
    )
    return rising


def _levels(filling: Filling, u: FloatArray) -> FloatArray:
    """Return the level that each limit has reached, shape (2 c,)."""
    levels: FloatArray = (u - filling.offset) / filling.weight
    return levels


def _takes_part(rows: PackingRows) -> BoolArray:
    """Return which limits take part in each row, shape (r, 2 c).

    A customer inside its range at the worst point does not reach its limits there: what is left of
    its gradient is the ascent's tolerance.
    """
    share, A = rows.points.share, rows.A
    reached = np.hstack([share > 1.0 - _AT_END, share < _AT_END])
    part: BoolArray = reached & (PARTICIPATES * A.max(axis=1, keepdims=True, initial=0.0) < A)
    return part


def _acting(rows: PackingRows) -> FloatArray:
    """Return the coefficients of the limits that take part, zero for all others."""
    return np.where(_takes_part(rows), rows.A, 0.0)


def _left(rows: PackingRows, u: FloatArray) -> FloatArray:
    """Return what the coefficients left out by :func:`_acting` use at u, shape (r,)."""
    left: FloatArray = (rows.A - _acting(rows)) @ u
    return left


def largest_gap(robust: RobustRows, filling: Filling, known: PackingRows, u: FloatArray) -> float:
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

    Returns
    -------
    float
        0 where the limits are max-min, but for linear rows' rounding.
    """
    levels = _levels(filling, u)
    rises = u < filling.upper - _SAME * np.abs(filling.upper)
    full = known.take(robust.excess(known, u) > -_FULL)
    power, part = full.points.power(u), _takes_part(full)
    gap = 0.0
    for level in _distinct(levels[rises]):
        members = rises & (np.abs(levels - level) <= _SAME * abs(level))
        box = np.minimum(u, np.maximum(_at_level(filling, level), u * members))
        injection, withdrawal = halves(box)
        slack = _SAME * box.max(initial=0.0)
        inside = ((power <= injection + slack) & (-power <= withdrawal + slack)).all(axis=1)
        left = members & ~_together(filling, part[inside].any(axis=0))
        if left.any():
            gap = max(gap, _gap_in_box(robust, filling, known, u, box, left))
    return gap


def _together(filling: Filling, stopped: BoolArray) -> BoolArray:
    """Return the limits that stop where others do: all of a group, if there are groups."""
    if filling.group is None:
        return stopped
    return np.isin(filling.group, filling.group[stopped])


def _distinct(levels: FloatArray) -> list[float]:
    """Return levels that differ, in order."""
    found: list[float] = []
    for level in np.sort(levels).tolist():
        if not found or level - found[-1] > _SAME * abs(level):
            found.append(level)
    return found


def _gap_in_box(
    robust: RobustRows,
    filling: Filling,
    known: PackingRows,
    u: FloatArray,
    box: FloatArray,
    left: BoolArray,
) -> float:
    """Return the largest part by which one of the limits ``left`` may rise in a smaller box."""
    injection, withdrawal = halves(box)
    power = np.clip(known.points.power(u), -withdrawal, injection)
    width = np.maximum(injection + withdrawal, 1e-300)
    start = WorstPoints(np.clip((power + withdrawal) / width, 0.0, 1.0), known.points.free)
    rows, values = robust.worst(known.rows, start, box)
    room = np.maximum(-robust.violation(rows.rows, values), 0.0)
    part = _takes_part(rows)
    stopped = _together(filling, part[room <= _FULL].any(axis=0))
    rise = np.full(len(u), np.inf)
    for k in range(len(rows.rows)):
        mine = part[k]
        rise[mine] = np.minimum(
            rise[mine], room[k] * robust.limits.scale[rows.rows[k]] / rows.A[k, mine]
        )
    rise = np.minimum(rise, filling.upper - box)
    size = np.maximum(box, _SAME * filling.upper.max(initial=0.0))
    parts = (rise / size)[left & ~stopped]
    gap = float(parts.max(initial=0.0))
    return gap if gap > _SAME else 0.0
