"""The network: nodes, branches, ports, connection points and the interface, in per unit.

A node is a bus, or one conductor of a bus (phase or neutral): balanced and multi-conductor
networks have the same form.  Power enters at *ports*, each between a node and ground or
between two nodes (phase to neutral, phase to phase).  Importers such as
:mod:`security_check.importers.pandapower_balanced` build a ``Network`` and nothing else.  It is
validated once and then frozen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from security_check.arrays import FloatArray, IndexArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.generators import Generators
from security_check.model.inverter_response import Inverters
from security_check.model.network_elements import (
    Interface,
    PassiveElements,
    Ports,
    ReactiveFreedom,
    SeriesBranches,
    Terminals,
    Voltages,
)


@dataclass(frozen=True)
class Network:
    """One area's network, seen from its interface.

    Parameters
    ----------
    name
        For messages.
    nodes
        Ids, for example ``"bus:7"`` or ``"bus:7.a"``; n of them.  Buses joined by closed
        switches are one node, named after the lowest bus index.
    admittance
        Shape (n, n), nodal admittance in per unit, loads and generators not included.
    interface
        The nodes whose voltage the upstream operator holds.
    voltages
        The limited voltages (not those of the interface, not of auxiliary nodes).
    terminals
        The monitored branch ends.
    ports
        The ports at which power enters.
    connection_points
        Ids, for example ``"load:0"``; c of them.
    port_shares
        Shape (J, c), real, >= 0: how a connection point's power is shared among ports; columns
        add up to 1.
    reactive_ratio
        Shape (c,), ``q = reactive_ratio * p``: the tangent of the power factor angle.
    base_power_w
        Watts per unit of power of a port.
    reactive_freedom
        Reactive power that connection points choose freely; none where not given.
    inverters
        The inverters that respond to their voltages; none where not given.
    generators
        The voltage-controlled generators, if there are any.
    passive
        The elements that do not trade, one by one; not known where not given.
    series
        The series impedances; needed only where they have tolerances.

    Raises
    ------
    NetworkFaults
        With every fault: shapes do not fit, a value is not finite, a rating is not a positive
        number, ids repeat, or a node has no path to the interface.
    """

    name: str
    nodes: tuple[str, ...]
    admittance: sp.csr_array
    interface: Interface
    voltages: Voltages
    terminals: Terminals
    ports: Ports
    connection_points: tuple[str, ...]
    port_shares: sp.csr_array
    reactive_ratio: FloatArray
    base_power_w: float
    reactive_freedom: ReactiveFreedom | None = None
    inverters: Inverters | None = None
    generators: Generators | None = None
    passive: PassiveElements | None = None
    series: SeriesBranches | None = None

    @cached_property
    def point_ports(self) -> sp.csr_array:
        """Port powers of active powers at their fixed ratio, shape (J, c), complex."""
        return sp.csr_array(self.port_shares * (1.0 + 1j * self.reactive_ratio)[None, :])

    @cached_property
    def ports_point(self) -> sp.csr_array:
        """The conjugate transpose of :attr:`point_ports`, shape (c, J)."""
        return sp.csr_array(self.point_ports.conj().T)

    @cached_property
    def ports_size(self) -> sp.csr_array:
        """The magnitudes of :attr:`point_ports`, shape (J, c)."""
        return sp.csr_array(abs(self.point_ports))

    @cached_property
    def nominal_v(self) -> dict[str, float]:
        """The volts per unit of the limited voltages, by their names; empty where not known."""
        volts = self.voltages.nominal_v
        return (
            {} if volts is None else dict(zip(self.voltages.elements, volts.tolist(), strict=True))
        )

    @property
    def held(self) -> int:
        """Number of voltage magnitudes held at the interface, h."""
        return int(self.interface.phasors.shape[1])

    def __post_init__(self) -> None:
        faults = network_faults(self)
        if faults:
            raise NetworkFaults(faults)


def selection(chosen: IndexArray, count: int) -> sp.csr_array:
    """Return the matrix that picks ``chosen`` out of ``count``, shape (len(chosen), count)."""
    rows = np.arange(len(chosen))
    return sp.csr_array((np.ones(len(chosen)), (rows, chosen)), shape=(len(chosen), count))


def reactive_ratios(
    ids: tuple[str, ...], power_factor: float | Mapping[str, float]
) -> tuple[FloatArray, list[Fault]]:
    """Return reactive over active power of connection points, shape (c,), and faults.

    Parameters
    ----------
    ids
        The connection points.
    power_factor
        Of all of them, or per id (1.0 where not named): in (0, 1], lagging when withdrawing.
    """
    given = power_factor if isinstance(power_factor, Mapping) else dict.fromkeys(ids, power_factor)
    faults = [
        Fault(i, f"its power factor is {given[i]}; it must be above 0 and at most 1")
        for i in ids
        if not 0.0 < given.get(i, 1.0) <= 1.0
    ]
    faults += [
        Fault(i, "a power factor is given, but there is no such connection point")
        for i in given
        if i not in set(ids)
    ]
    if faults:
        return np.zeros(len(ids)), faults
    return np.array([math.tan(math.acos(given.get(i, 1.0))) for i in ids]), []


def network_faults(network: Network) -> list[Fault]:
    """Return everything wrong with a network; each fault names its element."""
    faults: list[Fault] = []
    for ids, what in ((network.nodes, "node"), (network.connection_points, "connection point")):
        if len(set(ids)) != len(ids):
            repeated = next(i for i in ids if ids.count(i) > 1)
            faults.append(Fault(repeated, f"this {what} id is used more than once"))
    if not network.connection_points:
        faults.append(Fault("network", "it has no connection points, so there is no trade"))
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
    """Return the parts that a network with inverters cannot have: no power flow solves both."""
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
    """Return the faults of the generators, two of which may not hold one node."""
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
    """Return the nodes without a path to the interface; sources couple its phases upstream."""
    count, island = sp.csgraph.connected_components(abs(network.admittance), directed=False)
    held = np.unique(island[network.interface.nodes])
    if count == len(held):
        return []
    return [
        Fault(network.nodes[i], "no branch in service connects it to the interface")
        for i in np.flatnonzero(~np.isin(island, held))
    ]
