"""The port to one network operator's grid, for allocation, verification and reports.

:class:`~doe_allocation.allocation.network_grid.NetworkGrid` is the grid of one network,
:class:`~doe_allocation.allocation.islands_grid.IslandsGrid` of one with separate parts,
:class:`~doe_allocation.allocation.linear.grid.LinearGrid` of a linear one.
The exchange needs a part of it: :class:`exchange.vocabulary.network_port.NetworkPort`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from doe_allocation.allocation.curtailment import PRO_RATA, Curtailment
from doe_allocation.allocation.islands_check import IslandsCheck
from doe_allocation.allocation.linear.check import LinearCheck
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.rule import Principle
from security_check.arrays import FloatArray, IntArray
from security_check.checking.check import SecurityCheck
from security_check.checking.linear_rows import LinearRows
from security_check.model.envelope import EnvelopeSet
from security_check.model.limits import InterfaceLimits
from security_check.verification.adversary import Finding
from security_check.verification.certificate import SecurityCertificate

EnvelopeCheck = SecurityCheck | IslandsCheck | LinearCheck
"""The envelopes in force, and the answer to how much of a trade is secure; all kinds alike."""


class Grid(Protocol):
    """The network of one operator, with c connection points, in one interval.

    Every method that computes envelopes raises
    :class:`~security_check.errors.InsecureError` when the fallback envelopes are not secure and
    :class:`~security_check.errors.PowerFlowError` when a power flow does not converge.
    """

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids of the connection points, in the network's order."""

    def with_fairness(self, fairness: Principle, weights: FloatArray | None = None) -> Grid:
        """Return the same grid that divides by another principle."""

    def with_capacity(self, capacity: Capacity) -> Grid:
        """Return the same grid in an interval of other capacities and fallbacks."""

    def allocate(self, limits: InterfaceLimits) -> EnvelopeCheck:
        """Return the fair envelopes under a contract at the interface."""

    def reallocate(
        self, limits: InterfaceLimits, held: EnvelopeSet, curtailment: Curtailment = PRO_RATA
    ) -> EnvelopeCheck:
        """Return the envelopes after a change of the interface limits, from those held."""

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> EnvelopeCheck:
        """Return the check of envelopes already in force."""

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        """Return the linear rows of envelopes that may not be secure."""

    def prove(
        self,
        limits: InterfaceLimits,
        held: EnvelopeSet | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[EnvelopeSet, SecurityCertificate]:
        """Return envelopes, those held or else the fair ones, and their security certificate.

        With a source of random points an adversary attacks what is not proved of the fair ones.
        """

    def attack(
        self,
        limits: InterfaceLimits,
        limits_w: IntArray,
        rng: np.random.Generator,
        *,
        samples: int = 512,
        climbs: int = 12,
    ) -> Finding:
        """Return the worst point of envelopes, shape (2 c,) watts, that the adversary finds."""
