"""Public statistics and local prices: retained, and published again when they have changed.

Statistics follow from events alone, so a restart makes the same again.  Local prices follow from
the last clearing program, which is not part of the state: after a restart they are computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import groupby, islice
from typing import Any

from exchange.market.local_prices import PointPrice
from exchange.vocabulary.events import (
    Event,
    GateClosed,
    InterfaceLimitsUpdated,
    JointOrderAccepted,
    OrderAccepted,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.rules import MarketRules
from gateway.messages.market_data import PriceMessage, StatisticsMessage
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.statistics import BookStatistics, figures, statistics_of
from gateway.publishing.trade_prints import BookKey, price_text
from security_check.model.envelope import Direction

AskPrices = Callable[[datetime], tuple[PointPrice, ...] | None]
"""Returns the local prices of an interval, ``None`` where they are not known."""

PRICES_AT_ONCE = 2
"""Largest number of intervals whose local prices are computed at once.

Orders wait meanwhile: 16 ms for an interval of 1,000 connection points, half of them with parts.
"""

_FINE = 1_000_000  # parts of a tick, as in price_text


class MarketData:
    """Statistics and local prices of an area.

    Parameters
    ----------
    topics
        The area's topics.
    rules
        For tick and reserve price.
    """

    def __init__(self, topics: Topics, rules: MarketRules) -> None:
        self._topics = topics
        self._rules = rules
        self._ends: dict[datetime, datetime] = {}
        self._statistics: dict[BookKey, BookStatistics] = {}
        self._traded_at: dict[BookKey, datetime] = {}
        self._stale_books: set[BookKey] = set()
        self._stale_prices: dict[datetime, None] = {}  # an ordered set, oldest change first
        self._published: dict[datetime, Any] = {}
        self._prices: dict[datetime, Outgoing] = {}

    def apply(self, events: Iterable[Event]) -> list[Outgoing]:
        """Apply one entry's events; return messages that remove retained ones.

        Local prices end with the gate, statistics when a session opens after the interval is over.
        """
        messages: list[Outgoing] = []
        for event in events:
            match event:
                case SessionOpened():
                    over = [start for start, end in self._ends.items() if end <= event.time]
                    messages += [each for start in over for each in self._forget(start)]
                    self._ends[event.start] = event.end
                case OrderAccepted():
                    self.mark_prices([event.terms.interval])
                case InterfaceLimitsUpdated():
                    self.mark_prices([event.interval])
                case JointOrderAccepted():
                    self.mark_prices([leg.interval for leg in event.legs])
                case Traded():
                    self.mark_prices([fill.interval for fill in event.fills])
                    self._trade(event)
                case GateClosed():
                    self._stale_prices.pop(event.interval, None)
                    self._published.pop(event.interval, None)
                    self._prices.pop(event.interval, None)
                    messages.append(_removed(self._topics.price(event.interval)))
        return messages

    def _trade(self, event: Traded) -> None:
        for book, one in statistics_of([event], self._rules).items():
            before = self._statistics.get(book)
            self._statistics[book] = one if before is None else before.followed_by(one)
            self._traded_at[book] = event.time
            self._stale_books.add(book)

    def _forget(self, start: datetime) -> Iterator[Outgoing]:
        del self._ends[start]
        for direction in Direction:
            book = (start, direction)
            if self._statistics.pop(book, None) is not None:
                del self._traded_at[book]
                self._stale_books.discard(book)
                yield _removed(self._topics.statistics(direction, start))

    def mark_prices(self, intervals: Iterable[datetime]) -> None:
        """Mark the local prices of intervals as possibly changed."""
        self._stale_prices |= dict.fromkeys(intervals)

    # -- what is published ----------------------------------------------------------------------

    def changed_statistics(self) -> list[Outgoing]:
        """Return the statistics that have changed since the last call."""
        messages = [self._statistics_message(book) for book in sorted(self._stale_books)]
        self._stale_books.clear()
        return messages

    def statistics(self) -> list[Outgoing]:
        """Return the statistics of all books that have traded."""
        return [self._statistics_message(book) for book in sorted(self._statistics)]

    def prices(self) -> list[Outgoing]:
        """Return the local prices last published of all intervals."""
        return list(self._prices.values())

    def changed_prices(self, ask: AskPrices, event: int, time: datetime | None) -> list[Outgoing]:
        """Return local prices that have changed since their last publication, of a few intervals.

        Parameters
        ----------
        ask
            Returns the local prices of an interval.
        event, time
            Of the last event.
        """
        messages = []
        for start in list(islice(self._stale_prices, PRICES_AT_ONCE)):
            del self._stale_prices[start]
            prices = ask(start)
            if prices is None:
                continue  # The published prices still follow from the last program.
            directions = directions_of(prices, self._rules)
            if directions != self._published.get(start):
                self._published[start] = directions
                payload = PriceMessage.encode(
                    interval=start, event=event, time=time, directions=directions
                )
                self._prices[start] = Outgoing(self._topics.price(start), payload, retain=True)
                messages.append(self._prices[start])
        return messages

    def _statistics_message(self, book: BookKey) -> Outgoing:
        content = figures(self._statistics[book], self._rules)
        payload = StatisticsMessage.encode(
            interval=book[0], direction=book[1], time=self._traded_at[book], **content
        )
        return Outgoing(self._topics.statistics(book[1], book[0]), payload, retain=True)

    # -- snapshots ------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return statistics as JSON-able data."""
        return {
            "ends": [[start.isoformat(), end.isoformat()] for start, end in self._ends.items()],
            "statistics": [
                [start.isoformat(), direction.value, traded_at.isoformat(), each.as_data()]
                for (start, direction), each in self._statistics.items()
                for traded_at in [self._traded_at[start, direction]]
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        for start, end in state["ends"]:
            self._ends[datetime.fromisoformat(start)] = datetime.fromisoformat(end)
        self.mark_prices(self._ends)
        for start, direction, traded_at, data in state["statistics"]:
            book = (datetime.fromisoformat(start), Direction(direction))
            self._statistics[book] = BookStatistics.from_data(data)
            self._traded_at[book] = datetime.fromisoformat(traded_at)


def directions_of(prices: Sequence[PointPrice], rules: MarketRules) -> list[dict[str, Any]]:
    """Return the local prices of an interval by direction, as entries of messages."""
    found = []
    for direction, group in groupby(prices, key=lambda price: price.direction):
        points = list(group)
        balance = _fine(points[0].balance_ticks)
        priced = [_point(point, balance, rules) for point in points if point.parts]
        found.append(
            {
                "direction": direction,
                "balance_price": price_text(balance, rules),
                "connection_points": priced,
            }
        )
    return found


def _point(point: PointPrice, balance: Fraction, rules: MarketRules) -> dict[str, Any]:
    # Each part is rounded before the sum, so that the published parts add up to the price.
    parts = [(part.element, _fine(part.price_ticks)) for part in point.parts]
    price = sum((ticks for _, ticks in parts), balance)
    return {
        "connection_point": point.connection_point,
        "price": price_text(price, rules),
        "parts": [
            {"element": element, "price": price_text(ticks, rules)} for element, ticks in parts
        ],
    }


def _fine(ticks: float) -> Fraction:
    return Fraction(round(ticks * _FINE), _FINE)


def _removed(topic: str) -> Outgoing:
    return Outgoing(topic, b"", retain=True)
