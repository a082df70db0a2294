"""Whatever a participant publishes, the exchange keeps its connection and hears the next message.

The participant is paho, or bytes on a socket; the brokers are real.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import product
from typing import Any

import paho.mqtt.client as paho
import pytest
from gateway_market import client, order, serving
from gateway_servers import MakeSettings
from listening import LONG_S, until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.formats.strict_json import KEPT_REQUEST_BYTES
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

STRANGE: dict[str, dict[str, Any]] = {
    "no properties": {},
    "empty texts": {"ContentType": "", "ResponseTopic": "a", "CorrelationData": b""},
    "user properties": {"UserProperty": [("", ""), ("a", "x" * 5000), ("a", "\U0010fffd")]},
    "many user properties": {"UserProperty": [(str(k), "v") for k in range(500)]},
    "soon expired": {"MessageExpiryInterval": 1},
    "never expires": {"MessageExpiryInterval": 2**32 - 1},
    "format": {"PayloadFormatIndicator": 1},
    "a topic alias": {"TopicAlias": 1},
    "long texts": {"ContentType": "x" * 60_000, "CorrelationData": b"\0" * 60_000},
}
PAYLOADS = {"empty": b"", "small": b"x", "not UTF-8": b"\xff\xfe", "large": bytes(700_000)}


@contextmanager
def peer(settings: MqttSettings) -> Iterator[paho.Client]:
    """An independent client, in a thread of its own."""
    version = paho.MQTTv5 if settings.version == 5 else paho.MQTTv311
    made = paho.Client(paho.CallbackAPIVersion.VERSION2, "peer", protocol=version)
    made.connect(settings.host, settings.port)
    made.loop_start()
    try:
        yield made
    finally:
        made.disconnect()
        made.loop_stop()


def exchange_on(settings: MqttSettings, topics: Topics) -> MqttTransport:
    return MqttTransport(
        settings, topics.incoming, ignore_retained=True, payload_at_most=KEPT_REQUEST_BYTES
    )


async def heard(transport: MqttTransport, ends_with: bytes) -> list[bytes]:
    """Receive and acknowledge until a message comes."""
    payloads: list[bytes] = []
    async with asyncio.timeout(LONG_S):
        while not payloads or payloads[-1] != ends_with:
            fresh = await transport.receive(100)
            transport.acknowledge(fresh)
            payloads += [each.payload for each in fresh]
    return payloads


async def test_every_message_of_a_participant_leaves_the_connection_as_it_is(
    broker: MakeSettings, area: str
) -> None:
    topics = Topics(area)
    settings = broker("exchange")
    long = f"doe/v1/{area}/order/" + "ü" * 32_700
    places = [topics.order("p1"), f"doe/v1/{area}/order/x y \U0010fffd", long]
    sent = 0
    async with exchange_on(settings, topics) as exchange:
        with peer(settings) as participant:
            strange = STRANGE if settings.version == 5 else {"none": {}}
            for values, payload, retain, qos in product(
                strange.values(), PAYLOADS.values(), (False, True), (0, 1, 2)
            ):
                made = None
                if settings.version == 5:
                    made = Properties(PacketTypes.PUBLISH)
                    for name, value in values.items():
                        setattr(made, name, value)
                topic = places[sent % 3]
                participant.publish(topic, payload, qos, retain, made)
                sent += 1
                if sent % 10 == 0:
                    await asyncio.sleep(0.01)  # its thread and ours share the time
            participant.publish(topics.order("p1"), b"end", 2)
            payloads = await heard(exchange, b"end")
        assert exchange._connection == 1
        assert max(len(each) for each in payloads) == KEPT_REQUEST_BYTES
        assert len(payloads) > sent / 2


async def test_an_order_without_acknowledgement_is_an_order(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    """Twelve of them once ended the market for a minute."""
    topics = Topics(area)
    async with (
        serving(area, broker("exchange"), redis_url) as service,
        client(broker("p0"), area, "p0") as p0,
    ):
        with peer(broker("peer")) as participant:
            for _ in range(12):
                participant.publish(topics.order("p0"), b"x", 0)
            info = participant.publish(
                topics.order("p1"),
                b'{"type":"submit","client_order_id":"q0","connection_point":"load:1","direction":'
                b'"injection","side":"sell","quantity_w":10,"price":"0.0200"}',
                0,
            )
            await until(info.is_published)
            answer = await p0.ask(order("a1", 0, "buy", 10, "0.02"))
        assert answer["type"] == "accepted"
        await until(lambda: service.core.exchange.state.next_trade_id == 2)
        transport = service._transport
        assert isinstance(transport, MqttTransport)
        assert transport._connection == 1


RAW = {
    "quality of service 3": bytes.fromhex("36 05 00 01 61 00 01"),
    "a topic that is not UTF-8": bytes.fromhex("32 07 00 02 61 ff 00 01 78"),
    "a topic with a null": bytes.fromhex("32 07 00 02 61 00 00 01 78"),
    "a filter as topic": bytes.fromhex("32 07 00 02 61 2b 00 01 78"),
    "a control character": bytes.fromhex("32 07 00 02 61 01 00 01 78"),
    "no topic": bytes.fromhex("32 05 00 00 00 01 78"),
    "packet id 0": bytes.fromhex("32 06 00 01 61 00 00 78"),
    "half a packet": bytes.fromhex("32 ff ff ff 7f 00 05"),
    "acknowledgement of nothing": bytes.fromhex("40 02 00 00 40 02 ff ff"),
    "garbage": bytes(range(0, 256, 3)),
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
async def test_bytes_of_a_participant_that_are_no_mqtt(
    broker: MakeSettings, area: str, raw: bytes
) -> None:
    topics = Topics(area)
    settings = broker("exchange")
    async with (
        exchange_on(settings, topics) as exchange,
        MqttTransport(broker("p1")) as p1,
    ):
        with closing(socket.create_connection((settings.host, settings.port))) as wire:
            version = settings.version or 5
            body = b"\0\4MQTT" + bytes((version, 2, 0, 60)) + (b"\0" if version == 5 else b"")
            body += b"\0\3raw"
            wire.sendall(bytes((0x10, len(body))) + body)
            await asyncio.sleep(0.02)
            wire.sendall(raw)
            await asyncio.sleep(0.02)
            await p1.publish([Outgoing(topics.order("p1"), b"end")])
            assert (await heard(exchange, b"end"))[-1] == b"end"
        assert exchange._connection == 1


async def test_a_retained_order_comes_once_and_not_with_every_connection(
    broker: MakeSettings, area: str
) -> None:
    topics = Topics(area)

    def connected_since(connections: int) -> bool:
        return exchange._connection > connections and exchange.connected

    async with (
        exchange_on(broker("exchange"), topics) as exchange,
        MqttTransport(broker("p1")) as p1,
    ):
        await p1.publish([Outgoing(topics.order("p1"), b"retained", retain=True)])
        await heard(exchange, b"retained")
        for _ in range(3):
            connections = exchange._connection
            exchange.reconnect()
            await until(partial(connected_since, connections))
            await asyncio.sleep(0.1)
        await p1.publish([Outgoing(topics.order("p1"), b"end")])
        assert await heard(exchange, b"end") == [b"end"]


async def test_a_message_larger_than_the_announced_maximum_ends_no_connection(
    broker: MakeSettings, area: str
) -> None:
    """A broker of MQTT 5 keeps it back; of one of 3.1.1 the beginning comes."""
    topics = Topics(area)
    settings = broker("exchange")
    async with (
        exchange_on(settings, topics) as exchange,
        MqttTransport(broker("p1")) as p1,
    ):
        began = time.monotonic()
        await p1.publish([Outgoing(topics.order("p1"), bytes(5_000_000))])
        await p1.publish([Outgoing(topics.order("p1"), b"end")])
        sizes = [len(each) for each in await heard(exchange, b"end")]
        assert sizes == ([3] if settings.version == 5 else [KEPT_REQUEST_BYTES, 3])
        assert exchange._connection == 1
        assert time.monotonic() - began < LONG_S
