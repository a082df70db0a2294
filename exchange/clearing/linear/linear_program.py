"""The linear program: the optimum in fractions of lots, without conditions, and its duals.

Columns enter the solver when the duals of those that are in it say that they may take part
(:mod:`exchange.clearing.linear.restricted_program`), until none is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exchange.clearing.linear.restricted_program import RestrictedProgram
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.order_columns import PerLot, per_lot_of
from exchange.clearing.problem import TIE, ClearingError
from exchange.clearing.program_orders import ProgramOrders
from security_check.arrays import BoolArray, FloatArray, IntArray

_OFF_BOUND = 1e-7  # units by which a quantity must miss a bound to be off it: solvers err by 1e-9
_ENTRANTS = 40  # columns that enter at once, the best: early prices let far too many look good
_MOST_ROUNDS = 100_000  # of pricing: a limit against endless loops, never reached
_FREED = 1e-9  # units of a column that a unit of another must free to count: the solver's tolerance
_NONE = np.zeros(0)  # prices not computed yet


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
        Shape (m,), >= 0, duals of the lot rows, in ticks.
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
    """The most units of some columns that can trade, at any gain or loss of others.

    Parameters
    ----------
    count
        Units of these columns together.
    units
        Shape (columns,), a set of trades that reaches it.
    local
        Shape (n,), prices in units of these columns per lot; where the count is not enough they
        prove that no more can trade: the other orders free no more than they pay at these prices.
    """

    count: float
    units: FloatArray
    local: FloatArray


class LinearProgram:
    """The program of the open orders, without conditions and in fractions of lots.

    Parameters are those of :class:`~exchange.clearing.linear.restricted_program.RestrictedProgram`.
    """

    def __init__(self, orders: ProgramOrders, rows: LotRows, reserve: int | None) -> None:
        self._orders = orders
        self._loaded = RestrictedProgram(orders, rows, reserve)

    def replace_rows(self, rows: LotRows) -> None:
        """Replace the rows; the next solution starts warm."""
        self._loaded.rows = rows

    def forget(self, column: int) -> None:
        """Forget a column that is free now and may be used for other orders later."""
        self._loaded.forget(column)

    # -- the optimum ------------------------------------------------------------------------------

    def solve(self, lower: IntArray, upper: IntArray, h: FloatArray) -> LpSolution:
        """Solve for units between bounds and headrooms of the rows.

        Parameters
        ----------
        lower, upper
            Shape (columns,), in units; lower is 0 but for conditional orders already chosen.
        h
            Shape (m,), >= 0, in lots.

        Raises
        ------
        ClearingError
            When the solver is not sure of an optimum.
        """
        loaded = self._loaded
        loaded.refresh()
        is_open = upper > 0
        surplus = self._orders.surplus(loaded.local(loaded.balance, loaded.eta))
        # Chosen orders may need counterparts at any price: then all columns enter.
        chosen = bool(lower.any())
        missing = loaded.lacks(is_open & ((surplus > -TIE) | chosen))
        for _ in range(_MOST_ROUNDS):
            if not chosen and len(missing) > _ENTRANTS:
                missing = missing[np.argsort(-surplus[missing], kind="stable")[:_ENTRANTS]]
            loaded.enter(missing)
            values, duals = loaded.run(loaded.worth, lower, upper, h)
            relaxed = self._priced(values, duals, lower, upper)
            surplus = relaxed.surplus
            missing = loaded.lacks(is_open & (surplus > -TIE))
            if not len(missing):
                loaded.balance, loaded.eta = relaxed.balance, relaxed.eta
                return relaxed
        raise ClearingError(f"columns still enter after {_MOST_ROUNDS} rounds")

    def _priced(
        self, values: FloatArray, duals: FloatArray, lower: IntArray, upper: IntArray
    ) -> LpSolution:
        """Return an optimum of the solver with its prices, centred where they prove it."""
        loaded = self._loaded
        balance = duals[: loaded.balances] if loaded.balances else loaded.balance
        relaxed = LpSolution(
            units=loaded.units(values),
            balance=balance,
            eta=loaded.eta_of(duals),
            local=_NONE,
            surplus=_NONE,
            gain=float(loaded.worth @ values),
        )
        return self._centred(relaxed, lower, upper)

    def _centred(self, relaxed: LpSolution, lower: IntArray, upper: IntArray) -> LpSolution:
        """Return an optimum with lambda in the middle of all that prove it.

        A column that could trade more bounds lambda on one side, one that trades on the other.  In
        the middle the fewest orders are as good as their local price: the price screen needs no
        program for most of the orders that follow, and few ties are left to time.
        """
        orders = self._orders
        of_rows = self._loaded.rows.prices(relaxed.eta)
        if not self._loaded.balances:
            return self._at(relaxed, relaxed.balance, of_rows)
        low, high = self._ends(relaxed.units, upper, of_rows)
        ends = zip(low.tolist(), high.tolist(), relaxed.balance, strict=True)
        centred = self._at(relaxed, np.array([_middle(*each) for each in ends]), of_rows)
        if orders.conditions or (low > high).any():
            units, surplus = relaxed.units, centred.surplus
            free = upper > lower
            wrong = ((surplus > TIE) & free & (units < upper - _OFF_BOUND)) | (
                (surplus < -TIE) & free & (units > lower + _OFF_BOUND)
            )
            if wrong.any():
                return self._at(relaxed, relaxed.balance, of_rows)
        return centred

    def _at(self, relaxed: LpSolution, balance: FloatArray, of_rows: FloatArray) -> LpSolution:
        """Return an optimum with the local prices of some lambda."""
        local = balance[self._orders.groups] + of_rows
        return replace(relaxed, balance=balance, local=local, surplus=self._orders.surplus(local))

    def _ends(
        self, units: FloatArray, upper: IntArray, of_rows: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the bounds that plain columns set to lambda, shape (groups,) each, in ticks."""
        orders, size = self._orders, self._orders.size
        limit, buys = orders.limit[:size], orders.sign[:size] > 0
        net = orders.price[:size] - of_rows[limit]
        plain = (limit >= 0) & (upper > 0)
        more, some = units < upper - _OFF_BOUND, units > _OFF_BOUND
        low = np.full(self._loaded.balances, -np.inf)
        high = np.full(self._loaded.balances, np.inf)
        above = np.flatnonzero(plain & np.where(buys, more, some))
        below = np.flatnonzero(plain & np.where(buys, some, more))
        np.maximum.at(low, orders.groups[limit[above]], net[above])
        np.minimum.at(high, orders.groups[limit[below]], net[below])
        return low, high

    # -- the most that fits -----------------------------------------------------------------------

    def most(self, targets: IntArray, upper: IntArray, h: FloatArray, enough: float) -> MaxFill:
        """Return the most units of some columns that can trade, or a set of trades with enough.

        Parameters
        ----------
        targets
            The columns.
        upper
            Shape (columns,), in units; columns that are not 0 there may trade at any gain or loss.
        h
            Shape (m,), >= 0, in lots.
        enough
            Units at which the search may stop.

        Raises
        ------
        ClearingError
            When the solver is not sure of an optimum.
        """
        loaded = self._loaded
        loaded.refresh()
        counted = np.zeros(self._orders.size)
        counted[targets] = 1.0
        missing = loaded.lacks((counted > 0.0) & (upper > 0))
        none = np.zeros_like(upper)
        for _ in range(_MOST_ROUNDS):
            loaded.enter(missing)
            known = loaded.columns >= 0
            objective = np.where(known, counted[loaded.columns], 0.0)
            values, duals = loaded.run(objective, none, upper, h)
            units = loaded.units(values)
            local = loaded.rows.prices(loaded.eta_of(duals))
            if loaded.balances:
                local = local + duals[: loaded.balances][self._orders.groups]
            most = MaxFill(float(units[targets].sum()), units, local)
            freed = counted - self._orders.costs(local)
            missing = loaded.lacks((freed > _FREED) & (upper > 0))
            if not len(missing) or most.count >= enough:
                return most
            missing = missing[np.argsort(-freed[missing], kind="stable")[:_ENTRANTS]]
        raise ClearingError(f"columns still enter after {_MOST_ROUNDS} rounds")

    # -- the optimal face -------------------------------------------------------------------------

    def tight_rows(self, relaxed: LpSolution) -> PerLot:
        """Return the coefficients of all rows that hold with equality at every optimum.

        These are balances, and rows whose dual is positive.
        """
        tight = self._loaded.rows.of_rows(np.flatnonzero(relaxed.eta > TIE))
        return per_lot_of(np.concatenate([self._loaded.balance_rows(), tight]))

    def most_of(
        self, column: int, lower: FloatArray, upper: FloatArray, h: FloatArray, relaxed: LpSolution
    ) -> FloatArray:
        """Return units of which one column has the most that any optimum within bounds gives it.

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
        objective = (self._loaded.columns == column).astype(np.float64)
        tight: BoolArray = relaxed.eta > TIE
        values, _ = self._loaded.run(objective, lower, upper, h, tight)
        return self._loaded.units(values)


def _middle(low: float, high: float, otherwise: float) -> float:
    """Return the middle of an interval, half a tick inside the end where it has only one."""
    if low == -np.inf and high == np.inf:
        return otherwise
    if low == -np.inf:
        return high - 0.5
    if high == np.inf:
        return low + 0.5
    return (low + high) / 2.0
