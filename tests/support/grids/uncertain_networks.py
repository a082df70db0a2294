"""Small networks with generators and storages whose power is not known exactly."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp
from brute_force import Limits, only_flow
from networks import BAND, Net, feeder

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviation_sets import BoxSet, BudgetSet, DeviationSet, EllipsoidSet
from security_check.uncertainty.forecast import Uncertainty

PASSIVE = (("sgen", 0.012, 0.0), ("storage", 0.004, 0.001), ("sgen", 0.006, -0.002))
"""Table, active and reactive power in MW and Mvar of what does not trade, at different buses."""

SCALING = {"sgen": 0.8, "storage": 0.5}
"""Of each table: the powers above are products of it and of the table's own."""

RELATIVE = np.array([0.5, 0.0, 0.25])
ABSOLUTE_W = np.array([0.0, 5_000.0, 1_000.0])
RATIO = np.array([0.3, np.nan, np.nan])
"""The deviations' half-bands, and their reactive ratio: its own, or that of the forecast."""


@dataclass(frozen=True)
class UncertainArea:
    """A grid with deviations, and what the reference needs to know of it."""

    net: Net
    grid: NetworkGrid
    limits: Limits
    half_band_pu: np.ndarray
    """Shape (J, d), complex, worked out here from the net's own tables."""

    @property
    def flow(self) -> PowerFlow:
        return only_flow(self.grid.monitors)

    def with_set(self, deviations: DeviationSet) -> NetworkGrid:
        return self.grid.with_forecast(model(deviations).forecast(self.grid.network))


def model(deviations: DeviationSet) -> Uncertainty:
    base_w = 1e5  # sn_mva of the feeders
    return Uncertainty(np.arange(3), RELATIVE, ABSOLUTE_W / base_w, RATIO, deviations)


def uncertain_net(customers: int, seed: int, **options) -> Net:
    net = feeder(customers, seed, **options)
    buses = net.load.bus.to_numpy()
    for k, (table, p_mw, q_mvar) in enumerate(PASSIVE):
        bus, scaling = int(buses[-1 - k]), SCALING[table]
        own = {"p_mw": p_mw / scaling, "q_mvar": q_mvar / scaling, "scaling": scaling}
        if table == "sgen":
            pp.create_sgen(net, bus, **own)
        else:
            pp.create_storage(net, bus, max_e_mwh=1.0, **own)
    return net


@functools.cache
def uncertain_area(
    customers: int = 4,
    seed: int = 1,
    power_factor: float = 1.0,
    interface: InterfaceLimits = BAND,
    **options,
) -> UncertainArea:
    """Return an area of that many customers and three deviating elements."""
    net = uncertain_net(customers, seed, **options)
    network = network_from_pandapower(net, passive="as-given", power_factor=power_factor)
    points = network.connection_points
    capacity = Capacity.same(points, 25_000, 25_000, 500, 500)
    limits = Limits(VoltageLimits(0.90, 1.10), interface)
    half = np.zeros((len(network.ports.names), 3), dtype=complex)
    buses = [net.sgen.bus[0], net.sgen.bus[1], net.storage.bus[0]]
    order = [PASSIVE[0], PASSIVE[2], PASSIVE[1]]  # tables first, as the network lists them
    for k, (bus, (table, p_mw, q_mvar)) in enumerate(zip(buses, order, strict=True)):
        p = p_mw * 1e6 * (1 if table == "sgen" else -1)
        band = RELATIVE[k] * abs(p) + ABSOLUTE_W[k]
        ratio = q_mvar / p_mw if np.isnan(RATIO[k]) else RATIO[k]
        half[network.ports.names.index(f"bus:{bus}"), k] = band * (1 + 1j * ratio) / 1e5
    return UncertainArea(net, NetworkGrid(network, limits.voltage, capacity), limits, half)


