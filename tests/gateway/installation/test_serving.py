"""Several areas in one process: what befalls one stops no other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_market import client
from gateway_servers import Mosquitto, RedisServer, free_port
from installation import order_of, write_scenarios
from listening import until
from redis import Redis
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.errors import (
    LeaseHeldError,
    PublishRefusedError,
    StaleWriterError,
    TransportError,
)
from gateway.formats.faults import InputFaults
from gateway.installation import area_runner
from gateway.installation.failures import Failures
from gateway.installation.intervals import open_intervals
from gateway.installation.serving import Served, health_of, serve
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.topics import Topics
from gateway.operations.serve_settings import ServeSettings, read_settings
from gateway.operations.server_places import ServerPlaces, open_broker, participants_in
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup, recover
from gateway.transport.mqtt_client import MqttSettings

AREAS = ("north", "south")


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> list[Scenario]:
    folder = tmp_path_factory.mktemp("scenarios")
    return [load_scenario(path) for path in write_scenarios(folder, AREAS)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Mosquitto, RedisServer]]:
    with Mosquitto(tmp_path) as broker, RedisServer(tmp_path) as redis:
        yield broker, redis


def settings_for(servers: tuple[Mosquitto, RedisServer], data: Path, **more: Any) -> ServeSettings:
    broker, redis = servers
    url = f"mqtt://127.0.0.1:{broker.port}"
    return read_settings(mqtt_url=url, redis_url=redis.url, data=data, metrics_port=0, **more)


class Running:
    """A process of several areas, inside this one."""

    def __init__(self) -> None:
        self.served: dict[str, Served] = {}
        self.task: asyncio.Task[None] | None = None

    def note(self, served: Served) -> None:
        self.served[served.area] = served

    async def health(self) -> tuple[int, dict[str, Any]]:
        url = f"{next(iter(self.served.values())).metrics}/health"
        return await asyncio.to_thread(_fetch, url)

    async def until(self, **serves: bool) -> int:
        """Wait until areas are served, or not; return the status of the page."""
        async with asyncio.timeout(30):
            while True:
                status, page = await self.health()
                if {area: each["serves"] for area, each in page["areas"].items()} == serves:
                    return status
                await asyncio.sleep(0.02)


def _fetch(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return page.status, json.loads(page.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@contextlib.asynccontextmanager
async def running(scenarios: list[Scenario], settings: ServeSettings) -> AsyncIterator[Running]:
    run = Running()
    run.task = asyncio.create_task(serve(scenarios, settings, run.note))
    try:
        await until(lambda: bool(run.served) or run.task is None or run.task.done(), None)
        yield run
    finally:
        run.task.cancel()
        await asyncio.wait({run.task})


async def trades(broker: Mosquitto, area: str, number: int) -> None:
    """An order is answered in an area."""
    settings = MqttSettings("127.0.0.1", broker.port, f"{area}-bakery")
    async with client(settings, area, "bakery") as bakery:
        answer = await bakery.ask(order_of("bakery", number), again_after_s=0.3)
        assert answer["type"] == "accepted"


async def test_a_bug_in_one_area_stops_no_other(
    scenarios: list[Scenario],
    servers: tuple[Mosquitto, RedisServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = asyncio.Event()
    healed = asyncio.Event()

    async def broken_for_north(scenario: Scenario, *rest: Any) -> None:
        if scenario.area == "north" and not healed.is_set():
            broken.set()
            raise ZeroDivisionError("a bug")
        await open_intervals(scenario, *rest)

    monkeypatch.setattr(area_runner, "open_intervals", broken_for_north)
    async with running(scenarios, settings_for(servers, tmp_path)) as run:
        await broken.wait()
        assert await run.until(north=False, south=True) == 503
        await trades(servers[0], "south", 1)
        healed.set()
        assert await run.until(north=True, south=True) == 200
        await trades(servers[0], "north", 1)
    assert "the exchange of north failed: a bug; starting anew in" in caplog.text


async def test_a_lost_lease_ends_its_area_only_and_the_last_one_the_process(
    scenarios: list[Scenario], servers: tuple[Mosquitto, RedisServer], tmp_path: Path
) -> None:
    async with running(scenarios, settings_for(servers, tmp_path)) as run:
        await run.until(north=True, south=True)
        with Redis.from_url(servers[1].url) as redis:
            redis.hincrby("doe:{north}:writer", "epoch", 1)
            assert await run.until(north=False, south=True) == 503
            await trades(servers[0], "south", 1)
            redis.hincrby("doe:{south}:writer", "epoch", 1)
            assert run.task is not None
            with pytest.raises(StaleWriterError):
                await run.task


async def test_an_area_whose_journal_is_lost_waits_for_its_operator(
    scenarios: list[Scenario], servers: tuple[Mosquitto, RedisServer], tmp_path: Path
) -> None:
    settings = settings_for(servers, tmp_path)
    async with running(scenarios, settings) as run:
        await run.until(north=True, south=True)
    with Redis.from_url(servers[1].url) as redis:
        redis.delete(*redis.keys("*{north}*"))
    async with running(scenarios, settings) as run:
        assert await run.until(north=False, south=True) == 503
        (tmp_path / "north.witness").unlink()  # its operator knows that the journal is whole
        assert await run.until(north=True, south=True) == 200


async def test_a_process_that_shares_takes_all_areas_where_it_is_alone(
    scenarios: list[Scenario], servers: tuple[Mosquitto, RedisServer], tmp_path: Path
) -> None:
    async with running(scenarios, settings_for(servers, tmp_path, standby=True)) as run:
        assert await run.until(north=True, south=True) == 200
        await trades(servers[0], "north", 1)
        with Redis.from_url(servers[1].url) as redis:
            redis.hincrby("doe:{north}:writer", "epoch", 1)
        await run.until(north=False, south=True)
        await run.until(north=True, south=True)
    with Redis.from_url(servers[1].url) as redis:
        assert not redis.keys("*:members:*"), "it has said that it ends"


async def test_an_area_goes_to_another_process_and_comes_back(
    scenarios: list[Scenario], servers: tuple[Mosquitto, RedisServer], tmp_path: Path
) -> None:
    """What it goes on from, after it has given the area back, is the state of the journal."""
    broker, redis = servers
    areas = set(AREAS)

    async def served_by(run: Running) -> set[str]:
        page = (await run.health())[1]["areas"]
        return {area for area, each in page.items() if each["serves"]}

    async with AsyncExitStack() as stack:
        customers = {}
        for area in AREAS:
            mine = MqttSettings("127.0.0.1", broker.port, f"{area}-bakery")
            customers[area] = await stack.enter_async_context(client(mine, area, "bakery"))
        one = await stack.enter_async_context(
            running(scenarios, settings_for(servers, tmp_path / "one", standby=True))
        )
        await one.until(north=True, south=True)
        for area, customer in customers.items():
            assert (await customer.ask(order_of("bakery", 1), 0.3))["order_id"] == 1, area
        missed = [each.missed for each in customers.values()]
        for number in (2, 3):
            second = settings_for(servers, tmp_path / f"two-{number}", standby=True)
            async with running(scenarios, second) as two, asyncio.timeout(30):
                kept: set[str] = set()
                moved: set[str] = set()
                while (len(kept), len(moved)) != (1, 1):
                    await asyncio.sleep(0.02)
                    kept, moved = await served_by(one), await served_by(two)
                assert kept | moved == areas
                for area, customer in customers.items():
                    answer = await customer.ask(order_of("bakery", number), 0.3)
                    assert answer["order_id"] == number, area
            await one.until(north=True, south=True)
        for area, customer in customers.items():
            assert (await customer.ask(order_of("bakery", 4), 0.3))["order_id"] == 4, area
        assert [each.missed for each in customers.values()] == missed, "no report is lost"
    for area, scenario in zip(AREAS, scenarios, strict=True):
        async with RedisJournal(redis.url, area, read_only=True) as journal:
            market = ExchangeSetup(Topics(area), scenario.grid(), scenario.rules, scenario.terms())
            core, _ = await recover(market, journal)
        assert core.exchange.state.next_order_id == 5


@contextlib.contextmanager
def cluster_node(folder: Path) -> Iterator[RedisServer]:
    """Run a node of a Redis Cluster that has all hash slots."""
    node = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
    while node.port > 55_000:  # the cluster's own port is 10,000 above
        node.port = free_port()
    node._options += ("--cluster-enabled", "yes")
    with node, Redis.from_url(node.url) as redis:
        redis.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
        deadline = time.monotonic() + 20
        while b"cluster_state:ok" not in redis.execute_command("CLUSTER", "INFO"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield node


async def test_areas_are_served_on_the_node_of_a_cluster_that_has_their_slots(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    with Mosquitto(tmp_path) as broker, cluster_node(tmp_path) as node:
        async with running(scenarios, settings_for((broker, node), tmp_path, standby=True)) as run:
            await run.until(north=True, south=True)
            await trades(broker, "south", 1)
            with Redis.from_url(node.url) as redis:
                slots = {
                    redis.execute_command("CLUSTER", "KEYSLOT", key)
                    for key in redis.keys("*{south}*")
                }
            assert len(slots) == 1, "an area has one slot"


async def test_servers_that_are_not_there_end_the_process(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    url = "redis://127.0.0.1:1"
    for standby in (False, True):
        settings = read_settings(
            mqtt_url="mqtt://127.0.0.1:1", redis_url=url, data=tmp_path, standby=standby or None
        )
        async with running(scenarios, settings) as run:
            assert run.task is not None
            with pytest.raises(Exception, match="does not answer"):
                await run.task


@contextlib.contextmanager
def secured(folder: Path, places: Sequence[Path], accounts: dict[str, str]) -> Iterator[str]:
    """Run mosquitto as ``access`` sets it up for several areas; yield the exchanges' address."""
    known = folder / "accounts.toml"
    known.write_text("".join(f'{name} = "{word}"\n' for name, word in accounts.items()))
    port, broker = free_port(), folder / "broker"
    words = ["access", *places, "--accounts", known, "-o", broker, "--place", broker]
    done = CliRunner().invoke(app, [*map(str, words), "--host", "127.0.0.1", "--port", str(port)])
    assert done.exit_code == 0, done.stderr
    configuration = broker / "mosquitto.conf"
    # Started by root, mosquitto would become a user who cannot read the files.
    configuration.write_text(configuration.read_text() + "user root\n")
    with Mosquitto.of(configuration, port):
        yield (broker / "exchange.env").read_text().strip().removeprefix("DOE_MQTT_URL=")


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_accounts_trade_in_their_own_areas_only(kind: str, tmp_path: Path) -> None:
    """The bakery is in both areas, the mill in the first and the smithy in the second."""
    paths = write_scenarios(tmp_path, AREAS)
    paths[1].write_text(paths[1].read_text().replace("mill", "smithy"))
    passwords = {"bakery": "flour", "mill": "corn", "smithy": "iron"}
    made = [load_scenario(path) for path in paths]
    more: dict[str, Any] = {"data": tmp_path / "data", "metrics_port": 0}
    with ExitStack() as stack:
        if kind == "mosquitto":
            more["redis_url"] = stack.enter_context(RedisServer(tmp_path)).url
            more["mqtt_url"] = stack.enter_context(secured(tmp_path, paths, passwords))
        else:
            more["accounts"] = tmp_path / "accounts.toml"
            text = "".join(f'{name} = "{word}"\n' for name, word in passwords.items())
            more["accounts"].write_text(text)
        async with running(made, read_settings(**more)) as run:
            await run.until(north=True, south=True)
            where = run.served["north"].mqtt
            answered = set()
            for name, password in passwords.items():
                for area in AREAS:
                    settings = MqttSettings.from_url(where, f"{name}/{area}")
                    if kind == "mosquitto":  # it takes the user name as the client id
                        settings = replace(settings, client_id=name)
                    settings = replace(settings, username=name, password=password)
                    asked = order_of("bakery", 0) | {"client_order_id": name}
                    with contextlib.suppress(TimeoutError, PublishRefusedError, TransportError):
                        async with asyncio.timeout(1.5), client(settings, area, name) as customer:
                            await customer.ask(asked, again_after_s=0.3)
                            answered.add((name, area))
            assert answered == {
                *(("bakery", area) for area in AREAS),
                *{("mill", "north"), ("smithy", "south")},
            }


