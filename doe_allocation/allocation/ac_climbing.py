"""The last stretch for rules that maximise something, where filling does not come to rest.

A linear program chooses vertices, so that where two limits are worth about the same it goes from
one end to the other with every new set of rows, while the best of the AC network lies between.
Then limits climb instead: steps inside a box around secure limits, kept where the AC power flow
confirms them and their value is larger, the box halved where not (sequential linear programming
with a trust region; Fletcher and Sainz de la Maza, 1989).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from doe_allocation.allocation.ac_filling import (
    AcAllocation,
    allocate_ac,
    rows_after_search,
    shrink_until_secure,
)
from doe_allocation.fairness.packing_program import Packing
from doe_allocation.fairness.rule import CAPACITY, FillingRule
from security_check.arrays import FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.search import WorstPointSearch

_STEPS = 60
_CORRECTIONS = 3
_SEARCHES = 6
_WIDEST, _NARROWEST = 0.25, 1e-5  # of the largest capacity: half the box
_MARGIN = 2e-10  # parts of a row's scale: limits end this far inside, so that rounding is secure
_FULL = 1e-4  # parts of a row's scale: a row with less room has stopped those who take part


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
    """Return the limits of a rule, AC-exact: filled, and climbed where filling does not rest.

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
    for rounds in range(_SEARCHES):
        known, u = _climbed_under_known_rows(robust, rule, known, u)
        found = rows_after_search(search, known, u, np.zeros(len(known.rows), dtype=bool))
        missed = found.take(robust.excess(found, u) > SECURE)
        if not len(missed.rows):
            if rule.value(u) <= rule.value(best.u):
                return best
            return AcAllocation(
                u, _bottlenecks(robust, rule, found, u), found, fill.rounds + rounds + 1
            )
        known = PackingRows.joined([known, missed])
        drawn = shrink_until_secure(robust, known, u, rule.lower)
        if drawn is None:
            return best
        known, u = drawn
    return best


def _climbed_under_known_rows(
    robust: RobustRows, rule: ValuedRule, known: PackingRows, u: FloatArray
) -> tuple[PackingRows, FloatArray]:
    """Climb under known rows until the box is too small for steps to matter."""
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
            if gained <= 1e-9 * abs(rule.value(u)):
                half *= 0.5
        else:
            half *= 0.4
    return rows, u


def _step_in_box(
    robust: RobustRows, box: ValuedRule, rows: PackingRows
) -> tuple[PackingRows, FloatArray] | None:
    """Return where the rows let the rule go inside its box, corrected until it is secure there."""
    margin = _MARGIN * robust.limits.scale[rows.rows]
    for _ in range(_CORRECTIONS):
        u = box.filled(rows.A, rows.b - margin).u
        try:
            rows = robust.worst(rows.rows, rows.points, u)[0]
        except PowerFlowError:
            return None
        if robust.excess(rows, u).max(initial=-1.0) <= SECURE:
            return rows, u
    # What is still exceeded is exceeded by little: drawn in towards the box's lower end.
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
