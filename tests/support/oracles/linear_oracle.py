"""The worst of a box of envelopes by brute force, on matrices that other programs built.

Nothing of the project is used.  A network is what it is without loads: voltages are linear in the
held magnitudes and in the currents of ports.  The power flow is solved at the ports, by a fixed
point and, where that fails, by Newton's method; all vertices are tried, and a climb by
coordinates follows from the worst of them to points inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandapower as pp
from pandapower.pypower.makeYbus import makeYbus

_FIXED_POINTS = 80
_STEPS = 25
_SOLVED = 1e-10
_AT_ONCE = 4096
_PARTS = (0.3, 0.5, 0.7, 0.85, 0.95, 1.0)  # of the powers, one after the other
NEGATIVE = np.array([1, np.exp(-2j * np.pi / 3), np.exp(2j * np.pi / 3)]) / 3
POSITIVE = NEGATIVE.conj()

Response = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Powers injected (J, B), given those asked for and the voltages of the ports."""


@dataclass(frozen=True)
class LinearNetwork:
    """One state of a network without loads; n nodes, J ports, h held magnitudes, m rated ends.

    ``idle`` (n, h) and ``impedance`` (n, J) give the nodes' voltages, ``across`` (J, n) those of
    the ports, ``seen`` (k, n) those that are limited, named by ``names``; ``triples`` are rows of
    ``seen`` that are the phases of one bus.  ``loading`` (m, n) are currents in parts of the
    ratings of ``ends``.  The source gives ``own @ m conj(feed @ m + tie @ v)``, summed up, less the
    power of the ports ``beside`` it, (J,).
    """

    idle: np.ndarray
    impedance: np.ndarray
    across: np.ndarray
    seen: np.ndarray
    names: list[str]
    loading: np.ndarray
    ends: list[str]
    own: np.ndarray
    feed: np.ndarray
    tie: np.ndarray
    beside: np.ndarray
    triples: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), dtype=int))
    response: Response | None = None

    def solve(self, power: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return node voltages (n, B) and which points are solved, for (J, B) and (h, B)."""
        profile = self.across @ self.idle @ held
        inner = self.across @ self.impedance
        v = profile.copy()
        with np.errstate(all="ignore"):
            for k in range(_FIXED_POINTS if self.response is None else 6 * _FIXED_POINTS):
                asked = power if self.response is None else self.response(power, v)
                there = profile + inner @ (asked / v).conj()
                change = np.abs(there - v).max(axis=0)
                slow = 1.0 if self.response is None else 0.5 if k < 2 * _FIXED_POINTS else 0.15
                v = v + slow * (there - v)
                if np.nanmax(change, initial=0.0) < _SOLVED:
                    break
            left = np.flatnonzero(~(change < 10 * _SOLVED))
            if len(left) and self.response is None:
                v[:, left] = profile[:, left]
                for part in _PARTS:  # from no load, so that it is the solution of high voltage
                    v[:, left] = self._newton(
                        v[:, left], profile[:, left], inner, part * power[:, left]
                    )
            asked = power if self.response is None else self.response(power, v)
            miss = np.abs(profile + inner @ (asked / v).conj() - v).max(axis=0)
            nodes = self.idle @ held + self.impedance @ (asked / v).conj()
        return nodes, miss < 1e-7

    @staticmethod
    def _newton(
        v: np.ndarray, profile: np.ndarray, inner: np.ndarray, power: np.ndarray
    ) -> np.ndarray:
        """Return the ports' voltages, from those given."""
        size = len(profile)
        for _ in range(_STEPS):
            miss = profile + inner @ (power / v).conj() - v
            if not np.nanmax(np.abs(miss), initial=0.0) > _SOLVED:
                break
            turned = inner[None] * (power / v**2).conj().T[:, None, :]
            jacobian = np.empty((v.shape[1], 2 * size, 2 * size))
            one = np.eye(size)
            jacobian[:, :size, :size], jacobian[:, :size, size:] = one + turned.real, turned.imag
            jacobian[:, size:, :size], jacobian[:, size:, size:] = turned.imag, one - turned.real
            right = np.concatenate([miss.real, miss.imag]).T[:, :, None]
            bad = ~(np.isfinite(jacobian).all(axis=(1, 2)) & np.isfinite(right).all(axis=(1, 2)))
            jacobian[bad], right[bad] = np.eye(2 * size), 0.0
            step = np.linalg.solve(jacobian + 1e-13 * np.eye(2 * size), right)[:, :, 0]
            largest = np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300)
            step *= np.minimum(1.0, 0.3 * np.abs(profile).max() / largest)
            v = v + (step[:, :size] + 1j * step[:, size:]).T
        return v

    def drawn(self, v: np.ndarray, power: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Return the complex power that the source gives, (B,)."""
        if self.response is not None:
            power = self.response(power, self.across @ v)
        current = self.feed @ held + self.tie @ v
        given = ((self.own @ held) * current.conj()).sum(axis=0)
        left: np.ndarray = given - power[self.beside].sum(axis=0)
        return left


@dataclass(frozen=True)
class Limits:
    """Limits of voltages, unbalance, and the power at the interface in the ports' unit."""

    low: float
    high: float
    injection: float | None = None
    withdrawal: float | None = None
    unbalance: float | None = None
    reactive: float | None = None


@dataclass(frozen=True)
class Worst:
    """The largest violation, in per unit of voltage or part of a limit, and where it is."""

    violation: float
    what: str
    at: np.ndarray
    state: int
    value: float = np.nan


class LinearOracle:
    """Brute force over the states of a network, and over points of D coordinates in [0, 1].

    ``place`` turns points (B, D) into port powers (J, B) and held magnitudes (h, B).
    """

    def __init__(
        self,
        states: Sequence[LinearNetwork],
        limits: Limits,
        place: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self.states, self.limits, self.place = states, limits, place
        self.unsolved = 0

    def violations(self, state: int, at: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
        """Return violations (q, B), their names, and which points have a power flow solution."""
        network, limits = self.states[state], self.limits
        power, held = self.place(at)
        v, solved = network.solve(power, held)
        seen = np.abs(network.seen @ v)
        parts = [seen - limits.high, limits.low - seen, np.abs(network.loading @ v) - 1.0]
        names = [f"{name} high" for name in network.names]
        names += [f"{name} low" for name in network.names] + network.ends
        drawn = network.drawn(v, power, held)
        for limit, value, name in (
            (limits.injection, -drawn.real, "interface injection"),
            (limits.withdrawal, drawn.real, "interface withdrawal"),
            (limits.reactive, np.abs(drawn.imag), "interface reactive"),
        ):
            if limit is not None:
                parts.append((value / limit - 1.0)[None])
                names.append(name)
        if limits.unbalance is not None and len(network.triples):
            phases = (network.seen @ v)[network.triples]
            parts.append(
                np.abs(np.einsum("k,bkp->bp", NEGATIVE, phases))
                / np.abs(np.einsum("k,bkp->bp", POSITIVE, phases))
                - limits.unbalance
            )
            names += [f"unbalance {network.names[three[0]]}" for three in network.triples]
        return np.concatenate(parts), names, solved

    def worst(self, candidates: np.ndarray, climbs: int = 4) -> Worst:
        """Return the worst of the candidates (B, D) in all states, and of climbs from there."""
        starts: list[tuple[float, int, int, np.ndarray, str]] = []
        for state in range(len(self.states)):
            top = None
            for begin in range(0, len(candidates), _AT_ONCE):
                at = candidates[begin : begin + _AT_ONCE]
                found, names, solved = self.violations(state, at)
                if not solved.all():
                    if self.states[state].response is None:
                        k = int(np.argmin(solved))
                        return Worst(np.inf, "no power flow solution", at[k], state)
                    self.unsolved += int((~solved).sum())
                    found = np.where(solved, found, -np.inf)
                best = found.argmax(axis=1)
                each = found[np.arange(len(found)), best]
                if top is None:
                    top, where = each, at[best]
                else:
                    where = np.where((each > top)[:, None], at[best], where)
                    top = np.maximum(top, each)
            assert top is not None
            starts += [
                (float(top[row]), state, int(row), where[row], names[row])
                for row in np.argsort(-top)[:climbs]
            ]
        starts.sort(key=lambda each: -each[0])
        best = Worst(starts[0][0], starts[0][4], starts[0][3], starts[0][1])
        for value, state, row, at, name in starts[: 2 * climbs]:
            reached = self._climb(value, state, row, at, name)
            if reached.violation > best.violation:
                best = reached
        return best

    def _climb(self, value: float, state: int, row: int, at: np.ndarray, name: str) -> Worst:
        count = len(at)
        each = np.arange(count)
        for part in (1.0, 0.5, 0.2, 0.05, 0.01, 0.002):
            for _ in range(12):
                trial = np.repeat(at[None], 2 * count, axis=0)
                trial[each, each] = np.clip(at - part, 0.0, 1.0)
                trial[count + each, each] = np.clip(at + part, 0.0, 1.0)
                found, _, solved = self.violations(state, trial)
                if not solved.all() and self.states[state].response is None:
                    k = int(np.argmin(solved))
                    return Worst(np.inf, "no power flow solution", trial[k], state)
                found = np.where(solved, found[row], -np.inf)
                k = int(found.argmax())
                if found[k] <= value + 1e-12:
                    break
                value, at = float(found[k]), trial[k]
        return Worst(value, name, at, state)


def corners(count: int) -> np.ndarray:
    """Return the corners of [0, 1]^count, shape (2^count, count)."""
    return ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype(float)


def products(*parts: np.ndarray) -> np.ndarray:
    """Return all combinations of rows, side by side."""
    found = np.zeros((1, 0))
    for part in parts:
        found = np.hstack([np.repeat(found, len(part), axis=0), np.tile(part, (len(found), 1))])
    return found


def at_random(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return points of which half of the coordinates are at an end, shape (count, size)."""
    ends = rng.integers(2, size=(count, size)).astype(float)
    return np.where(rng.random((count, size)) < 0.5, ends, rng.random((count, size)))


def reduced(
    admittance: np.ndarray, held: np.ndarray, phasors: np.ndarray, incidence: np.ndarray
) -> dict[str, Any]:
    """Return ``idle``, ``impedance``, ``own``, ``feed`` and ``tie`` of nodes held at phasors.

    ``incidence`` (n, J) are the ports; ``phasors`` (held, h) the voltages per magnitude.
    """
    count = len(admittance)
    rest = np.setdiff1d(np.arange(count), held)
    inverse = np.linalg.inv(admittance[np.ix_(rest, rest)])
    idle = np.zeros((count, phasors.shape[1]), dtype=complex)
    idle[held] = phasors
    idle[rest] = -inverse @ admittance[np.ix_(rest, held)] @ phasors
    impedance = np.zeros((count, incidence.shape[1]), dtype=complex)
    impedance[rest] = inverse @ incidence[rest]
    return {
        "idle": idle,
        "impedance": impedance,
        "across": incidence.conj().T,
        "own": phasors,
        "feed": np.zeros_like(phasors),
        "tie": admittance[held],
        "beside": np.abs(incidence[held]).any(axis=0),
    }


def of_pandapower(
    net: Any, buses: np.ndarray, changes: Sequence[dict[str, float]] = ({},)
) -> list[LinearNetwork]:
    """Return the balanced network that pandapower builds, in each state, with ports at the buses.

    Elements that consume or generate must be without power or out of service; ratings are those of
    pandapower's ``loading_percent``.  A change multiplies the series impedance of lines and
    transformers, by their names; infinity puts them out of service.
    """
    pp.runpp(net, calculate_voltage_angles=True, numba=False)
    internal, lookup = net._ppc["internal"], net._pd2ppc_lookups["bus"]
    base_mva, bus = float(net._ppc["baseMVA"]), internal["bus"]
    held, count = np.asarray(internal["ref"], dtype=int), len(bus)
    incidence = np.zeros((count, len(buses)), dtype=complex)
    incidence[lookup[buses], np.arange(len(buses))] = 1.0
    named = {int(lookup[k]): f"bus:{k}" for k in net.bus.index[::-1]}
    limited = [node for node in sorted(named) if node not in held]
    rated, row_of = _rated_ends(net, internal)
    states = []
    for change in changes:
        branch = internal["branch"].copy()
        for name, factor in change.items():
            branch[row_of[name], 2:4] *= 1.0 if np.isinf(factor) else factor
            branch[row_of[name], 10] = 0.0 if np.isinf(factor) else 1.0  # column BR_STATUS
        matrices = [np.asarray(each.todense()) for each in makeYbus(base_mva, bus, branch)]
        kept = [end for end in rated if not np.isinf(change.get(end[0], 1.0))]
        states.append(
            LinearNetwork(
                **reduced(matrices[0], held, np.ones((len(held), 1), dtype=complex), incidence),
                seen=np.eye(count)[limited],
                names=[named[node] for node in limited],
                loading=np.array([matrices[1 + side][row] / limit for _, row, side, limit in kept]),
                ends=[end[0] for end in kept],
            )
        )
    return states


def _rated_ends(
    net: Any, internal: dict[str, Any]
) -> tuple[list[tuple[str, int, int, float]], dict[str, int]]:
    """Return element, branch, side and rating per unit of each end, and the branch of each."""
    ends, row_of = [], {}
    for table, rated in (("line", None), ("trafo", ("vn_hv_kv", "vn_lv_kv"))):
        if not len(net[table]):
            continue
        first, _ = net._pd2ppc_lookups["branch"][table]
        for k, (index, row) in enumerate(net[table].iterrows()):
            name = f"{table}:{index}"
            row_of[name] = first + k
            for side in (0, 1):
                kv = internal["bus"][int(internal["branch"][first + k][side].real), 9]
                limit = row.df * row.parallel
                limit *= row.max_i_ka if rated is None else row.sn_mva / row[rated[side]] / 3**0.5
                base_ka = float(net._ppc["baseMVA"]) / (np.sqrt(3) * kv)
                ends.append((name, first + k, side, limit / base_ka))
    return ends, row_of
