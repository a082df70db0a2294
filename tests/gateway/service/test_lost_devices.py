"""Cancel on disconnect and dead man's switch: devices that are killed, stopped and cut off.

Against mosquitto and Redis, with devices and exchanges in processes of their own where they die.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer, cut
from guarded_device import GuardedDevice
from killed_exchange import Victim, journaled
from listening import Ear, until
from withheld_link import WithheldLink

from exchange.vocabulary.commands import SetSafeguard
from exchange.vocabulary.events import OrderAccepted, OrderCancelled
from exchange.vocabulary.reasons import OnDisconnect
from exchange.vocabulary.safeguard_events import SafeguardSet, SessionLost
from gateway.messages.safeguard_requests import last_will_of
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.transport.mqtt import MqttTransport

CANCEL: dict[str, Any] = {"on_disconnect": "cancel", "silent_s": None}
QUICK = ServiceSettings(probe_s=0.2, tick_s=0.02)


def _resting(service: Service) -> set[str]:
    orders = service.core.exchange.state.orders.values()
    return {f"{each.participant} {each.client_order_id}" for each in orders}


def _told(ear: Ear) -> list[tuple[Any, ...]]:
    """Return what p0 was told of cancelled orders and lost sessions."""
    return [
        (each["type"], each["reason"], each.get("client_order_id", each.get("orders")))
        for each in ear.on("report/p0")
        if each["type"] in ("cancelled", "session_lost")
    ]


async def _silent_within(service: Service, session: str, seconds: int) -> None:
    """Let a session be lost after less silence than a message may ask for."""
    number = service.core.sequence
    guard = (f"t{number}", session, None, OnDisconnect.KEEP, seconds)
    await service.request(SetSafeguard("p0", *guard))


async def test_orders_of_a_device_that_is_killed_are_cancelled_and_no_others(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    ear = Ear()
    async with (
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_server.url) as service,
        client(mosquitto.settings(f"{area}-ear"), area, "p0", on_message=ear) as other_device,
        client(mosquitto.settings(f"{area}-p1"), area, "p1") as p1,
        GuardedDevice(area, mosquitto.port, **CANCEL) as device,
    ):
        await p1.ask(order("b", 1, "sell", 1000, "0.0450"))
        await other_device.ask(order("c", 0, "sell", 1000, "0.0460"))
        assert _resting(service) == {"p0 a", "p1 b", "p0 c"}
        await device.kill()
        await until(lambda: len(_told(ear)) == 3)
        assert _told(ear) == [
            ("cancelled", "disconnected", "a"),
            ("cancelled", "disconnected", "c"),
            ("session_lost", "disconnected", 2),
        ]
        assert _resting(service) == {"p1 b"}
        assert ear.on("report/p0")[-1]["session"] == device.session


@pytest.mark.slow
async def test_a_device_that_stands_still_is_silent(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    ear = Ear()
    mqtt = mosquitto.settings(f"{area}-exchange")
    async with (
        serving(area, mqtt, redis_server.url, settings=QUICK) as service,
        client(mosquitto.settings(f"{area}-ear"), area, "p0", on_message=ear),
        client(mosquitto.settings(f"{area}-p1"), area, "p1") as p1,
        GuardedDevice(area, mosquitto.port, on_disconnect="keep", silent_s=3600) as device,
    ):
        await p1.ask(order("b", 1, "sell", 1000, "0.0450"))
        await _silent_within(service, device.session, 2)
        await asyncio.sleep(2.5)
        assert _resting(service) == {"p0 a", "p1 b"}, "it says that it lives"
        device.stop()
        await until(lambda: len(_told(ear)) == 2)
        assert _told(ear) == [("cancelled", "silent", "a"), ("session_lost", "silent", 1)]
        assert _resting(service) == {"p1 b"}


@pytest.mark.slow
async def test_a_broker_that_stands_still_makes_no_device_silent(
    redis_server: RedisServer, area: str, tmp_path: Path
) -> None:
    with Mosquitto(tmp_path) as broker:
        mqtt = broker.settings(f"{area}-exchange")
        async with (
            serving(area, mqtt, redis_server.url, settings=QUICK) as service,
            GuardedDevice(area, broker.port, on_disconnect="keep", silent_s=3600) as device,
        ):
            await _silent_within(service, device.session, 1)
            broker.pause()
            await asyncio.sleep(1.5)
            assert _resting(service) == {"p0 a"}
            broker.go_on()
            await asyncio.sleep(0.3)
            assert _resting(service) == {"p0 a"}
            device.stop()
            await until(lambda: not _resting(service))


@pytest.mark.slow
async def test_an_exchange_that_is_cut_off_takes_no_device_for_silent(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    async with (
        WithheldLink(mosquitto.settings(f"{area}-exchange")) as link,
        serving(area, link.settings, redis_server.url, settings=QUICK) as service,
        GuardedDevice(area, mosquitto.port, on_disconnect="keep", silent_s=3600) as device,
    ):
        await _silent_within(service, device.session, 1)
        link.withhold()  # what the exchange sends does not arrive; what it receives does
        await asyncio.sleep(1.5)
        await link.cut()
        await asyncio.sleep(0.3)
        assert _resting(service) == {"p0 a"}
        device.stop()
        await until(lambda: not _resting(service))


async def test_the_will_of_a_former_connection_has_no_effect(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    """The broker finds out late that the former connection is dead."""
    ear = Ear()
    topic = Topics(area).order("p0")
    former_id, present_id = (mosquitto.settings(f"{area}-{name}") for name in ("1", "2"))
    async with (
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_server.url) as service,
        MqttTransport(former_id, will=Outgoing(topic, last_will_of("e1"))) as former,
    ):
        device = {"device": present_id.client_id}  # the same, under another name at the broker
        guard = {"type": "safeguard", "request_id": "g1", "session": "e1", **device, **CANCEL}
        await former.publish([Outgoing(topic, json.dumps(guard).encode())])
        await until(lambda: _guarded(service) == {"e1"})
        async with client(
            present_id, area, "p0", subscriptions=(topic,), on_message=ear, safeguard=CANCEL
        ) as present:
            await present.ask(order("a", 0, "sell", 1000, "0.0450"))
            assert _guarded(service) == {present.session}
            cut(former)
            await until(lambda: {"type": "disconnected", "session": "e1"} in ear.on("order/p0"))
            await present.ask(order("b", 0, "sell", 1000, "0.0450"))
            assert _resting(service) == {"p0 a", "p0 b"}
            assert _told(ear) == []
            # The present one is guarded, and the next one will be.
            cut(present._transport)
            await until(lambda: len(_told(ear)) == 3)
            await until(lambda: _guarded(service) == {present.session})
            assert _resting(service) == set()


def _guarded(service: Service) -> set[str]:
    return {each.session for each in service.core.exchange.state.safeguards.of("p0")}


async def test_each_device_is_guarded_for_itself(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    async with (
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_server.url) as service,
        client(mosquitto.settings(f"{area}-3"), area, "p0") as third,
    ):
        roof, cellar = (
            client(mosquitto.settings(f"{area}-{name}"), area, "p0", safeguard=guard)
            for name, guard in (
                ("roof", CANCEL | {"device": "roof"}),
                ("cellar", CANCEL | {"device": "cellar"}),
            )
        )
        async with roof, cellar:
            await until(lambda: _guarded(service) == {roof.session, cellar.session})
            await third.ask(order("a", 0, "sell", 1000, "0.0450"))
            old = roof.session
            cut(roof._transport)
            await until(lambda: not _resting(service))
            await until(lambda: _guarded(service) == {roof.session, cellar.session})
            assert roof.session != old
        # Both have said good-bye, so there were no wills.
        await third.ask(order("b", 0, "sell", 1000, "0.0450"))
        assert _resting(service) == {"p0 b"}


async def test_a_will_that_is_delivered_again_cancels_once(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    ear = Ear()
    async with (
        WithheldLink(mosquitto.settings(f"{area}-exchange")) as link,
        serving(area, link.settings, redis_server.url) as service,
        client(
            mosquitto.settings(f"{area}-p0"), area, "p0", on_message=ear, safeguard=CANCEL
        ) as device,
    ):
        await device.ask(order("a", 0, "sell", 1000, "0.0450"))
        link.withhold()
        cut(device._transport)
        await until(lambda: not _resting(service))
        await until(lambda: device.session in _guarded(service))
        await device.send(order("b", 0, "sell", 1000, "0.0450"))
        await until(lambda: _resting(service) == {"p0 b"})
        await asyncio.sleep(0.2)  # journaled, and acknowledged into the link
        await link.cut()
        await until(lambda: any(each.get("repeated") for each in ear.on("report/p0")))
        await device.ask(order("c", 0, "sell", 1000, "0.0450"))
        assert _resting(service) == {"p0 b", "p0 c"}
        lost = [each for each in _told(ear) if each[0] == "session_lost"]
        assert set(lost) == {("session_lost", "disconnected", 1)}


async def test_a_device_that_floods_and_dies_is_guarded_too(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    settings = ServiceSettings(messages_per_second=1.0, burst=20)
    mqtt = mosquitto.settings(f"{area}-exchange")
    topic = Topics(area).order("p0")
    will = Outgoing(topic, last_will_of("e1"))
    async with (
        serving(area, mqtt, redis_server.url, settings=settings) as service,
        MqttTransport(mosquitto.settings(f"{area}-p0"), will=will) as device,
    ):
        guard = {"type": "safeguard", "request_id": "g1", "session": "e1", **CANCEL}
        flood = [order(f"f{number}", 0, "sell", 1, "0.0450") for number in range(500)]
        messages = [json.dumps(each).encode() for each in (guard, *flood)]
        await device.publish([Outgoing(topic, each) for each in messages])
        await until(lambda: len(_resting(service)) >= 10)
        cut(device)
        await until(lambda: not _resting(service))
        assert service.core.exchange.state.safeguards.broke("p0", "e1")


async def _kill_device(device: GuardedDevice, victim: Victim) -> None:
    await victim.kill()
    await victim.start()
    await device.kill()


async def _kill_both(device: GuardedDevice, victim: Victim) -> None:
    await victim.kill()
    await device.kill()
    await victim.start()


@pytest.mark.slow
@pytest.mark.parametrize("happen", [_kill_device, _kill_both])
async def test_a_safeguard_outlives_the_exchange(
    mosquitto: Mosquitto,
    redis_server: RedisServer,
    area: str,
    happen: Callable[[GuardedDevice, Victim], Awaitable[None]],
) -> None:
    """The exchange is killed between safeguard and last will; the broker keeps that for it."""
    ear = Ear()
    victim = Victim(area, f"mqtt://127.0.0.1:{mosquitto.port}", redis_server.url)
    await victim.start()
    try:
        async with (
            client(mosquitto.settings(f"{area}-ear"), area, "p0", on_message=ear),
            client(mosquitto.settings(f"{area}-p1"), area, "p1") as p1,
            GuardedDevice(area, mosquitto.port, **CANCEL) as device,
        ):
            await p1.ask(order("b", 1, "sell", 1000, "0.0450"))
            await happen(device, victim)
            await until(lambda: len(_told(ear)) == 2)
            assert _told(ear) == [
                ("cancelled", "disconnected", "a"),
                ("session_lost", "disconnected", 1),
            ]
            entries = await journaled(redis_server.url, area)
    finally:
        await victim.kill()
    kinds = (OrderAccepted, OrderCancelled, SafeguardSet, SessionLost)
    events = [each for entry in entries for each in entry.events if isinstance(each, kinds)]
    assert [type(each).__name__ for each in events] == [
        *("SafeguardSet", "OrderAccepted", "OrderAccepted", "OrderCancelled", "SessionLost")
    ]
    assert isinstance(events[-1], SessionLost)
    assert events[-1].session == device.session
