"""Improve the limits of rules that maximise a value, where filling does not converge.

A linear program chooses vertices.  Where two limits are worth about the same, it changes from one
vertex to the other with every new set of rows, while the optimum of the AC network lies between.
Then limits climb instead: steps inside a box around secure limits are kept if the AC power flow
confirms them and their value is larger; otherwise the box shrinks (sequential linear programming
with a trust region; Fletcher and Sainz de la Maza, 1989).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from doe_allocation.allocation.ac_allocation import AcAllocation
from doe_allocation.allocation.ac_filling import allocate_ac
from doe_allocation.allocation.relinearisation import rows_after_search, shrink_until_secure
from doe_allocation.fairness.packing_program import Packing
from doe_allocation.fairness.rule import CAPACITY, FillingRule
from security_check.arrays import FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.search import WorstPointSearch

# Steps under known rows: 11 to 15 of them narrow the box from end to end, the others gain.
_STEPS = 60
# Corrections of a step by rows taken at its end, each a step of Newton's method.
_CORRECTIONS = 3
# Searches for new worst points after a climb; then the best limits confirmed so far stand.
_SEARCHES = 6
# Half the width of the box at first and at the end of climbing, parts of the largest capacity.
_WIDEST, _NARROWEST = 0.25, 1e-5
# Factors of the box after a step without much gain, and after one that was not secure or no gain.
_SLOWER, _REFUSED = 0.5, 0.4
# Parts of the value: a step that gains less hardly matters.
_GAIN = 1e-9
# Parts of a row's scale: limits end this far inside, so that rounding is secure.
_MARGIN = 2e-10
# Parts of a row's scale: a row with less room than this stops the limits that take part in it.
_FULL = 1e-4


@runtime_checkable
class ValuedRule(FillingRule, Protocol):
    """A rule that maximises a value."""

    def value(self, u: FloatArray) -> float:
        """Return the value of limits u, shape (m,)."""

    def within(self, lower: FloatArray, upper: FloatArray) -> ValuedRule:
        """Return the same rule between other bounds."""


def fill_fairly(
    search: WorstPointSearch, rule: FillingRule, near: AcAllocation | None = None
) -> AcAllocation:
    """Return the limits of a rule, AC-exact: filled, and climbed where filling does not converge.

    Raises as :func:`~doe_allocation.allocation.ac_filling.allocate_ac`.
    """
    fill = allocate_ac(search, rule, near)
    if fill.converged or not isinstance(rule, ValuedRule):
        return fill
    return _climbed(search, rule, fill)


def _climbed(search: WorstPointSearch, rule: ValuedRule, fill: AcAllocation) -> AcAllocation:
    """Return secure limits of a larger value than those of ``fill``, or ``fill``."""
    robust, known, u = search.robust, fill.rows, fill.u
    best = fill
    for _ in range(_SEARCHES):
        known, u = _climbed_under_known_rows(robust, rule, known, u)
        found = rows_after_search(search, known, u)
        missed = found.take(robust.excess(found, u) > SECURE)
        if not len(missed.rows):
            if rule.value(u) <= rule.value(best.u):
                return best
            return AcAllocation(u, _bottlenecks(robust, rule, found, u), found, None)
        known = PackingRows.joined([known, missed])
        drawn = shrink_until_secure(robust, known, u, rule.lower)
        if drawn is None:
            return best
        known, u = drawn
    return best


def _climbed_under_known_rows(
    robust: RobustRows, rule: ValuedRule, known: PackingRows, u: FloatArray
) -> tuple[PackingRows, FloatArray]:
    """Climb under known rows until the box is at its narrowest."""
    largest = float(rule.upper.max(initial=0.0))
    half = _WIDEST * largest
    rows = robust.worst(known.rows, known.points, u)[0]
    for _ in range(_STEPS):
        if half < _NARROWEST * largest:
            break
        box = rule.within(np.maximum(rule.lower, u - half), np.minimum(rule.upper, u + half))
        stepped = _step_in_box(robust, box, rows)
        if stepped is not None and rule.value(stepped[1]) > rule.value(u):
            gained = rule.value(stepped[1]) - rule.value(u)
            rows, u = stepped
            if gained <= _GAIN * abs(rule.value(u)):
                half *= _SLOWER
        else:
            half *= _REFUSED
    return rows, u


def _step_in_box(
    robust: RobustRows, box: ValuedRule, rows: PackingRows
) -> tuple[PackingRows, FloatArray] | None:
    """Return rows and limits that the rule chooses inside its box, corrected until secure."""
    margin = _MARGIN * robust.limits.scale[rows.rows]
    for _ in range(_CORRECTIONS):
        u = box.filled(rows.A, rows.b - margin).u
        try:
            rows = robust.worst(rows.rows, rows.points, u)[0]
        except PowerFlowError:
            return None
        if robust.excess(rows, u).max(initial=-1.0) <= SECURE:
            return rows, u
    # Rows are exceeded by little after the corrections: shrink towards the box's lower end.
    drawn = shrink_until_secure(robust, rows, u, box.lower)
    if drawn is None:
        return None
    return robust.worst(rows.rows, rows.points, drawn[1])[0], drawn[1]


def _bottlenecks(
    robust: RobustRows, rule: FillingRule, found: PackingRows, u: FloatArray
) -> IndexArray:
    """Return the monitored row that stops each limit, or ``CAPACITY``; shape (2 c,)."""
    excess = robust.excess(found, u)
    full, weight = found.take(excess > -_FULL), excess[excess > -_FULL] + _FULL
    packing = Packing.of(full.A, full.A @ u, rule.lower, rule.upper)
    place = packing.bottlenecks(u / packing.scale, weight[packing.rows])
    stops = np.full(len(u), CAPACITY, dtype=np.int64)
    stops[place != CAPACITY] = full.rows[place[place != CAPACITY]]
    return stops
