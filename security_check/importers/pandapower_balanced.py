"""Build a :class:`~security_check.model.network.Network` from a pandapower net.

pandapower builds the admittances (its internal Ybus, Yf, Yt after one run), so all elements that it
models are covered: parallel lines, switches, two- and three-winding transformers, shunts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

import numpy as np
import pandapower as pp
import scipy.sparse as sp

from security_check.arrays import IndexArray
from security_check.errors import NetworkFaults
from security_check.importers import Net
from security_check.importers.pandapower_faults import source_faults
from security_check.importers.pandapower_model import (
    PLAIN,
    ModelledNet,
    buses_of,
    connected,
    finite,
    modelling,
    passive_injection,
    terminals,
    without_powers,
)
from security_check.importers.pandapower_ratings import rated_ends
from security_check.importers.pandapower_taps import Taps
from security_check.model.element_ids import element_id, kind_of
from security_check.model.network import Network, reactive_ratios, selection
from security_check.model.network_elements import (
    Interface,
    PassiveElements,
    SeriesBranches,
)


def network_from_pandapower(
    net: Net,
    *,
    connection_points: str = "load",
    passive: Literal["none", "as-given"] = "none",
    taps: Taps | None = None,
    power_factor: float | Mapping[str, float] = 1.0,
    name: str = "",
) -> Network:
    """Return the network of ``net``, seen from its external grids.

    Parameters
    ----------
    net
        A pandapower net, not modified.  Its external grids in service are the interface; each
        feeds a separate part, and all are held at the same magnitude.
    connection_points
        The element table whose in-service rows are the connection points (``"load"``,
        ``"sgen"`` or ``"storage"``); row 3 of ``load`` becomes ``"load:3"``.
    passive
        ``"none"``: all other elements that consume or generate are out of service.
        ``"as-given"``: they stay, at the power that the net states.
    taps
        The tap positions that are assumed, as in ``pandapower_taps.with_taps``.
    power_factor
        Of every connection point, or per id (1.0 where not named): in (0, 1], lagging when
        withdrawing.  Reactive power is proportional to active power, so both change sign together.

    Raises
    ------
    NetworkFaults
        With every fault found, each naming its element.
    """
    ids = connected(net, connection_points)
    ratios, faults = reactive_ratios(ids, power_factor)
    if faults := source_faults(net, connection_points, passive, taps) + faults:
        raise NetworkFaults(faults)
    model = _modelled(without_powers(net, connection_points, passive, taps))
    buses = buses_of(net, connection_points)
    if cut_off := model.cut_off(ids, buses):
        raise NetworkFaults(cut_off)
    at = model.at(buses)
    interface = np.sort(np.asarray(model.internal["ref"], dtype=np.int64))
    passive_power = passive_injection(model.internal, interface)
    at_nodes = np.unique(np.concatenate([at, np.flatnonzero(passive_power)]))
    return Network(
        name=name or str(net.name or "pandapower net"),
        nodes=model.names,
        admittance=model.admittance,
        interface=_interface(model, interface),
        voltages=model.voltages(interface),
        terminals=terminals(model.net, model.internal),
        ports=model.ports(at_nodes, passive_power),
        connection_points=ids,
        port_shares=sp.csr_array(selection(np.searchsorted(at_nodes, at), len(at_nodes)).T),
        reactive_ratio=ratios,
        base_power_w=model.base_mva * 1e6,
        passive=_passive_elements(model, at_nodes),
        series=_series(model),
    )


def _interface(model: ModelledNet, nodes: IndexArray) -> Interface:
    """Return the interface: all external grids, held at one magnitude."""
    phasors = np.ones((len(nodes), 1), dtype=np.complex128)
    return Interface(nodes, phasors, float(model.volts[nodes[0]]) or None)


def _modelled(net: Net) -> ModelledNet:
    """Run pandapower once and return its model of the net, of which only the matrices matter."""
    with modelling():
        try:
            pp.runpp(net, calculate_voltage_angles=True, trafo_model="t", **PLAIN)
        except ArithmeticError:
            # Its start from a DC power flow divides by each reactance, and a branch may have none.
            with suppress(pp.LoadflowNotConverged):  # which says nothing from a flat start
                pp.runpp(net, calculate_voltage_angles=True, trafo_model="t", init="flat", **PLAIN)
    return finite(ModelledNet(net, net._ppc["internal"]))


def _passive_elements(model: ModelledNet, at_nodes: IndexArray) -> PassiveElements:
    """Return the loads, generators and storages that stay at given power, one by one."""
    net, lookup = model.net, model.lookup
    elements: list[str] = []
    ports: list[int] = []
    power: list[complex] = []
    for kind, sign in (("load", -1.0), ("sgen", 1.0), ("storage", -1.0)):
        rows = net[kind]
        for index, bus, p, q, scaling in zip(
            rows.index, rows.bus, rows.p_mw, rows.q_mvar, rows.scaling, strict=True
        ):
            port = int(np.searchsorted(at_nodes, lookup[bus]))
            # An element without power, at a node without customers, has no port.
            if port < len(at_nodes) and at_nodes[port] == lookup[bus]:
                elements.append(element_id(kind, index))
                ports.append(port)
                power.append(sign * scaling * (p + 1j * q) / model.base_mva)
    at = sp.csr_array(selection(np.array(ports, dtype=np.int64), len(at_nodes)).T)
    return PassiveElements(tuple(elements), at, np.array(power, dtype=np.complex128))


_BR_G = 23  # column of the case format: conductance of a branch's shunts; 4 is susceptance


def _series(model: ModelledNet) -> SeriesBranches:
    """Return the series impedances of lines and transformers in service.

    A branch of the case format is a pi behind an ideal transformer of ratio t: the voltage across
    its series impedance is ``v_from / t - v_to`` (columns BR_R, BR_X, TAP and SHIFT).
    """
    net, internal = model.net, model.internal
    in_service = np.asarray(internal["branch_is"], dtype=bool)
    position = np.cumsum(in_service) - 1
    branch, nodes = internal["branch"], model.nodes
    ends = [end for end in rated_ends(net) if in_service[end.row]]
    rows = list(dict.fromkeys(end.row for end in ends))
    name = {end.row: end.element for end in ends}
    at = position[np.array(rows, dtype=np.int64)] if rows else np.zeros(0, dtype=np.int64)
    own, each = branch[at], np.arange(len(at))
    tap = np.where(own[:, 8].real == 0.0, 1.0, own[:, 8].real)
    ratio = tap * np.exp(1j * np.deg2rad(own[:, 9].real))
    hv, lv = own[:, 0].real.astype(np.int64), own[:, 1].real.astype(np.int64)
    values = np.concatenate([1.0 / ratio.conj(), -np.ones(len(at))])
    entries = (np.concatenate([hv, lv]), np.tile(each, 2))
    across = sp.csr_array((values, entries), shape=(nodes, len(at)))
    column = {row: k for k, row in enumerate(rows)}
    branches = np.array([column[end.row] for end in ends], dtype=np.int64)
    begins = np.array([end.begins for end in ends])
    part = np.where(begins, values[branches], -1.0)
    places = (np.arange(len(ends)), branches)
    impedance = own[:, 2].real + 1j * own[:, 3].real
    shunt = own[:, _BR_G].real + 1j * own[:, 4].real
    # Lines are pi circuits, without this error.  The impedance is on the side where a branch ends.
    current = np.zeros(len(rows))
    rated = terminals(net, internal).rating_pu
    for end, k, size in zip(ends, branches.tolist(), rated.tolist(), strict=True):
        if kind_of(end.element) != "line":
            current[k] = max(current[k], size * tap[k] if end.begins else size)
    return SeriesBranches(
        tuple(name[row] for row in rows),
        across,
        sp.csr_array(sp.diags_array(1.0 / impedance)),
        sp.csr_array((part, places), shape=(len(ends), len(at))),
        0.25 * np.abs(impedance) ** 2 * np.abs(shunt) * current,
    )
