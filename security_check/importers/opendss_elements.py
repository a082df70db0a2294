"""The loads and branches of an OpenDSS circuit, and its faults.

All faults are collected while the circuit is open and before a network is built, so that they are
reported at once, element by element.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from security_check.errors import Fault
from security_check.model.network_elements import UNRATED

Dss = Any  # opendssdirect publishes no types

NEUTRAL = 4
"""The node number that four-wire circuits give their neutral."""

IDLE_CLASSES = ("Load", "Generator", "PVSystem", "Storage", "VSConverter", "WindGen", "IndMach012")
"""Classes of elements that consume or generate: idle, except loads as connection points."""

_SOURCE_CLASSES = ("Isource", "VCCS", "UPFC", "GICsource")  # unsupported sources


@dataclass(frozen=True, slots=True)
class Load:
    """A load in service.

    Parameters
    ----------
    name, bus
        Names in OpenDSS, in lower case.
    nodes
        The number of the node at each of its conductors; 0 is ground.
    phases
        Number of phases.
    delta
        Whether it is connected between phases.
    """

    name: str
    bus: str
    nodes: tuple[int, ...]
    phases: int
    delta: bool

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of node numbers between which it is connected."""
        if self.delta:
            ring = (*self.nodes, self.nodes[0])
            return tuple((ring[k], ring[k + 1]) for k in range(self.phases))
        return tuple((node, self.nodes[self.phases]) for node in self.nodes[: self.phases])


@dataclass(frozen=True, slots=True)
class Branch:
    """A line or transformer in service.

    Parameters
    ----------
    element
        Its name in OpenDSS, for example ``"Line.l1"``.
    name
        Its id, for example ``"line:l1"`` or ``"trafo:t"``.
    ratings_a
        The current rating of a conductor at each end, A.
    """

    element: str
    name: str
    ratings_a: tuple[float, ...]


def loads(dss: Dss) -> list[Load]:
    """Return the loads in service; the circuit must have been solved."""
    found = []
    for name in dss.Loads.AllNames():
        if name == "NONE":
            continue
        dss.Loads.Name(name)
        if not dss.CktElement.Enabled():
            continue
        bus = dss.CktElement.BusNames()[0].split(".")[0].lower()
        nodes = tuple(int(node) for node in dss.CktElement.NodeOrder())
        found.append(
            Load(name.lower(), bus, nodes, int(dss.Loads.Phases()), bool(dss.Loads.IsDelta()))
        )
    return found


def branches(dss: Dss) -> list[Branch]:
    """Return the lines and transformers in service, in the circuit's order."""
    found = []
    for element in dss.PDElements.AllNames():
        kind, _, name = element.partition(".")
        short = {"line": "line", "transformer": "trafo"}.get(kind.lower())
        dss.Circuit.SetActiveElement(element)
        if short is None or not dss.CktElement.Enabled():
            continue
        ends = int(dss.CktElement.NumTerminals())
        rated = (
            (float(dss.CktElement.NormalAmps()),) * ends
            if short == "line"
            else _winding_ratings_a(dss, name, ends)
        )
        found.append(Branch(element, f"{short}:{name.lower()}", rated))
    return found


def _winding_ratings_a(dss: Dss, name: str, windings: int) -> tuple[float, ...]:
    """Return the current of each winding at its kVA and its rated voltage."""
    phases = int(dss.CktElement.NumPhases())
    dss.Transformers.Name(name)
    ratings = []
    for winding in range(1, windings + 1):
        dss.Transformers.Wdg(winding)
        per_phase = float(dss.Transformers.kVA()) / phases
        across = float(dss.Transformers.kV()) / (math.sqrt(3.0) if phases > 1 else 1.0)
        ratings.append(per_phase / across if across else math.nan)
    return tuple(ratings)


def system_matrix(dss: Dss) -> sp.csr_array:
    """Return the circuit's nodal admittance, siemens, in the order of its nodes."""
    data, indices, pointers = dss.YMatrix.getYsparse(factor=0)
    count = len(dss.Circuit.YNodeOrder())
    matrix = sp.csr_array(sp.csc_array((data, indices, pointers), shape=(count, count)))
    matrix.eliminate_zeros()
    return matrix


