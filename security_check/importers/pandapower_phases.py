"""Build a multi-conductor :class:`~security_check.model.network.Network` from a pandapower net.

pandapower builds admittances of the three symmetrical components (its three-phase run).  Here
they become phase admittances, block by block, ``Y_abc = F diag(Y_0, Y_1, Y_2) F'`` with the
unitary Fortescue matrix F.  The zero-sequence data couple the phases through earth and neutral (the
neutral is not a node of its own: pandapower's model is Kron-reduced).

The source holds the positive sequence; its short-circuit impedance carries the others.  So the
interface bus has a node for each component, and its positive sequence is the interface.  If the
contract is for the phase voltages of the interface bus itself, all three components are held.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandapower as pp
import pandas as pd
import scipy.sparse as sp

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.errors import NetworkFaults
from security_check.importers import Net
from security_check.importers.pandapower_faults import phase_faults
from security_check.importers.pandapower_model import (
    bus_names,
    connected,
    modelling,
    nominal_volts,
)
from security_check.importers.pandapower_quantities import typed
from security_check.importers.pandapower_ratings import rated_ends
from security_check.importers.pandapower_tables import POWER_ELEMENTS, in_service
from security_check.importers.pandapower_taps import Taps, with_taps
from security_check.model.network import Network, reactive_ratios, selection
from security_check.model.network_elements import Interface, Ports, Terminals, Voltages

PHASES = ("a", "b", "c")
COMPONENTS = ("zero", "positive", "negative")
_TURN = np.exp(2j * np.pi / 3)
# Columns: zero, positive, negative sequence; unitary, so that powers are the same in both.
_FORTESCUE: ComplexArray = np.array(
    [[1, 1, 1], [1, _TURN**2, _TURN], [1, _TURN, _TURN**2]]
) / np.sqrt(3.0)


def phases_from_pandapower(
    net: Net,
    *,
    held: Literal["source", "phases"] = "source",
    taps: Taps | None = None,
    power_factor: float | Mapping[str, float] = 1.0,
    name: str = "",
) -> Network:
    """Return the network of ``net`` with a node for each phase of each bus.

    Every ``asymmetric_load`` in service is a connection point ``"asymmetric_load:3"``, connected
    to the phases on which the net states its power, in that proportion.  All other elements that
    consume or generate are out of service.

    Parameters
    ----------
    net
        A pandapower net with zero-sequence data, whose external grids in service feed
        electrically separate parts each.  Not modified.
    held
        ``"source"``: the source behind the external grid's short-circuit impedance, balanced;
        one magnitude.  ``"phases"``: the phase voltages of the interface bus, one magnitude for
        each, independent of currents; needs no short-circuit data.
    taps, power_factor
        As in :func:`~security_check.importers.pandapower_balanced.network_from_pandapower`.

    Raises
    ------
    NetworkFaults
        With every fault found, each naming its element.
    """
    ids = connected(net, "asymmetric_load")
    ratios, faults = reactive_ratios(ids, power_factor)
    faults = phase_faults(net, held, taps) + faults
    if faults:
        raise NetworkFaults(faults)
    net = typed(net)
    table = in_service(net, "asymmetric_load")
    cases = _run(with_taps(net, taps), held)
    sources = cases["reference"]
    in_components = sources if held == "source" else sources[:0]
    buses = cases["Ybus"][0].shape[0]
    basis = _basis(buses, in_components)
    real, names = bus_names(net, cases["lookup"], buses)
    real[sources] = False
    nodes = _nodes(names, in_components)
    ports, port_shares = _ports(table, cases["lookup"], nodes)
    return Network(
        name=name or str(net.name or "pandapower net"),
        nodes=nodes,
        admittance=sp.csr_array(basis.conj().T @ _to_phases(cases["Ybus"]) @ basis),
        interface=_interface(sources, held),
        voltages=_voltages(nodes, real, nominal_volts(net, cases["lookup"], buses)),
        terminals=_terminals(cases["net"], cases, basis),
        ports=ports,
        connection_points=ids,
        port_shares=port_shares,
        reactive_ratio=ratios,
        base_power_w=cases["base_mva"] * 1e6,
    )


def _nodes(buses: tuple[str, ...], in_components: IndexArray) -> tuple[str, ...]:
    """Return the names of all nodes: three of each bus, in components at the buses given."""
    return tuple(
        f"{bus}.{conductor}"
        for k, bus in enumerate(buses)
        for conductor in (COMPONENTS if k in in_components else PHASES)
    )


def _voltages(nodes: tuple[str, ...], real: BoolArray, volts: FloatArray) -> Voltages:
    """Return the limited voltages: all phases of the buses named, line-to-line volts given."""
    limited = np.flatnonzero(np.repeat(real, 3))
    return Voltages(
        tuple(nodes[i] for i in limited),
        selection(limited, len(nodes)),
        np.arange(len(limited)).reshape(-1, 3),
        np.repeat(volts / np.sqrt(3.0), 3)[limited],
    )


def _ports(
    table: pd.DataFrame, lookup: np.ndarray[Any, Any], nodes: tuple[str, ...]
) -> tuple[Ports, sp.csr_array]:
    """Return a port at each phase with a customer, and the customers' shares, shape (J, c)."""
    at = np.asarray(lookup[table.bus.to_numpy(dtype=np.int64)], dtype=np.int64)
    shares = _shares(table)
    point, phase = np.nonzero(shares)
    used, port = np.unique(3 * at[point] + phase, return_inverse=True)
    ports = Ports(
        tuple(nodes[i] for i in used),
        sp.csr_array(selection(used, len(nodes)).T),
        np.zeros(len(used), dtype=np.complex128),
    )
    return ports, sp.csr_array((shares[point, phase], (port, point)), (len(used), len(at)))


