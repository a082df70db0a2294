"""A further state of a network in which envelopes must be secure as well.

An element is out of service (N-1), or taps are at other positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from security_check.model.element import State
from security_check.model.network import Network


@dataclass(frozen=True, slots=True)
class NetworkState:
    """The network in one state.

    Parameters
    ----------
    state
        What differs from the network that the others are compared with.
    network
        The network in this state; the same customers, ports and held voltages.
    """

    state: State
    network: Network
