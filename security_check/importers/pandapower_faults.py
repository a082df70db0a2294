"""Faults of a pandapower net, found in its tables before pandapower builds a model.

pandapower stops at the first fault, and not always with a clear message.  Here all faults are
reported at once, element by element.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pandas as pd
from pandapower.topology import connected_components, create_nxgraph, unsupplied_buses

from security_check.errors import Fault
from security_check.importers import Net
from security_check.importers.pandapower_branches import branch_faults
from security_check.importers.pandapower_quantities import (
    POWERS,
    Test,
    is_not_negative,
    is_positive,
    numbers,
    quantity_faults,
    typed,
    wrong_powers,
    wrong_quantities,
)
from security_check.importers.pandapower_tables import (
    BUS_COLUMNS,
    form_faults,
    in_service,
    unmodelled,
)
from security_check.importers.pandapower_taps import Taps, tap_faults
from security_check.model.element_ids import element_id


def source_faults(net: Net, table: str, passive: str, taps: Taps | None = None) -> list[Fault]:
    """Return all faults in the tables of a net.

    Parameters
    ----------
    net
        The net.
    table
        The table of the connection points.
    passive, taps
        As in :func:`~security_check.importers.pandapower_balanced.network_from_pandapower`.
    """
    if wrong := form_faults(net):
        return wrong
    net = typed(net)
    faults = _interface_faults(net)
    if passive == "as-given":
        faults += [
            Fault(
                element_id("gen", i),
                "voltage-controlled generators are for models of meshed networks only",
            )
            for i in in_service(net, "gen").index
        ]
    return faults + table_faults(net, table, passive, taps)


def table_faults(net: Net, table: str, passive: str, taps: Taps | None = None) -> list[Fault]:
    """Return the faults apart from those of held voltages; arguments of :func:`source_faults`."""
    if table not in ("load", "sgen", "storage"):
        return [Fault("connection_points", f'"{table}" is not "load", "sgen" or "storage"')]
    return _element_faults(net, table, passive, taps)


def _element_faults(net: Net, table: str, passive: str, taps: Taps | None) -> list[Fault]:
    faults = []
    if not len(in_service(net, table)):
        faults.append(Fault(table, "no element in service, so there are no connection points"))
    faults += unmodelled(net)
    lost = list(_missing_buses(net))
    faults += lost or _unreachable(net, table)
    if table != "asymmetric_load":  # theirs say on which phases they are, and are tested there
        faults += wrong_powers(net, table)
    if passive == "as-given":
        faults += _passive_faults(net, table)
    return faults + quantity_faults(net) + branch_faults(net) + tap_faults(net, taps)


def _interface_faults(net: Net) -> list[Fault]:
    """Return the faults of external grids: one must feed each electrically separate part."""
    grids = in_service(net, "ext_grid")
    if not len(grids):
        return [Fault("interface", "one external grid must be in service, found none")]
    off = grids[grids.bus.isin(net.bus.index[~net.bus.in_service.astype(bool)])]
    faults = [
        Fault(element_id("ext_grid", i), f"its bus {bus} is out of service")
        for i, bus in off.bus.items()
    ]
    if len(grids) == 1:
        return faults
    graph = create_nxgraph(_joined(net))
    # Buses that do not exist are faults of their own, and join nothing.
    graph.remove_nodes_from([bus for bus in graph if bus not in net.bus.index])
    for part in connected_components(graph):
        feeding = [element_id("ext_grid", i) for i in grids.index[grids.bus.isin(part)]]
        if len(feeding) > 1:
            detail = "feed the same part of the network; each part must have one external grid"
            faults.append(Fault("interface", f"{', '.join(feeding)} {detail}"))
    return faults


def _missing_buses(net: Net) -> Iterator[Fault]:
    """Yield the elements whose buses do not exist, also those out of service."""
    for kind, ends in BUS_COLUMNS.items():
        rows = net[kind]
        for end in ends:
            for i in rows.index[~pd.Series(numbers(rows[end]), rows.index).isin(net.bus.index)]:
                yield Fault(element_id(kind, i), f"its {end} {rows[end].at[i]} does not exist")


def _unreachable(net: Net, table: str) -> list[Fault]:
    """Return the connection points without a path to the external grid."""
    cut_off = unsupplied_buses(_joined(net)) | set(net.bus.index[~net.bus.in_service.astype(bool)])
    rows = in_service(net, table)
    return [
        no_path(element_id(table, i), rows.bus.at[i]) for i in rows.index[rows.bus.isin(cut_off)]
    ]


def _joined(net: Net) -> Net:
    """Return a copy of a net for its paths, which do not depend on lengths; they may be text."""
    copied = copy.copy(net)
    copied["line"] = net.line.assign(length_km=1.0)
    return copied


def no_path(point: str, bus: object) -> Fault:
    """Return the fault of a connection point that has no path to the interface."""
    return Fault(point, f"bus {bus} is out of service or has no path to the external grid")


def _passive_faults(net: Net, table: str) -> list[Fault]:
    """Return the passive elements whose powers are not constant numbers."""
    faults = []
    for kind in POWERS:
        if kind != table:
            faults += wrong_powers(net, kind)
    loads = in_service(net, "load")
    dependent = [column for column in loads.columns if column.startswith("const_")]
    if table != "load" and dependent:
        depends = (loads[dependent].notna() & loads[dependent].ne(0.0)).any(axis=1)
        faults += [
            Fault(
                element_id("load", i),
                "constant-impedance and constant-current parts are not supported",
            )
            for i in loads.index[depends]
        ]
    return faults


# Further quantities of a model of three phases: table, columns, and the test of their values.
_OF_PHASES: tuple[tuple[str, tuple[str, ...], Test], ...] = (
    ("line", ("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km"), is_not_negative),
    ("trafo", ("vk0_percent", "mag0_percent"), is_positive),
    ("trafo", ("vkr0_percent", "mag0_rx", "si0_hv_partial"), is_not_negative),
)
_OF_SOURCES = (
    ("ext_grid", ("s_sc_max_mva", "x0x_max"), is_positive),
    ("ext_grid", ("rx_max", "r0x0_max"), is_not_negative),
)
_VECTOR_GROUPS = ("YNyn", "Dyn", "Yzn", "Yy", "Yd", "Dy", "Dd")
_BALANCED_ONLY = ("trafo3w", "impedance", "shunt")


def phase_faults(net: Net, held: str, taps: Taps | None = None) -> list[Fault]:
    """Return all faults in the tables of a net with single phases.

    Parameters
    ----------
    net
        The net; its connection points are the rows of ``asymmetric_load``.
    held, taps
        As in
        :func:`~security_check.importers.pandapower_phases.phases_from_pandapower`.
    """
    if wrong := form_faults(net):
        return wrong
    net = typed(net)
    needed = (*_OF_PHASES, *(_OF_SOURCES if held == "source" else ()))
    faults = _interface_faults(net) + _element_faults(net, "asymmetric_load", "none", taps)
    faults += [
        Fault(element_id(kind, i), f"it has no {column}")
        for kind, columns, _ in needed
        for column in columns
        if column not in net[kind]
        for i in in_service(net, kind).index
    ]
    for kind, columns, is_right in needed:
        faults += wrong_quantities(net, kind, columns, is_right)
    faults += [
        Fault(element_id(kind, i), f"elements of type {kind} are not supported with single phases")
        for kind in _BALANCED_ONLY
        for i in in_service(net, kind).index
    ]
    # pandapower's three-phase run takes a third of such an impedance.
    between = net.switch.closed.eq(True) & (net.switch.et == "b") & (net.switch.z_ohm > 0)
    faults += [
        Fault(
            element_id("switch", i),
            "an impedance (z_ohm) of a switch is not supported with single phases",
        )
        for i in net.switch.index[between]
    ]
    return faults + _vector_group_faults(net) + _customer_faults(net, held)


def _vector_group_faults(net: Net) -> list[Fault]:
    known = {group.lower() for group in _VECTOR_GROUPS}
    rows = in_service(net, "trafo")
    groups = rows.vector_group if "vector_group" in rows else pd.Series("none", rows.index)
    named = ", ".join(_VECTOR_GROUPS)
    return [
        Fault(element_id("trafo", i), f"its vector_group is {group}; known are {named}")
        for i, group in groups.items()
        if str(group).lower() not in known
    ]


def _customer_faults(net: Net, held: str) -> list[Fault]:
    """Return the customers without a phase, in delta, or at a bus held in components."""
    rows = in_service(net, "asymmetric_load")
    whole = rows[["p_a_mw", "p_b_mw", "p_c_mw"]].astype(float).abs().sum(axis=1, skipna=False)
    on_none = ~is_positive(whole.to_numpy())
    faults = [
        Fault(
            element_id("asymmetric_load", i),
            "its powers are zero or no numbers, so its phases are unknown",
        )
        for i in rows.index[on_none]
    ]
    faults += [
        Fault(element_id("asymmetric_load", i), "delta connections are not supported")
        for i in rows.index[rows.type != "wye"]
    ]
    at_source = rows.bus.isin(_source_buses(net)) & (held == "source")
    return faults + [
        Fault(
            element_id("asymmetric_load", i),
            f"bus {rows.bus.at[i]} is the external grid's own; no phase is held there",
        )
        for i in rows.index[at_source]
    ]


def _source_buses(net: Net) -> set[Any]:
    """Return the buses of the external grids, and those joined with them by closed switches."""
    joined = create_nxgraph(net, include_lines=False, include_trafos=False)
    return {
        bus
        for part in connected_components(joined)
        if part & set(in_service(net, "ext_grid").bus)
        for bus in part
    }
