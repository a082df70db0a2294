"""The worst of a box of envelopes by brute force, on pandapower's matrices alone.

Nothing of the project is used: a fixed point iteration, and Newton's method where that fails, on
the admittance that pandapower builds, for all vertices of the box at several voltages of the band
at once, then a climb by coordinates from the worst of them to points inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp

Net = Any

_STEPS = 30
_PARTS = (0.3, 0.5, 0.7, 0.85, 0.95, 1.0)  # of the powers, one after the other
_FIXED_POINTS = 60
_SOLVED = 1e-10
_RIDGE = 1e-13  # keeps a matrix at the point of collapse from being singular


@dataclass(frozen=True)
class Worst:
    """The largest violation found, in per unit of voltage or part of a rating, and where."""

    violation: float
    what: str
    share: np.ndarray
    source_pu: float
    value: float
    limit: float


class VertexOracle:
    """One network; c loads are the customers, at fixed power factors.

    ``ratings`` are those of pandapower's ``loading_percent``.
    """

    def __init__(self, net: Net, power_factor: dict[str, float]) -> None:
        pp.runpp(net, calculate_voltage_angles=True, numba=False)
        internal = net._ppc["internal"]
        self.base_w = float(net._ppc["baseMVA"]) * 1e6
        self.ybus = np.asarray(internal["Ybus"].todense())
        self.ref = int(internal["ref"][0])
        self.rest = np.delete(np.arange(len(self.ybus)), self.ref)
        self.impedance = np.linalg.inv(self.ybus[np.ix_(self.rest, self.rest)])
        self.idle = -self.impedance @ self.ybus[self.rest, self.ref]
        lookup = net._pd2ppc_lookups["bus"]
        self.at = lookup[net.load.bus.to_numpy()]
        self.ratio = np.array(
            [np.tan(np.arccos(power_factor[f"load:{k}"])) for k in range(len(net.load))]
        )
        self._ends(net, internal)
        self.names = {int(lookup[bus]): f"bus:{bus}" for bus in net.bus.index}
        self.limited = np.setdiff1d(np.arange(len(self.ybus)), [self.ref])

    def _ends(self, net: Net, internal: dict[str, Any]) -> None:
        """Gather the rated ends: admittance to a current in parts of the rating."""
        base_mva, rows, self.ends = self.base_w / 1e6, [], []
        branches = net._pd2ppc_lookups["branch"]
        sides = [np.asarray(internal[key].todense()) for key in ("Yf", "Yt")]
        buses = internal["bus"][:, 9]
        for table, rated in (("line", None), ("trafo", ("vn_hv_kv", "vn_lv_kv"))):
            if not len(net[table]):
                continue
            first, _ = branches[table]
            for k, (index, row) in enumerate(net[table].iterrows()):
                for side in (0, 1):
                    branch = internal["branch"][first + k]
                    kv = buses[int(branch[side].real)]
                    kilo_ampere = base_mva / (np.sqrt(3) * kv)
                    if rated is None:
                        limit = row.max_i_ka * row.df * row.parallel
                    else:
                        limit = row.sn_mva * row.df * row.parallel / (np.sqrt(3) * row[rated[side]])
                    rows.append(sides[side][first + k] * kilo_ampere / limit)
                    self.ends.append(f"{table}:{index}")
        self.loading = np.array(rows)

    def solve(self, power: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return voltages (n, B) and which points have a solution, for (c, B) powers per unit.

        By fixed point iteration; points at which that fails by Newton's method.
        """
        count, n = power.shape[1], len(self.ybus)
        s = np.zeros((n, count), dtype=complex)
        np.add.at(s, self.at, power * (1 + 1j * self.ratio[:, None]))
        v = np.empty((n, count), dtype=complex)
        v[self.ref] = source
        idle = self.idle[:, None] * source
        there = idle.copy()
        with np.errstate(all="ignore"):
            for _ in range(_FIXED_POINTS):
                before = there
                there = idle + self.impedance @ (s[self.rest] / there).conj()
                if np.nanmax(np.abs(there - before)) < _SOLVED:
                    break
            v[self.rest] = there
            left = np.flatnonzero(~(self._miss(v, s) < _SOLVED))
        if len(left):
            v[np.ix_(self.rest, left)] = idle[:, left]
            for part in _PARTS:  # from no load, so that it is the solution of high voltage
                v[:, left] = self._newton(v[:, left], part * s[:, left])
        return v, self._miss(v, s) < 1e-6

    def _miss(self, v: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Return the largest power that is not balanced at each point; infinite for no voltage."""
        miss = np.abs((v * (self.ybus @ v).conj() - s)[self.rest]).max(axis=0)
        return np.where(np.isfinite(miss), miss, np.inf)

    def _newton(self, v: np.ndarray, s: np.ndarray) -> np.ndarray:
        rest, m = self.rest, len(self.rest)
        for _ in range(_STEPS):
            current = self.ybus @ v
            miss = (v * current.conj() - s)[rest]
            if np.abs(miss).max() < _SOLVED:
                break
            # dS/dVa and dS/dVm, in blocks, one matrix per point
            vr, ir = v[rest].T, current[rest].T
            y = self.ybus[np.ix_(rest, rest)]
            size = np.abs(vr)
            unit = vr / size
            inner = y[None] * vr[:, None, :]
            by_angle = 1j * vr[:, :, None] * (np.eye(m) * ir[:, :, None] - inner).conj()
            along = y[None] * unit[:, None, :]
            by_size = vr[:, :, None] * along.conj() + np.eye(m) * (ir.conj() * unit)[:, :, None]
            jacobian = np.block([[by_angle.real, by_size.real], [by_angle.imag, by_size.imag]])
            right = np.concatenate([miss.real, miss.imag]).T[:, :, None]
            bad = ~np.isfinite(jacobian).all(axis=(1, 2)) | (size.min(axis=1) < 1e-3)
            jacobian[bad], right[bad] = np.eye(2 * m), 0.0
            step = np.linalg.solve(jacobian + _RIDGE * np.eye(2 * m), right)[:, :, 0]
            step = np.clip(step, -0.5, 0.5)
            v[rest] = ((size - step[:, m:]) * np.exp(1j * (np.angle(vr) - step[:, :m]))).T
        return v

    def violations(
        self, v: np.ndarray, low: float, high: float, interface: tuple[float | None, float | None]
    ) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Return violations (quantities, B), their names, and the values."""
        size = np.abs(v[self.limited])
        loading = np.abs(self.loading @ v)
        drawn = (v[self.ref] * (self.ybus[self.ref] @ v).conj()).real
        drawn = drawn - self._drawn_at_source
        parts = [size - high, low - size, loading - 1.0]
        names = [self.names[int(k)] + " high" for k in self.limited]
        names += [self.names[int(k)] + " low" for k in self.limited] + list(self.ends)
        values = [size, size, loading]
        for limit_w, sign, name in (
            (interface[0], -1.0, "injection"),
            (interface[1], 1.0, "withdrawal"),
        ):
            if limit_w is not None:
                parts.append((sign * drawn * self.base_w / limit_w - 1.0)[None])
                names.append(f"interface {name}")
                values.append((sign * drawn * self.base_w)[None])
        return np.concatenate(parts), names, np.concatenate(values)

    def worst(
        self,
        limits_w: np.ndarray,
        low: float,
        high: float,
        sources: np.ndarray,
        interface: tuple[float | None, float | None] = (None, None),
        climbs: int = 3,
    ) -> Worst:
        """Return the worst point of a box, of vertices and of points inside near the worst."""
        up, down = np.split(np.asarray(limits_w) / self.base_w, 2)
        count = len(up)
        sides = ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype(float)
        share = np.tile(sides, (len(sources), 1))
        source = np.repeat(sources, len(sides))
        violation, names, values = self._at(share, source, up, down, low, high, interface)
        if violation is None:
            where = int(np.argmax(names))
            return Worst(np.inf, "no power flow solution", share[where], source[where], np.nan, 0.0)
        best = None
        order = np.argsort(-violation.max(axis=1))[: max(climbs, 1)]
        for row in order:
            k = int(violation[row].argmax())
            found = Worst(
                float(violation[row, k]),
                names[row],
                share[k],
                float(source[k]),
                float(values[row, k]),
                np.nan,
            )
            if climbs:
                found = self._climb(row, found, sources, up, down, low, high, interface)
            if best is None or found.violation > best.violation:
                best = found
        assert best is not None
        return best

    def _at(self, share, source, up, down, low, high, interface):
        power = (share * (up + down) - down).T
        self._drawn_at_source = power[self.at == self.ref].sum(axis=0)
        v, good = self.solve(power, source)
        if not good.all():
            return None, ~good, None
        return self.violations(v, low, high, interface)

    def _climb(self, row, found, sources, up, down, low, high, interface):
        for part in (0.5, 0.2, 0.05):
            for _ in range(10):
                count = len(up)
                trial = np.repeat(found.share[None], 2 * count, axis=0)
                each = np.arange(count)
                trial[each, each] = np.clip(found.share - part, 0.0, 1.0)
                trial[count + each, each] = np.clip(found.share + part, 0.0, 1.0)
                source = np.full(2 * count, found.source_pu)
                inside = np.linspace(sources.min(), sources.max(), 9)
                trial = np.concatenate([trial, np.repeat(found.share[None], 9, axis=0)])
                source = np.concatenate([source, inside])
                violation, names, values = self._at(trial, source, up, down, low, high, interface)
                if violation is None:
                    where = int(np.argmax(names))
                    return Worst(
                        np.inf, "no power flow solution", trial[where], source[where], np.nan, 0.0
                    )
                k = int(violation[row].argmax())
                if violation[row, k] <= found.violation + 1e-12:
                    break
                found = Worst(
                    float(violation[row, k]),
                    found.what,
                    trial[k],
                    float(source[k]),
                    float(values[row, k]),
                    np.nan,
                )
        return found
