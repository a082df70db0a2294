"""The best activation with exact cones: the magnitude of a phasor at every deviation of its set.

``|x0 + X f + D xi| <= R`` is a second-order cone for one xi.  The worst xi of a set depends on f,
so cones are added one by one: each round takes, for each phasor that is too large, its farthest
point (:meth:`LinearModel.farthest`), until none is.  A box has at most 2 d points in the plane
that can be farthest, whatever f is, so for boxes this ends with the exact optimum.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.polygon import FEWEST, Polygon
from doe_allocation.procurement.problem import ProcurementProblem, UnrelievableError
from doe_allocation.procurement.program import Activation, Goal
from doe_allocation.procurement.quantities import (
    LinearRows,
    Quantity,
    QuantityKind,
    linear_rows,
)
from security_check.arrays import ComplexArray
from security_check.errors import GridError

_ROUNDS = 60  # of adding cones at most
_FAR = 1e-7  # parts of a limit: about what the cone solver leaves
_PRICED = 1e-5  # parts of the largest gain: a smaller price is the cone solver's rounding


class ConeSolverError(GridError):
    """The solver of cones ends without a reliable solution."""


@dataclass(frozen=True, slots=True)
class _Cone:
    """A phasor at one deviation: ``|centre + by_offer @ x| <= limit`` of a quantity."""

    quantity: int
    centre: complex
    by_offer: ComplexArray
    limit: float


@dataclass(frozen=True, slots=True)
class ConesClearing:
    """The cone programme; voltages that must not be too low have a linear row each."""

    problem: ProcurementProblem
    model: LinearModel
    quantities: Sequence[Quantity]

    def best(self, goal: Goal) -> Activation:
        """Return the best activation, to about 1e-7 of the limits.

        Raises
        ------
        UnrelievableError
            When no activation keeps all limits.
        ConeSolverError
            When the solver gives no reliable answer.
        """
        cones: list[_Cone] = []
        start = goal.lower
        found = Activation(start, np.zeros(len(self.quantities)))
        for number in range(_ROUNDS):
            added = self._exceeded(found, everything=number == 0)
            if not added:
                return found
            cones += added
            found = self._solved(goal, cones)
        raise ConeSolverError(f"the cones of {len(self.quantities)} limits do not come to rest")

    def _exceeded(self, found: Activation, *, everything: bool) -> list[_Cone]:
        """Return the cones of phasors beyond their limits, each at its farthest point."""
        injected = self.problem.change @ found.power
        added = []
        for k, quantity in enumerate(self.quantities):
            if quantity.kind is QuantityKind.VOLTAGE_MIN:
                continue
            phasor = quantity.phasor
            worst, deviation = self.model.farthest(phasor, injected)
            if everything or abs(worst) > quantity.limit_pu * (1.0 + _FAR):
                centre = complex(
                    self.model.base[phasor] + self.model.by_deviation[phasor] @ deviation
                )
                by_offer = self.model.by_power[phasor] @ self.problem.change
                added.append(_Cone(k, centre, by_offer, quantity.limit_pu))
        return added

    def _solved(self, goal: Goal, cones: Sequence[_Cone]) -> Activation:
        import cvxpy as cp  # takes a second to import

        if not len(goal.gain):
            if any(abs(each.centre) > each.limit for each in cones):
                raise UnrelievableError
            return Activation(np.zeros(0), np.zeros(len(self.quantities)))
        scale = float(np.abs(goal.gain).max(initial=0.0)) or 1.0
        unit = float(goal.upper.max(initial=0.0)) or 1.0
        x = cp.Variable(len(goal.gain))  # in parts of the largest offer
        rows = self._lowest()
        A = unit * rows.A @ self.problem.change
        sizes = np.maximum(np.abs(A).max(axis=1, initial=0.0), np.abs(rows.b))
        sizes = np.where(sizes > 0.0, sizes, 1.0)
        linear: list[Any] = [(A / sizes[:, None]) @ x <= rows.b / sizes] if len(rows.b) else []
        discs: list[Any] = [
            cp.SOC(
                cp.Constant(1.0),
                np.array([each.by_offer.real, each.by_offer.imag]) * (unit / each.limit) @ x
                + np.array([each.centre.real, each.centre.imag]) / each.limit,
            )
            for each in cones
        ]
        bounds: list[Any] = [x >= goal.lower / unit, x <= goal.upper / unit]
        program = cp.Problem(cp.Maximize(goal.gain / scale @ x), linear + discs + bounds)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
                program.solve(solver=cp.CLARABEL)  # type: ignore[no-untyped-call]
        except cp.SolverError as error:
            raise ConeSolverError(f"the cone program of procurement fails: {error}") from None
        if program.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
            raise UnrelievableError
        if program.status != cp.OPTIMAL:
            raise ConeSolverError(f"the cone program of procurement ends with: {program.status}")
        worth = np.zeros(len(self.quantities))
        paid = scale * unit
        for each, disc in zip(cones, discs, strict=True):
            worth[each.quantity] += paid * float(np.ravel(disc.dual_value[0])[0]) / each.limit
        if linear:
            np.add.at(worth, rows.quantity, -paid * np.ravel(linear[0].dual_value) / sizes)
        worth[np.abs(worth) < _PRICED * scale] = 0.0
        power = np.clip(unit * np.asarray(x.value, dtype=float), goal.lower, goal.upper)
        return Activation(power, worth)

    def _lowest(self) -> LinearRows:
        """Return the rows of voltages that must not be too low."""
        rows = linear_rows(
            self.problem,
            self.model,
            self.quantities,
            [Polygon.touching(FEWEST)] * len(self.quantities),
        )
        lowest = [q.kind is QuantityKind.VOLTAGE_MIN for q in self.quantities]
        return rows.take(np.flatnonzero(np.array(lowest, dtype=bool)[rows.quantity]))
