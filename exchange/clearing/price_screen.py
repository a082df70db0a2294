"""Tier 1: the local prices of the last optimum prove, mostly, that nothing can be gained.

Two proofs, each enough, neither of which ever changes a result.

*Settled.*  The last program left nothing to trade.  Since then came only orders strictly worse
than their local price, and went only orders that the linear optimum leaves empty.  By
complementary slackness the former are empty at every optimum of the new program, so the optimum
that serves older orders first is the same, and it still leaves no whole lot to trade.  Where
orders were left out because they do not fit (:mod:`exchange.clearing.unfillable`), the same must
be true of the
programs without them, what came must free too little to make them fit, and nothing may have gone
that the others need to fit.

*Out of reach.*  For any duals, by weak duality, no set of trades gains more than

    sum_k eta_k h_k + sum_o r_o max(0, s_o (p_o - local_o)).

Prices are integers and so are lots: a set that gains nothing but trades (at equal prices) gains at
least half a tick-lot once every lot traded counts half a tick more.  While the bound, with half a
tick more for every order, stays below that, there is no such set.
"""

from __future__ import annotations

import numpy as np

from exchange.clearing.lot_rows import LotRows
from exchange.clearing.order_columns import ProgramOrders
from exchange.clearing.problem import TIE
from exchange.clearing.unfillable import ExcludedOrders
from orderbook.order import Side
from security_check.arrays import FloatArray

_HALF = 0.5  # ticks that every lot counts more
_NOTHING = 0.499  # tick-lots: below a half by more than sums of floats can err


