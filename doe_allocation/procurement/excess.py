"""Two relaxed programmes: the least by which limits are exceeded, and the least that is missing.

In the first each limit may be exceeded, at a price in parts of its scale.  In the second each
resource may activate more than it offers, either way.  Terms over time stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from doe_allocation.procurement.coupling import Coupling
from doe_allocation.procurement.problem import ProcurementProblem
from doe_allocation.procurement.program import Goal, Stage, optima
from doe_allocation.procurement.quantities import LinearRows, Quantity
from security_check.arrays import FloatArray

BEYOND = 100.0
"""Times the power of all resources together: more than this is no answer to what is missing."""


def scale_of(problem: ProcurementProblem, quantity: Quantity) -> float:
    """Return the scale of a limit, per unit: an excess is in parts of it."""
    return float(problem.limits.scale[quantity.rows[0]])


def least_excess(
    problem: ProcurementProblem,
    quantities: Sequence[Quantity],
    rows: LinearRows,
    goal: Goal,
) -> tuple[FloatArray, FloatArray]:
    """Return the activation of least excess over limits, and this, in parts of their scales.

    Shapes (o,) and (quantities,).
    """
    return least_excesses([problem], quantities, [rows], [goal])[0]


def least_excesses(
    problems: Sequence[ProcurementProblem],
    quantities: Sequence[Quantity],
    rows: Sequence[LinearRows],
    goals: Sequence[Goal],
    coupling: Coupling | None = None,
) -> list[tuple[FloatArray, FloatArray]]:
    """Return the same of intervals whose offers may be coupled."""
    stages = []
    for problem, own, goal in zip(problems, rows, goals, strict=True):
        scale = np.array([scale_of(problem, quantity) for quantity in quantities])
        elastic = np.zeros((len(own.b), len(quantities)))
        each = np.arange(len(own.b))
        elastic[each, own.quantity] = -np.abs(own.by_limit) * scale[own.quantity]
        wide = np.hstack([own.A @ problem.change, elastic])
        price = np.ones(len(quantities))
        stages.append(Stage(_free(goal), wide, own.b, price, np.inf * price))
    return [(each.power, each.further) for each in optima(stages, coupling)]


def least_missing(
    problems: Sequence[ProcurementProblem],
    rows: Sequence[LinearRows],
    goals: Sequence[Goal],
    coupling: Coupling | None = None,
) -> list[FloatArray]:
    """Return the least power beyond the offers that meets all rows: upward, then downward.

    Shapes (2 c,), per unit.

    Raises
    ------
    UnrelievableError
        When no power of the resources, up to :data:`BEYOND` times what all have, meets them.
    """
    stages = []
    for problem, own, goal in zip(problems, rows, goals, strict=True):
        beyond = np.hstack([own.A @ problem.change, own.A, -own.A])
        price = np.ones(2 * own.A.shape[1])
        expected = float(np.abs(problem.forecast.power_pu).sum() + problem.sizes.sum())
        stages.append(Stage(_free(goal), beyond, own.b, price, BEYOND * expected * price))
    return [each.further for each in optima(stages, coupling)]


def _free(goal: Goal) -> Goal:
    return replace(goal, gain=0.0 * goal.gain)
