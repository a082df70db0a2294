"""The adversary: looks for a point of the envelopes that breaks something.

It shares the power flow with the check it attacks, and nothing else of it: no linear rows, no
bounds, no first-order argument.  It tries random corners of the box, corners where one group
injects while the rest withdraws, the corners that sensitivities point to, and climbs from the
worst of them by changing one customer at a time, always with the AC power flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.envelope import IntArray
from security_check.network import FloatArray, IndexArray
from security_check.power_flow import OperatingPoints
from security_check.robust_rows import RobustRows
from security_check.worst_points import BoolArray

_CHUNK = 256  # operating points solved at once
_CLIMB_STEPS = 40
_FEWEST = 128  # groups of customers tried at the least, where there are so many


@dataclass(frozen=True, slots=True)
class Finding:
    """The worst point found.

    Parameters
    ----------
    element, value, limit, unit
        The element nearest to, or farthest beyond, its limit there.
    violation
        By how much the limit is exceeded, in parts of its scale; at most 0 is secure.
    power_w
        Shape (c,), active power of each connection point, injection positive.
    interface_voltage_pu
        Voltage at the interface.
    points_tried
        AC power flows evaluated.
    """

    element: str
    value: float
    limit: float
    unit: str
    violation: float
    power_w: FloatArray
    interface_voltage_pu: float
    points_tried: int


def attack(
    robust: RobustRows,
    limits_w: IntArray,
    rng: np.random.Generator,
    *,
    samples: int = 512,
    climbs: int = 12,
) -> Finding:
    """Return the worst point found in the box of envelopes and the voltage band.

    Parameters
    ----------
    robust
        The network under one interval's limits; c connection points.
    limits_w
        Shape (2 c,), watts, injection first.
    rng
        Where the random corners come from.
    samples
        Random corners tried.
    climbs
        How many of the worst elements are climbed from.

    Raises
    ------
    PowerFlowError
        When a corner has no power flow solution: that too breaks the grid.
    """
    return _Attack(robust, np.asarray(limits_w), rng).run(samples, climbs)


class _Attack:
    """One attack on one box of envelopes."""

    def __init__(self, robust: RobustRows, limits_w: IntArray, rng: np.random.Generator) -> None:
        self.robust = robust
        self.rng = rng
        self.base_w = robust.monitors.power_flow.network.base_power_w
        self.injection, self.withdrawal = np.split(limits_w / self.base_w, 2)
        self.points = len(self.injection)
        self.band = robust.limits.band
        self.rows: IndexArray = robust.limited
        self.tried = 0

    def run(self, samples: int, climbs: int) -> Finding:
        injects, high = self._pool(samples)
        values, violation = self._scan(injects, high)
        worst = violation.argmax(axis=1)
        per_row = violation[np.arange(len(self.rows)), worst]
        top = int(per_row.argmax())
        best = (
            float(per_row[top]),
            top,
            float(values[top, worst[top]]),
            injects[worst[top]],
            bool(high[worst[top]]),
        )
        for row in self._distinct_elements(per_row, climbs):
            found = self._climb(row, injects[worst[row]], bool(high[worst[row]]))
            if found[0] > best[0]:
                best = found
        return self._finding(*best)

    def _pool(self, samples: int) -> tuple[BoolArray, BoolArray]:
        """Return corners to start from: (B, c) sides and (B,) ends of the voltage band."""
        share = self.rng.random((samples, 1))
        drawn = self.rng.random((samples, self.points)) < share
        every = np.ones((1, self.points), dtype=bool)
        monitors = self.robust.monitors
        groups = np.unique(monitors.acts_strongly(np.arange(len(monitors))), axis=0)
        if len(groups) > max(samples, _FEWEST):
            groups = self.rng.permutation(groups)[: max(samples, _FEWEST)]
        pointed = np.unique(self.robust.start_points(self.rows).share > 0.5, axis=0)
        once = np.concatenate([every, ~every, groups, ~groups, pointed, ~pointed, drawn])
        return np.concatenate([once, once]), np.repeat([False, True], len(once))

    def _scan(self, injects: BoolArray, high: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return values and violations, shape (rows, B), of all rows at all corners."""
        parts = []
        for start in range(0, len(injects), _CHUNK):
            piece = slice(start, start + _CHUNK)
            points = self._solve(injects[piece], high[piece])
            parts.append(self.robust.monitors.all_values(points)[self.rows])
        values = np.concatenate(parts, axis=1)
        return values, self._violation(self.rows[:, None], values)

    def _solve(self, injects: BoolArray, high: BoolArray) -> OperatingPoints:
        power = np.where(injects, self.injection, -self.withdrawal).T
        voltage = np.where(high, self.band[1], self.band[0])
        self.tried += len(injects)
        return self.robust.monitors.power_flow.solve(power, voltage)

    def _violation(self, rows: IndexArray, values: FloatArray) -> FloatArray:
        limits = self.robust.limits
        excess: FloatArray = (values - limits.limit[rows]) / limits.scale[rows]
        return excess

    def _distinct_elements(self, per_row: FloatArray, count: int) -> list[int]:
        """Return the worst rows, at most one per element and kind of limit."""
        seen: set[tuple[str, int]] = set()
        chosen = []
        for k in np.argsort(-per_row):
            row = int(self.rows[k])
            key = (self.robust.element(row), int(self.robust.monitors.kind[row]))
            if key not in seen:
                seen.add(key)
                chosen.append(int(k))
            if len(chosen) == count:
                break
        return chosen

    def _climb(
        self,
        k: int,
        injects: BoolArray,
        high: bool,
    ) -> tuple[float, int, float, BoolArray, bool]:
        """Climb one row by single changes of side, of all customers that gain and of the best."""
        row = self.rows[k : k + 1]
        now = self._at(row, injects[None], np.array([high]))[0]
        for _ in range(_CLIMB_STEPS):
            trial = np.concatenate([injects[None] ^ np.eye(self.points, dtype=bool), injects[None]])
            ends = np.full(len(trial), high)
            ends[-1] = not high
            gain = self._at(row, trial, ends) - now
            if gain.max() <= 1e-13:
                break
            rising = gain[:-1] > 1e-13
            together = (injects ^ rising)[None]
            both = self._at(row, together, np.array([high]))[0]
            best = int(gain.argmax())
            if both > now + gain[best]:
                injects, now = together[0], both
            else:
                injects, high, now = trial[best], bool(ends[best]), now + float(gain[best])
        violation = self._violation(row, np.array([now]))
        return float(violation[0]), k, float(now), injects, high

    def _at(self, row: IndexArray, injects: BoolArray, high: BoolArray) -> FloatArray:
        """Return f of one row at many corners."""
        rows = np.repeat(row, len(injects))
        return self.robust.monitors.values(rows, self._solve(injects, high))

    def _finding(
        self,
        violation: float,
        k: int,
        value: float,
        injects: BoolArray,
        high: bool,
    ) -> Finding:
        row = int(self.rows[k])
        shown, limit, unit = self.robust.monitors.describe(row, value, self.robust.limits)
        return Finding(
            element=self.robust.element(row),
            value=shown,
            limit=limit,
            unit=unit,
            violation=violation,
            power_w=np.where(injects, self.injection, -self.withdrawal) * self.base_w,
            interface_voltage_pu=self.band[1] if high else self.band[0],
            points_tried=self.tried,
        )
