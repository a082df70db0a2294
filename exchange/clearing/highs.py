"""The HiGHS solver, with the same options for all programs of the clearing.

A result counts only when the solver reports an optimum.  Tolerances are absolute and mean lots and
ticks, because rows and prices are scaled so (:mod:`exchange.clearing.lot_rows`).
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
import numpy.typing as npt

from exchange.clearing.problem import ClearingError
from exchange.clearing.work_budget import ProgramCost, RemainingWork
from security_check.arrays import BoolArray, FloatArray

Int32Array = npt.NDArray[np.int32]

INFINITY = float(highspy.kHighsInf)

_OPTIONS: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    # Rows are scaled to a largest coefficient of 1, so smaller ones are rounding.
    "small_matrix_value": 1e-12,
    # Lots and ticks: near the finest that the solver accepts, and far below a lot or a tick.
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}
_LINEAR: dict[str, bool | int | float | str] = {"presolve": "off", "solver": "simplex"}
_MIXED: dict[str, bool | int | float | str] = {
    "mip_detect_symmetry": False,
    "mip_rel_gap": 0.0,  # each program states its gap in tick-lots
    "mip_feasibility_tolerance": 1e-7,  # units: ten times finer than WHOLE in the rounding
    # It takes longer than most of these programs, and they are solved as well without it.
    "mip_heuristic_run_feasibility_jump": False,
}
_WITHOUT_SOLUTION = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kSolutionLimit)
_ENDED = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kSolutionLimit)


def _new_solver(**options: bool | int | float | str) -> highspy.Highs:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy has no types
    for name, value in {**_OPTIONS, **options}.items():
        if solver.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise ClearingError(f"the solver rejects the option {name} = {value}")
    return solver


def _packed(rows: FloatArray) -> tuple[int, Int32Array, Int32Array, FloatArray]:
    """Return rows in sparse form: number of entries, start of each row, columns and values."""
    filled = rows != 0.0
    starts = np.zeros(len(rows), dtype=np.int32)
    np.cumsum(filled.sum(axis=1)[:-1], out=starts[1:])
    index = np.nonzero(filled)[1].astype(np.int32)
    return len(index), starts, index, rows[filled]


def _add_rows(
    solver: highspy.Highs, lower: FloatArray, upper: FloatArray, coefficients: FloatArray
) -> None:
    if len(lower):
        solver.addRows(len(lower), lower, upper, *_packed(coefficients))


def _add_columns(
    solver: highspy.Highs,
    cost: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    coefficients: FloatArray,
) -> None:
    solver.addCols(len(cost), cost, lower, upper, *_packed(np.ascontiguousarray(coefficients.T)))


class WarmModel:
    """A linear program ``max value y`` that stays in the solver while its data change.

    Only changes are sent to the solver, and the simplex method starts from the last basis.  Rows
    and variables are numbered in the order in which they were added.

    Parameters
    ----------
    row_lower, row_upper
        Shape (rows,).
    """

    __slots__ = ("_lower", "_row_lower", "_row_upper", "_solver", "_upper", "_value")

    def __init__(self, row_lower: FloatArray, row_upper: FloatArray) -> None:
        self._solver = _new_solver(**_LINEAR)
        _add_rows(self._solver, row_lower, row_upper, np.zeros((len(row_lower), 0)))
        self._row_lower, self._row_upper = row_lower, row_upper
        self._value = self._lower = self._upper = np.zeros(0)

    def add(self, value: FloatArray, coefficients: FloatArray) -> None:
        """Add variables fixed at 0, with coefficients of shape (rows, added)."""
        zeros = np.zeros(len(value))
        _add_columns(self._solver, -value, zeros, zeros, coefficients)
        self._value = np.concatenate([self._value, value])
        self._lower = np.concatenate([self._lower, zeros])
        self._upper = np.concatenate([self._upper, zeros])

    def add_rows(self, upper: FloatArray, coefficients: FloatArray) -> None:
        """Add rows without a lower bound, with coefficients of shape (added, variables)."""
        lower = np.full(len(upper), -INFINITY)
        _add_rows(self._solver, lower, upper, coefficients)
        self._row_lower = np.concatenate([self._row_lower, lower])
        self._row_upper = np.concatenate([self._row_upper, upper])

    def start_like(self, other: WarmModel, variables: BoolArray, rows: BoolArray) -> None:
        """Start from the last basis of another model.

        The basis is a hint: the solver repairs it where it is not a basis of this model.

        Parameters
        ----------
        other
            The model.
        variables, rows
            Shape (variables of the other,) and (rows of the other,), which of its variables and
            rows this model has, in the same order.
        """
        old = other._solver.getBasis()
        if not old.valid:
            return
        basis = highspy.HighsBasis()
        basis.valid = True
        basis.col_status = [s for s, stays in zip(old.col_status, variables, strict=True) if stays]
        basis.row_status = [s for s, stays in zip(old.row_status, rows, strict=True) if stays]
        self._solver.setBasis(basis)

    def set_value(self, value: FloatArray) -> None:
        """Replace the objective, shape (variables,)."""
        changed = np.flatnonzero(value != self._value).astype(np.int32)
        if len(changed):
            self._solver.changeColsCost(len(changed), changed, -value[changed])
            self._value = value

    def set_bounds(self, lower: FloatArray, upper: FloatArray) -> None:
        """Replace the bounds of the variables, shape (variables,) each."""
        differs = (lower != self._lower) | (upper != self._upper)
        changed = np.flatnonzero(differs).astype(np.int32)
        if len(changed):
            self._solver.changeColsBounds(len(changed), changed, lower[changed], upper[changed])
            self._lower, self._upper = lower, upper

    def set_row_bounds(self, lower: FloatArray, upper: FloatArray) -> None:
        """Replace the bounds of the rows, shape (rows,) each."""
        differs = (lower != self._row_lower) | (upper != self._row_upper)
        for row in np.flatnonzero(differs).tolist():
            self._solver.changeRowBounds(row, lower[row], upper[row])
        self._row_lower, self._row_upper = lower, upper

    def solve(self) -> tuple[FloatArray, FloatArray]:
        """Return optimal values, and the duals of the rows.

        Raises
        ------
        ClearingError
            When the solver ends without an optimum.
        """
        if not len(self._value):
            # The solver reports programs without variables as empty; this is their optimum.
            return np.zeros(0), np.zeros(len(self._row_upper))
        for attempt in (self._run, self._run_cold, self._run_scaled):
            solution = attempt()
            if solution is not None:
                return np.array(solution.col_value), -np.array(solution.row_dual)
        status = self._solver.modelStatusToString(self._solver.getModelStatus())
        raise ClearingError(f"the solver ends with {status}, also from a cold start and scaled")

    def bound(self) -> float:
        """Return an upper bound: the optimum, or infinity where the solver is not sure.

        Minus infinity where the program is infeasible, which is believed from a cold start only.
        """
        if self._run() is None and self._run_cold() is None:
            infeasible = self._solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible
            return -INFINITY if infeasible else INFINITY
        return -float(self._solver.getInfo().objective_function_value)

    def values(self) -> FloatArray:
        """Return the values at the optimum of the last :meth:`bound`."""
        return np.array(self._solver.getSolution().col_value)

    def _run(self) -> highspy.HighsSolution | None:
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return self._solver.getSolution()

    def _run_cold(self) -> highspy.HighsSolution | None:
        """Solve from a cold start, because a warm start may have led the simplex method astray."""
        self._solver = self._fresh()
        return self._run()

    def _run_scaled(self) -> highspy.HighsSolution | None:
        """Solve with an objective scaled to at most 1, then unscaled from the basis found.

        Limit prices near their bound and rows of very small coefficients lead to duals that are too
        large for the ratio test.  Tolerances of duals grow with the scale, hence the second run; if
        that fails, the result of the first counts.
        """
        bits = _bits(self._value)
        for presolve in ("off", "on"):
            scaled = self._solver = self._fresh(presolve=presolve, user_objective_scale=-bits)
            found = self._run()
            if found is not None:
                self._solver = self._fresh()
                self._solver.setBasis(scaled.getBasis())
                return self._run() or found
        return None

    def _fresh(self, **options: bool | int | float | str) -> highspy.Highs:
        """Return a new solver with the same program and no basis."""
        solver = _new_solver(**{**_LINEAR, **options})
        solver.passModel(self._solver.getLp())
        return solver


def _bits(value: FloatArray) -> int:
    """Return the binary logarithm of the largest magnitude, rounded up, and at least 0."""
    return max(int(np.ceil(np.log2(np.abs(value).max(initial=1.0)))), 0)


@dataclass(frozen=True, slots=True)
class MixedProgram:
    """``max value y  s.t.  row_lower <= coefficients y <= row_upper, lower <= y <= upper``.

    Shapes: value, lower, upper, integer (v,), coefficients (rows, v), row bounds (rows,).
    The solver's presolve has called feasible programs infeasible.  So where 0, or the bound nearest
    to it, is a solution, that answer is not believed: the program is solved without presolve.
    """

    value: FloatArray
    coefficients: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray

    def solve(self, gap: float, budget: RemainingWork) -> FloatArray | None:
        """Return an optimum to within ``gap`` tick-lots; ``None`` when it is infeasible.

        The work is taken off a budget.  If that is used up, the best solution found is returned, or
        ``None`` if there is none.

        Raises
        ------
        ClearingError
            When the solver finds neither a solution nor that there is none.
        """
        if not len(self.value):
            # The solver reports programs without variables as empty.
            feasible = (self.row_lower <= 0.0).all() and (self.row_upper >= 0.0).all()
            return np.zeros(0) if feasible else None
        statuses = []
        for bits in (0, _bits(self.value)):
            status, found = self._attempt(2.0**-bits, gap, budget, {})
            if status == highspy.HighsModelStatus.kInfeasible and self._allows_nothing():
                status, found = self._attempt(2.0**-bits, gap, budget, {"presolve": "off"})
            if found is not None:
                return found
            if status is None or status in _WITHOUT_SOLUTION:
                return None
            statuses.append(_new_solver().modelStatusToString(status))
        raise ClearingError(f"the solver ends with {statuses[0]}, and scaled with {statuses[1]}")

    def _attempt(
        self, scale: float, gap: float, budget: RemainingWork, options: dict[str, str]
    ) -> tuple[highspy.HighsModelStatus | None, FloatArray | None]:
        """Return the solver's status and its solution, if any; no status without a budget."""
        work = ProgramCost(*self.coefficients.shape)
        nodes = budget.nodes(work)
        if not nodes:
            budget.close()
            return None, None
        solver = _new_solver(**_MIXED, **options, mip_abs_gap=scale * gap, mip_max_nodes=nodes)
        status = self._run(solver, scale)
        info = solver.getInfo()
        budget.spend(work.root + work.node * max(int(info.mip_node_count), 0))
        if status == highspy.HighsModelStatus.kSolutionLimit:
            budget.close()
        solved = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
        if status in _ENDED and solved:
            return status, np.array(solver.getSolution().col_value)
        return status, None

    def _allows_nothing(self) -> bool:
        """Return whether 0, or the bound nearest to it, satisfies every row."""
        change = self.coefficients @ np.clip(0.0, self.lower, self.upper)
        return bool((self.row_lower <= change).all() and (change <= self.row_upper).all())

    def _run(self, solver: highspy.Highs, scale: float) -> highspy.HighsModelStatus:
        _add_rows(solver, self.row_lower, self.row_upper, np.zeros((len(self.row_lower), 0)))
        _add_columns(solver, -scale * self.value, self.lower, self.upper, self.coefficients)
        count = len(self.value)
        kinds = self.integer.astype(np.uint8)
        solver.changeColsIntegrality(count, np.arange(count, dtype=np.int32), kinds)
        solver.run()
        return solver.getModelStatus()
