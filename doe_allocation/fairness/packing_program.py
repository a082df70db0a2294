"""Fair division by programs: the packing polytope in numbers that solvers like, and HiGHS.

Coefficients per unit lie many powers of ten apart, because rows are of different kinds.  Here
limits are measured in the largest capacity and each row by its largest coefficient, so that a
solver's absolute tolerances mean the same in every row.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from doe_allocation.fairness.rule import CAPACITY, PARTICIPATES
from security_check.arrays import FloatArray, IndexArray
from security_check.errors import GridError

TIGHT = 1e-7
"""Room of a row, in parts of its bound, below which it stops the limits that take part in it."""

# The solver's feasibility tolerances: ten times the smallest that HiGHS accepts.
_FEASIBLE = 1e-9
# Parts of the largest capacity by which a share may fall below its earlier value, so that rounding
# does not make a program infeasible; ten times more after each failure, up to the second number.
_GIVE, _GIVE_AT_MOST = 1e-9, 1e-6
# Times ``give`` that a limit may have lost: in its share and as a share itself, each twice.
_GIVEN = 4.0
# Duals above this, and above this part of the largest one, are not rounding.
_SURE, _SURE_PART = 1e-8, 1e-6
# Room of a row, parts of its bound, that is rounding; and the smallest bound that it is a part of.
_FULL, _SMALLEST_BOUND = 1e-13, 1e-9
_OPTIONS: dict[str, bool | int | float | str] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "presolve": "off",
    "solver": "simplex",
    "small_matrix_value": 1e-12,
    "primal_feasibility_tolerance": _FEASIBLE,
    "dual_feasibility_tolerance": _FEASIBLE,
    "mip_feasibility_tolerance": _FEASIBLE,
    "mip_rel_gap": 0.0,
}


_INFEASIBLE = (
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,  # the programs here are bounded
)


class FairnessError(GridError):
    """A program of the fair division ends without a reliable solution."""


class InfeasibleError(FairnessError):
    """No values meet all rows and bounds."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The polytope ``{A u <= b, lower <= u <= upper}``, scaled.

    Parameters
    ----------
    A, b
        Shapes (r, m) and (r,): the rows that capacities can fill, the largest coefficient of each
        1, and b at least the use by the lower bounds.
    lower, upper
        Shape (m,), in parts of ``scale``.
    rows
        Shape (r,), the places of these rows among those given.
    scale
        The largest upper bound, in the units given.
    """

    A: FloatArray
    b: FloatArray
    lower: FloatArray
    upper: FloatArray
    rows: IndexArray
    scale: float

    @classmethod
    def of(cls, A: FloatArray, b: FloatArray, lower: FloatArray, upper: FloatArray) -> Packing:
        """Return the scaled polytope.

        A row that the lower bounds fill beyond b counts as just full: it freezes the limits that
        take part in it, as in ``progressive_filling``.
        """
        scale = float(upper.max(initial=0.0)) or 1.0
        largest = A.max(axis=1, initial=0.0)
        rows = np.flatnonzero((largest > 0.0) & (A @ upper > b))
        A = A[rows] / largest[rows, None]
        A = np.where(A > PARTICIPATES, A, 0.0)
        lower = lower / scale
        room = np.maximum(b[rows] / largest[rows] / scale, A @ lower)
        return cls(A, room, lower, upper / scale, rows, scale)

    def frozen(self) -> np.ndarray:
        """Return which limits cannot rise at all, at capacity or in a full row; shape (m,)."""
        full = self.b - self.A @ self.lower <= _FULL * np.maximum(self.b, _SMALLEST_BOUND)
        stuck: np.ndarray = (self.A[full] > 0.0).any(axis=0) | (self.upper <= self.lower)
        return stuck

    def secured(self, u: FloatArray, give: float = 0.0) -> FloatArray:
        """Return u corrected for rounding: no row exceeded, and at capacity where rows allow it.

        Limits that take part in an exceeded row move towards their lower bounds.

        Parameters
        ----------
        u
            Shape (m,).
        give
            By how much a sequence of programs let shares fall at each step; a limit below its
            capacity by no more than that is put at capacity, if its rows allow it.
        """
        u = np.clip(u, self.lower, self.upper)
        short = np.maximum(TIGHT * self.upper, _GIVEN * give)
        whole = np.where(u >= self.upper - short, self.upper, u)
        beyond = self.A @ whole > self.b
        u = np.where((self.A[beyond] > 0.0).any(axis=0), u, whole)
        used, room = self.A @ (u - self.lower), self.b - self.A @ self.lower
        part = np.divide(room, used, out=np.ones_like(room), where=used > room)
        drawn = np.where(self.A > 0.0, part[:, None], 1.0).min(axis=0, initial=1.0)
        secured: FloatArray = self.lower + drawn * (u - self.lower)
        return np.where(drawn < 1.0, secured, u)

    def bottlenecks(self, u: FloatArray, price: FloatArray) -> IndexArray:
        """Return the row that stops each limit, or :data:`CAPACITY`; shape (m,).

        Parameters
        ----------
        u
            Shape (m,), the limits.
        price
            Shape (r,) or (r, m), >= 0: the price of a unit of each row, for each limit where these
            differ.  Of the full rows that a limit takes part in, the one that costs it most stops
            it; if none has a cost, the fullest one.
        """
        bottleneck = np.full(len(u), CAPACITY, dtype=np.int64)
        if not len(self.rows):
            return bottleneck
        room = (self.b - self.A @ u) / np.maximum(self.b, 1e-12)
        prices = price[:, None] if price.ndim == 1 else price
        cost = np.where(self.A > 0.0, prices * self.A, -1.0)
        cost[room > TIGHT] = -1.0
        stopped = u < self.upper * (1.0 - TIGHT)
        by_cost = cost.argmax(axis=0)
        fullest = np.where(self.A > 0.0, room[:, None], np.inf).argmin(axis=0)
        row = np.where(cost.max(axis=0) > 0.0, by_cost, fullest)
        in_any = (self.A > 0.0).any(axis=0)
        bottleneck[stopped & in_any] = self.rows[row[stopped & in_any]]
        return bottleneck


@dataclass(frozen=True, slots=True)
class PackingOptimum:
    """The optimum that the simplex method found.

    Parameters
    ----------
    values
        Shape (variables,).
    worth
        Shape (rows,), the increase of the objective with a unit of each row's bound; its sign
        says which bound.
    reduced
        Shape (variables,), the same for the variables' own bounds.
    """

    values: FloatArray
    worth: FloatArray
    reduced: FloatArray


class PackingProgram:
    """``max gain x`` over rows and bounds, in a solver that keeps its basis between solves.

    Parameters
    ----------
    packing
        Gives the first variables and the first rows.
    """

    def __init__(self, packing: Packing) -> None:
        self._solver = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy has no types
        for name, value in _OPTIONS.items():
            self._solver.setOptionValue(name, value)
        self._variables = 0
        self._rows = 0
        self._whole: list[int] = []
        for low, high in zip(packing.lower, packing.upper, strict=True):
            self.add_variable(float(low), float(high))
        for row, most in zip(packing.A, packing.b, strict=True):
            self.add_row(row, -np.inf, float(most))

    def add_variable(self, lower: float, upper: float, *, whole: bool = False) -> int:
        """Add a variable, of whole values if said so; return its index."""
        none: IndexArray = np.zeros(0, dtype=np.int64)
        self._solver.addCol(0.0, lower, upper, 0, none.astype(np.int32), np.zeros(0))
        if whole:
            self._whole.append(self._variables)
            self._solver.changeColIntegrality(self._variables, highspy.HighsVarType.kInteger)
        self._variables += 1
        return self._variables - 1

    def add_row(self, coefficients: FloatArray, lower: float, upper: float) -> int:
        """Add a row over the first variables; return its index."""
        places = np.flatnonzero(coefficients).astype(np.int32)
        values = np.ascontiguousarray(coefficients[places], dtype=float)
        self._solver.addRow(lower, upper, len(places), places, values)
        self._rows += 1
        return self._rows - 1

    def set_gain(self, gain: FloatArray) -> None:
        """Replace the objective, shape (variables,)."""
        places = np.arange(self._variables, dtype=np.int32)
        self._solver.changeColsCost(self._variables, places, -gain)

    def hold(self, row: int, variable: int, least: float) -> None:
        """Remove a variable from a row, which from then on is at least ``least``."""
        self._solver.changeCoeff(row, variable, 0.0)
        self._solver.changeRowBounds(row, least, np.inf)

    def solve(self) -> PackingOptimum:
        """Return an optimum; with variables of whole values, worths are those with these fixed.

        Raises
        ------
        InfeasibleError
            When no values meet all rows and bounds.
        FairnessError
            When the solver ends in any other way.
        """
        optimal = highspy.HighsModelStatus.kOptimal
        self._solver.run()
        if self._solver.getModelStatus() != optimal:
            # A warm start may mislead the simplex method: solve once more from scratch.
            self._solver.clearSolver()
            self._solver.run()
        status = self._solver.getModelStatus()
        if status != optimal:
            kind = InfeasibleError if status in _INFEASIBLE else FairnessError
            status_text = self._solver.modelStatusToString(status)
            raise kind(f"the linear program ends with: {status_text}")
        solution = self._solver.getSolution()
        if self._whole:
            self._fix_whole(np.round(np.array(solution.col_value)[self._whole]))
            return self.solve()
        return PackingOptimum(
            np.array(solution.col_value),
            -np.array(solution.row_dual),
            -np.array(solution.col_dual),
        )

    def _fix_whole(self, values: FloatArray) -> None:
        """Leave a linear program, in which prices are exact, with these whole values."""
        for variable, value in zip(self._whole, values.tolist(), strict=True):
            self._solver.changeColBounds(variable, value, value)
            self._solver.changeColIntegrality(variable, highspy.HighsVarType.kContinuous)
        self._whole = []
        self._solver.clearSolver()


@dataclass(frozen=True, slots=True)
class Lexicographic:
    """A lexicographic max-min point.

    Parameters
    ----------
    u
        Shape (m,), scaled.
    shares
        Shape (k,), the shares that were maximised one after the other.
    price
        Shape (r, k): the price of a unit of each row, in the level at which a share came to rest.
    give
        The largest amount by which a share fell below its earlier value.
    """

    u: FloatArray
    shares: FloatArray
    price: FloatArray
    give: float


def lexicographic(
    packing: Packing,
    share_of: FloatArray,
    weight: FloatArray,
    held: tuple[FloatArray, FloatArray] | None = None,
) -> Lexicographic:
    """Maximise the smallest weighted share, then the next one, and so on, by linear programs.

    Parameters
    ----------
    packing
        The polytope; r rows, m limits.
    share_of
        Shape (k, m), >= 0: shares are ``share_of @ u``.
    weight
        Shape (k,), > 0: the level of share j is ``share_j / weight_j``.
    held
        Further rows, shape (h, m), and their lower bounds, shape (h,).

    Notes
    -----
    Each program raises the common level of all shares that are still open.  Shares whose row has a
    price cannot be above that level in any optimum (complementary slackness), so they are fixed.
    The prices of the open shares add up to 1, so at least one share is fixed (Ogryczak, Pioro and
    Tomaszewski, 2005; Nace and Pioro, 2008).
    """
    give = _GIVE
    while True:
        try:
            return _sequence(packing, share_of, weight, held, give)
        except FairnessError:
            give *= 10.0
            if give > _GIVE_AT_MOST:
                raise


def _sequence(
    packing: Packing,
    share_of: FloatArray,
    weight: FloatArray,
    held: tuple[FloatArray, FloatArray] | None,
    give: float,
) -> Lexicographic:
    """Run the programs of :func:`lexicographic`; shares may fall by ``give`` in later ones."""
    m, count = len(packing.lower), len(share_of)
    program = PackingProgram(packing)
    if held is not None:
        for row, least in zip(*held, strict=True):
            program.add_row(row, float(least) - give, np.inf)
    level = program.add_variable(-np.inf, np.inf)
    places = [
        program.add_row(np.append(row, -each), 0.0, np.inf)
        for row, each in zip(share_of, weight, strict=True)
    ]
    gain = np.zeros(m + 1)
    gain[level] = 1.0
    program.set_gain(gain)
    shares, price = np.zeros(count), np.zeros((len(packing.rows), count))
    open_ = np.ones(count, dtype=bool)
    u = packing.lower
    while open_.any():
        found = program.solve()
        u, reached = found.values[:m], float(found.values[level])
        worth = np.abs(found.worth[places]) * weight  # those of open shares add up to 1
        fixed = open_ & (worth > max(_SURE, _SURE_PART * float(worth[open_].max())))
        if not fixed.any():
            raise FairnessError("no share stops the common level of the fair division")
        for j in np.flatnonzero(fixed):
            shares[j] = weight[j] * reached
            price[:, j] = np.maximum(found.worth[: len(packing.rows)], 0.0)
            program.hold(places[j], level, shares[j] - give)
        open_ &= ~fixed
    return Lexicographic(u, shares, price, give)
