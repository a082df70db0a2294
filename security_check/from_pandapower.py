"""Build a :class:`~security_check.network.Network` from a pandapower net.

pandapower builds the admittances (its internal Ybus, Yf, Yt after one run), so whatever it can
describe is covered: parallel lines, switches, two- and three-winding transformers, shunts.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandapower as pp
import scipy.sparse as sp

from security_check.errors import Fault, NetworkFaults
from security_check.network import (
    UNRATED,
    ComplexArray,
    FloatArray,
    Interface,
    Network,
    Ports,
    Terminals,
    Voltages,
    selection,
)

Net = Any  # pandapower publishes no types

_POWER_ELEMENTS = ("load", "sgen", "storage", "motor", "asymmetric_load", "asymmetric_sgen")
_UNSUPPORTED = ("dcline", "svc", "tcsc", "ssc", "vsc", "ward", "xward")


def network_from_pandapower(
    net: Net,
    *,
    connection_points: str = "load",
    passive: Literal["none", "as-given"] = "none",
    power_factor: float | Mapping[str, float] = 1.0,
    name: str = "",
) -> Network:
    """Return the network of ``net``, seen from its external grid.

    Parameters
    ----------
    net
        A pandapower net with one external grid in service: the interface.  Not modified.
    connection_points
        The element table whose in-service rows are the connection points (``"load"``,
        ``"sgen"`` or ``"storage"``); row 3 of ``load`` becomes ``"load:3"``.
    passive
        ``"none"``: everything else that consumes or generates is out of service.
        ``"as-given"``: it stays, at the power the net gives it.
    power_factor
        Of every connection point, or per id (1.0 where not named): in (0, 1], lagging when
        withdrawing.  Reactive power is proportional to active power, so it turns sign with it.

    Raises
    ------
    NetworkFaults
        With every fault found, each naming its element.
    """
    faults = _source_faults(net, connection_points, passive)
    if faults:
        raise NetworkFaults(faults)
    working = copy.deepcopy(net)
    table = working[connection_points]
    connected = table.index[table.in_service.astype(bool)]
    ids = tuple(f"{connection_points}:{i}" for i in connected)
    buses = table.bus.loc[connected].to_numpy(dtype=np.int64)
    table["in_service"] = False
    if passive == "none":
        for kind in (*_POWER_ELEMENTS, "gen"):
            working[kind]["in_service"] = False
    internal = _run(working)
    lookup = working._pd2ppc_lookups["bus"]
    nodes = internal["Ybus"].shape[0]
    at = np.asarray(lookup[buses], dtype=np.int64)
    faults = _rating_faults(working) + [
        Fault(ids[i], f"bus {buses[i]} is out of service or has no path to the external grid")
        for i in np.flatnonzero((at < 0) | (at >= nodes))
    ]
    ratios, wrong = _reactive_ratios(ids, power_factor)
    faults += wrong
    if faults:
        raise NetworkFaults(faults)
    monitored, names = _node_names(working, lookup, nodes)
    interface = int(internal["ref"][0])
    monitored[interface] = False
    passive_power = _passive_injection(internal, interface)
    at_nodes = np.unique(np.concatenate([at, np.flatnonzero(passive_power)]))
    return Network(
        name=name or str(net.name or "pandapower net"),
        nodes=names,
        admittance=sp.csr_array(internal["Ybus"]),
        interface=Interface(np.array([interface]), np.ones(1, dtype=np.complex128)),
        voltages=Voltages(
            tuple(names[i] for i in np.flatnonzero(monitored)),
            selection(np.flatnonzero(monitored), nodes),
        ),
        terminals=_terminals(working, internal),
        ports=Ports(
            tuple(names[i] for i in at_nodes),
            sp.csr_array(selection(at_nodes, nodes).T),
            passive_power[at_nodes],
        ),
        connection_points=ids,
        port_shares=sp.csr_array(selection(np.searchsorted(at_nodes, at), len(at_nodes)).T),
        reactive_ratio=ratios,
        base_power_w=float(internal["baseMVA"]) * 1e6,
    )


def _run(net: Net) -> dict[str, Any]:
    """Run pandapower once and return its internal model; here only its matrices matter."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pp.runpp(net, calculate_voltage_angles=True, trafo_model="t", numba=False)
    except pp.LoadflowNotConverged:
        raise NetworkFaults(
            [Fault("network", "with no customer active, its power flow does not converge")]
        ) from None
    internal: dict[str, Any] = net._ppc["internal"]
    return internal


