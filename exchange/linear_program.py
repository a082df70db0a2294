"""Tier 3: the linear program, kept in the solver from event to event.

Only columns that can take part are in the solver; all others are priced out with the duals it
returns, and enter when they are as good as their local price.  So its optimum is that of the
program with all columns, and a book of thousands of orders costs what its contested part costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.program import TIE, ClearingError, FloatArray, IntArray
from exchange.program_orders import ProgramOrders
from exchange.program_rows import LotRows
from exchange.solver import INFINITY, WarmModel

_WHOLE = 1e-7  # lots by which a quantity must differ from a bound to count as off it
_ENTRANTS = 200  # columns that enter at once, the best; early prices let far too many look good
_ROUNDS = 100_000  # of pricing; each but the last takes in a column
_SPARE = 300  # columns that stay in the solver without need, beyond four for each row


@dataclass(frozen=True, slots=True)
class Relaxed:
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
        self._rows = rows
        self._eta = np.zeros(len(rows.h))
        self._load(np.zeros(0, dtype=np.int64))

    # -- what is in the solver ----------------------------------------------------------------

    def replace_rows(self, rows: LotRows) -> None:
        """Replace the rows; the columns in the solver and its basis stay."""
        if np.array_equal(self._rows.a, rows.a):
            self._rows = rows
            return
        before, known = self._model, self._columns >= 0
        if len(rows.h) != len(self._rows.h):
            self._eta = np.zeros(len(rows.h))
        self._rows = rows
        self._load(self._columns[known])
        self._model.start_like(before, known)

    def forget(self, column: int) -> None:
        """Forget a column that is free now and may come back as another."""
        if column < len(self._where) and self._where[column] >= 0:
            self._columns[self._where[column]] = -1
            self._where[column] = -1

    def _load(self, columns: IntArray) -> None:
        self._per_limit = np.concatenate([self._member[: self._balances], self._rows.a])
        self._no_lower = np.concatenate(
            [np.zeros(self._balances), np.full(len(self._rows.h), -INFINITY)]
        )
        self._model = WarmModel(self._no_lower, self._row_upper(self._rows.h))
        self._columns = np.zeros(0, dtype=np.int64)
        self._values = np.zeros(0)
        self._where = np.full(self._orders.size, -1, dtype=np.int64)
        self._enter(columns)

    def _row_upper(self, h: FloatArray) -> FloatArray:
        return np.concatenate([np.zeros(self._balances), h])

    def _enter(self, columns: IntArray) -> None:
        if not len(columns):
            return
        values = self._worth(columns)
        self._model.add(values, self._orders.coefficients(columns, self._per_limit))
        self._where[columns] = len(self._columns) + np.arange(len(columns))
        self._columns = np.concatenate([self._columns, columns])
        self._values = np.concatenate([self._values, values])

    def _worth(self, columns: IntArray) -> FloatArray:
        """Return what a unit of each column adds to the objective, in tick-lots."""
        worth: FloatArray = self._orders.value()[columns]
        if self._reserve:
            paid = np.full((1, len(self._orders.groups)), self._reserve)
            worth = worth - self._orders.coefficients(columns, paid)[0]
        return worth

    def _tidy(self) -> None:
        """Make room for new columns, and empty the solver of what no longer takes part."""
        grown = self._orders.size - len(self._where)
        self._where = np.concatenate([self._where, np.full(grown, -1, dtype=np.int64)])
        if len(self._columns) > _SPARE + 4 * len(self._rows.h):
            known = self._columns[self._columns >= 0]
            surplus = self._orders.surplus(self._local(self._balance, self._eta))
            kept = known[surplus[known] > -TIE]
            if 2 * len(kept) < len(self._columns):
                self._load(kept)

    # -- solving ------------------------------------------------------------------------------

    def solve(self, lower: IntArray, upper: IntArray, h: FloatArray) -> Relaxed:
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
        self._tidy()
        open_ = upper > 0
        surplus = self._orders.surplus(self._local(self._balance, self._eta))
        # What is decided upon may need counterparts that no price tells of: then all take part.
        decided = bool(lower.any())
        wanted = (surplus > -TIE) | decided
        for _ in range(_ROUNDS):
            missing = np.flatnonzero(wanted & open_ & (self._where < 0))
            if not decided and len(missing) > _ENTRANTS:
                missing = missing[np.argsort(-surplus[missing], kind="stable")[:_ENTRANTS]]
            self._enter(missing)
            self._model.set_value(self._values)
            self._model.set_bounds(*self._bounds(lower, upper))
            self._model.set_row_bounds(self._no_lower, self._row_upper(h))
            relaxed = self._priced(*self._model.solve(), lower, upper)
            surplus = relaxed.surplus
            wanted = surplus > -TIE
            if not (wanted & open_ & (self._where < 0)).any():
                self._balance, self._eta = relaxed.balance, relaxed.eta
                return relaxed
        raise ClearingError(f"{_ROUNDS} rounds of pricing do not end")

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
        local: FloatArray = balance @ self._member + eta @ self._rows.a
        return local

    def _priced(
        self, values: FloatArray, duals: FloatArray, lower: IntArray, upper: IntArray
    ) -> Relaxed:
        """Return an optimum of the solver with its prices, centred where they prove it."""
        units = self._spread(values)
        eta = np.maximum(duals[self._balances :], 0.0)
        balance = duals[: self._balances] if self._balances else self._balance
        gain = float(self._values @ values)
        local = self._local(balance, eta)
        surplus = self._orders.surplus(local)
        if self._balances:
            centred = self._centred(units, upper, eta, balance)
            other = self._local(centred, eta)
            gained = self._orders.surplus(other)
            free = upper > lower
            wrong = ((gained > TIE) & free & (units < upper - _WHOLE)) | (
                (gained < -TIE) & free & (units > lower + _WHOLE)
            )
            if not wrong.any():
                balance, local, surplus = centred, other, gained
        return Relaxed(units, balance, eta, local, surplus, gain)

    def _centred(
        self, units: FloatArray, upper: IntArray, eta: FloatArray, balance: FloatArray
    ) -> FloatArray:
        """Return the middle of the lambdas that prove the optimum, given the rows' duals.

        A column that could trade more holds its lambda off on one side, one that trades on the
        other.  In the middle the fewest orders are as good as their local price, so that the
        price screen lets most of what follows rest and few ties are left to time.
        """
        size = self._orders.size
        limit, sign = self._orders.limit[:size], self._orders.sign[:size]
        net = self._orders.price[:size] - (eta @ self._rows.a)[limit]
        plain = (limit >= 0) & (upper > 0)
        more, some = units < upper - _WHOLE, units > _WHOLE
        above = plain & np.where(sign > 0, more, some)
        below = plain & np.where(sign > 0, some, more)
        group = self._orders.groups[limit]
        return np.array([
            _middle(
                net[above & (group == g)].max(initial=-np.inf),
                net[below & (group == g)].min(initial=np.inf),
                float(balance[g]),
            )
            for g in range(self._balances)
        ])  # fmt: skip

    # -- the optimal face ---------------------------------------------------------------------

    def tight_rows(self, relaxed: Relaxed) -> FloatArray:
        """Return the coefficients per limit of all rows that hold with equality at every optimum.

        Balances, and rows whose dual is positive; shape (rows, n).
        """
        tight = np.concatenate([np.ones(self._balances, dtype=bool), relaxed.eta > TIE])
        chosen: FloatArray = self._per_limit[tight]
        return chosen

    def most_of(
        self, column: int, lower: FloatArray, upper: FloatArray, h: FloatArray, relaxed: Relaxed
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
        row_upper = self._row_upper(h)
        tight = np.concatenate([np.zeros(self._balances, dtype=bool), relaxed.eta > TIE])
        self._model.set_bounds(low, high)
        self._model.set_row_bounds(np.where(tight, row_upper, self._no_lower), row_upper)
        self._model.set_value((self._columns == column).astype(np.float64))
        return self._spread(self._model.solve()[0])


def _middle(low: float, high: float, otherwise: float) -> float:
    """Return the middle of an interval; near its end where it has only one."""
    if low == -np.inf and high == np.inf:
        return otherwise
    if low == -np.inf:
        return high - 0.5
    if high == np.inf:
        return low + 0.5
    return (low + high) / 2.0
