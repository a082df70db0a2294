"""Random circuits with unbalanced customers, driven to their limits, as OpenDSS writes them.

Two to six customers on one or three phases, between phases or to the neutral, with mixed power
factors, on four-wire low voltage, three-wire medium voltage or both, behind transformers of
different groups; lines are not transposed and have mutual impedances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from security_check.model.limits import InterfaceLimits, VoltageLimits

Rng = np.random.Generator


@dataclass(frozen=True)
class PhaseCase:
    """A circuit's text, with the limits under which envelopes are asked for."""

    text: str
    power_factor: dict[str, float]
    voltage: VoltageLimits
    interface: InterfaceLimits
    capacity_w: int
    shape: dict[str, Any]


def phase_case(seed: int, fewest: int = 2, most: int = 6) -> PhaseCase:
    """Return the case of a seed, with this many customers."""
    rng = np.random.default_rng([seed, 7])
    customers = int(rng.integers(fewest, most + 1))
    kind = ("low", "low", "medium", "both")[rng.integers(4)]
    drawing = _Drawing(rng, customers, kind)
    names = [drawing.customer(k) for k in range(customers)]
    factor = {
        f"load:{name}": float(rng.uniform(0.5, 1.0)) if rng.random() < 0.5 else 1.0
        for name in names
    }
    voltage, interface = _limits(rng, drawing.size_kva * customers * 1e3)
    capacity_w = int(drawing.size_kva * 1e3 * np.exp(rng.uniform(-0.5, 3.0)))
    shape = {"kind": kind, "customers": customers, **drawing.described}
    return PhaseCase(drawing.text(), factor, voltage, interface, capacity_w, shape)


def _limits(rng: Rng, full_w: float) -> tuple[VoltageLimits, InterfaceLimits]:
    low, high = ((0.95, 1.05), (0.9, 1.1), (0.94, 1.06), (0.8, 1.2), (0.6, 1.4))[rng.integers(5)]
    middle = rng.uniform(0.65 * low + 0.35 * high, 0.35 * low + 0.65 * high)
    half = 0.0 if rng.random() < 0.4 else rng.uniform(0.02, 0.2) * (high - low)
    apart = float(rng.uniform(0.002, 0.02)) if half and rng.random() < 0.5 else None
    limit_w = int(full_w * rng.uniform(0.2, 1.0)) if rng.random() < 0.2 else None
    unbalance = float(rng.uniform(0.005, 0.03)) if rng.random() < 0.3 else None
    if unbalance is not None and apart is not None:
        unbalance += apart
    band = round(middle - half, 4), round(middle + half, 4)
    return (
        VoltageLimits(low, high, unbalance),
        InterfaceLimits(*band, limit_w, limit_w, unbalance_pu=apart),
    )


