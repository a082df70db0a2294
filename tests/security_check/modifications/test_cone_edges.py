"""Worst points on the edges of cones, where resistance and reactance nearly cancel.

With the reactive power of its cone, a customer who withdraws may raise a voltage: ``x tan - r`` may
be just above zero, and losses bend the voltage down again, so that it peaks inside the range.  All
customers are behind one impedance here, so voltages have a closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pytest
from stressed_checks import of_each

import doe_exchange as dx

LOW, HIGH = 0.95, 1.05
STEPS = 13


def case(seed: int) -> tuple[Any, dict[str, Any], complex, np.ndarray]:
    """Return a net, arguments of its area, the impedance in per unit of 1 MVA, tangents."""
    rng = np.random.default_rng(seed)
    customers = int(rng.integers(2, 4))
    z = float(np.exp(rng.uniform(np.log(0.02), np.log(0.2))))
    r_to_x = float(np.exp(rng.uniform(np.log(0.1), np.log(3.0))))
    x = z / np.hypot(1.0, r_to_x)
    r = r_to_x * x
    tangent = np.tan(np.arccos(rng.choice([1.0, 0.95, 0.85, 0.7], customers)))
    tangent[0] = r_to_x * (1.0 + rng.choice([-1.0, 1.0]) * np.exp(rng.uniform(-7.0, -1.0)))
    net = pp.create_empty_network(sn_mva=1.0)
    source, end = pp.create_bus(net, 10.0), pp.create_bus(net, 10.0)
    pp.create_ext_grid(net, source)
    pp.create_line_from_parameters(net, source, end, 1.0, 100 * r, 100 * x, 0.0, max_i_ka=10.0)
    for _ in range(customers):
        pp.create_load(net, end, 0.0)
    names = [f"load:{k}" for k in range(customers)]
    held = sorted(rng.uniform(LOW + 0.01, HIGH - 0.01, 2))
    cones = dict(zip(names, np.cos(np.arctan(tangent)).tolist(), strict=True))
    more = {
        "capacity_w": tuple(
            int(w) for w in rng.choice([0, 500_000, 2_000_000], 2, p=[0.2, 0.4, 0.4])
        ),
        "voltage": (LOW, HIGH),
        "interface": (held[0], held[1] if rng.random() < 0.5 else held[0]),
        "capacity": {"cone_power_factor": cones},
    }
    return net, more, complex(r, x), tangent


def voltages(z: complex, v0: float, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the voltage behind z where p and q are injected, per unit; nan without solution."""
    half = 0.5 * v0**2 + z.real * p + z.imag * q
    inner = half**2 - abs(z) ** 2 * (p**2 + q**2)
    with np.errstate(invalid="ignore"):
        return np.sqrt(half + np.sqrt(inner))


def extremes(
    z: complex, held: tuple[float, float], up: np.ndarray, down: np.ndarray, tangent: np.ndarray
) -> tuple[float, float]:
    """Return the lowest and the highest voltage over the box, by a grid that closes in."""
    lowest, highest = np.inf, -np.inf
    for v0 in held:
        for sign in (1.0, -1.0):
            low, high = -down.copy(), up.copy()
            for _ in range(4):
                each = []
                for k in range(len(up)):
                    p = np.unique(
                        [*np.linspace(low[k], high[k], STEPS), *np.clip([0.0], low[k], high[k])]
                    )
                    each.append(
                        (
                            np.tile(p, 2),
                            np.repeat([-1.0, 1.0], len(p)) * tangent[k] * np.abs(np.tile(p, 2)),
                        )
                    )
                places = np.meshgrid(*[np.arange(len(p)) for p, _ in each], indexing="ij")
                at = [place.ravel() for place in places]
                p = np.sum([part[0][i] for part, i in zip(each, at, strict=True)], axis=0)
                q = np.sum([part[1][i] for part, i in zip(each, at, strict=True)], axis=0)
                v = voltages(z, v0, p, q)
                assert not np.isnan(v).any(), "no power flow solution"
                best = int((sign * v).argmax())
                lowest, highest = min(lowest, v[best]), max(highest, v[best])
                for k, (place, _) in enumerate(each):
                    width = (high[k] - low[k]) / (STEPS - 1)
                    centre = place[at[k][best]]
                    low[k], high[k] = max(low[k], centre - width), min(high[k], centre + width)
    return lowest, highest


def check_case(seed: int) -> bool:
    """Check the limits of a case; return whether they are below the capacities."""
    net, more, z, tangent = case(seed)
    found = dx.Area.from_pandapower(net, **more).allocate().to_frame()
    up, down = (found[f"{d}_limit_w"].to_numpy() / 1e6 for d in ("injection", "withdrawal"))
    lowest, highest = extremes(z, more["interface"], up, down, tangent)
    assert lowest >= LOW - 1e-6
    assert highest <= HIGH + 1e-6
    return bool((up * 1e6 < more["capacity_w"][0]).any())


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_worst_points_on_edges_of_cones_are_found(first):
    assert sum(of_each(range(first, first + 20), check_case)) > 5
