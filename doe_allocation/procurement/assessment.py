"""An activation in the AC power flow and in the linear model, with all deviations.

The worst points are those of the security check's ascent, for limited and unlimited elements alike;
what is limited is attacked by its adversary, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.ac_rows import attacked
from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.problem import CURRENT_KINDS, ProcurementProblem
from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.points import WorstPoints
from security_check.verification.adversary import Finding
from security_check.worst_case.robust_rows import RobustRows


@dataclass(frozen=True, slots=True)
class Assessment:
    """Voltages and currents of one activation; Q phasors, of which the first m are voltages.

    Parameters
    ----------
    expected
        Shape (Q,), complex, by the AC power flow without deviations, per unit.
    bound
        Shape (Q,), largest magnitude by the linear model over the whole set of deviations.
    lowest_bound
        Shape (m,), lowest voltage by the linear model.
    ac_worst, ac_lowest
        Shapes (Q,) and (m,), the same by the AC power flow, at the worst deviations found.
    worst_at, lowest_at
        Shapes (Q, d) and (m, d), the deviations there.
    finding
        What the adversary found; ``None`` where nothing is limited.
    """

    expected: ComplexArray
    bound: FloatArray
    lowest_bound: FloatArray
    ac_worst: FloatArray
    ac_lowest: FloatArray
    worst_at: FloatArray
    lowest_at: FloatArray
    finding: Finding | None

    @property
    def error(self) -> FloatArray:
        """By how much the AC worst case exceeds the linear bound, shape (Q,); may be negative."""
        error: FloatArray = self.ac_worst - self.bound
        return error

    @property
    def lowest_error(self) -> FloatArray:
        """By how much the lowest AC voltage is below the linear bound, shape (m,)."""
        error: FloatArray = self.lowest_bound - self.ac_lowest
        return error


def assess(
    problem: ProcurementProblem,
    model: LinearModel,
    power: FloatArray,
    rng: np.random.Generator,
) -> Assessment:
    """Return how voltages and currents are with an activation, shape (o,), per unit.

    Raises
    ------
    PowerFlowError
        When the activation has no power flow at some deviation.
    """
    injected = problem.change @ power
    robust = problem.robust_rows(all_terminals=True)
    buses = len(problem.network.voltages.elements)
    count = buses + len(problem.network.terminals.elements)
    far = [model.farthest(k, injected) for k in range(count)]
    low = [model.lowest(k, injected) for k in range(buses)]
    ac = _ac_worst(problem, robust, power, [each[1] for each in far], [each[1] for each in low])
    limited = problem.robust_rows()
    return Assessment(
        expected=LinearModel.around(problem, power).operating[:count],
        bound=np.abs(np.array([each[0] for each in far])),
        lowest_bound=np.array([each[0] for each in low]),
        ac_worst=ac.worst,
        ac_lowest=ac.lowest,
        worst_at=ac.worst_at,
        lowest_at=ac.lowest_at,
        finding=attacked(problem, limited, power, rng) if len(limited.limited) else None,
    )


@dataclass(frozen=True, slots=True)
class _Worst:
    worst: FloatArray
    lowest: FloatArray
    worst_at: FloatArray
    lowest_at: FloatArray


def _ac_worst(
    problem: ProcurementProblem,
    robust: RobustRows,
    power: FloatArray,
    farthest: list[FloatArray],
    lowest: list[FloatArray],
) -> _Worst:
    """Return the largest magnitude of every phasor, and the lowest of every voltage.

    Each row climbs from two starts: where no-load sensitivities lead, and from the worst deviations
    of the linear model.
    """
    monitors, buses = problem.monitors, len(lowest)
    kinds = (RowKind.VOLTAGE_MAX, RowKind.VOLTAGE_MIN, *CURRENT_KINDS)
    rows: IndexArray = np.flatnonzero(np.isin(monitors.kind, kinds))
    u = problem.box(power)
    first = robust.leaning_points(rows, u)
    free = first.free.copy()
    is_low = monitors.kind[rows] == RowKind.VOLTAGE_MIN
    at = [
        lowest[phasor] if low else farthest[phasor]
        for phasor, low in zip(monitors.phasor[rows].tolist(), is_low.tolist(), strict=True)
    ]
    deviating = problem.conditions.deviating
    free[:, deviating] = np.array(at).reshape(len(rows), -1)
    climbs = [
        robust.ascent.climb(rows, start, u) for start in (first, WorstPoints(first.share, free))
    ]
    second = climbs[1].values > climbs[0].values
    values = np.maximum(climbs[0].values, climbs[1].values)
    points = np.where(second[:, None], climbs[1].points.free, climbs[0].points.free)[:, deviating]
    worst, least = np.zeros(len(farthest)), np.full(buses, np.inf)
    worst_at = np.zeros((len(farthest), points.shape[1]))
    least_at = np.zeros((buses, points.shape[1]))
    for k, phasor in enumerate(monitors.phasor[rows].tolist()):
        if is_low[k] and -values[k] < least[phasor]:
            least[phasor], least_at[phasor] = -values[k], points[k]
        elif not is_low[k] and values[k] > worst[phasor]:
            worst[phasor], worst_at[phasor] = values[k], points[k]
    return _Worst(worst, least, worst_at, least_at)
