"""Random networks that are driven to their limits: a generator of hard cases for security.

Two to eight customers on radial or meshed networks from 0.4 to 110 kV, with every ratio of
reactance to resistance, off-nominal ratios and ratings, phase shifts, parallel and derated
branches, capacitance, shunts, mixed power factors, narrow and wide limits, points and bands.
Impedances and ratings are chosen for the capacities, so that voltages, currents, the interface or
voltage collapse bind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandapower as pp

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits

Net = Any

LEVELS = ((20.0, 0.4), (110.0, 20.0), (110.0, 10.0), (20.0, 20.0), (110.0, 110.0), (10.0, 0.4))
"""Nominal voltages, kV, of the interface and of the customers; equal ones need no transformer."""


@dataclass(frozen=True)
class StressedCase:
    """One network with the limits under which envelopes are asked for.

    ``net`` is what pandapower runs; ``power_factor`` of each load, ``capacity_w`` each way;
    ``size_mva`` is the power of each customer for which the network was drawn, where it was.
    """

    net: Net
    power_factor: dict[str, float]
    voltage: VoltageLimits
    interface: InterfaceLimits
    capacity_w: int
    shape: dict[str, Any] = field(default_factory=dict)
    size_mva: float = 0.0

    def grid(self) -> NetworkGrid:
        network = network_from_pandapower(self.net, power_factor=self.power_factor)
        points = network.connection_points
        capacity = Capacity.same(points, self.capacity_w, self.capacity_w)
        return NetworkGrid(network, self.voltage, capacity)


def stressed_case(seed: int, fewest: int = 2, most: int = 8) -> StressedCase:
    """Return the case of a seed, with this many customers."""
    rng = np.random.default_rng(seed)
    upper_kv, kv = LEVELS[rng.integers(len(LEVELS))]
    customers = int(rng.integers(fewest, most + 1))
    size_mva = {0.4: 0.02, 10.0: 2.0, 20.0: 5.0, 110.0: 60.0}[kv] * rng.uniform(0.3, 3.0)
    x_to_r = float(np.exp(rng.uniform(np.log(0.1), np.log(40.0))))
    net = pp.create_empty_network(sn_mva=max(size_mva, 0.1))
    source = pp.create_bus(net, upper_kv)
    pp.create_ext_grid(net, source)
    head = source
    if upper_kv != kv or rng.random() < 0.3:
        head = pp.create_bus(net, kv)
        _transformer(net, source, head, size_mva * customers, rng)
    meshed = bool(rng.random() < 0.3)
    _lines(net, head, customers, size_mva, x_to_r, meshed, rng)
    buses = rng.choice(np.arange(head, len(net.bus)), size=customers)
    buses[0] = len(net.bus) - 1
    for bus in buses:
        pp.create_load(net, int(bus), p_mw=0.0)
    if rng.random() < 0.2:
        pp.create_shunt(net, int(buses[-1]), q_mvar=size_mva * rng.uniform(-0.3, 0.3), p_mw=0.0)
    mixed = rng.random() < 0.5
    factors = {
        f"load:{k}": float(rng.uniform(0.5, 1.0)) if mixed and rng.random() < 0.6 else 1.0
        for k in range(customers)
    }
    voltage, band = _limits(rng)
    limit_w = None
    if rng.random() < 0.2:
        limit_w = int(size_mva * 1e6 * customers * rng.uniform(0.3, 1.5))
    capacity_w = int(size_mva * 1e6 * np.exp(rng.uniform(0.0, 4.0)))
    shape = {"kv": kv, "customers": customers, "x_to_r": round(x_to_r, 2), "meshed": meshed}
    return StressedCase(
        net,
        factors,
        voltage,
        InterfaceLimits(*band, limit_w, limit_w),
        capacity_w,
        shape,
        float(size_mva),
    )


def _limits(rng: np.random.Generator) -> tuple[VoltageLimits, tuple[float, float]]:
    """Return voltage limits, and a band that is a point in half of the cases."""
    low, high = ((0.95, 1.05), (0.9, 1.1), (0.94, 1.06), (0.8, 1.2), (0.5, 1.5))[rng.integers(5)]
    middle = rng.uniform(0.7 * low + 0.3 * high, 0.3 * low + 0.7 * high)
    half = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.15) * (high - low)
    return VoltageLimits(low, high), (round(middle - half, 4), round(middle + half, 4))


def _transformer(
    net: Net, source: int, head: int, size_mva: float, rng: np.random.Generator
) -> None:
    """Connect the interface with the customers' voltage level."""
    high_kv, low_kv = float(net.bus.vn_kv[source]), float(net.bus.vn_kv[head])
    resistive = rng.uniform(0.2, 2.0)
    pp.create_transformer_from_parameters(
        net,
        source,
        head,
        sn_mva=size_mva * rng.uniform(0.4, 3.0),
        vn_hv_kv=high_kv * (rng.uniform(0.95, 1.05) if rng.random() < 0.4 else 1.0),
        vn_lv_kv=low_kv * (rng.uniform(0.95, 1.05) if rng.random() < 0.4 else 1.0),
        vkr_percent=resistive,
        vk_percent=resistive + rng.uniform(2.0, 18.0),
        pfe_kw=size_mva * (rng.uniform(0.0, 2.0) if rng.random() < 0.5 else 0.0),
        i0_percent=rng.uniform(0.2, 1.0) if rng.random() < 0.5 else 0.0,
        shift_degree=float(rng.choice([0.0, 30.0, 150.0])),
        parallel=int(rng.choice([1, 1, 2])),
        df=float(rng.choice([1.0, 1.0, 0.9])),
        tap_side=str(rng.choice(["hv", "lv"])),
        tap_neutral=0,
        tap_min=-5,
        tap_max=5,
        tap_pos=int(rng.integers(-3, 4)),
        tap_step_percent=1.5,
        tap_changer_type="Ratio",
    )


