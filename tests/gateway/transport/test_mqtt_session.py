"""The session on a broker that does what the test says, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
from event_loops import on_each_loop
from listening import LONG_S, until
from presence import there
from scripted_broker import (
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    SUBSCRIBE,
    ScriptedBroker,
    Wire,
    packet,
)

from gateway.errors import BrokerRefusedError, PublishRefusedError, TransportError
from gateway.ports import Incoming, Outgoing
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing may be logged as an error by asyncio: an exception that no code caught."""
    yield
    assert [each for each in caplog.get_records("call") if each.name == "asyncio"] == []


def reading(settings: MqttSettings, **more: Any) -> MqttTransport:
    return MqttTransport(settings, ["a/+"], **more)


def numbered(*numbers: int) -> list[Outgoing]:
    return [Outgoing("a/a", b"%d" % number) for number in numbers]


async def first(transport: MqttTransport) -> Incoming:
    async with asyncio.timeout(LONG_S):
        (message,) = await transport.receive(1)
    return message


async def good(wire: Wire) -> None:
    await wire.accepted()
    await wire.serve()


@on_each_loop
async def test_nothing_is_sent_before_the_broker_has_accepted() -> None:
    quiet: list[bool] = []
    order: list[int] = []

    async def ends(wire: Wire) -> None:
        await wire.accepted()

    async def late(wire: Wire) -> None:
        await wire.connect()
        quiet.append(await wire.silent(0.2))
        wire.accept()
        kind, _, body = await wire.packet()
        wire.grant(body)
        order.extend((kind, (await wire.packet())[0]))

    broker = ScriptedBroker(ends, late)
    async with broker.running() as settings, reading(settings) as transport:
        await until(lambda: not transport.connected)
        transport.publish(numbered(1))
        await until(lambda: len(order) == 2)
    assert quiet == [True]
    assert order == [SUBSCRIBE, PUBLISH]


@on_each_loop
@pytest.mark.parametrize("version", [4, 5])
async def test_messages_that_come_with_the_acceptance_are_not_lost(version: int) -> None:
    async def at_once(wire: Wire) -> None:
        await wire.connect()
        wire.accept(present=True, more=wire.message("a/a", b"x") + wire.message("a/a", b"y", 0))
        await wire.granted()
        assert await wire.packet() == (PUBACK, 0, b"\0\1")
        await wire.serve()

    broker = ScriptedBroker(at_once)
    async with broker.running(version=version) as settings, reading(settings) as transport:
        messages = [await first(transport), await first(transport)]
        assert [(each.payload, each.qos) for each in messages] == [(b"x", 1), (b"y", 0)]
        transport.acknowledge(messages)
        await asyncio.sleep(0.1)


@on_each_loop
@pytest.mark.parametrize("present", [True, False])
async def test_what_is_unconfirmed_is_sent_again_in_order_and_first(present: bool) -> None:
    seen: list[tuple[str, bytes, int, int]] = []

    async def confirms_the_second(wire: Wire) -> None:
        await wire.accepted()
        sent = [await wire.published() for _ in range(4)]
        wire.confirm(sent[1][2])
        await asyncio.sleep(0.05)

    async def looks(wire: Wire) -> None:
        await wire.accepted(present=present)
        for _ in range(5):
            seen.append(await wire.published())
            wire.confirm(seen[-1][2])
        await wire.serve()

    broker = ScriptedBroker(confirms_the_second, looks)
    async with broker.running() as settings, reading(settings) as transport:
        before = transport.publish(numbered(0, 1, 2, 3))
        await until(lambda: not transport.connected)
        after = transport.publish(numbered(4, 5))
        async with asyncio.timeout(LONG_S):
            await asyncio.gather(before, after)
    assert [each[1] for each in seen] == [b"0", b"2", b"3", b"4", b"5"]
    assert [each[2] for each in seen[:3]] == [1, 3, 4], "under their own packet ids"
    assert len({each[2] for each in seen}) == 5
    again = [bool(each[3] & 8) for each in seen]
    assert again == [present, present, present, False, False]


