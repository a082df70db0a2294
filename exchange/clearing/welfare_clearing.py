"""Welfare-maximising clearing: what to trade so that no secure trade is left that raises welfare.

The life of an order here::

    clearing.add(order)              # it joins its limit, side and price
    optimum = clearing.optimum()     # a proposal; nothing has changed yet
    ...                              # the AC power flow refutes it:
    clearing.replace_rows(rows)      #   rows corrected, the proposal is void
    optimum = clearing.optimum()     #   solved again, warm
    ...                              # the AC power flow confirms it:
    clearing.execute(optimum)        # orders shrink, headrooms move
    clearing.replace_rows(rows)      # what the power flow says of the new limits
    clearing.optimum()               # and so on, until it is empty

Tiers, each exact: :mod:`exchange.clearing.price_screen` proves that there is nothing to do,
:mod:`exchange.clearing.merit_order` matches by price and time and looks whether rows hold,
:mod:`exchange.clearing.linear_program` solves the program, with ties by
:mod:`exchange.clearing.time_priority`,
conditions by :mod:`exchange.clearing.conditional.choice` and whole lots by
:mod:`exchange.clearing.rounding`, which
:mod:`exchange.clearing.lot_program` puts together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from exchange.clearing import merit_order
from exchange.clearing.linear_program import LinearProgram, LpSolution
from exchange.clearing.lot_program import LotProgram
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.order_columns import ProgramOrders
from exchange.clearing.price_screen import PriceScreen
from exchange.clearing.problem import (
    TIE,
    ClearingOptimum,
    LocalPrices,
    NetworkRows,
    ParticipationBound,
    ProgramOrder,
    Tier,
)
from exchange.clearing.unfillable import FITS, ExcludedOrders, LimitSide
from exchange.clearing.work_budget import WorkBudget
from exchange.vocabulary.rules import ExchangeRate
from security_check.arrays import FloatArray, IntArray

_FILLED = 1e-12  # lots


@dataclass(frozen=True, slots=True)
class _Duals:
    """Prices of a program, and the columns that its linear optimum fills, if in fractions."""

    balance: FloatArray
    eta: FloatArray
    filled: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Proposal:
    """Units of columns to trade, the duals that led there, and those of the program that is left.

    The latter has the headrooms ``h``, shape (m,).  By its duals the rows are worth ``rows_worth``
    and the orders left gain ``surplus``, in tick-lots; no further trades gain more than both
    together.  ``relaxed_local`` are the prices of the program without conditions; where these bear
    on the optimum, or orders are left out of it, that program gains ``relaxed_gain``.
    ``left_out`` says which do not fit.
    """

    columns: IntArray
    units: IntArray
    h: FloatArray
    prices: _Duals
    left: _Duals
    rows_worth: float
    surplus: float
    settled: bool
    tier: Tier
    relaxed_local: FloatArray
    relaxed_gain: float | None
    left_out: ExcludedOrders | None = None


class WelfareClearing:
    """The clearing program of one interval, or of several that blocks join.

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
    effort
        What mixed-integer programs may take, with other programs of the same event; without it,
        each clearing has an effort of its own.
    screening
        Whether the price screen may spare solving; results are the same without.

    Attributes
    ----------
    orders
        The open orders; read only, like ``screen``.
    screen
        Local prices, and whether they prove that nothing can be traded.

    Raises
    ------
    ValueError
        When the columns do not divide into that many intervals of two directions.
    """

    def __init__(
        self,
        rows: NetworkRows,
        lot_w: int,
        exchange_rate: ExchangeRate = ExchangeRate.ONE_TO_ONE,
        *,
        reserve_price_ticks: int = 0,
        intervals: int = 1,
        effort: WorkBudget | None = None,
        screening: bool = True,
    ) -> None:
        limits = rows.limits
        if intervals < 1 or limits % (2 * intervals):
            raise ValueError(f"{limits} limits are not {intervals} intervals of two directions")
        self._lot_w = lot_w
        self._balanced = exchange_rate is ExchangeRate.ONE_TO_ONE
        self._reserve = 0 if self._balanced else reserve_price_ticks
        groups = np.repeat(np.arange(2 * intervals), limits // (2 * intervals))
        self._groups = 2 * intervals
        self.orders = ProgramOrders(groups, lot_w)
        self._rows = LotRows.scaled(rows, lot_w)
        reserve = None if self._balanced else self._reserve
        self._program = LinearProgram(self.orders, self._rows, reserve)
        self._is_alone = effort is None
        self._effort = effort or WorkBudget()
        self._lots = LotProgram(
            self.orders, self._program, self._balanced, self._reserve, self._effort
        )
        self._screening = screening
        self.screen = PriceScreen(self.orders, self._rows, self._reserve)
        self._proposed: tuple[_Proposal, ClearingOptimum] | None = None
        self._reach: ParticipationBound | None = None
        self._known_prices: LocalPrices | None = None
        self._blocked = False

    @property
    def rows(self) -> LotRows:
        """The rows, with the headrooms in force; read only."""
        return self._rows

    @property
    def balanced(self) -> bool:
        """Whether watts bought and sold balance in each direction."""
        return self._balanced

    # -- what changes the program -------------------------------------------------------------

    def add(self, order: ProgramOrder) -> bool:
        """Take up an order; return whether it may lead to trades.  O(1), O(log prices) if new.

        ``False`` is a proof.  Raises ``ValueError`` as
        :meth:`exchange.clearing.order_columns.ProgramOrders.add` does.
        """
        self._proposed = self._reach = None
        entry = self.orders.add(order)
        self.screen.added(entry.column, entry.units)
        return not self.screen.nothing_to_solve

    def reduce(self, order_id: int, by_w: int) -> None:
        """Lower what is left of an order, in watts over all legs; at 0 it leaves.  O(1).

        Raises
        ------
        ValueError
            When that is not in whole lots, or would change the ratio of a block.
        """
        unit_w = self.orders.watts(self.orders.entry(order_id), 1)
        if by_w <= 0 or by_w % unit_w:
            raise ValueError(f"order {order_id} shrinks in steps of {unit_w} W, not by {by_w} W")
        self._withdraw(order_id, by_w // unit_w)

    def _withdraw(self, order_id: int, units: int) -> None:
        self._proposed = self._reach = None
        self.screen.removing(self.orders.entry(order_id).column, units)
        self._take(order_id, units)

    def _take(self, order_id: int, units: int) -> None:
        column = self.orders.reduce(order_id, units).column
        if not self.orders.units[column]:
            self._program.forget(column)

    def replace_rows(self, rows: NetworkRows) -> None:
        """Replace headrooms and coefficients; the next solution starts warm.

        Parameters
        ----------
        rows
            What holds now, after all trades executed so far.  Parts whose coefficients are the
            same array as before cost their headrooms only.
        """
        self._proposed = self._reach = self._known_prices = None
        self._rows = LotRows.scaled(rows, self._lot_w, self._rows)
        self._program.replace_rows(self._rows)
        self.screen.rows_changed(self._rows)

    # -- what to trade ------------------------------------------------------------------------

    def optimum(self) -> ClearingOptimum:
        """Return what to trade now.  Trades nothing; asked again, it answers the same.

        Raises
        ------
        ClearingError
            When the solver is not sure; nothing may be traded.
        """
        if self._proposed is not None:
            return self._proposed[1]
        if self._screening and self.screen.nothing_to_solve:
            if self._known_prices is None:
                self._known_prices = self._prices(*self.screen.duals)
            bound = self.screen.bound * self._lot_w
            return ClearingOptimum({}, 0, self._known_prices, Tier.PRICE_SCREEN, bound)
        proposal = None if self._blocked else self._match_without_network()
        if proposal is None:
            proposal = self._solve()
        optimum = self._optimum_of(proposal)
        if len(proposal.columns):
            self._proposed = (proposal, optimum)
        else:
            self._certify(proposal)
        self._reach = self._reach_of(proposal, optimum)
        return optimum

    def reach(self) -> ParticipationBound:
        """Return what orders that are not here would need to take part in the last optimum.

        Where the program has changed since, of trading nothing.  A proof either way, which is the
        sharper the less has changed.
        """
        if self._reach is not None:
            return self._reach
        sure = self.screen.settled and not self.screen.leaves_out
        return ParticipationBound(self.screen.local, 0.0 if sure else self.screen.bound)

    def _reach_of(self, proposal: _Proposal, optimum: ClearingOptimum) -> ParticipationBound:
        gain_tolerance = 0.0
        if proposal.relaxed_gain is not None:
            gain_tolerance = max(proposal.relaxed_gain - optimum.gain / self._lot_w, 0.0)
        return ParticipationBound(proposal.relaxed_local, gain_tolerance)

    def fits(self, order_id: int) -> bool:
        """Return whether a lot of an order could trade if nothing else mattered.

        In fractions of whatever else is open but at its own limit, at any gain or loss; an order
        with a condition counts as one that fits.

        Raises
        ------
        ClearingError
            When the solver is not sure.
        """
        column = self.orders.entry(order_id).column
        if column in self.orders.conditions:
            return True
        every = self.orders.units[: self.orders.size]
        place = LimitSide.of(self.orders, column)
        return place.most(self._program, self.orders, every, self._rows.h).count >= FITS

    def execute(self, optimum: ClearingOptimum) -> None:
        """Take the orders of the last optimum off the program, and their change off headrooms.

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
        for order_id, units in list(self._shares(proposal)):
            self._take(order_id, units)
        self._proposed = self._reach = None
        self._rows = replace(self._rows, h=proposal.h)
        self._program.replace_rows(self._rows)
        self._certify(proposal)

    def _certify(self, proposal: _Proposal) -> None:
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
        # Where orders cross at rest the network holds them back, and will not let all of them
        # trade when the next one comes: then the match by price alone is not worth trying.
        self._blocked = proposal.tier is not Tier.NETWORK_FREE and any(
            merit_order.crossed(self.orders, group, None if self._balanced else self._reserve)
            for group in range(self._groups)
        )

    # -- tier 2 -------------------------------------------------------------------------------

    def _match_without_network(self) -> _Proposal | None:
        """Return the optimum if rows and conditional orders do not bear on it.

        O(columns that trade + rows n).
        """
        orders, groups = self.orders, range(self._groups)
        matched: dict[int, int] = {}
        for group in groups:
            if self._balanced:
                matched |= merit_order.match(orders, group)
            else:
                matched |= merit_order.match_against_reserve(orders, group, self._reserve)
        columns, units = merit_order.as_arrays(matched)
        h = self._rows.h
        if matched:
            loads = self._rows.loads(orders.change(columns, units))
            if (loads > h + LotRows.tolerance(h)).any():
                return None
            h = np.maximum(h - loads, 0.0)
        balance = after = np.full(self._groups, float(self._reserve))
        if self._balanced:
            prices = [merit_order.price_and_quote(orders, g, matched) for g in groups]
            balance, after = np.array(prices).T
        if orders.conditions and any(
            self._conditions_matter(of_group[orders.groups]) for of_group in (balance, after)
        ):
            return None
        none = np.zeros(len(self._rows.h))
        return _Proposal(
            columns=columns,
            units=units,
            h=h,
            prices=_Duals(balance, none, frozenset()),
            left=_Duals(after, none, frozenset()),
            rows_worth=0.0,
            # No order that is left is better than the prices that are left.
            surplus=0.0,
            settled=True,
            tier=Tier.NETWORK_FREE,
            relaxed_local=balance[orders.groups],
            relaxed_gain=None,
        )

    def _conditions_matter(self, local: FloatArray) -> bool:
        """Return whether a conditional order is as good as its local prices."""
        return any(
            self.orders.surplus_of(column, local) > -TIE * self.orders.lots_of_unit(column)
            for column in self.orders.conditions
        )

    # -- tier 3 -------------------------------------------------------------------------------

    def _solve(self) -> _Proposal:
        if self._is_alone:
            self._effort.renew()
        solved = self._lots.solve(self._rows)
        columns = np.flatnonzero(solved.units)
        units = solved.units[columns]
        last, fit = solved.last, solved.fit
        h = self._rows.left(self.orders.change(columns, units))
        # Of what trades leave over it is not known yet who does not fit, if somebody does not.
        looked_at = not len(columns) or (solved.left_out is not None and not solved.left_out.proofs)
        programs = [solved] if fit is None else [solved, fit]
        remaining = self.orders.units[: self.orders.size] - solved.units
        return _Proposal(
            columns=columns,
            units=units,
            h=h,
            prices=self._duals(solved.first),
            left=self._duals(last),
            rows_worth=float(last.eta @ h),
            surplus=float(remaining @ np.maximum(last.surplus, 0.0)),
            settled=looked_at
            and not any(
                each.in_lots or self._conditions_matter(each.last.local) for each in programs
            ),
            tier=solved.tier,
            relaxed_local=solved.relaxed.local,
            relaxed_gain=None if solved.is_exact else solved.relaxed.gain,
            left_out=solved.left_out,
        )

    @staticmethod
    def _duals(relaxed: LpSolution) -> _Duals:
        filled = frozenset(np.flatnonzero(relaxed.units > _FILLED).tolist())
        return _Duals(relaxed.balance, relaxed.eta, filled)

    # -- what it means for orders -------------------------------------------------------------

    def _shares(self, proposal: _Proposal) -> Iterator[tuple[int, int]]:
        """Iterate over orders that trade and their units; within a column the oldest first."""
        for column, units in zip(proposal.columns.tolist(), proposal.units.tolist(), strict=True):
            left = units
            for entry in self.orders.queue(column):
                taken = min(left, entry.units)
                yield entry.order.order_id, taken
                left -= taken
                if not left:
                    break

    def _optimum_of(self, proposal: _Proposal) -> ClearingOptimum:
        shares = [(self.orders.entry(order), units) for order, units in self._shares(proposal)]
        shares.sort(key=lambda share: share[0].order.rank)
        quantities_w = {e.order.order_id: self.orders.watts(e, units) for e, units in shares}
        gain = sum(e.order.worth(self.orders.watts(e, units), self._reserve) for e, units in shares)
        prices = self._prices(proposal.prices.balance, proposal.prices.eta)
        bound = (proposal.rows_worth + proposal.surplus) * self._lot_w
        return ClearingOptimum(quantities_w, gain, prices, proposal.tier, bound)

    def _prices(self, balance: FloatArray, eta: FloatArray) -> LocalPrices:
        local = balance[self.orders.groups]
        if not eta.any():
            return LocalPrices(balance, np.zeros(self._rows.count), local)
        local = local + self._rows.prices(eta)
        return LocalPrices(balance, self._rows.network_prices(eta), local)
