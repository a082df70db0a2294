"""Which rows a check follows, and why nobody need follow the others: one owner of both.

In every box of envelopes that a :class:`RowTracker` has looked at, each limited row is

- *followed*: the AC power flow was run at the points at which it was found worst, and its
  gradients say that these still are, unless a bound says that it cannot exceed its limit; or
- *kept from its limit by the survey*: its largest value known where all rows were last looked
  at, plus all that it can have moved since, is below its limit.

Rows are followed as long as the check lives.  :meth:`TrackedBox.check_invariants` tells of any
state whether this holds.

What it proves, and what it does not.  By how much a row can have moved between two boxes is a
rigorous bound, and so is what the survey says of rows that no power flow was run for.  The rest
starts from the largest value *found*: rows within ``_CLIMBED`` of their limits are climbed to
points that gradients confirm, which are local maxima and mostly the global one; those farther
away are seen at the vertices that their sensitivities without load point to.  So a row can be
missed only where its true maximum lies above all that was found of it by more than what then
keeps it from its limit: another local maximum that no climb from these vertices reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.checking.survey import Survey, SurveyedRows
from security_check.worst_case.ascent import REFINED
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import WorstPointSearch
from security_check.worst_case.watched_rows import WatchedRows, prove, twofold

CRITICAL = 2e-3
"""Part of a row's scale: rows closer to their limits have their worst points proved anew."""

NEAR = 0.06
"""Part of a row's scale: all rows closer to their limits are followed; farther ones, only some."""

_FAR = 0.10  # where every look searches anew, rows farther than this are no longer followed
_CLIMBED = 0.15  # rows closer than this are climbed to their worst points when all are looked at
_NEW = 1e-7  # part of its scale by which a row must be worse to count as another
_EXACT = 1e-8  # per unit of f: what a followed row may be off, by the tolerance of power flows


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """A box of envelopes that was looked at; R rows, c connection points.

    Parameters
    ----------
    u
        Shape (2 c,), the box, per unit.
    near
        The rows that are followed, exact at u.
    watch
        The same rows at their points and the opposite ones.
    most
        Shape (r,), per unit of f: what each row followed reaches at most, from the value at
        which its gradients last confirmed it and all that it can have moved since.
    survey
        What all rows can reach elsewhere; ``None`` where the next look examines all of them anew.
    """

    u: FloatArray
    near: PackingRows
    watch: WatchedRows
    most: FloatArray
    survey: Survey | None

    def check_invariants(self, robust: RobustRows) -> None:
        """Check that every limited row is followed or kept from its limit by the survey.

        Raises
        ------
        AssertionError
            With the element that nobody watches, or that is followed with a wrong value.
        """
        near, u = self.near, self.u
        assert (near.A >= 0).all(), "a packing row has a negative coefficient"
        if len(near.rows):
            value = robust.problem.evaluate(near.rows, near.points, u)[0]
            short = value - robust.values(near, u)
            k = int(short.argmax())
            assert short[k] <= _EXACT, f"{robust.element(near.rows[k])} is followed {short[k]} low"
        if self.survey is None:
            return
        elsewhere = robust.violation(near.rows, self.most) > np.maximum(robust.excess(near, u), 0.0)
        assert not elsewhere.any(), "a row may exceed its limit where it is not followed"
        nowhere = robust.limited[np.isneginf(self.survey.values[robust.limited])]
        unsure = np.concatenate([self.survey.unsure(robust), nowhere])
        unwatched = unsure[~np.isin(unsure, near.rows)]
        names = sorted({robust.element(int(row)) for row in unwatched})
        assert not names, f"watched by nobody, and maybe near their limits: {', '.join(names)}"