@on_each_loop
async def test_a_smaller_window_of_a_later_connection_is_kept_to() -> None:
    async def generous(wire: Wire) -> None:
        await wire.accepted(properties=b"\x21\x00\x09")
        for _ in range(9):
            await wire.published()
        assert await wire.silent(0.1)

    async def strict(wire: Wire) -> None:
        await wire.accepted(properties=b"\x21\x00\x02")
        sent = [await wire.published() for _ in range(2)]
        assert await wire.silent(0.1)
        for _ in range(18):
            wire.confirm(sent.pop(0)[2])
            sent.append(await wire.published())
        for each in sent:
            wire.confirm(each[2])
        await wire.serve()

    broker = ScriptedBroker(generous, strict)
    async with broker.running() as settings, reading(settings) as transport:
        async with asyncio.timeout(LONG_S):
            await transport.publish(numbered(*range(20)))


@on_each_loop
async def test_a_message_over_the_brokers_maximum_is_refused_and_the_others_are_not() -> None:
    async def small(wire: Wire) -> None:
        await wire.accepted(properties=b"\x27\x00\x00\x00\x64")
        await wire.serve()

    broker = ScriptedBroker(small)
    async with broker.running() as settings, reading(settings) as transport:
        large = transport.publish([Outgoing("a/a", bytes(100)), *numbered(1)])
        with pytest.raises(PublishRefusedError, match=r"a/a makes a packet of 12\d bytes.*100"):
            await large
        await transport.publish([Outgoing("a/a", bytes(70))])
    assert broker.connections == 1


@on_each_loop
@pytest.mark.parametrize("topic", ["a/+", "", "x" * 70_000, "\ud800"])
async def test_a_message_that_no_broker_takes_is_refused_and_ends_no_connection(topic: str) -> None:
    broker = ScriptedBroker(good)
    async with broker.running() as settings, reading(settings) as transport:
        with pytest.raises(PublishRefusedError, match="topic"):
            await transport.publish([*numbered(1), Outgoing(topic, b""), *numbered(2)])
        await transport.publish(numbered(3))
    assert broker.connections == 1


@on_each_loop
async def test_a_broker_without_acknowledgements_and_retained_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[int] = []

    async def plain(wire: Wire) -> None:
        await wire.accepted(properties=b"\x24\x00\x25\x00")
        seen.extend([(await wire.published())[3] for _ in range(3)])
        await wire.serve()

    broker = ScriptedBroker(plain)
    async with broker.running() as settings, reading(settings) as transport:
        await transport.publish([Outgoing("a/a", b"x", retain=True)] * 3)
        await until(lambda: len(seen) == 3)
    assert seen == [0, 0, 0]
    assert caplog.text.count("keeps no retained messages") == 1


@on_each_loop
@pytest.mark.parametrize(("version", "reason", "words"), [(5, 0x97, "quota exceeded")])
async def test_a_refusal_of_the_broker_reaches_the_caller(
    version: int, reason: int, words: str
) -> None:
    async def refuses(wire: Wire) -> None:
        await wire.accepted()
        for number in range(4):
            wire.confirm((await wire.published())[2], reason if number == 1 else 0x10)
        await wire.serve()

    broker = ScriptedBroker(refuses)
    async with broker.running(version=version) as settings, reading(settings) as transport:
        with pytest.raises(PublishRefusedError, match=f"message to a/a: {words}"):
            await transport.publish(numbered(1, 2, 3))
        await transport.publish(numbered(4))


@on_each_loop
async def test_the_brokers_keepalive_is_kept() -> None:
    pings: list[float] = []

    async def asks(wire: Wire) -> None:
        await wire.accepted(properties=b"\x13\x00\x01")
        loop = asyncio.get_running_loop()
        began = loop.time()
        while len(pings) < 3:
            assert (await wire.packet())[0] == PINGREQ
            wire.send(PINGRESP)
            pings.append(loop.time() - began)
        await wire.serve()

    broker = ScriptedBroker(asks)
    async with broker.running(keepalive_s=3600) as settings, reading(settings) as transport:
        await until(lambda: len(pings) == 3)
        assert transport.connected


@on_each_loop
async def test_a_broker_that_answers_no_ping_is_left(caplog: pytest.LogCaptureFixture) -> None:
    async def silent(wire: Wire) -> None:
        await wire.accepted()
        assert (await wire.packet())[0] == PINGREQ
        assert await wire.packet() == (0, 0, b"")

    broker = ScriptedBroker(silent, good)
    async with broker.running(keepalive_s=1) as settings, reading(settings) as transport:
        await until(lambda: broker.connections == 2 and transport.connected)
        await transport.publish(numbered(1))
    assert "did not answer a ping within 0.5 s" in caplog.text


