"""Read a hierarchy file: the operators and their boundaries, or all faults at once.

A hierarchy (TOML) names operators, each with a network, limits and capacities in the sections of a
scenario; boundaries, at each of which a child's network begins at a connection point of its
parent's; and the contract of the operator at the top.  ``docs/hierarchy.md`` describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from doe_allocation.capacity import Capacity
from doe_allocation.fairness.principles import MAX_MIN, Fairness
from doe_allocation.hierarchy.joint_model.members import Boundary, Hierarchy, Member
from gateway.formats.faults import InputFaults
from gateway.formats.identifiers import is_identifier
from gateway.formats.input_files import named_file, read_toml, shown_name
from gateway.hierarchy.boundary_faults import boundary_faults, tree_faults, unreached
from gateway.hierarchy.schema import BoundarySection, ContractSection, WeightsSection
from gateway.scenario.customers import build_capacity, find_unknown_points
from gateway.scenario.fairness import build_fairness
from gateway.scenario.network_source import is_circuit, open_net
from gateway.scenario.network_states import build_model
from gateway.scenario.schema import (
    CapacitySection,
    FairnessSection,
    LimitsSection,
    NetworkSection,
    Section,
    parse_section,
)
from security_check.arrays import FloatArray
from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.tap_ranges import shown_ranges
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState

_SECTIONS: dict[str, type[Section]] = {
    "network": NetworkSection,
    "limits": LimitsSection,
    "capacity": CapacitySection,
    "fairness": WeightsSection,
}
_REQUIRED = ("network", "capacity")
_ABSENT_IS_NONE = ("fairness",)
_FOLDER = "hierarchies"
_BALANCED = "a hierarchy is of balanced pandapower nets"


def hierarchy_path(name: str) -> Path:
    """Return the file of a hierarchy: a path, or ``bundled:NAME`` for one in the project.

    Raises
    ------
    InputFaults
        When the project has no hierarchy of that name.
    """
    return named_file(name, "hierarchy", _FOLDER)


def load_hierarchy(path: Path) -> Hierarchy:
    """Return the hierarchy in a file.

    Raises
    ------
    InputFaults
        With every fault of the file, of its networks, and of how they fit together.
    """
    faults: list[Fault] = []
    content = read_toml(path)
    known = ("contract", "fairness", "operators", "boundaries")
    faults += [Fault(name, "there is no such section") for name in content if name not in known]
    contract, top = _contract(content, faults)
    principle = _principle(content.get("fairness", {}), faults)
    drafts = _drafts(content.get("operators"), path.parent, faults)
    boundaries = _boundaries(content.get("boundaries", []), faults)
    order: list[str] = []
    if drafts and top is not None:
        order, wrong = tree_faults(top, tuple(drafts), boundaries)
        # Operators may be out of reach because of a faulty boundary: then only that is reported.
        whole = len(boundaries) == len(content.get("boundaries", []))
        faults += wrong or (unreached(top, tuple(drafts), order) if whole else [])
    for boundary in boundaries:
        parent, child = drafts.get(boundary.parent), drafts.get(boundary.child)
        if parent is not None and child is not None and parent is not child:
            faults += boundary_faults(
                boundary, (parent.net, parent.points), (child.net, child.section)
            )
    if faults:
        raise InputFaults(shown_name(path), faults)
    assert contract is not None  # no fault means that everything was built
    members = tuple(drafts[name].member(boundaries) for name in order)
    return Hierarchy(shown_name(path), contract, principle, members)


def _contract(
    content: Mapping[str, Any], faults: list[Fault]
) -> tuple[InterfaceLimits | None, str | None]:
    """Return the contract at the top, and the name of its operator."""
    if "contract" not in content:
        faults.append(Fault("contract", "this section is missing"))
        return None, None
    section = parse_section(ContractSection, "contract", content["contract"], faults)
    if section is None:
        given = content["contract"]
        top = given.get("operator") if isinstance(given, Mapping) else None
        return None, top if isinstance(top, str) else None
    if section.unbalance_pu is not None:
        detail = f"phases are not modelled; {_BALANCED}"
        faults.append(Fault("contract.unbalance_pu", detail))
    try:
        return InterfaceLimits(**section.model_dump(exclude={"operator"})), section.operator
    except ValueError as error:
        faults.append(Fault("contract", str(error)))
        return None, section.operator


def _principle(content: Any, faults: list[Fault]) -> Fairness:
    """Return the principle of all operators; each operator has its own weights."""
    section = parse_section(FairnessSection, "fairness", content, faults)
    if section is None:
        return MAX_MIN
    faults += [
        Fault(
            f"fairness.{key}", "it is not an entry for all operators; there are rule, alpha, over"
        )
        for key in ("weights", "forgetting", "gain")
        if key in content
    ]
    terms = build_fairness(section, (), faults)
    return MAX_MIN if terms is None else terms.principle


@dataclass(frozen=True)
class _Draft:
    """One operator as far as its sections could be read; ``None`` for parts with faults."""

    name: str
    section: NetworkSection | None
    net: Net | None
    network: Network | None
    states: tuple[NetworkState, ...]
    points: tuple[str, ...] | None
    voltage_limits: VoltageLimits | None
    capacity: Capacity | None
    weights: FloatArray | None

    def member(self, boundaries: tuple[Boundary, ...]) -> Member:
        """Return the operator; call only if it has no fault."""
        assert self.section is not None
        assert self.network is not None
        assert self.voltage_limits is not None
        assert self.capacity is not None
        return Member(
            name=self.name,
            net=self.net,
            customer_table=self.section.connection_points,
            models_passive=self.section.passive != "none",
            models_generators=self.section.model == "meshed",
            distributed_slack=self.section.distributed_slack,
            network=self.network,
            states=self.states,
            voltage_limits=self.voltage_limits,
            capacity=self.capacity,
            weights=self.weights,
            children={b.connection_point: b for b in boundaries if b.parent == self.name},
        )


def _drafts(given: Any, folder: Path, faults: list[Fault]) -> dict[str, _Draft]:
    if not isinstance(given, Mapping) or not given:
        faults.append(Fault("operators", "there is none; each is a table [operators.NAME]"))
        return {}
    drafts = {}
    nets: dict[str, Net | None] = {}
    for name, content in given.items():
        found: list[Fault] = []
        if not is_identifier(name):
            found.append(Fault("name", "it has blanks, slashes, + or #"))
        if isinstance(content, Mapping):
            drafts[name] = _draft(name, content, folder, nets, found)
        else:
            found.append(Fault("content", f"it must be a table, [operators.{name}]"))
        faults += [Fault(f"operators.{name}.{fault.element}", fault.detail) for fault in found]
    return drafts


def _draft(
    name: str,
    content: Mapping[str, Any],
    folder: Path,
    nets: dict[str, Net | None],
    faults: list[Fault],
) -> _Draft:
    faults += [Fault(key, "there is no such section") for key in content if key not in _SECTIONS]
    sections: dict[str, Section | None] = {}
    for key, kind in _SECTIONS.items():
        sections[key] = None
        if key in content or key not in (*_REQUIRED, *_ABSENT_IS_NONE):
            sections[key] = parse_section(kind, key, content.get(key, {}), faults)
        elif key in _REQUIRED:
            faults.append(Fault(key, "this section is missing"))
    limits, capacity, weights = None, None, None
    if isinstance(section := sections["limits"], LimitsSection):
        try:
            limits = VoltageLimits(section.voltage_min_pu, section.voltage_max_pu)
            if section.unbalance is not None:
                faults.append(Fault("limits.unbalance", f"phases are not modelled; {_BALANCED}"))
        except ValueError as error:
            faults.append(Fault("limits", str(error)))
    network_section, capacity_section = sections["network"], sections["capacity"]
    if not isinstance(network_section, NetworkSection):
        return _Draft(name, None, None, None, (), None, limits, None, None)
    if _is_balanced(network_section, faults):
        source = network_section.source
        if nets.get(source) is None:  # several operators may have networks of one file
            nets[source] = open_net(source, folder, faults)
        net = nets[source]
        if net is None:
            return _Draft(name, network_section, None, None, (), None, limits, None, None)
        model = build_model(network_section, capacity_section, "source", name, folder, faults, net)
    else:
        return _Draft(name, network_section, None, None, (), None, limits, None, None)
    if model.points is not None:
        find_unknown_points(content.get("capacity"), model.points, faults)
        if isinstance(capacity_section, CapacitySection):
            capacity = build_capacity(capacity_section, model.points, faults)
        weights = _weights(sections["fairness"], model.points, faults)
    return _Draft(
        name,
        network_section,
        model.net,
        model.network,
        model.states,
        model.points,
        limits,
        capacity,
        weights,
    )


def _is_balanced(section: NetworkSection, faults: list[Fault]) -> bool:
    """Return whether a network is balanced: one voltage for each bus; refuses ranges of taps."""
    faults += [
        Fault(name, f"network.taps has it anywhere in {ends}, but a hierarchy needs one position")
        for name, ends in shown_ranges(section.taps).items()
    ]
    if is_circuit(section.source):
        faults.append(Fault("network.source", f"it is an OpenDSS circuit; {_BALANCED}"))
    elif section.connection_points == "asymmetric_load":
        detail = f'"asymmetric_load" has a node for each phase; {_BALANCED}'
        faults.append(Fault("network.connection_points", detail))
    else:
        return True
    return False


def _weights(
    section: Section | None, points: tuple[str, ...], faults: list[Fault]
) -> FloatArray | None:
    if not isinstance(section, WeightsSection):
        return None
    table = section.weights
    faults += [
        Fault(point, "fairness.weights names it, but it is not a connection point of the network")
        for point in table
        if point not in (*points, "default")
    ]
    return np.tile([table.get(point, table.get("default", 1.0)) for point in points], 2)


def _boundaries(given: Any, faults: list[Fault]) -> tuple[Boundary, ...]:
    if not isinstance(given, list):
        faults.append(Fault("boundaries", "it must be a list of tables, [[boundaries]]"))
        return ()
    found = []
    for number, content in enumerate(given, start=1):
        where = f"boundaries[{number}]"
        section = parse_section(BoundarySection, where, content, faults)
        if section is None:
            continue
        boundary = Boundary(
            section.parent,
            section.connection_point,
            section.child,
            (section.voltage_min_pu, section.voltage_max_pu),
            _reactive(section, faults),
        )
        found.append(boundary)
        low, high = boundary.band
        if low >= high:
            detail = f"the band that {section.parent} promises to {section.child} is empty"
            faults.append(Fault(boundary.name, f"{detail}: from {low} to {high} p.u."))
    return tuple(found)


def _reactive(section: BoundarySection, faults: list[Fault]) -> tuple[int, int] | None:
    low, high = section.reactive_min_var, section.reactive_max_var
    where = f"{section.parent} / {section.child}"
    if low is None and high is None:
        return None
    if low is None or high is None:
        detail = "it has one of reactive_min_var and reactive_max_var; both or none are needed"
        faults.append(Fault(where, detail))
        return None
    if low > high:
        detail = f"the reactive range between them is empty: from {low} to {high} var"
        faults.append(Fault(where, detail))
        return None
    return low, high
