"""Procure flexibility: the best activation, what it costs, why it is needed, and its verification.

The local need comes first: voltages and currents within their limits for every deviation, at least
activation cost.  On top of that the most may be kept free for the TSO, upward or downward, from
what is left of the offers; it is secure when all of it is activated, and when none is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.ac_rows import AcRows
from doe_allocation.procurement.assessment import Assessment, assess
from doe_allocation.procurement.choices import CurrentShape, FlexDirection, Objective
from doe_allocation.procurement.clearing import PlaneRows, explaining_rows
from doe_allocation.procurement.cones import ConesClearing, ConeSolverError
from doe_allocation.procurement.coupling import Coupling
from doe_allocation.procurement.cutting import RowKeeper, best_together
from doe_allocation.procurement.excess import scale_of
from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.problem import (
    NotExactError,
    ProcurementProblem,
    UnrelievableError,
)
from doe_allocation.procurement.program import Activation, Goal
from doe_allocation.procurement.quantities import (
    LinearRows,
    Quantity,
    QuantityKind,
    limited_quantities,
)
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError, shortfalls
from security_check.arrays import FloatArray
from security_check.errors import GridError

_TIE = 1e-7  # parts of the highest price: what power costs besides its price, where that is free


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
    """Procure flexibility in one interval.

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
    (found,) = procure_together([problem], None, settings, rng)
    if isinstance(found, InsufficientFlexibilityError):
        raise found
    assert found is not None  # nothing couples one interval with others
    return found


