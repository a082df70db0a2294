"""The rows of the linear model, with magnitudes bounded by planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.polygon import Polygon
from doe_allocation.procurement.problem import ProcurementProblem
from doe_allocation.procurement.program import Activation, Goal
from doe_allocation.procurement.quantities import (
    LinearRows,
    Quantity,
    QuantityKind,
    linear_rows,
)

_AIM = 5e-9  # parts of a limit by which added planes are inside it, so that nothing ends above
FINE_PLANES = 512
"""Of the polygon that stands for the circle where a sentence explains."""


@dataclass
class PlaneRows:
    """Rows of a polygon for each phasor that must not be too large.

    Parameters
    ----------
    planes
        Sides of the polygon of a current.
    refined
        Whether planes around the circle, and more of them, take the place of those inside it.
    """

    problem: ProcurementProblem
    model: LinearModel
    quantities: Sequence[Quantity]
    planes: int
    refined: bool = False
    _polygons: list[Polygon] = field(default_factory=list)

    def begin(self, goal: Goal) -> None:  # the same rows for every goal
        """Take the polygons to begin with."""
        if self.refined:
            self._polygons = [Polygon.touching(self.planes)] * len(self.quantities)
            return
        regular = Polygon.regular(self.planes)
        angles = np.angle(self.model.operating)
        self._polygons = [
            Polygon.fine_around(self.planes, float(angles[quantity.phasor]))
            if quantity.kind is QuantityKind.VOLTAGE_MAX
            else regular
            for quantity in self.quantities
        ]

    def rows(self) -> LinearRows:
        """Return the rows of the polygons."""
        return linear_rows(self.problem, self.model, self.quantities, self._polygons)

    def improve(self, found: Activation) -> bool:
        """Add planes that touch the circle where a phasor is beyond it; return whether one is."""
        if not self.refined:
            return False
        injected, beyond = self.problem.change @ found.power, False
        for k, quantity in enumerate(self.quantities):
            if quantity.kind is QuantityKind.VOLTAGE_MIN:
                continue
            worst, _ = self.model.farthest(quantity.phasor, injected)
            if abs(worst) > quantity.limit_pu:
                angle = float(np.angle(worst))
                self._polygons[k] = self._polygons[k].touching_at(angle, 1.0 - _AIM)
                beyond = True
        return beyond

    def afresh(self) -> bool:
        """Return that there are no other rows."""
        return False


def explaining_rows(
    problem: ProcurementProblem,
    model: LinearModel,
    quantities: Sequence[Quantity],
    goal: Goal,
    planes: int = FINE_PLANES,
) -> LinearRows:
    """Return rows inside the circle, which a sentence about a shortfall stands on."""
    fine = PlaneRows(problem, model, quantities, planes)
    fine.begin(goal)
    return fine.rows()
