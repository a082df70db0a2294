"""The contract of the Transport port, on every broker we run."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_servers import MakeSettings, Mosquitto, cut, free_port, steal
from listening import until
from presence import there

from gateway.errors import BrokerRefusedError, TransportError
from gateway.messages.topics import Rights, Topics
from gateway.ports import Incoming, Outgoing
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

LONG_S = 10.0


async def received(transport: MqttTransport, count: int) -> list[Incoming]:
    """Receive and acknowledge ``count`` messages."""
    messages: list[Incoming] = []
    async with asyncio.timeout(LONG_S):
        while len(messages) < count:
            fresh = await transport.receive(count - len(messages))
            transport.acknowledge(fresh)
            messages += fresh
    return messages


async def nothing_more(transport: MqttTransport, seconds: float = 0.3) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await transport.receive(1)
    except TimeoutError:
        return True
    return False


def numbered(topic: str, count: int) -> list[Outgoing]:
    return [Outgoing(topic, str(number).encode()) for number in range(count)]


async def test_messages_arrive_in_order(broker: MakeSettings, area: str) -> None:
    async with (
        MqttTransport(broker("reader"), [f"{area}/+"]) as reader,
        MqttTransport(broker("writer")) as writer,
    ):
        await writer.publish(numbered(f"{area}/a", 700))
        messages = await received(reader, 700)
        assert [message.payload for message in messages] == [b"%d" % n for n in range(700)]
        assert {message.topic for message in messages} == {f"{area}/a"}


async def test_any_bytes_and_sizes_pass(broker: MakeSettings, area: str) -> None:
    payloads = [b"\x00\xff\xfe", "ü".encode(), bytes(100_000)]
    async with (
        MqttTransport(broker("reader"), [f"{area}/+"]) as reader,
        MqttTransport(broker("writer")) as writer,
    ):
        await writer.publish([Outgoing(f"{area}/a", payload) for payload in payloads])
        assert [message.payload for message in await received(reader, 3)] == payloads


async def test_nothing_to_publish_is_confirmed_at_once(broker: MakeSettings) -> None:
    async with MqttTransport(broker("writer")) as writer:
        await writer.publish([])


async def test_receive_gives_what_is_there_up_to_the_limit(broker: MakeSettings, area: str) -> None:
    async with (
        MqttTransport(broker("reader"), [f"{area}/+"]) as reader,
        MqttTransport(broker("writer")) as writer,
    ):
        await writer.publish(numbered(f"{area}/a", 5))
        await until(lambda: len(reader._received) == 5)
        assert len(await reader.receive(3)) == 3
        assert len(await reader.receive(3)) == 2


async def test_late_subscriber_gets_the_retained_message(broker: MakeSettings, area: str) -> None:
    async with MqttTransport(broker("writer")) as writer:
        await writer.publish([Outgoing(f"{area}/a", b"old", True), Outgoing(f"{area}/b", b"x")])
        await writer.publish([Outgoing(f"{area}/a", b"new", retain=True)])
        async with MqttTransport(broker("reader"), [f"{area}/+"]) as reader:
            assert [message.payload for message in await received(reader, 1)] == [b"new"]
            assert await nothing_more(reader)


async def test_retained_messages_can_be_ignored_on_5(mosquitto: Mosquitto, area: str) -> None:
    settings = mosquitto.settings(f"{area}-reader", 5)
    async with MqttTransport(mosquitto.settings(f"{area}-writer")) as writer:
        await writer.publish([Outgoing(f"{area}/a", b"old", retain=True)])
        async with MqttTransport(settings, [f"{area}/+"], ignore_retained=True) as reader:
            assert await nothing_more(reader)


async def test_broken_connection_is_survived_and_nothing_handed_over_is_lost(
    broker: MakeSettings, area: str
) -> None:
    async with (
        MqttTransport(broker("reader"), [f"{area}/+"]) as reader,
        MqttTransport(broker("writer")) as writer,
    ):
        await writer.publish([Outgoing(f"{area}/a", b"before")])
        await received(reader, 1)
        cut(writer)
        await until(lambda: not writer.connected)
        during = writer.publish(numbered(f"{area}/a", 20))
        await during
        assert writer.connected
        payloads = [message.payload for message in await received(reader, 20)]
        assert payloads == [b"%d" % n for n in range(20)]


async def test_reader_hears_again_after_its_connection_broke(
    broker: MakeSettings, area: str
) -> None:
    async with (
        MqttTransport(broker("reader"), [f"{area}/+"]) as reader,
        MqttTransport(broker("writer")) as writer,
    ):
        cut(reader)
        await until(lambda: not reader.connected)
        await until(lambda: reader.connected)
        await asyncio.sleep(0.1)  # the subscription follows the connection
        await writer.publish([Outgoing(f"{area}/a", b"again")])
        assert (await received(reader, 1))[0].payload == b"again"


@pytest.mark.parametrize("clean", [False, True])
async def test_reader_subscribes_again_whatever_the_broker_remembers(
    broker: MakeSettings, area: str, clean: bool
) -> None:
    settings = broker("reader")
    async with (
        MqttTransport(settings, [f"{area}/+"]) as reader,
        MqttTransport(broker("writer")) as writer,
    ):
        await steal(settings, clean=clean, unsubscribe=f"{area}/+")
        await until(lambda: reader.connected and reader._connection > 1)
        await asyncio.sleep(0.2)  # the subscription follows the connection
        await writer.publish([Outgoing(f"{area}/a", b"again")])
        assert (await received(reader, 1))[0].payload == b"again"


async def test_subscription_refused_later_is_reported_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    topics = Topics("north")
    accounts = {
        "exchange": BrokerAccount("secret", topics.exchange_rights()),
        "p1": BrokerAccount("one"),
    }
    async with EmbeddedBroker(accounts) as broker:
        settings = replace(broker.settings("exchange", "exchange"), longest_backoff_s=0.1)
        async with (
            MqttTransport(settings, topics.incoming) as exchange,
            MqttTransport(broker.settings("p1", "p1")) as p1,
        ):
            accounts["exchange"] = BrokerAccount("secret", Rights((), ()))
            exchange.reconnect()
            await until(lambda: "refused the subscription" in caplog.text)
            accounts["exchange"] = BrokerAccount("secret", topics.exchange_rights())
            connections = exchange._connection
            await until(lambda: exchange._connection > connections and exchange.connected)
            await asyncio.sleep(0.2)
            await p1.publish([Outgoing(topics.order("p1"), b"x")])
            assert (await received(exchange, 1))[0].payload == b"x"


@pytest.mark.parametrize("version", [4, 5])
async def test_unacknowledged_messages_come_again(
    mosquitto: Mosquitto, area: str, version: int
) -> None:
    settings = mosquitto.settings(f"{area}-reader", version)
    async with MqttTransport(mosquitto.settings(f"{area}-writer")) as writer:
        async with MqttTransport(settings, [f"{area}/+"]) as reader:
            await writer.publish(numbered(f"{area}/a", 3))
            await until(lambda: len(reader._received) == 3)
            first, second, third = await reader.receive(10)
            reader.acknowledge([first])
            await asyncio.sleep(0.1)
            cut(reader)
            await until(lambda: len(reader._received) == 2)
            # An acknowledgement of the old connection must not touch the new one's messages.
            reader.acknowledge([second, third])
            again = await reader.receive(10)
            assert [message.payload for message in again] == [b"1", b"2"]
            reader.acknowledge(again[:1])
            await asyncio.sleep(0.1)
        async with MqttTransport(settings, [f"{area}/+"]) as heir:
            assert [message.payload for message in await received(heir, 1)] == [b"2"]
            assert await nothing_more(heir)


async def test_messages_wait_for_a_reader_that_is_away(mosquitto: Mosquitto, area: str) -> None:
    settings = mosquitto.settings(f"{area}-reader")
    async with MqttTransport(settings, [f"{area}/+"]):
        pass
    async with MqttTransport(mosquitto.settings(f"{area}-writer")) as writer:
        await writer.publish(numbered(f"{area}/a", 3))
    async with MqttTransport(settings, [f"{area}/+"]) as reader:
        assert len(await received(reader, 3)) == 3


async def test_broker_that_restarts_is_survived(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as server:
        async with (
            MqttTransport(server.settings("reader"), ["r/+"]) as reader,
            MqttTransport(server.settings("writer")) as writer,
        ):
            server.kill()
            await until(lambda: not reader.connected and not writer.connected)
            # Retained, because the reader may subscribe again after they have come.
            sent = {f"r/{k}": b"%d" % k for k in range(3)}
            during = writer.publish([Outgoing(*each, retain=True) for each in sent.items()])
            server.start()
            await during
            heard: dict[str, bytes] = {}
            while heard != sent:
                (message,) = await received(reader, 1)
                heard[message.topic] = message.payload


async def test_will_is_published_when_the_connection_breaks(
    broker: MakeSettings, area: str
) -> None:
    will = Outgoing(f"{area}/state", b"gone", retain=True)
    async with (
        MqttTransport(broker("reader"), [f"{area}/+"]) as reader,
        MqttTransport(broker("mortal"), will=will) as mortal,
    ):
        cut(mortal)
        assert (await received(reader, 1))[0].payload == b"gone"


async def test_each_connection_has_a_last_will_of_its_own(broker: MakeSettings, area: str) -> None:
    """And what is said first on each new connection comes after its former will."""
    made: list[str] = []

    def will() -> Outgoing:
        made.append(f"gone {len(made)}")
        return Outgoing(f"{area}/state", made[-1].encode())

    def hello() -> list[Outgoing]:
        return [Outgoing(f"{area}/state", made[-1].replace("gone", "hello").encode())]

    mortal = MqttTransport(broker("mortal"), will=will, on_connected=hello)
    async with MqttTransport(broker("reader"), [f"{area}/+"]) as reader, mortal:
        heard = [each.payload.decode() for each in await received(reader, 1)]
        for number in range(3):
            cut(mortal)
            mortal.publish([Outgoing(f"{area}/state", f"then {number}".encode())])
            while heard[-1] != f"then {number}":
                heard += [each.payload.decode() for each in await received(reader, 1)]
    # What the broker has not confirmed when the connection is cut comes again.
    assert list(dict.fromkeys(heard)) == [
        *("hello 0", "gone 0", "hello 1", "then 0", "gone 1", "hello 2", "then 1"),
        *("gone 2", "hello 3", "then 2"),
    ]


async def test_further_topics_are_heard_now_and_after_a_cut(
    broker: MakeSettings, area: str
) -> None:
    settings = replace(broker("reader"), session_expiry_s=0)
    async with (
        MqttTransport(settings, [f"{area}/a"]) as reader,
        MqttTransport(broker("writer")) as writer,
    ):
        await reader.subscribe([f"{area}/b", f"{area}/a"])
        await writer.publish(numbered(f"{area}/b", 1))
        assert [each.topic for each in await received(reader, 1)] == [f"{area}/b"]
        cut(reader)
        await until(lambda: reader.connected and reader.connections == 2)
        await reader.subscribe([f"{area}/c"])  # behind those of the new connection
        for topic in "abc":
            await writer.publish(numbered(f"{area}/{topic}", 1))
        assert [each.topic[-1] for each in await received(reader, 3)] == ["a", "b", "c"]


async def test_at_most_the_window_is_unconfirmed(broker: MakeSettings, area: str) -> None:
    settings = replace(broker("writer"), inflight_out=7)
    async with MqttTransport(settings) as writer:
        confirmed = writer.publish(numbered(f"{area}/a", 100))
        assert len(writer._publications.under_way) == 7
        await confirmed
        assert not writer._publications.under_way


async def test_no_delay_on_both_sides(embedded_broker: EmbeddedBroker) -> None:
    async with MqttTransport(embedded_broker.settings("reader")) as transport:
        wire = there(there(transport._link)._transport).get_extra_info("socket")
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        _, handler = there(embedded_broker._broker)._sessions["reader"]
        accepted = handler.writer._writer.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_falls_back_to_311_where_the_broker_does_not_speak_5(
    embedded_broker: EmbeddedBroker,
) -> None:
    """At once: the broker says so, and does not wait for what it misreads."""
    settings = replace(MqttSettings.from_url(embedded_broker.url, "reader"), answer_within_s=60.0)
    async with (
        asyncio.timeout(10),
        MqttTransport(settings, ["a/+"]) as reader,
        MqttTransport(embedded_broker.settings("writer")) as writer,
    ):
        await writer.publish([Outgoing("a/a", b"hello")])
        assert (await received(reader, 1))[0].payload == b"hello"


async def test_a_server_that_is_not_there() -> None:
    settings = replace(
        MqttSettings.from_url(f"mqtt://127.0.0.1:{free_port()}", "x"), connect_within_s=0.3
    )
    with pytest.raises(TransportError, match="no connection to the MQTT broker"):
        async with MqttTransport(settings):
            pass


async def test_wrong_password_is_refused() -> None:
    async with EmbeddedBroker({"exchange": BrokerAccount("secret")}) as broker:
        settings = replace(broker.settings("exchange", "exchange"), password="wrong")
        with pytest.raises(BrokerRefusedError, match="refused"):
            async with MqttTransport(settings):
                pass


async def test_account_uses_its_own_topics_only() -> None:
    topics = Topics("north")
    accounts = {
        "exchange": BrokerAccount("secret", topics.exchange_rights()),
        "p1": BrokerAccount("one", topics.participant_rights("p1")),
    }
    async with (
        EmbeddedBroker(accounts) as broker,
        MqttTransport(broker.settings("exchange", "exchange"), topics.incoming) as exchange,
        MqttTransport(broker.settings("p1", "p1"), [topics.report("p1")]) as customer,
    ):
        await customer.publish(
            [Outgoing(topics.order("p2"), b"forged"), Outgoing(topics.order("p1"), b"own")]
        )
        assert [message.payload for message in await received(exchange, 1)] == [b"own"]
        await exchange.publish(
            [Outgoing(topics.report("p2"), b"not yours"), Outgoing(topics.report("p1"), b"yours")]
        )
        assert [message.payload for message in await received(customer, 1)] == [b"yours"]
        with pytest.raises(BrokerRefusedError, match="subscription"):
            async with MqttTransport(broker.settings("p1/b", "p1"), [topics.report("p2")]):
                pass


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [("mqtt://u:p%40ss@host", 1883, False), ("mqtts://host", 8883, True)],
)
def test_url(url: str, port: int, tls: bool) -> None:
    settings = MqttSettings.from_url(url, "x")
    assert (settings.host, settings.port, settings.tls) == ("host", port, tls)
    assert settings.password == ("p@ss" if "@" in url else None)


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://u:secret@host/path", "host"])
def test_bad_url_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="must look like") as caught:
        MqttSettings.from_url(url, "x")
    assert "secret" not in str(caught.value)
