"""A client that reads what is public."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

from gateway.client.area_view import AreaView
from gateway.client.broker_address import settings_of
from gateway.client.mirrors.public_market import MarketTopic
from gateway.messages.topics import ROOT
from gateway.transport.json_listener import JsonListener
from gateway.transport.mqtt_settings import MqttSettings

_BELOW = {
    MarketTopic.SESSION: "session",
    MarketTopic.BOOK: "book/#",
    MarketTopic.TRADE: "trade",
    MarketTopic.STATISTICS: "statistics/#",
    MarketTopic.PRICE: "price/+",
    MarketTopic.ENVELOPE: "envelope/+/+",
    MarketTopic.FLEXIBILITY: "flexibility/#",
}


def public_filters(area: str, about: Collection[MarketTopic]) -> tuple[str, ...]:
    """Return topic filters of public messages."""
    return tuple(f"{ROOT}/{area}/{_BELOW[each]}" for each in about)


class MarketClient(AreaView):
    """Reads what is public in an area: an asynchronous context manager.

    Parameters
    ----------
    broker
        ``mqtt[s]://user:password@host:port``, or settings.
    area
        The area.
    about
        What to hear; without it everything.

    Examples
    --------
    >>> async def next_interval():
    ...     async with MarketClient(broker, "north") as market:
    ...         await market.wait_until(lambda: market.open_intervals and market.books)
    ...         return market.session.status, market.session.intervals[-1].phase
    >>> asyncio.run(next_interval())
    ('online', 'open')
    """

    def __init__(
        self,
        broker: str | MqttSettings,
        area: str,
        about: Collection[MarketTopic] = tuple(MarketTopic),
    ) -> None:
        super().__init__(area)
        settings = settings_of(broker, None)
        self._listener = JsonListener(settings, public_filters(area, about), self._hear)

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker right now."""
        return self._listener.connected

    async def __aenter__(self) -> Self:
        """Connect; raises :class:`gateway.errors.TransportError`."""
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect; all feeds end."""
        await self._listener.__aexit__(*exc_info)
        self._close()
