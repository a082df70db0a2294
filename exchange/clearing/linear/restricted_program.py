"""The columns and rows that are loaded in the solver, from event to event.

Most columns and rows of the program do not bear on its optimum.  This restricted program has only
those that may: a column enters when it is as good as its local price
(:mod:`exchange.clearing.linear.linear_program`), a row when it does not hold.  So the optimum is
that of the whole program, and a book of thousands of orders costs what its contested part costs.
"""

from __future__ import annotations

import numpy as np

from exchange.clearing.highs import INFINITY, WarmModel
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.order_columns import per_lot_of
from exchange.clearing.problem import TIE, ClearingError
from exchange.clearing.program_orders import ProgramOrders
from security_check.arrays import BoolArray, FloatArray, IntArray

_MOST_ROUNDS = 100_000  # solves in which rows enter: a limit against endless loops, never reached
_SPARE = 100  # columns kept without need, beyond four for each row: a reload costs more
_OVERFULL = 1e-9  # lots by which a row may be overfull: the solver's feasibility tolerance


class RestrictedProgram:
    """The program with some columns and rows, in the solver.

    Parameters
    ----------
    orders
        The open orders; read only.
    rows
        The lot rows.
    reserve
        ``None`` with balance rows; otherwise the price, in ticks, at which watts are issued and
        retired instead.

    Attributes
    ----------
    orders
        As above.
    rows
        The lot rows in force; the solver gets them at the next :meth:`refresh`.
    balances
        The number of balance rows.
    balance, eta
        The last duals, which say what may take part: shape (groups,) and shape (m,), in ticks.
    worth
        Shape (variables,), what a unit of each variable adds to the objective, in tick-lots.
    """

    def __init__(self, orders: ProgramOrders, rows: LotRows, reserve: int | None) -> None:
        self.orders = orders
        groups = len(orders.prices)
        self._member = (orders.groups == np.arange(groups)[:, None]).astype(np.float64)
        self._reserve = float(reserve or 0)
        self.balances = groups if reserve is None else 0
        self.balance = np.full(groups, self._reserve)
        self.rows = self._loaded_rows = rows
        self.eta = np.zeros(len(rows.h))
        none = np.zeros(0, dtype=np.int64)
        # The column of each variable, and the variable of each column, -1 where there is none.
        self._columns, self._variable = none, none
        self._load(none, none)

    # -- what is loaded ---------------------------------------------------------------------------

    @property
    def columns(self) -> IntArray:
        """The column of each variable of the solver; -1 for columns that are gone."""
        return self._columns

    def lacks(self, columns: BoolArray) -> IntArray:
        """Return which of some columns, shape (columns,), are not loaded."""
        return np.flatnonzero(columns & (self._variable < 0))

    def balance_rows(self) -> FloatArray:
        """Return the coefficients of the balance rows, shape (balances, n)."""
        member: FloatArray = self._member[: self.balances]
        return member

    def forget(self, column: int) -> None:
        """Forget a column that is free now and may be used for other orders later."""
        if column < len(self._variable) and self._variable[column] >= 0:
            self._columns[self._variable[column]] = -1
            self._variable[column] = -1

    def refresh(self) -> None:
        """Load the rows in force, make room for new columns, and drop those without need."""
        self._follow_rows()
        grown = self.orders.size - len(self._variable)
        if grown:
            self._variable = np.concatenate([self._variable, np.full(grown, -1, dtype=np.int64)])
        if len(self._columns) > _SPARE + 4 * len(self._program_rows):
            known = self._columns >= 0
            surplus = self.orders.surplus(self.local(self.balance, self.eta))
            kept = known & (surplus[self._columns] > -TIE)
            if 2 * np.count_nonzero(kept) < len(kept):
                needed = self.eta[self._program_rows] > 0.0
                self._reload(kept, self._program_rows[needed], needed)

    def _follow_rows(self) -> None:
        """Load the rows in force, if their coefficients have changed."""
        before, rows = self._loaded_rows, self.rows
        self._loaded_rows = rows
        if rows.has_coefficients_of(before):
            return
        self.eta = rows.carried_over(self.eta, before)
        # One plus the place of each loaded row among the program rows, 0 for rows not loaded,
        # carried over like prices to where the row stands now.
        numbers = np.zeros(len(before.h))
        numbers[self._program_rows] = 1.0 + np.arange(len(self._program_rows))
        numbers = rows.carried_over(numbers, before)
        stay = np.flatnonzero(numbers)
        stay = stay[np.argsort(numbers[stay])]
        kept = np.zeros(len(self._program_rows), dtype=bool)
        kept[numbers[stay].astype(np.int64) - 1] = True
        self._reload(self._columns >= 0, stay, kept)

    def _load(self, columns: IntArray, rows: IntArray) -> None:
        self._model = WarmModel(np.zeros(self.balances), np.zeros(self.balances))
        self._per_limit = self.balance_rows()
        self._program_rows = np.zeros(0, dtype=np.int64)
        self._columns = np.zeros(0, dtype=np.int64)
        self._variable = np.full(self.orders.size, -1, dtype=np.int64)
        self.worth = np.zeros(0)
        self._enter_rows(rows)
        self.enter(columns)

    def _reload(self, columns: BoolArray, rows: IntArray, kept: BoolArray) -> None:
        """Load a new solver with some of the columns of this one, some rows, and its basis.

        ``kept``, shape (program rows,), says which program rows these are, in their order.
        """
        before = self._model
        self._load(self._columns[columns], rows)
        balances = np.ones(self.balances, dtype=bool)
        self._model.start_like(before, columns, np.concatenate([balances, kept]))

    def enter(self, columns: IntArray) -> None:
        """Load columns."""
        if not len(columns):
            return
        worth = self._worth_of(columns)
        self._model.add(worth, self.orders.coefficients(columns, per_lot_of(self._per_limit)))
        self._variable[columns] = len(self._columns) + np.arange(len(columns))
        self._columns = np.concatenate([self._columns, columns])
        self.worth = np.concatenate([self.worth, worth])

    def _enter_rows(self, rows: IntArray) -> None:
        if not len(rows):
            return
        a = self.rows.of_rows(rows)
        # Columns that are gone are fixed at 0: their coefficients do not matter.
        coefficients = np.zeros((len(rows), len(self._columns)))
        known = self._columns >= 0
        coefficients[:, known] = self.orders.coefficients(self._columns[known], per_lot_of(a))
        self._model.add_rows(self.rows.h[rows], coefficients)
        self._program_rows = np.concatenate([self._program_rows, rows])
        self._per_limit = np.concatenate([self._per_limit, a])

    def _worth_of(self, columns: IntArray) -> FloatArray:
        """Return what a unit of each column adds to the objective, in tick-lots."""
        worth: FloatArray = self.orders.value(columns)
        if self._reserve:
            paid = per_lot_of(np.full((1, len(self.orders.groups)), self._reserve))
            worth = worth - self.orders.coefficients(columns, paid)[0]
        return worth

    # -- solving ----------------------------------------------------------------------------------

    def run(
        self,
        objective: FloatArray,
        lower: FloatArray | IntArray,
        upper: FloatArray | IntArray,
        h: FloatArray,
        tight: BoolArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the solver's values and duals once all rows hold, loaded or not.

        Parameters
        ----------
        objective
            Shape (variables,), what a unit of each counts.
        lower, upper
            Shape (columns,), bounds in units.
        h
            Shape (m,), >= 0, in lots.
        tight
            Shape (m,), which rows must hold with equality; all of these are loaded.

        Raises
        ------
        ClearingError
            When the solver is not sure of an optimum.
        """
        known = self._columns >= 0  # those that are gone are fixed at 0
        self._model.set_value(objective)
        self._model.set_bounds(
            np.where(known, lower[self._columns], 0).astype(np.float64),
            np.where(known, upper[self._columns], 0).astype(np.float64),
        )
        for _ in range(_MOST_ROUNDS):
            row_upper = np.concatenate([np.zeros(self.balances), h[self._program_rows]])
            row_lower = np.zeros(len(row_upper))
            free = np.ones(len(h), dtype=bool) if tight is None else ~tight
            row_lower[self.balances :] = np.where(
                free[self._program_rows], -INFINITY, h[self._program_rows]
            )
            self._model.set_row_bounds(row_lower, row_upper)
            values, duals = self._model.solve()
            moved = np.flatnonzero((values != 0.0) & known)
            change = self.orders.change(self._columns[moved], values[moved])
            over = self.rows.loads(change) > h + _OVERFULL
            over[self._program_rows] = False
            if not over.any():
                return values, duals
            self._enter_rows(np.flatnonzero(over))
        raise ClearingError(f"rows still enter after {_MOST_ROUNDS} rounds")

    def units(self, values: FloatArray) -> FloatArray:
        """Return the units of all columns, shape (columns,), from the solver's values."""
        known = self._columns >= 0
        units = np.zeros(self.orders.size)
        units[self._columns[known]] = values[known]
        return units

    def eta_of(self, duals: FloatArray) -> FloatArray:
        """Return the prices of all lot rows, shape (m,), from the solver's duals."""
        eta = np.zeros(len(self.rows.h))
        eta[self._program_rows] = np.maximum(duals[self.balances :], 0.0)
        return eta

    def local(self, balance: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the local prices, shape (n,), in ticks, of some duals."""
        local: FloatArray = balance[self.orders.groups] + self.rows.prices(eta)
        return local
