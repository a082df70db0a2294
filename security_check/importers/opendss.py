"""Build a multi-conductor :class:`~security_check.model.network.Network` from an OpenDSS circuit.

OpenDSS builds the matrices: the system admittance, and each branch's primitive admittance, which
gives its terminal currents.  The voltage source's own impedance is part of the network; the
interface is the ideal source behind it.

Needs the optional package ``opendssdirect.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray
from security_check.errors import Fault, NetworkFaults
from security_check.importers.opendss_elements import (
    IDLE_CLASSES,
    NEUTRAL,
    Branch,
    Load,
    branches,
    circuit_faults,
    loads,
    system_matrix,
)
from security_check.model.network import Network, reactive_ratios, selection
from security_check.model.network_elements import Interface, Ports, Terminals, Voltages

BASE_POWER_W = 1e5
"""Base power: OpenDSS has none, and low-voltage circuits have powers of this size."""


def network_from_opendss(
    master: Path | str, *, power_factor: float | Mapping[str, float] = 1.0, name: str = ""
) -> Network:
    """Return the network of an OpenDSS master file, with a node for each conductor.

    Every enabled load is a connection point ``"load:NAME"`` on its own phases; the powers of
    loads, generators, storage and photovoltaic systems are not used.  Line ratings are
    ``normamps``; transformer ratings are each winding's kVA at its rated voltage.

    Parameters
    ----------
    master
        The file to compile.
    power_factor
        Of every connection point, or per id (1.0 where not named): in (0, 1], lagging when
        withdrawing.

    Raises
    ------
    ModuleNotFoundError
        When ``opendssdirect.py`` is not installed.
    NetworkFaults
        With every fault found, each naming its element.
    """
    dss = _compiled(Path(master))
    found = loads(dss)
    rated = branches(dss)
    _idle(dss)
    ids = tuple(f"load:{load.name}" for load in found)
    ratios, faults = reactive_ratios(ids, power_factor)
    faults = circuit_faults(dss, found, rated) + faults
    if faults:
        raise NetworkFaults(faults)
    circuit = _Circuit(dss)
    ports = circuit.ports(found)
    source = circuit.with_source()
    return Network(
        name=name or str(dss.Circuit.Name()),
        nodes=source.nodes,
        admittance=source.admittance,
        interface=source.interface,
        voltages=circuit.voltages(len(source.nodes)),
        terminals=circuit.terminals(rated, len(source.nodes)),
        ports=ports[0],
        connection_points=ids,
        port_shares=ports[1],
        reactive_ratio=ratios,
        base_power_w=BASE_POWER_W,
    )


def _compiled(master: Path) -> Any:
    import opendssdirect as dss  # optional, and slow to load

    dss.Basic.AllowForms(False)
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command("clear")
    try:
        dss.Text.Command(f'compile "{master.resolve()}"')
        dss.Text.Command("set controlmode=off")
        dss.Text.Command("solve")
    except dss.DSSException as error:
        raise NetworkFaults([Fault(master.name, f"OpenDSS: {error}")]) from None
    return dss


def _idle(dss: Any) -> None:
    """Take all elements that consume or generate out of the matrices."""
    for element in dss.Circuit.AllElementNames():
        if element.split(".")[0] in IDLE_CLASSES:
            dss.Circuit.SetActiveElement(element)
            dss.CktElement.Enabled(False)
    dss.Text.Command("solve")


@dataclass(frozen=True, slots=True)
class _Sourced:
    """The network with the ideal source as nodes of its own."""

    nodes: tuple[str, ...]
    admittance: sp.csr_array
    interface: Interface


class _Circuit:
    """Reads an idle circuit; per unit of each node's own voltage and ``BASE_POWER_W``."""

    def __init__(self, dss: Any) -> None:
        self.dss = dss
        self.order = [str(node).lower() for node in dss.Circuit.YNodeOrder()]
        self.index = {node: k for k, node in enumerate(self.order)}
        bases = []
        for node in self.order:
            dss.Circuit.SetActiveBus(node.split(".")[0])
            bases.append(float(dss.Bus.kVBase()) * 1e3)
        self.base_v: FloatArray = np.array(bases)
        self.base_a: FloatArray = BASE_POWER_W / self.base_v
        volts = sp.diags_array(self.base_v)
        self.admittance = sp.csr_array(volts @ system_matrix(dss) @ volts / BASE_POWER_W)

    def _primitive(self, element: str) -> tuple[list[int], ComplexArray]:
        """Return the nodes of an element's conductors (-1 is ground) and its admittance, S."""
        dss = self.dss
        dss.Circuit.SetActiveElement(element)
        flat = np.array(dss.CktElement.YPrim())
        matrix = flat[0::2] + 1j * flat[1::2]
        numbers = dss.CktElement.NodeOrder()
        conductors = int(dss.CktElement.NumConductors())
        buses = [bus.split(".")[0].lower() for bus in dss.CktElement.BusNames()]
        nodes = [
            self.index.get(f"{buses[k // conductors]}.{number}", -1) if number else -1
            for k, number in enumerate(numbers)
        ]
        return nodes, matrix.reshape(len(nodes), len(nodes)).T

    def with_source(self) -> _Sourced:
        """Put the ideal source behind the source's own impedance as further nodes."""
        dss = self.dss
        dss.Vsources.First()
        element = str(dss.CktElement.Name())
        nodes, primitive = self._primitive(element)
        dss.Circuit.SetActiveElement(element)
        phases = int(dss.CktElement.NumPhases())
        dss.Vsources.First()
        line_to_line = float(dss.Vsources.BasekV()) * 1e3
        angle = np.deg2rad(float(dss.Vsources.AngleDeg()))
        emf_v = line_to_line / (2 * math.sin(math.pi / phases)) if phases > 1 else line_to_line
        held = np.array(nodes[:phases])
        turn = np.exp(1j * (angle - 2 * np.pi * np.arange(phases) / max(phases, 1)))
        phasors = emf_v / self.base_v[held] * turn
        scale = self.base_v[held]
        own = primitive[:phases, :phases] * scale[:, None] * scale[None, :] / BASE_POWER_W
        count = len(self.order)
        apart = sp.csr_array(selection(held, count).T)
        tie = sp.csr_array(-own)
        above = sp.hstack([self.admittance, apart @ tie], format="csr")
        below = sp.hstack([tie @ apart.T, sp.csr_array(own)], format="csr")
        admittance = sp.vstack([above, below], format="csr")
        names = tuple(f"bus:{node}" for node in self.order)
        return _Sourced(
            names + tuple(f"source.{k + 1}" for k in range(phases)),
            sp.csr_array(admittance),
            Interface(count + np.arange(phases), np.diag(phasors)),
        )

    def voltages(self, count: int) -> Voltages:
        """Return the limited voltages: each phase to its neutral, or to ground."""
        names: list[str] = []
        rows, columns, signs = [], [], []
        position: dict[str, int] = {}
        for k, node in enumerate(self.order):
            bus, number = node.rsplit(".", 1)
            if int(number) >= NEUTRAL:
                continue
            neutral = self.index.get(f"{bus}.{NEUTRAL}")
            for column, sign in ((k, 1.0), (neutral, -1.0)):
                if column is not None:
                    rows.append(len(names))
                    columns.append(column)
                    signs.append(sign)
            position[node] = len(names)
            names.append(f"bus:{node}")
        incidence = sp.csr_array((signs, (rows, columns)), shape=(len(names), count))
        of_buses = [[position.get(f"{bus}.{k}") for k in (1, 2, 3)] for bus in self._buses()]
        triples = np.array([three for three in of_buses if None not in three], dtype=np.int64)
        volts = self.base_v[[self.index[name.removeprefix("bus:")] for name in names]]
        return Voltages(tuple(names), incidence, triples.reshape(-1, 3), volts)

    def _buses(self) -> list[str]:
        return list(dict.fromkeys(node.rsplit(".", 1)[0] for node in self.order))

    def terminals(self, rated: list[Branch], count: int) -> Terminals:
        """Return the monitored conductors: both ends of lines, and transformer windings."""
        elements, sides, rows, ratings, bases = [], [], [], [], []
        for branch in rated:
            nodes, primitive = self._primitive(branch.element)
            conductors = len(nodes) // len(branch.ratings_a)
            for end, rating_a in enumerate(branch.ratings_a):
                for k in range(end * conductors, (end + 1) * conductors):
                    if nodes[k] < 0:
                        continue
                    base = self.base_a[nodes[k]]
                    elements.append(f"{branch.name}.{self.order[nodes[k]].rsplit('.', 1)[1]}")
                    sides.append(str(end + 1))
                    rows.append(self._row(primitive[k], nodes, base, count))
                    ratings.append(rating_a / base)
                    bases.append(base)
        return Terminals(
            tuple(elements),
            tuple(sides),
            sp.csr_array(sp.vstack(rows)) if rows else sp.csr_array((0, count)),
            np.array(ratings),
            np.array(bases),
        )

    def _row(
        self, primitive: ComplexArray, nodes: list[int], base_a: float, count: int
    ) -> sp.csr_array:
        live = [k for k, node in enumerate(nodes) if node >= 0]
        at = [nodes[k] for k in live]
        values = primitive[live] * self.base_v[at] / base_a
        return sp.csr_array((values, ([0] * len(at), at)), shape=(1, count))

    def ports(self, loads: list[Load]) -> tuple[Ports, sp.csr_array]:
        """Return the ports of the loads, and each load's shares, shape (J, c)."""
        index: dict[tuple[int, int], int] = {}
        shares = []
        for point, load in enumerate(loads):
            pairs = self._pairs(load)
            shares += [
                (index.setdefault(pair, len(index)), point, 1 / len(pairs)) for pair in pairs
            ]
        count = len(self.order) + self._source_phases()
        incidence = sp.lil_array((count, len(index)))
        for (plus, minus), port in index.items():
            incidence[plus, port] = 1.0
            if minus >= 0:
                incidence[minus, port] = -1.0
        at_port, of_point, share = zip(*shares, strict=True)
        names = tuple(f"bus:{self.order[plus]}" for plus, _ in index)
        return (
            Ports(names, sp.csr_array(incidence), np.zeros(len(index), dtype=np.complex128)),
            sp.csr_array((share, (at_port, of_point)), shape=(len(index), len(loads))),
        )

    def _pairs(self, load: Load) -> list[tuple[int, int]]:
        """Return the pairs of nodes (-1 is ground) between which a load is connected."""
        return [(self._at(load.bus, one), self._at(load.bus, other)) for one, other in load.pairs]

    def _at(self, bus: str, number: int) -> int:
        return self.index[f"{bus}.{number}"] if number else -1

    def _source_phases(self) -> int:
        self.dss.Vsources.First()
        return int(self.dss.CktElement.NumPhases())