def _interface(sources: IndexArray, held: str) -> Interface:
    """Return the interface; all external grids are held at the same magnitudes."""
    count = len(sources)
    if held == "source":
        return Interface(3 * sources + 1, np.full((count, 1), math.sqrt(3.0) + 0j))
    nodes = (3 * sources[:, None] + np.arange(3)).ravel()
    return Interface(nodes, np.tile(np.diag([1.0, _TURN**2, _TURN]), (count, 1)))


def _shares(table: pd.DataFrame) -> FloatArray:
    """Return the shares of each connection point's power on its phases, shape (c, 3)."""
    given = np.abs(table[["p_a_mw", "p_b_mw", "p_c_mw"]].to_numpy(dtype=float))
    shares: FloatArray = given / given.sum(axis=1, keepdims=True)
    return shares


def _run(net: Net, held: str) -> dict[str, Any]:
    """Run pandapower once, without customers, and return its sequence matrices."""
    idle = copy.deepcopy(net)
    for kind in (*POWER_ELEMENTS, "gen"):
        idle[kind] = idle[kind].iloc[:0]
    if held == "phases":
        _give_sources_an_admittance(idle)
    keep = {"Ybus": True, "bus_pq": False, "gen": False, "trafo": False}
    with modelling():
        pp.runpp_3ph(idle, numba=False, recycle=keep)
    internal = [idle[f"_ppc{k}"]["internal"] for k in range(3)]
    cases: dict[str, Any] = {
        key: [sp.csr_array(each[key]) for each in internal] for key in ("Ybus", "Yf", "Yt")
    }
    cases["net"] = idle
    cases["lookup"] = idle._pd2ppc_lookups["bus"]
    cases["branch"] = internal[1]["branch"]
    cases["in_service"] = np.asarray(internal[1]["branch_is"], dtype=bool)
    cases["bus"] = internal[1]["bus"]
    cases["reference"] = np.sort(np.asarray(internal[1]["ref"], dtype=np.int64))
    cases["base_mva"] = float(idle.sn_mva)
    if held == "phases":
        _take_sources_away(cases)
    return cases


_VOLTAGE_FACTOR = 1.1  # pandapower's own, of IEC 60909


def _give_sources_an_admittance(net: Net) -> None:
    """Set the short-circuit data so that zero and negative sequence see -1j per unit."""
    net.ext_grid["s_sc_max_mva"] = 3.0 * _VOLTAGE_FACTOR * net.sn_mva
    net.ext_grid["rx_max"], net.ext_grid["r0x0_max"], net.ext_grid["x0x_max"] = 0.0, 0.0, 1.0


def _take_sources_away(cases: dict[str, Any]) -> None:
    """Remove the sources' own admittances: their currents are not an exchange at the interface."""
    sources, size = cases["reference"], cases["Ybus"][0].shape
    own = sp.csr_array((np.full(len(sources), -1j), (sources, sources)), shape=size)
    for component in (0, 2):
        cases["Ybus"][component] = sp.csr_array(cases["Ybus"][component] - own)


def _to_phases(sequences: list[sp.csr_array]) -> sp.csr_array:
    """Return the phase matrix of three sequence matrices of the same shape (m, n): (3 m, 3 n)."""
    parts = []
    for k, matrix in enumerate(sequences):
        direction = _FORTESCUE[:, [k]]
        parts.append(sp.csr_array(sp.kron(matrix, direction @ direction.conj().T)))
    return sp.csr_array(parts[0] + parts[1] + parts[2])


def _basis(buses: int, in_components: IndexArray) -> sp.csr_array:
    """Return the unitary basis: phases everywhere, but components at the buses named."""
    blocks: list[ComplexArray] = [np.eye(3, dtype=np.complex128)] * buses
    for bus in in_components:
        blocks[bus] = _FORTESCUE
    return sp.csr_array(sp.block_diag(blocks))


def _terminals(net: Net, cases: dict[str, Any], basis: sp.csr_array) -> Terminals:
    """Return both ends of every line and transformer, one terminal per phase."""
    position = np.cumsum(cases["in_service"]) - 1
    base_kv = cases["bus"][:, 9].real  # column BASE_KV
    elements, sides, rows, ratings, bases = [], [], [], [], []
    matrices = (_to_phases(cases["Yf"]), _to_phases(cases["Yt"]))
    for end in rated_ends(net, ("line", "trafo")):
        if not cases["in_service"][end.row]:
            continue
        at, column = int(position[end.row]), 0 if end.begins else 1
        kv = base_kv[int(cases["branch"][at, column].real)]
        base_ka = cases["base_mva"] * math.sqrt(3.0) / kv
        for conductor, phase in enumerate(PHASES):
            elements.append(f"{end.element}.{phase}")
            sides.append(end.side)
            rows.append((column, 3 * at + conductor))
            ratings.append(end.rating_ka / base_ka)
            bases.append(base_ka * 1e3)
    stacked = sp.vstack(
        [matrices[end][[row for e, row in rows if e == end]] for end in (0, 1)], format="csr"
    )
    order = np.argsort([end for end, _ in rows], kind="stable")
    back = np.empty(len(rows), dtype=np.int64)
    back[order] = np.arange(len(rows))
    admittance: sp.csr_array = sp.csr_array(stacked[back] @ basis)
    return Terminals(tuple(elements), tuple(sides), admittance, np.array(ratings), np.array(bases))
