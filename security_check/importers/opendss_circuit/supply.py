"""Which nodes of an OpenDSS circuit have a closed path to a voltage source, and what is open.

A capacitance between phases is no supply, so paths are followed conductor by conductor: through
the closed conductors of lines and of whatever is in series, and through a transformer from a
terminal whose phases are all supplied to its other terminals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.arrays import IndexArray
from security_check.errors import Fault
from security_check.importers.opendss_circuit.elements import (
    NEUTRAL,
    Dss,
    Load,
    enabled_elements,
    id_of,
    kind_of,
    switching_controls,
)
from security_check.importers.opendss_circuit.ratings import is_series
from security_check.model.element_ids import element_id

Node = int  # its place in OpenDSS's order of nodes, from 1; 0 is ground


@dataclass(frozen=True, slots=True)
class _Element:
    """A branch: the nodes at the conductors of each end, and whether each conductor is open."""

    name: str
    phases: int
    nodes: tuple[tuple[Node, ...], ...]
    is_open: tuple[tuple[bool, ...], ...]

    @property
    def transforms(self) -> bool:
        return kind_of(self.name) in ("transformer", "autotrans")

    def is_parted(self, end: int) -> bool:
        """Return whether all phases of an end are open."""
        return all(self.is_open[end][: self.phases])

    def along(self) -> Iterator[tuple[Node, Node, bool]]:
        """Yield the nodes that one conductor joins, and whether it is open."""
        if not self.transforms:
            for k, pair in enumerate(zip(*self.nodes, strict=True)):
                yield pair[0], pair[1], self.is_open[0][k] or self.is_open[1][k]
        elif kind_of(self.name) == "autotrans":  # the series winding
            for k in range(self.phases):
                yield self.nodes[0][k], self.nodes[0][self.phases + k], self.is_open[0][k]


@dataclass(frozen=True, slots=True)
class Supply:
    """What a circuit supplies.

    Parameters
    ----------
    nodes
        Names of the nodes with a closed path to a voltage source, ``"b1.2"``.
    opened
        By the name of every other node, the open elements that bound its part of the circuit.
    faults
        Of the states of switches.
    """

    nodes: frozenset[str]
    opened: dict[str, tuple[str, ...]]
    faults: tuple[Fault, ...]

    def lacking(self, node: str) -> str:
        """Return why a node is not supplied, as a sentence without its subject."""
        opened = self.opened.get(node, ())
        named = f" (open: {', '.join(opened)})" if opened else ""
        return f"not supplied: no branch in service connects it with the voltage source{named}"


def supply_of(dss: Dss, order: list[str]) -> Supply:
    """Return what the sources of a circuit supply, ``order`` being the names of its nodes."""
    elements = [_read(dss, name) for name in enabled_elements(dss, _KINDS) if _joins(dss, name)]
    numbers = [NEUTRAL, *(int(name.rsplit(".", 1)[1]) for name in order)]
    part = _parts([*_closed(elements, numbers)], len(order))
    fed = {int(part[node]) for node in (0, *_source_nodes(dss))}
    waiting = [each for each in elements if each.transforms]
    while passing := [each for each in waiting if _is_fed(each, part, fed, numbers)]:
        for each in passing:
            fed |= {
                int(part[node])
                for end, nodes in enumerate(each.nodes)
                for node in nodes
                if node and not each.is_parted(end)
            }
        waiting = [each for each in waiting if each not in passing]
    supplied = {name for k, name in enumerate(order, 1) if int(part[k]) in fed}
    return Supply(
        frozenset(supplied), _opened(dss, elements, order, supplied), tuple(_faults(elements))
    )


_KINDS = {"line", "reactor", "capacitor", "transformer", "autotrans"}


def _joins(dss: Dss, name: str) -> bool:
    """Return whether an element joins nodes, or a neutral and ground."""
    if kind_of(name) == "reactor":
        dss.Circuit.SetActiveElement(name)
        return int(dss.CktElement.NumTerminals()) > 1
    return kind_of(name) in ("transformer", "autotrans") or is_series(dss, name)


def _closed(elements: list[_Element], numbers: list[int]) -> Iterator[tuple[Node, Node]]:
    """Yield the nodes that closed conductors join; ground supplies neutrals, but no phase."""
    for each in elements:
        for one, other, cut in each.along():
            if not cut and (numbers[one or other] >= NEUTRAL or (one and other)):
                yield one, other


def _read(dss: Dss, name: str) -> _Element:
    dss.Circuit.SetActiveElement(name)
    element = dss.CktElement
    count, ends = int(element.NumConductors()), range(int(element.NumTerminals()))
    nodes = [int(node) for node in element.NodeRef()]
    return _Element(
        name,
        int(element.NumPhases()),
        tuple(tuple(nodes[end * count : (end + 1) * count]) for end in ends),
        tuple(tuple(bool(element.IsOpen(end + 1, k + 1)) for k in range(count)) for end in ends),
    )


def _parts(pairs: list[tuple[Node, Node]], count: int) -> IndexArray:
    """Return the number of each node's part when pairs of nodes are joined, shape (count + 1,)."""
    one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    joined = sp.csr_array((np.ones(len(one)), (one, other)), shape=(count + 1, count + 1))
    return np.asarray(sp.csgraph.connected_components(joined, directed=False)[1], dtype=np.int64)


