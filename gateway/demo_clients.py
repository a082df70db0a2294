"""The MQTT clients of the demo: one connection for each customer, and one for the TSO.

They know nothing but what comes over MQTT: envelopes and reports in, orders and limits out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.agents_trading import Agent, Wish
from gateway.files import format_time
from gateway.ports import Outgoing, Transport
from gateway.topics import Topics
from orderbook.order import Side
from security_check.envelope import Direction
from security_check.limits import InterfaceLimits

_PATIENCE_S = 20.0  # an answer that has not come by then never will


@dataclass(slots=True)
class _Order:
    """An order under way, as its sender knows it."""

    wish: Wish
    interval: datetime
    remaining_w: int


class AgentClient:
    """Trades for one customer over MQTT.

    Parameters
    ----------
    agent
        Decides.
    transport
        The customer's own connection, subscribed to its envelope and its reports.
    topics
        Of the area.
    """

    def __init__(self, agent: Agent, transport: Transport, topics: Topics) -> None:
        self.agent = agent
        self._transport = transport
        self._topic = topics.order(agent.customer.participant)
        self._limits_w: dict[datetime, dict[Direction, int]] = {}
        self._orders: dict[str, _Order] = {}
        self._unanswered: set[str] = set()
        self._short: list[Direction] = []
        self._changed = asyncio.Event()
        self._sent = 0

    async def listen(self) -> None:
        """Take in what the exchange says, until cancelled."""
        while True:
            messages = await self._transport.receive(64)
            for message in messages:
                content = json.loads(message.payload)
                if "intervals" in content:
                    self._take_envelopes(content)
                else:
                    self._take_report(content)
            self._transport.acknowledge(messages)
            self._changed.set()

    def _take_envelopes(self, content: dict[str, Any]) -> None:
        self._limits_w = {
            datetime.fromisoformat(interval["start"]): {
                direction: interval[f"{direction}_limit_w"] for direction in Direction
            }
            for interval in content["intervals"]
        }

    def _take_report(self, report: dict[str, Any]) -> None:
        client_order_id = report.get("client_order_id")
        order = self._orders.get(client_order_id) if client_order_id else None
        match report["type"]:
            case "accepted" | "amended":
                self._unanswered.discard(report["client_order_id"])
            case "refused":
                self._unanswered.discard(report["client_order_id"])
                if order is not None and report["reason"] == "exceeds_holding":
                    self._short.append(order.wish.direction)
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
        """Wait until everything sent has been answered."""
        await self._until(lambda: not self._unanswered)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def place(self, wishes: list[Wish], interval: datetime) -> int:
        """Send orders; returns their number once the broker has them."""
        messages = []
        for wish in wishes:
            self._sent += 1
            client_order_id = f"o{self._sent}"
            self._orders[client_order_id] = _Order(wish, interval, wish.quantity_w)
            self._unanswered.add(client_order_id)
            messages.append(
                self._message(
                    type="submit",
                    client_order_id=client_order_id,
                    connection_point=self.agent.customer.connection_point,
                    direction=wish.direction,
                    interval=format_time(interval),
                    side=wish.side,
                    quantity_w=wish.quantity_w,
                    price=f"{wish.price:f}",
                )
            )
        await self._transport.publish(messages)
        return len(messages)

    async def raise_bids(self, interval: datetime) -> int:
        """Go to the true value with the buy orders of an interval that are still open."""
        price = self.agent.second_look(Side.BUY)
        open_bids = [
            client_order_id
            for client_order_id, order in self._orders.items()
            if order.interval == interval
            and order.wish.side is Side.BUY
            and order.wish.price < price
        ]
        self._unanswered.update(open_bids)
        await self._transport.publish(
            [
                self._message(type="amend", client_order_id=name, price=f"{price:f}")
                for name in open_bids
            ]
        )
        return len(open_bids)

    async def try_again(self, quarter: int, interval: datetime) -> int:
        """Place anew what was refused because the envelope had shrunk in the meantime."""
        directions, self._short = self._short, []
        limits_w = self._limits_w[interval]
        wishes = [self.agent.look(d, quarter, limits_w[d]) for d in directions]
        return await self.place([wish for wish in wishes if wish is not None], interval)

    def _message(self, **content: Any) -> Outgoing:
        return Outgoing(self._topic, json.dumps(content).encode())


class TsoClient:
    """The TSO: sends new limits at the interface, and waits for the answer."""

    def __init__(self, transport: Transport, topics: Topics) -> None:
        self._transport = transport
        self._topic = topics.interface_limits

    async def send(self, update_id: str, interval: datetime, limits: InterfaceLimits) -> None:
        """Send the contract for an interval; returns when the exchange has answered."""
        content = {
            "update_id": update_id,
            "interval": format_time(interval),
            "voltage_min_pu": limits.voltage_min_pu,
            "voltage_max_pu": limits.voltage_max_pu,
            "injection_limit_w": limits.injection_limit_w,
            "withdrawal_limit_w": limits.withdrawal_limit_w,
        }
        await self._transport.publish([Outgoing(self._topic, json.dumps(content).encode())])
        async with asyncio.timeout(_PATIENCE_S):
            answered = False
            while not answered:
                messages = await self._transport.receive(16)
                answered = any(
                    update_id in (json.loads(m.payload).get(key) for key in _ANSWER_KEYS)
                    for m in messages
                )
                self._transport.acknowledge(messages)


_ANSWER_KEYS = ("update_id", "client_order_id")
