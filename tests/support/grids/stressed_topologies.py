"""Random balanced networks of shapes that a random tree does not have, at their limits.

Long feeders with laterals, feeders behind a strong common reactance, customers at a transformer's
primary, cables that charge more than they carry, parallel transformers of different ratios or
phase shifts, rings of two voltage levels; customers of one bus with lagging and leading power
factors, few or many.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandapower as pp

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network

Net = Any
Rng = np.random.Generator

SHAPES = ("laterals", "common", "primary", "cables", "parallel", "shifted", "levels", "star")


@dataclass(frozen=True)
class ShapedCase:
    """A network, the reactive power of each load per active power, and limits.

    Leading power factors are not an input of the importer: they are set in the network.
    """

    net: Net
    ratio: np.ndarray
    voltage: VoltageLimits
    interface: InterfaceLimits
    capacity_w: int
    shape: dict[str, Any]

    def network(self) -> Network:
        return replace(network_from_pandapower(self.net), reactive_ratio=self.ratio)

    def grid(self) -> NetworkGrid:
        network = self.network()
        capacity = Capacity.same(network.connection_points, self.capacity_w, self.capacity_w)
        return NetworkGrid(network, self.voltage, capacity)


def shaped_case(seed: int, fewest: int = 2, most: int = 7) -> ShapedCase:
    """Return the case of a seed, with this many customers."""
    rng = np.random.default_rng([seed, 13])
    shape = SHAPES[rng.integers(len(SHAPES))]
    customers = int(rng.integers(fewest, most + 1))
    size_mva = float(np.exp(rng.uniform(np.log(0.01), np.log(20.0))))
    low_kv = 0.4 if size_mva < 0.2 else float(rng.choice([10.0, 20.0, 33.0]))
    drawing = _Drawing(rng, size_mva, customers, low_kv)
    buses = getattr(drawing, f"_{shape}")()
    at = rng.choice(buses, size=customers)
    at[0] = buses[-1]
    for bus in at:
        pp.create_load(drawing.net, int(bus), p_mw=0.0)
    if rng.random() < 0.25:
        q_mvar = size_mva * rng.uniform(-0.5, 0.5)
        pp.create_shunt(drawing.net, int(rng.choice(buses)), q_mvar=q_mvar, p_mw=0.0)
    ratio = np.zeros(customers)
    if rng.random() < 0.6:
        some = rng.random(customers) < 0.7
        ratio[some] = rng.uniform(-1.0, 1.7, int(some.sum()))
    voltage, band = _limits(rng)
    limit_w = None
    if rng.random() < 0.15:
        limit_w = int(size_mva * 1e6 * customers * rng.uniform(0.3, 1.5))
    contract = InterfaceLimits(*band, limit_w, limit_w)
    capacity_w = int(size_mva * 1e6 * np.exp(rng.uniform(0.0, 4.0)))
    described = {"shape": shape, "customers": customers, "kv": low_kv, **drawing.described}
    return ShapedCase(drawing.net, ratio, voltage, contract, capacity_w, described)


def _limits(rng: Rng) -> tuple[VoltageLimits, tuple[float, float]]:
    low, high = ((0.9, 1.1), (0.95, 1.05), (0.85, 1.1), (0.7, 1.3), (0.6, 1.4))[rng.integers(5)]
    middle = rng.uniform(0.6 * low + 0.4 * high, 0.3 * low + 0.7 * high)
    half = rng.choice([0.0, 0.0, 0.05, 0.15]) * (high - low)
    return VoltageLimits(low, high), (round(middle - half, 4), round(middle + half, 4))


class _Drawing:
    """Draws one network; every shape returns the buses at which customers may be."""

    def __init__(self, rng: Rng, size_mva: float, customers: int, low_kv: float) -> None:
        self.rng, self.size_mva, self.customers = rng, size_mva, customers
        self.high_kv, self.low_kv = 20.0 if low_kv < 1.0 else 110.0, low_kv
        self.x_to_r = float(np.exp(rng.uniform(np.log(0.1), np.log(40.0))))
        self.drop = float(np.exp(rng.uniform(np.log(0.05), np.log(1.0))))
        self.strong = float(np.exp(rng.uniform(np.log(0.6), np.log(20.0))))
        self.charge = float(rng.choice([0.0, 0.0, 0.1]))
        self.net = pp.create_empty_network(sn_mva=max(size_mva, 0.1))
        self.source = pp.create_bus(self.net, self.high_kv)
        pp.create_ext_grid(self.net, self.source)
        self.described = {"x_to_r": round(self.x_to_r, 2), "drop": round(self.drop, 2)}

    def _bus(self, kv: float) -> int:
        return int(pp.create_bus(self.net, kv))

    def _line(self, start: int, end: int, part: float = 1.0, x_to_r: float | None = None) -> None:
        """Draw a line that has this part of the drop at full power."""
        kv, rng = float(self.net.bus.vn_kv[start]), self.rng
        full_mva = self.size_mva * self.customers
        ohm = kv**2 / full_mva * self.drop * part * rng.uniform(0.5, 1.5)
        ratio = (self.x_to_r if x_to_r is None else x_to_r) * rng.uniform(0.8, 1.25)
        mvar = full_mva * self.charge * rng.uniform(0.0, 1.0)
        pp.create_line_from_parameters(
            self.net,
            start,
            end,
            length_km=1.0,
            r_ohm_per_km=ohm / np.hypot(1.0, ratio),
            x_ohm_per_km=ohm * ratio / np.hypot(1.0, ratio),
            c_nf_per_km=mvar / (kv**2 * 2.0 * np.pi * 50.0) * 1e9,
            max_i_ka=full_mva / (np.sqrt(3) * kv) * self.strong * rng.uniform(0.3, 1.5),
        )

    def _transformer(
        self, upper: int, lower: int, *, tap: int = 0, shift: float = 0.0, rated: float = 2.0
    ) -> None:
        rng, full_mva = self.rng, self.size_mva * self.customers
        resistive = rng.uniform(0.2, 1.5)
        pp.create_transformer_from_parameters(
            self.net,
            upper,
            lower,
            sn_mva=full_mva * rated * rng.uniform(0.3, 1.5),
            vn_hv_kv=float(self.net.bus.vn_kv[upper]) * rng.choice([1.0, 1.0, 0.97, 1.04]),
            vn_lv_kv=float(self.net.bus.vn_kv[lower]) * rng.choice([1.0, 1.0, 1.05]),
            vkr_percent=resistive,
            vk_percent=resistive + rng.uniform(3.0, 20.0),
            pfe_kw=0.0,
            i0_percent=float(rng.choice([0.0, 0.5])),
            shift_degree=shift,
            tap_side="hv",
            tap_neutral=0,
            tap_min=-9,
            tap_max=9,
            tap_pos=tap,
            tap_step_percent=1.25,
            tap_changer_type="Ratio",
        )

    def _head(self) -> int:
        head = self._bus(self.low_kv)
        self._transformer(self.source, head, tap=int(self.rng.integers(-4, 5)), shift=30.0)
        return head

    def _chain(self, begin: int, sections: int, kv: float) -> list[int]:
        buses = [begin]
        for _ in range(sections):
            bus = self._bus(kv)
            self._line(buses[-1], bus, 1.0 / sections)
            buses.append(bus)
        return buses[1:]

    def _laterals(self) -> list[int]:
        main = self._chain(self._head(), int(self.rng.integers(3, 7)), self.low_kv)
        ends = []
        for bus in self.rng.choice(main, size=int(self.rng.integers(1, 4))):
            ends += self._chain(int(bus), int(self.rng.integers(1, 3)), self.low_kv)
        return main + ends

    def _common(self) -> list[int]:
        """Draw feeders behind a strong reactance that they have in common."""
        begin = self._bus(self.low_kv)
        self._line(self._head(), begin, self.rng.uniform(0.3, 1.0), 30.0)
        self.drop *= self.rng.uniform(0.1, 1.0)
        feeders = [
            self._chain(begin, int(self.rng.integers(1, 4)), self.low_kv)
            for _ in range(int(self.rng.integers(2, 4)))
        ]
        return [bus for feeder in feeders for bus in feeder]

    def _primary(self) -> list[int]:
        """Draw customers on both sides of a transformer, some at the source itself."""
        upper = self._bus(self.high_kv)
        self._line(self.source, upper, 0.4)
        head = self._bus(self.low_kv)
        self._transformer(upper, head, tap=int(self.rng.integers(-4, 5)), shift=150.0)
        return [self.source, upper, head, *self._chain(head, 2, self.low_kv)]

    def _cables(self) -> list[int]:
        self.charge = float(self.rng.uniform(0.2, 0.8)) / 3
        return self._chain(self._head(), 3, self.low_kv)

    def _parallel(self) -> list[int]:
        """Draw two transformers side by side, with different ratios."""
        head, tap = self._head(), int(self.rng.integers(-3, 4))
        self._transformer(self.source, head, tap=tap, shift=30.0)
        return [head, *self._chain(head, 2, self.low_kv)]

    def _shifted(self) -> list[int]:
        """Draw a ring through transformers whose phase shifts differ a little."""
        one, other = self._bus(self.low_kv), self._bus(self.low_kv)
        shift = float(self.rng.uniform(-3.0, 3.0))
        self._transformer(self.source, one, shift=30.0)
        self._transformer(self.source, other, shift=30.0 + shift)
        self._line(one, other, 0.5)
        return [one, other, *self._chain(other, 1, self.low_kv)]

    def _levels(self) -> list[int]:
        """Draw a ring with one side at the upper and one at the lower voltage."""
        far = self._chain(self.source, 2, self.high_kv)
        one, other = self._bus(self.low_kv), self._bus(self.low_kv)
        self._transformer(self.source, one, tap=1)
        self._transformer(far[-1], other)
        self._line(one, other, 0.6)
        return [*far, one, other]

    def _star(self) -> list[int]:
        head = self._head()
        return [self._chain(head, 1, self.low_kv)[0] for _ in range(min(self.customers, 6))]


def without_loads(net: Net) -> Net:
    """Return a copy whose loads are without power, for matrices."""
    other = copy.deepcopy(net)
    other.load["p_mw"] = other.load["q_mvar"] = 0.0
    return other