class RowTracker:
    """Looks at one box of envelopes after another, at few rows where few can be near.

    Parameters
    ----------
    search
        The network's rows under the interval's limits, and the search for their worst points.
    """

    def __init__(self, search: WorstPointSearch) -> None:
        self._search = search
        self._robust = search.robust
        conditions = search.robust.conditions
        # With power-factor cones the worst side of a customer depends on its two limits, with
        # ranges of reactive power that of a current on all limits, with inverters on all voltages:
        # a trade may move worst points far.
        self._anew = bool(len(conditions.choosers)) or conditions.network.inverters is not None

    def first(self, u: FloatArray) -> TrackedBox:
        """Search all rows in a first box.

        Raises
        ------
        PowerFlowError
            When a power flow does not converge.
        """
        near = self._search.find_new_worst_points(self._robust.no_rows(), u)
        return self.look(self._following(u, near, None), u)

    def within(self, known: PackingRows, u: FloatArray) -> TrackedBox:
        """Take over what a search left of a box that contains this one.

        The worst case over a smaller box is no worse: nothing needs to be run now, and the next
        look is at all rows.
        """
        near = known.take(self._robust.excess(known, u) > -NEAR)
        return self._following(u, near, None)

    def look(self, held: TrackedBox, u: FloatArray) -> TrackedBox:
        """Run the AC power flow of every row that can bind at u, and bring the rows up to date.

        Parameters
        ----------
        held
            What was known of another box.
        u
            Shape (2 c,), per unit.

        Raises
        ------
        PowerFlowError
            When a power flow does not converge.
        """
        robust, near = self._robust, held.near
        if self._anew:
            near = self._searched(near, u)
            return self._following(u, near.take(robust.excess(near, u) > -_FAR), held)
        most, survey = np.full(len(near.rows), np.inf), held.survey
        if survey is not None:
            step = robust.monitors.drift(robust.conditions, held.u, u, robust.limits)
            most, survey = held.most + step[near.rows], survey.after(step)
        after = self._followed(held, most, u)
        if survey is None or not after.near.stays(near) or len(survey.unsure(robust)):
            return self._surveyed(after, u)
        return replace(after, survey=survey)

    def _following(self, u: FloatArray, near: PackingRows, held: TrackedBox | None) -> TrackedBox:
        """Return rows that are exact at u, and at their worst there."""
        if held is not None and near.points is held.near.points:
            watch = held.watch
        else:
            watch = twofold(self._robust.problem, near.rows, near.points)
        return TrackedBox(u, near, watch, self._robust.values(near, u), None)

    def _searched(self, near: PackingRows, u: FloatArray) -> PackingRows:
        """Climb the rows near their limits anew, and look for more."""
        known, _ = self._robust.worst(near.rows, near.points, u)
        known = known.take(known.distinct(u))
        return PackingRows.joined([known, self._search.find_new_worst_points(known, u, near=NEAR)])

    def _surveyed(self, held: TrackedBox, u: FloatArray) -> TrackedBox:
        """Look at all rows that the rigorous bound does not keep far from their limits.

        Those within ``_CLIMBED`` of their limits are climbed from where they are looked at, and
        those then near are followed.  A row that is followed already counts again where it is
        worse.
        """
        robust, near = self._robust, held.near
        bounds = robust.monitors.bounds(robust.conditions, u, robust.limits)
        seen = self._seen(bounds, u)
        known = np.full(len(robust.monitors), -np.inf)
        np.maximum.at(known, near.rows, robust.values(near, u))
        climbing = robust.violation(seen.rows, seen.values) > -_CLIMBED
        climbing &= seen.values > known[seen.rows] + _NEW * robust.limits.scale[seen.rows]
        climbed, _ = robust.worst(seen.rows[climbing], seen.points.take(climbing), u)
        values = robust.values(climbed, u)
        fresh = robust.violation(climbed.rows, values) > -NEAR
        if fresh.any():
            added = climbed.take(fresh)
            joined = PackingRows.joined([near, added.take(added.distinct_anywhere())])
            most = np.concatenate([held.most, robust.values(joined, u)[len(near.rows) :]])
            held = replace(self._following(u, joined, None), most=most)
        seen = seen.and_of(climbed.take(~fresh), values[~fresh])
        return replace(held, survey=Survey.of(bounds, seen, held.near))

    def _seen(self, bounds: FloatArray, u: FloatArray) -> SurveyedRows:
        """Look at the rows that the bounds, shape (R,), do not keep far from their limits."""
        robust, starts = self._robust, self._search.starts
        rows = starts.watch.rows[starts.lookouts]
        open_ = robust.violation(rows, bounds[rows]) > -NEAR
        seen = starts.watch.evaluate(robust.problem, u, starts.lookouts[open_])
        return SurveyedRows(seen.rows, seen.points.take(seen.column), seen.values)

    def _followed(self, held: TrackedBox, most: FloatArray, u: FloatArray) -> TrackedBox:
        """Bring the rows followed up to date, and some of them to their worst points.

        These are the critical ones and those that may exceed their limits elsewhere, since
        ``most``, shape (r,), says so.  Mostly the gradients confirm the points they are at;
        otherwise the rows climb.
        """
        doubtful = self._robust.violation(held.near.rows, most) > 0.0
        near, proved = self._proved(held, doubtful, u)
        if not near.stays(held.near):  # some climbed elsewhere: nothing is taken for granted
            again = self._following(u, near, held)
            near, proved = self._proved(again, np.ones(len(near.rows), dtype=bool), u)
            return self._following(u, near, again)
        after = self._following(u, near, held)
        most[proved] = after.most[proved]
        return replace(after, most=most)

    def _proved(
        self, held: TrackedBox, doubtful: BoolArray, u: FloatArray
    ) -> tuple[PackingRows, IndexArray]:
        """Bring rows up to date, the critical and the doubtful ones to their worst points.

        Returns
        -------
        near
            The rows; at the points where they were, unless some climbed elsewhere.
        proved
            The places of those that were confirmed or climbed.
        """
        robust, near, watch = self._robust, held.near, held.watch
        own, count = np.arange(len(near.rows)), len(near.rows)
        if not count:
            return near, own
        likely = np.flatnonzero(doubtful | (robust.excess(near, u) > -2.0 * CRITICAL))
        seen = watch.evaluate(robust.problem, u, np.concatenate([own, count + likely]))
        values = seen.values[:count]
        excess = robust.violation(near.rows, values)
        proving = np.flatnonzero((excess > -CRITICAL) | doubtful)
        near = replace(near, b=robust.limits.limit[near.rows] - values + near.A @ u)
        if not proving.size:
            return near, proving
        if not np.isin(proving, likely).all():
            likely = proving
            seen = watch.evaluate(robust.problem, u, np.concatenate([own, count + likely]))
        proof = prove(robust.problem, seen, proving, count + np.searchsorted(likely, proving), u)
        small = proof.gain <= REFINED * robust.limits.scale[near.rows[proving]]
        confirmed = small & ~proof.turning
        done, A = proving[confirmed], proof.A[confirmed]
        b = robust.limits.limit[near.rows[done]] - values[done] - proof.gain[confirmed]
        near = near.with_coefficients(done, A, b + A @ u)
        if confirmed.all():
            return near, proving
        return self._climbed(near, proving[~confirmed], u), proving

    def _climbed(self, near: PackingRows, climbing: IndexArray, u: FloatArray) -> PackingRows:
        """Climb rows followed to their worst points, and on from changes of single customers."""
        chosen = near.take(climbing)
        worst, _ = self._robust.worst(chosen.rows, chosen.points, u)
        changed = self._search.try_changes(worst, u)
        near = PackingRows.joined([near.placed(climbing, worst), changed])
        return near.take(near.distinct_anywhere())
