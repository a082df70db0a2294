"""A network made of numbers: rows ``A u <= b`` over u = (injection limits, withdrawal limits).

It is the port's in-memory twin: exact integers, one more row for the interface in each
direction, and an "AC power flow" that may know tighter rows than the linear ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from doe_allocation.allocation.curtailment import Curtailment, CurtailmentPolicy
from security_check.checking.linear_rows import LinearRows
from security_check.checking.verdict import LimitChange, Verdict
from security_check.errors import GridError, InsecureError
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.model.limits import InterfaceLimits

Ints = npt.NDArray[np.int64]
UNLIMITED_W = 10**12


@dataclass
class LinearGrid:
    """A grid of n connection points with capacities and rows.

    ``rows`` are ``(coefficients over u, bound, bound the AC power flow finds)``; coefficients
    are integers >= 0.  Whatever is in ``errors`` is raised by the next call, one at a time.
    """

    capacity_w: Sequence[int]
    rows: Sequence[tuple[Sequence[int], int, int]] = ()
    errors: list[GridError] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    latest: LinearSecurity = field(init=False)

    @property
    def connection_points(self) -> tuple[str, ...]:
        return tuple(f"load:{index}" for index in range(len(self.capacity_w)))

    def allocate(self, limits: InterfaceLimits) -> LinearSecurity:
        self._called("allocate")
        u = np.zeros(2 * len(self.capacity_w), dtype=np.int64)
        return self._filled(limits, u)

    def reallocate(
        self, limits: InterfaceLimits, held: EnvelopeSet, curtailment: Curtailment
    ) -> LinearSecurity:
        self._called("reallocate")
        u = np.concatenate([held.injection_w, held.withdrawal_w])
        A, b, b_ac, names = self._matrix(limits)
        b = np.minimum(b, b_ac)
        bottlenecks = ["capacity"] * len(u)
        if curtailment.policy is not CurtailmentPolicy.PRO_RATA and np.any(A @ u > b):
            rule = curtailment.rule(np.zeros_like(u), u, np.ones(len(u)), 1.0)
            cut = rule.filled(A.astype(float), b.astype(float))
            u = np.floor(cut.u + 1e-6).astype(np.int64)
            bottlenecks = [names[k] if k >= 0 else "capacity" for k in cut.bottleneck]
        for k in range(len(b)):
            use = int(A[k] @ u)
            if use > b[k]:
                takes_part = A[k] > 0
                u = np.where(takes_part, u * max(int(b[k]), 0) // use, u)
                for i in np.flatnonzero(takes_part):
                    bottlenecks[i] = names[k]
        return self._filled(limits, u, bottlenecks)

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        A, b, b_ac, names = self._matrix(limits)
        u = np.concatenate([held.injection_w, held.withdrawal_w])
        return LinearRows.of_one(
            A.astype(float), np.minimum(b, b_ac) - A @ u, 1.0, names.__getitem__
        )

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearSecurity:
        self._called("resume")
        A, b, b_ac, names = self._matrix(limits)
        u = np.concatenate([held.injection_w, held.withdrawal_w])
        self.latest = LinearSecurity(self.connection_points, A, b, b_ac, names, u, [""] * len(u))
        return self.latest

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.errors:
            raise self.errors.pop(0)

    def _matrix(self, limits: InterfaceLimits) -> tuple[Ints, Ints, Ints, list[str]]:
        n = len(self.capacity_w)
        A = [list(row) for row, _, _ in self.rows]
        b = [bound for _, bound, _ in self.rows]
        b_ac = [bound for _, _, bound in self.rows]
        names = [f"line:{k}" for k in range(len(self.rows))]
        for row, limit_w in (
            ([1] * n + [0] * n, limits.injection_limit_w),
            ([0] * n + [1] * n, limits.withdrawal_limit_w),
        ):
            A.append(row)
            b.append(UNLIMITED_W if limit_w is None else limit_w)
            b_ac.append(b[-1])
            names.append("interface")
        return (
            np.array(A, dtype=np.int64),
            np.array(b, dtype=np.int64),
            np.array(b_ac, dtype=np.int64),
            names,
        )

    def _filled(
        self, limits: InterfaceLimits, u: Ints, bottlenecks: Sequence[str] = ()
    ) -> LinearSecurity:
        """Raise all limits by the same watts until a row or a capacity stops each."""
        A, b, b_ac, names = self._matrix(limits)
        cap = np.concatenate([self.capacity_w, self.capacity_w])
        found = list(bottlenecks) or ["capacity"] * len(u)
        bound = np.minimum(b, b_ac)
        free = u < cap
        while free.any():
            demand = A @ free
            headroom = bound - A @ u
            if np.any(headroom < 0):
                raise InsecureError(names[int(np.argmin(headroom))], "no headroom is left")
            steps = [int(headroom[k] // demand[k]) for k in range(len(b)) if demand[k]]
            step = min([*steps, int((cap - u)[free].min())])
            u = u + step * free
            full = [k for k in range(len(b)) if demand[k] and (bound - A @ u)[k] < demand[k]]
            for k in full:
                for i in np.flatnonzero(free & (A[k] > 0)):
                    found[i] = names[k]
                free &= A[k] == 0
            free &= u < cap
        self.latest = LinearSecurity(self.connection_points, A, b, b_ac, names, u, found)
        return self.latest


class LinearSecurity:
    """The envelopes in force on a :class:`LinearGrid`."""

    def __init__(
        self,
        connection_points: tuple[str, ...],
        A: Ints,
        b: Ints,
        b_ac: Ints,
        names: Sequence[str],
        u: Ints,
        bottlenecks: Sequence[str],
    ) -> None:
        self._points = connection_points
        self._index = {point: i for i, point in enumerate(connection_points)}
        self._A, self._b_ac, self._names = A, b_ac, list(names)
        self._coefficients = A.astype(float)  # always the same array: they never change
        self._columns = [[int(value) for value in column] for column in A.T]
        self._b, self._u = b.copy(), u.astype(np.int64)
        self._headroom = [int(value) for value in b - A @ u]
        self._bottlenecks = list(bottlenecks)
        self.errors: list[GridError] = []

    def _column(self, direction: Direction, point: str) -> int:
        offset = 0 if direction is Direction.INJECTION else len(self._points)
        return self._index[point] + offset

    def linear_rows(self) -> LinearRows:
        headroom = np.array(self._headroom, dtype=float)
        return LinearRows.of_one(self._coefficients, headroom, 1.0, self._names.__getitem__)

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        a = self._columns[self._column(direction, seller)]
        b = self._columns[self._column(direction, buyer)]
        best, element = wanted_w, ""
        for k, headroom in enumerate(self._headroom):
            rise = b[k] - a[k]
            if rise > 0 and headroom < best * rise:
                best, element = max(headroom, 0) // rise, self._names[k]
        return best, element

    def confirm(self, changes: Sequence[LimitChange]) -> Verdict:
        if self.errors:
            raise self.errors.pop(0)
        use = self._A @ self._changed(changes)
        over = np.flatnonzero(use > self._b_ac)
        for k in over:
            lowered = int(self._b[k] - self._b_ac[k])
            self._b[k] -= lowered
            self._headroom[k] -= lowered
        loading = use / np.maximum(self._b_ac, 1)
        worst = int(over[0]) if len(over) else int(np.argmax(loading))
        return Verdict(
            secure=not len(over),
            element=self._names[worst],
            value=float(use[worst]),
            limit=float(self._b_ac[worst]),
            unit="W",
            loading=float(loading[worst]),
        )

    def commit(self, changes: Sequence[LimitChange]) -> None:
        for change in changes:
            i = self._column(change.direction, change.connection_point)
            self._u[i] += change.change_w
            for k, coefficient in enumerate(self._columns[i]):
                self._headroom[k] -= coefficient * change.change_w

    def _changed(self, changes: Sequence[LimitChange]) -> Ints:
        u = self._u.copy()
        for change in changes:
            u[self._column(change.direction, change.connection_point)] += change.change_w
        return u

    def explain(self, element: str) -> str:
        return ""

    def envelopes(self) -> EnvelopeSet:
        n = len(self._points)
        return EnvelopeSet(
            self._points,
            self._u[:n],
            self._u[n:],
            self._bottlenecks[:n],
            self._bottlenecks[n:],
        )

    def copy(self) -> LinearSecurity:
        other = LinearSecurity(
            self._points,
            self._A,
            self._b,
            self._b_ac,
            self._names,
            self._u,
            self._bottlenecks,
        )
        other.errors = self.errors
        return other
