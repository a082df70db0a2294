"""Build a multi-conductor :class:`~security_check.model.network.Network` from an OpenDSS circuit.

OpenDSS builds the matrices: the system admittance, and each branch's primitive admittance, which
gives its terminal currents.  The voltage source's own impedance is part of the network; the
interface is the ideal source behind it.

Needs the optional package ``opendssdirect.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray
from security_check.errors import Fault, NetworkFaults
from security_check.importers.opendss_circuit.controls import (
    Capacitors,
    Taps,
    set_capacitors,
    set_taps,
    tap_positions,
)
from security_check.importers.opendss_circuit.elements import (
    NEUTRAL,
    Load,
    loads,
    make_idle,
    open_switches,
    unsupported_faults,
)
from security_check.importers.opendss_circuit.ratings import Branch, branches
from security_check.importers.opendss_circuit.settings import (
    base_voltage_faults,
    set_snapshot,
    setting_faults,
)
from security_check.importers.opendss_circuit.source import Source, sources
from security_check.importers.opendss_circuit.supply import (
    earthed_faults,
    load_faults,
    supply_of,
)
from security_check.model.element_ids import element_id, element_ids, name_of
from security_check.model.network import Network, reactive_ratios, selection
from security_check.model.network_elements import Interface, Ports, Terminals, Voltages

BASE_POWER_W = 1e5
"""Base power: OpenDSS has none, and low-voltage circuits have powers of this size."""


def network_from_opendss(
    master: Path | str,
    *,
    power_factor: float | Mapping[str, float] = 1.0,
    name: str = "",
    taps: Taps | None = None,
    capacitors: Capacitors | None = None,
    default_rating_a: float | None = None,
) -> Network:
    """Return the network of an OpenDSS master file, with a node for each conductor.

    Every enabled load is a connection point ``"load:NAME"`` on its own phases; the powers of
    loads, generators, storage and photovoltaic systems are not used.  Ratings are ``normamps`` of
    lines and of reactors and capacitors in series, and each transformer winding's kVA at its rated
    voltage, scaled by ``normhkva`` where it is given.  A fuse, relay, recloser or switch control
    is in its present state.

    The circuit is read as a snapshot at its base frequency, whatever its file solved last and
    whatever circuits were read before.

    Parameters
    ----------
    master
        The file to compile.
    power_factor
        Of every connection point, or per id (1.0 where not named): in (0, 1], lagging when
        withdrawing.
    name
        The network's name; that of the circuit where empty.
    taps
        Where the taps stand that regulators move: ``"as-given"`` where the files leave them,
        ``"neutral"`` (rated ratio), or a position for each regulator, named by it or by its
        transformer: whole steps, 0 in the middle of the range, as OpenDSS's ``tapnum``.  Any other
        tap changer may be named too, by transformer and winding (``"t1.2"``).
    capacitors
        Where the capacitors stand that are controlled: ``"as-given"``, or for each name the number
        of steps in service, or 1 and 0 for each step.
    default_rating_a
        The rating of lines, reactors and capacitors whose files give none, A.

    Raises
    ------
    ModuleNotFoundError
        When ``opendssdirect.py`` is not installed.
    NetworkFaults
        With every fault found, each naming its element; an enabled regulator or capacitor control
        is one where ``taps`` or ``capacitors`` is not given, and so is an element without a
        rating or of a class that is not modelled, and a setting that is not.
    """
    dss = _compiled(Path(master))
    faults = set_taps(dss, taps) + set_capacitors(dss, capacitors)
    return _network(dss, power_factor, name, default_rating_a, faults)


def circuit_tap_positions(master: Path | str, names: Sequence[str]) -> dict[str, float]:
    """Return where tap changers stand in a master file, by the names given; without unknown ones.

    Raises
    ------
    ModuleNotFoundError
        When ``opendssdirect.py`` is not installed.
    NetworkFaults
        When OpenDSS cannot compile the file.
    """
    return tap_positions(_compiled(Path(master)), names)


def _network(
    dss: Any,
    power_factor: float | Mapping[str, float],
    name: str,
    default_rating_a: float | None,
    faults: list[Fault],
) -> Network:
    """Return the network of a circuit with the taps and capacitors that it has now."""
    faults += unsupported_faults(dss)
    open_switches(dss)
    found = loads(dss)
    rated, unrated = branches(dss, default_rating_a)
    make_idle(dss)
    dss.Text.Command("solve")
    ids = tuple(element_id("load", load.name) for load in found)
    ratios, wrong = reactive_ratios(ids, power_factor)
    fed, unlike = sources(dss)
    faults += unlike + unrated + circuit_faults(dss, found) + wrong
    if faults:
        raise NetworkFaults(faults)
    circuit = _Circuit(dss, fed)
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

    # An engine of its own: some settings, such as defaultbasefrequency, outlive a circuit.
    engine = dss.NewContext()
    engine.Basic.AllowForms(False)
    engine.Basic.AllowChangeDir(False)
    try:
        engine.Text.Command(f'compile "{master.resolve()}"')
        if engine.Basic.NumCircuits() != 1:
            detail = "it leaves no circuit: its last commands (clear, newactor) take it away"
            raise NetworkFaults([Fault(master.name, detail)])
        if faults := setting_faults(engine):
            raise NetworkFaults(faults)
        set_snapshot(engine)
        engine.Text.Command("solve")
    except dss.DSSException as error:
        raise NetworkFaults([Fault(master.name, f"OpenDSS: {error}")]) from None
    return engine


def system_matrix(dss: Any) -> sp.csr_array:
    """Return the circuit's nodal admittance, siemens, in the order of its nodes."""
    data, indices, pointers = dss.YMatrix.getYsparse(factor=0)
    count = len(dss.Circuit.YNodeOrder())
    matrix = sp.csr_array(sp.csc_array((data, indices, pointers), shape=(count, count)))
    matrix.eliminate_zeros()
    return matrix