def circuit_faults(dss: Dss, connected: list[Load], rated: list[Branch]) -> list[Fault]:
    """Return the faults of a circuit whose loads and generators are out of service.

    Parameters
    ----------
    dss
        The circuit, solved.
    connected
        The loads it had.
    rated
        Its lines and transformers.
    """
    faults = _source_faults(dss)
    if not connected:
        faults.append(Fault("load", "no load is enabled, so there are no connection points"))
    for branch in rated:
        faults += _rating_faults(branch)
    matrix = system_matrix(dss)
    order = [str(node).lower() for node in dss.Circuit.YNodeOrder()]
    if not np.isfinite(matrix.data).all():
        # OpenDSS finds neither base voltages nor paths in such a circuit.
        numbers = np.isfinite(matrix.diagonal())
        wrong = sorted({order[k].split(".")[0] for k in np.flatnonzero(~numbers)})
        detail = "the impedance of a branch there is not a number"
        return faults + [Fault(f"bus:{bus}", detail) for bus in wrong]
    supplied = _supplied(dss, matrix, order)
    faults += _voltage_faults(dss) + _load_faults(connected, supplied)
    return faults + [
        Fault(f"bus:{node}", "no branch in service connects it with the voltage source")
        for node in order
        if node not in supplied
    ]


def _source_faults(dss: Dss) -> list[Fault]:
    sources, faults = [], []
    for element in dss.Circuit.AllElementNames():
        kind, _, name = element.partition(".")
        dss.Circuit.SetActiveElement(element)
        if not dss.CktElement.Enabled():
            continue
        if kind == "Vsource":
            sources.append(f"vsource:{name.lower()}")
            dss.Text.Command(f"? {element}.sequence")
            if not str(dss.Text.Result()).lower().startswith("pos"):
                faults.append(Fault(sources[-1], "its phases are not in positive sequence"))
        elif kind in _SOURCE_CLASSES:
            detail = f"elements of type {kind} are not supported"
            faults.append(Fault(f"{kind.lower()}:{name.lower()}", detail))
    if len(sources) != 1:
        named = ", ".join(sources) or "none"
        faults.append(Fault("interface", f"one voltage source must be enabled, found {named}"))
    return faults


def _rating_faults(branch: Branch) -> list[Fault]:
    wrong = [rated for rated in branch.ratings_a if not 0.0 < rated < UNRATED]
    detail = f"a real rating above 0 and below {UNRATED:g} A is needed"
    return [Fault(branch.name, f"its rating is {rated:g} A: {detail}") for rated in wrong[:1]]


def _voltage_faults(dss: Dss) -> list[Fault]:
    faults = []
    for bus in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(bus)
        if not dss.Bus.kVBase() > 0.0:
            faults.append(Fault(f"bus:{bus.lower()}", "it has no base voltage (set voltagebases)"))
    return faults


def _supplied(dss: Dss, matrix: sp.csr_array, order: list[str]) -> set[str]:
    """Return the nodes with a path to a voltage source."""
    _, part = sp.csgraph.connected_components(abs(matrix), directed=False)
    fed = set()
    for name in dss.Vsources.AllNames():
        dss.Circuit.SetActiveElement(f"Vsource.{name}")
        if dss.CktElement.Enabled():
            bus = dss.CktElement.BusNames()[0].split(".")[0].lower()
            fed |= {part[k] for k, node in enumerate(order) if node.split(".")[0] == bus}
    return {node for k, node in enumerate(order) if part[k] in fed}


def _load_faults(connected: list[Load], supplied: set[str]) -> list[Fault]:
    """Return the faults of loads: an unsupplied bus, a missing phase, or both ends at one node."""
    buses = {node.split(".")[0] for node in supplied}
    faults = []
    for load in connected:
        live = dict.fromkeys(number for number in load.nodes if number)
        missing = [str(n) for n in live if f"{load.bus}.{n}" not in supplied]
        if load.bus not in buses:
            detail = f"bus {load.bus} has no path to the voltage source"
        elif missing:
            named = " and ".join(missing)
            detail = f"no branch in service brings node {named} to its bus {load.bus}"
        elif any(one == other for one, other in load.pairs):
            detail = f"both its ends are at one node of its bus {load.bus}"
        else:
            continue
        faults.append(Fault(f"load:{load.name}", detail))
    return faults
