"""The trading of one delivery interval: its phase, its books, its holdings."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from exchange.state.flexibility import Flexibility
from exchange.state.holdings import Holdings
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import Phase
from exchange.vocabulary.rules import BuyBack, ConnectionTerms
from exchange.vocabulary.serialization import from_plain, to_plain
from orderbook.book import OrderBook
from orderbook.order import Side
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits


class Session:
    """One delivery interval, from its opening to some time after its gate.

    Every order in a book has its claim in the holdings; the methods here keep the two together.

    Parameters
    ----------
    start, end, gate_closes_at
        The interval is ``[start, end)``; it trades until ``gate_closes_at``.
    interface_limits
        The TSO's interface limits in force.
    holdings
        The limits that each connection point holds.
    phase, phase_until
        Its phase, and the end of that phase.

    Attributes
    ----------
    halted
        Whether trading is halted until new interface limits are in force.
    suspended
        Whether trading is halted until the market operator resumes it.
    closed_at
        When the gate closed, ``None`` while it is open.
    books
        One per direction, with the firm orders.
    conditional
        One per direction, with the orders that trade only under a condition: a minimum, or all
        at once.
    buy_backs
        The buy-backs in force, by direction.
    flexibility
        The orders for flexibility, and what they have matched.
    """

    __slots__ = (
        "books",
        "buy_backs",
        "closed_at",
        "conditional",
        "end",
        "flexibility",
        "gate_closes_at",
        "halted",
        "holdings",
        "interface_limits",
        "phase",
        "phase_until",
        "start",
        "suspended",
    )

    def __init__(
        self,
        start: datetime,
        end: datetime,
        gate_closes_at: datetime,
        interface_limits: InterfaceLimits,
        holdings: Holdings,
        phase: Phase,
        phase_until: datetime,
    ) -> None:
        self.start = start
        self.end = end
        self.gate_closes_at = gate_closes_at
        self.interface_limits = interface_limits
        self.holdings = holdings
        self.phase = phase
        self.phase_until = phase_until
        self.halted = False
        self.suspended = False
        self.closed_at: datetime | None = None
        self.buy_backs: dict[Direction, BuyBack] = {}
        self.flexibility = Flexibility()
        self.books: dict[Direction, OrderBook[Order]] = {d: OrderBook() for d in Direction}
        self.conditional: dict[Direction, OrderBook[Order]] = {d: OrderBook() for d in Direction}

    @property
    def is_open(self) -> bool:
        """Whether the gate is still open."""
        return self.closed_at is None

    def add(self, order: Order) -> None:
        """Let an order rest in its book and claim its quantity in the holdings.  O(log n)."""
        self._book_of(order).add(order)
        self.holdings.add_order(order)

    def reduce(self, order: Order, by_w: int) -> None:
        """Reduce what remains of an order; at zero it leaves the book.  O(log n)."""
        self._book_of(order).reduce(order.order_id, by_w)
        self.holdings.release(order, by_w, closed=not order.remaining_w)

    def fill(self, order: Order, by_w: int) -> None:
        """Reduce a maker by a trade; at zero it leaves the book.  O(log n)."""
        self._book_of(order).fill(order.order_id, by_w)
        self.holdings.release(order, by_w, closed=not order.remaining_w)

    def remove(self, order: Order) -> None:
        """Take an order out of its book.  O(log n)."""
        self._book_of(order).cancel(order.order_id)
        self.holdings.release(order, order.remaining_w, closed=True)

    def set_buy_back(self, direction: Direction, wanted: BuyBack) -> None:
        """Put a buy-back into force.

        They are kept in the order of directions.  What is bought among equals may depend on it, and
        a restored session must go on as this one.
        """
        self.buy_backs = dict(sorted({**self.buy_backs, direction: wanted}.items()))

    def note_bought_back(self, direction: Direction, quantity_w: int) -> None:
        """Lower the quantity that is still wanted."""
        wanted = self.buy_backs[direction]
        self.buy_backs[direction] = replace(wanted, quantity_w=wanted.quantity_w - quantity_w)

    def _book_of(self, order: Order) -> OrderBook[Order]:
        return (self.conditional if order.conditional else self.books)[order.direction]

    def conditional_orders(self) -> list[Order]:
        """Return the open conditional orders of both directions, oldest first.  O(n log n)."""
        return _oldest_first(self.conditional.values())

    def makers(self, order: Order) -> Iterator[Order]:
        """Iterate over the orders that an order crosses, firm or conditional, by price and time.

        The books must not change meanwhile.  O(1) per maker.
        """
        side, price_ticks = order.side.opposite, order.limit_price_ticks
        firm = self.books[order.direction].orders(side, price_ticks)
        conditional = self.conditional[order.direction]
        if not conditional:
            return firm
        sign = -1 if side is Side.BUY else 1
        return heapq.merge(
            firm,
            conditional.orders(side, price_ticks),
            key=lambda maker: (sign * maker.limit_price_ticks, maker.order_id),
        )

    def orders(self) -> list[Order]:
        """Return the open orders of both directions, oldest first.  O(n log n)."""
        return _oldest_first([*self.books.values(), *self.conditional.values()])

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data, orders by number."""
        return {
            "start": to_plain(self.start),
            "end": to_plain(self.end),
            "gate_closes_at": to_plain(self.gate_closes_at),
            "closed_at": to_plain(self.closed_at),
            "halted": self.halted,
            "suspended": self.suspended,
            "phase": self.phase.value,
            "phase_until": to_plain(self.phase_until),
            "interface_limits": to_plain(self.interface_limits),
            "buy_backs": {d.value: to_plain(self.buy_backs[d]) for d in sorted(self.buy_backs)},
            "holdings": self.holdings.snapshot(),
            "orders": [to_plain(order) for order in self.orders()],
            "flexibility": self.flexibility.snapshot(),
        }

    @classmethod
    def restore(cls, data: dict[str, Any], terms: Mapping[str, ConnectionTerms]) -> Session:
        """Return the session a snapshot was taken of."""
        session = cls(
            start=datetime.fromisoformat(data["start"]),
            end=datetime.fromisoformat(data["end"]),
            gate_closes_at=datetime.fromisoformat(data["gate_closes_at"]),
            interface_limits=from_plain(InterfaceLimits, data["interface_limits"]),
            holdings=Holdings.restore(data["holdings"], terms),
            phase=Phase(data["phase"]),
            phase_until=datetime.fromisoformat(data["phase_until"]),
        )
        session.halted = data["halted"]
        session.suspended = data["suspended"]
        for direction, wanted in data["buy_backs"].items():
            session.set_buy_back(Direction(direction), from_plain(BuyBack, wanted))
        if data["closed_at"] is not None:
            session.closed_at = datetime.fromisoformat(data["closed_at"])
        # By number, because a book takes orders in the order of their priority only.
        for order in data["orders"]:
            session.add(from_plain(Order, order))
        session.flexibility = Flexibility.restore(data["flexibility"])
        return session

    def check_invariants(self) -> None:
        """Check books and holdings, each and together.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        for book in (*self.books.values(), *self.conditional.values()):
            book.check_invariants()
        self.holdings.check_invariants()
        self.flexibility.check_invariants()
        resting = {order.order_id for order in self.orders()}
        claiming = _numbers(position.orders for _, _, position in self.holdings.positions())
        assert resting == claiming, f"{self.start}: {resting ^ claiming} rest or claim alone"
        for books, conditional in ((self.books, False), (self.conditional, True)):
            for order in _oldest_first(books.values()):
                asked = order.conditions.apply_at_once(order.time_in_force)
                is_conditional = asked or order.joint_id is not None
                assert order.conditional is is_conditional, f"{order} is conditional, or is not"
                assert order.conditional is conditional, f"{order} is in the wrong book"
                assert order.displayed_w > 0, f"{order} shows nothing"
                partly = order.conditions.all_or_none and order.executed_w
                assert not partly, f"{order} is all-or-none and has traded in part"
        resting |= self.flexibility.orders.keys()
        assert self.is_open or not resting, f"{self.start} is closed with orders {resting}"


def _oldest_first(books: Iterable[OrderBook[Order]]) -> list[Order]:
    found = [order for book in books for side in Side for order in book.orders(side)]
    return sorted(found, key=lambda order: order.order_id)


def _numbers(groups: Iterable[Mapping[int, Order]]) -> set[int]:
    return {order_id for orders in groups for order_id in orders}