@on_each_loop
@pytest.mark.parametrize("version", [4, 5])
async def test_each_quality_of_service_is_acknowledged_in_its_way(version: int) -> None:
    answers: list[Any] = []

    async def sends(wire: Wire) -> None:
        await wire.accepted()
        for qos in (0, 1, 2):
            wire.send(wire.message("a/a", b"%d" % qos, qos, 7 + qos))
        answers.append(await wire.packet())
        answers.append(await wire.packet())
        wire.send(packet(0x62, b"\0\x09"))
        answers.append(await wire.packet())
        answers.append(await wire.silent(0.1))
        await wire.serve()

    broker = ScriptedBroker(sends)
    async with broker.running(version=version) as settings, reading(settings) as transport:
        messages = [await first(transport) for _ in range(3)]
        assert [(each.payload, each.qos) for each in messages] == [(b"0", 0), (b"1", 1), (b"2", 2)]
        transport.acknowledge(messages)
        transport.acknowledge(messages)
        await until(lambda: len(answers) == 4)
        assert broker.connections == 1
    assert answers == [
        (PUBACK, 0, b"\0\x08"),
        (PUBREC, 0, b"\0\x09"),
        (PUBCOMP, 0, b"\0\x09"),
        True,
    ]


@on_each_loop
async def test_an_old_number_acknowledges_no_new_message() -> None:
    answers: list[Any] = []

    async def uses_a_number_twice(wire: Wire) -> None:
        await wire.accepted()
        wire.send(wire.message("a/a", b"old"))
        answers.append(await wire.packet())
        wire.send(wire.message("a/a", b"new"))
        answers.append(await wire.silent(0.2))
        await wire.serve()

    broker = ScriptedBroker(uses_a_number_twice)
    async with broker.running() as settings, reading(settings) as transport:
        old = await first(transport)
        transport.acknowledge([old])
        assert (await first(transport)).payload == b"new"
        transport.acknowledge([old])
        await until(lambda: len(answers) == 2)
    assert answers == [(PUBACK, 0, b"\0\1"), True]


@on_each_loop
async def test_an_old_connections_message_is_not_acknowledged_in_the_new_one() -> None:
    answers: list[Any] = []

    async def ends(wire: Wire) -> None:
        await wire.accepted()
        wire.send(wire.message("a/a", b"old"))
        await asyncio.sleep(0.05)

    async def keeps_it_back(wire: Wire) -> None:
        await wire.accepted()
        answers.append(await wire.silent(0.3))
        await wire.serve()

    broker = ScriptedBroker(ends, keeps_it_back)
    async with broker.running() as settings, reading(settings) as transport:
        old = await first(transport)
        await until(lambda: broker.connections == 2 and transport.connected)
        transport.acknowledge([old])
        await until(lambda: len(answers) == 1)
    assert answers == [True]


@on_each_loop
async def test_messages_of_an_old_connection_come_once() -> None:
    """What will be delivered again is not given out before, and what will not be is not lost."""

    async def sends(wire: Wire) -> None:
        await wire.accepted()
        wire.send(wire.message("a/a", b"1", 1) + wire.message("a/a", b"0", 0))
        await asyncio.sleep(0.05)

    async def sends_again(wire: Wire) -> None:
        await wire.accepted(present=True)
        wire.send(wire.message("a/a", b"1", 1, flags=8) + wire.message("a/a", b"end", 1, 2))
        await wire.serve()

    broker = ScriptedBroker(sends, sends_again)
    async with broker.running() as settings, reading(settings) as transport:
        await until(lambda: [each.payload for each in transport._received][-1:] == [b"end"])
        messages = await transport.receive(10)
        assert [each.payload for each in messages] == [b"0", b"1", b"end"]


@on_each_loop
@pytest.mark.parametrize("version", [4, 5])
async def test_retained_messages_are_acknowledged_and_ignored(version: int) -> None:
    async def retains(wire: Wire) -> None:
        await wire.connect()
        wire.accept()
        await wire.granted()
        wire.send(wire.message("a/a", b"old", 1, 5, 1) + wire.message("a/a", b"old", 0, flags=1))
        wire.send(wire.message("a/a", b"fresh", 1, 6))
        assert await wire.packet() == (PUBACK, 0, b"\0\5")
        await wire.serve()

    broker = ScriptedBroker(retains)
    async with (
        broker.running(version=version) as settings,
        reading(settings, ignore_retained=True) as transport,
    ):
        assert (await first(transport)).payload == b"fresh"


