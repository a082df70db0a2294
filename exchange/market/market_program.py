"""The clearing program of a market, in terms of its orders.

The program (:mod:`exchange.clearing.welfare_clearing`) knows columns and legs; here they are
connection points, directions and intervals.  An iceberg order has two parts there: the displayed
part, with its time priority, and the hidden part, which trades after all displayed quantities at
its price.  While the order is *incoming*, until :meth:`MarketProgram.rest`, all of it is displayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from exchange.clearing.payments import Execution
from exchange.clearing.problem import (
    ClearingOptimum,
    NetworkRows,
    OrderPart,
    ProgramLeg,
    ProgramOrder,
)
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.clearing.work_budget import WorkBudget
from exchange.vocabulary.orders import Order
from exchange.vocabulary.rules import MarketRules
from security_check.model.envelope import Direction

Legs = Sequence[Order]
"""An order, or all legs of a joint order, in their order."""


class MarketProgram:
    """The program over the open orders of some intervals.

    Parameters
    ----------
    intervals
        Starts of the intervals, in the order of their columns.
    connection_points
        In the network's order.
    rules
        Lot, exchange rate and reserve price.
    rows
        The rows of all intervals side by side, with the headrooms in force.
    budget
        As of :class:`exchange.clearing.welfare_clearing.WelfareClearing`.

    Attributes
    ----------
    clearing
        The program.
    """

    def __init__(
        self,
        intervals: Sequence[datetime],
        connection_points: Sequence[str],
        rules: MarketRules,
        rows: NetworkRows,
        budget: WorkBudget | None = None,
    ) -> None:
        self._intervals = {start: k for k, start in enumerate(intervals)}
        self._points: Mapping[str, int] = {p: i for i, p in enumerate(connection_points)}
        self._incoming: set[int] = set()
        self.clearing = WelfareClearing(
            rows,
            rules.lot_w,
            rules.exchange_rate,
            reserve_price_ticks=rules.reserve_price_ticks,
            intervals=len(self._intervals),
            budget=budget,
        )

    def __contains__(self, order_id: int) -> bool:
        return order_id in self.clearing.orders

    def add(self, legs: Legs, *, incoming: bool = False) -> bool:
        """Add an order; return whether it may lead to trades (``False`` is a proof)."""
        first = legs[0]
        if first.peak_w is None or incoming:
            if first.peak_w is not None:
                self._incoming.add(first.order_id)
            return self.clearing.add(self.program_order(legs, [leg.remaining_w for leg in legs]))
        may_trade = False
        if first.displayed_w:
            may_trade = self.clearing.add(self.program_order(legs, [first.displayed_w]))
        return self._set_hidden(first) or may_trade

    def add_all(self, orders: Iterable[Legs]) -> None:
        """Add orders, oldest first."""
        for legs in orders:
            self.add(legs)

    def add_all_of(self, interval: datetime, other: MarketProgram) -> None:
        """Add the orders of another program, which has one of the intervals here."""
        before = self._first_column(interval)
        orders = other.clearing.orders
        for entry in sorted(orders, key=lambda entry: entry.order.priority):
            legs = [replace(leg, column=before + leg.column) for leg in orders.remaining(entry)]
            self.clearing.add(replace(entry.order, legs=tuple(legs)))

    def withdraw(self, order_id: int) -> None:
        """Remove an order, if it is here."""
        self._incoming.discard(order_id)
        self._lower_to((order_id, False), 0)
        self._lower_to((order_id, True), 0)

    def lower(self, order: Order) -> bool:
        """Lower an order to the quantity left of it.

        Returns whether that may lead to trades: a conditional order may need less then.
        """
        if order.conditional:
            self.withdraw(order.order_id)
            return self.add([order])
        if order.peak_w is None or order.order_id in self._incoming:
            self._lower_to((order.order_id, False), order.remaining_w)
            return False
        if self._left_w((order.order_id, False)) < order.displayed_w:
            # It rested and was the taker all the same: then its hidden part traded first.
            self.withdraw(order.order_id)
            return self.add([order])
        self._lower_to((order.order_id, False), order.displayed_w)
        return self._set_hidden(order)

    def rest(self, order: Order) -> bool:
        """End the incoming state of an order; returns as :meth:`lower`."""
        self._incoming.discard(order.order_id)
        return order.order_id in self and self.lower(order)

    def _set_hidden(self, order: Order) -> bool:
        hidden_w = order.remaining_w - order.displayed_w
        part = order.order_id, True
        if self._left_w(part) or not hidden_w:
            self._lower_to(part, hidden_w)
            return False
        return self.clearing.add(self.program_order([order], [hidden_w], hidden=True))

    def _lower_to(self, part: OrderPart, quantity_w: int) -> None:
        excess_w = self._left_w(part) - quantity_w
        if excess_w > 0:
            number, hidden = part
            self.clearing.reduce(number, excess_w, hidden=hidden)

    def _left_w(self, part: OrderPart) -> int:
        """Return the watts left of a part of an order, 0 where it is not here."""
        entry = self.clearing.orders.find(part)
        return 0 if entry is None else self.clearing.orders.watts(entry, entry.units)

    def program_order(
        self, legs: Legs, quantities_w: Sequence[int], *, hidden: bool = False
    ) -> ProgramOrder:
        """Return the legs of an order as an order of the program.

        Parameters
        ----------
        legs
            The legs.
        quantities_w
            Watts of each.
        hidden
            Whether these are the part that an iceberg order does not display.
        """
        first = legs[0]
        return ProgramOrder(
            order_id=first.order_id,
            side=first.side,
            limit_price_ticks=first.limit_price_ticks,
            rank=first.order_id,
            legs=tuple(
                ProgramLeg(self.column(leg), quantity_w, leg.side, leg.limit_price_ticks)
                for leg, quantity_w in zip(legs, quantities_w, strict=True)
            ),
            minimum_w=sum(leg.required_w for leg in legs),
            hidden=hidden,
        )

    def column(self, order: Order) -> int:
        """Return the place of an order's limit among the columns."""
        offset = len(self._points) if order.direction is Direction.WITHDRAWAL else 0
        return self._first_column(order.interval) + offset + self._points[order.connection_point]

    def _first_column(self, interval: datetime) -> int:
        return 2 * len(self._points) * self._intervals[interval]

    def executions(self, optimum: ClearingOptimum) -> tuple[Execution, ...]:
        """Return what each order trades in an optimum, oldest first."""
        orders = self.clearing.orders
        return tuple(
            Execution(orders.entry(number).order, quantity_w)
            for number, quantity_w in sorted(optimum.quantities_w.items())
        )

    def open_w(self) -> dict[OrderPart, int]:
        """Return the watts left of each order, by displayed and hidden part."""
        orders = self.clearing.orders
        return {e.order.part: orders.watts(e, e.units) for e in orders}