class PriceScreen:
    """Knows without solving that there is nothing to trade, or does not know.

    Parameters
    ----------
    orders
        The open orders; read only.
    rows
        Rows, with the headrooms in force.
    reserve_price_ticks
        Lambda of every direction where watts are issued and retired at it; where directions
        balance instead, any lambda proves a bound, and this is the first.
    """

    __slots__ = ("_balance", "_beaten", "_eta", "_filled", "_left_out", "_orders", "_price_of_rows",
                 "_reach", "_rows", "_settled", "_surplus_sum", "local")  # fmt: skip

    def __init__(self, orders: ProgramOrders, rows: LotRows, reserve_price_ticks: int) -> None:
        self._orders = orders
        balance = np.full(len(orders.prices), float(reserve_price_ticks))
        self.certify(rows, balance, np.zeros(len(rows.h)), frozenset(), settled=False)

    def certify(
        self,
        rows: LotRows,
        balance: FloatArray,
        eta: FloatArray,
        filled: frozenset[int],
        *,
        settled: bool,
        surplus: float | None = None,
        left_out: ExcludedOrders | None = None,
    ) -> None:
        """Take up the duals of the program as it stands now.  O(rows n); without eta, O(n).

        Parameters
        ----------
        rows
            With the headrooms in force.
        balance, eta
            lambda and eta, as in :class:`exchange.clearing.linear_program.LpSolution`.
        filled
            Columns that its linear optimum trades, if only in fractions.
        settled
            Whether nothing is left to trade.
        surplus
            What all orders together gain at local prices, in tick-lots, where it is known.
        left_out
            Which orders do not fit, where that was looked at.
        """
        self._rows = rows
        self._balance, self._eta = balance, eta
        self._filled = filled if left_out is None else filled | left_out.traded
        self._settled, self._left_out = settled, left_out
        self._reprice()
        self._surplus_sum: float | None = surplus

    def _reprice(self) -> None:
        priced = np.flatnonzero(self._eta)
        self.local: FloatArray = self._balance[self._orders.groups]
        self._price_of_rows = 0.0
        if len(priced):
            self.local = self.local + self._rows.prices(self._eta)
            self._price_of_rows = float(self._eta[priced] @ self._rows.h[priced])
        # Sums over all orders, made when they are asked for and kept up from then on.
        self._surplus_sum = None
        self._reach: float | None = None
        self._beaten = False

    def _sum_up(self, more: float) -> float:
        """Return what all orders gain at local prices, each lot so many ticks more.  O(columns)."""
        orders = self._orders
        surplus = orders.surplus(self.local)
        if more:
            ticks = np.full(orders.size, more)
            for column in orders.conditions:
                ticks[column] *= orders.lots_of_unit(column)
            surplus += ticks
        return float(orders.units[: orders.size] @ np.maximum(surplus, 0.0))

    @property
    def nothing_to_solve(self) -> bool:
        """Whether it is proved that nothing can be traded."""
        if self._settled or self._beaten:
            return self._settled
        if self._reach is None:
            self._reach = self._sum_up(_HALF)
        return self._price_of_rows + self._reach < _NOTHING

    @property
    def settled(self) -> bool:
        """Whether the first proof stands; only orders as good as local prices break it."""
        return self._settled

    @property
    def leaves_out(self) -> bool:
        """Whether nothing trades only because some orders do not fit."""
        return self._left_out is not None and bool(self._left_out.proofs)

    @property
    def bound(self) -> float:
        """What no set of trades exceeds, in tick-lots."""
        if self._surplus_sum is None:
            self._surplus_sum = self._sum_up(0.0)
        return self._price_of_rows + max(self._surplus_sum, 0.0)

    @property
    def duals(self) -> tuple[FloatArray, FloatArray]:
        """Lambda and eta of the last optimum."""
        return self._balance, self._eta

    def added(self, column: int, units: int) -> None:
        """Note that units came into a column.  O(legs)."""
        surplus = self._weigh(column, units)
        if surplus > -TIE * self._orders.lots_of_unit(column):
            # With half a tick more, this order alone is out of what the second proof reaches.
            self._settled, self._beaten = False, True
        elif self._settled and self._left_out is not None:
            self._settled = self._left_out.added(self._orders, column, units)

    def removing(self, column: int, units: int) -> None:
        """Note that units are about to leave a column.  O(legs)."""
        self._weigh(column, -units)
        self._beaten = False
        needed = 0 if self._left_out is None else self._left_out.witnesses.get(column, 0)
        if column in self._filled or self._orders.units[column] - units < needed:
            self._settled = False

    def _weigh(self, column: int, units: int) -> float:
        surplus = self._orders.surplus_of(column, self.local)
        if self._surplus_sum is not None:
            self._surplus_sum += units * max(surplus, 0.0)
        if self._reach is not None:
            lots = self._orders.lots_of_unit(column)
            self._reach += units * max(surplus + _HALF * lots, 0.0)
        return surplus

    def rows_changed(self, rows: LotRows) -> None:
        """Note that headrooms or coefficients have changed.  O(columns + rows n).

        Any eta >= 0 proves a bound; these are kept as far as rows stand where they stood.
        Without any, this is O(n): the best price of each side stands for all.
        """
        self._eta = rows.carried_over(self._eta, self._rows)
        self._rows = rows
        self._left_out = None
        self._reprice()
        # Trading nothing is the only optimum at these duals, whatever was before.
        self._settled = self._price_of_rows == 0.0 and self._all_worse()
        if self._settled:
            self._surplus_sum = 0.0
        self._filled = frozenset()

    def _all_worse(self) -> bool:
        """Return whether every order is worse than its local price."""
        orders = self._orders
        if self._eta.any():
            live = orders.units[: orders.size] > 0
            return bool((orders.surplus(self.local)[live] < -TIE).all())
        for balance, sides in zip(self._balance.tolist(), orders.prices, strict=True):
            bids, asks = sides[Side.BUY], sides[Side.SELL]
            if bids and bids.peekitem(-1)[0] >= balance - TIE:
                return False
            if asks and asks.peekitem(0)[0] <= balance + TIE:
                return False
        return all(orders.surplus_of(column, self.local) < -TIE for column in orders.conditions)
