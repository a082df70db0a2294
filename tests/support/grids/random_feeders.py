"""Random radial feeders as procurement cases, and their physics computed anew, densely.

Nothing here uses the packages: admittances, the linear current model and the AC power flow are
written down once more, in volts, amperes and watts.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import numpy as np


def random_case(seed: int, *, pods: int = 4, offers: bool = True) -> dict[str, Any]:
    """Return a radial feeder with loads and generators; the first branch has a limit.

    The limit lies between what robust currents are without activation, and what they would be
    with half of all loads away, so that mostly, but not always, offers are enough.
    """
    rng = np.random.default_rng(seed)
    volts = float(rng.choice([400.0, 8400.0, 20000.0]))
    buses = int(rng.integers(3, 8))
    size_kw = volts**2 / 1e3 * 0.02  # so that a branch of an ohm loses some percent of voltage
    branches = [
        {
            "id": f"{int(rng.integers(1, k))}-{k}" if k > 2 else "1-2",
            "r_ohm": round(float(rng.uniform(0.02, 0.3)), 4),
            "x_ohm": round(float(rng.uniform(0.0, 0.3)), 4),
            "b_s": float(rng.choice([0.0, 1e-6])),
        }
        for k in range(2, buses + 1)
    ]
    for branch in branches:
        start, end = (int(part) for part in str(branch["id"]).split("-"))
        branch["from"], branch["to"] = start, end
    entries = []
    for k in range(1, pods + 1):
        way = 1.0 if k == 1 or rng.random() < 0.7 else -0.5
        p_kw = way * size_kw * float(rng.uniform(0.3, 1.0))
        q_kvar = abs(p_kw) * float(rng.uniform(-0.2, 0.5))
        bus = 2 if k == 1 else int(rng.integers(2, buses + 1))  # something behind the limit
        entries.append(
            {"pod": k, "bus": bus, "p_kw": p_kw, "q_kvar": q_kvar, "flexible": bool(k % 2)}
        )
    case: dict[str, Any] = {
        "base_voltage_v_line_to_line": volts,
        "slack_bus": 1,
        "branches": branches,
        "pods": entries,
        "voltage_min_pu": 0.7,
        "voltage_max_pu": 1.3,
        "cases": {
            "a": {
                "flexible_percent": float(rng.uniform(2, 10)),
                "inflexible_percent": float(rng.uniform(5, 30)),
            }
        },
    }
    if offers:
        case["offers"] = [
            {
                "pod": each["pod"],
                "direction": "upward" if each["p_kw"] > 0 else "downward",
                "to_kw": abs(each["p_kw"]),
                "price_eur_per_kwh": float(rng.uniform(0.5, 2.0)),
            }
            for each in entries
            if each["flexible"]
        ]
    feeder = Feeder(case)
    worst = feeder.worst_current_a(0, np.zeros(pods))
    case["current_limit_a"] = {"1-2": float(worst * rng.uniform(0.8, 1.02))}
    return case


def as_text(case: dict[str, Any]) -> bytes:
    """Return a case as the text of its file."""
    return json.dumps(case).encode()


@dataclass
class Feeder:
    """The physics of a case; n buses, c resources.  Powers in watts, phases alike."""

    case: dict[str, Any]

    def __post_init__(self) -> None:
        branches = self.case["branches"]
        names = [self.case["slack_bus"]]
        for branch in branches:
            names += [bus for bus in (branch["from"], branch["to"]) if bus not in names]
        self.place = {bus: k for k, bus in enumerate(names)}
        n = len(names)
        self.volts = self.case["base_voltage_v_line_to_line"] / np.sqrt(3.0)
        self.held = self.volts * self.case.get("slack_voltage_pu", 1.0)
        matrix = np.zeros((n, n), complex)
        self.sending = np.zeros((len(branches), n), complex)
        for k, branch in enumerate(branches):
            i, j = self.place[branch["from"]], self.place[branch["to"]]
            series = 1.0 / (branch["r_ohm"] + 1j * branch["x_ohm"])
            shunt = 0.5j * branch.get("b_s", 0.0)
            matrix[[i, j], [i, j]] += series + shunt
            matrix[i, j] -= series
            matrix[j, i] -= series
            self.sending[k, i] += series + shunt
            self.sending[k, j] -= series
        self.impedance = np.linalg.inv(matrix[1:, 1:])
        self.no_load = -self.impedance @ matrix[1:, 0] * self.held
        pods = self.case["pods"]
        self.load = np.array([each["p_kw"] + 1j * each["q_kvar"] for each in pods]) * 1e3
        self.at = np.array([self.place[each["bus"]] for each in pods])
        self.tangent = self.load.imag / self.load.real
        self.base = self.voltages(np.zeros(len(pods)), np.zeros(len(pods)))

    def bands(self, case: str = "a") -> np.ndarray:
        """Return the half-bands of a case, in parts."""
        parts = self.case["cases"][case]
        return np.array(
            [
                parts["flexible_percent" if each.get("flexible") else "inflexible_percent"] / 100.0
                for each in self.case["pods"]
            ]
        )

    def powers(self, injected: np.ndarray, loads: np.ndarray) -> np.ndarray:
        """Return injections at buses, (n - 1, B), for injected powers, (c,), and changed loads.

        ``loads`` are relative changes, (B, c) or (c,).
        """
        each = -self.load * (1.0 + np.atleast_2d(loads)) + injected * (1.0 + 1j * self.tangent)
        total = np.zeros((len(self.place), len(each)), complex)
        np.add.at(total, self.at, each.T)
        return total[1:]

    def voltages(self, injected: np.ndarray, loads: np.ndarray) -> np.ndarray:
        """Return voltages to ground, (n, B), by AC power flow: currents until they stay."""
        power = self.powers(injected, loads)
        volt = np.repeat(self.no_load[:, None], power.shape[1], axis=1)
        for _ in range(500):
            following = self.no_load[:, None] + self.impedance @ np.conj(power / 3.0 / volt)
            moved = np.abs(following - volt).max()
            volt = following
            if moved < 1e-11 * self.volts:
                break
        else:
            raise AssertionError("no power flow")
        return np.vstack([np.full((1, volt.shape[1]), self.held), volt])

    def currents_a(self, injected: np.ndarray, loads: np.ndarray) -> np.ndarray:
        """Return the magnitudes of currents at from ends by AC power flow, (branches, B)."""
        return np.abs(self.sending @ self.voltages(injected, loads))

    def linear(self, injected: np.ndarray, loads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return voltages, (n, B), and currents, (branches, B), of the linear model."""
        power = self.powers(injected, loads)
        volt = self.no_load[:, None] + self.impedance @ np.conj(power / 3.0 / self.base[1:])
        volt = np.vstack([np.full((1, volt.shape[1]), self.held), volt])
        return volt, self.sending @ volt

    def vertices(self, case: str = "a") -> np.ndarray:
        """Return all vertices of the box as relative changes of loads, (2^c, c)."""
        signs = itertools.product([-1.0, 1.0], repeat=len(self.load))
        return np.array(list(signs)) * self.bands(case)

    def worst_current_a(self, branch: int, injected: np.ndarray, case: str = "a") -> float:
        """Return the largest AC current of a branch over all vertices."""
        return float(self.currents_a(injected, self.vertices(case))[branch].max())
