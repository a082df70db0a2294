"""Build a :class:`~security_check.model.network.Network` from a pandapower net.

pandapower builds the admittances (its internal Ybus, Yf, Yt after one run), so whatever it can
describe is covered: parallel lines, switches, two- and three-winding transformers, shunts.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import pandapower as pp
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.errors import Fault, NetworkFaults
from security_check.importers.pandapower_faults import POWER_ELEMENTS, no_path, source_faults
from security_check.model.network import Network, reactive_ratios, selection
from security_check.model.network_elements import (
    Interface,
    PassiveElements,
    Ports,
    SeriesBranches,
    Terminals,
    Voltages,
)

Net = Any  # pandapower publishes no types

PLAIN = {"numba": False, "lightsim2grid": False}
"""What pandapower shall not make use of, so that it models the same net wherever it runs."""


def network_from_pandapower(
    net: Net,
    *,
    connection_points: str = "load",
    passive: Literal["none", "as-given"] = "none",
    power_factor: float | Mapping[str, float] = 1.0,
    name: str = "",
) -> Network:
    """Return the network of ``net``, seen from its external grids.

    Parameters
    ----------
    net
        A pandapower net.  Its external grids in service are the interface; each of them feeds
        an electrically separate part, and all are held at the same magnitude.  Not modified.
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
    ids = connected(net, connection_points)
    ratios, faults = reactive_ratios(ids, power_factor)
    faults = source_faults(net, connection_points, passive) + faults
    if faults:
        raise NetworkFaults(faults)
    working = copy.deepcopy(net)
    table = working[connection_points]
    buses = table.bus[table.in_service.astype(bool)].to_numpy(dtype=np.int64)
    # Rows go, rather than out of service: pandapower would still count powers that are no numbers.
    for kind in (*POWER_ELEMENTS, "gen"):
        stays = working[kind].in_service.astype(bool) & (kind != connection_points)
        working[kind] = working[kind][stays & (passive == "as-given")]
    internal = _run(working)
    lookup = working._pd2ppc_lookups["bus"]
    nodes = internal["Ybus"].shape[0]
    at = np.asarray(lookup[buses], dtype=np.int64)
    cut_off = np.flatnonzero((at < 0) | (at >= nodes))
    if len(cut_off):
        raise NetworkFaults([no_path(ids[i], buses[i]) for i in cut_off])
    monitored, names = bus_names(working, lookup, nodes)
    interface = np.sort(np.asarray(internal["ref"], dtype=np.int64))
    monitored[interface] = False
    passive_power = passive_injection(internal, interface)
    volts = nominal_volts(working, lookup, nodes)
    at_nodes = np.unique(np.concatenate([at, np.flatnonzero(passive_power)]))
    return Network(
        name=name or str(net.name or "pandapower net"),
        nodes=names,
        admittance=sp.csr_array(internal["Ybus"]),
        interface=Interface(
            interface,
            np.ones((len(interface), 1), dtype=np.complex128),
            float(volts[interface[0]]) or None,
        ),
        voltages=Voltages(
            tuple(names[i] for i in np.flatnonzero(monitored)),
            selection(np.flatnonzero(monitored), nodes),
            nominal_v=volts[monitored],
        ),
        terminals=terminals(working, internal),
        ports=Ports(
            tuple(names[i] for i in at_nodes),
            sp.csr_array(selection(at_nodes, nodes).T),
            passive_power[at_nodes],
        ),
        connection_points=ids,
        port_shares=sp.csr_array(selection(np.searchsorted(at_nodes, at), len(at_nodes)).T),
        reactive_ratio=ratios,
        base_power_w=float(internal["baseMVA"]) * 1e6,
        passive=_passive_elements(working, lookup, at_nodes, float(internal["baseMVA"])),
        series=_series(working, internal),
    )


