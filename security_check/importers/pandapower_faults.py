"""Faults of a pandapower net, found in its tables before pandapower builds a model.

pandapower stops at the first fault, and not always with a clear message.  Here all faults are
reported at once, element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from pandapower.topology import connected_components, create_nxgraph, unsupplied_buses

from security_check.arrays import BoolArray, FloatArray
from security_check.errors import Fault
from security_check.importers import Net
from security_check.model.network_elements import UNRATED

POWER_ELEMENTS = ("load", "sgen", "storage", "motor", "asymmetric_load", "asymmetric_sgen")
"""Tables of elements that consume or generate at given power."""

_UNSUPPORTED = (
    "dcline", "svc", "tcsc", "ssc", "vsc", "vsc_stacked", "vsc_bipolar", "ward", "xward",
)  # fmt: skip

_BUS_COLUMNS = {
    "line": ("from_bus", "to_bus"),
    "impedance": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "trafo3w": ("hv_bus", "mv_bus", "lv_bus"),
    "shunt": ("bus",),
    "switch": ("bus",),
    "ext_grid": ("bus",),
    **dict.fromkeys(POWER_ELEMENTS, ("bus",)),
}

_RATINGS = {
    "line": (("max_i_ka",), "kA"),
    "trafo": (("sn_mva",), "MVA"),
    "trafo3w": (("sn_hv_mva", "sn_mv_mva", "sn_lv_mva"), "MVA"),
}


def is_positive(values: FloatArray) -> BoolArray:
    """Return which values are finite and above 0."""
    return np.isfinite(values) & (values > 0)


def _is_not_negative(values: FloatArray) -> BoolArray:
    return np.isfinite(values) & (values >= 0)


# Quantities of branches: table, columns, and the test of their values.
_QUANTITIES: tuple[tuple[str, tuple[str, ...], Callable[[FloatArray], BoolArray]], ...] = (
    ("line", ("length_km", "parallel", "df"), is_positive),
    ("line", ("r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"), _is_not_negative),
    ("trafo", ("vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel", "df"), is_positive),
    ("trafo", ("vkr_percent",), _is_not_negative),
    ("trafo3w", ("vn_hv_kv", "vn_mv_kv", "vn_lv_kv"), is_positive),
    ("trafo3w", ("vk_hv_percent", "vk_mv_percent", "vk_lv_percent"), is_positive),
    ("trafo3w", ("vkr_hv_percent", "vkr_mv_percent", "vkr_lv_percent"), _is_not_negative),
    ("impedance", ("rft_pu", "xft_pu", "rtf_pu", "xtf_pu"), np.isfinite),
    ("impedance", ("sn_mva",), is_positive),
    ("shunt", ("p_mw", "q_mvar", "step"), np.isfinite),
    ("bus", ("vn_kv",), is_positive),
)


def source_faults(net: Net, table: str, passive: str) -> list[Fault]:
    """Return all faults in the tables of a net.

    Parameters
    ----------
    net
        The net.
    table
        The table of the connection points.
    passive
        ``"none"`` or ``"as-given"``, as in
        :func:`~security_check.importers.pandapower_balanced.network_from_pandapower`.
    """
    faults = _interface_faults(net)
    if passive == "as-given":
        faults += [
            Fault(
                f"gen:{i}", "voltage-controlled generators are for models of meshed networks only"
            )
            for i in in_service(net, "gen").index
        ]
    return faults + table_faults(net, table, passive)


def table_faults(net: Net, table: str, passive: str) -> list[Fault]:
    """Return the faults apart from those of held voltages; arguments of :func:`source_faults`."""
    if table not in ("load", "sgen", "storage"):
        return [Fault("connection_points", f'"{table}" is not "load", "sgen" or "storage"')]
    return _element_faults(net, table, passive)


def _element_faults(net: Net, table: str, passive: str) -> list[Fault]:
    faults = []
    if not len(in_service(net, table)):
        faults.append(Fault(table, "no element in service, so there are no connection points"))
    faults += _unsupported(net)
    lost = list(_missing_buses(net))
    faults += lost or _unreachable(net, table)
    faults += _switch_faults(net)
    if passive == "as-given":
        faults += _passive_faults(net, table)
    faults += _rating_faults(net)
    return faults + _quantity_faults(net)


def in_service(net: Net, table: str) -> pd.DataFrame:
    """Return the rows in service of a table, all of them where it has no such column."""
    rows: pd.DataFrame = net[table]
    return rows[rows.in_service.astype(bool)] if "in_service" in rows else rows


def _interface_faults(net: Net) -> list[Fault]:
    """Return the faults of external grids: one must feed each electrically separate part."""
    grids = in_service(net, "ext_grid")
    if not len(grids):
        return [Fault("interface", "one external grid must be in service, found none")]
    off = grids[grids.bus.isin(net.bus.index[~net.bus.in_service.astype(bool)])]
    faults = [
        Fault(f"ext_grid:{i}", f"its bus {bus} is out of service") for i, bus in off.bus.items()
    ]
    if len(grids) == 1:
        return faults
    graph = create_nxgraph(net)
    # Buses that do not exist are faults of their own, and join nothing.
    graph.remove_nodes_from([bus for bus in graph if bus not in net.bus.index])
    for part in connected_components(graph):
        feeding = [f"ext_grid:{i}" for i in grids.index[grids.bus.isin(part)]]
        if len(feeding) > 1:
            detail = "feed the same part of the network; each part must have one external grid"
            faults.append(Fault("interface", f"{', '.join(feeding)} {detail}"))
    return faults


def _unsupported(net: Net) -> list[Fault]:
    return [
        Fault(f"{kind}:{i}", f"elements of type {kind} are not supported")
        for kind in _UNSUPPORTED
        if kind in net
        for i in in_service(net, kind).index
    ]


def _missing_buses(net: Net) -> Iterator[Fault]:
    """Yield the elements whose buses do not exist, also those out of service."""
    for kind, ends in _BUS_COLUMNS.items():
        rows = net[kind]
        for end in ends:
            for i in rows.index[~rows[end].isin(net.bus.index)]:
                yield Fault(f"{kind}:{i}", f"its {end} {rows[end].at[i]} does not exist")


def _unreachable(net: Net, table: str) -> list[Fault]:
    """Return the connection points without a path to the external grid."""
    cut_off = unsupplied_buses(net) | set(net.bus.index[~net.bus.in_service.astype(bool)])
    rows = in_service(net, table)
    return [no_path(f"{table}:{i}", rows.bus.at[i]) for i in rows.index[rows.bus.isin(cut_off)]]


def no_path(point: str, bus: object) -> Fault:
    """Return the fault of a connection point that has no path to the interface."""
    return Fault(point, f"bus {bus} is out of service or has no path to the external grid")


def _switch_faults(net: Net) -> list[Fault]:
    """Return the switches at lines, transformers and buses that do not exist."""
    at = {"l": "line", "t": "trafo", "t3": "trafo3w", "b": "bus"}
    faults = []
    for letter, kind in at.items():
        rows = net.switch[net.switch.et == letter]
        faults += [
            Fault(f"switch:{i}", f"its {kind} {rows.element.at[i]} does not exist")
            for i in rows.index[~rows.element.isin(net[kind].index)]
        ]
    return faults


def _passive_faults(net: Net, table: str) -> list[Fault]:
    """Return the passive elements whose powers are not constant numbers."""
    faults = []
    for kind in ("load", "sgen", "storage"):
        if kind != table:
            faults += wrong_quantities(net, kind, ("p_mw", "q_mvar", "scaling"), np.isfinite)
    loads = in_service(net, "load")
    dependent = [column for column in loads.columns if column.startswith("const_")]
    if table != "load" and dependent:
        depends = (loads[dependent].fillna(0.0) != 0.0).any(axis=1)
        faults += [
            Fault(f"load:{i}", "constant-impedance and constant-current parts are not supported")
            for i in loads.index[depends]
        ]
    return faults


def _rating_faults(net: Net) -> list[Fault]:
    """Return the lines and transformers without a usable rating, in the source's own units."""
    faults = []
    for kind, (columns, unit) in _RATINGS.items():
        rows = in_service(net, kind)
        for column in columns:
            values = rows[column].astype(float)
            faults += [
                Fault(
                    f"{kind}:{i}",
                    f"its rating {column} is {value:g} {unit}: "
                    f"a real rating above 0 and below {UNRATED:g} is needed",
                )
                for i, value in values[~((values > 0) & (values < UNRATED))].items()
            ]
    return faults


