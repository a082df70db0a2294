"""Stressed networks with what else may happen: chosen reactive power, deviations, outages.

The networks of :mod:`stressed_networks`, with power-factor cones and ranges of reactive power,
generators off their forecast (box, budget, ellipsoid), impedances within a tolerance, inverters
that respond to their voltage, lines or transformers that may fail, and taps anywhere in a range.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandapower as pp
from stressed_networks import StressedCase, stressed_case

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_outages import islanding_outages, outages_from_pandapower
from security_check.model.element import State
from security_check.model.limits import InterfaceLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.modifications.impedance_tolerance import with_tolerance
from security_check.modifications.inverters import (
    AS4777_AUSTRALIA_A,
    IEEE1547_CATEGORY_A,
    IEEE1547_CATEGORY_B,
    Inverter,
    with_inverters,
)
from security_check.modifications.reactive_freedom import with_reactive_freedom
from security_check.uncertainty.deviation_sets import BoxSet, BudgetSet, DeviationSet, EllipsoidSet
from security_check.uncertainty.forecast import Uncertainty

Net = Any
Rng = np.random.Generator

KINDS = (
    "cones",
    "ranges",
    "cones and ranges",
    "deviations",
    "impedances",
    "inverters",
    "outages",
    "cones and deviations",
    "deviations and impedances",
    "outages and ranges",
    "outages and cones",
    "cones and impedances",
)

TAPPED = (
    "taps",
    "taps and cones",
    "taps and ranges",
    "taps and deviations",
    "taps and impedances",
    "taps and inverters",
)


@dataclass(frozen=True)
class FreeCase:
    """A stressed network and what may happen on it besides.

    ``cone`` and ``range_var`` of each customer; ``half_mva`` is the deviation of each generator at
    ``xi`` of one; ``tolerance`` of elements; ``rating_va`` of inverters that respond by ``curves``;
    ``taps`` are the positions of the first transformer, the usual one first.
    """

    base: StressedCase
    interface: InterfaceLimits
    cone: dict[str, float] = field(default_factory=dict)
    range_var: dict[str, tuple[float, float]] = field(default_factory=dict)
    half_mva: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=complex))
    deviations: DeviationSet | None = None
    tolerance: dict[str, float] = field(default_factory=dict)
    inverters: dict[str, Inverter] = field(default_factory=dict)
    outages: tuple[str, ...] = ()
    taps: tuple[int, ...] = ()
    shape: dict[str, Any] = field(default_factory=dict)

    @property
    def net(self) -> Net:
        return self.base.net

    @property
    def capacity_w(self) -> int:
        return self.base.capacity_w

    def grid(self) -> NetworkGrid:
        networks: list[Network]
        if self.outages:
            whole, outages = outages_from_pandapower(
                self.net, self.outages, power_factor=self.base.power_factor
            )
            networks = [whole, *(outage.network for outage in outages)]
        else:
            factor = self.base.power_factor
            networks = [
                network_from_pandapower(
                    self.net, passive="as-given", power_factor=factor, taps=stated
                )
                for stated in ([{"trafo:0": at} for at in self.taps] or (None,))
            ]
        whole, *rest = (self._changed(network) for network in networks)
        capacity = Capacity.same(whole.connection_points, self.capacity_w, self.capacity_w)
        others = [State(outage=name) for name in self.outages]
        others += [State((("trafo:0", at),)) for at in self.taps[1:]]
        states = [NetworkState(*each) for each in zip(others, rest, strict=True)]
        grid = NetworkGrid(whole, self.base.voltage, capacity, states=states)
        return grid if self.deviations is None else grid.with_forecast(self._forecast(whole))

    def _changed(self, network: Network) -> Network:
        if self.tolerance:
            network = with_tolerance(network, self.tolerance)
        if self.inverters:
            network = with_inverters(network, self.inverters)
        if self.cone or self.range_var:
            network = with_reactive_freedom(
                network, cone_power_factor=self.cone, range_var=self.range_var
            )
        return network

    def _forecast(self, network: Network):
        assert self.deviations is not None
        count = len(self.half_mva)
        absolute = self.half_mva.real * 1e6 / network.base_power_w
        ratio = self.half_mva.imag / self.half_mva.real
        model = Uncertainty(np.arange(count), np.zeros(count), absolute, ratio, self.deviations)
        return model.forecast(network)


def free_case(
    seed: int, fewest: int = 2, most: int = 4, kinds: tuple[str, ...] = KINDS
) -> FreeCase:
    """Return the case of a seed, with this many customers."""
    rng = np.random.default_rng([seed, 29])
    kind = kinds[rng.integers(len(kinds))]
    base = _base(rng, kind, fewest, most)
    customers = [f"load:{k}" for k in range(len(base.net.load))]
    full_w = _size_w(base)
    reactive = int(full_w * rng.uniform(0.2, 1.0)) if rng.random() < 0.15 else None
    contract = base.interface
    interface = InterfaceLimits(
        contract.voltage_min_pu,
        contract.voltage_max_pu,
        contract.injection_limit_w,
        contract.withdrawal_limit_w,
        reactive_min_var=None if reactive is None else -reactive,
        reactive_max_var=reactive,
    )
    parts: dict[str, Any] = {}
    if "cones" in kind:
        parts["cone"] = {
            name: float(rng.uniform(0.7, 0.999)) for name in customers if rng.random() < 0.8
        }
    if "ranges" in kind:
        parts["range_var"] = {
            name: tuple(np.sort(full_w / len(customers) * rng.uniform(-0.4, 0.4, 2)).tolist())
            for name in customers
            if rng.random() < 0.7
        }
    if "deviations" in kind:
        parts |= _deviations(base, rng)
    if "impedances" in kind:
        lines = rng.permutation(base.net.line.index)[: int(rng.integers(1, 4))]
        parts["tolerance"] = {f"line:{k}": float(rng.uniform(0.02, 0.35)) for k in lines}
    if "inverters" in kind:
        parts["inverters"] = _inverters(customers, full_w / len(customers), rng)
    if "outages" in kind:
        parts["outages"] = _may_fail(base.net, rng)
    if "taps" in kind:
        base.net.trafo["tap_step_percent"] = float(rng.choice([0.3, 1.0]))
        first = int(rng.integers(-1, 2))
        others = [at for at in range(first - 1, first + 2) if at != first]
        parts["taps"] = (first, *others[: int(rng.integers(1, 3))])
    shape = {"kind": kind, **base.shape, "set": type(parts.get("deviations")).__name__}
    return FreeCase(base, interface, **parts, shape=shape)


def _base(rng: Rng, kind: str, fewest: int, most: int) -> StressedCase:
    """Return a stressed network, meshed where something may fail."""
    while True:
        base = stressed_case(int(rng.integers(1 << 30)), fewest, most)
        if "taps" in kind and not len(base.net.trafo):
            continue
        if "outages" not in kind or _may_fail(base.net, np.random.default_rng(0)):
            return base


def _size_w(base: StressedCase) -> float:
    """Return the power of all customers for which the network was drawn."""
    return float(1e6 * len(base.net.load) * base.size_mva)


def _may_fail(net: Net, rng: Rng) -> tuple[str, ...]:
    """Return up to two elements whose failure cuts nothing off."""
    names = [f"{table}:{k}" for table in ("line", "trafo") for k in net[table].index]
    islanding = islanding_outages(copy.deepcopy(net), names)
    left = [name for name in names if name not in islanding]
    return tuple(str(name) for name in rng.permutation(left)[:2])


def _deviations(base: StressedCase, rng: Rng) -> dict[str, Any]:
    """Add generators to the net; return how far they are off."""
    count = int(rng.integers(1, 4))
    active = base.size_mva * rng.uniform(0.05, 0.6, count)
    for k in range(count):
        bus = int(rng.choice(base.net.load.bus))
        pp.create_sgen(
            base.net, bus, p_mw=active[k] * rng.uniform(-0.3, 0.3), q_mvar=active[k] * 0.1
        )
    half = active * (1.0 + 1j * rng.uniform(-0.5, 0.5, count))
    choice = rng.integers(3)
    found: DeviationSet = BoxSet(count)
    if choice == 1:
        found = BudgetSet(count, float(rng.uniform(0.5, count)))
    elif choice == 2:
        root = rng.normal(size=(count, count))
        covariance = root @ root.T / count
        found = EllipsoidSet(covariance, float(rng.uniform(0.5, 1.5)))
    return {"half_mva": half, "deviations": found}


def _inverters(customers: list[str], size_w: float, rng: Rng) -> dict[str, Inverter]:
    answers = (AS4777_AUSTRALIA_A, IEEE1547_CATEGORY_A, IEEE1547_CATEGORY_B)
    return {
        name: Inverter(answers[rng.integers(3)], size_w * float(rng.uniform(0.2, 1.5)))
        for name in customers
        if rng.random() < 0.7
    }
