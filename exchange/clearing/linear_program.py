"""Tier 3: the linear program, kept in the solver from event to event.

Only columns and rows that can take part are in the solver.  All other columns are priced out with
the duals it returns and enter when they are as good as their local price; all other rows are
looked at with the quantities it returns and enter when they do not hold.  So its optimum is that
of the program with all columns and rows, and a book of thousands of orders costs what its
contested part costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exchange.clearing.highs import INFINITY, WarmModel
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.order_columns import PerLot, ProgramOrders, per_lot_of
from exchange.clearing.problem import TIE, ClearingError
from security_check.arrays import BoolArray, FloatArray, IntArray

_WHOLE = 1e-7  # lots by which a quantity must differ from a bound to count as off it
_ENTRANTS = 40  # columns that enter at once, the best; early prices let far too many look good
_ROUNDS = 100_000  # each but the last takes in a column or a row
_SPARE = 100  # columns that stay in the solver without need, beyond four for each row
_NONE = np.zeros(0)
_FREED = 1e-9  # units of a column that a unit of another must free to count
_FULL = 1e-9  # lots by which a row may be overfull: the solver's own tolerance


@dataclass(frozen=True, slots=True)
class LpSolution:
    """An optimum in fractions of lots, and duals that prove it.

    Parameters
    ----------
    units
        Shape (columns,).
    balance
        Shape (groups,), lambda in ticks, in the middle of all that prove the optimum.
    eta
        Shape (m,), >= 0, duals of the scaled rows, in ticks.
    local
        Shape (n,), local prices in ticks.
    surplus
        Shape (columns,), what a unit gains at local prices, in tick-lots.
    gain
        Objective, in tick-lots; watts issued are paid for at the reserve price.
    """

    units: FloatArray
    balance: FloatArray
    eta: FloatArray
    local: FloatArray
    surplus: FloatArray
    gain: float


@dataclass(frozen=True, slots=True)
class MaxFill:
    """How many units of some columns can trade, with shape (columns,) units that show it.

    Where these are not enough, shape (n,) prices ``local`` prove that there are no more: what the
    others free is worth no more units than that.
    """

    count: float
    units: FloatArray
    local: FloatArray


class LinearProgram:
    """The program of the open orders, without conditions and in fractions of lots.

    Parameters
    ----------
    orders
        The open orders; read only.
    rows
        The rows they share.
    reserve
        ``None`` with balance rows; otherwise the price, in ticks, at which watts are issued and
        retired instead.
    """

    def __init__(self, orders: ProgramOrders, rows: LotRows, reserve: int | None) -> None:
        self._orders = orders
        groups = len(orders.prices)
        self._member = (orders.groups == np.arange(groups)[:, None]).astype(np.float64)
        self._reserve = float(reserve or 0)
        self._balances = groups if reserve is None else 0
        self._balance = np.full(groups, self._reserve)
        self._rows = self._loaded = rows
        self._eta = np.zeros(len(rows.h))
        none = np.zeros(0, dtype=np.int64)
        self._load(none, none)

    # -- what is in the solver ----------------------------------------------------------------

    def replace_rows(self, rows: LotRows) -> None:
        """Replace the rows; columns and rows in the solver and its basis stay.

        The solver hears of it when it is asked again: most trades need none.
        """
        self._rows = rows

    def _follow_rows(self) -> None:
        """Give the solver the rows that hold now, if their coefficients have changed."""
        before, rows = self._loaded, self._rows
        self._loaded = rows
        if rows.has_coefficients_of(before):
            return
        self._eta = rows.carried_over(self._eta, before)
        # The number of each row inside, plus one, where it stands now; 0 for those outside.
        numbers = np.zeros(len(before.h))
        numbers[self._inside] = 1.0 + np.arange(len(self._inside))
        numbers = rows.carried_over(numbers, before)
        stay = np.flatnonzero(numbers)
        stay = stay[np.argsort(numbers[stay])]
        kept = np.zeros(len(self._inside), dtype=bool)
        kept[numbers[stay].astype(np.int64) - 1] = True
        self._reload(self._columns >= 0, stay, kept)

    def forget(self, column: int) -> None:
        """Forget a column that is free now and may come back as another."""
        if column < len(self._where) and self._where[column] >= 0:
            self._columns[self._where[column]] = -1
            self._where[column] = -1

    def _load(self, columns: IntArray, rows: IntArray) -> None:
        self._model = WarmModel(np.zeros(self._balances), np.zeros(self._balances))
        self._per_limit = self._member[: self._balances]
        self._inside = np.zeros(0, dtype=np.int64)
        self._columns = np.zeros(0, dtype=np.int64)
        self._values = np.zeros(0)
        self._where = np.full(self._orders.size, -1, dtype=np.int64)
        self._enter_rows(rows)
        self._enter(columns)

    def _reload(self, columns: BoolArray, rows: IntArray, kept: BoolArray) -> None:
        """Load a new solver with some of the columns of this one, some rows, and its basis.

        ``kept``, shape (rows inside,), says which rows of this one these are, in its order.
        """
        before = self._model
        self._load(self._columns[columns], rows)
        balances = np.ones(self._balances, dtype=bool)
        self._model.start_like(before, columns, np.concatenate([balances, kept]))

    def _enter(self, columns: IntArray) -> None:
        if not len(columns):
            return
        values = self._worth(columns)
        self._model.add(values, self._orders.coefficients(columns, per_lot_of(self._per_limit)))
        self._where[columns] = len(self._columns) + np.arange(len(columns))
        self._columns = np.concatenate([self._columns, columns])
        self._values = np.concatenate([self._values, values])

    def _enter_rows(self, rows: IntArray) -> None:
        if not len(rows):
            return
        a = self._rows.of_rows(rows)
        # Columns forgotten are fixed at 0: what they would change does not matter.
        coefficients = np.zeros((len(rows), len(self._columns)))
        known = self._columns >= 0
        coefficients[:, known] = self._orders.coefficients(self._columns[known], per_lot_of(a))
        self._model.add_rows(self._rows.h[rows], coefficients)
        self._inside = np.concatenate([self._inside, rows])
        self._per_limit = np.concatenate([self._per_limit, a])

    def _worth(self, columns: IntArray) -> FloatArray:
        """Return what a unit of each column adds to the objective, in tick-lots."""
        worth: FloatArray = self._orders.value(columns)
        if self._reserve:
            paid = per_lot_of(np.full((1, len(self._orders.groups)), self._reserve))
            worth = worth - self._orders.coefficients(columns, paid)[0]
        return worth

    def _tidy(self) -> None:
        """Make room for new columns, and empty the solver of what no longer takes part."""
        grown = self._orders.size - len(self._where)
        if grown:
            self._where = np.concatenate([self._where, np.full(grown, -1, dtype=np.int64)])
        if len(self._columns) > _SPARE + 4 * len(self._inside):
            known = self._columns >= 0
            surplus = self._orders.surplus(self._local(self._balance, self._eta))
            kept = known & (surplus[self._columns] > -TIE)
            if 2 * np.count_nonzero(kept) < len(kept):
                needed = self._eta[self._inside] > 0.0
                self._reload(kept, self._inside[needed], needed)

    # -- solving ------------------------------------------------------------------------------

    def solve(self, lower: IntArray, upper: IntArray, h: FloatArray) -> LpSolution:
        """Solve for units between bounds and headrooms of the rows.

        Parameters
        ----------
        lower, upper
            Shape (columns,), in units; lower is 0 but for conditional orders decided upon.
        h
            Shape (m,), >= 0, in lots.

        Raises
        ------
        ClearingError
            When the solver is not sure of an optimum.
        """
        self._follow_rows()
        self._tidy()
        open_ = upper > 0
        surplus = self._orders.surplus(self._local(self._balance, self._eta))
        # What is decided upon may need counterparts that no price tells of: then all take part.
        decided = bool(lower.any())
        missing = np.flatnonzero(((surplus > -TIE) | decided) & open_ & (self._where < 0))
        for _ in range(_ROUNDS):
            if not decided and len(missing) > _ENTRANTS:
                missing = missing[np.argsort(-surplus[missing], kind="stable")[:_ENTRANTS]]
            self._enter(missing)
            self._model.set_value(self._values)
            self._model.set_bounds(*self._bounds(lower, upper))
            values, duals = self._run(h, None)
            relaxed = self._priced(values, duals, lower, upper)
            surplus = relaxed.surplus
            missing = np.flatnonzero((surplus > -TIE) & open_ & (self._where < 0))
            if not len(missing):
                self._balance, self._eta = relaxed.balance, relaxed.eta
                return relaxed
        raise ClearingError(f"{_ROUNDS} rounds of pricing do not end")

    def _run(self, h: FloatArray, tight: BoolArray | None) -> tuple[FloatArray, FloatArray]:
        """Return what the solver finds once all rows hold that it does not know of.

        ``tight``, shape (m,), says which rows must hold with equality; all of these are inside.
        """
        for _ in range(_ROUNDS):
            upper = np.concatenate([np.zeros(self._balances), h[self._inside]])
            lower = np.zeros(len(upper))
            free = np.ones(len(h), dtype=bool) if tight is None else ~tight
            lower[self._balances :] = np.where(free[self._inside], -INFINITY, h[self._inside])
            self._model.set_row_bounds(lower, upper)
            values, duals = self._model.solve()
            moved = np.flatnonzero((values != 0.0) & (self._columns >= 0))
            change = self._orders.change(self._columns[moved], values[moved])
            over = self._rows.loads(change) > h + _FULL
            over[self._inside] = False
            if not over.any():
                return values, duals
            self._enter_rows(np.flatnonzero(over))
        raise ClearingError(f"{_ROUNDS} rounds of rows do not end")

    def _bounds(self, lower: IntArray, upper: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return bounds of the solver's variables; columns forgotten are fixed at 0."""
        known = self._columns >= 0
        low = np.where(known, lower[self._columns], 0).astype(np.float64)
        return low, np.where(known, upper[self._columns], 0).astype(np.float64)

    def _spread(self, values: FloatArray) -> FloatArray:
        """Return the units of all columns from the values of the solver's variables."""
        known = self._columns >= 0
        units = np.zeros(self._orders.size)
        units[self._columns[known]] = values[known]
        return units

    def _local(self, balance: FloatArray, eta: FloatArray) -> FloatArray:
        local: FloatArray = balance[self._orders.groups] + self._rows.prices(eta)
        return local

    def _eta_of(self, duals: FloatArray) -> FloatArray:
        """Return the prices of all rows, shape (m,), from the duals of those in the solver."""
        eta = np.zeros(len(self._rows.h))
        eta[self._inside] = np.maximum(duals[self._balances :], 0.0)
        return eta

    def _priced(
        self, values: FloatArray, duals: FloatArray, lower: IntArray, upper: IntArray
    ) -> LpSolution:
        """Return an optimum of the solver with its prices, centred where they prove it."""
        units = self._spread(values)
        eta = self._eta_of(duals)
        balance = duals[: self._balances] if self._balances else self._balance
        gain = float(self._values @ values)
        return self._centred(LpSolution(units, balance, eta, _NONE, _NONE, gain), lower, upper)

    def _centred(self, relaxed: LpSolution, lower: IntArray, upper: IntArray) -> LpSolution:
        """Return an optimum with lambda in the middle of all that prove it.

        A column that could trade more holds its lambda off on one side, one that trades on the
        other.  In the middle the fewest orders are as good as their local price, so that the
        price screen lets most of what follows rest and few ties are left to time.
        """
        orders, size = self._orders, self._orders.size
        of_rows = self._rows.prices(relaxed.eta)
        units, balance = relaxed.units, relaxed.balance
        if self._balances:
            limit, buys = orders.limit[:size], orders.sign[:size] > 0
            net = orders.price[:size] - of_rows[limit]
            plain = (limit >= 0) & (upper > 0)
            more, some = units < upper - _WHOLE, units > _WHOLE
            low = np.full(self._balances, -np.inf)
            high = np.full(self._balances, np.inf)
            above = np.flatnonzero(plain & np.where(buys, more, some))
            below = np.flatnonzero(plain & np.where(buys, some, more))
            np.maximum.at(low, orders.groups[limit[above]], net[above])
            np.minimum.at(high, orders.groups[limit[below]], net[below])
            balance = np.array(
                [_middle(*ends) for ends in zip(low.tolist(), high.tolist(), balance, strict=True)]
            )
        local = balance[orders.groups] + of_rows
        surplus = orders.surplus(local)
        if self._balances and (orders.conditions or (low > high).any()):
            free = upper > lower
            wrong = ((surplus > TIE) & free & (units < upper - _WHOLE)) | (
                (surplus < -TIE) & free & (units > lower + _WHOLE)
            )
            if wrong.any():
                balance = relaxed.balance
                local = balance[orders.groups] + of_rows
                surplus = orders.surplus(local)
        return replace(relaxed, balance=balance, local=local, surplus=surplus)

    # -- what fits at most --------------------------------------------------------------------

    def most(self, targets: IntArray, upper: IntArray, h: FloatArray, enough: float) -> MaxFill:
        """Return how much of some columns can trade if nothing else matters, or that it is enough.

        Parameters
        ----------
        targets
            The columns.
        upper
            Shape (columns,), in units; what is not 0 there may trade, whatever it gains or loses.
        h
            Shape (m,), >= 0, in lots.
        enough
            Units from which on it does not matter how many there are.

        Raises
        ------
        ClearingError
            When the solver is not sure of an optimum.
        """
        self._follow_rows()
        self._tidy()
        counted = np.zeros(self._orders.size)
        counted[targets] = 1.0
        missing = targets[(upper[targets] > 0) & (self._where[targets] < 0)]
        none = np.zeros_like(upper)
        for _ in range(_ROUNDS):
            self._enter(missing)
            known = self._columns >= 0
            self._model.set_value(np.where(known, counted[self._columns], 0.0))
            self._model.set_bounds(*self._bounds(none, upper))
            values, duals = self._run(h, None)
            units = self._spread(values)
            local = self._rows.prices(self._eta_of(duals))
            if self._balances:
                local = local + duals[: self._balances][self._orders.groups]
            most = MaxFill(float(units[targets].sum()), units, local)
            freed = counted - self._orders.costs(local)
            missing = np.flatnonzero((freed > _FREED) & (upper > 0) & (self._where < 0))
            if not len(missing) or most.count >= enough:
                return most
            missing = missing[np.argsort(-freed[missing], kind="stable")[:_ENTRANTS]]
        raise ClearingError(f"{_ROUNDS} rounds of pricing do not end")

    # -- the optimal face ---------------------------------------------------------------------

    def tight_rows(self, relaxed: LpSolution) -> PerLot:
        """Return the coefficients of all rows that hold with equality at every optimum.

        Balances, and rows whose dual is positive.
        """
        tight = self._rows.of_rows(np.flatnonzero(relaxed.eta > TIE))
        return per_lot_of(np.concatenate([self._member[: self._balances], tight]))

    def most_of(
        self, column: int, lower: FloatArray, upper: FloatArray, h: FloatArray, relaxed: LpSolution
    ) -> FloatArray:
        """Return units that trade as much of one column as any optimum within bounds does.

        Parameters
        ----------
        column
            The column.
        lower, upper
            Shape (columns,), in units; equal for columns that no other optimum changes.
        h
            As in :meth:`solve`.
        relaxed
            The optimum whose duals say which rows hold with equality.
        """
        known = self._columns >= 0
        low = np.where(known, lower[self._columns], 0.0)
        high = np.where(known, upper[self._columns], 0.0)
        self._model.set_bounds(low, high)
        self._model.set_value((self._columns == column).astype(np.float64))
        return self._spread(self._run(h, relaxed.eta > TIE)[0])


def _middle(low: float, high: float, otherwise: float) -> float:
    """Return the middle of an interval; near its end where it has only one."""
    if low == -np.inf and high == np.inf:
        return otherwise
    if low == -np.inf:
        return high - 0.5
    if high == np.inf:
        return low + 0.5
    return (low + high) / 2.0