AREAS: dict[str, dict[str, Any]] = {
    "voltages bind": {"customers": 4, "seed": 1},
    "a mesh": {"customers": 5, "seed": 1, "meshed": True},
    "thin lines": {"customers": 4, "seed": 4, "max_i_ka": 0.05},
    "lagging": {"customers": 5, "seed": 6, "power_factor": 0.9},
    "small transformer": {"customers": 4, "seed": 7, "trafo_mva": 0.05},
    "interface": {
        "customers": 4,
        "seed": 3,
        "interface": InterfaceLimits(0.99, 1.03, 45_000, 60_000),
    },
}

COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 0.8, -0.3], [0.0, -0.3, 0.5]])

SETS: dict[str, DeviationSet] = {
    "box": BoxSet(3),
    "budget": BudgetSet(3, 2.0),
    "fractional budget": BudgetSet(3, 1.4),
    "small budget": BudgetSet(3, 0.6),
    "ellipsoid": EllipsoidSet(COVARIANCE, 1.2),
    "flat ellipsoid": EllipsoidSet(np.outer([1.0, -0.5, 0.4], [1.0, -0.5, 0.4]), 1.0),
}


def reactive_net() -> Net:
    """Return a net behind a transformer whose reactance counts more than its resistance.

    What others do then bends a voltage down, whichever way they do it: it is highest where they
    neither draw nor feed, which is no extreme point of anything.
    """
    net = pp.create_empty_network(sn_mva=25.0)
    upper, head = pp.create_bus(net, 110.0), pp.create_bus(net, 20.0)
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(
        net,
        upper,
        head,
        sn_mva=25.0,
        vn_hv_kv=110.0,
        vn_lv_kv=20.0,
        vkr_percent=0.3,
        vk_percent=12.0,
        pfe_kw=14.0,
        i0_percent=0.07,
    )
    for k in range(4):
        bus = pp.create_bus(net, 20.0)
        pp.create_line_from_parameters(
            net,
            head,
            bus,
            length_km=1.0 + 0.5 * k,
            r_ohm_per_km=0.16,
            x_ohm_per_km=0.12,
            c_nf_per_km=270.0,
            max_i_ka=0.6,
        )
        if k < 2:
            pp.create_load(net, bus, p_mw=1.0)
        else:
            pp.create_sgen(net, bus, p_mw=0.5)
    return net


@functools.cache
def reactive_grid() -> NetworkGrid:
    network = network_from_pandapower(reactive_net(), passive="as-given")
    capacity = Capacity.same(network.connection_points, 20_000_000, 20_000_000)
    return NetworkGrid(network, VoltageLimits(0.97, 1.03), capacity)


def off_by(grid: NetworkGrid, half_mw: float, deviations: DeviationSet) -> NetworkGrid:
    """Return the reactive grid with both generators off by so much, at unity power factor."""
    half = np.full(2, half_mw / 25.0)
    model_ = Uncertainty(np.arange(2), np.zeros(2), half, np.zeros(2), deviations)
    return grid.with_forecast(model_.forecast(grid.network))


def extreme_points(deviations: DeviationSet) -> np.ndarray:
    """Return all extreme points of a box or budget, or many of an ellipsoid, shape (E, d)."""
    d = deviations.count
    if isinstance(deviations, EllipsoidSet):
        return on_ellipsoid(deviations, np.random.default_rng(0).normal(size=(400, d)))
    gamma = deviations.gamma if isinstance(deviations, BudgetSet) else float(d)
    whole, part = int(gamma), gamma - int(gamma)
    sizes = [1.0] * whole + ([part] if part else [])
    points = set()
    for places in itertools.permutations(range(d), len(sizes)):
        for signs in itertools.product((-1.0, 1.0), repeat=len(sizes)):
            point = np.zeros(d)
            point[list(places)] = np.array(signs) * sizes
            points.add(tuple(point))
    return np.array(sorted(points))


def on_ellipsoid(ellipsoid: EllipsoidSet, ball: np.ndarray) -> np.ndarray:
    """Return the ellipsoid's points in the directions of ``ball``, by a square root of Sigma."""
    values, vectors = np.linalg.eigh(ellipsoid.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    sphere = ball / np.linalg.norm(ball, axis=1, keepdims=True)
    return ellipsoid.radius * sphere @ root.T
