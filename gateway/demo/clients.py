"""The customers of the demo as MQTT clients: one connection each.

They receive envelopes and reports over MQTT, send orders, and know nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from exchange.vocabulary.formatting import format_time
from gateway.demo.trading_agent import Agent, WantedOrder
from gateway.messages.topics import Topics
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.participant_client import ParticipantClient
from orderbook.order import Side
from security_check.model.envelope import Direction

_PATIENCE_S = 20.0  # answers take milliseconds; after this an answer is lost


@dataclass(slots=True)
class _PlacedOrder:
    """An open order, as its sender knows it."""

    wanted: WantedOrder
    interval: datetime
    remaining_w: int


class AgentClient:
    """Trades for one customer over MQTT.

    An asynchronous context manager: entering connects.

    Parameters
    ----------
    agent
        Decides on orders.
    settings
        The broker, and the customer's account.
    topics
        The area's topics.
    """

    def __init__(self, agent: Agent, settings: MqttSettings, topics: Topics) -> None:
        self.agent = agent
        customer = agent.customer
        self._client = ParticipantClient(
            settings,
            topics,
            customer.participant,
            (topics.envelopes(customer.connection_point),),
            self._take,
        )
        self._limits_w: dict[datetime, dict[Direction, int]] = {}
        self._orders: dict[str, _PlacedOrder] = {}
        self._unanswered: set[str | None] = set()
        self._short: list[Direction] = []
        self._changed = asyncio.Event()
        self._sent = 0

    async def __aenter__(self) -> Self:
        """Connect and listen."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""
        await self._client.__aexit__(*exc_info)

    def _take(self, topic: str, content: Any) -> None:
        if content is None:
            return  # the envelope of an interval that is over was removed
        if "fallback" in content:
            self._take_envelope(content)
        else:
            self._take_report(content)
        self._changed.set()

    def _take_envelope(self, content: dict[str, Any]) -> None:
        self._limits_w[datetime.fromisoformat(content["start"])] = {
            direction: content[f"{direction}_limit_w"] for direction in Direction
        }

    def _take_report(self, report: dict[str, Any]) -> None:
        client_order_id = report.get("client_order_id")
        order = self._orders.get(client_order_id) if client_order_id else None
        self._unanswered.discard(report.get("request_id"))
        match report["type"]:
            case "refused" if report["request"] == "submit":
                if order is not None and report["reason"] == "exceeds_holding":
                    self._short.append(order.wanted.direction)
                self._orders.pop(report["client_order_id"], None)
            case "cancelled":
                self._orders.pop(report["client_order_id"], None)
            case "traded" | "reduced" if order is not None:
                order.remaining_w -= report.get("quantity_w", report.get("reduced_by_w", 0))
                if order.remaining_w <= 0:
                    del self._orders[report["client_order_id"]]

    async def limits_w(self, interval: datetime) -> dict[Direction, int]:
        """Wait for the envelope of an interval and return its limits."""
        await self._until(lambda: interval in self._limits_w)
        return self._limits_w[interval]

    async def answered(self) -> None:
        """Wait until every message has its answer."""
        await self._until(lambda: not self._unanswered)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def place(self, wanted: list[WantedOrder], interval: datetime) -> int:
        """Send orders; return their number once the broker has them."""
        sent = []
        for each in wanted:
            self._sent += 1
            client_order_id = f"o{self._sent}"
            self._orders[client_order_id] = _PlacedOrder(each, interval, each.quantity_w)
            self._unanswered.add(client_order_id)
            order = {
                "type": "submit",
                "client_order_id": client_order_id,
                "connection_point": self.agent.customer.connection_point,
                "direction": each.direction,
                "interval": format_time(interval),
                "side": each.side,
                "quantity_w": each.quantity_w,
                "price": f"{each.price:f}",
            }
            sent.append(self._client.send(order))
        await asyncio.gather(*sent)
        return len(sent)

    async def raise_bids(self, interval: datetime) -> int:
        """Raise the open buy orders of an interval to their true value."""
        price = self.agent.second_look(Side.BUY)
        open_bids = [
            client_order_id
            for client_order_id, order in self._orders.items()
            if order.interval == interval
            and order.wanted.side is Side.BUY
            and order.wanted.price < price
        ]
        raises = [
            self._client.with_id({"type": "amend", "client_order_id": name, "price": f"{price:f}"})
            for name in open_bids
        ]
        self._unanswered.update(each["request_id"] for each in raises)
        await asyncio.gather(*(self._client.send(each) for each in raises))
        return len(open_bids)

    async def try_again(self, quarter: int, interval: datetime) -> int:
        """Place orders anew that were refused because the envelope had shrunk meanwhile."""
        directions, self._short = self._short, []
        limits_w = self._limits_w[interval]
        wanted = [self.agent.look(d, quarter, limits_w[d]) for d in directions]
        return await self.place([each for each in wanted if each is not None], interval)
