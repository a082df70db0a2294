"""The security check of a linear network: its rows are exact, so they are the verdict."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np

from doe_allocation.allocation.linear.flow_rows import NOTHING, FlowRows
from security_check.arrays import IntArray
from security_check.checking.linear_rows import LinearRows
from security_check.checking.verdict import Explanation, LimitChange, Verdict, changed_limits
from security_check.errors import InsecureError
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.verification.monotonicity import ProofStatus

# Watts: a quantity this close below a whole watt is one; differences of factors are rounded.
_WHOLE_W = 1e-6


class LinearCheck:
    """The envelopes in force in one interval, and the changes of them that are secure.

    Parameters
    ----------
    connection_points
        Ids; c of them.
    rows
        The rows of the network under the interval's limits.
    limits_w
        Shape (2 c,), integer watts, injection first: the envelopes in force.
    bottlenecks
        Names of the 2 c limits' bottlenecks, until the next trade; read from the rows where not
        given.
    fairness_gap
        Of :class:`~security_check.model.envelope.EnvelopeSet`, until the next trade.

    Raises
    ------
    InsecureError
        When a flow would exceed its limit at a point of the envelopes; names branch, flow and
        limit.
    """

    def __init__(
        self,
        connection_points: tuple[str, ...],
        rows: FlowRows,
        limits_w: IntArray,
        bottlenecks: Sequence[str] = (),
        fairness_gap: float | None = None,
    ) -> None:
        self._points, self._rows = connection_points, rows
        self._index = {point: i for i, point in enumerate(connection_points)}
        self._bottlenecks, self._fairness_gap = tuple(bottlenecks), fairness_gap
        self._take(np.array(limits_w, dtype=np.int64), rows.verdict(limits_w))
        self._refuse(self.verdict, self._limits_w)

    def _take(self, limits_w: IntArray, verdict: Verdict) -> None:
        self._limits_w, self.verdict = limits_w, verdict
        self._headroom_w = self._rows.headroom_w(limits_w)

    def _refuse(self, verdict: Verdict, limits_w: IntArray) -> None:
        if not verdict.secure:
            violations = self._rows.violations(limits_w)
            raise InsecureError(verdict.element, str(verdict), verdict.loading - 1.0, violations)

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self._points

    @property
    def limits_w(self) -> IntArray:
        """The envelopes in force, shape (2 c,), watts, injection first; a copy."""
        return self._limits_w.copy()

    def linear_rows(self) -> LinearRows:
        """Return all rows, with their headrooms in watts."""
        rows = self._rows
        return LinearRows.of_one(rows.A, self._headroom_w, 1.0, rows.elements.__getitem__)

    def _column(self, direction: Direction, point: str) -> int:
        return self._index[point] + (0 if direction is Direction.INJECTION else len(self._points))

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        """Return how much of a transfer is secure, at most ``wanted_w``, and what binds if less."""
        A = self._rows.A
        change = A[:, self._column(direction, buyer)] - A[:, self._column(direction, seller)]
        loads = np.flatnonzero(change > NOTHING)
        room = np.maximum(self._headroom_w[loads], 0.0) / change[loads]
        largest = int(room.min(initial=float(wanted_w)) + _WHOLE_W)
        if largest >= wanted_w:
            return wanted_w, ""
        return largest, self._rows.elements[int(loads[room.argmin()])]

    def confirm(self, changes: Sequence[LimitChange]) -> Verdict:
        """Return the verdict on the envelopes after a joint change; changes no limit.

        Raises
        ------
        ValueError
            When a limit would become negative; names it.
        """
        return self._rows.verdict(changed_limits(self._limits_w, changes, self._column))

    def commit(self, changes: Sequence[LimitChange]) -> None:
        """Put a change into force.

        Raises
        ------
        InsecureError
            When it is not secure; nothing has changed then.
        """
        limits_w = changed_limits(self._limits_w, changes, self._column)
        verdict = self._rows.verdict(limits_w)
        self._refuse(verdict, limits_w)
        self._bottlenecks, self._fairness_gap = (), None
        self._take(limits_w, verdict)

    def explain(self, element: str) -> str:
        """Return a sentence on the worst flow of an element and the powers there.

        Empty where the network has no such element.
        """
        own = np.flatnonzero([each == element for each in self._rows.elements])
        return self._rows.verdict(self._limits_w, own).worst_case if len(own) else ""

    def explanations(self) -> list[Explanation]:
        """Return the worst case of each element at its limit, the fullest first."""
        parts = self._headroom_w / self._rows.scale_w
        full = np.flatnonzero(self._rows.full(self._headroom_w))
        proved = str(ProofStatus.PROVED)
        return [
            self._rows.explanation(int(row), self._limits_w, proved)
            for row in full[np.argsort(parts[full], kind="stable")]
        ]

    def envelopes(self) -> EnvelopeSet:
        """Return the envelopes in force, each limit with its bottleneck."""
        names = self._bottlenecks or self._nearest()
        injection, withdrawal = np.split(self._limits_w, 2)
        count = len(self._points)
        return EnvelopeSet(
            self._points, injection, withdrawal, names[:count], names[count:], self._fairness_gap
        )

    def _nearest(self) -> tuple[str, ...]:
        """Return for each limit the element without room for a watt more of it; else empty."""
        names = []
        for column in self._rows.A.T:
            tight = np.flatnonzero((column > 0.0) & (self._headroom_w < column))
            first = self._headroom_w[tight] / column[tight]
            names.append(self._rows.elements[int(tight[first.argmin()])] if len(tight) else "")
        return tuple(names)

    def with_bottlenecks(self, names: Sequence[str]) -> Self:
        """Return a copy whose 2 c limits have these bottlenecks until the next trade."""
        other = self.copy()
        other._bottlenecks = tuple(names)
        return other

    def copy(self) -> Self:
        """Return an independent copy, to try a sequence of changes on."""
        return copy.copy(self)  # arrays are replaced, never changed in place
