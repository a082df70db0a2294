"""The security check of electrically separate parts: one check for each part.

Exact, because nothing that happens in one part reaches another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Self

import numpy as np

from security_check.arrays import IndexArray, IntArray
from security_check.checking.check import SecurityCheck
from security_check.checking.linear_rows import LinearRows, PartRows
from security_check.checking.verdict import LimitChange, Verdict
from security_check.model.envelope import Direction, EnvelopeSet


class IslandsCheck:
    """The envelopes in force in all parts, and which changes of them are secure.

    Parameters
    ----------
    connection_points
        Ids, in the whole network's order; c of them.
    parts
        The connection points of each part, and its check.
    """

    def __init__(
        self,
        connection_points: tuple[str, ...],
        parts: Sequence[tuple[IndexArray, SecurityCheck]],
    ) -> None:
        self._points = connection_points
        self._parts = list(parts)
        self._limits = [limits_of_points(points, len(connection_points)) for points, _ in parts]
        self._home = {
            connection_points[i]: k for k, (points, _) in enumerate(parts) for i in points
        }

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the whole network's order."""
        return self._points

    @property
    def checks(self) -> tuple[SecurityCheck, ...]:
        """The checks of the parts."""
        return tuple(check for _, check in self._parts)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the fullest element of all parts."""
        return max((check.verdict for check in self.checks), key=lambda v: v.loading)

    @property
    def limits_w(self) -> IntArray:
        """The envelopes in force, shape (2 c,), watts, injection first; a copy."""
        limits = np.zeros((2, len(self._points)), dtype=np.int64)
        for points, check in self._parts:
            limits[:, points] = check.limits_w.reshape(2, -1)
        return limits.ravel()

    def linear_rows(self) -> LinearRows:
        """Return the linear rows of all parts near their limits, with their headrooms."""
        return joined_rows(
            2 * len(self._points),
            [
                (limits, check.linear_rows())
                for limits, check in zip(self._limits, self.checks, strict=True)
            ],
        )

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        """Return how much of a transfer the linear rows allow, and the element that binds.

        A transfer between two parts loads only the buyer's.
        """
        buying = self._check_of(buyer)
        if self._home[seller] == self._home[buyer]:
            return buying.largest_secure_w(direction, seller, buyer, wanted_w)
        return buying.largest_rise_w(direction, buyer, wanted_w)

    def confirm(self, changes: Sequence[LimitChange]) -> Verdict:
        """Ask the AC power flow about a joint change, in every part that it touches.

        With no change, every part confirms its envelopes.  Raises as
        :meth:`security_check.checking.check.SecurityCheck.confirm`.
        """
        touched = self._by_part(changes) or [(check, ()) for check in self.checks]
        verdicts = [check.confirm(own) for check, own in touched]
        insecure = [verdict for verdict in verdicts if not verdict.secure]
        return max(insecure or verdicts, key=lambda verdict: verdict.loading)

    def commit(self, changes: Sequence[LimitChange]) -> None:
        """Put into force a change that was just confirmed, in all parts or in none."""
        touched = self._by_part(changes)
        for check, own in touched:
            check.copy().commit(own)  # raises before anything is in force
        for check, own in touched:
            check.commit(own)

    def explain(self, element: str) -> str:
        """Return a sentence on the worst that can happen at an element near its limit."""
        return next((text for check in self.checks if (text := check.explain(element))), "")

    def envelopes(self) -> EnvelopeSet:
        """Return the envelopes in force, each limit with its bottleneck."""
        joined = [(points, check.envelopes()) for points, check in self._parts]
        return joined_envelopes(self._points, joined)

    def copy(self) -> Self:
        """Return an independent copy, to try a sequence of changes on."""
        parts = [(points, check.copy()) for points, check in self._parts]
        return type(self)(self._points, parts)

    def _check_of(self, point: str) -> SecurityCheck:
        return self._parts[self._home[point]][1]

    def _by_part(
        self, changes: Sequence[LimitChange]
    ) -> list[tuple[SecurityCheck, tuple[LimitChange, ...]]]:
        touched = sorted({self._home[change.connection_point] for change in changes})
        return [
            (self._parts[k][1], tuple(c for c in changes if self._home[c.connection_point] == k))
            for k in touched
        ]


def limits_of_points(points: IndexArray, count: int) -> IndexArray:
    """Return the indices of the limits of some connection points among those of all ``count``."""
    return np.concatenate([points, count + points])


def joined_rows(limits: int, parts: Sequence[tuple[IndexArray, LinearRows]]) -> LinearRows:
    """Return the rows of all parts, each with its limits among those of the whole network."""
    rows = [own for _, own in parts]
    joined = [
        PartRows(limits_of[part.limits], part.A, part.headroom)
        for limits_of, own in parts
        for part in own.parts
    ]
    return LinearRows(tuple(joined), limits, rows[0].base_power_w, partial(_element, rows))


def _element(parts: Sequence[LinearRows], row: int) -> str:
    """Return the name of the element behind a row of several parts."""
    for rows in parts:
        count = len(rows.headroom)
        if row < count:
            return rows.element(row)
        row -= count
    raise IndexError(f"the row is {row + 1} beyond the last one")


def joined_envelopes(
    points: tuple[str, ...], parts: Sequence[tuple[IndexArray, EnvelopeSet]]
) -> EnvelopeSet:
    """Return the envelopes of all parts in the whole network's order."""
    limits_w = np.zeros((2, len(points)), dtype=np.int64)
    stops = np.empty((2, len(points)), dtype=object)
    for own, found in parts:
        limits_w[:, own] = found.injection_w, found.withdrawal_w
        stops[:, own] = found.injection_bottlenecks, found.withdrawal_bottlenecks
    gaps = [found.fairness_gap for _, found in parts]
    known = [gap for gap in gaps if gap is not None]
    return EnvelopeSet(
        points,
        limits_w[0],
        limits_w[1],
        tuple(stops[0]),
        tuple(stops[1]),
        max(known, default=0.0) if len(known) == len(gaps) else None,
    )