def circuit_faults(dss: Any, connected: list[Load]) -> list[Fault]:
    """Return the faults of a circuit whose loads and generators are out of service.

    Parameters
    ----------
    dss
        The circuit, solved.
    connected
        The loads it had.
    """
    faults = []
    if not connected:
        faults.append(Fault("load", "no load is enabled, so there are no connection points"))
    matrix = system_matrix(dss)
    order = [str(node).lower() for node in dss.Circuit.YNodeOrder()]
    if not np.isfinite(matrix.data).all():
        # OpenDSS finds neither base voltages nor paths in such a circuit.
        numbers = np.isfinite(matrix.diagonal())
        wrong = sorted({order[k].split(".")[0] for k in np.flatnonzero(~numbers)})
        detail = "the impedance of a branch there is not a number"
        return faults + [Fault(element_id("bus", bus), detail) for bus in wrong]
    supply = supply_of(dss, order)
    faults += (
        base_voltage_faults(dss, supply.nodes)
        + list(supply.faults)
        + load_faults(connected, supply)
    )
    faults += earthed_faults(dss, matrix, order, supply)
    return faults + [
        Fault(element_id("bus", node), supply.lacking(node))
        for node in order
        if node not in supply.nodes
    ]


@dataclass(frozen=True, slots=True)
class _Sourced:
    """The network with the ideal source as nodes of its own."""

    nodes: tuple[str, ...]
    admittance: sp.csr_array
    interface: Interface


class _Circuit:
    """Reads an idle circuit; per unit of each node's own voltage and ``BASE_POWER_W``."""

    def __init__(self, dss: Any, fed: list[Source]) -> None:
        self.dss = dss
        self.fed = fed
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
        nodes = [int(node) - 1 for node in dss.CktElement.NodeRef()]
        return nodes, (flat[0::2] + 1j * flat[1::2]).reshape(len(nodes), len(nodes)).T

    def with_source(self) -> _Sourced:
        """Put the ideal sources behind their own impedances as further nodes."""
        held, own, phasors = [], [], []
        for source in self.fed:
            nodes, primitive = self._primitive(source.element)
            phases = len(source.numbers)
            base_v = self.base_v[nodes[:phases]]
            held += nodes[:phases]
            own.append(
                primitive[:phases, :phases] * base_v[:, None] * base_v[None, :] / BASE_POWER_W
            )
            phasors.append(source.voltage_v / base_v)
        count, further = len(self.order), len(held)
        behind = sp.csr_array(sp.block_diag(own))
        apart = sp.csr_array(selection(np.array(held), count).T)
        tie = sp.csr_array(-behind)
        above = sp.hstack([self.admittance, apart @ tie], format="csr")
        below = sp.hstack([tie @ apart.T, behind], format="csr")
        admittance = sp.vstack([above, below], format="csr")
        names = element_ids("bus", self.order)
        return _Sourced(
            names + tuple(f"source.{k + 1}" for k in range(further)),
            sp.csr_array(admittance),
            Interface(count + np.arange(further), np.diag(np.concatenate(phasors))),
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
            names.append(element_id("bus", node))
        incidence = sp.csr_array((signs, (rows, columns)), shape=(len(names), count))
        of_buses = [[position.get(f"{bus}.{k}") for k in (1, 2, 3)] for bus in self._buses()]
        triples = np.array([three for three in of_buses if None not in three], dtype=np.int64)
        volts = self.base_v[[self.index[name_of(name)] for name in names]]
        return Voltages(tuple(names), incidence, triples.reshape(-1, 3), volts)

    def _buses(self) -> list[str]:
        return list(dict.fromkeys(node.rsplit(".", 1)[0] for node in self.order))

    def terminals(self, rated: list[Branch], count: int) -> Terminals:
        """Return the monitored currents: both ends of lines, and transformer windings."""
        elements, sides, rows, ratings, bases = [], [], [], [], []
        for branch in rated:
            nodes, primitive = self._primitive(branch.element)
            for end in branch.ends:
                for conductors in end.currents:
                    node = nodes[conductors[0]]
                    if node < 0:
                        continue
                    base = self.base_a[node]
                    elements.append(f"{branch.name}.{self.order[node].rsplit('.', 1)[1]}")
                    sides.append(end.side)
                    current = primitive[list(conductors)].sum(axis=0)
                    rows.append(self._row(current, nodes, base, count))
                    ratings.append(end.rating_a / base)
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
        names = tuple(element_id("bus", self.order[plus]) for plus, _ in index)
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
        return sum(len(source.numbers) for source in self.fed)
