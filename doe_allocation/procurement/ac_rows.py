"""Iteration to AC exactness: rows of exact AC gradients at worst points, until nothing is above.

Each round takes the rows of the security check at the present activation: every limited quantity
climbs to its worst deviations (``RobustRows.ascent``), and its AC value and exact gradient there
make a row.  The rows of all rounds together bound the next linear programme (Kelley's cutting
planes), so that activations which trade off against each other come to rest, too.  When nothing is
above its limit, the adversary attacks; what it finds becomes a row, and the rounds go on.

Magnitudes bend upwards with power almost everywhere, so that rows of earlier rounds stay valid.
Where they bend down, such a row would keep a limit further than it is; it is found because its
limit binds below 100 %, and is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from doe_allocation.procurement.excess import least_excess
from doe_allocation.procurement.problem import ProcurementProblem
from doe_allocation.procurement.program import Activation, Goal
from doe_allocation.procurement.quantities import LinearRows, Quantity, QuantityKind
from security_check.arrays import FloatArray, IndexArray
from security_check.operating_range.points import WorstPoints
from security_check.verification.adversary import Finding, attack
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import Climb

_AIM = 5e-9  # parts of a scale below each limit that rows aim at, so that nothing ends above it
_KEPT = 1e-12  # parts of a scale: by less a limit that nothing moves is beyond it by rounding
_LOOSE = 1e-7  # parts of a scale: a limit that binds is this near to it
_DROPS = 4  # times that rows of earlier rounds are dropped at most
_NEAR = 0.3  # parts of a scale: later rounds add the rows of quantities this near their limits
_MOVES = 3  # times that rows are taken anew where the least is above limits, until there is none
SAMPLES = 256
"""Random deviations of an attack, besides its corners and climbs."""


@dataclass
class AcRows:
    """Rows of exact AC gradients, for activations at which binding limits are met exactly.

    Parameters
    ----------
    start
        Shape (o,), the activation to begin with.
    rng
        The source of the adversary's random points.

    Attributes
    ----------
    rounds
        Number of linear programmes so far.
    """

    problem: ProcurementProblem
    quantities: Sequence[Quantity]
    start: FloatArray
    rng: np.random.Generator
    rounds: int = 0
    robust: RobustRows = field(init=False)
    _goal: Goal = field(init=False)
    _rows: LinearRows = field(init=False)
    _power: FloatArray = field(init=False)
    _fresh: bool = True  # whether all rows are of the present activation
    _drops: int = 0
    _moves: int = 0

    def __post_init__(self) -> None:
        self.robust = self.problem.robust_rows()
        self._of_row = {
            row: k for k, quantity in enumerate(self.quantities) for row in quantity.rows
        }

    def begin(self, goal: Goal) -> None:
        """Take the rows at the start, as far as the goal's bounds allow it."""
        self._goal, self._drops, self._moves = goal, 0, 0
        self._take(np.clip(self.start, goal.lower, goal.upper))

    def rows(self) -> LinearRows:
        """Return the rows of all rounds."""
        self.rounds += 1
        return self._rows

    def improve(self, found: Activation) -> bool:
        """Add rows where an activation is above a limit in AC, also where the adversary finds it.

        Rows of earlier rounds that keep a limit further than it is are dropped.
        """
        self._power = power = found.power
        fresh, violation = self._rows_at(power, _NEAR)
        if violation.max(initial=-np.inf) <= _KEPT:
            attacked = self._attacked(power)
            loose = (found.worth != 0.0) & (violation < -_LOOSE)
            if len(attacked.b):
                fresh = self._joined(fresh, attacked)
            elif not loose.any() or self._drops == _DROPS:
                return False
            else:
                self._drops += 1
                self._rows = self._rows.take(np.flatnonzero(~loose[self._rows.quantity]))
        self._rows, self._fresh = self._joined(self._rows, fresh), False
        return True

    def afresh(self) -> bool:
        """Take rows at the last activation alone, then where the least is above limits.

        Rows are exact where they were taken only, so that other ones may leave an activation.
        """
        if not self._fresh:
            self._take(self._power)
            return True
        if self._moves == _MOVES:
            return False
        self._moves += 1
        self._take(least_excess(self.problem, self.quantities, self._rows, self._goal)[0])
        return True

    def _take(self, power: FloatArray) -> None:
        self._power, self._fresh = power, True
        self._rows, _ = self._rows_at(power, -np.inf)

    def _rows_at(self, power: FloatArray, near: float) -> tuple[LinearRows, FloatArray]:
        """Return rows at an activation, and the violation of each quantity there.

        Rows farther from their limits than ``near``, in parts of their scales, are left out; with
        ``-inf`` none is.
        """
        u = self.problem.box(power)
        chosen = np.array(sorted(self._of_row), dtype=np.int64)
        at = self.robust.ascent.climb(chosen, self.robust.leaning_points(chosen, u), u)
        over = self.robust.violation(chosen, at.values)
        violation = np.full(len(self.quantities), -np.inf)
        np.maximum.at(violation, [self._of_row[int(row)] for row in chosen], over)
        kept = np.arange(len(chosen)) if near == -np.inf else np.flatnonzero(over > -near)
        return self._linear(chosen[kept], at.take(kept), power), violation

    def _linear(self, rows: IndexArray, at: Climb, power: FloatArray) -> LinearRows:
        gradient = at.slopes.by_power
        limits = self.robust.limits
        room = limits.limit[rows] - _AIM * limits.scale[rows] - at.values
        quantity = np.array([self._of_row[int(row)] for row in rows], dtype=np.int64)
        lowest = [self.quantities[k].kind is QuantityKind.VOLTAGE_MIN for k in quantity]
        by_limit = np.where(np.array(lowest, dtype=bool), -1.0, 1.0)
        injected = self.problem.change @ power
        return LinearRows(gradient, room + gradient @ injected, quantity, by_limit)

    def _attacked(self, power: FloatArray) -> LinearRows:
        """Return the rows at the points beyond limits that the adversary finds."""
        first = attacked(self.problem, self.robust, power, self.rng)
        u, parts = self.problem.box(power), []
        for finding in (first, *first.others):
            if finding.violation > _KEPT:
                row = np.array([finding.row])
                point = WorstPoints(finding.point.share, finding.point.free)
                parts.append(self._linear(row, self.robust.problem.at(row, point, u), power))
        return self._joined(*parts)

    def _joined(self, *parts: LinearRows) -> LinearRows:
        return LinearRows.joined(parts, len(self.problem.network.connection_points))


def attacked(
    problem: ProcurementProblem,
    robust: RobustRows,
    power: FloatArray,
    rng: np.random.Generator,
) -> Finding:
    """Return the worst point that the adversary finds with activations, shape (o,), per unit.

    The adversary is the security check's: envelopes of one point each leave it the deviations.

    Raises
    ------
    PowerFlowError
        When a deviation has no power flow.
    """
    box_w = problem.box(power) * problem.network.base_power_w
    return attack(robust, box_w, rng, samples=SAMPLES)
