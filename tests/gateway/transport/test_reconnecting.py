"""Hundreds of connections to a real broker, cut in every way, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import random
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from event_loops import on_each_loop
from gateway_servers import Mosquitto, binary, cut, steal
from listening import until

from gateway.errors import StaleWriterError, TransportError
from gateway.ports import Outgoing
from gateway.transport.mqtt import MqttTransport

CUTS = 200


@pytest.mark.parametrize("version", [4, 5])
@on_each_loop
async def test_nothing_is_lost_however_often_connections_are_cut(
    mosquitto: Mosquitto, area: str, version: int
) -> None:
    draw = random.Random(version)
    quick: dict[str, Any] = {"longest_backoff_s": 0.01, "inflight_out": 20}
    reader_settings = replace(mosquitto.settings(f"{area}-reader", version), **quick)
    writer_settings = replace(mosquitto.settings(f"{area}-writer", version), **quick)
    heard: list[int] = []

    async def listen(reader: MqttTransport) -> None:
        while True:
            messages = await reader.receive(draw.randrange(1, 30))
            if draw.random() < 0.5:
                await asyncio.sleep(0)
            reader.acknowledge(messages)
            heard.extend(int(each.payload) for each in messages)

    async def break_one(transports: list[MqttTransport]) -> None:
        victim = draw.choice(transports)
        way = draw.random()
        if way < 0.4 and victim.connected:
            cut(victim)
        elif way < 0.9:
            victim.reconnect()
        else:
            # A third client of the same name; the owner may be quicker for ever.
            with contextlib.suppress(AssertionError):
                await steal(writer_settings, clean=False)

    async with (
        asyncio.timeout(120),
        MqttTransport(reader_settings, [f"{area}/+"]) as reader,
        MqttTransport(writer_settings) as writer,
    ):
        listening = asyncio.create_task(listen(reader))
        confirmed = []
        number = 0
        for _ in range(CUTS):
            for _ in range(draw.randrange(0, 12)):
                confirmed.append(writer.publish([Outgoing(f"{area}/a", b"%d" % number)]))
                number += 1
            await break_one([reader, writer])
            await asyncio.sleep(draw.choice([0, 0, 0.001, 0.01, 0.03]))
        await asyncio.gather(*confirmed)
        await until(lambda: len(set(heard)) == number, within_s=30)
        assert reader._connection + writer._connection > CUTS / 4
        listening.cancel()
        await asyncio.wait({listening})
    first_heard = list(dict.fromkeys(heard))
    assert first_heard == sorted(first_heard)


@on_each_loop
async def test_a_broker_that_stands_still_is_left_and_found_again(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as server:
        settings = replace(server.settings("x"), keepalive_s=1, answer_within_s=0.3)
        async with MqttTransport(settings, ["a/+"]) as transport:
            server.pause()
            await until(lambda: not transport.connected)
            sent = transport.publish([Outgoing("a/a", b"x")])
            await asyncio.sleep(1.0)  # some attempts are not answered
            assert not transport.connected
            server.go_on()
            async with asyncio.timeout(10):
                await sent
                (message,) = await transport.receive(1)
            assert message.payload == b"x"
            assert transport._version == 5


@pytest.fixture
def secure_mosquitto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mosquitto]:
    """mosquitto with TLS, and its certificate among those that this process trusts."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(binary("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    # Started by root, mosquitto would become a user who cannot read the key.
    with Mosquitto(tmp_path, f"user root\ncertfile {certificate}\nkeyfile {key}\n") as server:
        yield server


@on_each_loop
async def test_tls(secure_mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(
        secure_mosquitto.settings("x"), tls=True, host="localhost", connect_within_s=2.0
    )
    async with MqttTransport(settings, ["a/+"]) as transport:
        payloads = [b"%d" % k + bytes(50_000) for k in range(30)]
        sent = transport.publish([Outgoing("a/a", each) for each in payloads])
        heard: list[bytes] = []
        async with asyncio.timeout(20):
            while len(heard) < 15:
                messages = await transport.receive(5)
                transport.acknowledge(messages)
                heard += [each.payload for each in messages]
            transport.reconnect()
            while len(set(heard)) < 30:
                messages = await transport.receive(5)
                transport.acknowledge(messages)
                heard += [each.payload for each in messages]
            await sent
        assert list(dict.fromkeys(heard)) == payloads
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(TransportError, match=r"(?i)certificate"):
        async with MqttTransport(settings):
            pass
    plain = replace(settings, tls=False, answer_within_s=0.5)
    with pytest.raises(TransportError, match="no connection"):
        async with MqttTransport(plain):
            pass


class Lead:
    """Who may publish: at most one of two, and nobody may ask while it cannot be said."""

    def __init__(self) -> None:
        self.name, self.asked = "first", 0

    def may(self, name: str) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            self.asked += 1
            await asyncio.sleep(0.01)
            if self.name != name:
                raise StaleWriterError(f"{name} no longer leads")

        return ask


@on_each_loop
async def test_a_former_writer_publishes_nothing_on_a_new_connection(
    mosquitto: Mosquitto, area: str
) -> None:
    """Two of one client id end each other's connection; only who leads is heard after that."""
    settings = replace(mosquitto.settings(f"{area}-writer"), longest_backoff_s=0.02)
    lead = Lead()
    heard: list[bytes] = []
    async with (
        asyncio.timeout(30),
        MqttTransport(mosquitto.settings(f"{area}-reader"), [f"{area}/a"]) as reader,
        MqttTransport(settings, may_publish=lead.may("first")) as first,
    ):
        await first.publish([Outgoing(f"{area}/a", b"0")])
        lead.name = "second"
        async with MqttTransport(settings, may_publish=lead.may("second")) as second:
            waiting = first.publish([Outgoing(f"{area}/a", b"old", retain=True)])
            asked = lead.asked
            for number in range(1, 30):
                await second.publish([Outgoing(f"{area}/a", b"%d" % number)])
                if number % 10 == 0:
                    second.reconnect()
            await until(lambda: lead.asked > asked)
            while not heard or heard[-1] != b"29":
                messages = await reader.receive(100)
                reader.acknowledge(messages)
                heard += [each.payload for each in messages]
            assert not waiting.done()
        lead.name = "first"
        await waiting
    assert b"old" not in heard


async def test_a_writer_without_a_lead_does_not_start(mosquitto: Mosquitto, area: str) -> None:
    transport = MqttTransport(mosquitto.settings(area), may_publish=Lead().may("second"))
    with pytest.raises(StaleWriterError, match="second no longer leads"):
        await transport.__aenter__()
