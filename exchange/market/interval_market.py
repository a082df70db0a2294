"""The market of one delivery interval: its network, and the program over its orders.

Books and envelopes change by events alone; a market is derived from them, and rebuilt when it is
missing.  Joint orders are in none of these programs: a confirmation loop
(:mod:`exchange.market.confirmation`) brings in those that may trade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from exchange.clearing.payments import Execution
from exchange.clearing.problem import LocalPrices, NetworkRows, ParticipationBound, Tier
from exchange.clearing.work_budget import EventBudget
from exchange.market.local_prices import PointPrice, point_prices
from exchange.market.market_program import MarketProgram
from exchange.vocabulary.network_port import SecurityState
from exchange.vocabulary.orders import Order
from exchange.vocabulary.rules import MarketRules
from security_check.checking.linear_rows import LinearRows
from security_check.checking.verdict import Verdict
from security_check.errors import GridError


class CheckFailedError(Exception):
    """The power flow of an interval has no result; ``error`` says why."""

    def __init__(self, interval: datetime, error: GridError) -> None:
        super().__init__(str(error))
        self.interval = interval
        self.error = error


@dataclass(frozen=True, slots=True)
class ConfirmedClearing:
    """Orders that trade together; the networks have the limits after it already.

    Parameters
    ----------
    executions
        What each order trades, oldest first.
    prices
        The local prices of the clearing.
    tier
        The method that proved it optimal.
    verdict
        Of the interval whose network is loaded most afterwards.
    """

    executions: tuple[Execution, ...]
    prices: LocalPrices
    tier: Tier
    verdict: Verdict


class IntervalMarket:
    """An interval's network, its orders without joint ones, and the program over both.

    Parameters
    ----------
    interval
        Its start.
    network
        The envelopes in force.
    connection_points
        In the network's order.
    rules
        Of the market.
    open_orders
        Returns the open orders, oldest first, without joint ones.
    incoming
        The number of the order that has just come, if any: all of it is displayed.
    budget
        The work allowed for the programs of one event, of single intervals and of joined ones.

    Attributes
    ----------
    interval, network, connection_points, rules, open_orders, budget
        As above.
    program
        The program; :meth:`add` and :meth:`lower` change it.
    needs_clearing
        Whether something has changed since the last proof that nothing trades in this interval.
    joint_orders_unchecked
        Whether something has changed since the last proof that no joint order trades here.
    budget_exhausted
        Whether the last search ended early because the budget of the event was used up.
    """

    def __init__(
        self,
        interval: datetime,
        network: SecurityState,
        connection_points: Sequence[str],
        rules: MarketRules,
        open_orders: Callable[[], Iterable[Order]],
        incoming: int | None = None,
        budget: EventBudget | None = None,
    ) -> None:
        self.interval = interval
        self.network = network
        self.connection_points = tuple(connection_points)
        self.rules = rules
        self.needs_clearing = self.joint_orders_unchecked = True
        self.budget_exhausted = False
        self.open_orders = open_orders
        self.budget = budget or EventBudget()
        self._rows = network.linear_rows()
        self.program = self.program_of(())
        for order in open_orders():
            self.add(order, incoming=order.order_id == incoming)

    # -- changes by events ----------------------------------------------------------------------

    def add(self, order: Order, *, incoming: bool = False) -> None:
        """Add an order; as :meth:`exchange.market.market_program.MarketProgram.add`."""
        self._changed(may_trade=self.program.add([order], incoming=incoming))

    def lower(self, order: Order) -> None:
        """Lower an order to the quantity left of it."""
        self._changed(may_trade=self.program.lower(order))

    def rest(self, order: Order) -> None:
        """End the incoming state of an order: an iceberg hides part of it from now on."""
        self._changed(may_trade=self.program.rest(order))

    def limit(self, order: Order, limit_price_ticks: int) -> None:
        """Let an order that has just come trade up to another price than its own limit price."""
        self.program.withdraw(order.order_id)
        self.add(replace(order, limit_price_ticks=limit_price_ticks), incoming=True)

    def _changed(self, *, may_trade: bool) -> None:
        self.needs_clearing |= may_trade
        self.joint_orders_unchecked = True

    # -- its program ----------------------------------------------------------------------------

    def program_of(self, orders: Iterable[Order]) -> MarketProgram:
        """Return a program of some orders under the rows in force."""
        rows = network_rows(self._rows)
        program = MarketProgram(
            [self.interval], self.connection_points, self.rules, rows, self.budget.alone
        )
        program.add_all([order] for order in orders)
        return program

    def program_without(self, other: Order) -> MarketProgram:
        """Return the program without one of its orders."""
        return self.program_of(order for order in self.open_orders() if order is not other)

    def renew_rows(self) -> None:
        """Replace the rows of the program by those in force."""
        self._rows = self.network.linear_rows()
        self.program.clearing.replace_rows(network_rows(self._rows))
        self.needs_clearing = self.joint_orders_unchecked = True

    def participation_bound(self) -> ParticipationBound:
        """Return what a joint order would need to take part in the optimum of this interval.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        """
        if self.needs_clearing:
            self.needs_clearing = bool(self.program.clearing.optimum().quantities_w)
        return self.program.clearing.participation_bound()

    def local_prices(self) -> tuple[PointPrice, ...] | None:
        """Return the local prices; ``None`` while orders may trade.

        See :func:`exchange.market.local_prices.point_prices`.
        """
        if self.needs_clearing:
            return None
        return point_prices(self.program.clearing, self.connection_points, 0, self._rows.element)

    def check_invariants(self) -> None:
        """Check that the program has exactly the open orders.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        self.program.clearing.orders.check_invariants()
        anew = self.program_of(self.open_orders())
        assert self.program.open_w() == anew.open_w(), (
            f"{self.interval}: the program has other orders than the books"
        )

    def copy(self) -> IntervalMarket:
        """Return a new market of the open orders on a copy of the network, with a full budget."""
        network = self.network.copy()
        return IntervalMarket(
            self.interval, network, self.connection_points, self.rules, self.open_orders
        )


def network_rows(rows: LinearRows, share: float = 1.0) -> NetworkRows:
    """Return the rows of a network for a program, with a share of their headrooms."""
    parts = rows.parts
    if share < 1.0:
        parts = tuple(replace(part, headroom=share * part.headroom) for part in parts)
    return NetworkRows(parts, rows.limits, rows.base_power_w)
