"""Build the networks after outages of lines, transformers and generators of a pandapower net."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy.sparse as sp
from pandapower.topology import unsupplied_buses

from security_check.arrays import IndexArray
from security_check.errors import Fault, NetworkFaults
from security_check.importers import Net
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_taps import Taps
from security_check.model.element import State
from security_check.model.element_ids import element_ids
from security_check.model.network import Network, selection
from security_check.model.network_elements import Ports
from security_check.model.network_state import NetworkState

OUTAGE_TABLES = ("line", "trafo", "trafo3w", "impedance", "gen", "ext_grid")
"""Tables whose elements can be out of service in an outage."""


def outages_from_pandapower(
    net: Net,
    names: Sequence[str],
    *,
    connection_points: str = "load",
    passive: Literal["none", "as-given"] = "none",
    taps: Taps | None = None,
    power_factor: float | Mapping[str, float] = 1.0,
    distributed_slack: bool = False,
) -> tuple[Network, list[NetworkState]]:
    """Return the network of ``net`` with everything in service, and after each outage.

    Parameters
    ----------
    net
        The net.  Not modified.
    names
        Elements that may fail, one at a time, for example ``"line:3"`` or ``"gen:0"``.
    connection_points, passive, taps, power_factor, distributed_slack
        As in ``meshed_network_from_pandapower``.  The participation of a failed generator goes to
        the others in proportion to theirs.

    Raises
    ------
    NetworkFaults
        With every fault found: outages of elements that do not exist, outages that cut off buses,
        and the faults of networks after an outage; each begins with the outage.
    """

    def read(state: Net, taps: Taps | None) -> Network:
        return meshed_network_from_pandapower(
            state,
            connection_points=connection_points,
            passive=passive,
            taps=taps,
            power_factor=power_factor,
            distributed_slack=distributed_slack,
        )

    try:
        whole = read(net, taps)
    except NetworkFaults as error:
        # A faulty net has no models after outages, but unknown elements can be named already.
        unknown = [fault for name in names if (fault := _unknown(net, name)) is not None]
        raise NetworkFaults([*error.faults, *unknown]) from None
    faults: list[Fault] = []
    outages = []
    for name in names:
        state, found = _without(net, name)
        if state is not None:
            try:
                without = _aligned(read(state, _others(taps, name)), whole)
                outages.append(NetworkState(State(outage=name), without))
            except NetworkFaults as error:
                found += [Fault(name, f"without it, {fault}") for fault in error.faults]
        faults += found
    if faults:
        raise NetworkFaults(faults)
    return whole, outages


def _others(taps: Taps | None, failed: str) -> Taps | None:
    """Return the statement about taps without that about an element that is out of service."""
    if not isinstance(taps, Mapping):
        return taps
    return {name: at for name, at in taps.items() if name != failed}


def islanding_outages(net: Net, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the outages that cut off buses in service, and these buses.

    No envelopes can keep limits at buses without supply, so such outages cannot be in the list
    against which envelopes are secured.

    Parameters
    ----------
    net
        A pandapower net.
    names
        Elements, for example ``"line:3"``; those that do not exist or are out of service cut off
        nothing.
    """
    before = _cut_off(net)
    found = {}
    for name in names:
        table, index = _element(net, name)
        if index is None:
            continue
        in_service = net[table].in_service.at[index]
        net[table].loc[index, "in_service"] = False
        lost = sorted(_cut_off(net) - before)
        net[table].loc[index, "in_service"] = in_service
        if lost:
            found[name] = element_ids("bus", lost)
    return found


def _cut_off(net: Net) -> set[int]:
    supplied_by = {"ext_grid": net.ext_grid.in_service.astype(bool)}
    if not supplied_by["ext_grid"].any():
        return set(net.bus.index[net.bus.in_service.astype(bool)])
    in_service = set(net.bus.index[net.bus.in_service.astype(bool)])
    return {int(bus) for bus in unsupplied_buses(net) & in_service}


def _element(net: Net, name: str) -> tuple[str, int | None]:
    """Return the table of an element and its index, ``None`` where there is no such element."""
    table, _, index = name.partition(":")
    if table not in OUTAGE_TABLES or table not in net or not index.isdecimal():
        return table, None
    return table, int(index) if int(index) in net[table].index else None


def _unknown(net: Net, name: str) -> Fault | None:
    """Return the fault of a name that is not an element that can fail, or None."""
    table, index = _element(net, name)
    if index is None:
        kinds = ", ".join(OUTAGE_TABLES)
        return Fault(name, f"there is no such element that could fail ({kinds})")
    if not net[table].in_service.at[index]:
        return Fault(name, "it is out of service already, so it cannot fail")
    return None


def _without(net: Net, name: str) -> tuple[Net | None, list[Fault]]:
    """Return the net without an element, or the faults of such an outage."""
    fault = _unknown(net, name)
    if fault is not None:
        return None, [fault]
    table, index = _element(net, name)
    state = copy.deepcopy(net)
    lost = islanding_outages(state, [name]).get(name)
    if lost:
        shown = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        return None, [Fault(name, f"its outage cuts off {shown}")]
    state[table].loc[index, "in_service"] = False
    return state, []


def _aligned(network: Network, whole: Network) -> Network:
    """Return the network with the ports of the whole network, in the same order.

    The port of a failed generator stays, without power.
    """
    position = {name: k for k, name in enumerate(network.nodes)}
    names = [whole.nodes[k] for k in _port_nodes(whole)]
    missing = [name for name in names if name not in position]
    if missing:
        raise NetworkFaults([Fault(missing[0], "this node no longer exists")])
    ports = Ports(
        whole.ports.names,
        sp.csr_array(selection(np.array([position[n] for n in names]), len(position)).T),
        whole.ports.passive_power_pu,
    )
    generators = network.generators
    if generators is not None:
        assert whole.generators is not None
        holds = {names[port]: int(port) for port in whole.generators.ports}
        at = [network.nodes[k] for k in _port_nodes(network)[generators.ports]]
        generators = replace(generators, ports=np.array([holds[node] for node in at], dtype=int))
    return replace(network, ports=ports, port_shares=whole.port_shares, generators=generators)


def _port_nodes(network: Network) -> IndexArray:
    return np.asarray(sp.csc_array(network.ports.incidence).indices, dtype=np.int64)
