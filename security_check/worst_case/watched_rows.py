"""Rows watched at few points: the evaluation of a trade at the least cost.

Hundreds of rows share a few worst points (all inject, all withdraw, one feeder against the rest).
:class:`WatchedRows` maps rows to distinct points, so that each point costs one power flow,
whenever the box of envelopes changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray, first_of_equal
from security_check.operating_range.points import WorstPoints
from security_check.operating_range.slopes import (
    coefficients,
    gain,
    slopes_of,
    vertex_along_gradient,
)
from security_check.power_flow.implicit_zbus import TOLERANCE_PU
from security_check.power_flow.operating_points import OperatingPoints
from security_check.worst_case.corners import turning
from security_check.worst_case.row_problem import RowProblem


@dataclass(frozen=True, slots=True)
class SolvedRows:
    """Rows at solved points of a box of envelopes.

    Parameters
    ----------
    rows, column
        Shape (r,), rows of the monitors, and the index of each row's point.
    points, solved
        k points of the box, and the power flow there.
    values
        Shape (r,), f of each row.
    """

    rows: IndexArray
    column: IndexArray
    points: WorstPoints
    solved: OperatingPoints
    values: FloatArray


class WatchedRows:
    """Rows and the points at which they are watched, in any box and any interval.

    Parameters
    ----------
    rows
        Shape (r,), indices into the monitors' rows.
    points
        r points.
    """

    def __init__(self, rows: IndexArray, points: WorstPoints) -> None:
        self.rows = rows
        first, self.column = first_of_equal(np.column_stack([points.share, points.free]))
        self.points = points.take(first)
        # Voltages of the last power flow at each point: where the next one starts.
        self._voltage: ComplexArray | None = None

    def evaluate(
        self,
        problem: RowProblem,
        u: FloatArray,
        chosen: IndexArray,
        tolerance_pu: float = TOLERANCE_PU,
    ) -> SolvedRows:
        """Run the AC power flow at the points of the rows chosen.

        Parameters
        ----------
        problem
            The network under one interval's limits and conditions.
        u
            Shape (2 c,), the box of envelopes, per unit.
        chosen
            Shape (r,), positions in :attr:`rows`.
        tolerance_pu
            Of the power flow.

        Raises
        ------
        PowerFlowError
            When one does not converge.
        """
        monitors = problem.monitors
        used, column = np.unique(self.column[chosen], return_inverse=True)
        rows, points = self.rows[chosen], self.points.take(used)
        powers, source = problem.conditions.ports(points, u)
        if self._voltage is None:
            nominal = monitors.power_flow.no_load_voltage(np.ones((len(source), 1)))
            self._voltage = np.repeat(nominal, len(self.points.share), axis=1)
        start = self._voltage[:, used]
        solved = monitors.power_flow.solve(powers, source, start, tolerance_pu)
        values = monitors.values_at(rows, column, solved)
        self._voltage[:, used] = solved.voltage
        return SolvedRows(rows, column, points, solved, values)


@dataclass(frozen=True, slots=True)
class GradientEvidence:
    """The gradients' evidence on rows at their points; r rows.

    Parameters
    ----------
    A
        Shape (r, 2 c), the packing coefficients there.
    gain
        Shape (r,), the gain that is left to first order.
    turning
        Shape (r,), whether some customer's influence changes sign within its range, so that a
        change of its side might raise f although the gradient says no.
    """

    A: FloatArray
    gain: FloatArray
    turning: BoolArray


def prove(
    problem: RowProblem, seen: SolvedRows, own: IndexArray, u: FloatArray
) -> GradientEvidence:
    """Return the gradients' evidence that rows are watched at their worst points.

    Parameters
    ----------
    problem
        The network under one interval's limits and conditions.
    seen
        Rows evaluated at u.
    own
        Shape (r,), positions in ``seen``.
    u
        Shape (2 c,), per unit.
    """
    conditions, column = problem.conditions, seen.column[own]
    rows, points = seen.rows[own], seen.points.take(column)
    slopes = slopes_of(conditions, *problem.monitors.gradients(rows, seen.solved.take(column)))
    vertex = vertex_along_gradient(conditions, points, slopes, u)
    unsure: BoolArray = np.asarray(turning(problem, rows, points, u).any(axis=1))
    return GradientEvidence(
        coefficients(conditions, points, slopes),
        gain(conditions, points, slopes, vertex, u),
        unsure,
    )
