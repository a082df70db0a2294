"""What may be wrong with a network, whoever built it: each fault names its element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from security_check.errors import Fault

if TYPE_CHECKING:
    from security_check.network import Network


def network_faults(network: Network) -> list[Fault]:
    """Return everything wrong with a network; each fault names its element."""
    faults: list[Fault] = []
    for ids, what in ((network.nodes, "node"), (network.connection_points, "connection point")):
        if len(set(ids)) != len(ids):
            repeated = next(i for i in ids if ids.count(i) > 1)
            faults.append(Fault(repeated, f"this {what} id is used more than once"))
    if not network.connection_points:
        faults.append(Fault("network", "it has no connection points, so nobody can trade"))
    if not np.isfinite(network.admittance.data).all():
        faults.append(Fault("network", "its admittance matrix has entries that are not finite"))
        return faults
    faults += _rating_faults(network) + _connection_faults(network) + _island_faults(network)
    return faults if network.generators is None else faults + _generator_faults(network)


def _rating_faults(network: Network) -> list[Fault]:
    rated = network.terminals.rating_pu * network.terminals.base_current_a
    wrong = ~(np.isfinite(rated) & (rated > 0))
    named = {
        network.terminals.elements[k]: f"its rating is {rated[k]:g} A; it must be a number above 0"
        for k in np.flatnonzero(wrong)
    }
    return [Fault(element, detail) for element, detail in named.items()]


def _connection_faults(network: Network) -> list[Fault]:
    faults = [
        Fault(network.connection_points[i], "its power factor is not a number above 0 up to 1")
        for i in np.flatnonzero(~np.isfinite(network.reactive_ratio))
    ]
    faults += _freedom_faults(network) + _inverter_faults(network)
    whole = np.asarray(network.port_shares.sum(axis=0)).ravel()
    faults += [
        Fault(network.connection_points[i], f"its shares of ports add up to {whole[i]:g}, not 1")
        for i in np.flatnonzero(~(np.abs(whole - 1.0) < 1e-9))
    ]
    passive = np.flatnonzero(~np.isfinite(network.ports.passive_power_pu))
    return faults + [
        Fault(network.ports.names[j], "its passive power is not finite") for j in passive
    ]


def _freedom_faults(network: Network) -> list[Fault]:
    if network.reactive_freedom is None:
        return []
    cone, half = network.reactive_freedom.cone, network.reactive_freedom.half
    middle = network.reactive_freedom.middle
    wrong = ~((cone >= 0.0) & (half >= 0.0) & np.isfinite(cone + half + middle))
    return [
        Fault(
            network.connection_points[i],
            f"its reactive range (cone {cone[i]:g}, {middle[i]:g} +- {half[i]:g} p.u.) is none",
        )
        for i in np.flatnonzero(wrong)
    ]


def _inverter_faults(network: Network) -> list[Fault]:
    """Return what inverters do not go together with; no power flow knows both."""
    if network.inverters is None:
        return []
    faults = []
    if network.generators is not None:
        faults.append(
            Fault(
                "network",
                "it has voltage-controlled generators besides inverters that "
                "respond to their voltage; only one of the two is possible",
            )
        )
    if network.ports.compensation is not None:
        faults.append(
            Fault(
                "network",
                "its impedances have tolerances and its inverters respond to "
                "their voltage; only one of the two is possible",
            )
        )
    freedom = network.reactive_freedom
    if freedom is None:
        return faults
    responds = np.asarray(network.port_shares[network.inverters.ports].sum(axis=0)) > 0.0
    both = responds & ((freedom.cone > 0.0) | (freedom.half > 0.0))
    return faults + [
        Fault(
            network.connection_points[i],
            "it chooses its reactive power freely and has an inverter that responds to its "
            "voltage; it can only do one of the two",
        )
        for i in np.flatnonzero(both)
    ]


def _generator_faults(network: Network) -> list[Fault]:
    """Return what is wrong with the generators, two of which may not hold one node."""
    assert network.generators is not None
    faults = network.generators.faults()
    at = network.ports.incidence[:, network.generators.ports].tocsc().indices
    holds = {int(node): "the interface" for node in network.interface.nodes}
    for name, node in zip(network.generators.names, at.tolist(), strict=True):
        if node in holds:
            detail = f"the voltage of {network.nodes[node]} is held by {holds[node]} already"
            faults.append(Fault(name, detail))
        holds[node] = name
    return faults


def _island_faults(network: Network) -> list[Fault]:
    """Name the nodes without a path to the interface, whose phases hang together outside."""
    count, island = sp.csgraph.connected_components(abs(network.admittance), directed=False)
    held = np.unique(island[network.interface.nodes])
    if count == len(held):
        return []
    return [
        Fault(network.nodes[i], "no branch in service connects it to the interface")
        for i in np.flatnonzero(~np.isin(island, held))
    ]
