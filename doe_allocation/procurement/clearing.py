"""The best activation in the linear model, with magnitudes bounded by planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.polygon import Polygon
from doe_allocation.procurement.problem import NotExactError, ProcurementProblem
from doe_allocation.procurement.program import Activation, Goal, best_activation
from doe_allocation.procurement.quantities import (
    LinearRows,
    Quantity,
    QuantityKind,
    linear_rows,
)

_ROUNDS = 200  # refinements at most; three to ten are usual
_AIM = 5e-9  # parts of a limit by which added planes are inside it, so that nothing ends above
_FINE_PLANES = 512  # of the polygon that stands for the circle where a sentence explains


class Clearing(Protocol):
    """Finds the best activation for any goal under the same limits."""

    def best(self, goal: Goal) -> Activation:
        """Return the best activation; raises :class:`UnrelievableError` when there is none."""
        ...

    def rows(self) -> LinearRows:
        """Return linear rows that stand for the limits, to explain why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class PlanesClearing:
    """The linear programme with a polygon for each phasor that must not be too large.

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

    def best(self, goal: Goal) -> Activation:
        """Return the best activation.

        When refined, planes that touch the circle are added where a phasor is beyond it (Kelley's
        cutting planes), until none is.

        Raises
        ------
        UnrelievableError
            When no activation keeps all limits.
        NotExactError
            When refinement does not end.
        """
        polygons = self._polygons()
        if not self.refined:
            return self._best(goal, polygons)
        for _ in range(_ROUNDS):
            found = self._best(goal, polygons)
            injected, beyond = self.problem.change @ found.power, False
            for k, quantity in enumerate(self.quantities):
                if quantity.kind is QuantityKind.VOLTAGE_MIN:
                    continue
                worst, _ = self.model.farthest(quantity.phasor, injected)
                if abs(worst) > quantity.limit_pu:
                    polygons[k] = polygons[k].touching_at(float(np.angle(worst)), 1.0 - _AIM)
                    beyond = True
            if not beyond:
                return found
        raise NotExactError(f"the planes of a circle are not fine enough in {_ROUNDS} rounds")

    def rows(self) -> LinearRows:
        """Return the rows before any refinement, inside the circle."""
        if self.refined:
            return replace(self, planes=_FINE_PLANES, refined=False).rows()
        return self._rows(self._polygons())

    def _best(self, goal: Goal, polygons: Sequence[Polygon]) -> Activation:
        rows, change = self._rows(polygons), self.problem.change
        return best_activation(goal, rows, change, len(self.quantities))

    def _rows(self, polygons: Sequence[Polygon]) -> LinearRows:
        return linear_rows(self.problem, self.model, self.quantities, polygons)

    def _polygons(self) -> list[Polygon]:
        if self.refined:
            return [Polygon.touching(self.planes)] * len(self.quantities)
        regular = Polygon.regular(self.planes)
        angles = np.angle(self.model.operating)
        return [
            Polygon.fine_around(self.planes, float(angles[quantity.phasor]))
            if quantity.kind is QuantityKind.VOLTAGE_MAX
            else regular
            for quantity in self.quantities
        ]
