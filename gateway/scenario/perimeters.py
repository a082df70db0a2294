"""The perimeters of a scenario: sets of connection points about which operators coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from gateway.scenario.element_tables import listed_points
from gateway.scenario.linear.area import LinearArea
from security_check.arrays import IndexArray
from security_check.errors import Fault
from security_check.model.element_ids import joined_id, without_phase
from security_check.model.network import Network


@dataclass(frozen=True, slots=True)
class Perimeters:
    """The perimeter of each of c connection points; each point belongs to exactly one.

    Parameters
    ----------
    names
        Names of the perimeters that have connection points.
    of_point
        Shape (c,), the index in ``names`` of each point's perimeter.
    interface
        The interface that feeds each connection point: c names of buses such as ``"bus:0"``,
        joined with ``+`` where several interfaces feed a meshed network.
    node
        The node of each connection point: c names, joined with ``+`` for several phases.
    """

    names: tuple[str, ...]
    of_point: IndexArray
    interface: tuple[str, ...]
    node: tuple[str, ...]

    def points(self, perimeter: int) -> IndexArray:
        """Return the indices of the connection points of a perimeter."""
        return np.flatnonzero(self.of_point == perimeter)


def build_perimeters(
    given: Any, network: Network | LinearArea, area: str, faults: list[Fault]
) -> Perimeters:
    """Return the perimeters that ``[perimeters]`` names, and those of all other points.

    A point that the section does not name belongs to the perimeter of the interface that feeds it:
    the whole area if the area has one interface, else its electrically separate part.
    """
    points = network.connection_points
    if isinstance(network, LinearArea):
        interface, nodes = (network.slack_bus,) * len(points), network.node_of_point
    else:
        interface, nodes = _interfaces(network), _nodes(network)
    parts = dict.fromkeys(interface)
    usual = [area if len(parts) == 1 else f"{area}:{part}" for part in interface]
    named = _named(given, points, set(usual), faults)
    own = [named.get(point, part) for point, part in zip(points, usual, strict=True)]
    names = tuple(dict.fromkeys([*named.values(), *own]))
    index = {name: k for k, name in enumerate(names)}
    return Perimeters(names, np.array([index[name] for name in own]), interface, nodes)


def _named(
    given: Any, points: tuple[str, ...], taken: set[str], faults: list[Fault]
) -> dict[str, str]:
    """Return the perimeter of each connection point that the section names."""
    perimeter_of: dict[str, str] = {}
    for name, members in listed_points("perimeters", given, points, taken, faults):
        where = f"perimeters.{name}"
        if not given[name]:
            faults.append(Fault(where, "it has no connection point"))
        for point in members:
            other = perimeter_of.setdefault(point, name)
            if other != name:
                faults.append(Fault(where, f"{point} is in {other} already"))
        faults += [
            Fault(where, f"{point} is named twice")
            for point in dict.fromkeys(members)
            if members.count(point) > 1
        ]
    return perimeter_of


def _interfaces(network: Network) -> tuple[str, ...]:
    """Return the interface that feeds each connection point."""
    _, island = sp.csgraph.connected_components(abs(network.admittance), directed=False)
    held: dict[int, dict[str, None]] = {}
    for node in network.interface.nodes.tolist():
        bus = without_phase(network.nodes[node])
        held.setdefault(int(island[node]), {})[bus] = None
    at_node = abs(network.ports.incidence) @ network.port_shares  # (n, c): the nodes of each point
    columns = sp.csc_array(at_node)
    return tuple(
        joined_id(
            dict.fromkeys(
                bus
                for node in columns.indices[columns.indptr[i] : columns.indptr[i + 1]]
                for bus in held.get(int(island[node]), ())
            )
        )
        for i in range(len(network.connection_points))
    )


def _nodes(network: Network) -> tuple[str, ...]:
    """Return the names of the ports of each connection point."""
    columns = sp.csc_array(network.port_shares)
    return tuple(
        joined_id(
            network.ports.names[j]
            for j in columns.indices[columns.indptr[i] : columns.indptr[i + 1]]
        )
        for i in range(len(network.connection_points))
    )
