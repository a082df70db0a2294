"""The security check of trades: headroom, largest secure quantity, verdict, commit.

The envelopes in force are a box of limits.  A trade moves part of one limit to another; linear
rows give the secure quantity in microseconds, and the AC power flow at every row's worst vertex
confirms the new box before a trade exists (docs/adr/0007-track-few-rows.md).
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
    violations,
    worst_case,
)
from security_check.checking.linear_rows import LinearRows
from security_check.checking.secants import secants
from security_check.checking.tracked_rows import RowTracker, TrackedBox
from security_check.checking.verdict import Explanation, LimitChange, Verdict, changed_limits
from security_check.errors import InsecureError
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import WorstPointSearch


@dataclass(frozen=True, slots=True)
class _ConfirmedChange:
    """Changes that were confirmed, and the rows tracked in the box they lead to."""

    changes: tuple[LimitChange, ...]
    tracked: TrackedBox
    verdict: Verdict


class SecurityCheck:
    """The envelopes in force in one interval, and the changes of them that are secure.

    Parameters
    ----------
    search
        The network's rows under the interval's limits, and the search for their worst points;
        c connection points.
    limits_w
        Shape (2 c,), integer watts, injection first: the envelopes in force.
    known
        The rows near their limits, at all their worst points, from the search in a secure box that
        contains these envelopes.  Where not given, they are searched here.
    bottlenecks
        Names of the 2 c limits' bottlenecks; computed from the rows where not given.
    fairness_gap
        Of :class:`~security_check.model.envelope.EnvelopeSet`, until the next trade.

    Raises
    ------
    InsecureError
        When the AC power flow does not confirm the envelopes; names the elements.
    PowerFlowError
        When a power flow does not converge.
    """

    def __init__(
        self,
        search: WorstPointSearch,
        limits_w: IntArray,
        known: PackingRows | None = None,
        bottlenecks: Sequence[str] = (),
        fairness_gap: float | None = None,
    ) -> None:
        self._robust = search.robust
        network = search.robust.monitors.power_flow.network
        self._base_w = network.base_power_w
        self._points = network.connection_points
        self._index = {point: i for i, point in enumerate(self._points)}
        self._bottlenecks = tuple(bottlenecks)
        self._fairness_gap = fairness_gap
        self._limits_w = np.array(limits_w, dtype=np.int64)
        self._confirmed: _ConfirmedChange | None = None
        self._u = self._limits_w / self._base_w
        self._tracker = RowTracker(search)
        if known is None:
            self._adopt(self._tracker.first(self._u))
        else:
            self._adopt(self._tracker.within(known, self._u))
        self.verdict = verdict_of(self._robust, self.rows, self._u)
        if not self.verdict.secure:
            raise InsecureError(
                self.verdict.element,
                str(self.verdict),
                self.verdict.loading - 1.0,
                violations(self._robust, self.rows, self._u),
            )

    def _adopt(self, tracked: TrackedBox) -> None:
        """Take over the tracked rows; they may be exact in another box than the one in force."""
        near = tracked.near
        self._tracked = tracked
        self._explained: dict[str, str] = {}
        A, self._headroom = near.A, near.b - near.A @ self._u
        if (self._headroom < 0.0).any() and not np.array_equal(tracked.u, self._u):
            A, self._headroom = secants(self._robust, near, self._u, tracked.u)
        self._columns = np.asfortranarray(A)

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self._points

    @property
    def rows(self) -> PackingRows:
        """The linear rows near their limits."""
        return self._tracked.near

    @property
    def headroom(self) -> FloatArray:
        """Unused part of each linear row, per unit of its quantity, shape (r,)."""
        return self._headroom

    def linear_rows(self) -> LinearRows:
        """Return the linear rows near their limits with their headrooms, for joint changes."""
        near = self.rows
        return LinearRows.of_one(
            self._columns,
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
        """The robust rows that the envelopes must keep."""
        return self._robust

    def _column(self, direction: Direction, point: str) -> int:
        offset = 0 if direction is Direction.INJECTION else len(self._points)
        return self._index[point] + offset

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        """Return the quantity of a transfer that the linear rows allow, and the binding element.

        Row k changes by ``(A_kb - A_ka) q``, so the largest q is ``min_k headroom_k /
        (A_kb - A_ka)^+``; exact for linear rows, microseconds.

        Parameters
        ----------
        direction
            The limit that is traded.
        seller, buyer
            Connection points; the seller's limit falls, the buyer's rises.
        wanted_w
            The quantity asked for, watts.

        Returns
        -------
        quantity_w
            At most ``wanted_w``; 0 when nothing is secure.
        element
            The binding element, or ``""`` where the whole quantity is secure.
        """
        sold = self._columns[:, self._column(direction, seller)]
        return self._room(self._columns[:, self._column(direction, buyer)] - sold, wanted_w)

    def largest_rise_w(self, direction: Direction, buyer: str, wanted_w: int) -> tuple[int, str]:
        """Return the secure rise of one limit alone, as :meth:`largest_secure_w` does."""
        return self._room(self._columns[:, self._column(direction, buyer)], wanted_w)

    def _room(self, change: FloatArray, wanted_w: int) -> tuple[int, str]:
        """Return the quantity of a change, each row's per unit of power, within the headroom."""
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
        """Return the AC power flow's verdict on the envelopes after a joint change.

        The envelopes in force do not change.  Where the verdict is not secure, the linear rows are
        corrected, so that :meth:`largest_secure_w` returns less afterwards.

        Raises
        ------
        PowerFlowError
            When a power flow does not converge.
        ValueError
            When a limit would become negative; names it.
        """
        u = changed_limits(self._limits_w, changes, self._column) / self._base_w
        tracked = self._tracker.look(self._tracked, u)
        verdict = verdict_of(self._robust, tracked.near, u)
        if verdict.secure:
            self._confirmed = _ConfirmedChange(tuple(changes), tracked, verdict)
        else:
            self._adopt(tracked)
        return verdict

    def commit(self, changes: Sequence[LimitChange]) -> None:
        """Put a change into force that was just confirmed.

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
        self._limits_w = changed_limits(self._limits_w, changes, self._column)
        self._u = self._limits_w / self._base_w
        self._bottlenecks, self._fairness_gap = (), None
        self.verdict = self._confirmed.verdict
        self._adopt(self._confirmed.tracked)
        self._confirmed = None

    def explain(self, element: str) -> str:
        """Return a sentence on the worst case of an element near its limit.

        Its value, its limit and the powers there; empty where it is not near.
        """
        if element not in self._explained:
            self._explained[element] = worst_case(self._robust, self.rows, self._u, element)
        return self._explained[element]

    def explanations(self) -> list[Explanation]:
        """Return, for each element at its limit, its worst value and vertex.

        See :func:`security_check.checking.explanations.explanations`.
        """
        return explanations(self._robust, self.rows, self._u)

    def envelopes(self) -> EnvelopeSet:
        """Return the envelopes in force, each limit with its bottleneck."""
        names = self._bottlenecks or nearest_elements(self._robust, self.rows, self._u)
        injection, withdrawal = np.split(self._limits_w, 2)
        count = len(self._points)
        return EnvelopeSet(
            self._points,
            injection,
            withdrawal,
            names[:count],
            names[count:],
            self._fairness_gap,
        )

    def with_bottlenecks(self, names: Sequence[str]) -> Self:
        """Return a copy whose 2 c limits have these bottlenecks until the next trade."""
        other = self.copy()
        other._bottlenecks = tuple(names)
        return other

    def copy(self) -> Self:
        """Return an independent copy, to try a sequence of changes on."""
        # Rows, points and limits are never changed in place, so sharing them is safe.  Changed in
        # place are the voltages that power flows start from (WatchedRows) and the second
        # derivatives that direct an ascent (Ascent).  Results depend on these within the tolerance
        # of power flow and ascent only.
        return copy.copy(self)

    def check_invariants(self) -> None:
        """Check that every limited row is tracked or surveyed, and that the linear rows are exact.

        Raises
        ------
        AssertionError
            Names the element.
        """
        self._tracked.check_invariants(self._robust)
        count = len(self.rows.rows)
        assert self._headroom.shape == (count,), "headroom and rows are of different states"
        assert np.array_equal(self._u, self._limits_w / self._base_w), "two boxes are in force"
