"""The linear programme over offers: the best activation under rows, and prices of the limits.

Intervals whose offers are coupled are solved in one programme; a single interval is the same with
one of them.  HiGHS solves it, through the fair division's :class:`PackingProgram`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.packing_program import InfeasibleError, Packing, PackingProgram
from doe_allocation.procurement.coupling import Coupling
from doe_allocation.procurement.problem import UnrelievableError
from doe_allocation.procurement.quantities import LinearRows
from security_check.arrays import BoolArray, FloatArray

_ROUNDED = 1e-7  # parts of a row's bound: by less, an optimum may be beyond it
_PRICED = 1e-9  # of a scaled row: a smaller price is the solver's rounding
_SMALLEST = 1e-6  # parts of the largest row: where offers move a row by less, others scale it
_BALANCINGS = 3  # times that rows and further variables are scaled by each other


@dataclass(frozen=True, slots=True)
class Goal:
    """What to maximise, and between which bounds; o offers.

    Parameters
    ----------
    gain
        Shape (o,), gain for a per unit activated of each.
    lower, upper
        Shape (o,), bounds of what is activated, per unit.
    lower_is_optimum
        Whether ``lower`` is the optimum of another goal under the same limits: then rounding of
        that optimum does not make this one infeasible.
    """

    gain: FloatArray
    lower: FloatArray
    upper: FloatArray
    lower_is_optimum: bool = False


@dataclass(frozen=True, slots=True)
class Activation:
    """An optimum.

    Parameters
    ----------
    power
        Shape (o,), what is activated of each offer, per unit.
    worth
        Shape (quantities,), the gain for a per unit more of each limit, >= 0 where more is looser.
    """

    power: FloatArray
    worth: FloatArray


@dataclass(frozen=True, slots=True)
class Stage:
    """One interval of a programme: rows over what is activated, and e further variables.

    Parameters
    ----------
    goal
        Of the o offers.
    rows, most
        Shapes (r, o + e) and (r,): rows and their bounds.
    price, most_further
        Shape (e,), of the further variables, each at least 0: price, and the most of it.
    """

    goal: Goal
    rows: FloatArray
    most: FloatArray
    price: FloatArray
    most_further: FloatArray


@dataclass(frozen=True, slots=True)
class StageOptimum:
    """What is activated, shape (o,), the further variables, (e,), and the worth of rows, (r,)."""

    power: FloatArray
    further: FloatArray
    worth: FloatArray


def best_activations(
    goals: Sequence[Goal],
    rows: Sequence[LinearRows],
    changes: Sequence[FloatArray],
    quantities: int,
    coupling: Coupling | None = None,
) -> list[Activation]:
    """Return the best activations of all intervals under their rows.

    Parameters
    ----------
    changes
        Shape (c, o) each, the injected powers by what is activated of each offer.
    quantities
        Number of quantities that the rows of an interval limit.
    coupling
        What couples the intervals; ``None`` where nothing does.

    Raises
    ------
    UnrelievableError
        When no activations meet all rows.
    """
    stages, kept = [], []
    for goal, own, change in zip(goals, rows, changes, strict=True):
        A, b = own.A @ change, own.b
        if goal.lower_is_optimum:
            reached = A @ goal.lower
            b = np.where(reached - b <= _ROUNDED * np.abs(own.b), np.maximum(b, reached), b)
        bind = np.flatnonzero(_may_bind(goal, A, b))
        kept.append(bind)
        stages.append(Stage(goal, A[bind], b[bind], np.zeros(0), np.zeros(0)))
    found = []
    for optimum, own, bind in zip(optima(stages, coupling), rows, kept, strict=True):
        total = np.zeros(quantities)
        np.add.at(total, own.quantity[bind], optimum.worth * own.by_limit[bind])
        found.append(Activation(optimum.power, total))
    return found


def best_activation(
    goal: Goal, rows: LinearRows, change: FloatArray, quantities: int
) -> Activation:
    """Return the best activation of one interval; see :func:`best_activations`."""
    return best_activations([goal], [rows], [change], quantities)[0]


def optima(stages: Sequence[Stage], coupling: Coupling | None = None) -> list[StageOptimum]:
    """Return what is best in every interval: the most gain, less the price of further variables.

    Raises
    ------
    UnrelievableError
        When nothing meets all rows.
    FairnessError
        When the solver gives no answer.
    """
    unit = max((float(each.goal.upper.max(initial=0.0)) for each in stages), default=0.0) or 1.0
    if not any(each.rows.shape[1] for each in stages):  # the solver reports these as empty
        if any((each.most < 0.0).any() for each in stages):
            raise UnrelievableError
        nothing = np.zeros(0)
        return [StageOptimum(nothing, nothing, np.zeros(len(each.most))) for each in stages]
    scaled = [_scaled(each, unit) for each in stages]
    program = _empty()
    for each in scaled:
        for low, high in zip(each.lower, each.upper, strict=True):
            program.add_variable(float(low), float(high))
    width = sum(len(each.lower) for each in scaled)
    at = np.cumsum([0, *(len(each.lower) for each in scaled)])
    for first, each in zip(at.tolist(), scaled, strict=False):
        for row, most in zip(each.rows, each.most.tolist(), strict=True):
            wide = np.zeros(width)
            wide[first : first + len(row)] = row
            program.add_row(wide, -np.inf, most)
    gain = np.concatenate([each.gain for each in scaled])
    if coupling is not None:
        switches = coupling.couple(program, at, [each.goal.upper / unit for each in stages], unit)
        gain = np.concatenate([gain, np.zeros(switches)])
    largest = float(np.abs(gain).max(initial=0.0)) or 1.0
    program.set_gain(gain / largest)
    try:
        best = program.solve()
    except InfeasibleError:
        raise UnrelievableError from None
    worth = np.where(best.worth > _PRICED, best.worth, 0.0) * largest
    return _unscaled(stages, scaled, best.values, worth)


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A stage in numbers that solvers like: its variables in ``units``, its rows in ``sizes``."""

    gain: FloatArray
    lower: FloatArray
    upper: FloatArray
    rows: FloatArray
    most: FloatArray
    units: FloatArray
    sizes: FloatArray