def _lines(
    net: Net,
    head: int,
    customers: int,
    size_mva: float,
    x_to_r: float,
    meshed: bool,
    rng: np.random.Generator,
) -> None:
    """Grow a tree from the head, close rings in a meshed network."""
    kv = float(net.bus.vn_kv[head])
    count = int(rng.integers(1, max(2, customers - 1) + 1))
    drop = float(np.exp(rng.uniform(np.log(0.02), np.log(0.6))))  # of voltage, at full power
    strong = float(np.exp(rng.uniform(np.log(0.5), np.log(20.0))))  # rating over size
    ends = [head]
    pairs = []
    for _ in range(count):
        bus = pp.create_bus(net, kv)
        pairs.append((int(rng.choice(ends[-3:])), bus))
        ends.append(bus)
    if meshed and count > 1:
        pairs += [tuple(rng.choice(ends, 2, replace=False)) for _ in range(int(rng.integers(1, 3)))]
    charged = rng.random() < 0.4
    for start, end in pairs:
        ohm = kv**2 / (size_mva * customers) * drop * rng.uniform(0.3, 1.7)
        ratio = x_to_r * rng.uniform(0.7, 1.4)
        pp.create_line_from_parameters(
            net,
            int(start),
            int(end),
            length_km=1.0,
            r_ohm_per_km=ohm / np.hypot(1.0, ratio),
            x_ohm_per_km=ohm * ratio / np.hypot(1.0, ratio),
            c_nf_per_km=_capacitance(kv, size_mva, rng) if charged else 0.0,
            max_i_ka=size_mva * customers / (np.sqrt(3) * kv) * strong * rng.uniform(0.2, 1.5),
            parallel=int(rng.choice([1, 1, 1, 2])),
            df=float(rng.choice([1.0, 1.0, 0.8])),
        )


def _capacitance(kv: float, size_mva: float, rng: np.random.Generator) -> float:
    """Return nanofarads that charge with up to a tenth of the size at nominal voltage."""
    return float(size_mva * rng.uniform(0.0, 0.1) / (kv**2 * 2.0 * np.pi * 50.0) * 1e9)


