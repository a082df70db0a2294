"""The public depth of the books: price levels, without orders or owners.

Changes are published by the clock, all of a book since its last message together: so the number of
messages does not grow with that of the orders.  A message has the number of the event that changed
the book last, and that of the book's message before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exchange.vocabulary.events import (
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderReduced,
    OrderRefilled,
    Traded,
)
from exchange.vocabulary.recovery_events import LossAccepted
from gateway.messages.market_data import BookMessage
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.trade_prints import BookKey
from orderbook.order import Side
from security_check.model.envelope import Direction

Level = tuple[Side, int]
"""Side and price in ticks."""


@dataclass(slots=True)
class _OpenOrder:
    """An order in the public depth.

    Orders that trade under a condition only are not in it, nor are joint orders.  ``peak_w`` is the
    largest displayed part of an iceberg, ``displayed_w`` the part displayed now.
    """

    book: BookKey
    side: Side
    price_ticks: int
    remaining_w: int
    peak_w: int | None
    displayed_w: int

    def next_part_w(self, remaining_w: int) -> int:
        """Return the watts displayed when an order with ``remaining_w`` joins a level."""
        return remaining_w if self.peak_w is None else min(self.peak_w, remaining_w)


class Books:
    """Price levels of all books, kept up to date by events.

    Parameters
    ----------
    topics
        Where depth is published.
    price
        Turns ticks into the decimal string that is published.
    """

    def __init__(self, topics: Topics, price: Callable[[int], str]) -> None:
        self._topics = topics
        self._price = price
        self._orders: dict[int, _OpenOrder] = {}
        self._levels: dict[BookKey, dict[Level, int]] = {}
        self._event = 0  # the number of the event that is being applied
        self._sequences: dict[BookKey, int] = {}  # number of each book's last event
        self._published: dict[BookKey, int] = {}  # sequence of each book's last message
        self._touched: dict[BookKey, dict[Level, None]] = {}  # since that message; ordered sets
        self._stale: set[BookKey] = set()

    def open(self, start: datetime, event: int) -> list[Outgoing]:
        """Open the two empty books of an interval; return their first snapshots.

        ``event`` is the number of the event that opens them.
        """
        for direction in Direction:
            self._levels[start, direction] = {}
            self._sequences[start, direction] = event
        return [self.snapshot((start, direction)) for direction in Direction]

    def close(self, start: datetime) -> list[Outgoing]:
        """Close the books of an interval; return messages that remove their retained snapshots."""
        gone = [(start, direction) for direction in Direction]
        for key in gone:
            self._levels.pop(key, None)
            self._sequences.pop(key, None)
            self._published.pop(key, None)
            self._touched.pop(key, None)
            self._stale.discard(key)
        return [
            Outgoing(self._topics.book(direction, start), b"", retain=True) for _, direction in gone
        ]

    def apply(self, events: Sequence[Event]) -> None:
        """Apply one entry's events."""
        for event in events:
            self._event = event.sequence
            self._apply(event)
            if isinstance(event, LossAccepted):
                # What was published of events that are lost had higher numbers than now.
                self._sequences = dict.fromkeys(self._sequences, event.sequence)

    def changes(self) -> list[Outgoing]:
        """Return one delta for each book of which orders have changed since its last message.

        It has all levels of these orders, also those that are as before.  So it may be applied to
        the book as it was after any event since that message.
        """
        self._stale |= self._touched.keys()
        deltas = [
            self._message("delta", key, levels, self._published[key])
            for key, levels in self._touched.items()
        ]
        self._touched.clear()
        return deltas

    @property
    def stale_intervals(self) -> set[datetime]:
        """The intervals with books that changed since their last snapshot."""
        return {start for start, _ in self._stale}

    def stale_snapshots(self) -> list[Outgoing]:
        """Return snapshots of the books of which deltas went out since their last snapshot."""
        messages = [self.snapshot(key) for key in sorted(self._stale)]
        self._stale.clear()
        return messages

    def snapshots(self) -> list[Outgoing]:
        """Return snapshots of all books."""
        return [self.snapshot(key) for key in sorted(self._levels)]

    def snapshot(self, key: BookKey) -> Outgoing:
        """Return all levels of a book: bids from the best down, then offers from the best up."""
        best_first = sorted(
            self._levels[key],
            key=lambda level: (level[0], -level[1] if level[0] is Side.BUY else level[1]),
        )
        self._touched.pop(key, None)
        return self._message("snapshot", key, best_first, None)

    def sequence(self, key: BookKey) -> int | None:
        """Return the number of a book's last event, ``None`` where it is not open.  O(1)."""
        return self._sequences.get(key)

    def _apply(self, event: Event) -> None:
        match event:
            case OrderAccepted():
                terms = event.terms
                if terms.conditions.apply_at_once(terms.time_in_force):
                    return
                order = _OpenOrder(
                    (terms.interval, terms.direction),
                    terms.side,
                    event.limit_price_ticks,
                    remaining_w=0,
                    peak_w=terms.conditions.displayed_w,
                    displayed_w=0,
                )
                self._orders[event.order_id] = order
                self._set(event.order_id, terms.quantity_w)
            case OrderAmended() if event.order_id == event.previous_order_id:
                self._lower(event.order_id, event.remaining_w)
            case OrderAmended() | OrderRefilled() if event.previous_order_id in self._orders:
                order = self._orders[event.previous_order_id]
                self._set(event.previous_order_id, 0)
                if isinstance(event, OrderAmended):
                    order.price_ticks = event.limit_price_ticks
                self._orders[event.order_id] = order
                self._set(event.order_id, event.remaining_w)
            case OrderCancelled() if event.order_id in self._orders:
                self._set(event.order_id, 0)
            case OrderReduced():
                self._lower(event.order_id, event.remaining_w)
            case Traded():
                self._trade(event)

    def _trade(self, event: Traded) -> None:
        """Reduce the traded orders; of resting orders the displayed part is reduced first."""
        for fill in event.fills:
            order = self._orders.get(fill.order_id)
            if order is None:
                continue
            remaining_w = order.remaining_w - fill.quantity_w
            if fill.order_id == event.taker_order_id:
                self._lower(fill.order_id, remaining_w)
            else:
                displayed_w = max(0, order.displayed_w - fill.quantity_w)
                self._set(fill.order_id, remaining_w, displayed_w)

    def _lower(self, order_id: int, remaining_w: int) -> None:
        """Reduce an order of the public depth; its hidden part is reduced first."""
        if order_id in self._orders:
            displayed_w = min(self._orders[order_id].displayed_w, remaining_w)
            self._set(order_id, remaining_w, displayed_w)

    def _set(self, order_id: int, remaining_w: int, displayed_w: int | None = None) -> None:
        """Set the remaining and the displayed part of an order, and update its price level."""
        order = self._orders[order_id]
        if displayed_w is None:
            displayed_w = order.next_part_w(remaining_w)
        level = (order.side, order.price_ticks)
        levels = self._levels.setdefault(order.book, {})
        was_w = levels.get(level, 0)
        if order.book in self._sequences:
            self._sequences[order.book] = self._event
            self._touched.setdefault(order.book, {})[level] = None
        now_w = was_w + displayed_w - order.displayed_w
        order.remaining_w, order.displayed_w = remaining_w, displayed_w
        if now_w:
            levels[level] = now_w
        else:
            levels.pop(level, None)
        if not remaining_w:
            del self._orders[order_id]

    def _message(
        self, kind: Any, key: BookKey, levels: Iterable[Level], previous: int | None
    ) -> Outgoing:
        now = self._levels[key]
        self._published[key] = self._sequences[key]
        payload = BookMessage.encode(
            type=kind,
            direction=key[1],
            interval=key[0],
            sequence=self._sequences[key],
            previous=previous,
            levels=tuple(
                {
                    "side": side,
                    "price": self._price(ticks),
                    "quantity_w": now.get((side, ticks), 0),
                }
                for side, ticks in levels
            ),
        )
        return Outgoing(self._topics.book(key[1], key[0]), payload, retain=previous is None)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "books": [
                [start.isoformat(), direction.value, sequence]
                for (start, direction), sequence in self._sequences.items()
            ],
            "orders": [
                [
                    number,
                    start.isoformat(),
                    direction,
                    each.side,
                    each.price_ticks,
                    each.remaining_w,
                    each.peak_w,
                    each.displayed_w,
                ]
                for number, each in self._orders.items()
                for start, direction in [each.book]
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        for number, start, direction, side, ticks, remaining_w, peak_w, displayed_w in state[
            "orders"
        ]:
            key = (datetime.fromisoformat(start), Direction(direction))
            self._orders[number] = _OpenOrder(key, Side(side), ticks, 0, peak_w, 0)
            self._set(number, remaining_w, displayed_w)
        for start, direction, sequence in state["books"]:
            key = (datetime.fromisoformat(start), Direction(direction))
            self._sequences[key] = self._published[key] = sequence
            self._levels.setdefault(key, {})
