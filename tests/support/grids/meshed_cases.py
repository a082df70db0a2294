"""Meshed nets with generators that several tests share, and pandapower's answer for them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
from meshed_networks import ring
from networks import simbench_net
from others_warnings import others_warnings_ignored

from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.power_flow.newton import ControlledFlow
from security_check.power_flow.operating_points import OperatingPoints

Net = Any


def weighted(net: Net) -> Net:
    """Give external grids and generators different weights, and some generators none."""
    net.gen["slack_weight"] = np.arange(len(net.gen)) % 3 * 1.0
    net.ext_grid["slack_weight"] = 1.5
    return net


def urban() -> Net:
    """Return a meshed high-voltage net of simbench in which four plants hold their voltages."""
    net = simbench_net("1-HV-urban--0-sw")
    plants = net.sgen.sort_values("p_mw").index[-40::10]
    for k, plant in enumerate(plants):
        at = net.sgen.loc[plant]
        pp.create_gen(net, int(at.bus), p_mw=at.p_mw * 0.5, vm_pu=1.05 + 0.004 * k)
    net.sgen.loc[plants, "in_service"] = False
    return net


def two_grids() -> Net:
    """Return a ring with a second external grid, turned and at another voltage."""
    net = ring(4, 7)
    pp.create_ext_grid(net, 7, vm_pu=1.0, va_degree=-2.0)
    net.gen.loc[net.gen.bus == 7, "bus"] = 10
    return net


def shared_bus() -> Net:
    """Return a ring with a second generator at a bus, one behind a closed switch, and odd loads."""
    net = ring(5, 3)
    bus = int(net.gen.bus.at[0])
    joined = pp.create_bus(net, 110.0)
    pp.create_switch(net, bus, joined, et="b")
    for at, p_mw, weight in ((bus, 5.0, 0.5), (joined, -4.0, 1.0)):
        pp.create_gen(
            net,
            at,
            p_mw=p_mw,
            vm_pu=float(net.gen.vm_pu.at[0]),
            slack_weight=weight,
            min_q_mvar=-10.0,
            max_q_mvar=20.0,
        )
    pp.create_load(net, bus, p_mw=7.0)
    pp.create_load(net, int(net.ext_grid.bus.iloc[0]), p_mw=9.0)
    return net


NETS: dict[str, tuple[Callable[[], Net], bool]] = {
    "case9": (pn.case9, False),
    "case30": (pn.case30, False),
    "case118": (pn.case118, False),
    "case9, shared": (lambda: weighted(pn.case9()), True),
    "case30, shared": (lambda: weighted(pn.case30()), True),
    "case118, shared": (lambda: weighted(pn.case118()), True),
    "urban": (urban, False),
    "urban, shared": (lambda: weighted(urban()), True),
    "two grids": (two_grids, False),
    "two grids, shared": (two_grids, True),
    "one bus": (shared_bus, False),
    "one bus, shared": (shared_bus, True),
}


@functools.cache
def flow_of(name: str) -> tuple[Net, ControlledFlow]:
    build, shared = NETS[name]
    net = build()
    network = meshed_network_from_pandapower(net, passive="as-given", distributed_slack=shared)
    return net, ControlledFlow(network)


def customers_pu(net: Net, flow: ControlledFlow, seed: int = 0, columns: int = 3) -> np.ndarray:
    """Return active powers of the loads around those of the net, shape (c, B), per unit."""
    rng = np.random.default_rng(seed)
    loads = net.load[net.load.in_service]
    power = -(loads.p_mw * loads.scaling).to_numpy() * 1e6 / flow.network.base_power_w
    factor = rng.uniform(0.4, 1.1, (len(power), columns))
    return power[:, None] * factor


def at_ports(flow: ControlledFlow, power_pu: np.ndarray) -> np.ndarray:
    network = flow.network
    return network.port_shares @ power_pu + network.ports.passive_power_pu[:, None]


def solved(net: Net, flow: ControlledFlow, power_pu: np.ndarray, **how: Any) -> OperatingPoints:
    source = np.full((1, power_pu.shape[1]), float(net.ext_grid.vm_pu.iloc[0]))
    return flow.solve(at_ports(flow, power_pu), source, **how)


def by_pandapower(net: Net, flow: ControlledFlow, power_pu: np.ndarray, shared: bool) -> Net:
    """Return a copy of the net, solved by pandapower with loads at these powers, shape (c,)."""
    net = copy.deepcopy(net)
    rows = [int(point.split(":")[1]) for point in flow.network.connection_points]
    net.load.loc[rows, "scaling"] = 1.0
    net.load.loc[rows, "p_mw"] = -power_pu * flow.network.base_power_w / 1e6
    net.load.loc[rows, "q_mvar"] = 0.0
    with others_warnings_ignored():
        pp.runpp(
            net,
            calculate_voltage_angles=True,
            tolerance_mva=1e-9,
            max_iteration=30,
            distributed_slack=shared,
            numba=False,
            lightsim2grid=False,
        )
    return net
