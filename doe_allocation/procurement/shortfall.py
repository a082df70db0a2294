"""Why no activation keeps all limits: which cannot be kept, by how much, and what is missing.

What is exceeded where limits are exceeded the least cannot be relieved; the least that resources
would have to activate beyond their offers is what is missing (:mod:`.excess`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.packing_program import FairnessError
from doe_allocation.procurement.choices import FlexDirection
from doe_allocation.procurement.coupling import Coupling
from doe_allocation.procurement.excess import (
    BEYOND,
    least_excesses,
    least_missing,
    scale_of,
)
from doe_allocation.procurement.problem import ProcurementProblem, UnrelievableError
from doe_allocation.procurement.program import Goal
from doe_allocation.procurement.quantities import LinearRows, Quantity, QuantityKind
from security_check.arrays import FloatArray
from security_check.errors import InsecureError, Violation

_NOTHING = 1e-7  # parts of a scale, or of the largest power: less is the solver's rounding


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
        Flexibility that would be needed beyond the offers; ``None`` where no activation of these
        resources would be enough, empty where only intervals that it is coupled with lack some.
    activation
        Shape (o,), the best use of the offers, per unit.
    """

    def __init__(
        self,
        violations: Sequence[Violation],
        excess: float,
        missing: Sequence[MissingFlexibility] | None,
        activation: FloatArray,
    ) -> None:
        worst = violations[0]
        over = abs(worst.value - worst.limit)
        self.missing = tuple(missing or ())
        self.activation = activation
        if missing is None:
            what = f"of another kind: no power of these resources, up to {BEYOND:g} times all they "
            what += "have, is enough"
        else:
            what = "; ".join(map(str, missing)) or "in other intervals, which leave it no offers"
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
    (error,) = shortfalls([problem], quantities, [rows], [goal])
    if error is None:
        raise UnrelievableError
    return error


def shortfalls(
    problems: Sequence[ProcurementProblem],
    quantities: Sequence[Quantity],
    rows: Sequence[LinearRows],
    goals: Sequence[Goal],
    coupling: Coupling | None = None,
) -> list[InsufficientFlexibilityError | None]:
    """Return for each interval why it has no activation; ``None`` where its limits are kept."""
    excesses = least_excesses(problems, quantities, rows, goals, coupling)
    missing: Sequence[FloatArray | None] = [None] * len(problems)
    with suppress(UnrelievableError, FairnessError):
        missing = least_missing(problems, rows, goals, coupling)
    found: list[InsufficientFlexibilityError | None] = []
    for problem, (activation, over), beyond in zip(problems, excesses, missing, strict=True):
        least = min(_NOTHING, 0.5 * float(over.max(initial=0.0)))
        worst = [int(k) for k in np.argsort(-over) if over[k] > least]
        if not worst:
            found.append(None)
            continue
        violations = [_violation(problem, quantities[k], float(over[k])) for k in worst]
        lacking = None if beyond is None else _missing(problem, beyond)
        found.append(
            InsufficientFlexibilityError(violations, float(over[worst[0]]), lacking, activation)
        )
    return found


def _violation(problem: ProcurementProblem, quantity: Quantity, over: float) -> Violation:
    sign = -1.0 if quantity.kind is QuantityKind.VOLTAGE_MIN else 1.0
    beyond = sign * over * scale_of(problem, quantity) * quantity.unit_size
    return Violation(quantity.element, quantity.limit + beyond, quantity.limit, quantity.unit)


def _missing(problem: ProcurementProblem, power: FloatArray) -> list[MissingFlexibility]:
    """Return the power beyond the offers, (2 c,), that is not rounding, by resource and way."""
    network, found = problem.network, []
    count = len(network.connection_points)
    largest = max(float(power.max(initial=0.0)), float(problem.sizes.max(initial=0.0)))
    for k in np.flatnonzero(power > _NOTHING * largest).tolist():
        at = k % count
        found.append(
            MissingFlexibility(
                network.connection_points[at],
                bus_of(problem, at),
                FlexDirection.UPWARD if k < count else FlexDirection.DOWNWARD,
                float(power[k]) * network.base_power_w,
            )
        )
    return found


def bus_of(problem: ProcurementProblem, resource: int) -> str:
    """Return the id of the bus of a resource, by its index."""
    shares = problem.network.port_shares.tocsc()
    port = int(shares.indices[shares.indptr[resource]])
    return problem.network.ports.names[port]
