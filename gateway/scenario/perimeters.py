"""The perimeters of a scenario: sets of connection points that operators coordinate about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from gateway.formats.identifiers import is_identifier
from security_check.arrays import IndexArray
from security_check.errors import Fault
from security_check.model.network import Network


@dataclass(frozen=True, slots=True)
class Perimeters:
    """To which perimeter each connection point belongs; c of them, each to exactly one.

    Parameters
    ----------
    names
        Of the perimeters, those that have connection points.
    of_point
        Shape (c,), the perimeter of each.
    interface
        The interface behind which each connection point is, c names of buses, ``"bus:0"``;
        several joined with ``+`` where a meshed network is fed from several.
    node
        Where each is connected, c names of nodes, joined with ``+`` where it has several phases.
    """

    names: tuple[str, ...]
    of_point: IndexArray
    interface: tuple[str, ...]
    node: tuple[str, ...]

    def points(self, perimeter: int) -> IndexArray:
        """Return the connection points of a perimeter, named by their places."""
        return np.flatnonzero(self.of_point == perimeter)


def build_perimeters(given: Any, network: Network, area: str, faults: list[Fault]) -> Perimeters:
    """Return the perimeters that ``[perimeters]`` names, and those of everybody else.

    Whoever is named nowhere is in the perimeter of the interface that feeds them: the whole area
    where there is one, and each electrically separate part otherwise.
    """
    interface = _interfaces(network)
    parts = dict.fromkeys(interface)
    usual = [area if len(parts) == 1 else f"{area}:{part}" for part in interface]
    named = _named(given, network.connection_points, set(usual), faults)
    own = [
        named.get(point, part) for point, part in zip(network.connection_points, usual, strict=True)
    ]
    names = tuple(dict.fromkeys([*named.values(), *own]))
    index = {name: k for k, name in enumerate(names)}
    return Perimeters(names, np.array([index[name] for name in own]), interface, _nodes(network))


def _named(
    given: Any, points: tuple[str, ...], taken: set[str], faults: list[Fault]
) -> dict[str, str]:
    """Return the perimeter of each connection point that the section names."""
    perimeter_of: dict[str, str] = {}
    if not isinstance(given, Mapping):
        faults.append(Fault("perimeters", "it must be a table of perimeters"))
        return perimeter_of
    for name, members in given.items():
        where = f"perimeters.{name}"
        if not is_identifier(name) or name in taken:
            detail = "it is that of those named nowhere, or has blanks, slashes, + or #"
            faults.append(Fault(where, f"this cannot be a perimeter's name: {detail}"))
        if not isinstance(members, list) or not all(isinstance(each, str) for each in members):
            faults.append(Fault(where, "it must be a list of connection points"))
            continue
        if not members:
            faults.append(Fault(where, "it has no connection point"))
        for point in members:
            if point not in points:
                faults.append(Fault(where, f"{point} is no connection point of the network"))
            elif point in perimeter_of:
                other = perimeter_of[point]
                again = "named twice" if other == name else f"in {other} already"
                faults.append(Fault(where, f"{point} is {again}"))
            else:
                perimeter_of[point] = name
    return perimeter_of


def _interfaces(network: Network) -> tuple[str, ...]:
    """Return the interface that feeds each connection point."""
    _, island = sp.csgraph.connected_components(abs(network.admittance), directed=False)
    held: dict[int, dict[str, None]] = {}
    for node in network.interface.nodes.tolist():
        bus = network.nodes[node].partition(".")[0]
        held.setdefault(int(island[node]), {})[bus] = None
    at_node = abs(network.ports.incidence) @ network.port_shares  # (n, c): who enters where
    columns = sp.csc_array(at_node)
    return tuple(
        "+".join(
            dict.fromkeys(
                bus
                for node in columns.indices[columns.indptr[i] : columns.indptr[i + 1]]
                for bus in held.get(int(island[node]), ())
            )
        )
        for i in range(len(network.connection_points))
    )


def _nodes(network: Network) -> tuple[str, ...]:
    """Return where each connection point is connected: the names of its ports."""
    columns = sp.csc_array(network.port_shares)
    return tuple(
        "+".join(
            network.ports.names[j]
            for j in columns.indices[columns.indptr[i] : columns.indptr[i + 1]]
        )
        for i in range(len(network.connection_points))
    )
