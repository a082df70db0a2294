"""Robust constraints as packing rows ``A u <= b``, each at its own worst point.

With u = (injection limits, withdrawal limits) stacked, in per unit, a monitored quantity f takes
its largest value over the box of envelopes where each customer is at its injection limit if f
grows with its power there, at its withdrawal limit if f falls.  So

    max f  ~  f(worst point of u0) + A (u - u0),     A >= 0

exact at u0, by the AC power flow and its exact gradient (docs/adr/0002-packing-rows.md).  Each row
also has its own worst interface voltage.  Only rows that can bind are built: all others are ruled
out by a rigorous bound (``bounds``) or by their own AC power flow.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.model.element import Element
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.points import WorstPoints
from security_check.operating_range.slopes import (
    Slopes,
    coefficients,
    points_along,
    slopes_of,
    vertex_along_gradient,
)
from security_check.worst_case.ascent import REFINED, Ascent
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.row_problem import Climb, RowProblem
from security_check.worst_case.starting_points import one_sided, other_end

SECURE = 1e-9
"""Largest violation, in parts of a row's scale, that counts as rounding."""


class RobustRows:
    """Builds and verifies robust rows of one network under one interval's limits.

    Parameters
    ----------
    problem
        The rows, their limits and the interval's conditions; R rows, c connection points.
    """

    def __init__(self, problem: RowProblem) -> None:
        self.problem = problem
        self.monitors, self.limits = problem.monitors, problem.limits
        self.conditions = problem.conditions
        self.ascent = Ascent(problem)
        self.points = len(self.monitors.power_flow.network.connection_points)
        self.limited: IndexArray = np.flatnonzero(np.isfinite(self.limits.limit))

    # -- values and violations ------------------------------------------------------------------

    def element(self, row: int) -> str:
        """Return the name of a row's element."""
        return self.monitors.elements[row]

    def nominal_v(self, row: int) -> float | None:
        """Return the volts per unit of a row that is a voltage's, where they are known."""
        if self.monitors.kind[row] not in (RowKind.VOLTAGE_MAX, RowKind.VOLTAGE_MIN):
            return None
        name = Element.parse(self.element(row)).name
        return self.monitors.power_flow.network.nominal_v.get(name)

    def violation(self, rows: IndexArray, values: FloatArray) -> FloatArray:
        """Return the excess of values over their limits, in parts of the row's scale, shape (r,).

        At most 0 is secure; ``1 + violation`` is the loading of the row.
        """
        excess: FloatArray = (values - self.limits.limit[rows]) / self.limits.scale[rows]
        return excess

    def values(self, packing: PackingRows, u: FloatArray) -> FloatArray:
        """Return f by the linear rows, shape (r,); exact in the box where they were taken."""
        linear: FloatArray = self.limits.limit[packing.rows] - packing.b + packing.A @ u
        return linear

    def excess(self, packing: PackingRows, u: FloatArray) -> FloatArray:
        """Return the violations that the linear rows have at u, shape (r,)."""
        return self.violation(packing.rows, self.values(packing, u))

    def no_rows(self) -> PackingRows:
        """Return no linear rows, to begin a collection."""
        return PackingRows.none(self.points, self.conditions.free)

    def cannot_bind(self, u: FloatArray) -> BoolArray:
        """Return, for all monitored rows, whether the rigorous bound rules them out at u."""
        bounds = self.monitors.bounds(self.conditions, u, self.limits)
        ruled_out: BoolArray = bounds <= self.limits.limit
        return ruled_out

    # -- starting points ------------------------------------------------------------------------

    def start_points(self, rows: IndexArray, share: FloatArray | None = None) -> WorstPoints:
        """Return the points that the no-load sensitivities lead to, or with the shares given."""
        slopes = self.no_load_slopes.take(rows)
        if share is None:
            share = (slopes.by_power > 0).astype(np.float64)
        return points_along(self.conditions, share, slopes)

    def leaning_points(self, rows: IndexArray, u: FloatArray) -> WorstPoints:
        """Return the points of the box u that the no-load sensitivities lead to.

        They depend on u where reactive power grows with active power: then both sides of a
        customer may raise a quantity, and the larger limit raises it more.
        """
        points = self.start_points(rows)
        return vertex_along_gradient(self.conditions, points, self.no_load_slopes.take(rows), u)

    def leant_points(
        self, rows: IndexArray, share: FloatArray, side: float, strong: BoolArray
    ) -> WorstPoints:
        """Return points of the shares given, with deviations on one side.

        Parameters
        ----------
        rows, share
            Shapes (r,) and (r, c).
        side
            1 injects, 0 withdraws.
        strong
            Shape (r, d), deviations that go where the no-load sensitivities lead instead.
        """
        points = self.start_points(rows, share)
        if not self.conditions.deviations.set.count:
            return points
        return one_sided(self.conditions, points, self.no_load_slopes.take(rows), strong, side)

    @cached_property
    def no_load_slopes(self) -> Slopes:
        """The slopes of all rows with no power anywhere, at nominal voltage."""
        return slopes_of(self.conditions, *self.monitors.no_load_gradients)

    # -- worst points and linear rows -----------------------------------------------------------

    def worst(
        self, rows: IndexArray, start: WorstPoints, u: FloatArray
    ) -> tuple[PackingRows, FloatArray]:
        """Move each row from its start to a worst point of the box u, and linearise it there.

        At the point found every gradient component agrees in sign with the side taken, or is
        zero inside the box (the first-order condition of a worst point), or else taking the
        other side was tried and did not raise f.

        Parameters
        ----------
        rows
            Shape (r,), indices into the monitors' rows.
        start
            r points.
        u
            Shape (2 c,), per unit.

        Returns
        -------
        PackingRows
            Exact at u.
        values
            Shape (r,), f by the AC power flow at the points found.

        Raises
        ------
        PowerFlowError
            When the power flow at a point does not converge.

        """
        if not len(rows):
            return self.no_rows(), np.zeros(0)
        at = self.ascent.climb(rows, start, u)
        return self._packing(rows, at, u), at.values

    def idle_rows(self, lower: FloatArray) -> tuple[PackingRows, FloatArray]:
        """Return all limited rows with their coefficients without load, and f at ``lower``.

        Exact at ``lower`` in value, but not in slope: a first estimate of the rows that bind.
        """
        rows, points = self.limited, self.start_points(self.limited)
        A = coefficients(self.conditions, points, self.no_load_slopes.take(rows))
        values = self.problem.evaluate(rows, points, lower)[0]
        other = other_end(self.conditions, points)
        others = self.problem.evaluate(rows, other, lower)[0]
        worse = np.flatnonzero(others > values)
        points = points.placed(worse, other.take(worse))
        values[worse] = others[worse]
        return PackingRows(rows, points, A, self.limits.limit[rows] - values + A @ lower), values

    def exact(self, rows: IndexArray, points: WorstPoints, u: FloatArray) -> PackingRows:
        """Linearise rows at the points given, without looking for worse ones."""
        return self._packing(rows, self.problem.at(rows, points, u), u)

    def _packing(self, rows: IndexArray, at: Climb, u: FloatArray) -> PackingRows:
        """Return the packing rows of points found.

        The small first-order gain left at the end of an ascent is added, so that the row stays
        an upper bound where f is concave.
        """
        A = coefficients(self.conditions, at.points, at.slopes)
        gain = self.problem.gain(at, self.problem.vertex_along_gradient(at, u), u)
        left = np.where(gain <= REFINED * self.limits.scale[rows], gain, 0.0)
        return PackingRows(rows, at.points, A, self.limits.limit[rows] - at.values - left + A @ u)
