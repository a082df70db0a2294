"""Sources of electrically separate parts, each at a voltage of its own in the contracted band.

The power at the interface is the sum over all sources.  It is largest where each part is at its own
worst voltage, and these may differ: one part injects while another withdraws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from security_check.checking.check import SecurityCheck
from security_check.errors import InsecureError
from security_check.model.islands import held_apart, source_groups
from security_check.model.limits import InterfaceLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.monitoring.case_monitors import monitors_of
from security_check.monitoring.protocol import Monitored
from security_check.monitoring.row_kinds import OF_INTERFACE
from security_check.verification.certificate import SecurityCertificate
from security_check.verification.monotonicity import ProofStatus

_NOT_PROVED = "proofs do not cover a limit of power that separate parts share"


class SeparateSources:
    """The network with separate parts held on their own, where that matters.

    Parameters
    ----------
    network, states
        As for :class:`~doe_allocation.allocation.network_grid.NetworkGrid`.
    """

    def __init__(self, network: Network, states: Sequence[NetworkState]) -> None:
        self._together, self._states = network, tuple(states)
        self._groups = source_groups(network)

    def matter(self, limits: InterfaceLimits) -> bool:
        """Return whether rows under a contract depend on the voltages of several parts."""
        return limits.limits_power and len(set(self._groups.values())) > 1

    @cached_property
    def network(self) -> Network:
        """The network, with as many held magnitudes for each part as it had for all.

        Raises
        ------
        InsecureError
            When the network has voltage-controlled generators.
        """
        if self._together.generators is not None:
            raise InsecureError(
                "interface",
                "a limit of its power is shared by electrically separate parts, each at a voltage "
                "of its own; with voltage-controlled generators this is not covered",
            )
        return held_apart(self._together, self._groups)

    @cached_property
    def monitors(self) -> Monitored:
        """The monitored quantities of that network in all states."""
        states = [
            NetworkState(each.state, held_apart(each.network, self._groups))
            for each in self._states
        ]
        return monitors_of(self.network, states)


def with_shared_rows(proof: SecurityCertificate, check: SecurityCheck) -> SecurityCertificate:
    """Return a certificate of all rows from that of the rows which see one part only.

    Parameters
    ----------
    proof
        Of the same envelopes, without limits of power.
    check
        Of the envelopes under all limits.
    """
    robust = check.robust_rows
    shared = int(sum(robust.monitors.kind[row] in OF_INTERFACE for row in robust.limited))
    words = f"{ProofStatus.CHECKED}: {_NOT_PROVED}"
    own = tuple(
        replace(each, proof=words)
        for each in check.explanations()
        if robust.monitors.kind[each.row] in OF_INTERFACE
    )
    standing = dict(proof.standing)
    standing[ProofStatus.CHECKED] += shared
    return SecurityCertificate(
        standing, False, proof.reason or _NOT_PROVED, (*own, *proof.explanations)
    )