def _scaled(stage: Stage, unit: float) -> _Scaled:
    """Return the stage with offers in one unit, and further variables each in its own.

    A further variable may move its rows by far more, or far less, than offers do, so that one unit
    for all would leave coefficients to the solver's tolerances.
    """
    goal, offers = stage.goal, len(stage.goal.gain)
    size = np.abs(stage.rows)
    by_offer = unit * size[:, :offers].max(axis=1, initial=0.0)
    sizes = np.maximum(by_offer, _SMALLEST * by_offer.max(initial=0.0))
    if len(stage.price):  # they may have to be as large as the bound
        sizes = np.maximum(sizes, np.abs(stage.most))
    sizes = np.where(sizes > 0.0, sizes, 1.0)
    own = np.ones(len(stage.price))
    for _ in range(_BALANCINGS):
        most = (size[:, offers:] / sizes[:, None]).max(axis=0, initial=0.0)
        own = 1.0 / np.where(most > 0.0, most, 1.0)
        wide = (size[:, offers:] * own).max(axis=1, initial=0.0)
        sizes = np.where(by_offer > 0.0, np.maximum(sizes, wide), np.where(wide > 0.0, wide, sizes))
    units = np.concatenate([np.full(offers, unit), own])
    none = np.zeros(len(own))
    return _Scaled(
        np.concatenate([goal.gain, -stage.price]) * units,
        np.concatenate([goal.lower / unit, none]),
        np.concatenate([goal.upper / unit, stage.most_further / own]),
        stage.rows * units / sizes[:, None],
        stage.most / sizes,
        units,
        sizes,
    )


def _unscaled(
    stages: Sequence[Stage], scaled: Sequence[_Scaled], values: FloatArray, worth: FloatArray
) -> list[StageOptimum]:
    found, column, row = [], 0, 0
    for stage, each in zip(stages, scaled, strict=True):
        offers, width = len(stage.goal.gain), len(each.lower)
        own = values[column : column + width] * each.units
        power = np.clip(own[:offers], stage.goal.lower, stage.goal.upper)
        paid = worth[row : row + len(each.most)] / each.sizes
        found.append(StageOptimum(power, own[offers:], paid))
        column, row = column + width, row + len(each.most)
    return found


def _empty() -> PackingProgram:
    none = np.zeros(0)
    return PackingProgram(
        Packing(np.zeros((0, 0)), none, none, none, np.zeros(0, dtype=np.int64), scale=1.0)
    )


def _may_bind(goal: Goal, A: FloatArray, b: FloatArray) -> BoolArray:
    """Return which rows ``A x <= b`` some activation between the bounds exceeds, shape (r,)."""
    most = np.where(A > 0.0, A * goal.upper, A * goal.lower).sum(axis=1)
    return np.asarray(most > b)
