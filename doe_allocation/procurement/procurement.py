"""Procure flexibility: the best activation, what it costs, why it is needed, and its verification.

The local need comes first: voltages and currents within their limits for every deviation, at least
activation cost.  On top of that the most may be kept free for the TSO, upward or downward, from
what is left of the offers; it is secure when all of it is activated, and when none is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.ac_rows import AcClearing
from doe_allocation.procurement.assessment import Assessment, assess
from doe_allocation.procurement.choices import CurrentShape, FlexDirection, Objective
from doe_allocation.procurement.clearing import Clearing, PlanesClearing
from doe_allocation.procurement.cones import ConesClearing
from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.problem import (
    NotExactError,
    ProcurementProblem,
    UnrelievableError,
)
from doe_allocation.procurement.program import Activation, Goal
from doe_allocation.procurement.quantities import Quantity, QuantityKind, limited_quantities
from doe_allocation.procurement.shortfall import shortfall
from security_check.arrays import FloatArray
from security_check.errors import GridError

_TIE = 1e-7  # parts of the highest price: what power costs besides its price, where that is free
_EXPLAINED = 3  # times that AC rows are taken anew where offers are not enough


@dataclass(frozen=True, slots=True)
class ProcurementSettings:
    """How to procure.

    Parameters
    ----------
    objective
        What is best.
    shape
        How the linear model bounds magnitudes.
    planes
        Sides of the polygon of a current; :class:`Polygon` says how few are possible.
    ac_exact
        Whether to iterate to AC exactness; the linear model then gives the start only.
    """

    objective: Objective = Objective.COST
    shape: CurrentShape = CurrentShape.PLANES
    planes: int = 32
    ac_exact: bool = False


@dataclass(frozen=True, slots=True)
class GivenAway:
    """What the polygon gives away, compared with the circle, both in the linear model.

    Parameters
    ----------
    power
        Shape (o,), the local activation under the circle itself.
    by_quantity
        Shape (quantities,), the limit less the linear bound, per unit, of currents that bind; 0 of
        the others.
    """

    power: FloatArray
    by_quantity: FloatArray


@dataclass(frozen=True, slots=True)
class Procured:
    """The result of procurement; o offers.

    Parameters
    ----------
    local
        Activated for local needs, and the worth of each limit in EUR an hour for a per unit.
    tso
        Kept free for the TSO beside it, and the worth of each limit in per unit of power; ``None``
        where the objective is cost.
    model
        The linear model, around the AC power flow without activation.
    quantities
        What is limited.
    before, after
        Voltages and currents without activation, and with all of it.
    local_only
        The same with the local activation alone, where the TSO has a part.
    given_away
        What the polygon gives away; ``None`` without one.
    interface_w
        Active power that flows to the upstream network without deviations: before, with the local
        activation, and with all of it.
    rounds
        Linear programmes of the iteration to AC exactness; 0 without it.
    """

    local: Activation
    tso: Activation | None
    model: LinearModel
    quantities: tuple[Quantity, ...]
    before: Assessment
    after: Assessment
    local_only: Assessment | None
    given_away: GivenAway | None
    interface_w: tuple[float, float, float]
    rounds: int

    @property
    def total(self) -> FloatArray:
        """What is activated of each offer altogether, shape (o,), per unit."""
        return self.local.power if self.tso is None else self.local.power + self.tso.power


def procure(
    problem: ProcurementProblem, settings: ProcurementSettings, rng: np.random.Generator
) -> Procured:
    """Procure flexibility.

    Parameters
    ----------
    rng
        The source of the adversary's random points.

    Raises
    ------
    InsufficientFlexibilityError
        When the offers cannot keep all limits; names what cannot be relieved, and what is missing.
    PowerFlowError
        When there is no AC power flow.
    """
    nothing = np.zeros(len(problem.offers))
    model = LinearModel.around(problem, nothing)
    quantities = tuple(limited_quantities(problem))
    need = _least_cost(problem)
    clearing = _clearing(problem, model, quantities, settings, need, rng)
    local = _best(problem, quantities, clearing, need)
    before = assess(problem, model, nothing, rng)
    tso, local_only, total = None, None, local.power
    if settings.objective is not Objective.COST:
        local_only = assess(problem, model, local.power, rng)
        most = _for_tso(problem, settings.objective, local.power)
        found = _best(problem, quantities, clearing, most)
        tso, total = Activation(found.power - local.power, found.worth), found.power
    return Procured(
        local=local,
        tso=tso,
        model=model,
        quantities=quantities,
        before=before,
        after=assess(problem, model, total, rng),
        local_only=local_only,
        given_away=_given_away(problem, model, quantities, settings, need, local),
        interface_w=(
            _interface_w(problem, nothing),
            _interface_w(problem, local.power),
            _interface_w(problem, total),
        ),
        rounds=clearing.rounds if isinstance(clearing, AcClearing) else 0,
    )


def _clearing(
    problem: ProcurementProblem,
    model: LinearModel,
    quantities: tuple[Quantity, ...],
    settings: ProcurementSettings,
    need: Goal,
    rng: np.random.Generator,
) -> Clearing:
    """Return what finds activations, as the settings say."""
    refined = PlanesClearing(problem, model, quantities, settings.planes, refined=True)
    if settings.ac_exact:
        try:
            start = refined.best(need).power
        except (UnrelievableError, NotExactError):  # the AC rows allow it, or say what is missing
            start = need.upper
        return AcClearing(problem, quantities, start, rng)
    if settings.shape is CurrentShape.CONES:
        return ConesClearing(problem, model, quantities)
    if settings.shape is CurrentShape.REFINED:
        return refined
    return PlanesClearing(problem, model, quantities, settings.planes)


def _best(
    problem: ProcurementProblem,
    quantities: tuple[Quantity, ...],
    clearing: Clearing,
    goal: Goal,
) -> Activation:
    try:
        return clearing.best(goal)
    except UnrelievableError:
        pass
    try:
        error = shortfall(problem, quantities, clearing.rows(), goal)
        if isinstance(clearing, AcClearing):  # its rows are exact where they were taken only
            for _ in range(_EXPLAINED):
                error = shortfall(problem, quantities, clearing.rows(error.activation), goal)
    except UnrelievableError:
        sentence = "the solver finds no activation, and nothing that its limits lack"
        raise GridError(sentence) from None
    raise error


def _least_cost(problem: ProcurementProblem) -> Goal:
    """Return the goal of least cost, and of equal costs that of least power."""
    highest = float(problem.prices.max(initial=0.0)) or 1.0
    return Goal(-(problem.prices + _TIE * highest), np.zeros(len(problem.offers)), problem.sizes)


def _for_tso(problem: ProcurementProblem, objective: Objective, local: FloatArray) -> Goal:
    """Return the goal of the most flexibility in a direction, beside the local activation."""
    direction = FlexDirection(objective.value)
    chosen = np.array([offer.direction is direction for offer in problem.offers], dtype=bool)
    upper = np.where(chosen, problem.sizes, local)
    return Goal(chosen * 1.0, local, upper, lower_is_optimum=True)


def _given_away(
    problem: ProcurementProblem,
    model: LinearModel,
    quantities: tuple[Quantity, ...],
    settings: ProcurementSettings,
    need: Goal,
    local: Activation,
) -> GivenAway | None:
    if settings.ac_exact or settings.shape is not CurrentShape.PLANES:
        return None
    circle = PlanesClearing(problem, model, quantities, settings.planes, refined=True).best(need)
    injected = problem.change @ local.power
    unused = [
        quantity.limit_pu - abs(model.farthest(quantity.phasor, injected)[0])
        if worth > 0.0 and quantity.kind is QuantityKind.CURRENT
        else 0.0
        for quantity, worth in zip(quantities, local.worth.tolist(), strict=True)
    ]
    return GivenAway(circle.power, np.array(unused))


def _interface_w(problem: ProcurementProblem, power: FloatArray) -> float:
    """Return the active power to the upstream network, watts, without deviations."""
    network = problem.network
    powers = problem.forecast.power_pu + network.point_ports @ (problem.change @ power)
    flow = problem.monitors.power_flow
    solved = flow.solve(powers[:, None], np.array([[problem.source_pu]]))
    voltage = flow.node_voltages(solved)[:, 0]
    held = network.interface.nodes
    entering = np.asarray(network.admittance[held] @ voltage)
    return -float((voltage[held] * entering.conj()).sum().real) * network.base_power_w
