"""Accounts: what a file may say, and what mosquitto and the embedded broker let each of them do."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from gateway_market import START
from gateway_servers import Mosquitto, free_port

from gateway.errors import TransportError
from gateway.formats.faults import InputFaults
from gateway.messages.topics import Topics
from gateway.operations.accounts import Account, Role, read_accounts, rights_in
from gateway.operations.server_places import ServerPlaces, open_broker
from gateway.ports import Outgoing
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings
from security_check.model.envelope import Direction

OWNERS = {"load:0": "bakery", "load:1": "town", "load:2": "town"}
TOPICS = Topics("north")
FILE = """
bakery = "flour"
tso = "volt"
operator = "halt"
metering = "count"
[town]
role = "aggregator"
password = "many"
devices = {left = "l", right = "r"}
[room]
role = "dso"
password = "switch"
[public]
role = "observer"
password = "look"
"""
PUBLIC = {
    "envelope": TOPICS.envelope("load:0", START),
    "book": TOPICS.book(Direction.INJECTION, START),
    "trade": TOPICS.trade,
    "statistics": TOPICS.statistics(Direction.INJECTION, START),
    "price": TOPICS.price(START),
    "session": TOPICS.session,
    "tape of flexibility": TOPICS.flexibility_trade,
    "book of flexibility": TOPICS.flexibility_book(START),
}
PRIVATE = {
    "bakery's orders": TOPICS.order("bakery"),
    "town's orders": TOPICS.order("town"),
    "limits": TOPICS.interface_limits,
    "control": TOPICS.control,
    "readings": TOPICS.meter("load:0"),
    "bakery's reports": TOPICS.report("bakery"),
    "town's reports": TOPICS.report("town"),
    "the TSO's reports": TOPICS.report("tso"),
    "the operator's reports": TOPICS.report("operator"),
    "the meter operator's reports": TOPICS.report("metering"),
    "bakery's queries": TOPICS.query("bakery"),
    "town's queries": TOPICS.query("town"),
    "the TSO's queries": TOPICS.query("tso"),
    "the operator's queries": TOPICS.query("operator"),
    "the meter operator's queries": TOPICS.query("metering"),
    "public's queries": TOPICS.query("public"),
    "bakery's answers": TOPICS.answer("bakery"),
    "town's answers": TOPICS.answer("town"),
    "the TSO's answers": TOPICS.answer("tso"),
    "the operator's answers": TOPICS.answer("operator"),
    "the meter operator's answers": TOPICS.answer("metering"),
    "public's answers": TOPICS.answer("public"),
    "another area": "doe/v1/south/order/bakery",
}


def asks(name: str) -> set[str]:
    return {f"{name}'s queries"}


def hears(name: str) -> set[str]:
    return {f"{name}'s reports", f"{name}'s answers"}


# What each account may write to and read, of the private topics; all read what is public.
MATRIX = {
    "bakery": ({"bakery's orders", *asks("bakery")}, hears("bakery")),
    "town": ({"town's orders", *asks("town")}, hears("town")),
    "town/left": ({"town's orders", *asks("town")}, hears("town")),
    "tso": ({"limits", *asks("the TSO")}, hears("the TSO")),
    "operator": ({"control", *asks("the operator")}, hears("the operator")),
    "room": ({"control", *asks("the operator")}, hears("the operator")),
    "metering": ({"readings", *asks("the meter operator")}, hears("the meter operator")),
    "public": (set[str](), set[str]()),
}


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(
        'area = "north"\n[network]\nsource = "pandapower:panda_four_load_branch"\n'
        "[interface]\nvoltage_min_pu = 0.98\nvoltage_max_pu = 1.04\n"
        "[capacity]\ninjection_w = 20000\nwithdrawal_w = 20000\n"
        '[participants]\nbakery = ["load:0"]\ntown = ["load:1", "load:2"]\n'
    )
    return path


def test_accounts_have_roles_and_devices(accounts: Path) -> None:
    found = {each.name: each for each in read_accounts(accounts, OWNERS)}
    assert {name: each.role for name, each in found.items()} == {
        "bakery": Role.CUSTOMER,
        "tso": Role.TSO,
        "operator": Role.OPERATOR,
        "metering": Role.METERING,
        "town": Role.AGGREGATOR,
        "town/left": Role.AGGREGATOR,
        "town/right": Role.AGGREGATOR,
        "room": Role.DSO,
        "public": Role.OBSERVER,
    }
    assert found["town/left"].participant == "town"
    assert "flour" not in repr(found)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('butcher = "x"', "butcher", "there is no participant of that name"),
        ('bakery = ""', "bakery.password", "at least 1"),
        ("bakery = 17171717", "bakery", "should be"),
        ('[bakery]\npassword = "x"\ncolour = 1', "bakery.colour", "there is no such entry"),
        ('[bakery]\nrole = "king"', "bakery.role", "'customer', 'aggregator', 'dso'"),
        ('[bakery]\nrole = "aggregator"', "bakery", "one connection point only"),
        ('[bakery]\nrole = "observer"', "bakery", "cannot have the role observer"),
        ('[tso]\nrole = "customer"', "tso", "is that of the role tso"),
        ('exchange = "x"', "exchange", "the exchange's own"),
        ('"a/b" = "x"', "a/b", "may not stand in a topic"),
        ('[town]\ndevices = {"a b" = "x"}', "town", "'a b' may not stand"),
        ("bakery = ", "file", "it is not TOML"),
    ],
)
def test_faults_name_the_account(tmp_path: Path, text: str, place: str, words: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    with pytest.raises(InputFaults) as caught:
        read_accounts(path, OWNERS)
    assert any(f.element == place and words in f.detail for f in caught.value.faults), caught.value


def test_who_requests_flexibility_needs_no_connection_point(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text('brp = "x"\nbakery = "y"\n')
    known = read_accounts(path, OWNERS, {"brp"})
    assert [(each.name, each.role) for each in known] == [
        ("brp", Role.CUSTOMER),
        ("bakery", Role.CUSTOMER),
    ]
    rights = rights_in(known[0], {TOPICS: {"brp", "bakery"}})
    assert rights.publish == (TOPICS.order("brp"), TOPICS.query("brp"))
    path.write_text('[brp]\npassword = "x"\nrole = "observer"\n')
    with pytest.raises(InputFaults, match="cannot have the role observer"):
        read_accounts(path, OWNERS, {"brp"})


def test_passwords_are_not_repeated_in_faults(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(f'bakery = "{"secret" * 60}"\n[town]\npassword = 777888\n')
    with pytest.raises(InputFaults) as caught:
        read_accounts(path, OWNERS)
    assert len(caught.value.faults) == 2
    assert "secret" not in str(caught.value)
    assert "777888" not in str(caught.value)


def passwords(accounts: Path) -> dict[str, str]:
    every = read_accounts(accounts, OWNERS)
    return {each.name: each.password.get_secret_value() for each in every if each.password}


Connect = Callable[[str], MqttSettings]
"""User -> how to reach the broker; the user ``exchange`` has all rights of the area."""


@contextlib.asynccontextmanager
async def embedded(accounts: Path) -> AsyncIterator[Connect]:
    known = read_accounts(accounts, OWNERS)
    places = ServerPlaces(None, None, accounts.parent, known)
    async with contextlib.AsyncExitStack() as stack:
        make, _ = await open_broker(places, {TOPICS: frozenset(OWNERS.values())}, stack)
        own = make(TOPICS.area)
        words = passwords(accounts)
        yield (
            lambda user: (
                replace(own, client_id=f"{user}/monitor")
                if user == "exchange"
                else replace(own, client_id=user, username=user, password=words.get(user, "wrong"))
            )
        )


@contextlib.asynccontextmanager
async def secured_mosquitto(scenario: Path, accounts: Path, version: int) -> AsyncIterator[Connect]:
    place = accounts.parent / "broker"
    port = free_port()
    where = ("-o", place, "--place", place, "--port", port)
    done = run("access", scenario, "--accounts", accounts, *where)
    assert done.exit_code == 0, done.stderr
    for path in place.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    configuration = place / "mosquitto.conf"
    # Started by root, mosquitto would become a user who cannot read the files.
    configuration.write_text(configuration.read_text() + "user root\n")
    address = (place / "exchange.env").read_text().strip().removeprefix("DOE_MQTT_URL=")
    exchange = MqttSettings.from_url(address, "any")
    words = passwords(accounts)
    with Mosquitto.of(configuration, port):
        yield lambda user: replace(
            exchange if user == "exchange" else replace(exchange, username=user),
            client_id=user,
            version=version,
            password=exchange.password if user == "exchange" else words.get(user, "wrong"),
            connect_within_s=3.0,
        )


@pytest.fixture(params=["amqtt", "mosquitto-5", "mosquitto-3.1.1"])
async def connect(
    request: pytest.FixtureRequest, scenario: Path, accounts: Path
) -> AsyncIterator[Connect]:
    if request.param == "amqtt":
        async with embedded(accounts) as settings:
            yield settings
        return
    version = 5 if request.param == "mosquitto-5" else 4
    async with secured_mosquitto(scenario, accounts, version) as settings:
        yield settings


async def heard(transport: MqttTransport, within_s: float) -> set[tuple[str, bytes]]:
    found: set[tuple[str, bytes]] = set()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while True:
                messages = await transport.receive(100)
                transport.acknowledge(messages)
                found |= {(each.topic, each.payload) for each in messages}
    return found


async def test_every_role_on_every_topic(connect: Connect) -> None:
    """What an account writes arrives only where it may write, and it reads only what it may."""
    every = PUBLIC | PRIVATE
    async with contextlib.AsyncExitStack() as stack:
        monitor = await stack.enter_async_context(
            MqttTransport(connect("exchange"), ["doe/v1/north/#"])
        )
        users: dict[str, Any] = {}
        for name in MATRIX:
            transport = MqttTransport(connect(name), ())
            users[name] = await stack.enter_async_context(transport)
        for name, transport in users.items():
            for topic in every.values():
                transport.publish([Outgoing(topic, f"by {name}".encode())])
        arrived = await heard(monitor, 1.0)
        for name, (writes, _) in MATRIX.items():
            expected = {every[each] for each in writes}
            assert {topic for topic, payload in arrived if payload == f"by {name}".encode()} == (
                expected
            ), name
    async with MqttTransport(connect("exchange"), ()) as writer:
        found = await asyncio.gather(*(readable(connect, writer, name, every) for name in MATRIX))
    for (name, (_, reads)), heard_of in zip(MATRIX.items(), found, strict=True):
        expected = {every[each] for each in reads} | set(PUBLIC.values())
        assert heard_of == expected, name


async def readable(
    connect: Connect, writer: MqttTransport, name: str, every: dict[str, str]
) -> set[str]:
    """Return the topics of which an account that asks for all of them, one by one, hears."""
    found: set[str] = set()
    settings = replace(connect(name), session_expiry_s=0)
    for topic in every.values():
        # A broker may refuse a subscription, or grant it and send nothing.
        reader = MqttTransport(settings, [topic])
        try:
            async with reader:
                await writer.publish([Outgoing(topic, b"read me")])
                found |= {place for place, payload in await heard(reader, 0.15) if payload}
        except TransportError:
            continue
    return found


async def test_a_wrong_password_and_a_stranger_are_refused(connect: Connect) -> None:
    for user, password in (("bakery", "sugar"), ("stranger", "x"), ("town/left", "many")):
        settings = replace(connect("public"), username=user, client_id=user, password=password)
        with pytest.raises(TransportError):
            async with MqttTransport(replace(settings, connect_within_s=1.0)):
                pass


async def test_devices_of_an_account_are_connected_at_the_same_time(connect: Connect) -> None:
    topic = TOPICS.report("town")
    names = ("town", "town/left", "town/right")
    async with contextlib.AsyncExitStack() as stack:
        devices = [
            await stack.enter_async_context(MqttTransport(connect(name), [topic])) for name in names
        ]
        writer = await stack.enter_async_context(MqttTransport(connect("exchange"), ()))
        await writer.publish([Outgoing(topic, b"to all")])
        for device in devices:
            assert await heard(device, 0.5) == {(topic, b"to all")}
            assert device.connections == 1


def test_a_name_with_a_colon_cannot_be_in_mosquittos_password_file(
    scenario: Path, accounts: Path, tmp_path: Path
) -> None:
    scenario.write_text(scenario.read_text().replace("bakery =", '"bak:ery" ='))
    accounts.write_text('"bak:ery" = "x"\n')
    result = run("access", scenario, "--accounts", accounts, "-o", tmp_path / "broker")
    assert result.exit_code == 2
    assert "bak:ery" in result.stderr
    assert "colon" in result.stderr
    assert not (tmp_path / "broker").exists()


def test_the_embedded_broker_needs_passwords(scenario: Path, accounts: Path) -> None:
    accounts.write_text('[bakery]\nrole = "customer"\n')
    result = run("serve", scenario, "--accounts", accounts, "--data", accounts.parent / "data")
    assert result.exit_code == 2
    assert "bakery" in result.stderr
    assert "password" in result.stderr


def test_rights_follow_from_the_account_without_the_device() -> None:
    account = Account("town/left", Role.AGGREGATOR, None)
    assert account.rights(TOPICS) == TOPICS.participant_rights("town")
