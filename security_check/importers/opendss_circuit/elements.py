"""Every enabled element of an OpenDSS circuit: each class has a role, or is refused by name.

Roles are given to classes, and the walk is over all elements: an element of a class that is not
listed here is a fault, so that nothing of a circuit is left out without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from security_check.errors import Fault
from security_check.model.element_ids import element_id

Dss = Any  # opendssdirect publishes no types

NEUTRAL = 4
"""The node number that four-wire circuits give their neutral."""

_MODELLED = {"vsource", "line", "transformer", "autotrans", "reactor", "capacitor"}
_IDLE = {"load", "generator", "pvsystem", "storage", "windgen", "indmach012"}
_IDLE_CONTROLS = {"invcontrol", "expcontrol", "storagecontroller", "gendispatcher", "espvlcontrol"}
_POSITION_CONTROLS = {"regcontrol", "capcontrol"}  # what they move must be stated
_SWITCHING = {"fuse", "relay", "recloser", "swtcontrol"}  # their present state is the circuit's
_METERS = {"monitor", "energymeter", "sensor", "fmonitor"}
_KNOWN = _MODELLED | _IDLE | _IDLE_CONTROLS | _POSITION_CONTROLS | _SWITCHING | _METERS

_NO_NUMBER = re.compile(r"[+-]?\b(Inf|Nan)\b(?=\s*[,\]}])")  # as OpenDSS writes it in JSON
_IDS = {"transformer": "trafo"}


def id_of(element: str) -> str:
    """Return the id of an element, ``"trafo:t"`` for OpenDSS's ``"Transformer.T"``."""
    kind, _, name = element.lower().partition(".")
    return element_id(_IDS.get(kind, kind), name)


def kind_of(element: str) -> str:
    """Return the class of an element in lower case."""
    return element.lower().partition(".")[0]


def enabled_elements(dss: Dss, kinds: Iterable[str] | None = None) -> list[str]:
    """Return the enabled elements of some classes, or all, in lower case and in their order."""
    wanted = None if kinds is None else set(kinds)
    found = []
    for element in dss.Circuit.AllElementNames():
        if wanted is None or kind_of(element) in wanted:
            dss.Circuit.SetActiveElement(element)
            if dss.CktElement.Enabled():
                found.append(str(element).lower())
    return found


def properties(dss: Dss, element: str, *, entered: bool = False) -> dict[str, Any]:
    """Return the properties of an element by their names in lower case.

    Parameters
    ----------
    dss
        The circuit.
    element
        Its name in OpenDSS, which becomes the active element.
    entered
        Whether only those that the circuit's files give, in the order in which they were given.
    """
    dss.Circuit.SetActiveElement(element)
    text = _NO_NUMBER.sub("NaN", dss.Element.ToJSON(0 if entered else 1))
    found = json.loads(text)
    return {str(key).lower(): value for key, value in found.items()}


def unsupported_faults(dss: Dss) -> list[Fault]:
    """Return a fault for each enabled element of a class that has no role."""
    return [
        Fault(id_of(element), f"elements of type {kind_of(element)} are not supported")
        for element in enabled_elements(dss)
        if kind_of(element) not in _KNOWN
    ]


def make_idle(dss: Dss) -> None:
    """Take all elements that consume or generate out of service, and the controls of these."""
    for element in enabled_elements(dss, _IDLE | _IDLE_CONTROLS):
        dss.Circuit.SetActiveElement(element)
        dss.CktElement.Enabled(False)


def switching_controls(dss: Dss) -> dict[str, str]:
    """Return what each enabled fuse, relay, recloser and switch control switches, by control."""
    found = {}
    for control in enabled_elements(dss, _SWITCHING):
        given = properties(dss, control)
        element = str(given.get("switchedobj") or given.get("monitoredobj") or "").lower()
        if element:
            found[control] = element
    return found


def open_switches(dss: Dss) -> None:
    """Open what the state of a fuse, relay, recloser or switch control calls open.

    OpenDSS opens it only when its controls run; a conductor that is open stays open.
    """
    for control, element in switching_controls(dss).items():
        given = properties(dss, control)
        terminal = int(given.get("switchedterm") or given.get("monitoredterm") or 1)
        states = given["state"]
        if isinstance(states, str):
            phases = [""] if _is_open(states) else []
        else:
            phases = [str(phase) for phase, each in enumerate(states, 1) if _is_open(each)]
        for phase in phases:
            dss.Text.Command(f"open {element} {terminal} {phase}")


def _is_open(state: Any) -> bool:
    return str(state).lower().startswith("o")


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
    earthed
        Whether it has an impedance of its own between its neutral and ground.
    """

    name: str
    bus: str
    nodes: tuple[int, ...]
    phases: int
    delta: bool
    earthed: bool

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of node numbers between which it is connected."""
        if self.delta:
            ring = (*self.nodes, self.nodes[0])
            return tuple((ring[k], ring[k + 1]) for k in range(self.phases))
        return tuple((node, self.nodes[self.phases]) for node in self.nodes[: self.phases])


def loads(dss: Dss) -> list[Load]:
    """Return the loads in service; the circuit must have been solved."""
    found = []
    for element in enabled_elements(dss, {"load"}):
        name = element.partition(".")[2]
        dss.Loads.Name(name)
        bus = dss.CktElement.BusNames()[0].split(".")[0].lower()
        nodes = tuple(int(node) for node in dss.CktElement.NodeOrder())
        delta, phases = bool(dss.Loads.IsDelta()), int(dss.Loads.Phases())
        neutral = 0 if delta else nodes[phases]
        earthed = neutral != 0 and float(dss.Loads.Rneut()) >= 0.0
        found.append(Load(name, bus, nodes, phases, delta, earthed))
    return found
