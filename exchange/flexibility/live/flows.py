"""The flows of an interval with its envelopes and all that was matched, as matching needs them.

Made anew from whole watts each time, so that the same order is matched alike after a restart.
"""

from __future__ import annotations

from doe_allocation.allocation.linear.flow_rows import SECURE_W
from exchange.flexibility.robust_flows import RobustFlows
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.network_port import FlexibleNetwork, Networks, network_in

ALLOWED_W = 0.5 * SECURE_W
"""Watts of rounding by which a match may take a flow beyond its limit; envelopes stay secure."""


def flows_of(session: Session, network: FlexibleNetwork) -> RobustFlows:
    """Return the flows of a session: every point of its envelopes, every subset of requests.

    Parameters
    ----------
    session
        Envelopes and matches.
    network
        Its network, without what was matched.

    Raises
    ------
    GridError
        When the network lacks a bus at which something was matched.
    """
    operation, flexibility = network.operation, session.flexibility
    injection_w = operation.setpoint_w + operation.injection_w(flexibility.firm_w)
    spread_w = operation.spread_w(session.holdings.envelope_set())
    flows = RobustFlows(operation.network, injection_w, spread_w)
    for number, moved in sorted(flexibility.conditional_w.items()):
        flows.add(number, operation.network.ptdf @ operation.injection_w(moved))
    return flows


def check_flows(state: State, grid: Networks) -> None:
    """Check that no flow of an open interval is beyond its limits, if flexibility is traded.

    Raises
    ------
    AssertionError
        With the interval, the branch and its flow.
    """
    if state.rules.flexibility is None:
        return
    for session in state.sessions.values():
        network = network_in(grid, session.start)
        if not session.is_open or session.halted or not isinstance(network, FlexibleNetwork):
            continue
        flows, limits = flows_of(session, network), network.operation.network
        for k, name in enumerate(limits.branches):
            least, largest = flows.least_w[k], flows.largest_w[k]
            inside = limits.lower_w[k] - least <= SECURE_W >= largest - limits.upper_w[k]
            assert inside, f"{session.start}: the flow of {name} is from {least} to {largest} W"
