"""The adversary: searches for a point of the envelopes that breaks a limit.

It shares only the power flow with the check that it attacks: no linear rows, no bounds, no
gradients.  It tries every corner of the box of few customers, else random ones, random points
inside, corners where one group injects while the rest withdraws, the corners that no-load
sensitivities point to, and climbs from the worst of them by changing one customer at a time, from
side to side or in part, or the held voltages, anywhere in the contracted band.  Every try is an AC
power flow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from security_check.arrays import FloatArray, IndexArray, IntArray
from security_check.operating_range.operating_point import OperatingPoint
from security_check.operating_range.points import WorstPoints
from security_check.power_flow.operating_points import OperatingPoints
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.starting_points import at_ends, drawn

_CHUNK = 256  # operating points solved at once, which bounds the memory
_CLIMB_STEPS = 40  # of one climb at most
_RISE = 1e-13  # per unit of f: a smaller rise is rounding
_WAYS = 0.5 ** np.arange(9)  # parts of the way to a corner of the held voltages that are tried
_STEP = 0.01  # difference step, in parts of a deviation's half-band
_FEW = 9  # customers of which every corner of the box is tried
_FEWEST = 128  # groups of customers are all tried up to this number, or that of the samples


@dataclass(frozen=True, slots=True)
class Finding:
    """The worst point found.

    Parameters
    ----------
    element, value, limit, unit
        The element nearest to, or farthest beyond, its limit there.
    violation
        Excess over the limit, in parts of its scale; at most 0 is secure.
    operating_point
        The powers, voltages and deviations there.
    points_tried
        Number of AC power flows.
    nominal_v
        Volts per unit, for a voltage whose nominal value is known.
    row, point
        The monitored row, and the operating point in the coordinates of a search: where another
        search for worst points may begin.
    others
        The other elements that the adversary climbed, each at the worst point found for it, the
        fullest first.
    """

    element: str
    value: float
    limit: float
    unit: str
    violation: float
    operating_point: OperatingPoint
    points_tried: int
    row: int
    point: WorstPoints
    nominal_v: float | None = None
    others: tuple[Finding, ...] = ()


def attack(
    robust: RobustRows,
    limits_w: IntArray | FloatArray,
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
        Shape (2 c,), watts, injection first.  A withdrawal limit may be the negative of an
        injection limit: that connection point then exchanges this power and no other.
    rng
        The source of the random corners.
    samples
        Number of random corners; an eighth as many points inside are tried, too.
    climbs
        Number of worst elements that are climbed.

    Raises
    ------
    PowerFlowError
        When a corner has no power flow solution: such envelopes are not secure either.
    """
    return _BoxAttack(robust, limits_w, rng).run(samples, climbs)


@dataclass(frozen=True, slots=True)
class _ClimbedRow:
    """The result of a climb: violation, index among the rows, value of f."""

    violation: float
    k: int
    value: float


