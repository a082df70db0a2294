"""A mirror of what is public: session, books, prices, statistics, the tape, envelopes."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway.client.mirrors.books import Book
from gateway.client.mirrors.point_envelopes import PointEnvelopes
from gateway.client.mirrors.reading import read_as
from gateway.messages.area_state import SessionMessage
from gateway.messages.flexibility import FlexibilityBookMessage, FlexibilityTradeMessage
from gateway.messages.market_data import PriceMessage, StatisticsMessage, TradeMessage
from gateway.messages.topics import ROOT
from security_check.model.envelope import Direction

_TAPE = 1_000  # trades that are kept

BookKey = tuple[datetime, Direction]


class MarketTopic(StrEnum):
    """What a public message is about: the first level of its topic below the area."""

    SESSION = "session"
    BOOK = "book"
    TRADE = "trade"
    STATISTICS = "statistics"
    PRICE = "price"
    ENVELOPE = "envelope"
    FLEXIBILITY = "flexibility"


_KINDS = {kind.value: kind for kind in MarketTopic}


class PublicMarket:
    """The public state of an area, as it was heard last.

    Parameters
    ----------
    area
        The area.

    Attributes
    ----------
    session
        Status, intervals, price collar and last alarm; ``None`` before it was heard.
    books, statistics
        By start of the interval and direction.
    prices
        Local prices by start of the interval.
    tape
        The last trades, the newest one last.
    envelopes
        Of all intervals, by connection point.
    flexibility_books, flexibility_tape
        What rests in the flexibility market, by start of the interval, and its last trades.
    """

    def __init__(self, area: str) -> None:
        self._prefix = f"{ROOT}/{area}/"
        self.session: SessionMessage | None = None
        self.books: dict[BookKey, Book] = {}
        self.statistics: dict[BookKey, StatisticsMessage] = {}
        self.prices: dict[datetime, PriceMessage] = {}
        self.tape: deque[TradeMessage] = deque(maxlen=_TAPE)
        self.envelopes: dict[str, PointEnvelopes] = {}
        self.flexibility_books: dict[datetime, FlexibilityBookMessage] = {}
        self.flexibility_tape: deque[FlexibilityTradeMessage] = deque(maxlen=_TAPE)

    @property
    def open_intervals(self) -> tuple[datetime, ...]:
        """Starts of the intervals that trade, earliest first."""
        intervals = () if self.session is None else self.session.intervals
        return tuple(sorted(each.start for each in intervals if each.phase == "open"))

    def topic_of(self, topic: str) -> MarketTopic | None:
        """Return what a topic is about, ``None`` where it is not public."""
        first, *_ = topic.removeprefix(self._prefix).split("/")
        return _KINDS.get(first)

    def take(self, topic: str, content: dict[str, Any] | None) -> bool:
        """Take a message, or (``None``) the removal of a retained one; return whether it counts.

        An envelope does not where it is older than the one before or has the same limits, nor does
        the removal of one that is not known.

        Raises
        ------
        ValueError
            When it is not of the form that its topic has.
        """
        levels = topic.removeprefix(self._prefix).split("/")
        kind = self.topic_of(topic)
        if content is None:
            return self._remove(kind, levels)
        match kind:
            case MarketTopic.SESSION:
                self.session = read_as(SessionMessage, content)
            case MarketTopic.BOOK:
                key = _key(content["interval"], content["direction"])
                book = self.books.get(key) or Book(key[1], key[0])
                book.take(content)
                self.books[key] = book
            case MarketTopic.TRADE:
                self.tape.append(read_as(TradeMessage, content))
            case MarketTopic.STATISTICS:
                figures = read_as(StatisticsMessage, content)
                self.statistics[figures.interval, figures.direction] = figures
            case MarketTopic.PRICE:
                prices = read_as(PriceMessage, content)
                self.prices[prices.interval] = prices
            case MarketTopic.FLEXIBILITY if levels[1] == "trade":
                self.flexibility_tape.append(read_as(FlexibilityTradeMessage, content))
            case MarketTopic.FLEXIBILITY:
                rests = read_as(FlexibilityBookMessage, content)
                self.flexibility_books[rests.interval] = rests
            case MarketTopic.ENVELOPE:
                point = levels[1]
                envelopes = self.envelopes.get(point) or PointEnvelopes(point)
                changed = envelopes.take(content)
                self.envelopes[point] = envelopes
                return changed
        return True

    def _remove(self, kind: MarketTopic | None, levels: list[str]) -> bool:
        match kind:
            case MarketTopic.BOOK:
                self.books.pop(_key(levels[2], levels[1]), None)
            case MarketTopic.STATISTICS:
                self.statistics.pop(_key(levels[2], levels[1]), None)
            case MarketTopic.PRICE:
                self.prices.pop(datetime.fromisoformat(levels[1]), None)
            case MarketTopic.FLEXIBILITY:
                self.flexibility_books.pop(datetime.fromisoformat(levels[2]), None)
            case MarketTopic.ENVELOPE:
                known = self.envelopes.get(levels[1])
                return known is not None and known.remove(datetime.fromisoformat(levels[2]))
        return True


def _key(interval: str, direction: str) -> BookKey:
    return datetime.fromisoformat(interval), Direction(direction)
