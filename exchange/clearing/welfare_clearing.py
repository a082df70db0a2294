"""Welfare-maximising clearing: what to trade so that no secure trade that raises welfare is left.

The life of an order here::

    clearing.add(order)              # it joins the column of its limit, side and price
    optimum = clearing.optimum()     # a proposal; nothing has changed yet
    ...                              # the AC power flow refutes it:
    clearing.replace_rows(rows)      #   the rows are corrected, the proposal is void
    optimum = clearing.optimum()     #   solved again, from a warm start
    ...                              # the AC power flow confirms it:
    clearing.execute(optimum)        # orders shrink, headrooms move
    clearing.replace_rows(rows)      # the rows that hold at the new limits
    clearing.optimum()               # and so on, until it is empty

An optimum comes from the first of three methods that is enough, each of them exact:
:mod:`exchange.clearing.price_screen` proves that nothing can trade,
:mod:`exchange.clearing.merit_order` matches by price and time and checks that the rows hold, and
:mod:`exchange.clearing.lot_program` solves the program in whole lots.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exchange.clearing import merit_order
from exchange.clearing.linear.linear_program import LinearProgram
from exchange.clearing.lot_program import LotProgram
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.price_screen import PriceScreen
from exchange.clearing.problem import (
    ClearingOptimum,
    LocalPrices,
    NetworkRows,
    ParticipationBound,
    ProgramOrder,
    Tier,
)
from exchange.clearing.program_orders import ColumnEntry, ProgramOrders
from exchange.clearing.proposal import Duals, Proposal
from exchange.clearing.unfillable import FITS, LimitSide
from exchange.clearing.work_budget import WorkBudget
from exchange.vocabulary.rules import ExchangeRate


class WelfareClearing:
    """The clearing program of one interval, or of several that joint orders connect.

    Parameters
    ----------
    rows
        The robust rows with the headrooms in force; n limits.
    lot_w
        Watts of a lot.
    exchange_rate
        Whether watts bought and sold balance.
    reserve_price_ticks
        At which watts are issued and retired in network-weighted mode.
    intervals
        How many intervals lie side by side in the columns, each with its injection limits first.
    budget
        The work allowed for mixed-integer programs, shared with other programs of the same event;
        without it, each clearing has a budget of its own.
    screening
        Whether the price screen may spare solving; results are the same without.

    Attributes
    ----------
    orders
        The open orders; read only, like ``screen``.
    screen
        Local prices, and whether they prove that nothing can trade.

    Raises
    ------
    ValueError
        When the limits do not divide into that many intervals of two directions.
    """

    def __init__(
        self,
        rows: NetworkRows,
        lot_w: int,
        exchange_rate: ExchangeRate = ExchangeRate.ONE_TO_ONE,
        *,
        reserve_price_ticks: int = 0,
        intervals: int = 1,
        budget: WorkBudget | None = None,
        screening: bool = True,
    ) -> None:
        limits = rows.limits
        if intervals < 1 or limits % (2 * intervals):
            raise ValueError(f"{limits} limits are not {intervals} intervals of two directions")
        self._lot_w = lot_w
        self._balanced = exchange_rate is ExchangeRate.ONE_TO_ONE
        self._reserve = None if self._balanced else reserve_price_ticks
        groups = np.repeat(np.arange(2 * intervals), limits // (2 * intervals))
        self.orders = ProgramOrders(groups, lot_w)
        self._rows = LotRows.scaled(rows, lot_w)
        self._program = LinearProgram(self.orders, self._rows, self._reserve)
        self._has_own_budget = budget is None
        self._budget = budget or WorkBudget()
        self._lots = LotProgram(
            self.orders, self._program, self._balanced, self._reserve or 0, self._budget
        )
        self._screening = screening
        self.screen = PriceScreen(self.orders, self._rows, self._reserve or 0)
        self._proposed: tuple[Proposal, ClearingOptimum] | None = None
        self._participation: ParticipationBound | None = None
        self._known_prices: LocalPrices | None = None
        self._network_binds = False

    @property
    def rows(self) -> LotRows:
        """The rows, with the headrooms in force; read only."""
        return self._rows

    @property
    def balanced(self) -> bool:
        """Whether watts bought and sold balance in each direction."""
        return self._balanced

    # -- changes of the program -----------------------------------------------------------------

    def add(self, order: ProgramOrder) -> bool:
        """Add an order; return whether it may lead to trades.  O(1), O(log prices) if new.

        ``False`` is a proof.  Raises ``ValueError`` as
        :meth:`exchange.clearing.program_orders.ProgramOrders.add` does.
        """
        self._proposed = self._participation = None
        entry = self.orders.add(order)
        self.screen.added(entry.column, entry.units)
        return not self.screen.nothing_to_solve

    def reduce(self, order_id: int, by_w: int, *, hidden: bool = False) -> None:
        """Lower the quantity left of an order, in watts over all legs; at 0 it leaves.  O(1).

        Parameters
        ----------
        order_id
            The order.
        by_w
            Watts to take off.
        hidden
            Whether they come off the part that an iceberg order does not display.

        Raises
        ------
        KeyError
            When the order, or that part of it, is not here.
        ValueError
            When that is not in whole lots, or would change the ratio of a block.
        """
        entry = self.orders.find((order_id, hidden))
        if entry is None:
            raise KeyError(order_id)
        unit_w = self.orders.watts(entry, 1)
        if by_w <= 0 or by_w % unit_w:
            raise ValueError(f"order {order_id} shrinks in steps of {unit_w} W, not by {by_w} W")
        self._proposed = self._participation = None
        self.screen.removing(entry.column, by_w // unit_w)
        self._take(entry, by_w // unit_w)

    def _take(self, entry: ColumnEntry, units: int) -> None:
        self.orders.reduce(entry, units)
        if not self.orders.units[entry.column]:
            self._program.forget(entry.column)

    def replace_rows(self, rows: NetworkRows) -> None:
        """Replace headrooms and coefficients; the next solution starts warm.

        Parameters
        ----------
        rows
            The rows that hold after all trades executed so far.  Parts whose coefficients are the
            same array as before cost their headrooms only.
        """
        self._proposed = self._participation = self._known_prices = None
        self._rows = LotRows.scaled(rows, self._lot_w, self._rows)
        self._program.replace_rows(self._rows)
        self.screen.rows_changed(self._rows)

    # -- what to trade --------------------------------------------------------------------------

    def optimum(self) -> ClearingOptimum:
        """Return what to trade now; nothing changes, and a second call returns the same.

        Raises
        ------
        ClearingError
            When the solver is not sure; nothing may be traded.
        """
        if self._proposed is not None:
            return self._proposed[1]
        if self._screening and self.screen.nothing_to_solve:
            return self._screened()
        proposal = self._proposal()
        optimum = proposal.optimum(self.orders, self._rows, self._reserve or 0)
        if len(proposal.columns):
            self._proposed = (proposal, optimum)
        else:
            self._certify(proposal)
        self._participation = proposal.participation_bound(optimum.gain / self._lot_w)
        return optimum

    def _screened(self) -> ClearingOptimum:
        if self._known_prices is None:
            duals = Duals(*self.screen.duals, frozenset())
            self._known_prices = duals.prices(self.orders, self._rows)
        bound = self.screen.bound * self._lot_w
        return ClearingOptimum({}, 0, self._known_prices, Tier.PRICE_SCREEN, bound)

    def _proposal(self) -> Proposal:
        if not self._network_binds:
            proposal = merit_order.propose(self.orders, self._rows, self._reserve)
            if proposal is not None:
                return proposal
        if self._has_own_budget:
            self._budget.renew()
        return Proposal.of_lots(self._lots.solve(self._rows), self.orders, self._rows)

    def participation_bound(self) -> ParticipationBound:
        """Return what orders outside the program would need to take part in its last optimum.

        If the program has changed since, the bound is of trading nothing; it is valid in any case,
        and closer the less has changed.
        """
        if self._participation is not None:
            return self._participation
        is_exact = self.screen.settled and not self.screen.leaves_out
        return ParticipationBound(self.screen.local, 0.0 if is_exact else self.screen.bound)

    def fits(self, order_id: int) -> bool:
        """Return whether a lot of an order can trade at any gain or loss of others.

        In fractions of all other orders but those at its own limit; an order with a condition
        counts as fillable.

        Raises
        ------
        ClearingError
            When the solver is not sure.
        """
        column = self.orders.entry(order_id).column
        if column in self.orders.conditions:
            return True
        every = self.orders.units[: self.orders.size]
        side = LimitSide.of(self.orders, column)
        return side.most(self._program, self.orders, every, self._rows.h).count >= FITS

    def execute(self, optimum: ClearingOptimum) -> None:
        """Take the quantities of the last optimum off orders, and their change off headrooms.

        Raises
        ------
        ValueError
            When the program has changed since, or another optimum was found.
        """
        if not optimum.quantities_w:
            return
        if self._proposed is None or self._proposed[1] is not optimum:
            raise ValueError("the program has changed since this optimum was found")
        proposal = self._proposed[0]
        for entry, units in list(proposal.shares(self.orders)):
            self._take(entry, units)
        self._proposed = self._participation = None
        self._rows = replace(self._rows, h=proposal.h)
        self._program.replace_rows(self._rows)
        self._certify(proposal)

    def _certify(self, proposal: Proposal) -> None:
        left = proposal.left
        self._known_prices = None
        self.screen.certify(
            self._rows,
            left.balance,
            left.eta,
            left.filled,
            settled=proposal.settled,
            surplus=proposal.surplus,
            left_out=proposal.left_out,
        )
        # Where the orders left cross, the network holds them back, and will do so after the next
        # order: then the merit order is not worth trying.
        self._network_binds = proposal.tier is not Tier.MERIT_ORDER and any(
            merit_order.crossed(self.orders, group, self._reserve)
            for group in range(len(self.orders.prices))
        )
