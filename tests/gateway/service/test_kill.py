"""SIGKILL at random moments: the journal holds every acknowledged order exactly once."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import gateway_market
import pytest
from gateway_market import client, market, order
from gateway_servers import Mosquitto, RedisServer
from listening import until

from exchange.vocabulary.events import OrderAccepted, Refused, Traded
from gateway.journal.redis_journal import RedisJournal
from gateway.service.core import JournaledExchange

ORDERS = 2000
KILLS = 5
PARTICIPANTS = 4
ROOT = Path(__file__).parents[3]


class Victim:
    """The server process, killed and started again until it is asked to stop."""

    def __init__(self, area: str, mqtt_url: str, redis_url: str) -> None:
        self._command = [sys.executable, gateway_market.__file__, area, mqtt_url, redis_url]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"ready\n"

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


@pytest.mark.slow
async def test_every_acknowledged_order_is_journaled_once(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    chance = random.Random(20260701)
    victim = Victim(area, f"mqtt://127.0.0.1:{mosquitto.port}", redis_server.url)
    await victim.start()
    acknowledged: dict[tuple[str, str], int] = {}
    numbers = iter(range(ORDERS))
    pause = asyncio.Semaphore(40)

    async def ask_on(point: int, customer: gateway_market.Client) -> None:
        for number in numbers:
            side = "buy" if point % 2 else "sell"
            message = order(f"n{number}", point, side, chance.randint(1, 50), "0.0450")
            async with pause:
                report = await customer.ask(message, again_after_s=0.5)
            assert report["type"] == "accepted", report
            acknowledged[f"p{point}", f"n{number}"] = report["order_id"]

    async def kill_often() -> None:
        for kill in range(1, KILLS + 1):
            threshold = kill * ORDERS // (KILLS + 1) + chance.randint(-100, 100)
            await until(lambda least=threshold: len(acknowledged) >= least, None, every_s=0.001)
            await victim.kill()
            await victim.start()

    try:
        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            tasks.create_task(kill_often())
            for point in range(PARTICIPANTS):
                customer = client(mosquitto.settings(f"{area}-p{point}"), area, f"p{point}")
                tasks.create_task(_within(customer, ask_on, point))
    finally:
        await victim.kill()

    core = JournaledExchange(market(area))
    async with RedisJournal(redis_server.url, area, read_only=True) as journal:
        events = [event async for entry in journal.read() for event in entry.events]
        async for entry in journal.read():
            core.apply(entry)
    accepted = Counter(
        (event.participant, event.client_order_id)
        for event in events
        if isinstance(event, OrderAccepted)
    )
    assert len(acknowledged) == ORDERS
    assert accepted == Counter(acknowledged.keys())
    numbers_given = {
        (event.participant, event.client_order_id): event.order_id
        for event in events
        if isinstance(event, OrderAccepted)
    }
    assert numbers_given == acknowledged
    assert not any(isinstance(event, Refused) for event in events)
    assert any(isinstance(event, Traded) for event in events)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    core.exchange.check_invariants()


async def _within(
    customer: gateway_market.Client,
    work: Callable[[int, gateway_market.Client], Awaitable[None]],
    point: int,
) -> None:
    async with customer:
        await asyncio.gather(*(work(point, customer) for _ in range(10)))