@on_each_loop
async def test_a_long_payload_is_cut_off() -> None:
    async def sends(wire: Wire) -> None:
        await wire.accepted()
        wire.send(wire.message("a/a", bytes(500_000)) + wire.message("a/a", b"x", 1, 2))
        await wire.serve()

    broker = ScriptedBroker(sends)
    async with (
        broker.running(version=4, largest_packet=200_000) as settings,
        reading(settings, payload_at_most=1000) as transport,
    ):
        assert [len((await first(transport)).payload) for _ in range(2)] == [1000, 1]


@on_each_loop
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("30 07 00 01 61 03 23 00 01", 0x94),
        ("36 00", 0x81),
        ("20 03 00 00 00", 0x82),
        ("90 04 00 07 00 01", 0x82),
        ("d0 01 00", 0x81),
    ],
)
@pytest.mark.parametrize("version", [4, 5])
async def test_what_a_broker_may_not_send_ends_the_connection_with_a_reason(
    sent: str, code: int, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[Any] = []

    async def bad(wire: Wire) -> None:
        await wire.accepted()
        wire.send(bytes.fromhex(sent if version == 5 else "36 00"))
        ends.append(await wire.packet())

    broker = ScriptedBroker(bad, good)
    async with broker.running(version=version) as settings, reading(settings) as transport:
        await until(lambda: broker.connections == 2 and transport.connected)
        await transport.publish(numbered(1))
    assert ends == [(DISCONNECT, 0, bytes((code,))) if version == 5 else (0, 0, b"")]
    assert "the broker sent" in caplog.text


@on_each_loop
async def test_a_broker_that_sends_more_than_it_may_is_borne(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """mosquitto does when it resumes a session; each new connection would get the same again."""
    acknowledged: list[Any] = []

    async def floods(wire: Wire) -> None:
        await wire.accepted()
        for number in range(1, 31):
            wire.send(wire.message("a/a", b"%d" % number, 1, number))
        while len(acknowledged) < 30:
            acknowledged.append(await wire.packet())
        await wire.serve()

    broker = ScriptedBroker(floods)
    received: list[Incoming] = []
    async with broker.running(inflight_in=5) as settings, reading(settings) as transport:
        while len(received) < 30:
            received += await transport.receive(100)
        transport.acknowledge(received)
        await until(lambda: len(acknowledged) == 30)
        assert broker.connections == 1
    assert [each.payload for each in received] == [b"%d" % number for number in range(1, 31)]
    assert caplog.text.count("the broker sends more than the 5 messages") == 1


@on_each_loop
async def test_messages_without_acknowledgement_are_bounded_and_block_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def floods(wire: Wire) -> None:
        await wire.accepted()
        for number in range(5000):
            wire.send(wire.message("a/a", b"%d" % number, 0))
        wire.send(wire.message("a/a", b"last", 1))
        await wire.serve()

    broker = ScriptedBroker(floods)
    async with broker.running(inflight_in=50) as settings, reading(settings) as transport:
        await transport.publish(numbered(1))
        await until(lambda: any(each.payload == b"last" for each in transport._received))
        messages = await transport.receive(10_000)
        assert [each.payload for each in messages] == [*(b"%d" % k for k in range(50)), b"last"]
    assert "4950 messages at quality of service 0 were dropped" in caplog.text


@on_each_loop
async def test_the_reason_of_a_disconnection_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def throws_out(wire: Wire) -> None:
        await wire.accepted()
        wire.send(packet(0xE0, b"\x8e\x07\x1f\x00\x04gone"))
        await wire.packet()

    broker = ScriptedBroker(throws_out, good)
    async with broker.running() as settings, reading(settings) as transport:
        await until(lambda: broker.connections == 2 and transport.connected)
    assert "another client took the session over (0x8e): gone" in caplog.text


@on_each_loop
async def test_confirmations_before_the_end_of_a_connection_count() -> None:
    async def confirms_and_goes(wire: Wire) -> None:
        await wire.accepted()
        _, _, number, _ = await wire.published()
        wire.send(packet(0x40, number.to_bytes(2, "big")) + packet(0xE0, b"\x8b"))
        await wire.packet()

    async def again(wire: Wire) -> None:
        await wire.accepted(present=True)
        assert (await wire.published())[1] == b"2"
        await wire.serve()

    broker = ScriptedBroker(confirms_and_goes, again)
    async with broker.running() as settings, reading(settings) as transport:
        await transport.publish(numbered(1))
        transport.publish(numbered(2))
        await until(lambda: broker.connections == 2 and transport.connected)
        await asyncio.sleep(0.1)


async def hangs(wire: Wire) -> None:
    await wire.connect()
    await wire.packet(60.0)


async def closes(wire: Wire) -> None:
    await wire.connect()


async def talks_nonsense(wire: Wire) -> None:
    await wire.connect()
    wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await wire.packet()


async def refuses_in_its_own_form(wire: Wire) -> None:
    await wire.connect()
    wire.send(b"\x20\x02\x00\x01")
    await wire.packet()


async def refuses_5(wire: Wire) -> None:
    await wire.connect()
    wire.accept(code=0x84)
    await wire.packet()


@on_each_loop
@pytest.mark.parametrize("old", [hangs, closes, talks_nonsense, refuses_in_its_own_form, refuses_5])
async def test_falls_back_to_311(old: Any) -> None:
    versions: list[int] = []

    async def broker_of_311(wire: Wire) -> None:
        body = await wire.connect()
        versions.append(body[6])
        if body[6] != 4:
            return
        wire.accept()
        await wire.granted()
        await wire.serve()

    broker = ScriptedBroker(old, broker_of_311)
    async with (
        broker.running(version=None, answer_within_s=0.3) as settings,
        reading(settings) as transport,
    ):
        await transport.publish(numbered(1))
    assert versions == [4]


@on_each_loop
async def test_a_broker_that_is_not_there_yet_is_not_taken_for_an_old_one() -> None:
    """Nor is one that ends a connection which it has accepted."""
    versions: list[int] = []

    async def ends(wire: Wire) -> None:
        await wire.connect()
        wire.accept()
        await wire.packet()

    async def looks(wire: Wire) -> None:
        versions.append((await wire.connect())[6])
        wire.accept()
        await wire.granted()
        await wire.serve()

    broker = ScriptedBroker(ends, looks)
    async with broker.running(version=None) as settings:
        port = settings.port
    late = asyncio.create_task(
        MqttTransport(
            MqttSettings("127.0.0.1", port, "x", longest_backoff_s=0.1), ["a/+"]
        ).__aenter__()
    )
    await asyncio.sleep(0.3)
    server = await asyncio.start_server(broker._serve, "127.0.0.1", port)
    transport = await late
    await transport.__aexit__()
    server.close()
    await asyncio.sleep(0.05)
    assert versions == [5]


@on_each_loop
@pytest.mark.parametrize("version", [4, 5])
async def test_a_refusal_at_the_start_is_raised_and_a_later_one_is_not(version: int) -> None:
    code = 5 if version == 4 else 0x87

    async def refuses(wire: Wire) -> None:
        await wire.connect()
        wire.accept(code=code)
        await wire.packet()

    broker = ScriptedBroker(refuses)
    async with broker.running(version=version) as settings:
        with pytest.raises(BrokerRefusedError, match="refused the connection: not authorised"):
            async with reading(settings):
                pass

    async def ends(wire: Wire) -> None:
        await wire.accepted()

    broker = ScriptedBroker(ends, refuses, refuses, good)
    async with broker.running(version=version) as settings, reading(settings) as transport:
        await until(lambda: broker.connections == 4 and transport.connected)
        await transport.publish(numbered(1))


@on_each_loop
async def test_a_broker_that_never_answers_is_an_error_in_time() -> None:
    broker = ScriptedBroker(hangs)
    async with broker.running(version=None, answer_within_s=0.1, connect_within_s=0.5) as settings:
        with pytest.raises(TransportError, match=r"within 0\.5 s; the last attempt: no answer"):
            async with reading(settings):
                pass
        assert broker.connections > 2


@on_each_loop
async def test_a_broker_that_does_not_read_is_not_buried() -> None:
    """What waits is in our queue and not in the write buffer, and comes in order."""
    got: list[bytes] = []
    go_on = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.accepted()
        await go_on.wait()
        while len(got) < 200:
            _, payload, number, _ = await wire.published()
            got.append(payload[:3])
            wire.confirm(number)
        await wire.serve()

    broker = ScriptedBroker(slow)
    async with broker.running() as settings, reading(settings) as transport:
        confirmed = transport.publish(
            [Outgoing("a/a", b"%03d" % number + bytes(200_000)) for number in range(200)]
        )
        await asyncio.sleep(0.3)
        link = transport._link
        assert link is not None
        assert there(link._transport).get_write_buffer_size() < 1_000_000
        assert len(transport._publications.under_way) < 60
        go_on.set()
        async with asyncio.timeout(LONG_S):
            await confirmed
    assert got == [b"%03d" % number for number in range(200)]


@on_each_loop
async def test_packet_ids_are_used_again_and_never_twice_at_a_time() -> None:
    """More messages than there are packet ids, while the first stays unconfirmed."""
    twice: list[int] = []
    count = 66_000

    async def keeps_the_first(wire: Wire) -> None:
        await wire.accepted()
        held = (await wire.published())[2]
        for _ in range(count):
            number = (await wire.published())[2]
            if number in (held, 0, 65_535):
                twice.append(number)
            wire.confirm(number)
        wire.confirm(held)
        await wire.serve()

    broker = ScriptedBroker(keeps_the_first)
    async with broker.running() as settings, reading(settings) as transport:
        async with asyncio.timeout(60):
            await transport.publish(numbered(*range(count + 1)))
    assert twice == []


async def stuck(wire: Wire) -> None:
    """Accept, and neither read nor close."""
    await wire.accepted()
    await asyncio.sleep(60)


@on_each_loop
@pytest.mark.parametrize("script", [stuck, good])
async def test_the_end_does_not_wait_for_the_broker(
    script: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = ScriptedBroker(script)
    async with broker.running() as settings:
        async with reading(settings) as transport:
            waiting = transport.publish([Outgoing("a/a", bytes(400_000))] * 60)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(LONG_S):
            await asyncio.wait({waiting})
        assert waiting.done()
    assert caplog.text == ""


@on_each_loop
async def test_the_end_says_good_bye() -> None:
    ends: list[Any] = []

    async def listens(wire: Wire) -> None:
        await wire.accepted()
        while (last := await wire.packet())[0] == PUBLISH:
            pass
        ends.append(last)

    broker = ScriptedBroker(listens)
    async with broker.running() as settings:
        async with reading(settings) as transport:
            transport.publish([Outgoing("a/a", bytes(100_000))] * 10)
        await until(lambda: len(ends) == 1)
    assert ends == [(DISCONNECT, 0, b"")]


@on_each_loop
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_a_broker_does_nothing_is_lost_and_nothing_hangs(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections that break anywhere; then a good one, on which the rest arrives."""
    draw = random.Random(seed)
    quick = {"longest_backoff_s": 0.02, "answer_within_s": 1.0}
    version = draw.choice([4, 5])
    got: set[int] = set()
    sent: dict[Wire, list[int]] = {}
    count, bad_connections = 400, 25

    async def wild(wire: Wire) -> None:
        if broker.connections <= bad_connections:
            await misbehaves(wire)
        else:
            await wire.accepted(present=True)
            while True:
                kind, flags, body = await wire.packet(60.0)
                if kind != PUBLISH:
                    return
                look(wire, flags, body, take=True)

    def look(wire: Wire, flags: int, body: bytes, *, take: bool) -> None:
        _, payload, number, _ = wire.opened(flags, body)
        sent.setdefault(wire, []).append(int(payload))
        if take:
            got.add(int(payload))
            wire.confirm(number)

    async def misbehaves(wire: Wire) -> None:
        def nonsense() -> bytes:
            return draw.randbytes(draw.randrange(1, 40))

        if draw.random() < 0.2:
            return
        if draw.random() < 0.1:
            wire.send(nonsense())
        await wire.connect()
        if draw.random() < 0.2:
            wire.send(nonsense())
            return
        wire.accept(present=draw.random() < 0.5)
        for _ in range(draw.randrange(0, 40)):
            kind, flags, body = await wire.packet()
            if kind == SUBSCRIBE:
                wire.grant(body)
            elif kind == PUBLISH:
                look(wire, flags, body, take=draw.random() < 0.7)
            elif kind == 0:
                return
        if draw.random() < 0.5:
            wire.send(wire.message("a/a", b"half")[: draw.randrange(1, 8)])
        if draw.random() < 0.5:
            wire.cut()

    broker = ScriptedBroker(wild)
    async with broker.running(version=version, inflight_out=16, **quick) as settings:
        async with asyncio.timeout(60), reading(settings) as transport:
            confirmed = []
            for number in range(count):
                confirmed.append(transport.publish(numbered(number)))
                if draw.random() < 0.1:
                    await asyncio.sleep(draw.random() * 0.01)
                if draw.random() < 0.01:
                    transport.reconnect()
            await asyncio.gather(*confirmed)
        broker.failures.clear()  # a script may be cut in the middle of a step
    assert got == set(range(count))
    assert all(each == sorted(set(each)) for each in sent.values()), "in order, and once"
