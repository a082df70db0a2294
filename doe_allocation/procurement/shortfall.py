"""Why no activation keeps all limits: which cannot be kept, by how much, and what is missing.

Two relaxed linear programmes.  In the first each limit may be exceeded, at a price in parts of its
scale; what is exceeded at least cost cannot be relieved.  In the second each resource may activate
more than it offers, either way; the least that meets all rows is what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from doe_allocation.procurement.problem import ProcurementProblem, UnrelievableError
from doe_allocation.procurement.program import Goal, elastic_optimum
from doe_allocation.procurement.quantities import LinearRows, Quantity, QuantityKind
from security_check.arrays import FloatArray
from security_check.errors import InsecureError, Violation

_NOTHING = 1e-7  # parts of a scale, or per unit of power: less is the solver's rounding


@dataclass(frozen=True, slots=True)
class MissingFlexibility:
    """What a resource would have to activate beyond what it offers.

    Parameters
    ----------
    resource, bus
        Its id, and that of its bus.
    direction
        Which way.
    power_w
        Watts, > 0.
    """

    resource: str
    bus: str
    direction: FlexDirection
    power_w: float

    def __str__(self) -> str:
        """Return the power, direction, resource and bus."""
        return (
            f"{self.power_w / 1e3:,.4g} kW more {self.direction.value} "
            f"at {self.resource} ({self.bus})"
        )


class InsufficientFlexibilityError(InsecureError):
    """The offers cannot keep all limits.

    Parameters
    ----------
    violations
        The voltages and currents that cannot be relieved, the worst first.
    excess
        By how much the worst exceeds its limit, in parts of its scale.
    missing
        Flexibility that would be needed beyond the offers; empty where no activation of these
        resources would be enough.
    activation
        Shape (o,), the best use of the offers, per unit.
    """

    def __init__(
        self,
        violations: Sequence[Violation],
        excess: float,
        missing: Sequence[MissingFlexibility],
        activation: FloatArray,
    ) -> None:
        worst = violations[0]
        over = abs(worst.value - worst.limit)
        self.missing = tuple(missing)
        self.activation = activation
        what = "; ".join(map(str, missing)) if missing else "of another kind: no power of these "
        what += "" if missing else "resources, however large, is enough"
        super().__init__(
            worst.element,
            f"it cannot be relieved: with the best use of all offers it reaches {worst.value:.6g} "
            f"of {worst.limit:.6g} {worst.unit} at its worst deviations, {over:.4g} {worst.unit} "
            f"beyond its limit; flexibility missing: {what}",
            excess,
            violations,
        )


def shortfall(
    problem: ProcurementProblem,
    quantities: Sequence[Quantity],
    rows: LinearRows,
    goal: Goal,
) -> InsufficientFlexibilityError:
    """Return the error that explains why no activation meets the rows.

    Raises
    ------
    UnrelievableError
        When even the relaxed programme has no solution, or exceeds nothing.
    """
    activation, over = _excess(problem, quantities, rows, goal)
    beyond_rounding = min(_NOTHING, 0.5 * float(over.max(initial=0.0)))
    worst = [int(k) for k in np.argsort(-over) if over[k] > beyond_rounding]
    if not worst:
        raise UnrelievableError
    violations = []
    for k in worst:
        quantity = quantities[k]
        sign = -1.0 if quantity.kind is QuantityKind.VOLTAGE_MIN else 1.0
        beyond = sign * over[k] * _scale(problem, quantity) * quantity.unit_size
        violations.append(
            Violation(quantity.element, quantity.limit + beyond, quantity.limit, quantity.unit)
        )
    return InsufficientFlexibilityError(
        violations, float(over[worst[0]]), _missing(problem, rows, goal), activation
    )


def _scale(problem: ProcurementProblem, quantity: Quantity) -> float:
    return float(problem.limits.scale[quantity.rows[0]])


def _excess(
    problem: ProcurementProblem,
    quantities: Sequence[Quantity],
    rows: LinearRows,
    goal: Goal,
) -> tuple[FloatArray, FloatArray]:
    """Return the activation of least excess over limits, and this, in parts of their scales.

    Shapes (o,) and (quantities,).
    """
    elastic = np.zeros((len(rows.b), len(quantities)))
    scale = np.array([_scale(problem, quantity) for quantity in quantities])
    each = np.arange(len(rows.b))
    elastic[each, rows.quantity] = -np.abs(rows.by_limit) * scale[rows.quantity]
    over = np.hstack([rows.A @ problem.change, elastic])
    return elastic_optimum(goal, over, rows.b, np.ones(len(quantities)))


def _missing(problem: ProcurementProblem, rows: LinearRows, goal: Goal) -> list[MissingFlexibility]:
    """Return the least power beyond the offers that meets all rows; empty where none does."""
    count = len(problem.network.connection_points)
    beyond = np.hstack([rows.A @ problem.change, rows.A, -rows.A])
    with suppress(UnrelievableError):
        _, power = elastic_optimum(goal, beyond, rows.b, np.ones(2 * count))
        found = []
        for k in np.flatnonzero(power > _NOTHING).tolist():
            at = k % count
            found.append(
                MissingFlexibility(
                    problem.network.connection_points[at],
                    bus_of(problem, at),
                    FlexDirection.UPWARD if k < count else FlexDirection.DOWNWARD,
                    float(power[k]) * problem.network.base_power_w,
                )
            )
        return found
    return []


def bus_of(problem: ProcurementProblem, resource: int) -> str:
    """Return the id of the bus of a resource, by its index."""
    shares = problem.network.port_shares.tocsc()
    port = int(shares.indices[shares.indptr[resource]])
    return problem.network.ports.names[port]