def test_failures_end_a_process_when_nothing_can_run_any_more() -> None:
    lost, away = LeaseHeldError("held"), OSError("away")
    failures = Failures(AREAS)
    assert not failures.end_all("north", away)
    assert failures.end_all("south", away), "nothing has ever run"
    failures.ran("north")
    assert not failures.end_all("north", away)
    assert not failures.end_all("north", lost)
    assert not failures.end_all("south", away)
    assert failures.end_all("south", lost), "none can be mended"
    failures.ran("north")
    assert not failures.end_all("south", lost)


@pytest.mark.parametrize(
    ("north", "south", "is_healthy"),
    [
        ({"serves": True}, {"serves": True}, True),
        ({"serves": True}, {"serves": False, "standby_at_entry": 3}, True),
        ({"serves": True}, {"serves": False}, False),
        (*[{"serves": False, "standby_at_entry": 3}] * 2, False),
    ],
)
def test_health(north: dict[str, Any], south: dict[str, Any], is_healthy: bool) -> None:
    areas = {"north": north, "south": south}
    assert health_of(areas) == (is_healthy, {"serves": is_healthy, "areas": areas})


async def test_areas_of_one_name_are_refused(scenarios: list[Scenario], tmp_path: Path) -> None:
    twice = [*scenarios, scenarios[0]]
    with pytest.raises(InputFaults, match="north: 2 scenarios have this area"):
        await serve(twice, read_settings(data=tmp_path), lambda _: None)


