"""The rows of one network under one interval's limits, and their values and slopes at points.

Ascent, search, watched rows and packing rows all work on the same :class:`RowProblem`; only this
module runs a power flow for rows at points of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.monitoring.protocol import Monitored
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import WorstPoints
from security_check.operating_range.slopes import Slopes, gain, slopes_of, vertex_along_gradient
from security_check.power_flow.operating_points import OperatingPoints

RISE = 1e-10
"""Per unit of f: a smaller rise is rounding, since power flows are solved to 1e-10 per unit."""


_ROUGH_PU = 1e-5  # tolerance of power flows that only tell signs of slopes


@dataclass(frozen=True, slots=True)
class Climb:
    """Rows on their way to their worst points: where they are, f there and its slopes."""

    points: WorstPoints
    values: FloatArray
    slopes: Slopes

    def take(self, rows: IndexArray | BoolArray) -> Climb:
        """Return a copy of the rows named."""
        return Climb(self.points.take(rows), self.values[rows], self.slopes.take(rows))

    def put(self, where: IndexArray, found: Climb) -> None:
        """Replace the rows at ``where``; a climb owns its arrays."""
        self.points.share[where] = found.points.share
        self.points.free[where] = found.points.free
        self.values[where] = found.values
        self.slopes.by_power[where] = found.slopes.by_power
        self.slopes.by_free[where] = found.slopes.by_free


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Monitored rows, their limits, and the interval's conditions.

    Parameters
    ----------
    monitors
        The monitored quantities; R rows, c connection points.
    limits
        The limits of all rows.
    conditions
        The coordinates of points, and their port powers and held voltages.
    """

    monitors: Monitored
    limits: RowLimits
    conditions: OperatingConditions

    def evaluate(
        self, rows: IndexArray, points: WorstPoints, u: FloatArray
    ) -> tuple[FloatArray, OperatingPoints]:
        """Run the AC power flow of each row at its own point of u; equal points are run once.

        Parameters
        ----------
        rows
            Shape (r,), indices into the monitors' rows.
        points
            r points.
        u
            Shape (2 c,), the box of envelopes, per unit.

        Returns
        -------
        values
            Shape (r,), f of each row.
        solved
            r operating points, one per row.

        Raises
        ------
        PowerFlowError
            When a power flow does not converge.
        """
        first, group = points.distinct(u)
        flow = self.monitors.power_flow
        solved = flow.solve(*self.conditions.ports(points.take(first), u)).take(group)
        return self.monitors.values(rows, solved), solved

    def at(self, rows: IndexArray, points: WorstPoints, u: FloatArray) -> Climb:
        """Return rows at their own points, with values and exact slopes; see :meth:`evaluate`."""
        values, solved = self.evaluate(rows, points, u)
        slopes = slopes_of(self.conditions, *self.monitors.gradients(rows, solved))
        return Climb(WorstPoints(points.share.copy(), points.free.copy()), values, slopes)

    def rough_slopes(self, rows: IndexArray, points: WorstPoints, u: FloatArray) -> Slopes:
        """Return slopes of rows at their own points good enough for their signs."""
        first, group = points.distinct(u)
        ports = self.conditions.ports(points.take(first), u)
        solved = self.monitors.power_flow.solve(*ports, None, _ROUGH_PU).take(group)
        return slopes_of(self.conditions, *self.monitors.gradients(rows, solved))

    def vertex_along_gradient(self, at: Climb, u: FloatArray) -> WorstPoints:
        """Return the vertices that the gradients point to; a flat direction keeps its side."""
        return vertex_along_gradient(self.conditions, at.points, at.slopes, u)

    def gain(self, at: Climb, to: WorstPoints, u: FloatArray) -> FloatArray:
        """Return the gain of f on the way to other points, to first order, shape (r,)."""
        return gain(self.conditions, at.points, at.slopes, to, u)
