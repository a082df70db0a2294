"""The price screen: local prices of the last optimum prove, for most events, that nothing trades.

There are two proofs; each is enough, and neither ever changes a result.

*Settled.*  The last program left nothing to trade.  Since then only orders strictly worse than
their local price have come, and only orders that the linear optimum leaves empty have gone.  By
complementary slackness the former are empty at every optimum of the new program, so the optimum
that serves older orders first is the same, and no whole lot follows from it.  If orders were left
out as unfillable (:mod:`exchange.clearing.unfillable`), the same must hold for the programs without
them, the orders that have come must free too little to make them fillable, and no order may have
gone that others need to be fillable.

*Bound.*  For any duals, by weak duality, no set of trades gains more than

    sum_k eta_k h_k + sum_o r_o max(0, s_o (p_o - local_o)).

Prices and lots are integers.  A set of trades at equal prices gains nothing, but at least half a
tick-lot if every lot traded counts half a tick more.  While the bound, with half a tick more for
every order, is below that, there is no such set.

Measured: without the screen the orders of the demo day take 1.2 times as long, those of agents on
the reference network 2.0 times, those of a congested book of 1,000 orders 5.6 times; results
changed in 0 of 942 clearings (docs/benchmarks.md).
"""

from __future__ import annotations

import numpy as np

from exchange.clearing.lot_rows import LotRows
from exchange.clearing.problem import TIE
from exchange.clearing.program_orders import ProgramOrders
from exchange.clearing.unfillable import ExcludedOrders
from orderbook.order import Side
from security_check.arrays import FloatArray

_HALF = 0.5  # ticks added to the gain of every lot, so that trades at equal prices gain, too
_NOTHING = 0.499  # tick-lots: below a half by more than the rounding of sums


class PriceScreen:
    """The proofs that nothing can trade, kept up to date from event to event.

    Parameters
    ----------
    orders
        The open orders; read only.
    rows
        Rows, with the headrooms in force.
    reserve_price_ticks
        The first lambda of every group; where watts are issued and retired, the only one.

    Attributes
    ----------
    local
        Shape (n,), local prices in ticks; read only.
    """

    __slots__ = ("_balance", "_eta", "_filled", "_left_out", "_orders", "_price_of_rows",
                 "_raised_sum", "_rows", "_settled", "_surplus_sum", "_too_good",
                 "local")  # fmt: skip

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
        """Store the duals of the program as it is now.  O(rows n); without eta, O(n).

        Parameters
        ----------
        rows
            With the headrooms in force.
        balance, eta
            lambda and eta, as in :class:`exchange.clearing.linear.linear_program.LpSolution`.
        filled
            Columns that its linear optimum trades, if only in fractions.
        settled
            Whether it is proved that nothing trades.
        surplus
            The gain of all orders together at local prices, in tick-lots, where it is known.
        left_out
            The unfillable orders, where the program was checked for them.
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
        # Sums over all orders, computed at first use and kept up to date from then on.
        self._surplus_sum = None
        self._raised_sum: float | None = None
        self._too_good = False

    def _sum_up(self, more: float) -> float:
        """Return the gain of all orders at local prices, with ``more`` ticks a lot.  O(columns)."""
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
        """Whether it is proved that nothing can trade."""
        if self._settled or self._too_good:
            return self._settled
        if self._raised_sum is None:
            self._raised_sum = self._sum_up(_HALF)
        return self._price_of_rows + self._raised_sum < _NOTHING

    @property
    def settled(self) -> bool:
        """Whether the first proof holds; orders as good as their local price end it."""
        return self._settled

    @property
    def leaves_out(self) -> bool:
        """Whether unfillable orders were left out before nothing traded."""
        return self._left_out is not None and bool(self._left_out.proofs)

    @property
    def bound(self) -> float:
        """Tick-lots that no set of trades gains more than."""
        if self._surplus_sum is None:
            self._surplus_sum = self._sum_up(0.0)
        return self._price_of_rows + max(self._surplus_sum, 0.0)

    @property
    def duals(self) -> tuple[FloatArray, FloatArray]:
        """Lambda and eta of the last optimum."""
        return self._balance, self._eta

    def added(self, column: int, units: int) -> None:
        """Note that units have come into a column.  O(legs)."""
        surplus = self._weigh(column, units)
        if surplus > -TIE * self._orders.lots_of_unit(column):
            # With half a tick more, this order alone exceeds the bound of the second proof.
            self._settled, self._too_good = False, True
        elif self._settled and self._left_out is not None:
            self._settled = self._left_out.added(self._orders, column, units)

    def removing(self, column: int, units: int) -> None:
        """Note that units are about to leave a column.  O(legs)."""
        self._weigh(column, -units)
        self._too_good = False
        needed = 0 if self._left_out is None else self._left_out.witnesses.get(column, 0)
        if column in self._filled or self._orders.units[column] - units < needed:
            self._settled = False

    def _weigh(self, column: int, units: int) -> float:
        surplus = self._orders.surplus_of(column, self.local)
        if self._surplus_sum is not None:
            self._surplus_sum += units * max(surplus, 0.0)
        if self._raised_sum is not None:
            lots = self._orders.lots_of_unit(column)
            self._raised_sum += units * max(surplus + _HALF * lots, 0.0)
        return surplus

    def rows_changed(self, rows: LotRows) -> None:
        """Note that headrooms or coefficients have changed.  O(columns + rows n).

        Any eta >= 0 proves a bound; these are carried over to the new rows.  Without eta this is
        O(n): only the best price of each side is compared.
        """
        self._eta = rows.carried_over(self._eta, self._rows)
        self._rows = rows
        self._left_out = None
        self._reprice()
        # Then trading nothing is the only optimum at these duals, whatever was before.
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
