"""Networks that several tests share: bundled, simbench's, and small ones built here."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp
from brute_force import Limits, only_flow
from others_warnings import others_warnings_ignored

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from gateway.formats.input_files import bundled
from security_check.checking.check import SecurityCheck
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.modifications.inverters import (
    AS4777_AUSTRALIA_A,
    IEEE1547_CATEGORY_A,
    IEEE1547_CATEGORY_B,
    Inverter,
    Response,
    with_inverters,
)
from security_check.modifications.reactive_freedom import with_reactive_freedom
from security_check.power_flow.implicit_zbus import PowerFlow

Net = Any


@functools.cache
def _loaded(code: str) -> Net:
    with others_warnings_ignored():
        if code == "1-LV-semiurb4--0-sw":
            return pp.from_json(str(bundled("semiurb4.json")))
        import simbench

        return simbench.get_simbench_net(code)


def simbench_net(code: str) -> Net:
    """Return a net of simbench, read once per session; the copy is the caller's own."""
    return copy.deepcopy(_loaded(code))


@functools.cache
def simbench_network(code: str) -> Network:
    return network_from_pandapower(_loaded(code), name=code)


def feeder(
    customers: int = 6,
    seed: int = 0,
    *,
    trafo_mva: float = 0.1,
    max_i_ka: float = 0.14,
    meshed: bool = False,
) -> Net:
    """Return a low-voltage net with that many loads on up to three random feeders.

    Lines are long enough for voltages to bind and thin enough for currents to.
    """
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=0.1)
    upper = pp.create_bus(net, 20.0)
    head = pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(
        net,
        upper,
        head,
        sn_mva=trafo_mva,
        vn_hv_kv=20.0,
        vn_lv_kv=0.4,
        vkr_percent=1.7,
        vk_percent=4.0,
        pfe_kw=0.3,
        i0_percent=0.3,
        shift_degree=150,
    )
    ends = [head] * int(rng.integers(1, 4))
    for i in range(customers):
        bus = pp.create_bus(net, 0.4)
        branch = int(rng.integers(len(ends)))
        _line(net, ends[branch], bus, float(rng.uniform(0.05, 0.25)), max_i_ka)
        if rng.random() < 0.8:  # else the next one branches off here, too
            ends[branch] = bus
        pp.create_load(net, bus, p_mw=0.004, q_mvar=0.001, name=f"customer {i}")
    if meshed:
        _line(net, ends[0], ends[-1] if ends[-1] != ends[0] else head, 0.3, max_i_ka)
    return net


def _line(net: Net, start: int, end: int, length_km: float, max_i_ka: float) -> int:
    return pp.create_line_from_parameters(
        net,
        start,
        end,
        length_km=length_km,
        r_ohm_per_km=0.32,
        x_ohm_per_km=0.08,
        c_nf_per_km=200.0,
        max_i_ka=max_i_ka,
    )


