"""The network of an interval with the flexibility that was matched in it.

A match moves injection between buses, so envelopes are allocated, resumed and traded on a network
that has it: in the set point, and for conditional requests in every flow at its worst.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from exchange.state.session import Session
from exchange.vocabulary.network_port import FlexibleNetwork, NetworkPort, Networks, network_in
from security_check.errors import GridError


def network_of(session: Session, grid: Networks) -> NetworkPort:
    """Return the network of a session.

    Raises
    ------
    GridError
        When the area has no network for it, or none that can have what was matched.
    """
    network = network_in(grid, session.start)
    return network_with({}, session, network) if session.flexibility.is_matched else network


def network_with(moved_w: Mapping[str, int], session: Session, network: NetworkPort) -> NetworkPort:
    """Return a session's network with what was matched, and more injection by bus; raises so."""
    if not isinstance(network, FlexibleNetwork):
        raise GridError("flexibility was matched, and the network of this area is not linear")
    flexibility = session.flexibility
    firm_w = Counter(flexibility.firm_w)
    firm_w.update(moved_w)
    # In the order of numbers: sums of floats are then the same after a restart.
    conditional = [moved for _, moved in sorted(flexibility.conditional_w.items())]
    return network.activated(firm_w, conditional)
