"""SIGKILL at random moments: orders are journaled exactly once, and every fill is reported."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from functools import partial
from typing import Any

import pytest
from gateway_market import client, market, order
from gateway_servers import Mosquitto, RedisServer
from killed_exchange import Victim, journaled
from listening import until

from exchange.vocabulary.events import OrderAccepted, Refused, Traded
from gateway.ports import JournalEntry
from gateway.service.core import JournaledExchange

ORDERS = 2000
KILLS = 5
PARTICIPANTS = 4


class Customer:
    """A participant, and what the exchange told it; reports that come again count once."""

    def __init__(self, broker: Mosquitto, area: str, point: int) -> None:
        self.point, self.name = point, f"p{point}"
        self.orders: dict[tuple[str, str], int] = {}
        self.fills: Counter[tuple[Any, ...]] = Counter()
        settings = broker.settings(f"{area}-{self.name}")
        self.client = client(settings, area, self.name, on_message=self._note)

    async def order(self, client_id: str, quantity_w: int) -> None:
        side = "buy" if self.point % 2 else "sell"
        message = order(client_id, self.point, side, quantity_w, "0.0450")
        report = await self.client.ask(message, again_after_s=0.5)
        assert report["type"] == "accepted", report
        self.orders[self.name, client_id] = report["order_id"]

    def _note(self, topic: str, content: Any) -> None:
        if content["type"] == "traded":
            self.fills[tuple(content[name] for name in FILL)] += 1


FILL = ("trade_id", "order_id", "client_order_id", "side", "connection_point", "quantity_w")


def fills_of(entries: list[JournalEntry], participant: str) -> Counter[tuple[Any, ...]]:
    """Return the fills that a journal has for a participant, in the form of its reports."""
    trades = [event for entry in entries for event in entry.events if isinstance(event, Traded)]
    return Counter(
        tuple(getattr(fill, name, trade.trade_id) for name in FILL)
        for trade in trades
        for fill in trade.fills
        if fill.participant == participant
    )


@pytest.mark.slow
async def test_every_acknowledged_order_is_journaled_once_and_every_fill_is_reported_once(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    chance = random.Random(20260701)
    victim = Victim(area, f"mqtt://127.0.0.1:{mosquitto.port}", redis_server.url)
    customers = [Customer(mosquitto, area, point) for point in range(PARTICIPANTS)]
    numbers = iter(range(ORDERS))
    pause = asyncio.Semaphore(40)

    def answered(least: int) -> bool:
        return sum(len(customer.orders) for customer in customers) >= least

    async def ask_on(customer: Customer) -> None:
        for number in numbers:
            async with pause:
                await customer.order(f"n{number}", chance.randint(1, 50))

    async def kill_often() -> None:
        for kill in range(1, KILLS + 1):
            threshold = kill * ORDERS // (KILLS + 1) + chance.randint(-100, 100)
            await until(partial(answered, threshold), None, every_s=0.001)
            await victim.kill()
            await victim.start()

    try:
        async with asyncio.timeout(120), contextlib.AsyncExitStack() as connected:
            for customer in customers:
                await connected.enter_async_context(customer.client)
            await victim.start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(kill_often())
                for customer in customers * 10:
                    tasks.create_task(ask_on(customer))
            entries = await journaled(redis_server.url, area)
            filled = {customer: fills_of(entries, customer.name) for customer in customers}
            await until(lambda: all(customer.fills == filled[customer] for customer in customers))
    finally:
        await victim.kill()

    acknowledged = {key: number for each in customers for key, number in each.orders.items()}
    events = [event for entry in entries for event in entry.events]
    placed = [event for event in events if isinstance(event, OrderAccepted)]
    numbers_given = {(e.participant, e.client_order_id): e.order_id for e in placed}
    assert len(acknowledged) == len(placed) == ORDERS
    assert numbers_given == acknowledged
    assert not any(isinstance(event, Refused) for event in events)
    assert all(filled.values())
    assert all(customer.client.missed == 0 for customer in customers), "reports without a gap"
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    core = JournaledExchange(market(area))
    for entry in entries:
        core.apply(entry)
    core.exchange.check_invariants()