@functools.cache
def _menagerie() -> Net:
    net = pp.create_empty_network(sn_mva=5.0)
    for bus, kv in (
        (40, 110.0),
        (7, 20.0),
        (8, 20.0),
        (3, 10.0),
        (22, 20.0),
        (23, 20.0),
        (24, 20.0),
        (25, 20.0),
        (12, 0.4),
        (11, 0.4),
        (13, 0.4),
        (14, 0.4),
        (5, 10.0),
        (90, 20.0),  # out of service
        (91, 20.0),  # behind an open switch: no path to the grid
        (41, 110.0),  # joined with the interface by a switch
    ):
        pp.create_bus(net, kv, index=bus, in_service=bus != 90)
    pp.create_ext_grid(net, 40, vm_pu=1.01)
    pp.create_ext_grid(net, 22, in_service=False)
    pp.create_switch(net, 40, 41, et="b")
    pp.create_transformer3w_from_parameters(
        net,
        41,
        7,
        3,
        vn_hv_kv=110.0,
        vn_mv_kv=20.0,
        vn_lv_kv=10.0,
        sn_hv_mva=40.0,
        sn_mv_mva=25.0,
        sn_lv_mva=15.0,
        vk_hv_percent=10.0,
        vk_mv_percent=11.0,
        vk_lv_percent=9.0,
        vkr_hv_percent=0.3,
        vkr_mv_percent=0.31,
        vkr_lv_percent=0.29,
        pfe_kw=30.0,
        i0_percent=0.1,
        shift_mv_degree=30.0,
        shift_lv_degree=150.0,
        tap_side="hv",
        tap_neutral=0,
        tap_pos=-3,
        tap_min=-8,
        tap_max=8,
        tap_step_percent=1.5,
        tap_changer_type="Ratio",
    )
    cable = {"r_ohm_per_km": 0.16, "x_ohm_per_km": 0.12, "c_nf_per_km": 270.0, "max_i_ka": 0.3}
    lines = {
        name: pp.create_line_from_parameters(net, start, end, length_km=km, **cable, **more)
        for name, start, end, km, more in (
            ("twins", 7, 22, 4.0, {"parallel": 2, "df": 0.9}),
            ("ring a", 22, 23, 3.0, {}),
            ("ring b", 23, 24, 2.0, {}),
            ("ring c", 24, 7, 5.0, {}),
            ("one end open", 23, 25, 1.5, {}),
            ("both ends open", 22, 25, 1.0, {}),
            ("out of service", 7, 24, 1.0, {"in_service": False}),
            ("to nowhere", 24, 91, 1.0, {}),
            ("ten kV", 3, 5, 3.0, {}),
        )
    }
    pp.create_switch(net, 25, lines["one end open"], et="l", closed=False)
    pp.create_switch(net, 23, lines["one end open"], et="l", closed=True)
    for bus in (22, 25):
        pp.create_switch(net, bus, lines["both ends open"], et="l", closed=False)
    for bus in (24, 91):
        pp.create_switch(net, bus, lines["to nowhere"], et="l", closed=False)
    pp.create_switch(net, 24, 25, et="b", closed=True)
    pp.create_switch(net, 8, 22, et="b", closed=True)
    pp.create_switch(net, 8, 7, et="b", closed=False)
    for parallel, tap in ((1, 2), (2, -1)):
        pp.create_transformer_from_parameters(
            net,
            23 if parallel == 1 else 25,
            12 if parallel == 1 else 13,
            sn_mva=0.63,
            vn_hv_kv=20.5,
            vn_lv_kv=0.4,
            vkr_percent=1.1,
            vk_percent=6.0,
            pfe_kw=1.2,
            i0_percent=0.3,
            shift_degree=150,
            parallel=parallel,
            df=0.95,
            tap_side="hv",
            tap_neutral=0,
            tap_pos=tap,
            tap_min=-2,
            tap_max=2,
            tap_step_percent=2.5,
            tap_changer_type="Ratio",
        )
    wire = {"r_ohm_per_km": 0.2, "x_ohm_per_km": 0.08, "c_nf_per_km": 0.0, "max_i_ka": 0.27}
    pp.create_line_from_parameters(net, 12, 11, length_km=0.2, **wire)
    pp.create_line_from_parameters(net, 13, 14, length_km=0.3, **wire)
    pp.create_shunt(net, 24, q_mvar=-0.4, p_mw=0.01, step=2)
    pp.create_impedance(net, 3, 5, rft_pu=0.02, xft_pu=0.03, sn_mva=10.0)
    for bus, p_mw, q_mvar in ((5, 0.9, 0.2), (23, 0.5, 0.1), (11, 0.05, 0.0), (14, 0.06, 0.01)):
        pp.create_load(net, bus, p_mw=p_mw, q_mvar=q_mvar)
    pp.create_load(net, 8, p_mw=0.3, q_mvar=0.05, index=17)
    pp.create_load(net, 11, p_mw=0.1, in_service=False)
    pp.create_load(net, 40, p_mw=1.0, q_mvar=0.3)  # at the interface itself
    pp.create_sgen(net, 14, p_mw=0.08, q_mvar=-0.01, scaling=0.8)
    pp.create_sgen(net, 24, p_mw=1.5, q_mvar=0.2)
    pp.create_sgen(net, 41, p_mw=0.7)
    pp.create_storage(net, 11, p_mw=0.02, max_e_mwh=0.1)
    pp.create_storage(net, 5, p_mw=-0.4, max_e_mwh=1.0, q_mvar=0.05)
    return net


def menagerie() -> Net:
    """Return a net with one of everything that a Network can hold; the copy is the caller's own.

    Bus numbers have gaps and come in no order, so that code that confuses bus and node is found.
    """
    return copy.deepcopy(_menagerie())


BAND = InterfaceLimits(0.98, 1.04)


@dataclass(frozen=True)
class Area:
    """A grid to allocate on, and what the brute-force reference needs to know of it."""

    grid: NetworkGrid
    limits: Limits

    def allocate(self) -> SecurityCheck:
        return self.grid.allocate(self.limits.interface)

    @property
    def flow(self) -> PowerFlow:
        return only_flow(self.grid.monitors)