def procure_together(
    problems: Sequence[ProcurementProblem],
    coupling: Coupling | None,
    settings: ProcurementSettings,
    rng: np.random.Generator,
) -> list[Procured | InsufficientFlexibilityError | None]:
    """Procure flexibility in intervals whose offers are coupled.

    Where there is no activation, each interval has the error that explains it, or ``None`` where
    only others lack flexibility.

    Parameters
    ----------
    problems
        The same network, limits and offers in each interval, with powers, deviations and prices of
        its own.
    coupling
        What couples them; ``None`` where nothing does.

    Raises
    ------
    ValueError
        When cones are to solve what is coupled.
    PowerFlowError
        When there is no AC power flow.
    """
    if coupling is not None and settings.shape is CurrentShape.CONES and not settings.ac_exact:
        raise ValueError("cones solve one interval; terms over time need planes or refined planes")
    day = _Day.of(problems, coupling, settings, rng)
    try:
        local = day.best(day.needs)
    except UnrelievableError:
        return list(day.shortfalls())
    tso: list[Activation | None] = [None] * len(problems)
    if settings.objective is not Objective.COST:
        most = [
            _for_tso(problem, settings.objective, own.power)
            for problem, own in zip(problems, local, strict=True)
        ]
        try:
            total = day.best(most)
        except UnrelievableError:  # the local activation is one, but for the rounding of a solver
            total = [Activation(own.power, 0.0 * own.worth) for own in local]
        tso = [
            Activation(whole.power - own.power, whole.worth)
            for whole, own in zip(total, local, strict=True)
        ]
    circle = day.circle()
    return [
        _procured(day, k, own, beside, None if circle is None else circle[k])
        for k, (own, beside) in enumerate(zip(local, tso, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class _Day:
    """Intervals that are procured together, with what keeps the rows of each."""

    problems: Sequence[ProcurementProblem]
    coupling: Coupling | None
    settings: ProcurementSettings
    rng: np.random.Generator
    models: Sequence[LinearModel]
    quantities: tuple[Quantity, ...]
    needs: Sequence[Goal]
    keepers: Sequence[RowKeeper]

    @classmethod
    def of(
        cls,
        problems: Sequence[ProcurementProblem],
        coupling: Coupling | None,
        settings: ProcurementSettings,
        rng: np.random.Generator,
    ) -> _Day:
        models = [LinearModel.around(each, np.zeros(len(each.offers))) for each in problems]
        quantities = tuple(limited_quantities(problems[0]))
        needs = [_least_cost(each) for each in problems]
        refined = settings.ac_exact or settings.shape is CurrentShape.REFINED
        keepers: list[RowKeeper] = [
            PlaneRows(problem, model, quantities, settings.planes, refined)
            for problem, model in zip(problems, models, strict=True)
        ]
        if settings.ac_exact:
            try:
                start = [each.power for each in best_together(keepers, needs, coupling)]
            except (UnrelievableError, NotExactError):  # AC rows allow it, or say what is missing
                start = [need.upper for need in needs]
            keepers = [
                AcRows(problem, quantities, power, rng)
                for problem, power in zip(problems, start, strict=True)
            ]
        return cls(problems, coupling, settings, rng, models, quantities, needs, keepers)

    @property
    def _cones(self) -> bool:
        return self.settings.shape is CurrentShape.CONES and not self.settings.ac_exact

    def best(self, goals: Sequence[Goal]) -> list[Activation]:
        """Return the best activations, as the settings say.

        Where the solver of cones gives no reliable answer, refined planes find the same.
        """
        if self._cones:
            with suppress(ConeSolverError):
                return [
                    ConesClearing(problem, model, self.quantities).best(goal)
                    for problem, model, goal in zip(self.problems, self.models, goals, strict=True)
                ]
            return best_together(self._circles(), goals, self.coupling)
        return best_together(self.keepers, goals, self.coupling)

    def _circles(self) -> list[PlaneRows]:
        return [
            PlaneRows(problem, model, self.quantities, self.settings.planes, refined=True)
            for problem, model in zip(self.problems, self.models, strict=True)
        ]

    def circle(self) -> list[Activation] | None:
        """Return the least cost under the circle itself; ``None`` where no polygon is used."""
        if self.settings.ac_exact or self.settings.shape is not CurrentShape.PLANES:
            return None
        try:
            return best_together(self._circles(), self.needs, self.coupling)
        except UnrelievableError:  # it has room for a rounding only, which the polygon had, too
            return None

    def shortfalls(self) -> list[InsufficientFlexibilityError | None]:
        """Return for each interval what cannot be relieved, first each by itself.

        Raises
        ------
        GridError
            When nothing is found that explains it.
        """
        if self.settings.shape is CurrentShape.PLANES or self.settings.ac_exact:
            rows = [keeper.rows() for keeper in self.keepers]
        else:
            rows = [
                explaining_rows(problem, model, self.quantities, need)
                for problem, model, need in zip(self.problems, self.models, self.needs, strict=True)
            ]
        found: list[InsufficientFlexibilityError | None] = []
        for coupling in (None, self.coupling):
            with suppress(UnrelievableError):
                found = shortfalls(self.problems, self.quantities, rows, self.needs, coupling)
                if any(each is not None for each in found):
                    return found
        raise GridError(
            "the solver finds no activation, and nothing that its limits lack: the worst of them, "
            f"with all offers, is {_fullest(self.problems[0], self.quantities, rows[0])}"
        )


def _fullest(problem: ProcurementProblem, quantities: Sequence[Quantity], rows: LinearRows) -> str:
    """Return the limit that all offers together leave farthest beyond, as words."""
    scale = np.array([scale_of(problem, each) for each in quantities])[rows.quantity]
    over = (rows.A @ problem.change @ problem.sizes - rows.b) / scale
    return quantities[int(rows.quantity[int(over.argmax())])].element if len(over) else "none"


def _procured(
    day: _Day, k: int, local: Activation, tso: Activation | None, circle: Activation | None
) -> Procured:
    """Return the result of an interval, verified."""
    problem, model, rng = day.problems[k], day.models[k], day.rng
    nothing = np.zeros(len(problem.offers))
    total = local.power if tso is None else local.power + tso.power
    keeper = day.keepers[k]
    return Procured(
        local=local,
        tso=tso,
        model=model,
        quantities=day.quantities,
        before=assess(problem, model, nothing, rng),
        after=assess(problem, model, total, rng),
        local_only=None if tso is None else assess(problem, model, local.power, rng),
        given_away=None if circle is None else _given_away(day, k, circle, local),
        interface_w=(
            _interface_w(problem, nothing),
            _interface_w(problem, local.power),
            _interface_w(problem, total),
        ),
        rounds=keeper.rounds if isinstance(keeper, AcRows) else 0,
    )


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


def _given_away(day: _Day, k: int, circle: Activation, local: Activation) -> GivenAway:
    injected = day.problems[k].change @ local.power
    unused = [
        quantity.limit_pu - abs(day.models[k].farthest(quantity.phasor, injected)[0])
        if worth > 0.0 and quantity.kind is QuantityKind.CURRENT
        else 0.0
        for quantity, worth in zip(day.quantities, local.worth.tolist(), strict=True)
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
