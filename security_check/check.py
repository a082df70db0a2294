"""The security check of trades: headroom, largest secure quantity, verdict, commit.

The envelopes in force are a box of limits.  A trade moves part of one limit to another; linear
rows say in microseconds how much would be secure, and the AC power flow at every row's worst
vertex confirms the new box before anything exists (security.md section 5).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from security_check.ascent import REFINED
from security_check.envelope import Direction, EnvelopeSet, IntArray
from security_check.errors import InsecureError
from security_check.network import FloatArray
from security_check.packing import PackingRows
from security_check.robust_rows import SECURE, RobustRows
from security_check.search import Search
from security_check.survey import Survey
from security_check.verdict import Explanation, LimitChange, Verdict
from security_check.watch import prove, twofold
from security_check.worst_points import WorstPoints

_NEAR = 0.06  # rows closer to their limits than this part of their scale have linear rows
_FAR = 0.10  # where every check searches anew, rows farther than this lose them again
_NEW = 1e-7  # part of its scale by which a row must be worse to count as another
_CRITICAL = 2e-3  # rows closer than this have their worst points proved anew at every check


@dataclass(frozen=True, slots=True)
class _Examined:
    """A box of limits after the AC power flow of all rows that can bind there."""

    u: FloatArray
    near: PackingRows
    survey: Survey | None
    verdict: Verdict


class SecurityCheck:
    """The envelopes in force in one interval, and what may change about them.

    Parameters
    ----------
    search
        The network's rows under the interval's limits, and the search for their worst points;
        c connection points.
    limits_w
        Shape (2 c,), integer watts, injection first: the envelopes in force.
    known
        The rows near their limits, at all their worst points: what a search left of a secure
        box that contains these envelopes.  Where not given, the search is made here.
    bottlenecks
        Names of the 2 c limits' bottlenecks; worked out from the rows where not given.

    Raises
    ------
    InsecureError
        When the AC power flow does not confirm the envelopes; names the element.
    PowerFlowError
        When a power flow does not converge.
    """

    def __init__(
        self,
        search: Search,
        limits_w: IntArray,
        known: PackingRows | None = None,
        bottlenecks: Sequence[str] = (),
    ) -> None:
        robust = search.robust
        network = robust.monitors.power_flow.network
        self._search = search
        self._robust = robust
        self._base_w = network.base_power_w
        self._points = network.connection_points
        self._index = {point: i for i, point in enumerate(self._points)}
        self._bottlenecks = tuple(bottlenecks)
        self._limits_w = np.array(limits_w, dtype=np.int64)
        u = self._limits_w / self._base_w
        self._watched: WorstPoints | None = None
        self._survey: Survey | None = None
        self._confirmed: tuple[tuple[LimitChange, ...], _Examined] | None = None
        if known is None:
            self._near = search.challenge(robust.no_rows(), u)
            self._watch_near()
            examined = self._examine(u)
        else:
            # The worst case over a smaller box is no worse: nothing needs to be run again.
            near = known.take(robust.excess(known, u) > -_NEAR)
            examined = _Examined(u, near, None, self._verdict(near, robust.values(near, u), u))
        if not examined.verdict.secure:
            verdict = examined.verdict
            raise InsecureError(verdict.element, str(verdict), verdict.loading - 1.0)
        self._enter(examined)

    def _enter(self, examined: _Examined) -> None:
        self._u = examined.u
        self._near = examined.near
        self._survey = examined.survey
        self.verdict = examined.verdict
        self._refresh()

    def _refresh(self) -> None:
        self._explained: dict[str, str] = {}
        self._watch_near()
        self._columns = np.asfortranarray(self._near.A)
        self._headroom: FloatArray = self._near.b - self._near.A @ self._u

    def _watch_near(self) -> None:
        if self._near.points is not self._watched:
            ascent = self._robust.ascent
            self._near_watch = twofold(ascent, self._near.rows, self._near.points)
            self._watched = self._near.points

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self._points

    @property
    def rows(self) -> PackingRows:
        """The linear rows near their limits."""
        return self._near

    @property
    def headroom(self) -> FloatArray:
        """Unused part of each linear row, per unit of its quantity, shape (r,)."""
        return self._headroom

    @property
    def limits_w(self) -> IntArray:
        """The envelopes in force, shape (2 c,), watts, injection first; a copy."""
        return self._limits_w.copy()

    @property
    def robust_rows(self) -> RobustRows:
        """What the envelopes are secure against."""
        return self._robust

    def _column(self, direction: Direction, point: str) -> int:
        offset = 0 if direction is Direction.INJECTION else len(self._points)
        return self._index[point] + offset

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        """Return how much of a transfer the linear rows allow, and the element that binds.

        Row k changes by ``(A_kb - A_ka) q``, so the largest q is ``min_k headroom_k /
        (A_kb - A_ka)^+``; exact for linear rows, microseconds.

        Parameters
        ----------
        direction
            Which limit is traded.
        seller, buyer
            Connection points; the seller's limit falls, the buyer's rises.
        wanted_w
            The quantity asked for, watts.

        Returns
        -------
        quantity_w
            At most ``wanted_w``; 0 when nothing is secure.
        element
            The element that binds, or ``""`` where the whole quantity is secure.
        """
        sold = self._columns[:, self._column(direction, seller)]
        return self._room(self._columns[:, self._column(direction, buyer)] - sold, wanted_w)

    def largest_rise_w(self, direction: Direction, buyer: str, wanted_w: int) -> tuple[int, str]:
        """Return by how much one limit may rise alone, as :meth:`largest_secure_w` does."""
        return self._room(self._columns[:, self._column(direction, buyer)], wanted_w)

    def _room(self, change: FloatArray, wanted_w: int) -> tuple[int, str]:
        """Return how much of a change, each row's per unit of power, the headroom allows."""
        loads = np.flatnonzero(change > 0.0)
        if not loads.size:
            return wanted_w, ""
        room = self._headroom[loads] / change[loads]
        tightest = int(room.argmin())
        largest = max(int(np.floor(room[tightest] * self._base_w)), 0)
        if largest >= wanted_w:
            return wanted_w, ""
        return largest, self._robust.element(int(self._near.rows[loads[tightest]]))

    def confirm(self, changes: Sequence[LimitChange]) -> Verdict:
        """Ask the AC power flow whether the envelopes stay secure under a joint change.

        The envelopes in force do not change; where the answer is no, the linear rows have been
        corrected, so that :meth:`largest_secure_w` then says less.

        Raises
        ------
        PowerFlowError
            When a power flow does not converge.
        ValueError
            When a limit would become negative; names it.
        """
        examined = self._examine(self._changed(changes) / self._base_w)
        if examined.verdict.secure:
            self._confirmed = (tuple(changes), examined)
        else:
            self._near = examined.near
            self._survey = examined.survey
            self._refresh()
        return examined.verdict

    def commit(self, changes: Sequence[LimitChange]) -> None:
        """Put into force a change that was just confirmed.

        Raises
        ------
        InsecureError
            When the change was not confirmed before and is not secure now.
        """
        if self._confirmed is None or self._confirmed[0] != tuple(changes):
            verdict = self.confirm(changes)
            if not verdict.secure:
                raise InsecureError(verdict.element, str(verdict))
        assert self._confirmed is not None
        self._limits_w = self._changed(changes)
        self._bottlenecks = ()
        self._enter(self._confirmed[1])
        self._confirmed = None

    def _changed(self, changes: Sequence[LimitChange]) -> IntArray:
        limits = self._limits_w.copy()
        for change in changes:
            column = self._column(change.direction, change.connection_point)
            limits[column] += change.change_w
            if limits[column] < 0:
                raise ValueError(
                    f"{change.connection_point}: a change of {change.change_w} W would make its "
                    f"{change.direction} limit {limits[column]} W"
                )
        return limits

    def _examine(self, u: FloatArray) -> _Examined:
        """Run the AC power flow of every row that can bind at u, and bring the rows up to date.

        Rows that are provably far from their limits need none.  Rows that come near their limits
        get linear rows, critical ones are climbed anew to their worst vertices.
        """
        robust = self._robust
        near, survey = self._near, self._survey
        inverters = robust.monitors.power_flow.network.inverters
        if robust.conditions.has_cones or inverters is not None:
            near = self._searched(near, u)
            near = near.take(robust.excess(near, u) > -_FAR)
        else:
            # Rows once followed stay so: the survey does not count them, nothing else would.
            if len(near.rows):
                near = self._followed(near, u)
            if survey is None or survey.outdated(robust, u):
                near, survey = self._surveyed(near, u)
        return _Examined(u, near, survey, self._verdict(near, robust.values(near, u), u))

    def _searched(self, near: PackingRows, u: FloatArray) -> PackingRows:
        """Climb the rows near their limits anew, and look for more.

        With power-factor cones the worst side of a customer depends on its two limits, with
        inverters on the voltages of all, so that a trade may move worst points far.
        """
        known, _ = self._robust.worst(near.rows, near.points, u)
        known = known.take(known.distinct(u))
        return PackingRows.joined([known, self._search.challenge(known, u, near=_NEAR)])

    def _surveyed(self, near: PackingRows, u: FloatArray) -> tuple[PackingRows, Survey]:
        """Look at all rows that the rigorous bound does not keep far from their limits.

        Those that have come near their limits get linear rows, where they are worst.  A row that
        is near already counts again where it is watched at a point that is worse.
        """
        robust, starts = self._robust, self._search.starts
        bounds = robust.monitors.bounds(robust.conditions, u, robust.limits)
        rows = starts.watch.rows[starts.lookouts]
        open_ = robust.violation(rows, bounds[rows]) > -_NEAR
        seen = starts.watch.evaluate(robust.ascent, u, starts.lookouts[open_])
        known = np.full(len(robust.monitors), -np.inf)
        np.maximum.at(known, near.rows, robust.values(near, u))
        fresh = (robust.violation(seen.rows, seen.values) > -_NEAR) & (
            seen.values > known[seen.rows] + _NEW * robust.limits.scale[seen.rows]
        )
        if fresh.any():
            points = seen.points.take(seen.place[fresh])
            near = PackingRows.joined([near, robust.worst(seen.rows[fresh], points, u)[0]])
        return near, Survey.of(bounds, seen, near, u)

    def _followed(self, near: PackingRows, u: FloatArray) -> PackingRows:
        """Bring rows near their limits up to date, and critical ones to their worst points.

        Mostly the gradients confirm the points they are at; otherwise the rows climb.
        """
        robust, watch, count = self._robust, self._near_watch, len(near.rows)
        own = np.arange(count)
        likely = np.flatnonzero(robust.excess(near, u) > -2.0 * _CRITICAL)
        seen = watch.evaluate(robust.ascent, u, np.concatenate([own, count + likely]))
        values = seen.values[:count]
        critical = np.flatnonzero(robust.violation(near.rows, values) > -_CRITICAL)
        near = replace(near, b=robust.limits.limit[near.rows] - values + near.A @ u)
        if not critical.size:
            return near
        if not np.isin(critical, likely).all():
            likely = critical
            seen = watch.evaluate(robust.ascent, u, np.concatenate([own, count + likely]))
        proof = prove(robust.ascent, seen, critical, count + np.searchsorted(likely, critical), u)
        chosen = near.take(critical)
        small = proof.gain <= REFINED * robust.limits.scale[chosen.rows]
        if small.all() and not proof.turning.any():
            b = robust.limits.limit[chosen.rows] - values[critical] - proof.gain + proof.A @ u
            return near.with_coefficients(critical, proof.A, b)
        worst, _ = robust.worst(chosen.rows, chosen.points, u)
        changed = self._search.try_changes(worst, u)
        near = PackingRows.joined([near.placed(critical, worst), changed])
        return near.take(near.distinct(u))

    def _verdict(self, near: PackingRows, values: FloatArray, u: FloatArray) -> Verdict:
        if not len(values):
            return Verdict(True, "", 0.0, 0.0, "", 0.0)
        excess = self._robust.violation(near.rows, values)
        worst = int(excess.argmax())
        row = int(near.rows[worst])
        value, limit, unit = self._robust.monitors.describe(
            row, float(values[worst]), self._robust.limits
        )
        return Verdict(
            secure=bool(excess[worst] <= SECURE),
            element=self._robust.element(row),
            value=value,
            limit=limit,
            unit=unit,
            loading=1.0 + float(excess[worst]),
            circumstances=self._circumstances(near, worst, u),
            nominal_v=self._robust.nominal_v(row),
        )

    def _circumstances(self, near: PackingRows, k: int, u: FloatArray) -> str:
        point = near.points.take(np.array([k]))
        return str(self._robust.conditions.situation(point, u))

    def explain(self, element: str) -> str:
        """Return a sentence on the worst that can happen at an element near its limit.

        What it reaches, of what limit, and who does what then; empty where it is not near.
        """
        if element not in self._explained:
            mine = np.array([self._robust.element(int(row)) == element for row in self._near.rows])
            near = self._near.take(np.flatnonzero(mine))
            verdict = self._verdict(near, self._robust.values(near, self._u), self._u)
            self._explained[element] = verdict.worst_case if len(near.rows) else ""
        return self._explained[element]

    def explanations(self) -> list[Explanation]:
        """Return, for each element at its limit, what it reaches and at which vertex.

        The fullest first; one vertex for each element and kind of limit (of a current, each way),
        its worst.
        """
        values = self._robust.values(self._near, self._u)
        excess = self._robust.violation(self._near.rows, values)
        found: dict[tuple[str, int], Explanation] = {}
        for k in np.argsort(-excess):
            row = int(self._near.rows[k])
            limit = self._robust.element(row), int(self._robust.monitors.kind[row])
            if excess[k] <= -_CRITICAL or limit in found:
                continue
            one = self._near.take(np.array([k]))
            situation = self._robust.conditions.situation(one.points, self._u)
            verdict = self._verdict(one, values[[k]], self._u)
            found[limit] = Explanation(verdict, situation, row, float(values[k]))
        return list(found.values())

    def envelopes(self) -> EnvelopeSet:
        """Return the envelopes in force, each limit with its bottleneck."""
        names = self._bottlenecks or self._nearest_elements()
        injection, withdrawal = np.split(self._limits_w, 2)
        count = len(self._points)
        return EnvelopeSet(self._points, injection, withdrawal, names[:count], names[count:])

    def _nearest_elements(self) -> tuple[str, ...]:
        """Return, for each limit, the element that would stop it first if it rose alone."""
        if not len(self._near.rows):
            return ("",) * len(self._limits_w)
        room = np.maximum(self._headroom, 0.0)[:, None] / np.maximum(self._near.A, 1e-300)
        first = room.argmin(axis=0)
        reached = self._near.A[first, np.arange(len(first))] > 0
        return tuple(
            self._robust.element(int(self._near.rows[k])) if ok else ""
            for k, ok in zip(first, reached, strict=True)
        )

    def with_bottlenecks(self, names: Sequence[str]) -> Self:
        """Return a copy whose 2 c limits have these bottlenecks, until something is traded."""
        other = self.copy()
        other._bottlenecks = tuple(names)
        return other

    def copy(self) -> Self:
        """Return an independent copy, to try a sequence of changes on."""
        # No method changes an array in place, so sharing them is safe.
        return copy.copy(self)
