"""Faults of the boundaries of a hierarchy; each names both ends."""

from __future__ import annotations

from collections.abc import Sequence

from doe_allocation.hierarchy.joint_model.members import Boundary
from gateway.scenario.schema import NetworkSection
from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_tables import in_service
from security_check.model.element_ids import element_id, table_row

_SHOWN = 8  # names in a message; further ones are counted


def tree_faults(
    top: str, operators: Sequence[str], boundaries: Sequence[Boundary]
) -> tuple[list[str], list[Fault]]:
    """Return the operators from the top down, and why they are not a tree.

    Parameters
    ----------
    top
        The operator of the contract.
    operators
        All of them.
    boundaries
        In the order of the file.

    Returns
    -------
    order
        Parents before their children; only operators that the top reaches.
    faults
        Unknown operators, second parents, cycles and connection points used twice.
    """
    faults = []
    if top not in operators:
        detail = f"{top} is not an operator of this file; there is {_listed(operators)}"
        faults.append(Fault("contract.operator", detail))
    used: dict[tuple[str, str], Boundary] = {}
    above: dict[str, Boundary] = {}
    for edge in boundaries:
        faults += _unknown(edge, operators)
        place = (edge.parent, edge.connection_point)
        taken = used.setdefault(place, edge)
        if taken.child != edge.child:
            detail = f"{edge.connection_point} of {edge.parent} is {taken.child}'s already"
            faults.append(Fault(edge.name, detail))
        other = above.get(edge.child)
        if edge.child == edge.parent:
            faults.append(Fault(edge.name, f"{edge.child} cannot be a child of its own"))
        elif edge.child == top:
            detail = f"{top} is at the top (contract.operator), so it cannot be a child"
            faults.append(Fault(edge.name, _with_cycle(detail, edge, above)))
        elif other is not None:
            detail = (
                f"{edge.child} is a child of {other.parent} already (at {other.connection_point}); "
                "an operator has one parent"
            )
            faults.append(Fault(edge.name, detail))
        elif ring := _cycle(edge, above):
            faults.append(Fault(edge.name, f"it closes a cycle: {' -> '.join(ring)}"))
        else:
            above[edge.child] = edge
    order = _from_top(top, operators, above)
    return order, faults


def unreached(top: str, operators: Sequence[str], order: Sequence[str]) -> list[Fault]:
    """Return faults of the operators that are not below the top; ``order`` has those that are."""
    return [
        Fault(f"{top} / {name}", f"no boundary leads from {top}, at the top, to {name}")
        for name in operators
        if name not in order
    ]


def boundary_faults(
    edge: Boundary,
    parent: tuple[Net | None, tuple[str, ...] | None],
    child: tuple[Net | None, NetworkSection | None],
) -> list[Fault]:
    """Return the faults of one boundary: voltages, frequencies, buses that do not match.

    Parameters
    ----------
    edge
        The boundary.
    parent
        The parent's net and its connection points, ``None`` if they could not be read.
    child
        The child's net and its section of the file, ``None`` if they could not be read.
    """
    (upper, points), (lower, section) = parent, child
    if lower is None or section is None:
        return []
    faults = []
    if section.distributed_slack:
        detail = (
            f"generators of {edge.child} share its imbalance (network.distributed_slack), but "
            f"{edge.parent} is above it and takes what it does not balance"
        )
        faults.append(Fault(edge.name, detail))
    grids = in_service(lower, "ext_grid")
    if len(grids) != 1:
        detail = (
            f"{edge.child} has {len(grids)} external grids in service; it meets {edge.parent} at "
            "one bus, so it must have one"
        )
        return [*faults, Fault(edge.name, detail)]
    if upper is None or points is None:
        return faults
    bus = int(grids.bus.iloc[0])
    own = element_id("bus", bus)
    unfit = _unfit_bus(lower, bus)
    if unfit:
        detail = f"{edge.child}'s interface to {edge.parent} is to be at its {own}, {unfit}"
        return [*faults, Fault(edge.name, detail)]
    below_kv = float(lower.bus.vn_kv.at[bus])
    here = f"{edge.child}'s interface, its {own} of {below_kv:g} kV,"
    if edge.connection_point not in points:
        detail = (
            f"{here} is to be at {edge.connection_point} of {edge.parent}, which has no such "
            f"connection point; it has {_listed(points)}"
        )
        return [*faults, Fault(edge.name, detail)]
    above = _bus_above(upper, edge)
    unfit = _unfit_bus(upper, above)
    if unfit:
        detail = (
            f"{here} is to be at {edge.connection_point} of {edge.parent}, at "
            f"{element_id('bus', above)}, {unfit}"
        )
        return [*faults, Fault(edge.name, detail)]
    return faults + _unlike(edge, (upper, above), (lower, bus))


def _unfit_bus(net: Net, bus: int) -> str:
    """Return why a bus cannot be at a boundary, as the end of a sentence; empty if it can."""
    if bus not in net.bus.index:
        return "which does not exist"
    return "" if net.bus.in_service.at[bus] else "which is out of service"


def _bus_above(net: Net, edge: Boundary) -> int:
    """Return the bus of the parent's connection point."""
    table, index = table_row(edge.connection_point)
    return int(net[table].bus.at[index])


def _unlike(edge: Boundary, above: tuple[Net, int], below: tuple[Net, int]) -> list[Fault]:
    """Return differences of the two sides, each a net and its bus at the boundary."""
    (upper, at), (lower, bus) = above, below
    faults = []
    above_kv, below_kv = float(upper.bus.vn_kv.at[at]), float(lower.bus.vn_kv.at[bus])
    if abs(above_kv - below_kv) > 1e-6 * above_kv:
        detail = (
            f"{edge.child}'s interface, its {element_id('bus', bus)} of {below_kv:g} kV, is to be "
            f"at {edge.connection_point} of {edge.parent}, whose {element_id('bus', at)} has "
            f"{above_kv:g} kV: their nominal voltages must be the same"
        )
        faults.append(Fault(edge.name, detail))
    if upper.f_hz != lower.f_hz:
        detail = (
            f"{edge.parent} has {upper.f_hz:g} Hz, {edge.child} has {lower.f_hz:g} Hz: "
            "networks that are connected have the same frequency"
        )
        faults.append(Fault(edge.name, detail))
    return faults


def _unknown(edge: Boundary, operators: Sequence[str]) -> list[Fault]:
    return [
        Fault(edge.name, f"{name} is not an operator of this file; there is {_listed(operators)}")
        for name in dict.fromkeys((edge.parent, edge.child))
        if name not in operators
    ]


def _cycle(edge: Boundary, above: dict[str, Boundary]) -> list[str]:
    """Return the ring that one more boundary closes, from parent to child; empty if none."""
    way = [edge.child, edge.parent]
    while way[-1] != edge.child:
        if way[-1] not in above:
            return []
        way.append(above[way[-1]].parent)
    return way[::-1]


def _with_cycle(detail: str, edge: Boundary, above: dict[str, Boundary]) -> str:
    ring = _cycle(edge, above)
    return f"{detail}; it closes a cycle: {' -> '.join(ring)}" if ring else detail


def _from_top(top: str, operators: Sequence[str], above: dict[str, Boundary]) -> list[str]:
    order = [top] if top in operators else []
    for name in order:  # grows while it is walked
        order += [child for child, edge in above.items() if edge.parent == name]
    return [name for name in order if name in operators]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