def _buses(kv: list[float]) -> Net:
    """Return a net of these buses, 0 to n - 1, fed at the first."""
    net = pp.create_empty_network(sn_mva=1.0)
    for each in kv:
        pp.create_bus(net, each)
    pp.create_ext_grid(net, 0)
    return net


def _line(net: Net, start: int, end: int, ohm: complex, max_i_ka: float) -> None:
    """Connect two buses with a line of this impedance, without capacitance."""
    pp.create_line_from_parameters(
        net,
        start,
        end,
        length_km=1.0,
        r_ohm_per_km=ohm.real,
        x_ohm_per_km=ohm.imag,
        c_nf_per_km=0.0,
        max_i_ka=max_i_ka,
    )


def reactive_feeder() -> StressedCase:
    """Return two customers of different power factors behind 11 ohm of reactance.

    The voltage is lowest where one withdraws and the other injects; beyond, it collapses.
    """
    net = _buses([110.0, 20.0, 20.0])
    pp.create_transformer_from_parameters(
        net,
        0,
        1,
        sn_mva=30.0,
        vn_hv_kv=110.0,
        vn_lv_kv=20.0,
        vkr_percent=0.5,
        vk_percent=18.0,
        pfe_kw=0.0,
        i0_percent=0.0,
    )
    _line(net, 1, 2, 0.2 + 11j, 2.0)
    for _ in range(2):
        pp.create_load(net, 2, p_mw=0.0)
    return StressedCase(
        net,
        {"load:0": 0.5, "load:1": 1.0},
        VoltageLimits(0.9, 1.1),
        InterfaceLimits(1.021, 1.021),
        150_000_000,
    )


def reactive_street() -> StressedCase:
    """Return a low-voltage network with reactances like overhead lines of a higher level."""
    net = _buses([20.0, *[0.4] * 6])
    pp.create_transformer_from_parameters(
        net,
        0,
        1,
        sn_mva=0.36,
        vn_hv_kv=20.0,
        vn_lv_kv=0.4,
        vkr_percent=1.1,
        vk_percent=7.6,
        pfe_kw=0.1,
        i0_percent=0.97,
        shift_degree=30.0,
        tap_side="hv",
        tap_neutral=0,
        tap_pos=3,
        tap_min=-5,
        tap_max=5,
        tap_step_percent=1.5,
        tap_changer_type="Ratio",
    )
    for start, end, ohm in (
        (1, 2, 0.039 + 0.162j),
        (2, 3, 0.042 + 0.298j),
        (1, 4, 0.019 + 0.074j),
        (4, 5, 0.026 + 0.175j),
        (5, 6, 0.036 + 0.217j),
    ):
        _line(net, start, end, ohm, 2.0)
    for bus in (4, 3, 3, 6, 5):
        pp.create_load(net, bus, p_mw=0.0)
    return StressedCase(
        net,
        dict.fromkeys((f"load:{k}" for k in range(5)), 1.0),
        VoltageLimits(0.94, 1.06),
        InterfaceLimits(1.0144, 1.0344),
        200_000,
    )


def three_in_a_row() -> StressedCase:
    """Return three customers in a row on 110 kV; the second section is the weak one."""
    net = _buses([110.0] * 4)
    for section, rating in enumerate((1.0, 0.2, 1.0)):
        _line(net, section, section + 1, 4.0 + 40j, rating)
        pp.create_load(net, section + 1, p_mw=0.0)
    return StressedCase(
        net,
        dict.fromkeys((f"load:{k}" for k in range(3)), 1.0),
        VoltageLimits(0.9, 1.1),
        InterfaceLimits(0.9737, 0.9737),
        1_000_000_000,
    )


REPORTED = {
    "two power factors": reactive_feeder,
    "reactive street": reactive_street,
    "three in a row": three_in_a_row,
}
"""Networks on which insecure or unfair envelopes were once published."""