@functools.cache
def small_area(
    customers: int = 6,
    seed: int = 0,
    *,
    meshed: bool = False,
    max_i_ka: float = 0.14,
    trafo_mva: float = 0.1,
    power_factor: float = 1.0,
    cone_power_factor: float = 1.0,
    range_var: tuple[float, float] = (0.0, 0.0),
    response: Response | None = None,
    rating_va: float = 10_000.0,
    capacity_w: int = 25_000,
    fallback_w: int = 500,
    interface: InterfaceLimits = BAND,
) -> Area:
    """Return an area so small that all its vertices can be tried."""
    net = feeder(customers, seed, meshed=meshed, max_i_ka=max_i_ka, trafo_mva=trafo_mva)
    network = network_from_pandapower(net, power_factor=power_factor)
    # Where there are inverters, only the first customer chooses reactive power itself.
    choosers = network.connection_points[: 1 if response is not None else None]
    if cone_power_factor < 1.0 or any(range_var):
        network = with_reactive_freedom(
            network,
            cone_power_factor=dict.fromkeys(choosers, cone_power_factor),
            range_var=dict.fromkeys(choosers, range_var),
        )
    if response is not None:
        fitted = network.connection_points[1 if cone_power_factor < 1.0 or any(range_var) else 0 :]
        network = with_inverters(network, dict.fromkeys(fitted, Inverter(response, rating_va)))
    capacity = Capacity.same(
        network.connection_points, capacity_w, capacity_w, fallback_w, fallback_w
    )
    limits = Limits(VoltageLimits(0.92, 1.08), interface)
    return Area(NetworkGrid(network, limits.voltage, capacity), limits)


SMALL_AREAS: dict[str, dict[str, Any]] = {
    "voltages bind": {"customers": 5, "seed": 1},
    "a mesh": {"customers": 6, "seed": 1, "meshed": True},
    "thin lines": {"customers": 5, "seed": 4, "max_i_ka": 0.04},
    "lagging": {"customers": 6, "seed": 6, "power_factor": 0.9},
    "small transformer": {"customers": 6, "seed": 7, "trafo_mva": 0.04},
    "interface": {
        "customers": 4,
        "seed": 3,
        "interface": InterfaceLimits(0.99, 1.03, 45_000, 60_000),
    },
    "thin mesh, lagging": {
        "customers": 7,
        "seed": 2,
        "meshed": True,
        "max_i_ka": 0.05,
        "power_factor": 0.95,
    },
}
"""Arguments of :func:`small_area` under which different things bind."""

REACTIVE_AREAS: dict[str, dict[str, Any]] = {
    "cone": {"customers": 4, "seed": 1, "cone_power_factor": 0.95},
    "wide cone, small transformer": {
        "customers": 4,
        "seed": 7,
        "trafo_mva": 0.03,
        "cone_power_factor": 0.7,
    },
    "lagging, with a cone, thin lines": {
        "customers": 4,
        "seed": 4,
        "max_i_ka": 0.04,
        "power_factor": 0.97,
        "cone_power_factor": 0.9,
    },
    "range": {"customers": 5, "seed": 6, "range_var": (-2_000.0, 3_000.0)},
    "range, thin mesh": {
        "customers": 5,
        "seed": 2,
        "meshed": True,
        "max_i_ka": 0.05,
        "range_var": (-1_500.0, 1_500.0),
    },
    "cone and range": {
        "customers": 4,
        "seed": 3,
        "interface": InterfaceLimits(0.99, 1.03, 45_000, 60_000),
        "cone_power_factor": 0.95,
        "range_var": (-1_000.0, 500.0),
    },
}
"""The same, with customers who choose their reactive power."""

INVERTER_AREAS: dict[str, dict[str, Any]] = {
    "volt-var and volt-watt": {
        "customers": 5,
        "seed": 1,
        "response": AS4777_AUSTRALIA_A,
    },
    "volt-var alone, large": {
        "customers": 5,
        "seed": 6,
        "response": Response(AS4777_AUSTRALIA_A.volt_var),
        "rating_va": 25_000.0,
    },
    "category A, small transformer": {
        "customers": 5,
        "seed": 7,
        "trafo_mva": 0.04,
        "response": Response(IEEE1547_CATEGORY_A.volt_var),
        "rating_va": 15_000.0,
    },
    "category B, thin lines": {
        "customers": 5,
        "seed": 4,
        "max_i_ka": 0.05,
        "response": IEEE1547_CATEGORY_B,
        "rating_va": 20_000.0,
    },
    "one with a cone": {
        "customers": 5,
        "seed": 3,
        "interface": InterfaceLimits(0.99, 1.03, 45_000, 60_000),
        "cone_power_factor": 0.97,
        "response": AS4777_AUSTRALIA_A,
    },
}
"""The same, with inverters that respond to their voltage."""
