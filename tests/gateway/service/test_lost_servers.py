"""Broker and Redis come back: what is retained is right again, and the exchange goes on by itself.

Real servers, killed or stopped by their process ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_market import GATE, OPENING, START, client, market, order, retained, serving
from gateway_servers import Mosquitto
from listening import LONG_S, until

from exchange.vocabulary.commands import CloseGate
from gateway.ports import Outgoing
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.transport.mqtt import MqttTransport

QUICK = ServiceSettings(depth_s=0.05, heartbeat_s=1e6)
LATER = START + timedelta(minutes=15)


async def retained_by(broker: Mosquitto, area: str, settle_s: float = 0.3) -> dict[str, Any]:
    """Return what a client that comes now is sent of an area, by topic."""
    kept: dict[str, Any] = {}
    filters = (f"doe/v1/{area}/#",)
    settings = replace(broker.settings(f"{area}-reader"), session_expiry_s=0)
    async with MqttTransport(settings, filters) as reader:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settle_s):
                while True:
                    messages = await reader.receive(1_000)
                    kept |= {m.topic: json.loads(m.payload) for m in messages if m.payload}
                    reader.acknowledge(messages)
    return kept


async def retained_until(
    broker: Mosquitto, area: str, holds: Callable[[dict[str, Any]], bool]
) -> None:
    """Look again and again at what a client that comes now is sent."""
    async with asyncio.timeout(LONG_S):
        while not holds(await retained_by(broker, area)):
            pass


def expected(service: Service, now: datetime) -> dict[str, Any]:
    messages = retained(service.core, now)
    return {each.topic: json.loads(each.payload) for each in messages if each.payload}


def limits_of(kept: dict[str, Any]) -> dict[str, Any]:
    """Return what is retained, without the moments of publication."""
    left_out = ("confirmed_at", "holds_until", "time", "event")
    return {
        topic: {name: value for name, value in content.items() if name not in left_out}
        for topic, content in kept.items()
    }


PERSISTENT = "persistence true\npersistence_location {place}/\nautosave_interval 3600\n"


@pytest.mark.slow
@pytest.mark.parametrize("persistence", [False, True])
async def test_a_broker_that_was_killed_has_what_is_in_force_again(
    tmp_path: Path, redis_url: str, area: str, persistence: bool
) -> None:
    """Without persistence it has lost everything; with it, it comes back with an older state."""
    extra = PERSISTENT.format(place=tmp_path) if persistence else ""
    with Mosquitto(tmp_path, extra + "user root\n") as broker:
        async with (
            serving(area, broker.settings(f"{area}-x"), redis_url, settings=QUICK) as service,
            client(broker.settings(f"{area}-p0"), area, "p0") as p0,
            client(broker.settings(f"{area}-p1"), area, "p1") as p1,
        ):
            await service.request(replace(OPENING, start=LATER, end=LATER + (LATER - START)))
            await p0.ask(order("a1", 0, "sell", 1000, "0.0450", interval=str(START)))
            await asyncio.sleep(0.3)
            if persistence:
                broker.save(tmp_path / "mosquitto.db")
            await p1.ask(order("b1", 1, "buy", 400, "0.05", interval=str(START)))
            await service.request(CloseGate(START))
            await asyncio.sleep(0.3)
            broker.kill()
            broker.start()
            await p0.ask(order("a2", 0, "sell", 500, "0.0450", interval=str(LATER)))
            await asyncio.sleep(0.5)
            kept = await retained_by(broker, area)
            assert limits_of(kept) == limits_of(expected(service, GATE))


@pytest.mark.slow
async def test_envelopes_that_were_removed_do_not_come_back(
    tmp_path: Path, redis_url: str, area: str
) -> None:
    """The broker's file is from before the interval ended."""
    now = [GATE - timedelta(hours=2)]
    with Mosquitto(tmp_path, PERSISTENT.format(place=tmp_path) + "user root\n") as broker:
        settings = broker.settings(f"{area}-x")
        async with serving(
            area, settings, redis_url, settings=QUICK, clock=lambda: now[0]
        ) as service:
            await service.request(replace(OPENING, start=LATER, end=LATER + (LATER - START)))
            await service._outbox.drain(5)
            broker.save(tmp_path / "mosquitto.db")
            over = {service._market.topics.envelope(f"load:{k}", START) for k in range(6)}
            await retained_until(broker, area, lambda kept: over <= kept.keys())
            now[0] = OPENING.end
            await retained_until(broker, area, lambda kept: not over & kept.keys())
            broker.kill()
            broker.start()
            await until(lambda: service._transport.connections == 2)
            wanted = limits_of(expected(service, now[0]))
            assert not over & wanted.keys()
            await retained_until(broker, area, lambda kept: limits_of(kept) == wanted)


@pytest.mark.slow
async def test_retained_orders_are_not_placed_again(
    tmp_path: Path, redis_url: str, area: str
) -> None:
    with Mosquitto(tmp_path) as broker:
        topics = market(area).topics
        payload = json.dumps(order("a1", 0, "sell", 1000, "0.0450")).encode()
        async with (
            serving(area, broker.settings(f"{area}-x"), redis_url) as service,
            MqttTransport(broker.settings(f"{area}-p0")) as p0,
        ):
            await p0.publish([Outgoing(topics.order("p0"), payload, retain=True)])
            await until(lambda: len(service.core.exchange.state.orders) == 1)
            await asyncio.sleep(0.3)  # until it is acknowledged: else it is delivered once more
            before = service.core.sequence
            service._transport.reconnect()
            await asyncio.sleep(0.5)
            assert service.core.sequence == before
