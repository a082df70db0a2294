"""The switches and tap changers of a pandapower net that the network operator may use.

It gives a search over configurations the graph of the net, the net in any configuration, and its
branches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pandapower.topology import connected_components, create_nxgraph

from doe_allocation.reconfiguration.choices import Choices, Configuration
from doe_allocation.reconfiguration.pandapower_switch_faults import (
    TABLE_OF,
    switch_faults,
    tap_positions,
)
from doe_allocation.reconfiguration.pi_branches import Branches, NotTwoEndedError, branches_of
from doe_allocation.reconfiguration.radial_configurations import SwitchableGraph
from doe_allocation.reconfiguration.switched_branches import SwitchedBranches, TapChanger
from security_check.errors import Fault
from security_check.importers import Net
from security_check.model.element_ids import element_id, element_ids, table_row
from security_check.model.network import Network

_PLACEHOLDER_OHM = 1.0  # ohm; keeps the two buses of a closed switch apart, and is left out again
_BUSES = {
    "line": ("from_bus", "to_bus"),
    "impedance": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "trafo3w": ("hv_bus", "mv_bus", "lv_bus"),
}


@dataclass(frozen=True, slots=True)
class _Edge:
    """A branch of the net's graph: its element, its ends, and the control that opens it, or -1."""

    element: str
    ends: tuple[int, int]
    control: int = -1


