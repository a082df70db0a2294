"""What trades next: an optimum, its AC confirmation, the correction of rows, the commit.

A search begins with the program of one interval.  Where its prices, beside those of the other
intervals, do not prove that joint orders have no part in the optimum, it goes on with one program
of the intervals that these connect, and so on, until prices say so of all joint orders that are
not in it (:mod:`exchange.market.joint_order_screen`).  The joined program is built from the
others' orders for
this search alone.  The engine makes events of what :meth:`ConfirmationLoop.next_trade` finds.
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
"""How often an optimum is looked for again after the AC power flow has refused one.

Each refusal corrects the linear rows, which converge in 3 to 6 rounds.
"""

_DIRECTIONS = (Direction.INJECTION, Direction.WITHDRAWAL)

_CAUTIOUS_ROUNDS = 4  # the last ones, which ask for less and less of the headroom


JointOrderSelector = Callable[["ConfirmationLoop"], tuple[Sequence[Legs], Sequence[IntervalMarket]]]
"""Says which joint orders a search is to bring in, and the markets of their intervals."""


class ConfirmationLoop:
    """A search for what trades next in an interval, and in those that joint orders bring in.

    Parameters
    ----------
    market
        Of the interval.
    joining
        Asked after each optimum of :attr:`program` for joint orders that may have a part in one
        but are not in it; the search ends where there are none.
    program
        A program of some of the market's orders; without it, that of all of them.

    Attributes
    ----------
    markets
        Those it is over, in the order of the program's columns.
    program
        The program.
    is_cut
        Whether joint orders that may have a part were left out for want of effort.
    """

    def __init__(
        self,
        market: IntervalMarket,
        joining: JointOrderSelector,
        program: MarketProgram | None = None,
    ) -> None:
        self._first = market
        self._of_first = program or market.program
        self._joining = joining
        self._joint_orders: dict[int, Legs] = {}
        self._share = 1.0
        # Whether the intervals' own programs have other rows than those in force.
        self._stale = False
        self.is_cut = False
        self.markets: dict[datetime, IntervalMarket] = {market.interval: market}
        self.program = self._of_first

    @property
    def is_joined(self) -> bool:
        """Whether joint orders have brought in others."""
        return bool(self._joint_orders)

    def next_trade(self) -> ConfirmedClearing | None:
        """Return what trades next, put into force in the networks; ``None`` once nothing does.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        CheckFailedError
            When the power flow of an interval came to no result.
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
            verdict = self._put_into_force(executions)
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
        """Return what would trade, whatever the AC power flow may say of it."""
        while True:
            optimum = self.program.clearing.optimum()
            joint_orders, markets = self._joining(self)
            if joint_orders and not self.is_joined:
                self.is_cut = not self._first.effort.may_join
            if self.is_cut or not joint_orders:
                return optimum
            self.join(joint_orders, markets)

    def join(self, joint_orders: Sequence[Legs], markets: Sequence[IntervalMarket]) -> None:
        """Go on with a program of more intervals, and of joint orders that connect them."""
        found = self.markets | {market.interval: market for market in markets}
        self.markets = dict(sorted(found.items()))
        self._joint_orders |= {legs[0].order_id: legs for legs in joint_orders}
        first = self._first
        self.program = MarketProgram(
            tuple(self.markets),
            first.connection_points,
            first.rules,
            self._rows(),
            first.effort.joined,
        )
        for start, market in self.markets.items():
            program = self._of_first if market is first else market.program
            self.program.add_all_of(start, program)
        self.program.add_all(legs for _, legs in sorted(self._joint_orders.items()))
        clearing = self.program.clearing
        orders = clearing.orders
        first.effort.join(ProgramCost(len(clearing.rows.h), orders.size), len(orders.conditions))

    def _rows(self) -> NetworkRows:
        """Return the rows in force, with as much of their headrooms as is asked for now."""
        rows = [network_rows(m.network.linear_rows(), self._share) for m in self.markets.values()]
        return rows[0] if len(rows) == 1 else NetworkRows.joined(rows)

    def _put_into_force(self, executions: Sequence[Execution]) -> Verdict | None:
        """Commit what the AC power flow confirms in all intervals; ``None`` if it refuses one."""
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
        """Return what the limits of each interval change by, largest columns last."""
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


def nobody(_: ConfirmationLoop) -> tuple[Sequence[Legs], Sequence[IntervalMarket]]:
    """Bring in no joint orders."""
    return (), ()
