"""The electrically separate parts of a network, each of which can be checked on its own.

The network of a town has many substations, each with a voltage that the upstream operator holds,
and no branch between their areas.  Powers of one area do not act on the others, so a network of
thousands of customers is checked in parts of a few hundred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from security_check.arrays import IndexArray
from security_check.model.network import Network
from security_check.model.network_elements import (
    Interface,
    Ports,
    ReactiveFreedom,
    Terminals,
    Voltages,
)


@dataclass(frozen=True, slots=True)
class Island:
    """An electrically separate part of a network.

    Parameters
    ----------
    network
        The part as a network of its own.
    points
        Shape (c,), indices of its connection points in the whole network.
    """

    network: Network
    points: IndexArray


def islands_of(network: Network) -> list[Island]:
    """Return the islands of a network with customers: parts that no branch connects.

    A network in which a connection point, a voltage or a branch end lies in several parts (such
    as uncoupled phases) is returned whole; so is one with voltage-controlled generators,
    inverters that respond to voltages, or uncertain impedances.
    """
    whole = [Island(network, np.arange(len(network.connection_points)))]
    count, label = sp.csgraph.connected_components(abs(network.admittance), directed=False)
    coupled = network.generators is not None or network.ports.compensation is not None
    if count == 1 or coupled or network.inverters is not None:
        return whole
    island = label.astype(np.int64)
    port_island = _shared(sp.csr_array(network.ports.incidence.T), island)
    islands = [
        _shared(sp.csr_array(network.port_shares.T), port_island),
        _shared(network.voltages.incidence, island),
        _shared(network.terminals.admittance, island),
        port_island,
    ]
    if any((found < 0).any() for found in islands):
        return whole
    of_point, *of_elements = islands
    parts = []
    for k in np.unique(of_point):
        nodes, points = np.flatnonzero(island == k), np.flatnonzero(of_point == k)
        parts.append(Island(_taken(network, nodes, points, [e == k for e in of_elements]), points))
    return parts


def source_groups(network: Network) -> dict[str, int]:
    """Return for each held node, by name, the number of the separate part that it supplies.

    The phases of one source are in one group even where no branch couples them.
    """
    _, label = sp.csgraph.connected_components(abs(network.admittance), directed=False)
    nodes = network.interface.nodes
    names = [network.nodes[node] for node in nodes]
    parts = [f"part {part}" for part in label[nodes].tolist()]
    group: dict[str, str] = {}  # of sources and parts, to another of the same group
    for source, part in zip((name.partition(".")[0] for name in names), parts, strict=True):
        first, other = _root(group, source), _root(group, part)
        group[max(first, other)] = min(first, other)
    roots = [_root(group, part) for part in parts]
    number = {root: k for k, root in enumerate(dict.fromkeys(roots))}
    return {name: number[root] for name, root in zip(names, roots, strict=True)}


def _root(group: dict[str, str], name: str) -> str:
    while group.setdefault(name, name) != name:
        name = group[name]
    return name


def held_apart(network: Network, groups: dict[str, int]) -> Network:
    """Return the network with the voltages of each separate part's sources held on their own.

    Each group has all the magnitudes that the network had, which lie in the contracted set
    whatever those of the other groups are.

    Parameters
    ----------
    network
        The network in any state; h magnitudes are held.
    groups
        From :func:`source_groups`; g of them.  The result holds g h magnitudes.
    """
    source, count = network.interface, 1 + max(groups.values())
    own = np.array([groups[network.nodes[node]] for node in source.nodes])
    phasors = np.zeros((len(source.nodes), count, source.phasors.shape[1]), dtype=np.complex128)
    phasors[np.arange(len(own)), own] = source.phasors
    flat = phasors.reshape(len(own), -1)
    return replace(network, interface=replace(source, phasors=flat))


def _shared(rows: sp.csr_array, label: IndexArray) -> IndexArray:
    """Return the label that all entries of each row share; -1 where they differ."""
    first = np.full(rows.shape[0], -1)
    for k in range(rows.shape[0]):
        found = label[rows.indices[rows.indptr[k] : rows.indptr[k + 1]]]
        if len(found) and (found == found[0]).all():
            first[k] = found[0]
    return first


def _taken(
    network: Network, nodes: IndexArray, points: IndexArray, elements: list[np.ndarray]
) -> Network:
    """Return the network of some nodes; ``elements`` mark its voltages, terminals and ports."""
    voltages, terminals, ports = network.voltages, network.terminals, network.ports
    seen, ends, entering = (np.flatnonzero(mine) for mine in elements)
    source, freedom = network.interface, network.reactive_freedom
    held = np.isin(source.nodes, nodes)
    triples = voltages.triples[np.isin(voltages.triples[:, 0], seen)]
    return Network(
        name=f"{network.name}: {network.nodes[source.nodes[held][0]]}",
        nodes=tuple(network.nodes[i] for i in nodes),
        admittance=sp.csr_array(network.admittance[nodes][:, nodes]),
        interface=Interface(
            np.searchsorted(nodes, source.nodes[held]), source.phasors[held], source.nominal_v
        ),
        voltages=Voltages(
            tuple(voltages.elements[i] for i in seen),
            sp.csr_array(voltages.incidence[seen][:, nodes]),
            np.searchsorted(seen, triples),
            None if voltages.nominal_v is None else voltages.nominal_v[seen],
        ),
        terminals=Terminals(
            tuple(terminals.elements[i] for i in ends),
            tuple(terminals.sides[i] for i in ends),
            sp.csr_array(terminals.admittance[ends][:, nodes]),
            terminals.rating_pu[ends],
            terminals.base_current_a[ends],
        ),
        ports=Ports(
            tuple(ports.names[j] for j in entering),
            sp.csr_array(ports.incidence[nodes][:, entering]),
            ports.passive_power_pu[entering],
        ),
        connection_points=tuple(network.connection_points[i] for i in points),
        port_shares=sp.csr_array(network.port_shares[entering][:, points]),
        reactive_ratio=network.reactive_ratio[points],
        base_power_w=network.base_power_w,
        reactive_freedom=None
        if freedom is None
        else ReactiveFreedom(freedom.cone[points], freedom.middle[points], freedom.half[points]),
    )
