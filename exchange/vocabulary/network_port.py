"""The port to the network: what the exchange asks of allocation and security check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from doe_allocation.allocation.curtailment import Curtailment
from doe_allocation.allocation.linear.operation import LinearOperation
from security_check.checking.linear_rows import LinearRows
from security_check.checking.verdict import LimitChange, Verdict
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.model.limits import InterfaceLimits


class SecurityState(Protocol):
    """The envelopes in force in one interval, and the changes that the network allows."""

    def linear_rows(self) -> LinearRows:
        """Return the linear rows near their limits, as the AC power flow has corrected them."""

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        """Return how much of a transfer the linear rows allow, and the element that binds."""

    def confirm(self, changes: Sequence[LimitChange]) -> Verdict:
        """Check a joint change by the AC power flow; corrects the rows, changes no limit."""

    def commit(self, changes: Sequence[LimitChange]) -> None:
        """Put into force a change that was just confirmed."""

    def explain(self, element: str) -> str:
        """Return a sentence on the worst case at an element near its limit."""

    def envelopes(self) -> EnvelopeSet:
        """Return the envelopes in force."""

    def copy(self) -> SecurityState:
        """Return an independent copy, to try a sequence of changes on."""


class NetworkPort(Protocol):
    """The network of one area."""

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids of the connection points, in the network's order."""

    def allocate(self, limits: InterfaceLimits) -> SecurityState:
        """Return the fair, robust envelopes; raises :class:`security_check.errors.GridError`."""

    def reallocate(
        self, limits: InterfaceLimits, held: EnvelopeSet, curtailment: Curtailment
    ) -> SecurityState:
        """Return the envelopes after a change of the interface limits.

        Where the envelopes held are no longer secure they are curtailed by the policy; then new
        headroom is shared by fair filling on top.  Raises :class:`security_check.errors.GridError`.
        """

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        """Return the linear rows of envelopes under other interface limits.

        Their headroom is negative where the envelopes are no longer secure.  Raises
        :class:`security_check.errors.GridError`.
        """

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> SecurityState:
        """Return the state for envelopes already in force (after a restart)."""


@runtime_checkable
class NetworkSeries(Protocol):
    """The network of one area where it differs between intervals."""

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids of the connection points, the same in every interval."""

    def network_in(self, interval: datetime) -> NetworkPort:
        """Return the network in the interval that starts then.

        Raises
        ------
        GridError
            When there is no such interval.
        """


@runtime_checkable
class FlexibleNetwork(Protocol):
    """A network whose flows are linear, so that flexibility is matched on it."""

    @property
    def operation(self) -> LinearOperation:
        """Flows, connection points, and the set point."""

    def activated(
        self, firm_w: Mapping[str, int], conditional_w: Sequence[Mapping[str, int]]
    ) -> NetworkPort:
        """Return the network with what was matched, for certain and under a condition, by bus.

        Raises
        ------
        GridError
            When it has no such bus.
        """


Networks = NetworkPort | NetworkSeries
"""One network for all intervals, or one for each."""


def network_in(networks: Networks, interval: datetime) -> NetworkPort:
    """Return the network in the interval that starts then; raises as the series does."""
    return networks.network_in(interval) if isinstance(networks, NetworkSeries) else networks
