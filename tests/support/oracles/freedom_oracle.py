"""Brute force over customers, reactive power, deviations, impedances, states and voltages."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from linear_oracle import (
    Limits,
    LinearNetwork,
    LinearOracle,
    Worst,
    at_random,
    corners,
    of_pandapower,
    products,
)
from stressed_freedom import FreeCase
from uncertain_networks import extreme_points

from security_check.modifications.inverters import Curve
from security_check.uncertainty.deviation_sets import BudgetSet, EllipsoidSet

Net = Any

MOST = 3_000  # candidates in one state
INSIDE = 300  # random points among them


class FreedomAttack:
    """Brute force on one case; c customers and d generators off their forecast.

    A point has c places of active and c of reactive power, d of deviations, and that of the held
    voltage in the band.
    """

    def __init__(self, case: FreeCase) -> None:
        self.case = case
        self.count, self.off = len(case.net.load), len(case.half_mva)
        self.base_w = float(case.net.sn_mva) * 1e6
        self.expected = np.array([*(case.net.sgen.p_mw + 1j * case.net.sgen.q_mvar)])
        points = [f"load:{k}" for k in range(self.count)]
        factor = [case.base.power_factor[name] for name in points]
        self.ratio = np.tan(np.arccos(factor))
        self.cone = np.tan(np.arccos([case.cone.get(name, 1.0) for name in points]))
        limits = np.array([case.range_var.get(name, (0.0, 0.0)) for name in points]) / self.base_w
        self.middle, self.half = limits.mean(axis=1), 0.5 * (limits[:, 1] - limits[:, 0])
        contract = case.interface
        self.band = contract.voltage_min_pu, contract.voltage_max_pu
        self.limits = Limits(
            case.base.voltage.minimum_pu,
            case.base.voltage.maximum_pu,
            self._per_unit(contract.injection_limit_w),
            self._per_unit(contract.withdrawal_limit_w),
            None,
            self._per_unit(contract.reactive_max_var),
        )
        self.states = self._states()
        self.unsolved = 0

    def _per_unit(self, limit: float | None) -> float | None:
        return None if limit is None else limit / self.base_w

    def _states(self) -> list[LinearNetwork]:
        """Return the network as it is, after outages, with other impedances, at other taps."""
        net = copy.deepcopy(self.case.net)
        net.load["p_mw"] = net.load["q_mvar"] = 0.0
        net.sgen["p_mw"] = net.sgen["q_mvar"] = 0.0
        changes: list[dict[str, float]] = [{}] + [{name: np.inf} for name in self.case.outages]
        parts = self.case.tolerance
        if parts:
            inside = np.random.default_rng(0).uniform(-1.0, 1.0, (3, len(parts)))
            corners_ = itertools.product((-1.0, 1.0), repeat=len(parts))
            for signs in [*corners_, *inside]:
                each = zip(parts.items(), signs, strict=True)
                changes.append({name: 1.0 + part * sign for (name, part), sign in each})
        buses = np.concatenate([net.load.bus, net.sgen.bus]).astype(int)
        states = []
        for at in self.case.taps or (None,):
            if at is not None:
                net.trafo.loc[0, "tap_pos"] = at
            states += of_pandapower(net, buses, changes)
        if not self.case.inverters:
            return states
        return [replace(state, response=self._respond) for state in states]

    def _respond(self, power: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return what inverters inject: reactive power first, active power as far as it may be."""
        answer = power.copy()
        for name, inverter in self.case.inverters.items():
            k, rating = int(name.split(":")[1]), inverter.rating_va / self.base_w
            size = np.abs(v[k])
            var = _at(inverter.response.volt_var, size, 0.0)
            most = np.minimum(_at(inverter.response.volt_watt, size, 1.0), np.sqrt(1.0 - var**2))
            active = np.minimum(power[k].real, rating * most)
            answer[k] = active + 1j * (power[k].imag + rating * var)
        return answer

    def worst(self, limits_w: np.ndarray, climbs: int = 4) -> Worst:
        """Return the worst point of a box of envelopes."""
        up, down = np.split(np.asarray(limits_w) / self.base_w, 2)

        def place(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            active, reactive, off, held = np.split(
                at, np.cumsum([self.count, self.count, self.off]), axis=1
            )
            p = active * (up + down) - down
            q = self.ratio * p + self.middle
            q = q + (2.0 * reactive - 1.0) * (self.half + self.cone * np.abs(p))
            deviation = self._within(2.0 * off - 1.0) * self.case.half_mva
            expected = np.broadcast_to(self.expected, deviation.shape)
            passive = (expected + deviation) * 1e6 / self.base_w
            power = np.hstack([p + 1j * q, passive]).T
            return power, (self.band[0] + held * (self.band[1] - self.band[0])).T

        oracle = LinearOracle(self.states, self.limits, place)
        found = oracle.worst(self._candidates(up, down), climbs)
        self.unsolved += oracle.unsolved
        return found

    def _candidates(self, up: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Return extreme points, with customers at no power where reactive power grows with it."""
        rng = np.random.default_rng(1)
        each = []
        for k in range(self.count):
            ends = [0.0, 1.0]
            if self.cone[k] and up[k] + down[k] > 0.0:
                ends.append(down[k] / (up[k] + down[k]))
            free = self.cone[k] or self.half[k]
            each.append(
                products(np.array(ends)[:, None], corners(1) if free else np.array([[0.5]]))
            )
        off = np.full((1, 0), 0.0)
        if self.case.deviations is not None:
            off = 0.5 + 0.5 * self._places(extreme_points(self.case.deviations))
        band = [[0.0], [0.5], [1.0]] if self.band[1] > self.band[0] else [[0.0]]
        size = np.prod([len(part) for part in each]) * len(off) * len(band)
        if size > 50 * MOST:
            off = rng.permutation(off)[:20]
        both = products(*each, off, np.array(band))
        order = [*range(0, 2 * self.count, 2), *range(1, 2 * self.count, 2)]
        both = both[:, [*order, *range(2 * self.count, both.shape[1])]]
        if len(both) > MOST:
            both = both[rng.choice(len(both), MOST, replace=False)]
        return np.concatenate([both, at_random(INSIDE, both.shape[1], rng)])

    def _within(self, point: np.ndarray) -> np.ndarray:
        """Return deviations of the set for places in [-1, 1]."""
        found = self.case.deviations
        if isinstance(found, BudgetSet):
            used = np.abs(point).sum(axis=1, keepdims=True)
            return point * np.minimum(1.0, found.gamma / np.maximum(used, 1e-300))
        if isinstance(found, EllipsoidSet):
            values, vectors = np.linalg.eigh(found.covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            length = np.linalg.norm(point, axis=1, keepdims=True)
            return found.radius * (point / np.maximum(length, 1.0)) @ root.T
        return point

    def _places(self, deviation: np.ndarray) -> np.ndarray:
        """Return the places of extreme deviations, those that :meth:`_within` takes there."""
        found = self.case.deviations
        if isinstance(found, EllipsoidSet):
            values, vectors = np.linalg.eigh(found.covariance)
            root = vectors * np.sqrt(np.maximum(values, 1e-12))
            return np.clip(np.linalg.solve(found.radius * root, deviation.T).T, -1.0, 1.0)
        return deviation


def _at(curve: Curve | None, size: np.ndarray, otherwise: float) -> np.ndarray:
    if curve is None:
        return np.full_like(size, otherwise)
    return np.interp(size, curve.voltage_pu, curve.value)
