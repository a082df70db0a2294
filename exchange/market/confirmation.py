"""The confirmation loop: find an optimum, confirm it by AC power flow, correct rows, commit.

A loop begins with the program of one interval.  As long as local prices do not prove that the
other joint orders take no part in the optimum (:mod:`exchange.market.joint_order_screen`), it
continues with one program of the intervals that these joint orders connect.  The joined program is
built from the orders of the intervals for this loop alone.  The engine turns the clearing that
:meth:`ConfirmationLoop.next_trade` returns into events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from exchange.clearing.payments import Execution
from exchange.clearing.problem import ClearingOptimum, NetworkRows
from exchange.clearing.work_budget import ProgramCost
from exchange.market.interval_market import (
    CheckFailedError,
    ConfirmedClearing,
    IntervalMarket,
    network_rows,
)
from exchange.market.market_program import Legs, MarketProgram
from security_check.checking.verdict import LimitChange, Verdict
from security_check.errors import GridError
from security_check.model.envelope import Direction

CONFIRMATION_ROUNDS = 12
"""Optima that the AC power flow may refuse in one search.

Each refusal corrects the linear rows, which converge in 3 to 6 rounds.
"""

_DIRECTIONS = (Direction.INJECTION, Direction.WITHDRAWAL)

_CAUTIOUS_ROUNDS = 4  # the last ones, which use 3/4, 2/4, ... of the headroom: rows do not converge


JointOrderSelector = Callable[["ConfirmationLoop"], tuple[Sequence[Legs], Sequence[IntervalMarket]]]
"""Returns the joint orders to bring into a loop, and the markets of their intervals."""


class ConfirmationLoop:
    """A search for what trades next in an interval, and in those that joint orders bring in.

    Parameters
    ----------
    market
        Of the interval.
    select_joint_orders
        Called after each optimum of :attr:`program` for joint orders that are not in it but may
        take part; the loop ends when there are none.
    program
        A program of some of the market's orders; without it, the program of all of them.

    Attributes
    ----------
    markets
        The markets of its intervals, in the order of the program's columns.
    program
        The program.
    is_cut
        Whether joint orders that may take part were left out because the budget was used up.
    """

    def __init__(
        self,
        market: IntervalMarket,
        select_joint_orders: JointOrderSelector,
        program: MarketProgram | None = None,
    ) -> None:
        self._first = market
        self._first_program = program or market.program
        self._select_joint_orders = select_joint_orders
        self._joint_orders: dict[int, Legs] = {}
        self._share = 1.0
        # Whether the intervals' own programs have other rows than those in force.
        self._stale = False
        self.is_cut = False
        self.markets: dict[datetime, IntervalMarket] = {market.interval: market}
        self.program = self._first_program

    @property
    def is_joined(self) -> bool:
        """Whether joint orders have been brought in."""
        return bool(self._joint_orders)

    def next_trade(self) -> ConfirmedClearing | None:
        """Return the next clearing, committed in the networks; ``None`` once nothing trades.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        CheckFailedError
            When the power flow of an interval has no result.
        """
        try:
            return self._confirmed()
        finally:
            if self._stale:
                for market in self.markets.values():
                    market.renew_rows()

    def _confirmed(self) -> ConfirmedClearing | None:
        """Return the first optimum that the AC power flow confirms."""
        for left in reversed(range(CONFIRMATION_ROUNDS)):
            optimum = self.optimum()
            if not optimum.quantities_w:
                break
            executions = self.program.executions(optimum)
            verdict = self._commit(executions)
            if verdict is not None:
                self._stale = True
                if not self.is_joined:
                    self.program.clearing.execute(optimum)
                return ConfirmedClearing(executions, optimum.prices, optimum.tier, verdict)
            self._share = min(left / _CAUTIOUS_ROUNDS, 1.0)
            self.program.clearing.replace_rows(self._rows())
            self._stale = self._share < 1.0 or self.program is not self._first.program
        return None

    def optimum(self) -> ClearingOptimum:
        """Return the optimum of the program, without asking the AC power flow."""
        while True:
            optimum = self.program.clearing.optimum()
            joint_orders, markets = self._select_joint_orders(self)
            if joint_orders and not self.is_joined:
                self.is_cut = not self._first.budget.may_join
            if self.is_cut or not joint_orders:
                return optimum
            self.join(joint_orders, markets)

    def join(self, joint_orders: Sequence[Legs], markets: Sequence[IntervalMarket]) -> None:
        """Continue with a program of more intervals and the joint orders that connect them."""
        found = self.markets | {market.interval: market for market in markets}
        self.markets = dict(sorted(found.items()))
        self._joint_orders |= {legs[0].order_id: legs for legs in joint_orders}
        first = self._first
        self.program = MarketProgram(
            tuple(self.markets),
            first.connection_points,
            first.rules,
            self._rows(),
            first.budget.joined,
        )
        for start, market in self.markets.items():
            program = self._first_program if market is first else market.program
            self.program.add_all_of(start, program)
        self.program.add_all(legs for _, legs in sorted(self._joint_orders.items()))
        clearing = self.program.clearing
        orders = clearing.orders
        first.budget.join(ProgramCost(len(clearing.rows.h), orders.size), len(orders.conditions))

    def _rows(self) -> NetworkRows:
        """Return the rows in force, with the share of their headrooms that may be used now."""
        rows = [network_rows(m.network.linear_rows(), self._share) for m in self.markets.values()]
        return rows[0] if len(rows) == 1 else NetworkRows.joined(rows)

    def _commit(self, executions: Sequence[Execution]) -> Verdict | None:
        """Commit trades if the power flow confirms them in all intervals; ``None`` if not."""
        worst: Verdict | None = None
        confirmed = []
        for market, changes in self._changes(executions):
            try:
                verdict = market.network.confirm(changes)
            except GridError as error:
                raise CheckFailedError(market.interval, error) from error
            if not verdict.secure:
                return None
            confirmed.append((market.network, changes))
            if worst is None or verdict.loading > worst.loading:
                worst = verdict
        for network, changes in confirmed:
            network.commit(changes)
        return worst

    def _changes(
        self, executions: Sequence[Execution]
    ) -> list[tuple[IntervalMarket, tuple[LimitChange, ...]]]:
        """Return the changes of the limits of each interval, by column."""
        points = self._first.connection_points
        count = len(points)
        total: dict[int, int] = {}
        for each in executions:
            for leg in each.order.legs:
                change_w = each.order.change_w(leg, each.quantity_w)
                total[leg.column] = total.get(leg.column, 0) + change_w
        changes: dict[int, list[LimitChange]] = {}
        for column in sorted(total):
            point, direction = points[column % count], _DIRECTIONS[column // count % 2]
            change = LimitChange(point, direction, total[column])
            changes.setdefault(column // (2 * count), []).append(change)
        markets = list(self.markets.values())
        return [(markets[k], tuple(each)) for k, each in changes.items()]


def no_joint_orders(_: ConfirmationLoop) -> tuple[Sequence[Legs], Sequence[IntervalMarket]]:
    """Return no joint orders and no markets."""
    return (), ()