class SwitchedNet:
    """A pandapower net of which some branches may be switched and some taps moved.

    Parameters
    ----------
    net
        The net in its present state.  Changed by :meth:`set`.
    switchable
        ``"switch:3"`` (opened and closed) or ``"line:7"`` (in or out of service).
    taps
        Lowest and highest position of each transformer, ``"trafo:0"``; ``None`` for all positions.
    faults
        The list to which faults are added.
    """

    def __init__(
        self,
        net: Net,
        switchable: Sequence[str],
        taps: Mapping[str, tuple[int, int] | None],
        faults: list[Fault],
    ) -> None:
        self._net = net
        self.switchable = tuple(switchable)
        found = list(switch_faults(net, self.switchable))
        self._positions: dict[int, tuple[int, ...]] = {}
        for name, span in taps.items():
            index, positions = tap_positions(net, name, span, found)
            self._positions[index] = positions
        self.faulty = bool(found)
        faults += found
        if self.faulty:
            return
        edges = list(self._edges())
        self._buses, self.graph = self._graph(edges)
        loop = self.graph.fixed_loop()
        if loop is not None:
            named = [edge.element for edge in edges if edge.control < 0]
            faults.append(
                Fault(
                    named[loop],
                    "it closes a loop of branches none of which may be switched, so there is no "
                    "radial configuration; actions.switchable must name one of them",
                )
            )
            self.faulty = True

    @property
    def tap_changers(self) -> tuple[str, ...]:
        """The transformers whose taps may be moved."""
        return element_ids("trafo", self._positions)

    def choices(self, most_operations: int | None) -> Choices:
        """Return the choices from the present state."""
        closed = tuple(self._is_closed(*table_row(name)) for name in self.switchable)
        taps = tuple(int(self._net.trafo.tap_pos.at[index]) for index in self._positions)
        return Choices(
            self.graph,
            tuple(self._positions.values()),
            Configuration(closed, taps),
            most_operations,
        )

    def set(self, configuration: Configuration) -> Net:
        """Put the net into a configuration, and return it."""
        for name, closed in zip(self.switchable, configuration.closed, strict=True):
            table, index = table_row(name)
            column = "closed" if table == "switch" else "in_service"
            self._net[table].loc[index, column] = closed
        for index, tap in zip(self._positions, configuration.taps, strict=True):
            self._net.trafo.loc[index, "tap_pos"] = tap
        return self._net

    def describe(self, before: Configuration, after: Configuration) -> list[str]:
        """Return the operations that lead from one configuration to another, as sentences."""
        verbs = {
            ("switch", True): "close {}",
            ("switch", False): "open {}",
            ("line", True): "put {} into service",
            ("line", False): "take {} out of service",
        }
        steps = []
        # Opening comes last, so that no bus loses its supply in between.
        for wanted in (True, False):
            steps += [
                verbs[table_row(name)[0], wanted].format(name)
                for name, was, is_ in zip(self.switchable, before.closed, after.closed, strict=True)
                if was != is_ and is_ == wanted
            ]
        return steps + [
            f"move the tap of {name} from {was} to {is_}"
            for name, was, is_ in zip(self.tap_changers, before.taps, after.taps, strict=True)
            if was != is_
        ]

    def branches(self, build: Callable[[Net], Network]) -> SwitchedBranches:
        """Return the branches of all configurations, with everything closed.

        Raises
        ------
        NotTwoEndedError
            When the network has other than two-ended balanced branches.
        """
        net = self._all_closed()
        network = build(net)
        place = {name: k for k, name in enumerate(network.nodes)}
        node = self._nodes(place)
        ties = [
            (k, node[int(net.switch.bus.at[i])], node[int(net.switch.element.at[i])])
            for k, i in enumerate(self._switch_index(name) for name in self.switchable)
            if i >= 0 and net.switch.et.at[i] == "b"
        ]
        placeholders = {frozenset(ends) for _, *ends in ties}
        own, shunts = branches_of(network, placeholders)
        control, energised = self._controls_of(own)
        changers = []
        for index, positions in self._positions.items():
            branch = own.elements.index(element_id("trafo", index))
            variants = []
            for position in positions:
                net.trafo.loc[index, "tap_pos"] = position
                every, _ = branches_of(build(net), placeholders)
                variants.append(
                    every.take(np.array([every.elements.index(element_id("trafo", index))]))
                )
            net.trafo.loc[index, "tap_pos"] = self._net.trafo.tap_pos.at[index]
            joined = variants[0]
            for each in variants[1:]:
                joined = joined.joined(each)
            changers.append(TapChanger(branch, positions, joined))
        fed = self._net.ext_grid.bus[self._net.ext_grid.in_service.astype(bool)]
        return SwitchedBranches(
            network,
            np.unique([node[int(bus)] for bus in fed]),
            own.joined(_ties(ties, self.switchable)),
            np.concatenate([control, np.array([k for k, *_ in ties], dtype=np.int64)]),
            np.concatenate([energised, np.full(len(ties), -1)]),
            shunts,
            tuple(changers),
        )

    def _is_closed(self, table: str, index: int) -> bool:
        column = "closed" if table == "switch" else "in_service"
        return bool(self._net[table][column].at[index])

    def _switch_index(self, name: str) -> int:
        table, index = table_row(name)
        return index if table == "switch" else -1

    def _switches(self) -> Iterator[tuple[Any, ...]]:
        """Yield index, bus, element, kind and whether it is closed, of every switch."""
        columns = ("bus", "element", "et", "closed")
        switch = self._net.switch
        return zip(switch.index, *(switch[name] for name in columns), strict=True)

    def _edges(self) -> Iterator[_Edge]:
        """Yield the branches of the net with all switchable ones closed."""
        net = self._net
        control = {table_row(name): k for k, name in enumerate(self.switchable)}
        by_element: dict[tuple[str, int], int] = {}
        open_elements = set()
        for i, bus, element, et, closed in self._switches():
            mine = control.get(("switch", int(i)), -1)
            if et == "b" and (closed or mine >= 0):
                yield _Edge(element_id("switch", i), (int(bus), int(element)), mine)
            elif et != "b" and mine >= 0:
                by_element[TABLE_OF[et], int(element)] = mine
            elif et != "b" and not closed:
                open_elements.add((TABLE_OF[et], int(element)))
        for table, columns in _BUSES.items():
            for index, in_service in net[table].in_service.items():
                key = (table, int(index))
                mine = control.get(key, by_element.get(key, -1))
                if key in open_elements or not (in_service or key in control):
                    continue
                buses = [int(net[table][column].at[index]) for column in columns]
                name = element_id(table, index)
                if table == "trafo3w":  # its star point is a node of its own, below all buses
                    yield from (_Edge(name, (bus, -1 - int(index))) for bus in buses)
                else:
                    yield _Edge(name, (buses[0], buses[1]), mine)

    def _graph(self, edges: list[_Edge]) -> tuple[list[int], SwitchableGraph]:
        """Return the buses that are nodes, and the graph; buses without any supply are left out."""
        net = self._net
        alive = set(net.bus.index[net.bus.in_service.astype(bool)].tolist())
        sources = {
            int(bus)
            for bus, on in zip(net.ext_grid.bus, net.ext_grid.in_service, strict=True)
            if on and bus in alive
        }
        edges[:] = [e for e in edges if all(end < 0 or end in alive for end in e.ends)]
        near: dict[int, list[int]] = {}
        for edge in edges:
            near.setdefault(edge.ends[0], []).append(edge.ends[1])
            near.setdefault(edge.ends[1], []).append(edge.ends[0])
        reached, waiting = set(sources), list(sources)
        while waiting:
            for other in near.get(waiting.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    waiting.append(other)
        buses = sorted(reached)
        place = {bus: k for k, bus in enumerate(buses)}
        # A switchable branch without any supply joins a node with itself: it stays open.
        ends = [(0, 0)] * len(self.switchable)
        fixed = []
        edges[:] = [edge for edge in edges if edge.ends[0] in place]
        for edge in edges:
            both = place[edge.ends[0]], place[edge.ends[1]]
            if edge.control < 0:
                fixed.append(both)
            else:
                ends[edge.control] = both
        return buses, SwitchableGraph(
            len(buses), tuple(place[bus] for bus in sorted(sources)), tuple(fixed), tuple(ends)
        )

    def _all_closed(self) -> Net:
        """Return a copy with all switchable branches closed; bus switches are branches there."""
        net = copy.deepcopy(self._net)
        for name in self.switchable:
            table, index = table_row(name)
            net[table].loc[index, "closed" if table == "switch" else "in_service"] = True
            if table == "switch" and net.switch.et.at[index] == "b":
                if net.switch.z_ohm.at[index] > 0.0:
                    raise NotTwoEndedError(f"{name} has an impedance")
                net.switch.loc[index, "z_ohm"] = _PLACEHOLDER_OHM
        # Of sources that are joined with all switches closed, only the first holds the voltage.
        for joined in connected_components(create_nxgraph(net, respect_switches=True)):
            fed = net.ext_grid.index[net.ext_grid.in_service & net.ext_grid.bus.isin(joined)]
            net.ext_grid.loc[fed[1:], "in_service"] = False
        return net

    def _nodes(self, place: Mapping[str, int]) -> dict[int, int]:
        """Return the node of each bus; buses joined by fixed switches have the first one's node."""
        mine = {table_row(name) for name in self.switchable}
        together: dict[int, set[int]] = {}
        for i, bus, element, et, closed in self._switches():
            if et == "b" and closed and ("switch", int(i)) not in mine:
                both = together.get(int(bus), {int(bus)}) | together.get(
                    int(element), {int(element)}
                )
                for each in both:
                    together[each] = both
        node = {}
        for bus in self._buses:
            names = element_ids("bus", sorted(together.get(bus, {bus})))
            node[bus] = next((place[name] for name in names if name in place), -1)
        return node

    def _controls_of(self, own: Branches) -> tuple[Any, Any]:
        """Return the control that opens each branch, and the end that stays connected then."""
        net = self._net
        control = np.full(len(own.elements), -1)
        energised = np.full(len(own.elements), -1)
        at = {element: k for k, element in enumerate(own.elements)}
        for k, name in enumerate(self.switchable):
            table, index = table_row(name)
            if table == "line" and name in at:
                control[at[name]] = k
            elif table == "switch" and net.switch.et.at[index] != "b":
                kind = TABLE_OF[net.switch.et.at[index]]
                element = int(net.switch.element.at[index])
                if element_id(kind, element) in at:
                    control[at[element_id(kind, element)]] = k
                    first = int(net[kind][_BUSES[kind][0]].at[element])
                    opens_start = int(net.switch.bus.at[index]) == first
                    energised[at[element_id(kind, element)]] = 1 if opens_start else 0
        return control, energised


def _ties(ties: list[tuple[int, int, int]], names: tuple[str, ...]) -> Branches:
    """Return switches between buses as branches without impedance."""
    count = len(ties)
    start = np.array([start for _, start, _ in ties], dtype=np.int64)
    end = np.array([end for *_, end in ties], dtype=np.int64)
    none, never = np.zeros(count, dtype=np.complex128), np.full(count, np.inf)
    elements = tuple(names[k] for k, *_ in ties)
    return Branches(elements, start, end, none, np.ones(count), none, none, never, never)