def _source_faults(net: Net, table: str, passive: str) -> list[Fault]:
    """Return what can be found wrong before pandapower is asked to build matrices."""
    if table not in ("load", "sgen", "storage"):
        return [Fault("connection_points", f'"{table}" is not "load", "sgen" or "storage"')]
    faults = []
    grids = net.ext_grid.index[net.ext_grid.in_service.astype(bool)].tolist()
    if len(grids) != 1:
        named = ", ".join(f"ext_grid:{i}" for i in grids) or "none"
        faults.append(Fault("interface", f"one external grid must be in service, found {named}"))
    if not net[table].in_service.astype(bool).any():
        faults.append(Fault(table, "no element in service, so there are no connection points"))
    if passive == "as-given":
        for i in net.gen.index[net.gen.in_service.astype(bool)]:
            faults.append(Fault(f"gen:{i}", "voltage-controlled generators are not supported"))
        faults += _voltage_dependent(net, table)
    for kind in _UNSUPPORTED:
        if kind in net and len(net[kind]):
            for i in net[kind].index[net[kind].in_service.astype(bool)]:
                faults.append(Fault(f"{kind}:{i}", f"elements of type {kind} are not supported"))
    known = set(net.bus.index)
    for kind in ("load", "sgen", "storage", "ext_grid"):
        lost = net[kind].index[~net[kind].bus.isin(known)]
        faults += [
            Fault(f"{kind}:{i}", f"its bus {net[kind].bus.at[i]} does not exist") for i in lost
        ]
    return faults + _branch_faults(net, known)


def _voltage_dependent(net: Net, table: str) -> list[Fault]:
    """Return the loads whose power depends on voltage: the model takes power as given."""
    faults = []
    columns = [c for c in net.load.columns if c.startswith("const_")]
    if table != "load" and columns:
        depends = (net.load[columns].fillna(0.0) != 0.0).any(axis=1) & net.load.in_service
        faults = [
            Fault(f"load:{i}", "constant-impedance and constant-current parts are not supported")
            for i in net.load.index[depends]
        ]
    return faults


def _branch_faults(net: Net, known: set[int]) -> list[Fault]:
    """Return lines and transformers with missing buses or impossible impedances."""
    faults = []
    ends = {
        "line": ("from_bus", "to_bus"),
        "trafo": ("hv_bus", "lv_bus"),
        "trafo3w": ("hv_bus", "mv_bus", "lv_bus"),
    }
    for kind, columns in ends.items():
        rows = net[kind][net[kind].in_service.astype(bool)]
        for column in columns:
            for i in rows.index[~rows[column].isin(known)]:
                faults.append(
                    Fault(f"{kind}:{i}", f"its {column} {rows[column].at[i]} does not exist")
                )
    lines = net.line[net.line.in_service.astype(bool)]
    for column in ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"):
        floor_ok = lines[column] > 0 if column == "length_km" else lines[column] >= 0
        for i in lines.index[~(np.isfinite(lines[column].astype(float)) & floor_ok)]:
            faults.append(Fault(f"line:{i}", f"its {column} is {lines[column].at[i]}"))
    no_impedance = (lines.r_ohm_per_km == 0) & (lines.x_ohm_per_km == 0)
    faults += [Fault(f"line:{i}", "its impedance is zero") for i in lines.index[no_impedance]]
    return faults


def _rating_faults(net: Net) -> list[Fault]:
    """Return the lines and transformers without a usable rating, in the source's own units."""
    faults = []
    for kind, columns, unit in (
        ("line", ("max_i_ka",), "kA"),
        ("trafo", ("sn_mva",), "MVA"),
        ("trafo3w", ("sn_hv_mva", "sn_mv_mva", "sn_lv_mva"), "MVA"),
    ):
        rows = net[kind][net[kind].in_service.astype(bool)]
        for column in columns:
            values = rows[column].to_numpy(dtype=float)
            for i in np.flatnonzero(~((values > 0) & (values < UNRATED))):
                faults.append(
                    Fault(
                        f"{kind}:{rows.index[i]}",
                        f"its rating {column} is {values[i]:g} {unit}: "
                        f"a real rating above 0 and below {UNRATED:g} is needed",
                    )
                )
    return faults


