"""The grid of a linear network: allocates, reallocates, resumes, proves and attacks envelopes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from doe_allocation.allocation.curtailment import PRO_RATA, Curtailment
from doe_allocation.allocation.linear.adversary import attack
from doe_allocation.allocation.linear.check import LinearCheck
from doe_allocation.allocation.linear.flow_rows import FlowRows
from doe_allocation.allocation.linear.operation import LinearOperation
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.principles import MAX_MIN
from doe_allocation.fairness.rule import CAPACITY, FillingRule, OnTop, Principle
from security_check.arrays import FloatArray, IntArray
from security_check.checking.linear_rows import LinearRows
from security_check.errors import InsecureError
from security_check.model.envelope import EnvelopeSet
from security_check.model.limits import InterfaceLimits
from security_check.verification.adversary import Finding
from security_check.verification.certificate import SecurityCertificate
from security_check.verification.monotonicity import ProofStatus

# Watts: a limit this close below a whole watt is rounded up to it, so that rounding costs no watt.
_WHOLE_W = 1e-7


class LinearGrid:
    """Allocates, reallocates and resumes envelopes on a linear network.

    Envelopes are limits around zero of the connection points, on top of the set point.

    Parameters
    ----------
    operation
        Network, connection points and set point.
    capacity
        Capacities and fallbacks of the connection points, in the network's order.
    weights
        Shape (2 c,), > 0, injection first: a limit of weight 2 rises twice as fast.  All 1 where
        not given.
    fairness
        The principle that divides.

    Raises
    ------
    ValueError
        When capacities or weights do not fit the connection points.
    """

    def __init__(
        self,
        operation: LinearOperation,
        capacity: Capacity,
        weights: FloatArray | None = None,
        fairness: Principle = MAX_MIN,
    ) -> None:
        self.operation = operation
        self.capacity = self._checked_capacity(capacity)
        self.weights = self._checked_weights(weights)
        self.fairness = fairness

    def _checked_capacity(self, capacity: Capacity) -> Capacity:
        if capacity.connection_points != self.connection_points:
            raise ValueError("the capacities are not those of the network's connection points")
        return capacity

    def _checked_weights(self, weights: FloatArray | None) -> FloatArray:
        count = 2 * len(self.connection_points)
        if weights is None:
            return np.ones(count)
        weights = np.asarray(weights, dtype=float)
        if weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all():
            raise ValueError(f"weights must be {count} numbers above 0")
        return weights

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self.operation.connection_points

    def with_fairness(self, fairness: Principle, weights: FloatArray | None = None) -> Self:
        """Return the same grid that divides by another principle.

        Raises
        ------
        ValueError
            When the weights do not fit the connection points.
        """
        other = copy.copy(self)
        other.fairness, other.weights = fairness, self._checked_weights(weights)
        return other

    def with_capacity(self, capacity: Capacity) -> Self:
        """Return the same grid with other capacities and fallbacks.

        Raises
        ------
        ValueError
            When they are not those of the connection points.
        """
        other = copy.copy(self)
        other.capacity = self._checked_capacity(capacity)
        return other

    def activated(
        self, firm_w: Mapping[str, int], conditional_w: Sequence[Mapping[str, int]]
    ) -> Self:
        """Return the same grid with flexibility that was matched.

        Arguments and errors are those of :meth:`LinearOperation.activated`.
        """
        other = copy.copy(self)
        other.operation = self.operation.activated(firm_w, conditional_w)
        return other

    def allocate(self, limits: InterfaceLimits) -> LinearCheck:
        """Return the fair envelopes, by the grid's principle.

        Raises
        ------
        InsecureError
            When the fallback envelopes are not secure; names branch, flow and limit.
        """
        rows = FlowRows.of(self.operation, limits)
        lower_w, upper_w = self.capacity.lower_w(), self.capacity.upper_w()
        LinearCheck(self.connection_points, rows, lower_w)
        rule = self.fairness(lower_w.astype(float), upper_w.astype(float), self.weights)
        return self._filled(rows, rule)

    def reallocate(
        self, limits: InterfaceLimits, held: EnvelopeSet, curtailment: Curtailment = PRO_RATA
    ) -> LinearCheck:
        """Return the envelopes after a change of the interface limits, from those held.

        First curtailment, if they are no longer secure: the policy cuts the limits that take part
        in a row over its limit, down to their fallbacks at most.  Then new headroom is shared by
        the grid's principle on top of the limits left.  Raises as :meth:`allocate`.
        """
        rows = FlowRows.of(self.operation, limits)
        lower_w, upper_w = self.capacity.lower_w(), self.capacity.upper_w()
        have = np.minimum(_stacked(held), upper_w)
        try:
            curtailed = LinearCheck(self.connection_points, rows, have)
        except InsecureError:
            cut = curtailment.at_most(upper_w).rule(lower_w, have, self.weights, 1.0)
            curtailed = self._filled(rows, cut)
        left = curtailed.limits_w
        new = self.fairness(np.zeros(len(left)), (upper_w - left).astype(float), self.weights)
        shared = self._filled(rows, OnTop(new, left.astype(float)))
        cut_by, stopped_by = _bottlenecks(curtailed), _bottlenecks(shared)
        names = [
            cut if low else stop
            for cut, stop, low in zip(cut_by, stopped_by, left < have, strict=True)
        ]
        return shared.with_bottlenecks(names)

    def _filled(self, rows: FlowRows, rule: FillingRule) -> LinearCheck:
        """Return the check of the limits that a rule chooses, rounded down to whole watts."""
        filled = rule.filled(rows.A, rows.b)
        names = [
            "capacity" if row == CAPACITY else rows.elements[row]
            for row in filled.bottleneck.tolist()
        ]
        limits_w = np.floor(filled.u + _WHOLE_W).astype(np.int64)
        return LinearCheck(self.connection_points, rows, limits_w, names, 0.0)

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        """Return the rows of envelopes that may not be secure; raises as :meth:`allocate`."""
        rows = FlowRows.of(self.operation, limits)
        headroom_w = rows.headroom_w(_stacked(held))
        return LinearRows.of_one(rows.A, headroom_w, 1.0, rows.elements.__getitem__)

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearCheck:
        """Return the check of envelopes already in force; raises as :meth:`allocate`."""
        rows = FlowRows.of(self.operation, limits)
        return LinearCheck(self.connection_points, rows, _stacked(held))

    def prove(
        self,
        limits: InterfaceLimits,
        held: EnvelopeSet | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[EnvelopeSet, SecurityCertificate]:
        """Return envelopes, those held or else the fair ones, and their certificate.

        Every row is proved, because rows are exact; ``rng`` is not used.  Raises as
        :meth:`allocate`.
        """
        check = self.allocate(limits) if held is None else self.resume(limits, held)
        explanations = tuple(check.explanations())
        standing = dict.fromkeys(ProofStatus, 0)
        standing[ProofStatus.PROVED] = len(check.linear_rows().headroom)
        return check.envelopes(), SecurityCertificate(standing, True, "", explanations)

    def attack(
        self,
        limits: InterfaceLimits,
        limits_w: IntArray,
        rng: np.random.Generator,
        *,
        samples: int = 512,
        climbs: int = 12,
    ) -> Finding:
        """Return the worst point of envelopes, shape (2 c,) watts, that the adversary finds.

        ``climbs`` has no effect: the corners that a branch's factors point to need none.  See
        :func:`doe_allocation.allocation.linear.adversary.attack`.
        """
        return attack(self.operation, limits, np.asarray(limits_w, dtype=float), rng, samples)


def _stacked(held: EnvelopeSet) -> IntArray:
    return np.concatenate([held.injection_w, held.withdrawal_w])


def _bottlenecks(check: LinearCheck) -> tuple[str, ...]:
    found = check.envelopes()
    return found.injection_bottlenecks + found.withdrawal_bottlenecks
