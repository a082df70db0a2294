"""An outage of one element, after which envelopes must be secure as well (N-1)."""

from __future__ import annotations

from dataclasses import dataclass

from security_check.model.network import Network


@dataclass(frozen=True, slots=True)
class Outage:
    """One element out of service.

    Parameters
    ----------
    name
        The element, for example ``"line:3"``.
    network
        The network without it; the same customers, ports and held voltages.
    """

    name: str
    network: Network
