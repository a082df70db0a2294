"""What an account cannot do: on our own broker, and on mosquitto set up as README.md says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import gateway_servers
import pytest
from gateway_market import START, client, order, serving
from gateway_servers import SecuredMosquitto, cut
from listening import until

from exchange.vocabulary.rules import TSO
from gateway.errors import BrokerRefusedError
from gateway.messages.topics import Rights, Topics
from gateway.ports import Incoming, Outgoing
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings
from security_check.model.envelope import Direction

LONG_S = 10.0
TOPICS = Topics("north")
FOREIGN = {
    "another's order": TOPICS.order("p1"),
    "the TSO's limits": TOPICS.interface_limits,
    "another's report": TOPICS.report("p1"),
    "another's query": TOPICS.query("p1"),
    "another's answer": TOPICS.answer("p1"),
    "an envelope": TOPICS.envelope("load:0", START),
    "the session": TOPICS.session,
    "statistics": TOPICS.statistics(Direction.INJECTION, START),
    "local prices": TOPICS.price(START),
}
MakeUser = Callable[[str, str], MqttSettings]
"""Client id and user -> how to reach the broker."""


def rights(topics: Topics) -> dict[str, Rights]:
    return {
        "exchange": topics.exchange_rights(),
        TSO: topics.tso_rights(),
        **{name: topics.participant_rights(name) for name in ("p0", "p1", "p2")},
    }


def with_accounts() -> EmbeddedBroker:
    return EmbeddedBroker(
        {user: BrokerAccount(f"{user}!", each) for user, each in rights(TOPICS).items()}
    )


@pytest.fixture
async def own() -> AsyncIterator[EmbeddedBroker]:
    """Our own broker, with accounts."""
    async with with_accounts() as broker:
        yield broker


@pytest.fixture(params=["amqtt", "mosquitto-5", "mosquitto-3.1.1"])
async def secured(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[str, MakeUser]]:
    """A broker that knows the rights of all users."""
    if request.param == "amqtt":
        async with with_accounts() as broker:
            yield (
                "amqtt",
                lambda name, user: replace(broker.settings(name, user), longest_backoff_s=0.2),
            )
        return
    version = 5 if request.param == "mosquitto-5" else 4
    with SecuredMosquitto(tmp_path, rights(TOPICS)) as server:
        yield (
            "mosquitto",
            lambda name, user: replace(server.settings(name, version), username=user),
        )


async def heard_within(transport: MqttTransport, seconds: float) -> list[Incoming]:
    messages: list[Incoming] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                fresh = await transport.receive(100)
                transport.acknowledge(fresh)
                messages += fresh
    except TimeoutError:
        return messages


async def first(transport: MqttTransport) -> Incoming:
    async with asyncio.timeout(LONG_S):
        (message,) = await transport.receive(1)
    transport.acknowledge([message])
    return message


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("topic", FOREIGN.values(), ids=FOREIGN)
async def test_last_will_on_a_foreign_topic_is_not_published(
    secured: tuple[str, MakeUser], topic: str, retain: bool
) -> None:
    kind, user = secured
    will = Outgoing(topic, b"forged", retain)
    async with MqttTransport(user("exchange", "exchange"), [f"doe/v1/{TOPICS.area}/#"]) as all_ears:
        try:
            async with MqttTransport(user("p2", "p2"), will=will) as mallory:
                assert kind == "mosquitto", "our own broker refuses the connection"
                cut(mallory)
                await asyncio.sleep(0.1)
        except BrokerRefusedError:
            assert kind == "amqtt"
        assert await heard_within(all_ears, 0.4) == []
    async with MqttTransport(user("exchange", "exchange"), [topic]) as late:
        assert await heard_within(late, 0.2) == []


@pytest.mark.parametrize("topic", ["doe/v1/north/#", "doe/v1/north/order/+", "$SYS/x", ""])
async def test_last_will_that_its_client_may_not_publish_is_refused(
    own: EmbeddedBroker, topic: str
) -> None:
    # Our client would not send such a will, so the CONNECT is put together here.
    def field(text: str) -> bytes:
        return len(text).to_bytes(2, "big") + text.encode()

    body = field("MQTT") + b"\x04\xc6\x00\x1e"  # user, password, will, clean session
    for text in ("exchange", topic, "forged", "exchange", "exchange!"):
        body += field(text)
    reader, writer = await asyncio.open_connection(own.host, own.port)
    writer.write(b"\x10" + bytes([len(body)]) + body)
    async with asyncio.timeout(LONG_S):
        answer = await reader.read()
    writer.close()
    assert answer == b"\x20\x02\x00\x05"


async def test_last_will_on_ones_own_topic_works(secured: tuple[str, MakeUser]) -> None:
    _, user = secured
    will = Outgoing(TOPICS.order("p2"), b"mine")
    async with (
        MqttTransport(user("exchange", "exchange"), TOPICS.incoming) as exchange,
        MqttTransport(user("p2", "p2"), will=will) as mortal,
    ):
        cut(mortal)
        message = await first(exchange)
        assert (message.topic, message.payload) == (TOPICS.order("p2"), b"mine")


@pytest.mark.parametrize("clean", [True, False])
async def test_another_account_cannot_take_the_exchanges_session_over(
    secured: tuple[str, MakeUser], redis_url: str, clean: bool
) -> None:
    kind, user = secured
    async with (
        serving(TOPICS.area, user("exchange", "exchange"), redis_url),
        client(user("p0", "p0"), TOPICS.area, "p0") as p0,
    ):
        await p0.ask(order("a1", 0, "sell", 10, "0.01"))
        refused = []
        for name in ("exchange", "exchange/standby", "p0"):
            settings = user(name, "p2")
            robber = aiomqtt.Client(
                *(settings.host, settings.port),
                identifier=name,
                username=settings.username,
                password=settings.password,
                protocol=aiomqtt.ProtocolVersion.V311,
                clean_session=clean,
            )
            try:
                async with robber:  # on mosquitto it gets a session of its own
                    await robber.subscribe("#", 1)
                    await asyncio.sleep(0.1)
            except aiomqtt.MqttError:
                refused.append(name)
        assert refused == (["exchange", "exchange/standby", "p0"] if kind == "amqtt" else [])
        async with asyncio.timeout(LONG_S):
            answer = await p0.ask(order("a2", 0, "sell", 10, "0.01"))
        assert answer["type"] == "accepted"


async def test_wrong_password_does_not_end_a_session(own: EmbeddedBroker) -> None:
    async with (
        MqttTransport(own.settings("exchange", "exchange"), TOPICS.incoming) as exchange,
        MqttTransport(own.settings("p1", "p1")) as p1,
    ):
        for name in ("exchange", "p1"):
            with pytest.raises(BrokerRefusedError):
                async with MqttTransport(replace(own.settings(name, name), password="wrong")):
                    pass
        await p1.publish([Outgoing(TOPICS.order("p1"), b"x")])
        assert (await first(exchange)).payload == b"x"
        assert exchange._connection == p1._connection == 1


async def test_session_belongs_to_the_account_that_began_it(own: EmbeddedBroker) -> None:
    """Also while its owner is away, and whatever its name."""
    report = TOPICS.report("p1")
    async with MqttTransport(own.settings("meter reader", "p1"), [report]):
        pass
    async with MqttTransport(own.settings("exchange", "exchange")) as exchange:
        await exchange.publish([Outgoing(report, b"for p1")])
    with pytest.raises(BrokerRefusedError):
        async with MqttTransport(own.settings("meter reader", "p2")):
            pass
    async with MqttTransport(own.settings("meter reader", "p1"), [report]) as p1:
        assert (await first(p1)).payload == b"for p1"


@pytest.mark.parametrize("clean", [True, False])
async def test_session_goes_on_where_its_owner_connects_twice(
    own: EmbeddedBroker, clean: bool
) -> None:
    """The old connection's end must not make the new one silent."""
    topic = TOPICS.order("p1")
    settings = replace(own.settings("exchange", "exchange"), longest_backoff_s=0.1)
    async with (
        MqttTransport(settings, TOPICS.incoming) as exchange,
        MqttTransport(own.settings("p1", "p1")) as p1,
    ):
        second = aiomqtt.Client(
            *(own.host, own.port),
            identifier="exchange",
            username="exchange",
            password=settings.password,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=clean,
        )
        try:
            async with second:
                await asyncio.sleep(0.02)
        except aiomqtt.MqttError:
            pass  # the first one was back already
        await until(lambda: exchange.connected and exchange._connection >= 2)
        await asyncio.sleep(0.2)
        await p1.publish([Outgoing(topic, b"x")])
        assert (await first(exchange)).payload == b"x"