def _quantity_faults(net: Net) -> list[Fault]:
    """Return the branches, shunts and buses with invalid quantities."""
    faults = []
    for kind, columns, is_right in _QUANTITIES:
        faults += wrong_quantities(net, kind, columns, is_right)
    lines = in_service(net, "line")
    nothing = (lines.r_ohm_per_km == 0) & (lines.x_ohm_per_km == 0)
    return faults + [Fault(f"line:{i}", "its impedance is zero") for i in lines.index[nothing]]


def wrong_quantities(
    net: Net, kind: str, columns: tuple[str, ...], is_right: Callable[[FloatArray], BoolArray]
) -> list[Fault]:
    """Return the elements in service with an invalid value in a column."""
    rows = in_service(net, kind)
    return [
        Fault(f"{kind}:{i}", f"its {column} is {value}")
        for column in columns
        if column in rows
        for i, value in rows[column][~is_right(rows[column].to_numpy(dtype=float))].items()
    ]


# Further quantities of a model of three phases: table, columns, and the test of their values.
_OF_PHASES: tuple[tuple[str, tuple[str, ...], Callable[[FloatArray], BoolArray]], ...] = (
    ("line", ("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km"), _is_not_negative),
    ("trafo", ("vk0_percent", "mag0_percent"), is_positive),
    ("trafo", ("vkr0_percent", "mag0_rx", "si0_hv_partial"), _is_not_negative),
)
_OF_SOURCES = (
    ("ext_grid", ("s_sc_max_mva", "x0x_max"), is_positive),
    ("ext_grid", ("rx_max", "r0x0_max"), _is_not_negative),
)
_VECTOR_GROUPS = ("YNyn", "Dyn", "Yzn", "Yy", "Yd", "Dy", "Dd")
_BALANCED_ONLY = ("trafo3w", "impedance", "shunt")