def test_what_one_server_or_one_file_cannot_do_is_refused(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    with pytest.raises(InputFaults, match="an embedded one is of its own process"):
        ServerPlaces.of(read_settings(standby=True), scenarios)
    for name in ("witness", "archive"):
        shared: dict[str, Any] = {name: tmp_path / "file"}
        with pytest.raises(InputFaults, match=r"that of 2 areas: put \{area\} into its name"):
            ServerPlaces.of(read_settings(**shared), scenarios)
        ServerPlaces.of(read_settings(**shared), scenarios[:1])
        ServerPlaces.of(read_settings(**{name: tmp_path / "{area}.file"}), scenarios)


async def test_each_area_has_an_account_of_its_own_at_the_broker(
    scenarios: list[Scenario],
) -> None:
    url = "mqtts://exchange%2F{area}:a{b@broker"
    places = ServerPlaces.of(read_settings(mqtt_url=url), scenarios)
    async with contextlib.AsyncExitStack() as stack:
        make, shown = await open_broker(places, participants_in(scenarios), stack)
    assert shown == "mqtts://broker:8883"
    found = [make(area) for area in AREAS]
    assert [each.username for each in found] == ["exchange/north", "exchange/south"]
    assert [each.client_id for each in found] == ["doe-exchange-north", "doe-exchange-south"]
    assert found[0].password == "a{b"
