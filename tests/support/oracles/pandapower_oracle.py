"""pandapower's own power flow, as the reference for ours."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandapower as pp
from brute_force import solve
from others_warnings import others_warnings_ignored

from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import PowerFlow

Net = Any

_TRADING_OR_PASSIVE = ("load", "sgen", "storage", "motor", "gen", "asymmetric_load")


def run_pandapower(
    net: Net, network: Network, power_w: np.ndarray, interface_voltage_pu: float, passive: str
) -> Net:
    """Return a copy of the net, solved by pandapower with the connection points at these powers.

    Parameters
    ----------
    power_w
        Shape (c,), injection positive.
    """
    net = copy.deepcopy(net)
    table = network.connection_points[0].split(":")[0]
    rows = [int(point.split(":")[1]) for point in network.connection_points]
    if passive == "none":
        for kind in _TRADING_OR_PASSIVE:
            net[kind]["in_service"] = False
    sign = 1.0 if table == "sgen" else -1.0  # the others count consumption
    net[table].loc[rows, "in_service"] = True
    net[table].loc[rows, "scaling"] = 1.0
    net[table].loc[rows, "p_mw"] = sign * power_w / 1e6
    net[table].loc[rows, "q_mvar"] = sign * power_w * network.reactive_ratio / 1e6
    net.ext_grid["vm_pu"] = interface_voltage_pu
    solve_exactly(net)
    return net


def solve_exactly(net: Net) -> None:
    """Run pandapower as exactly as rounding allows, which depends on the net's power base."""
    with others_warnings_ignored():
        for tolerance_mva in (1e-11, 1e-10, 1e-9):
            with contextlib.suppress(pp.LoadflowNotConverged):
                pp.runpp(
                    net,
                    calculate_voltage_angles=True,
                    tolerance_mva=tolerance_mva,
                    numba=False,
                    lightsim2grid=False,
                )
                return
    raise AssertionError("pandapower does not converge")


def voltages(net: Net, network: Network) -> np.ndarray:
    """Return pandapower's complex voltage of each named bus of a network; nan for others."""
    size = net.res_bus.vm_pu * np.exp(1j * np.deg2rad(net.res_bus.va_degree))
    found = np.full(len(network.nodes), np.nan, dtype=complex)
    for i, node in enumerate(network.nodes):
        kind, number = node.split(":")
        if kind == "bus":
            found[i] = size[int(number)]
    return found


def currents_a(net: Net, network: Network) -> np.ndarray:
    """Return pandapower's current at each terminal of a network, in amperes."""
    ends = zip(network.terminals.elements, network.terminals.sides, strict=True)
    return np.array(
        [
            1e3 * net[f"res_{element.split(':')[0]}"].at[int(element.split(":")[1]), f"i_{end}_ka"]
            for element, end in ends
        ]
    )


def ratings_a(net: Net, network: Network) -> np.ndarray:
    """Return each terminal's rating, from the net's own columns, without ``max_loading_percent``.

    A winding's rating is a current at the winding's own rated voltage.
    """
    rated = []
    for element, end in zip(network.terminals.elements, network.terminals.sides, strict=True):
        kind, number = element.split(":")
        row = net[kind].loc[int(number)]
        if kind == "line":
            rated.append(1e3 * row.max_i_ka * row.df * row.parallel)
            continue
        size = row.sn_mva * row.df * row.parallel if kind == "trafo" else row[f"sn_{end}_mva"]
        rated.append(1e3 * size / (np.sqrt(3) * row[f"vn_{end}_kv"]))
    return np.array(rated)


def loading_percent(net: Net, elements: Sequence[str]) -> np.ndarray:
    """Return pandapower's own loading of elements such as ``"trafo:3"`` or ``"line:3.a"``."""
    found = []
    for element in elements:
        kind, _, number = element.partition(":")
        index, _, phase = number.partition(".")
        table = net[f"res_{kind}_3ph" if phase else f"res_{kind}"]
        found.append(
            table.at[int(index), f"loading_{phase}_percent" if phase else "loading_percent"]
        )
    return np.array(found)


def our_loading_percent(network: Network, voltage: np.ndarray) -> dict[str, float]:
    """Return each element's largest current in per cent of its rating, from node voltages (n,)."""
    terminals = network.terminals
    percent = 100.0 * np.abs(np.asarray(terminals.admittance @ voltage)) / terminals.rating_pu
    found: dict[str, float] = {}
    for element, size in zip(terminals.elements, percent.tolist(), strict=True):
        found[element] = max(found.get(element, 0.0), size)
    return found


def our_results(
    flow: PowerFlow, power_w: np.ndarray, interface_voltage_pu: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return node voltages (n, B) and terminal currents in amperes (m, B) for (c, B) powers."""
    network = flow.network
    points = solve(flow, power_w / network.base_power_w, interface_voltage_pu)
    found = flow.node_voltages(points)
    per_unit = np.abs(np.asarray(network.terminals.admittance @ found))
    return found, per_unit * network.terminals.base_current_a[:, None]