class _BoxAttack:
    """One attack on one box of envelopes."""

    def __init__(
        self, robust: RobustRows, limits_w: IntArray | FloatArray, rng: np.random.Generator
    ) -> None:
        self.robust = robust
        self.rng = rng
        base_w = robust.monitors.power_flow.network.base_power_w
        self.u: FloatArray = np.asarray(limits_w, dtype=float) / base_w
        self.points = robust.points
        self.rows: IndexArray = robust.limited
        self.tried = 0

    def run(self, samples: int, climbs: int) -> Finding:
        pool = self._pool(samples)
        violation = self._scan(pool)
        worst = violation.argmax(axis=1)
        per_row = violation[np.arange(len(self.rows)), worst]
        climbed = [
            self._climb(row, pool.take(worst[[row]]))
            for row in self._distinct_elements(per_row, max(climbs, 1))
        ]
        climbed.sort(key=lambda each: -each[0].violation)
        first, *others = (self._finding(found, point) for found, point in climbed)
        return replace(first, others=tuple(others))

    def _pool(self, samples: int) -> WorstPoints:
        """Return points to start from, each at both ends of the voltage band and some inside."""
        monitors = self.robust.monitors
        chance = self.rng.random((samples, 1))
        random = (self.rng.random((samples, self.points)) < chance) * 1.0
        inside = self.rng.random((samples // 8, self.points))
        every = np.ones((1, self.points))
        strongly = monitors.acts_strongly(np.arange(len(monitors)))
        groups = self._some(strongly.astype(np.float64), samples)
        pointed = self._some(self.robust.start_points(self.rows).share, samples)
        sides = np.concatenate([every, groups, pointed, self._corners()])
        once = np.concatenate([sides, 1.0 - sides, random, inside])
        conditions = self.robust.conditions
        return WorstPoints.joined([at_ends(conditions, once), drawn(conditions, once, self.rng)])

    def _corners(self) -> FloatArray:
        """Return half of the corners of the box, if they are few; their complements follow."""
        if not 0 < self.points <= _FEW:
            return np.zeros((0, self.points))
        pattern = np.arange(2 ** (self.points - 1))[:, None] >> np.arange(self.points)
        return np.asarray((pattern & 1) * 1.0)

    def _some(self, shares: FloatArray, samples: int) -> FloatArray:
        """Return the distinct lines, or a random part of them where there are too many."""
        different = np.unique(shares, axis=0)
        enough = max(samples, _FEWEST)
        if len(different) > enough:
            different = self.rng.permutation(different)[:enough]
        return np.asarray(different)

    def _scan(self, pool: WorstPoints) -> FloatArray:
        """Return the violations of all rows at all points, shape (rows, B)."""
        parts = []
        for start in range(0, len(pool.share), _CHUNK):
            points = self._solve(pool.take(np.arange(start, min(start + _CHUNK, len(pool.share)))))
            parts.append(self.robust.monitors.all_values(points, self.rows))
        values = np.concatenate(parts, axis=1)
        return self.robust.violation(self.rows[:, None], values)

    def _solve(self, points: WorstPoints) -> OperatingPoints:
        self.tried += len(points.share)
        flow = self.robust.monitors.power_flow
        return flow.solve(*self.robust.conditions.ports(points, self.u))

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

    def _climb(self, k: int, point: WorstPoints) -> tuple[_ClimbedRow, WorstPoints]:
        """Climb one row by changes of single customers: whole changes of side, then parts.

        Each step takes all changes that gain, together, or the best of them.  Smaller parts are
        tried only while the larger ones gained: mostly the worst point is a corner.
        """
        row = self.rows[k : k + 1]
        now = float(self._at(row, point)[0])
        for part in (1.0, 0.5, 0.25, 0.125):
            improved = False
            for _ in range(_CLIMB_STEPS):
                point, reached = self._step(row, point, now, part)
                if reached <= now:
                    break
                now, improved = reached, True
            if part < 1.0 and not improved:
                break
        violation = self.robust.violation(row, np.array([now]))
        return _ClimbedRow(float(violation[0]), k, now), point

    def _step(
        self, row: IndexArray, point: WorstPoints, now: float, part: float
    ) -> tuple[WorstPoints, float]:
        """Return a better point and f there, or the same point and f."""
        share, free = point.share[0], point.free
        moves = np.array([-part, part])
        ways = np.clip(share[None, :] + moves[:, None], 0.0, 1.0)
        others = self._other_free(row, point, now, part)
        sides = 2 * self.points
        trial = np.repeat(share[None, :], sides + len(others), axis=0)
        which = np.tile(np.arange(self.points), 2)
        trial[np.arange(sides), which] = ways.ravel()
        trials = WorstPoints(trial, np.concatenate([np.repeat(free, sides, axis=0), others]))
        gain = self._at(row, trials) - now
        if gain.max() <= _RISE:
            return point, now
        single = gain[:sides].reshape(2, self.points)
        way = single.argmax(axis=0)
        rising = single.max(axis=0) > _RISE
        customers = np.arange(self.points)
        together = np.where(rising, ways[way, customers], share)
        whole = WorstPoints(together[None, :], free)
        both = float(self._at(row, whole)[0])
        best = int(gain.argmax())
        if both > now + gain[best]:
            return whole, both
        return trials.take(np.array([best])), now + float(gain[best])

    def _other_free(
        self, row: IndexArray, point: WorstPoints, now: float, part: float
    ) -> FloatArray:
        """Return other voltages, reactive powers and deviations to try, shape (a, k).

        Held voltages of each part at every corner and at parts of the way there; each reactive
        power moved by a part of its range either way; deviations at the support point of
        differences of f, from a small step of each.
        """
        conditions, free = self.robust.conditions, point.free[0]
        held, set_ = conditions.held, conditions.deviations.set
        count = held + len(conditions.choosers)
        way = _WAYS[:, None, None]
        band_places = way * conditions.corners_from(free[:held]) + (1.0 - way) * free[:held]
        parts = [np.repeat(free[None, :], band_places.shape[0] * band_places.shape[1], axis=0)]
        parts[0][:, :held] = band_places.reshape(-1, held)
        each = np.arange(held, count)
        for move in (-2.0 * part, 2.0 * part):
            moved = np.repeat(free[None, :], len(each), axis=0)
            moved[each - held, each] = np.clip(free[each] + move, -1.0, 1.0)
            parts.append(moved)
        if set_.count:
            deviations = np.arange(count, conditions.free)
            stepped = np.repeat(free[None, :], set_.count, axis=0)
            stepped[deviations - count, deviations] += _STEP
            shares = np.repeat(point.share, set_.count, axis=0)
            slope = self._at(row, WorstPoints(shares, stepped)) - now
            worst = free[None, :].copy()
            worst[:, count:] = set_.support(slope[None, :])
            parts.append(worst)
        return np.concatenate(parts)

    def _at(self, row: IndexArray, points: WorstPoints) -> FloatArray:
        """Return f of one row at many points."""
        rows = np.repeat(row, len(points.share))
        return self.robust.monitors.values(rows, self._solve(points))

    def _finding(self, found: _ClimbedRow, point: WorstPoints) -> Finding:
        row = int(self.rows[found.k])
        monitors, limits = self.robust.monitors, self.robust.limits
        shown, limit, unit = monitors.describe(row, found.value, limits)
        return Finding(
            element=self.robust.element(row),
            value=shown,
            limit=limit,
            unit=unit,
            violation=found.violation,
            operating_point=self.robust.conditions.operating_point(point, self.u),
            points_tried=self.tried,
            row=row,
            point=point,
            nominal_v=self.robust.nominal_v(row),
        )
