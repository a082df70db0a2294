"""What every client of an area knows of what is public, and how to wait for more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from gateway.client.feeds import Feed, Feeds
from gateway.client.mirrors.books import Book
from gateway.client.mirrors.point_envelopes import LimitsNow, PointEnvelopes
from gateway.client.mirrors.public_market import BookKey, MarketTopic, PublicMarket
from gateway.errors import TransportError
from gateway.messages.area_state import SessionMessage
from gateway.messages.flexibility import FlexibilityBookMessage, FlexibilityTradeMessage
from gateway.messages.market_data import PriceMessage, StatisticsMessage, TradeMessage
from gateway.messages.topics import Topics


@dataclass(frozen=True, slots=True)
class MarketMessage:
    """A public message: what it is about, its topic and its content.

    ``content`` is ``None`` where a retained message was removed, because its interval is over.
    """

    about: MarketTopic
    topic: str
    content: dict[str, Any] | None


class AreaView:
    """The public state of an area as a client has heard it last.

    Parameters
    ----------
    area
        The area.
    """

    def __init__(self, area: str) -> None:
        self.area = area
        self._topics = Topics(area)
        self._market = PublicMarket(area)
        self._market_feeds: Feeds[MarketMessage] = Feeds()
        self._envelope_feeds: Feeds[PointEnvelopes] = Feeds()
        self._changed = asyncio.Event()
        self._is_closed = False

    @property
    def session(self) -> SessionMessage | None:
        """Status of the exchange, intervals, price collar, last alarm; ``None`` at first."""
        return self._market.session

    @property
    def open_intervals(self) -> tuple[datetime, ...]:
        """Starts of the intervals that trade now, earliest first."""
        return self._market.open_intervals

    @property
    def books(self) -> Mapping[BookKey, Book]:
        """Depth by start of the interval and direction."""
        return MappingProxyType(self._market.books)

    @property
    def statistics(self) -> Mapping[BookKey, StatisticsMessage]:
        """What has traded, by start of the interval and direction."""
        return MappingProxyType(self._market.statistics)

    @property
    def prices(self) -> Mapping[datetime, PriceMessage]:
        """Local prices by start of the interval."""
        return MappingProxyType(self._market.prices)

    @property
    def tape(self) -> Sequence[TradeMessage]:
        """The last trades of the area, the newest one last."""
        return tuple(self._market.tape)

    @property
    def flexibility_books(self) -> Mapping[datetime, FlexibilityBookMessage]:
        """What rests in the flexibility market, by start of the interval."""
        return MappingProxyType(self._market.flexibility_books)

    @property
    def flexibility_tape(self) -> Sequence[FlexibilityTradeMessage]:
        """The last trades of the flexibility market, the newest one last."""
        return tuple(self._market.flexibility_tape)

    @property
    def envelopes(self) -> Mapping[str, PointEnvelopes]:
        """Envelopes by connection point."""
        return MappingProxyType(self._market.envelopes)

    def limits_now(self, connection_point: str, now: datetime | None = None) -> LimitsNow:
        """Return the limits that hold at a connection point: its envelope, or its fallback.

        Raises
        ------
        LookupError
            When no envelope of it has been heard.
        """
        envelopes = self._market.envelopes.get(connection_point)
        return (envelopes or PointEnvelopes(connection_point)).limits(now)

    def market_messages(self) -> Feed[MarketMessage]:
        """Return a feed of all public messages that come from now on."""
        return self._market_feeds.new()

    def envelope_changes(self) -> Feed[PointEnvelopes]:
        """Return a feed of the connection points whose limits change from now on."""
        return self._envelope_feeds.new()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at after each message.

        Raises
        ------
        TransportError
            When the client is closed.
        """
        while not condition():
            if self._is_closed:
                raise TransportError("the client is closed")
            await self._changed.wait()

    def _hear(self, topic: str, content: dict[str, Any] | None) -> None:
        """Take a public message."""
        about = self._market.topic_of(topic)
        if about is None:
            return
        counts = self._market.take(topic, content)
        self._market_feeds.put(MarketMessage(about, topic, content))
        if about is MarketTopic.ENVELOPE and counts:
            _, point, _ = topic.rsplit("/", 2)
            self._envelope_feeds.put(self._market.envelopes[point])
        self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _close(self) -> None:
        self._is_closed = True
        self._market_feeds.close()
        self._envelope_feeds.close()
        self._note_change()
