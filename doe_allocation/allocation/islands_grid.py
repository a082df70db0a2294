"""The grid of electrically separate parts: each is allocated and checked on its own.

Exact, because nothing that happens in one part reaches another; and limits that no element binds
jointly are fair together when they are in each part, unless a principle has one level for all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Self

import numpy as np

from doe_allocation.allocation.curtailment import PRO_RATA, Curtailment
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.fairness.rule import Principle
from security_check.arrays import FloatArray, IndexArray, IntArray
from security_check.checking.check import SecurityCheck
from security_check.checking.linear_rows import LinearRows, PartRows
from security_check.checking.verdict import LimitChange, Verdict
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.model.islands import Part, parts_of
from security_check.model.limits import InterfaceLimits
from security_check.model.network import Network
from security_check.operating_range.operating_point import OperatingPoint
from security_check.verification.adversary import Finding
from security_check.verification.certificate import SecurityCertificate


class IslandsCheck:
    """The envelopes in force in all parts, and what may change about them.

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
        self._limits = [_own_limits(points, len(connection_points)) for points, _ in parts]
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
        return _joined_rows(
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

        Between parts, only the buyer's own is loaded by it.
        """
        buying = self._check_of(buyer)
        if self._home[seller] == self._home[buyer]:
            return buying.largest_secure_w(direction, seller, buyer, wanted_w)
        return buying.largest_rise_w(direction, buyer, wanted_w)

    def confirm(self, changes: Sequence[LimitChange]) -> Verdict:
        """Ask the AC power flow about a joint change, in every part that it touches.

        No change at all is asked of every part.  Raises as
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
        return _joined_envelopes(self._points, joined)

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


class IslandsGrid:
    """Allocates, reallocates and resumes envelopes on electrically separate parts.

    Parameters
    ----------
    network
        The whole network.
    make
        Makes the grid of one part; called with the whole, too, when the interface's power is
        limited: that is one limit for all parts.

    Raises
    ------
    PowerFlowError
        When a part has no solution without customers.
    """

    def __init__(self, network: Network, make: Callable[[Part], NetworkGrid]) -> None:
        self.network = network
        self._make = make
        self._parts = [(part.points, make(part)) for part in parts_of(network)]
        self._whole: NetworkGrid | None = None

    def with_fairness(self, fairness: Principle, weights: FloatArray | None = None) -> IslandsGrid:
        """Return the same grid under another principle; as :meth:`NetworkGrid.with_fairness`.

        It must be one that may divide parts on their own: none with a level common to all.
        """
        other = copy.copy(self)
        both = None if weights is None else np.asarray(weights, dtype=float).reshape(2, -1)

        def of(points: IndexArray) -> FloatArray | None:
            return None if both is None else both[:, points].ravel()

        other._parts = [(own, grid.with_fairness(fairness, of(own))) for own, grid in self._parts]
        other._make = lambda part: self._make(part).with_fairness(fairness, of(part.points))
        other._whole = None if self._whole is None else self._whole.with_fairness(fairness, weights)
        return other

    @property
    def parts(self) -> list[NetworkGrid]:
        """The grids of the parts."""
        return [grid for _, grid in self._parts]

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self.network.connection_points

    def allocate(self, limits: InterfaceLimits) -> SecurityCheck | IslandsCheck:
        """Return the fair envelopes; raises as :meth:`NetworkGrid.allocate`."""
        if _is_shared(limits):
            return self._joined().allocate(limits)
        return self._of_parts([(own, grid.allocate(limits)) for own, grid in self._parts])

    def reallocate(
        self,
        limits: InterfaceLimits,
        held: EnvelopeSet,
        curtailment: Curtailment = PRO_RATA,
    ) -> SecurityCheck | IslandsCheck:
        """Return what becomes of the envelopes held; as :meth:`NetworkGrid.reallocate`."""
        if _is_shared(limits):
            return self._joined().reallocate(limits, held, curtailment)
        count = len(self.connection_points)
        return self._of_parts(
            [
                (
                    own,
                    grid.reallocate(
                        limits, _part_of(held, own), curtailment.of(np.r_[own, own + count])
                    ),
                )
                for own, grid in self._parts
            ]
        )

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        """Return the rows of envelopes that may not be secure, of all parts."""
        if _is_shared(limits):
            return self._joined().rows_under(limits, held)
        count = len(self.connection_points)
        return _joined_rows(
            2 * count,
            [
                (_own_limits(own, count), grid.rows_under(limits, _part_of(held, own)))
                for own, grid in self._parts
            ],
        )

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> SecurityCheck | IslandsCheck:
        """Return the state for envelopes already in force; as :meth:`NetworkGrid.resume`."""
        if _is_shared(limits):
            return self._joined().resume(limits, held)
        return self._of_parts(
            [(own, grid.resume(limits, _part_of(held, own))) for own, grid in self._parts]
        )

    def prove(
        self, limits: InterfaceLimits, held: EnvelopeSet | None = None
    ) -> tuple[EnvelopeSet, SecurityCertificate]:
        """Return envelopes, and what is proved of them; as :meth:`NetworkGrid.prove`.

        At an element's worst vertex, customers of other parts are shown idle.
        """
        if _is_shared(limits):
            return self._joined().prove(limits, held)
        count = len(self.connection_points)
        envelopes, proofs = [], []
        for own, grid in self._parts:
            found, proof = grid.prove(limits, None if held is None else _part_of(held, own))
            shown = tuple(
                replace(each, operating_point=_spread(each.operating_point, own, count))
                for each in proof.explanations
            )
            envelopes.append((own, found))
            proofs.append(replace(proof, explanations=shown))
        return _joined_envelopes(self.connection_points, envelopes), SecurityCertificate.joined(
            proofs
        )

    def attack(
        self,
        limits: InterfaceLimits,
        limits_w: IntArray,
        rng: np.random.Generator,
        *,
        samples: int = 512,
        climbs: int = 12,
    ) -> Finding:
        """Let the adversary look for the worst point; as :meth:`NetworkGrid.attack`.

        Customers of other parts than the element's are shown idle.
        """
        if _is_shared(limits):
            return self._joined().attack(limits, limits_w, rng, samples=samples, climbs=climbs)
        both = np.asarray(limits_w).reshape(2, -1)
        found = [
            (own, grid.attack(limits, both[:, own].ravel(), rng, samples=samples, climbs=climbs))
            for own, grid in self._parts
        ]
        tried = sum(finding.points_tried for _, finding in found)
        count = len(self.connection_points)
        every = [
            replace(
                each,
                operating_point=_spread(each.operating_point, own, count),
                others=(),
                points_tried=tried,
            )
            for own, finding in found
            for each in (finding, *finding.others)
        ]
        worst, *others = sorted(every, key=lambda finding: -finding.violation)
        return replace(worst, others=tuple(others))

    def _of_parts(self, checks: list[tuple[IndexArray, SecurityCheck]]) -> IslandsCheck:
        return IslandsCheck(self.connection_points, checks)

    def _joined(self) -> NetworkGrid:
        if self._whole is None:
            every = np.arange(len(self.connection_points))
            self._whole = self._make(Part(self.network, every))
        return self._whole


def _is_shared(limits: InterfaceLimits) -> bool:
    """Return whether the contract has a limit that all parts share."""
    shared = (
        limits.injection_limit_w,
        limits.withdrawal_limit_w,
        limits.reactive_min_var,
        limits.reactive_max_var,
    )
    return any(limit is not None for limit in shared)


def _own_limits(points: IndexArray, count: int) -> IndexArray:
    """Return which of the limits of so many connection points are those of some of them."""
    return np.concatenate([points, count + points])


def _joined_rows(limits: int, parts: Sequence[tuple[IndexArray, LinearRows]]) -> LinearRows:
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
    raise IndexError(f"there are {row} rows fewer")


def _joined_envelopes(
    points: tuple[str, ...], parts: Sequence[tuple[IndexArray, EnvelopeSet]]
) -> EnvelopeSet:
    """Return the envelopes of all parts in the whole network's order."""
    limits_w = np.zeros((2, len(points)), dtype=np.int64)
    stops = np.empty((2, len(points)), dtype=object)
    for own, found in parts:
        limits_w[:, own] = found.injection_w, found.withdrawal_w
        stops[:, own] = found.injection_bottlenecks, found.withdrawal_bottlenecks
    return EnvelopeSet(points, limits_w[0], limits_w[1], tuple(stops[0]), tuple(stops[1]))


def _part_of(held: EnvelopeSet, own: IndexArray) -> EnvelopeSet:
    points = tuple(held.connection_points[i] for i in own)
    return EnvelopeSet(points, held.injection_w[own], held.withdrawal_w[own])


def _spread(operating_point: OperatingPoint, own: IndexArray, count: int) -> OperatingPoint:
    power, reactive = np.zeros(count), np.zeros(count)
    power[own], reactive[own] = operating_point.power_w, operating_point.reactive_var
    return replace(operating_point, power_w=power, reactive_var=reactive)