def _source_nodes(dss: Dss) -> list[Node]:
    found = []
    for source in enabled_elements(dss, {"vsource"}):
        dss.Circuit.SetActiveElement(source)
        found += [int(node) for node in dss.CktElement.NodeRef()]
    return found


def _is_fed(each: _Element, part: IndexArray, fed: set[int], numbers: list[int]) -> bool:
    """Return whether all phases of one end are supplied; a neutral is where the winding puts it."""
    for end, nodes in enumerate(each.nodes):
        live = [node for node in nodes if node]
        phases = [node for node in live if numbers[node] < NEUTRAL] or live
        if phases and not each.is_parted(end) and all(int(part[node]) in fed for node in phases):
            return True
    return False


def _opened(
    dss: Dss, elements: list[_Element], order: list[str], supplied: set[str]
) -> dict[str, tuple[str, ...]]:
    """Return the open elements around the part of the circuit of each node without supply."""
    left = [name for name in order if name not in supplied]
    if not left:
        return {}
    joined = [(a, b) for each in elements for a, b, cut in each.along() if a and b and not cut]
    for each in elements:
        live = [
            node
            for end, nodes in enumerate(each.nodes)
            for node in nodes
            if each.transforms and node and not each.is_parted(end)
        ]
        joined += [(live[0], node) for node in live[1:]]
    part = _parts(joined, len(order))
    around: dict[int, dict[str, None]] = {}
    controls = switching_controls(dss)
    for each in elements:
        if not any(any(end) for end in each.is_open):
            continue
        by = [id_of(control) for control, moved in controls.items() if moved == each.name]
        text = id_of(each.name) + (f" by {' and '.join(by)}" if by else "")
        for node in {node for nodes in each.nodes for node in nodes if node}:
            around.setdefault(int(part[node]), {})[text] = None
    places = {name: k for k, name in enumerate(order, 1)}
    return {name: tuple(around.get(int(part[places[name]]), ())) for name in left}


def _faults(elements: list[_Element]) -> Iterator[Fault]:
    for each in elements:
        for end, states in enumerate(each.is_open):
            cut = sum(states[: each.phases])
            if each.transforms and 0 < cut < each.phases:
                detail = f"only {cut} of its {each.phases} phases are open at its end {end + 1}"
                yield Fault(id_of(each.name), f"{detail}; open all or none")


def earthed_faults(dss: Dss, matrix: sp.csr_array, order: list[str], supply: Supply) -> list[Fault]:
    """Return the neutrals that nothing but ground connects with the source.

    What customers return there would flow through the earth.

    Parameters
    ----------
    dss
        The circuit, solved.
    matrix
        Its nodal admittance, in the order of ``order``.
    order, supply
        The names of its nodes, and what its sources supply.
    """
    part = sp.csgraph.connected_components(abs(matrix), directed=False)[1]
    fed = {int(part[node - 1]) for node in _source_nodes(dss) if node}
    return [
        Fault(
            element_id("bus", name),
            "only ground joins this neutral with the voltage source, and a return through the "
            "earth is not supported: give the neutral's conductor, or connect its loads to node 0",
        )
        for k, name in enumerate(order)
        if int(part[k]) not in fed and name in supply.nodes
    ]


def load_faults(connected: list[Load], supply: Supply) -> list[Fault]:
    """Return the faults of loads: an unsupplied bus, a missing phase, or both ends at one node."""
    buses = {node.split(".")[0] for node in supply.nodes}
    faults = []
    for load in connected:
        live = dict.fromkeys(number for number in load.nodes if number)
        missing = [str(n) for n in live if f"{load.bus}.{n}" not in supply.nodes]
        if load.bus not in buses:
            detail = f"bus {load.bus} is {supply.lacking(f'{load.bus}.{next(iter(live), 0)}')}"
        elif missing:
            lacking = supply.lacking(f"{load.bus}.{missing[0]}")
            detail = f"node {' and '.join(missing)} of its bus {load.bus} is {lacking}"
        elif any(one == other for one, other in load.pairs):
            detail = f"both its ends are at one node of its bus {load.bus}"
        elif any(min(filter(None, pair)) >= NEUTRAL for pair in load.pairs):
            detail = f"it is not at one of the nodes 1 to 3 of its bus {load.bus}, its phases"
        elif load.earthed:
            detail = "an impedance of its own to ground (rneut) is not supported; give a reactor"
        else:
            continue
        faults.append(Fault(element_id("load", load.name), detail))
    return faults