def phase_faults(net: Net, held: str) -> list[Fault]:
    """Return all faults in the tables of a net with single phases.

    Parameters
    ----------
    net
        The net; its connection points are the rows of ``asymmetric_load``.
    held
        ``"source"`` or ``"phases"``, as in
        :func:`~security_check.importers.pandapower_phases.phases_from_pandapower`.
    """
    needed = (*_OF_PHASES, *(_OF_SOURCES if held == "source" else ()))
    faults = _interface_faults(net) + _element_faults(net, "asymmetric_load", "none")
    faults += [
        Fault(f"{kind}:{i}", f"it has no {column}")
        for kind, columns, _ in needed
        for column in columns
        if column not in net[kind]
        for i in in_service(net, kind).index
    ]
    for kind, columns, is_right in needed:
        faults += wrong_quantities(net, kind, columns, is_right)
    faults += [
        Fault(f"{kind}:{i}", f"elements of type {kind} are not supported with single phases")
        for kind in _BALANCED_ONLY
        for i in in_service(net, kind).index
    ]
    return faults + _vector_group_faults(net) + _customer_faults(net, held)


def _vector_group_faults(net: Net) -> list[Fault]:
    known = {group.lower() for group in _VECTOR_GROUPS}
    rows = in_service(net, "trafo")
    groups = rows.vector_group if "vector_group" in rows else pd.Series("none", rows.index)
    named = ", ".join(_VECTOR_GROUPS)
    return [
        Fault(f"trafo:{i}", f"its vector_group is {group}; known are {named}")
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
            f"asymmetric_load:{i}", "its powers are zero or no numbers, so its phases are unknown"
        )
        for i in rows.index[on_none]
    ]
    faults += [
        Fault(f"asymmetric_load:{i}", "delta connections are not supported")
        for i in rows.index[rows.type != "wye"]
    ]
    at_source = rows.bus.isin(_source_buses(net)) & (held == "source")
    return faults + [
        Fault(
            f"asymmetric_load:{i}",
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
