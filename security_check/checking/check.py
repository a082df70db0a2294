"""The security check of trades: headroom, largest secure quantity, verdict, commit.

The envelopes in force are a box of limits.  A trade moves part of one limit to another; linear
rows say in microseconds how much would be secure, and the AC power flow at every row's worst
vertex confirms the new box before anything exists (security.md section 5).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from security_check.arrays import FloatArray, IntArray
from security_check.checking.explanations import (
    explanations,
    nearest_elements,
    verdict_of,
    worst_case,
)
from security_check.checking.linear_rows import LinearRows
from security_check.checking.tracked_rows import RowTracker, TrackedBox
from security_check.checking.verdict import Explanation, LimitChange, Verdict
from security_check.errors import InsecureError
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import WorstPointSearch


@dataclass(frozen=True, slots=True)
class _ConfirmedChange:
    """Changes that were confirmed, and what is followed in the box they lead to."""

    changes: tuple[LimitChange, ...]
    following: TrackedBox
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
        search: WorstPointSearch,
        limits_w: IntArray,
        known: PackingRows | None = None,
        bottlenecks: Sequence[str] = (),
    ) -> None:
        self._robust = search.robust
        network = search.robust.monitors.power_flow.network
        self._base_w = network.base_power_w
        self._points = network.connection_points
        self._index = {point: i for i, point in enumerate(self._points)}
        self._bottlenecks = tuple(bottlenecks)
        self._limits_w = np.array(limits_w, dtype=np.int64)
        self._confirmed: _ConfirmedChange | None = None
        self._u = self._limits_w / self._base_w
        self._follower = RowTracker(search)
        if known is None:
            self._follow(self._follower.first(self._u))
        else:
            self._follow(self._follower.within(known, self._u))
        self.verdict = verdict_of(self._robust, self.rows, self._u)
        if not self.verdict.secure:
            raise InsecureError(self.verdict.element, str(self.verdict), self.verdict.loading - 1.0)

    def _follow(self, following: TrackedBox) -> None:
        """Take up the rows that are followed; they may be exact in another box than in force."""
        near = following.near
        self._following = following
        self._explained: dict[str, str] = {}
        self._columns = np.asfortranarray(near.A)
        self._headroom: FloatArray = near.b - near.A @ self._u

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self._points

    @property
    def rows(self) -> PackingRows:
        """The linear rows near their limits."""
        return self._following.near

    @property
    def headroom(self) -> FloatArray:
        """Unused part of each linear row, per unit of its quantity, shape (r,)."""
        return self._headroom

    def linear_rows(self) -> LinearRows:
        """Return the linear rows near their limits with their headrooms, for joint changes."""
        near = self.rows
        return LinearRows.of_one(
            near.A,
            self._headroom,
            self._base_w,
            lambda k: self._robust.element(int(near.rows[k])),
        )

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
        return largest, self._robust.element(int(self.rows.rows[loads[tightest]]))

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
        u = self._changed(changes) / self._base_w
        following = self._follower.look(self._following, u)
        verdict = verdict_of(self._robust, following.near, u)
        if verdict.secure:
            self._confirmed = _ConfirmedChange(tuple(changes), following, verdict)
        else:
            self._follow(following)
        return verdict

    def commit(self, changes: Sequence[LimitChange]) -> None:
        """Put into force a change that was just confirmed.

        Raises
        ------
        InsecureError
            When the change was not confirmed before and is not secure now.
        """
        if self._confirmed is None or self._confirmed.changes != tuple(changes):
            verdict = self.confirm(changes)
            if not verdict.secure:
                raise InsecureError(verdict.element, str(verdict))
        assert self._confirmed is not None
        self._limits_w = self._changed(changes)
        self._u = self._limits_w / self._base_w
        self._bottlenecks = ()
        self.verdict = self._confirmed.verdict
        self._follow(self._confirmed.following)
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

    def explain(self, element: str) -> str:
        """Return a sentence on the worst that can happen at an element near its limit.

        What it reaches, of what limit, and who does what then; empty where it is not near.
        """
        if element not in self._explained:
            self._explained[element] = worst_case(self._robust, self.rows, self._u, element)
        return self._explained[element]

    def explanations(self) -> list[Explanation]:
        """Return, for each element at its limit, what it reaches and at which vertex.

        See :func:`security_check.checking.explanations.explanations`.
        """
        return explanations(self._robust, self.rows, self._u)

    def envelopes(self) -> EnvelopeSet:
        """Return the envelopes in force, each limit with its bottleneck."""
        names = self._bottlenecks or nearest_elements(self._robust, self.rows, self._u)
        injection, withdrawal = np.split(self._limits_w, 2)
        count = len(self._points)
        return EnvelopeSet(self._points, injection, withdrawal, names[:count], names[count:])

    def with_bottlenecks(self, names: Sequence[str]) -> Self:
        """Return a copy whose 2 c limits have these bottlenecks, until something is traded."""
        other = self.copy()
        other._bottlenecks = tuple(names)
        return other

    def copy(self) -> Self:
        """Return an independent copy, to try a sequence of changes on."""
        # Rows, points and limits are never changed in place, so sharing them is safe.  What is
        # changed in place are the voltages that power flows start from, and the second derivatives
        # that direct an ascent (Watch, Ascent): hints, which the result depends on within the
        # tolerance of power flow and ascent only.
        return copy.copy(self)

    def check_invariants(self) -> None:
        """Check that no limited row is watched by nobody, and that linear rows hold what they say.

        Raises
        ------
        AssertionError
            With the element.
        """
        self._following.check_invariants(self._robust)
        count = len(self.rows.rows)
        assert self._headroom.shape == (count,), "headroom and rows are of different states"
        assert np.array_equal(self._u, self._limits_w / self._base_w), "two boxes are in force"
