"""The connection of a participant: its mirror of orders, positions and envelopes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.client.broker_address import account_of, settings_of
from gateway.client.feeds import Feed, Feeds
from gateway.client.market import public_filters
from gateway.client.mirrors.own_orders import OwnOrder, OwnOrders
from gateway.client.mirrors.own_positions import HeldLimits, OwnPositions
from gateway.client.mirrors.public_market import MarketTopic
from gateway.client.requesting import RequestingClient
from gateway.errors import GatewayError
from gateway.messages.flexibility import FlexibilityMatchedReport
from gateway.messages.participant_reports import Report, TradedReport
from gateway.transport.json_listener import Content
from gateway.transport.mqtt_settings import MqttSettings

_LOG = logging.getLogger(__name__)
_REQUESTS = 100  # that a query may name
_OF_LIMITS = ("accepted", "joint_accepted")  # orders that the mirror keeps


class TradingConnection(RequestingClient):
    """What a participant knows of its orders, positions and envelopes.

    The parameters are those of :class:`gateway.client.trading.TradingClient`.
    """

    def __init__(
        self,
        broker: str | MqttSettings,
        area: str,
        participant: str | None = None,
        *,
        market_data: bool = False,
        cancel_on_disconnect: bool = False,
        silent_s: int | None = None,
        again_after_s: float = 2.0,
    ) -> None:
        settings = settings_of(broker, participant)
        self.participant = participant or account_of(settings)
        safeguard: dict[str, Any] | None = None
        if cancel_on_disconnect or silent_s is not None:
            on_disconnect = "cancel" if cancel_on_disconnect else "keep"
            safeguard = {"on_disconnect": on_disconnect, "silent_s": silent_s}
        about = set(MarketTopic) - {MarketTopic.ENVELOPE} if market_data else {MarketTopic.SESSION}
        filters = public_filters(area, sorted(about))
        super().__init__(settings, area, self.participant, filters, again_after_s, safeguard)
        self._orders = OwnOrders()
        self._positions = OwnPositions()
        self._fill_feeds: Feeds[TradedReport] = Feeds()
        self._match_feeds: Feeds[FlexibilityMatchedReport] = Feeds()
        self._points: set[str] = set()
        self._subscriptions: set[asyncio.Task[None]] = set()

    @property
    def orders(self) -> Mapping[str, OwnOrder]:
        """The own open orders by ``client_order_id``, oldest first."""
        return self._orders.open

    @property
    def positions(self) -> Mapping[tuple[str, datetime], HeldLimits]:
        """The limits held, by connection point and start of the interval."""
        return self._positions.held

    def order(self, client_order_id: str) -> OwnOrder | None:
        """Return an own order, open or among the last thousand that have ended."""
        return self._orders.find(client_order_id)

    def fills(self) -> Feed[TradedReport]:
        """Return a feed of the fills of own orders that come from now on."""
        return self._fill_feeds.new()

    def flexibility_fills(self) -> Feed[FlexibilityMatchedReport]:
        """Return a feed of what own orders for flexibility are matched from now on."""
        return self._match_feeds.new()

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect; all feeds end.  A safeguard cancels the orders now, as a lost link would."""
        for task in self._subscriptions:
            task.cancel()
        await super().__aexit__(*exc_info)
        self._fill_feeds.close()
        self._match_feeds.close()

    async def _outcomes(self, keys: Sequence[str]) -> dict[str, Content]:
        """Return what became of requests."""
        found: dict[str, Content] = {}
        for begin in range(0, len(keys), _REQUESTS):
            asked = list(keys[begin : begin + _REQUESTS])
            entries = await self._entries("requests", request_ids=asked)
            found |= {entry["request_id"]: entry for entry in entries}
        return found

    async def _rebuild(self) -> int:
        orders, positions = await self._pages("orders"), await self._pages("positions")
        entries = [each for each in _with_numbers(orders) if each[0]["type"] in _OF_LIMITS]
        there = {entry["client_order_id"] for entry, _ in entries}
        outcomes = await self._outcomes([key for key in self._orders.open if key not in there])
        # No report is applied meanwhile, and nothing is awaited from here on.
        for order in self._orders.rebuild(entries):
            self._orders.end(order.ended(outcomes[order.client_order_id]))
        self._positions.rebuild(_with_numbers(positions))
        self._hear_own_envelopes()
        self._note_change()
        return min(int(page["report_sequence"]) for page in orders + positions)

    def _apply(self, report: Report) -> None:
        self._orders.apply(report)
        self._positions.apply(report)
        self._hear_own_envelopes()
        if isinstance(report, TradedReport):
            self._fill_feeds.put(report)
        elif isinstance(report, FlexibilityMatchedReport):
            self._match_feeds.put(report)

    def _hear_own_envelopes(self) -> None:
        """Subscribe to the envelopes of own connection points, as these become known."""
        new = self._positions.connection_points - self._points
        if new:
            self._points |= new
            task = asyncio.create_task(self._subscribe(sorted(new)), name="client-subscribe")
            self._subscriptions.add(task)
            task.add_done_callback(self._subscriptions.discard)

    async def _subscribe(self, points: list[str]) -> None:
        try:
            await self._client.subscribe([self._topics.envelopes(point) for point in points])
        except GatewayError as error:
            _LOG.error("envelopes of %s cannot be heard: %s", ", ".join(points), error)


def _with_numbers(pages: list[Content]) -> list[tuple[dict[str, Any], int]]:
    return [(entry, page["report_sequence"]) for page in pages for entry in page["entries"]]
