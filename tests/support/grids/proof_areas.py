"""Areas and boxes that proofs are tried on; the values come from the power flow and monitors."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandapower as pp
from brute_force import solve
from hypothesis import strategies as st
from networks import feeder

from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviations import Deviations
from security_check.verification.enclosure import PortModel
from security_check.verification.radial_condition import RadialTree, radial_tree

ENDS = (0.98, 1.04)


@dataclass(frozen=True)
class Area:
    network: Network
    model: PortModel
    tree: RadialTree | None
    monitors: Monitors

    def box(self, injection_w: np.ndarray, withdrawal_w: np.ndarray) -> np.ndarray:
        return np.concatenate([injection_w, withdrawal_w]) / self.network.base_power_w

    @property
    def conditions(self) -> OperatingConditions:
        corners = np.repeat(np.array(ENDS)[:, None], self.network.held, axis=1)
        passive = self.network.ports.passive_power_pu
        return OperatingConditions(self.network, corners, passive, Deviations.none(len(passive)))

    def values(self, power_pu: np.ndarray, voltage: np.ndarray) -> np.ndarray:
        """Return what a row of each kind measures, (R, B); a current's magnitude in both rows."""
        found = self.monitors.all_values(solve(self.monitors.power_flow, power_pu, voltage))
        kind = self.monitors.kind
        export, imported = kind == RowKind.CURRENT_EXPORT, kind == RowKind.CURRENT_IMPORT
        magnitude = np.maximum(found[export], found[imported])
        found[export] = found[imported] = magnitude
        return found


def customer_slopes(network: Network, by_port: np.ndarray) -> np.ndarray:
    """Return derivatives by customers' active power, (r, c), of those by port power, (J, r)."""
    ratio = network.reactive_ratio
    shared = network.port_shares.T @ by_port
    return (shared.real + ratio[:, None] * shared.imag).T


@functools.cache
def area(customers: int, seed: int, meshed: bool, power_factor: float, trafo_mva: float) -> Area:
    net = feeder(customers, seed, meshed=meshed, trafo_mva=trafo_mva)
    net.trafo["vn_hv_kv"] *= 1.0 + 0.02 * (seed % 3)  # a ratio off nominal
    return of_network(network_from_pandapower(net, power_factor=power_factor))


def of_network(network: Network) -> Area:
    model = PortModel(network)
    return Area(network, model, radial_tree(model), Monitors(PowerFlow(network)))


@functools.cache
def wild_area(seed: int) -> Area:
    """Return an area that no one would build: any resistance, reactance, power factor, shunt.

    In such areas signs turn, worst points lie inside, and currents turn their phase, so that a
    proof that leaves out a term is caught.
    """
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=0.1)
    buses = pp.create_buses(net, int(rng.integers(3, 6)), 0.4)
    pp.create_ext_grid(net, buses[0])
    for k, bus in enumerate(buses[1:], start=1):
        parent = buses[0] if k == 1 else buses[int(rng.integers(1, k))]
        r, x = 10.0 ** rng.uniform([-3.5, -2.5], [-0.7, -0.5])
        pp.create_line_from_parameters(net, parent, bus, 1.0, r, x, c_nf_per_km=0.0, max_i_ka=0.2)
        if k > 1:
            pp.create_load(net, bus, p_mw=0.0)
        if rng.random() < 0.4:
            pp.create_sgen(net, bus, *rng.uniform(-0.03, 0.03, 2))
        if rng.random() < 0.3:
            pp.create_shunt(net, bus, q_mvar=rng.uniform(-0.03, 0.03), p_mw=rng.uniform(0, 0.02))
    factors = {f"load:{i}": float(rng.choice([1.0, 0.9, 0.6])) for i in net.load.index}
    network = network_from_pandapower(net, passive="as-given", power_factor=factors)
    return of_network(network)


AREAS = st.builds(
    area,
    customers=st.integers(1, 5),
    seed=st.integers(0, 30),
    meshed=st.booleans(),
    power_factor=st.sampled_from([1.0, 1.0, 0.95, 0.8]),
    trafo_mva=st.sampled_from([0.1, 0.02]),
)


def random_box(where: Area, seed: int, size: float) -> np.ndarray:
    """Return limits of up to ``size`` kW that differ a lot, some of them zero."""
    rng = np.random.default_rng(seed)
    count = len(where.network.connection_points)
    limits_w = 1e3 * size * rng.random((2, count)) ** rng.choice([0.3, 1.0, 3.0])
    limits_w[rng.random((2, count)) < 0.15] = 0.0
    limits_w *= rng.choice([0.0, 0.2, 1.0, 1.0], (2, 1))
    return where.box(*limits_w)


def line_of_two(r_ohm: float, x_ohm: float) -> Area:
    """Return two customers behind a common line, on branches of their own."""
    net = pp.create_empty_network(sn_mva=0.1)
    buses = pp.create_buses(net, 4, 0.4)
    pp.create_ext_grid(net, buses[0])
    lines = ((0, 1, r_ohm, x_ohm), (1, 2, 0.05, 0.02), (1, 3, 0.05, 0.02))
    for start, end, r, x in lines:
        pp.create_line_from_parameters(
            net, buses[start], buses[end], 1.0, r, x, c_nf_per_km=0.0, max_i_ka=0.2
        )
    for bus in buses[2:]:
        pp.create_load(net, bus, p_mw=0.01)
    return of_network(network_from_pandapower(net))
