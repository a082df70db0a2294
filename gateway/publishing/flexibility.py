"""What the exchange says of its flexibility market: reports, the tape, and what rests.

The public book of an interval is published as a whole, retained, by the clock when it has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from doe_allocation.procurement.choices import FlexDirection
from exchange.vocabulary.events import Event, GateClosed, OrderCancelled, SessionOpened
from exchange.vocabulary.flexibility_events import (
    FlexibilityAccepted,
    FlexibilityBlocked,
    FlexibilityMatched,
)
from exchange.vocabulary.recovery_events import LossAccepted
from exchange.vocabulary.rules import MarketRules
from gateway.messages import flexibility as messages
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.participant_reports import ParticipantReport
from gateway.publishing.trade_prints import price_text
from orderbook.order import Side


def flexibility_reports(event: Event, rules: MarketRules) -> Iterator[ParticipantReport]:
    """Yield the reports of a matching, or of pairs that are blocked, to the owners of orders."""
    match event:
        case FlexibilityMatched():
            for fill in event.fills:
                average = Fraction(abs(fill.amount), fill.quantity_w)
                yield ParticipantReport.of(
                    fill.participant,
                    messages.FlexibilityMatchedReport,
                    fill,
                    trade_id=event.trade_id,
                    interval=event.interval,
                    price=price_text(average, rules),
                    amount=f"{rules.amount_in_eur(fill.amount):f}",
                )
        case FlexibilityBlocked():
            for owner in event.owners:
                full = [
                    pair.element
                    for pair in event.pairs
                    if owner.order_id in (pair.offer_id, pair.request_id)
                ]
                yield ParticipantReport.of(
                    owner.participant,
                    messages.FlexibilityBlockedReport,
                    owner,
                    interval=event.interval,
                    elements=tuple(dict.fromkeys(full)),
                )


@dataclass(slots=True)
class _OpenOrder:
    """What is public of an open order."""

    interval: datetime
    level: tuple[FlexDirection, Side, str, int, bool]  # direction, side, bus, price, condition
    remaining_w: int


class FlexibilityBooks:
    """The public books of flexibility by interval, and the tape; they follow from events.

    Parameters
    ----------
    topics
        Where they are published.
    rules
        For the tick, and whether there is such a market at all.
    tape_expires_after_s
        Time for which a broker keeps the tape for a reader without a connection (MQTT 5).
    """

    def __init__(self, topics: Topics, rules: MarketRules, tape_expires_after_s: int) -> None:
        self._tape_expires_after_s = tape_expires_after_s
        self._topics = topics
        self._rules = rules
        self._orders: dict[int, _OpenOrder] = {}
        self._sequences: dict[datetime, int] = {}  # number of the last event of each open book
        self._stale: set[datetime] = set()

    def apply(self, events: Sequence[Event]) -> list[Outgoing]:
        """Apply one entry's events; return new books, the tape, and what removes old books."""
        if self._rules.flexibility is None:
            return []
        found: list[Outgoing] = []
        for event in events:
            match event:
                case SessionOpened():
                    self._sequences[event.start] = event.sequence
                    found.append(self._book(event.start))
                case FlexibilityAccepted():
                    terms = event.terms
                    level = (terms.direction, terms.side, event.bus, terms.limit_price_ticks)
                    self._orders[event.order_id] = _OpenOrder(
                        terms.interval, (*level, terms.conditional), 0
                    )
                    self._set(event.order_id, terms.quantity_w, event)
                case FlexibilityMatched():
                    found += self._tape(event)
                    for fill in event.fills:
                        left_w = self._orders[fill.order_id].remaining_w - fill.quantity_w
                        self._set(fill.order_id, left_w, event)
                case OrderCancelled() if event.order_id in self._orders:
                    self._set(event.order_id, 0, event)
                case GateClosed():
                    self._sequences.pop(event.interval, None)
                    self._stale.discard(event.interval)
                    topic = self._topics.flexibility_book(event.interval)
                    found.append(Outgoing(topic, b"", retain=True))
                case LossAccepted():
                    # What was published of events that are lost had higher numbers than now.
                    self._sequences = dict.fromkeys(self._sequences, event.sequence)
        return found

    def _set(self, order_id: int, remaining_w: int, event: Event) -> None:
        order = self._orders[order_id]
        order.remaining_w = remaining_w
        if not remaining_w:
            del self._orders[order_id]
        if order.interval in self._sequences:
            self._sequences[order.interval] = event.sequence
            self._stale.add(order.interval)

    def _tape(self, event: FlexibilityMatched) -> Iterator[Outgoing]:
        side = Side.SELL if event.buy_back else Side.BUY  # what the DSO buys has no request
        for direction in FlexDirection:
            counted = [f for f in event.fills if (f.side, f.direction) == (side, direction)]
            quantity_w = sum(fill.quantity_w for fill in counted)
            if not quantity_w:
                continue
            paid = Fraction(abs(sum(fill.amount for fill in counted)), quantity_w)
            payload = messages.FlexibilityTradeMessage.encode(
                trade_id=event.trade_id,
                time=event.time,
                interval=event.interval,
                direction=direction,
                quantity_w=quantity_w,
                price=price_text(paid, self._rules),
            )
            topic, kept_s = self._topics.flexibility_trade, self._tape_expires_after_s
            yield Outgoing(topic, payload, expires_after_s=kept_s)

    def changes(self) -> list[Outgoing]:
        """Return the books that have changed since the last call."""
        found = [self._book(start) for start in sorted(self._stale)]
        self._stale.clear()
        return found

    def books(self) -> list[Outgoing]:
        """Return all books."""
        return [self._book(start) for start in sorted(self._sequences)]

    def _book(self, start: datetime) -> Outgoing:
        levels: dict[tuple[FlexDirection, Side, str, int, bool], int] = {}
        for order in self._orders.values():
            if order.interval == start:
                levels[order.level] = levels.get(order.level, 0) + order.remaining_w
        payload = messages.FlexibilityBookMessage.encode(
            interval=start,
            sequence=self._sequences[start],
            levels=tuple(
                {
                    "side": side,
                    "direction": direction,
                    "bus": bus,
                    "price": f"{self._rules.price_in_eur_per_kw(ticks):f}",
                    "quantity_w": quantity_w,
                    "conditional": conditional,
                }
                for (direction, side, bus, ticks, conditional), quantity_w in sorted(levels.items())
            ),
        )
        return Outgoing(self._topics.flexibility_book(start), payload, retain=True)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "books": [[start.isoformat(), number] for start, number in self._sequences.items()],
            "orders": [
                [number, each.interval.isoformat(), *each.level, each.remaining_w]
                for number, each in self._orders.items()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        for start, number in state["books"]:
            self._sequences[datetime.fromisoformat(start)] = number
        for number, start, direction, side, bus, ticks, conditional, remaining_w in state["orders"]:
            level = (FlexDirection(direction), Side(side), bus, ticks, conditional)
            interval = datetime.fromisoformat(start)
            self._orders[number] = _OpenOrder(interval, level, remaining_w)