def _reactive_ratios(
    ids: tuple[str, ...], power_factor: float | Mapping[str, float]
) -> tuple[FloatArray, list[Fault]]:
    given = power_factor if isinstance(power_factor, Mapping) else dict.fromkeys(ids, power_factor)
    faults = [
        Fault(i, f"its power factor is {given[i]}; it must be above 0 and at most 1")
        for i in ids
        if not 0.0 < given.get(i, 1.0) <= 1.0
    ]
    faults += [
        Fault(i, "a power factor is given, but there is no such connection point")
        for i in given
        if i not in set(ids)
    ]
    if faults:
        return np.zeros(len(ids)), faults
    return np.array([math.tan(math.acos(given.get(i, 1.0))) for i in ids]), []


def _node_names(
    net: Net, lookup: np.ndarray[Any, Any], nodes: int
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], tuple[str, ...]]:
    """Return which nodes are real buses, and a name for each node."""
    names = [f"auxiliary:{i}" for i in range(nodes)]
    real = np.zeros(nodes, dtype=bool)
    for bus in sorted(net.bus.index, reverse=True):
        at = lookup[bus]
        if 0 <= at < nodes and net.bus.in_service.at[bus]:
            names[at] = f"bus:{bus}"
            real[at] = True
    return real, tuple(names)


def _passive_injection(internal: dict[str, Any], interface: int) -> ComplexArray:
    """Return the power of what does not trade; the external grid's own power is no part of it."""
    power: ComplexArray = np.array(internal["Sbus"], dtype=np.complex128)
    bus = internal["bus"]
    pd_column, qd_column = 2, 3  # columns PD and QD of the case format
    power[interface] = -(bus[interface, pd_column] + 1j * bus[interface, qd_column]) / float(
        internal["baseMVA"]
    )
    return power


def _terminals(net: Net, internal: dict[str, Any]) -> Terminals:
    """Return the monitored ends of all rated branches in service."""
    in_service = np.asarray(internal["branch_is"], dtype=bool)
    position = np.cumsum(in_service) - 1
    branch = internal["branch"]
    base_kv = internal["bus"][:, 9]  # column BASE_KV
    base_mva = float(internal["baseMVA"])
    ends = []
    for element, end, row, rated_mva, rated_ka in _rated_ends(net):
        if not in_service[row]:
            continue
        at = int(position[row])
        column = 0 if end in ("from", "hv") else 1
        node = int(branch[at, column].real)
        base_ka = base_mva / (math.sqrt(3.0) * base_kv[node])
        rating = rated_ka / base_ka if rated_ka is not None else rated_mva / base_mva
        ends.append((element, end, at, column, rating, base_ka * 1e3))
    matrices = (sp.csr_array(internal["Yf"]), sp.csr_array(internal["Yt"]))
    stacked = sp.vstack([matrices[column][[at], :] for _, _, at, column, _, _ in ends])
    return Terminals(
        elements=tuple(end[0] for end in ends),
        sides=tuple(end[1] for end in ends),
        admittance=sp.csr_array(stacked),
        rating_pu=np.array([end[4] for end in ends]),
        base_current_a=np.array([end[5] for end in ends]),
    )


def _rated_ends(net: Net) -> list[tuple[str, str, int, float, float | None]]:
    """Return (element, end, branch row, rating in MVA, rating in kA or None) of each end.

    A three-winding transformer is a star of three branches in pandapower: high voltage to star,
    star to medium and star to low voltage; each winding is monitored at its own bus.
    """
    lookup = net._pd2ppc_lookups["branch"]
    ends: list[tuple[str, str, int, float, float | None]] = []
    if "line" in lookup:
        first = lookup["line"][0]
        rated = (net.line.max_i_ka * net.line.df * net.line.parallel).to_numpy(dtype=float)
        for k, index in enumerate(net.line.index):
            for end in ("from", "to"):
                ends.append((f"line:{index}", end, first + k, 0.0, float(rated[k])))
    if "trafo" in lookup:
        first = lookup["trafo"][0]
        rated = (net.trafo.sn_mva * net.trafo.df * net.trafo.parallel).to_numpy(dtype=float)
        for k, index in enumerate(net.trafo.index):
            for end in ("hv", "lv"):
                ends.append((f"trafo:{index}", end, first + k, float(rated[k]), None))
    if "trafo3w" in lookup:
        first, last = lookup["trafo3w"]
        count = (last - first) // 3
        for winding, end in enumerate(("hv", "mv", "lv")):
            rated = net.trafo3w[f"sn_{end}_mva"].to_numpy(dtype=float)
            for k, index in enumerate(net.trafo3w.index):
                row = first + winding * count + k
                ends.append((f"trafo3w:{index}", end, row, float(rated[k]), None))
    return ends