async def test_retained_messages_need_a_right_and_a_subscription(own: EmbeddedBroker) -> None:
    topics = [
        TOPICS.report("p1"),
        TOPICS.report("p2"),
        TOPICS.session,
        TOPICS.envelope("load:0", START),
    ]
    async with MqttTransport(own.settings("exchange", "exchange"), ["doe/v1/north/#"]) as exchange:
        await exchange.publish([Outgoing(each, each.encode(), retain=True) for each in topics])
        wishes = (
            *("#", "doe/v1/north/report/+", TOPICS.report("p1"), TOPICS.order("+")),
            *("doe/v1/north/answer/+", TOPICS.answer("p1"), TOPICS.query("p2")),
        )
        for wish in wishes:
            with pytest.raises(BrokerRefusedError, match="subscription"):
                async with MqttTransport(own.settings("p2", "p2"), [wish]):
                    pass
        async with MqttTransport(own.settings("p2", "p2")) as silent:
            assert await heard_within(silent, 0.3) == []
        async with MqttTransport(own.settings("p2", "p2"), [TOPICS.report("p2")]) as p2:
            messages = await heard_within(p2, 0.3)
            assert [each.topic for each in messages] == [TOPICS.report("p2")]


async def test_refused_subscription_brings_nothing_beside_a_granted_one(
    own: EmbeddedBroker,
) -> None:
    async with MqttTransport(own.settings("exchange", "exchange")) as exchange:
        await exchange.publish([Outgoing(TOPICS.report("p1"), b"old", retain=True)])
        settings = own.settings("p2", "p2")
        async with aiomqtt.Client(
            *(own.host, own.port),
            identifier="p2",
            username="p2",
            password=settings.password,
            protocol=aiomqtt.ProtocolVersion.V311,
        ) as p2:
            codes = await p2.subscribe([("#", 1), (TOPICS.report("p2"), 1)])
            assert list(codes) == [0x80, 1]
            await exchange.publish(
                [Outgoing(TOPICS.report("p1"), b"new"), Outgoing(TOPICS.report("p2"), b"own")]
            )
            async with asyncio.timeout(LONG_S):
                message = await anext(aiter(p2.messages))
            assert message.payload == b"own"
            assert len(p2.messages) == 0


async def test_messages_kept_for_a_client_need_a_right_when_they_go_out(
    own: EmbeddedBroker,
) -> None:
    report = TOPICS.report("p1")
    async with MqttTransport(own.settings("p1", "p1"), [report]):
        pass
    async with MqttTransport(own.settings("exchange", "exchange")) as exchange:
        await exchange.publish([Outgoing(report, b"while away")])
    broker: Any = own._broker
    session, _ = broker._sessions["p1"]
    assert session.retained_messages.qsize() == 1
    # Rights that were taken away meanwhile.
    broker._accounts["p1"] = BrokerAccount("p1!", Rights((), ()))
    async with MqttTransport(own.settings("p1", "p1")) as p1:
        assert await heard_within(p1, 0.3) == []


def test_missing_server_is_a_skip_and_in_continuous_integration_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed"):
        gateway_servers.binary("no-such-server")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-server is not installed"):
        gateway_servers.binary("no-such-server")