class _Drawing:
    """Draws one circuit; impedances and ratings are chosen for the customers' sizes."""

    def __init__(self, rng: Rng, customers: int, kind: str) -> None:
        self.rng, self.kind = rng, kind
        low_only = kind != "medium"
        size = rng.uniform(np.log(2.0), np.log(30.0)) if low_only else rng.uniform(4.0, 7.5)
        self.size_kva = float(np.exp(size))
        self.full_kva = self.size_kva * customers
        self.x_to_r = float(np.exp(rng.uniform(np.log(0.1), np.log(40.0))))
        self.drop = float(np.exp(rng.uniform(np.log(0.03), np.log(0.5))))
        self.strong = float(np.exp(rng.uniform(np.log(0.7), np.log(15.0))))
        self.described: dict[str, float | str] = {
            "x_to_r": round(self.x_to_r, 2),
            "drop": round(self.drop, 2),
        }
        self.lines: list[str] = []
        self.places: list[tuple[str, tuple[int, ...]]] = []
        self.high_kv = float(rng.choice([10.0, 20.0]))
        short_mva = self.full_kva / 1e3 * rng.uniform(10.0, 200.0)
        self.lines.append(
            f"new circuit.c basekv={self.high_kv:g} pu=1 phases=3 bus1=up mvasc3={short_mva:.6g} "
            f"mvasc1={short_mva * rng.uniform(0.7, 1.0):.6g} x1r1={rng.uniform(1.0, 10.0):.4g} "
            f"x0r0={rng.uniform(1.0, 10.0):.4g}"
        )
        begin = "up"
        if kind != "low":
            begin = self._feeder("up", "m", (1, 2, 3), self.high_kv, int(rng.integers(1, 4)))
        if low_only:
            self._transformer(begin)
            self._feeder("head", "b", (1, 2, 3, 4), 0.4, int(rng.integers(1, 4)))
            if rng.random() < 0.5:
                phase = int(rng.integers(1, 4))
                at = str(rng.choice(["head", "b1"]))
                self._line(at, "spur", (phase, 4), 0.4, 0.5)

    def _transformer(self, upper: str) -> None:
        rng = self.rng
        group = str(rng.choice(["delta", "wye"]))
        kva = self.full_kva * float(np.exp(rng.uniform(np.log(0.4), np.log(3.0))))
        loss = float(rng.uniform(0.1, 1.0))
        self.described["group"] = group
        self.lines += [
            f"new transformer.t phases=3 windings=2 buses=({upper} head.1.2.3.4) "
            f"conns=({group} wye) kvs=({self.high_kv:g} 0.4) kvas=({kva:.6g} {kva:.6g}) "
            f"normhkva={kva:.6g} xhl={rng.uniform(2.0, 14.0):.4g} %rs=({loss:.4g} {loss:.4g}) "
            f"%imag={rng.choice([0.0, 0.5]):g} taps=(1 {rng.choice([1.0, 1.0, 1.025, 0.975]):g})",
            f"new reactor.earth phases=1 bus1=head.4 bus2=head.0 "
            f"r={np.exp(rng.uniform(-6.0, 1.0)):.4g} x=0.001",
        ]
        self.places.append(("head", (1, 2, 3, 4)))

    def _feeder(
        self, begin: str, name: str, conductors: tuple[int, ...], kv: float, count: int
    ) -> str:
        """Draw sections from a bus on, some as branches; return the last bus."""
        ends = [begin]
        for k in range(count):
            bus = f"{name}{k + 1}"
            self._line(str(self.rng.choice(ends[-2:])), bus, conductors, kv, 1.0 / count)
            ends.append(bus)
        return ends[-1]

    def _line(
        self, start: str, end: str, conductors: tuple[int, ...], kv: float, part: float
    ) -> None:
        rng, count = self.rng, len(conductors)
        ohm = 1e3 * kv**2 / self.full_kva * self.drop * part * rng.uniform(0.5, 1.5)
        ratio = self.x_to_r * rng.uniform(0.7, 1.4)
        r, x = ohm / np.hypot(1.0, ratio), ohm * ratio / np.hypot(1.0, ratio)
        nodes = "".join(f".{k}" for k in conductors)
        amps = self.full_kva / (3**0.5 * kv) * self.strong * rng.uniform(0.4, 1.5)
        charging = ""
        if kv > 1.0 and rng.random() < 0.5:
            nano = 1e12 * self.full_kva / 1e3 * rng.uniform(0.0, 0.1) / (kv**2 * 1e6) / 314.0
            charging = f" cmatrix=({_triangle(np.diag(rng.uniform(0.8, 1.2, count)) * nano * 1e3)})"
        self.lines.append(
            f"new line.{start}_{end} bus1={start}{nodes} bus2={end}{nodes} phases={count} "
            f"length=1 units=km rmatrix=({_triangle(r * self._coupled(count, 0.3))}) "
            f"xmatrix=({_triangle(x * self._coupled(count, 0.75))}){charging} normamps={amps:.6g}"
        )
        self.places.append((end, conductors))

    def _coupled(self, count: int, most: float) -> np.ndarray:
        """Return a positive definite matrix around one, with mutual parts that differ."""
        own = np.diag(self.rng.uniform(0.9, 1.2, count))
        mutual = np.triu(self.rng.uniform(0.1 * most, most, (count, count)), 1)
        mutual = mutual + mutual.T
        while np.linalg.eigvalsh(own + mutual).min() < 0.05:
            mutual *= 0.8
        return own + mutual

    def customer(self, k: int) -> str:
        """Connect a customer somewhere; return its name."""
        rng = self.rng
        bus, conductors = self.places[rng.integers(len(self.places))] if k else self.places[-1]
        neutral = ".4" if 4 in conductors else ".0"
        phases = [c for c in conductors if c != 4]
        kv = 0.4 if 4 in conductors else self.high_kv
        turn = [int(p) for p in rng.permutation(phases)]
        choice = rng.integers(4) if len(phases) == 3 else 0
        if choice == 0:
            how = f"phases=1 conn=wye bus1={bus}.{turn[0]}{neutral} kv={kv / 3**0.5:.8g}"
        elif choice == 1:
            how = f"phases=1 conn=delta bus1={bus}.{turn[0]}.{turn[1]} kv={kv:g}"
        elif choice == 2:
            how = f"phases=3 conn=wye bus1={bus}.1.2.3{neutral} kv={kv:g}"
        else:
            how = f"phases=3 conn=delta bus1={bus}.1.2.3 kv={kv:g}"
        self.lines.append(f"new load.c{k} {how} model=1 kw=1 pf=1 vminpu=0.2 vmaxpu=2.5")
        return f"c{k}"

    def text(self) -> str:
        """Return the circuit."""
        bases = sorted({self.high_kv, *([0.4] if self.kind != "medium" else [])}, reverse=True)
        ends = f"set voltagebases=[{' '.join(f'{kv:g}' for kv in bases)}]\ncalcvoltagebases\n"
        return "\n".join(["clear", *self.lines, ends])


def _triangle(matrix: np.ndarray) -> str:
    """Return the lower triangle, as OpenDSS reads it."""
    return "|".join(
        " ".join(f"{value:.8g}" for value in row[: k + 1]) for k, row in enumerate(matrix)
    )
