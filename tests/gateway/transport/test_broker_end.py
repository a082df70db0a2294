"""The embedded broker ends in time and in silence, whatever its clients do meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest
from event_loops import on_each_loop

from gateway.ports import Outgoing
from gateway.transport import broker_log
from gateway.transport.embedded_broker import EmbeddedBroker
from gateway.transport.mqtt import MqttTransport

SUBSCRIBE = b"\x82\x08\0\1\0\3a/#\1"
ENDING_S = 15.0


def connect(broker: EmbeddedBroker, name: bytes, *more: bytes) -> socket.socket:
    wire = socket.create_connection((broker.host, broker.port))
    body = b"\0\4MQTT\4\2\0\x3c" + len(name).to_bytes(2, "big") + name
    wire.sendall(b"".join((bytes((0x10, len(body))) + body, *more)))
    return wire


def first_bytes(broker: EmbeddedBroker, data: bytes) -> socket.socket:
    wire = socket.create_connection((broker.host, broker.port))
    wire.sendall(data)
    return wire


@pytest.mark.parametrize("messages", [0, 300])
@on_each_loop
async def test_the_broker_ends_while_clients_are_busy(
    messages: int, caplog: pytest.LogCaptureFixture
) -> None:
    unhandled: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(str(context)))
    broker = EmbeddedBroker()
    await broker.__aenter__()
    wires = [connect(broker, b"deaf%d" % k, SUBSCRIBE) for k in range(3)]
    wires += [first_bytes(broker, data) for data in (b"", b"\x10\x50\0", b"GET / HTTP/1.1\r\n\r\n")]
    for k in range(5):
        connect(broker, b"gone%d" % k, SUBSCRIBE, b"\x32\x06\0\1a\0\1x").close()
    async with (
        MqttTransport(broker.settings("reader"), ["a/#"]) as reader,
        MqttTransport(broker.settings("writer")) as writer,
    ):
        for _ in range(messages):
            writer.publish([Outgoing("a/a", bytes(1000))])
        await asyncio.sleep(0.1)
        reader.acknowledge(await reader.receive(20) if messages else [])
        logging.getLogger("gateway").disabled = True
        caplog.clear()
        for _ in range(messages):
            writer.publish([Outgoing("a/a", bytes(1000))])
        async with asyncio.timeout(ENDING_S):
            await broker.__aexit__()
        logging.getLogger("gateway").disabled = False
        ended = [each for each in caplog.records if each.name.startswith(("amqtt", "asyncio"))]
    for wire in wires:
        wire.close()
    gc.collect()
    await asyncio.sleep(0)
    assert ended == []
    assert unhandled == []


def test_a_warning_that_differs_in_numbers_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_log._NOISE, "_logged_at", {})
    log = logging.getLogger("amqtt.mqtt.protocol.handler")
    for number in range(50):
        log.warning("Timeout waiting for PUBACK for packet ID %d", number)
    log.warning("something else")
    with broker_log.nothing_logged():
        log.error("the end")
    log.error("still there")
    assert [each.getMessage() for each in caplog.records] == [
        "Timeout waiting for PUBACK for packet ID 0",
        "something else",
        "still there",
    ]
    monkeypatch.setattr(broker_log, "_AGAIN_AFTER_S", 0.0)
    log.warning("Timeout waiting for PUBACK for packet ID %d", 50)
    assert len(caplog.records) == 4
