"""Needs found from forecasts: limits exceeded without activation, and at what deviations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from doe_allocation.procurement.assessment import Assessment, assess
from doe_allocation.procurement.excess import scale_of
from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.problem import ProcurementProblem
from doe_allocation.procurement.procurement import Procured
from doe_allocation.procurement.quantities import Quantity, QuantityKind, limited_quantities
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError
from gateway.flexibility.procurement_result import NeedRecord, WorstDeviation
from security_check.arrays import FloatArray
from security_check.worst_case.robust_rows import SECURE


def before_activation(
    problem: ProcurementProblem, found: Procured | InsufficientFlexibilityError | None
) -> Assessment:
    """Return voltages and currents without activation."""
    if isinstance(found, Procured):
        return found.before
    nothing = np.zeros(len(problem.offers))
    model = LinearModel.around(problem, nothing)
    return assess(problem, model, nothing, np.random.default_rng(0))


def needs(problem: ProcurementProblem, before: Assessment) -> list[NeedRecord]:
    """Return the limits that are exceeded without activation, the worst first."""
    over = []
    for quantity in limited_quantities(problem):
        each = _need(problem, before, quantity)
        if each.excess > SECURE * each.limit:
            over.append((each.excess / (quantity.unit_size * scale_of(problem, quantity)), each))
    return [each for _, each in sorted(over, key=lambda pair: -pair[0])]


def _need(problem: ProcurementProblem, before: Assessment, quantity: Quantity) -> NeedRecord:
    lowest = quantity.kind is QuantityKind.VOLTAGE_MIN
    value = (before.ac_lowest if lowest else before.ac_worst)[quantity.phasor] * quantity.unit_size
    at = (before.lowest_at if lowest else before.worst_at)[quantity.phasor]
    over = float(quantity.limit - value if lowest else value - quantity.limit)
    return NeedRecord(
        element=quantity.element,
        quantity=f"{quantity.kind.value} {quantity.side}".strip(),
        value=float(value),
        limit=quantity.limit,
        excess=over,
        unit=quantity.unit,
        worst=list(_deviations(problem, at)),
    )


def _deviations(problem: ProcurementProblem, at: FloatArray) -> Iterator[WorstDeviation]:
    """Yield what each resource withdraws at deviations of shape (d,), and what is expected."""
    network = problem.network
    passive = network.passive
    assert passive is not None  # every network of a table has its resources
    to_kw = -network.base_power_w / 1e3
    band = np.asarray(problem.forecast.deviations.power_pu.sum(axis=0)).ravel().real
    expected = passive.power_pu.real
    for k, name in enumerate(network.connection_points):
        yield WorstDeviation(
            resource=name,
            expected_kw=float(expected[k]) * to_kw + 0.0,
            worst_kw=float(expected[k] + band[k] * at[k]) * to_kw + 0.0,
        )
