"""The grid of electrically separate parts: each is allocated and checked on its own.

This is exact, because nothing that happens in one part reaches another.  Limits that are fair in
each part are fair together if no element binds them jointly, unless the principle has one level
for all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from doe_allocation.allocation.curtailment import PRO_RATA, Curtailment
from doe_allocation.allocation.islands_check import (
    IslandsCheck,
    joined_envelopes,
    joined_rows,
    limits_of_points,
)
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.rule import Principle
from security_check.arrays import FloatArray, IndexArray, IntArray
from security_check.checking.check import SecurityCheck
from security_check.checking.linear_rows import LinearRows
from security_check.errors import InsecureError
from security_check.model.envelope import EnvelopeSet
from security_check.model.islands import Island, islands_of
from security_check.model.limits import InterfaceLimits
from security_check.model.network import Network
from security_check.operating_range.operating_point import OperatingPoint
from security_check.uncertainty.forecast import Forecast
from security_check.verification.adversary import Finding
from security_check.verification.certificate import SecurityCertificate

Result = TypeVar("Result")


class IslandsGrid:
    """Allocates, reallocates and resumes envelopes on electrically separate parts.

    Parameters
    ----------
    network
        The whole network.
    make
        Makes the grid of one part.  Called with the whole network, too, when the power of the
        interface is limited, which is one limit for all parts, each at its own voltage.

    Raises
    ------
    PowerFlowError
        When a part has no solution without customers.
    """

    def __init__(self, network: Network, make: Callable[[Island], NetworkGrid]) -> None:
        self.network = network
        self._make = make
        self._parts = [(part.points, make(part)) for part in islands_of(network)]
        self._whole: NetworkGrid | None = None

    def with_fairness(self, fairness: Principle, weights: FloatArray | None = None) -> IslandsGrid:
        """Return the same grid under another principle; as :meth:`NetworkGrid.with_fairness`.

        The principle must allow parts to be divided on their own: no level common to all limits.
        """
        other = copy.copy(self)
        both = None if weights is None else np.asarray(weights, dtype=float).reshape(2, -1)

        def of(points: IndexArray) -> FloatArray | None:
            return None if both is None else both[:, points].ravel()

        other._parts = [(own, grid.with_fairness(fairness, of(own))) for own, grid in self._parts]
        other._make = lambda part: self._make(part).with_fairness(fairness, of(part.points))
        other._whole = None if self._whole is None else self._whole.with_fairness(fairness, weights)
        return other

    def with_forecast(self, forecast: Forecast) -> NetworkGrid:
        """Return the grid in an interval of another forecast: the whole network as one.

        Deviations from a forecast may reach across parts.
        """
        return self._joined().with_forecast(forecast)

    def with_capacity(self, capacity: Capacity) -> NetworkGrid:
        """Return the grid in an interval of other capacities: the whole network as one."""
        return self._joined().with_capacity(capacity)

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
        if limits.limits_power:
            return self._joined().allocate(limits)
        return self._of_parts(self._each(lambda _, grid: grid.allocate(limits)))

    def reallocate(
        self,
        limits: InterfaceLimits,
        held: EnvelopeSet,
        curtailment: Curtailment = PRO_RATA,
    ) -> SecurityCheck | IslandsCheck:
        """Return the envelopes after a change of limits; as :meth:`NetworkGrid.reallocate`."""
        if limits.limits_power:
            return self._joined().reallocate(limits, held, curtailment)
        count = len(self.connection_points)
        return self._of_parts(
            self._each(
                lambda own, grid: grid.reallocate(
                    limits, _part_of(held, own), curtailment.of(np.r_[own, own + count])
                )
            )
        )

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        """Return the rows of all parts, of envelopes that may not be secure."""
        if limits.limits_power:
            return self._joined().rows_under(limits, held)
        count = len(self.connection_points)
        return joined_rows(
            2 * count,
            [
                (limits_of_points(own, count), grid.rows_under(limits, _part_of(held, own)))
                for own, grid in self._parts
            ],
        )

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> SecurityCheck | IslandsCheck:
        """Return the state for envelopes already in force; as :meth:`NetworkGrid.resume`."""
        if limits.limits_power:
            return self._joined().resume(limits, held)
        return self._of_parts(
            self._each(lambda own, grid: grid.resume(limits, _part_of(held, own)))
        )

    def prove(
        self,
        limits: InterfaceLimits,
        held: EnvelopeSet | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[EnvelopeSet, SecurityCertificate]:
        """Return envelopes and their security certificate; as :meth:`NetworkGrid.prove`.

        At an element's worst vertex, customers of other parts are shown idle.
        """
        if limits.limits_power:
            return self._joined().prove(limits, held, rng)
        count = len(self.connection_points)
        envelopes, proofs = [], []
        for own, (found, proof) in self._each(
            lambda own, grid: grid.prove(limits, None if held is None else _part_of(held, own), rng)
        ):
            shown = tuple(
                replace(each, operating_point=_spread(each.operating_point, own, count))
                for each in proof.explanations
            )
            envelopes.append((own, found))
            proofs.append(replace(proof, explanations=shown))
        return joined_envelopes(self.connection_points, envelopes), SecurityCertificate.joined(
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
        """Return the worst point that the adversary finds; as :meth:`NetworkGrid.attack`.

        Customers of other parts than the element's are shown idle.
        """
        if limits.limits_power:
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

    def _each(
        self, of_part: Callable[[IndexArray, NetworkGrid], Result]
    ) -> list[tuple[IndexArray, Result]]:
        """Return a result for each part, with its connection points.

        Raises
        ------
        InsecureError
            That of the part with the worst violation, with the elements of all parts.
        """
        results, errors = [], []
        for own, grid in self._parts:
            try:
                results.append((own, of_part(own, grid)))
            except InsecureError as error:
                errors.append(error)
        if errors:
            raise InsecureError.of_all(errors)
        return results

    def _of_parts(self, checks: list[tuple[IndexArray, SecurityCheck]]) -> IslandsCheck:
        return IslandsCheck(self.connection_points, checks)

    def _joined(self) -> NetworkGrid:
        if self._whole is None:
            every = np.arange(len(self.connection_points))
            self._whole = self._make(Island(self.network, every))
        return self._whole


def _part_of(held: EnvelopeSet, own: IndexArray) -> EnvelopeSet:
    points = tuple(held.connection_points[i] for i in own)
    return EnvelopeSet(points, held.injection_w[own], held.withdrawal_w[own])


def _spread(operating_point: OperatingPoint, own: IndexArray, count: int) -> OperatingPoint:
    power, reactive = np.zeros(count), np.zeros(count)
    power[own], reactive[own] = operating_point.power_w, operating_point.reactive_var
    return replace(operating_point, power_w=power, reactive_var=reactive)
