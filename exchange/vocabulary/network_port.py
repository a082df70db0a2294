"""The port to the network: what the exchange asks of allocation and security check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from doe_allocation.allocation.curtailment import Curtailment
from security_check.checking.linear_rows import LinearRows
from security_check.checking.verdict import LimitChange, Verdict
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.model.limits import InterfaceLimits


class SecurityState(Protocol):
    """The envelopes in force in one interval, and what may change about them."""

    def linear_rows(self) -> LinearRows:
        """Return the linear rows near their limits, as the AC power flow has corrected them."""

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        """Return how much of a transfer the linear rows allow, and the element that binds."""

    def confirm(self, changes: Sequence[LimitChange]) -> Verdict:
        """Ask the AC power flow about a joint change; corrects the rows, changes no limit."""

    def commit(self, changes: Sequence[LimitChange]) -> None:
        """Put into force a change that was just confirmed."""

    def explain(self, element: str) -> str:
        """Return a sentence on the worst that can happen at an element near its limit."""

    def envelopes(self) -> EnvelopeSet:
        """Return the envelopes in force."""

    def copy(self) -> SecurityState:
        """Return an independent copy, to try a sequence of changes on."""


class Grid(Protocol):
    """The network of one area."""

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids of the connection points, in the network's order."""

    def allocate(self, limits: InterfaceLimits) -> SecurityState:
        """Return the fair, robust envelopes; raises :class:`security_check.errors.GridError`."""

    def reallocate(
        self, limits: InterfaceLimits, held: EnvelopeSet, curtailment: Curtailment
    ) -> SecurityState:
        """Return what becomes of the envelopes held when the interface limits change.

        Curtails by the policy where they are no longer secure, then shares new headroom by the
        fair filling on top.  Raises :class:`security_check.errors.GridError`.
        """

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        """Return the linear rows of envelopes under other interface limits.

        Their headroom is negative where the envelopes are not secure any more.  Raises
        :class:`security_check.errors.GridError`.
        """

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> SecurityState:
        """Return the state for envelopes already in force (after a restart)."""