def connected(net: Net, table: str) -> tuple[str, ...]:
    """Return the ids of the connection points: the table's elements in service."""
    if table not in net:
        return ()
    rows = net[table]
    return tuple(f"{table}:{i}" for i in rows.index[rows.in_service.astype(bool)])


@contextmanager
def modelling() -> Iterator[None]:
    """Let pandapower model a net without customers: silence its warnings, name its failures.

    Raises
    ------
    NetworkFaults
        Instead of whatever pandapower raises.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except pp.LoadflowNotConverged:
        raise NetworkFaults(
            [Fault("network", "with no customer active, its power flow does not converge")]
        ) from None
    # What pandapower raises on tables that contradict each other; it raises warnings, too.
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        NotImplementedError,
        TypeError,
        ValueError,
        Warning,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise NetworkFaults([Fault("network", f"pandapower cannot model it: {reason}")]) from error


def _run(net: Net) -> dict[str, Any]:
    """Run pandapower once and return its internal model; here only its matrices matter."""
    with modelling():
        pp.runpp(net, calculate_voltage_angles=True, trafo_model="t", **PLAIN)
    internal: dict[str, Any] = net._ppc["internal"]
    return internal


def bus_names(
    net: Net, lookup: np.ndarray[Any, Any], buses: int
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], tuple[str, ...]]:
    """Return which of pandapower's internal buses are real ones, and a name for each.

    Parameters
    ----------
    net
        The net that was modelled.
    lookup
        The internal bus of each bus index.
    buses
        How many internal buses there are.
    """
    names = [f"auxiliary:{i}" for i in range(buses)]
    real = np.zeros(buses, dtype=bool)
    for bus in sorted(net.bus.index, reverse=True):
        at = lookup[bus]
        if 0 <= at < buses and net.bus.in_service.at[bus]:
            names[at] = f"bus:{bus}"
            real[at] = True
    return real, tuple(names)


def nominal_volts(net: Net, lookup: np.ndarray[Any, Any], buses: int) -> FloatArray:
    """Return the nominal voltage of pandapower's internal buses, line to line; 0 of others.

    Parameters are those of :func:`bus_names`.
    """
    volts = np.zeros(buses)
    at = np.asarray(lookup[net.bus.index.to_numpy()], dtype=np.int64)
    known = (at >= 0) & (at < buses)
    volts[at[known]] = 1e3 * net.bus.vn_kv.to_numpy(dtype=float)[known]
    return volts


def passive_injection(internal: dict[str, Any], held: IndexArray) -> ComplexArray:
    """Return the power of what does not trade; the external grids' own power is no part of it.

    Parameters
    ----------
    internal
        pandapower's internal model of a net without generators.
    held
        The nodes of the external grids.
    """
    power: ComplexArray = np.array(internal["Sbus"], dtype=np.complex128)
    bus = internal["bus"]
    pd_column, qd_column = 2, 3  # columns PD and QD of the case format
    drawn = bus[held, pd_column] + 1j * bus[held, qd_column]
    power[held] = -drawn / float(internal["baseMVA"])
    return power


def _passive_elements(
    net: Net, lookup: np.ndarray[Any, Any], at_nodes: np.ndarray[Any, Any], base_mva: float
) -> PassiveElements:
    """Return the loads, generators and storages that stay at given power, one by one."""
    elements: list[str] = []
    ports: list[int] = []
    power: list[complex] = []
    for kind, sign in (("load", -1.0), ("sgen", 1.0), ("storage", -1.0)):
        rows = net[kind]
        for index, bus, p, q, scaling in zip(
            rows.index, rows.bus, rows.p_mw, rows.q_mvar, rows.scaling, strict=True
        ):
            port = int(np.searchsorted(at_nodes, lookup[bus]))
            # What consumes nothing, at a node where nobody trades, has no port.
            if port < len(at_nodes) and at_nodes[port] == lookup[bus]:
                elements.append(f"{kind}:{index}")
                ports.append(port)
                power.append(sign * scaling * (p + 1j * q) / base_mva)
    at = sp.csr_array(selection(np.array(ports, dtype=np.int64), len(at_nodes)).T)
    return PassiveElements(tuple(elements), at, np.array(power, dtype=np.complex128))


def terminals(net: Net, internal: dict[str, Any]) -> Terminals:
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


_BR_G = 23  # of the case format: conductance of a branch's shunts; 4 is their susceptance


def _series(net: Net, internal: dict[str, Any]) -> SeriesBranches:
    """Return the series impedances of lines and transformers in service.

    A branch of the case format is a pi behind an ideal transformer of ratio t: the voltage across
    its series impedance is ``v_from / t - v_to`` (columns BR_R, BR_X, TAP and SHIFT).
    """
    in_service = np.asarray(internal["branch_is"], dtype=bool)
    position = np.cumsum(in_service) - 1
    branch, nodes = internal["branch"], internal["Ybus"].shape[0]
    ends = [(element, row, side) for element, side, row, *_ in _rated_ends(net) if in_service[row]]
    rows = list(dict.fromkeys(row for _, row, _ in ends))
    name = {row: element for element, row, _ in ends}
    at = position[np.array(rows, dtype=np.int64)] if rows else np.zeros(0, dtype=np.int64)
    own, each = branch[at], np.arange(len(at))
    tap = np.where(own[:, 8].real == 0.0, 1.0, own[:, 8].real)
    ratio = tap * np.exp(1j * np.deg2rad(own[:, 9].real))
    hv, lv = own[:, 0].real.astype(np.int64), own[:, 1].real.astype(np.int64)
    values = np.concatenate([1.0 / ratio.conj(), -np.ones(len(at))])
    entries = (np.concatenate([hv, lv]), np.tile(each, 2))
    across = sp.csr_array((values, entries), shape=(nodes, len(at)))
    column = {row: k for k, row in enumerate(rows)}
    branches = np.array([column[row] for _, row, _ in ends], dtype=np.int64)
    begins = np.array([side in ("from", "hv") for _, _, side in ends])
    part = np.where(begins, values[branches], -1.0)
    places = (np.arange(len(ends)), branches)
    impedance = own[:, 2].real + 1j * own[:, 3].real
    shunt = own[:, _BR_G].real + 1j * own[:, 4].real
    rated = {row: mva / float(internal["baseMVA"]) for _, _, row, mva, _ in _rated_ends(net)}
    # Lines, whose ratings are currents, are pi circuits to begin with: here theirs are zero.
    current = np.array([rated[row] for row in rows])
    return SeriesBranches(
        tuple(name[row] for row in rows),
        across,
        sp.csr_array(sp.diags_array(1.0 / impedance)),
        sp.csr_array((part, places), shape=(len(ends), len(at))),
        0.25 * np.abs(impedance) ** 2 * np.abs(shunt) * current,
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
        ends += [
            (f"line:{index}", end, first + k, 0.0, float(rated[k]))
            for k, index in enumerate(net.line.index)
            for end in ("from", "to")
        ]
    if "trafo" in lookup:
        first = lookup["trafo"][0]
        rated = (net.trafo.sn_mva * net.trafo.df * net.trafo.parallel).to_numpy(dtype=float)
        ends += [
            (f"trafo:{index}", end, first + k, float(rated[k]), None)
            for k, index in enumerate(net.trafo.index)
            for end in ("hv", "lv")
        ]
    if "trafo3w" in lookup:
        first, last = lookup["trafo3w"]
        count = (last - first) // 3
        for winding, end in enumerate(("hv", "mv", "lv")):
            rated = net.trafo3w[f"sn_{end}_mva"].to_numpy(dtype=float)
            ends += [
                (f"trafo3w:{index}", end, first + winding * count + k, float(rated[k]), None)
                for k, index in enumerate(net.trafo3w.index)
            ]
    return ends
