"""Settings of a real Redis that lose entries are refused, at the start and while it is used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from gateway_market import serving
from gateway_servers import Mosquitto, RedisServer
from journal_entries import entries, stored, write_snapshot
from redis.asyncio import Redis

from exchange.vocabulary.commands import AdvanceTime
from gateway.errors import (
    AccessRefusedError,
    JournalError,
    JournalUnavailableError,
    LostEntriesError,
    NotDurableError,
)
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.server_checks import Durability, ServerFacts, faults_of, warnings_of
from gateway.journal.witness import Witness
from gateway.service.settings import ServiceSettings

LOSING = [
    ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ("maxmemory-policy", "allkeys-random", "noeviction"),
    ("maxmemory-policy", "volatile-ttl", "noeviction"),
    ("appendfsync", "everysec", "always"),
    ("appendfsync", "no", "always"),
    ("no-appendfsync-on-rewrite", "yes", "no"),
    ("appendonly", "no", "yes"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of this module's own, because its settings are changed."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture
async def admin(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


async def allow(admin: Redis, user: str, *rights: str) -> None:
    """Give a user with the password ``secret`` rights to commands."""
    await admin.execute_command("ACL", "SETUSER", user, "reset", "on", ">secret", "~*", *rights)


@pytest.mark.parametrize(("name", "value", "good"), LOSING)
async def test_a_setting_that_loses_entries_is_refused_at_the_start(
    server: RedisServer, admin: Redis, area: str, name: str, value: str, good: str
) -> None:
    await admin.config_set(name, value)
    try:
        with pytest.raises(NotDurableError, match=rf"{area}.*{name} is '?{value}'?: .*set {name}"):
            async with RedisJournal(server.url, area):
                pass
    finally:
        await admin.config_set(name, good)
    async with RedisJournal(server.url, area) as journal:
        await journal.append(entries(1, 1), 0)


@pytest.mark.parametrize(("name", "value", "good"), LOSING)
async def test_a_setting_that_is_changed_while_it_is_used_is_an_error(
    server: RedisServer, admin: Redis, area: str, name: str, value: str, good: str
) -> None:
    async with RedisJournal(server.url, area, look_every_s=0.0) as journal:
        await journal.append(entries(1, 2), 0)
        await journal.renew(0)
        await admin.config_set(name, value)
        try:
            with pytest.raises(NotDurableError, match=rf"{name} is '?{value}'?: .*set {name}"):
                await journal.renew(0)
        finally:
            await admin.config_set(name, good)


async def test_settings_are_looked_at_now_and_then(
    server: RedisServer, admin: Redis, area: str
) -> None:
    async with RedisJournal(server.url, area) as journal:
        before = (await admin.info("commandstats")).get("cmdstat_info", {"calls": 0})["calls"]
        for _ in range(20):
            await journal.renew(0)
        after = (await admin.info("commandstats"))["cmdstat_info"]["calls"]
        assert after - before <= 2  # those of this test


@pytest.mark.parametrize("key", ["journal", "writer", "snapshot", "snapshot:a"])
async def test_a_key_that_would_vanish_is_an_error(
    server: RedisServer, admin: Redis, area: str, key: str
) -> None:
    name = f"doe:{{{area}}}:{key}"
    async with RedisJournal(server.url, area, look_every_s=0.0) as journal:
        await journal.append(entries(1, 2), 0)
        await write_snapshot(journal, b"state")
        await admin.expire(name, 1000)
        with pytest.raises(NotDurableError, match=f"PERSIST doe:{{{area}}}:{key}"):
            await journal.renew(0)
    with pytest.raises(NotDurableError, match="has a time to live"):
        async with RedisJournal(server.url, area):
            pass
    await admin.persist(name)
    async with RedisJournal(server.url, area, read_only=True) as journal:
        assert await stored(journal) == entries(1, 2)


@pytest.mark.parametrize("writable", [False, True])
async def test_a_replica_is_refused_even_if_it_can_be_written_to(
    server: RedisServer, tmp_path: Path, area: str, writable: bool
) -> None:
    with RedisServer(tmp_path) as replica:
        async with Redis.from_url(replica.url) as client:
            await client.config_set("replica-read-only", "no" if writable else "yes")
            async with RedisJournal(replica.url, area, look_every_s=0.0) as journal:
                await client.replicaof("127.0.0.1", server.port)
                with pytest.raises(JournalError, match=r"its role is slave of 127\.0|read only"):
                    await journal.renew(0)
            with pytest.raises(NotDurableError, match=r"its role is slave of 127\.0.* the master"):
                async with RedisJournal(replica.url, f"{area}b"):
                    pass


async def test_replicas_of_the_server_are_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0")
    plain = ("--appendonly", "no")
    with RedisServer(tmp_path, *options) as server, RedisServer(tmp_path, *plain) as replica:
        async with Redis.from_url(replica.url) as one, Redis.from_url(server.url) as other:
            await one.replicaof("127.0.0.1", server.port)
            await other.set("a", "b")
            assert await other.wait(1, 9_000) == 1
        with caplog.at_level(logging.WARNING):
            async with RedisJournal(server.url, "a", look_every_s=0.0) as journal:
                await journal.renew(0)
                await journal.renew(0)
    assert caplog.text.count("a failover to one of them can lose acknowledged entries") == 1


async def test_a_server_that_evicts_has_lost_a_journal_and_the_next_start_says_so(
    tmp_path: Path,
) -> None:
    """Why the policy is refused: the server drops acknowledged entries without a word."""
    path = tmp_path / "a.witness"
    with RedisServer(tmp_path) as server:
        async with Redis.from_url(server.url) as client:
            async with RedisJournal(server.url, "a", witness=Witness(path, "a")) as journal:
                await journal.append(entries(1, 500), 0)
                used = (await client.info("memory"))["used_memory"]
                await client.config_set("maxmemory-policy", "allkeys-lru")
                await client.config_set("maxmemory", used + 2_000_000)
                for number in range(1_000):
                    await client.set(f"other{number}", "x" * 100_000)
                    if not await client.exists("doe:{a}:journal"):
                        break
                assert await stored(journal) == []
            await client.config_set("maxmemory", 0)
            await client.config_set("maxmemory-policy", "noeviction")
            with pytest.raises(LostEntriesError, match=r"ends at entry 0, but .* entry 500"):
                async with RedisJournal(server.url, "a", witness=Witness(path, "a")):
                    pass


async def test_the_service_ends_when_a_setting_is_changed(
    mosquitto: Mosquitto, server: RedisServer, admin: Redis, area: str
) -> None:
    """It stops to acknowledge: what comes later stays with the broker."""
    often = ServiceSettings(renew_s=0.02)
    look = {"look_every_s": 0.0}
    broker = mosquitto.settings(f"{area}-x")

    async def change_and_serve() -> None:
        async with serving(area, broker, server.url, settings=often, journal=look) as service:
            await admin.config_set("maxmemory-policy", "allkeys-lru")
            while True:
                await service.request(AdvanceTime())
                await asyncio.sleep(0.01)

    with pytest.raises(NotDurableError, match="maxmemory-policy is allkeys-lru"):
        await asyncio.wait_for(change_and_serve(), 20)
    await admin.config_set("maxmemory-policy", "noeviction")
    async with serving(area, broker, server.url, settings=often) as service:
        assert service.core.sequence >= 1


# -- where CONFIG is forbidden, and wrong passwords ----------------------------------------------


async def test_what_cannot_be_checked_is_named(
    server: RedisServer, admin: Redis, area: str, caplog: pytest.LogCaptureFixture
) -> None:
    await allow(admin, "guest", "+@all", "-config")
    url = server.url.replace("//", "//guest:secret@")
    with pytest.raises(NotDurableError, match="appendfsync is 'unknown'"):
        async with RedisJournal(url, area):
            pass
    with caplog.at_level(logging.WARNING):
        async with RedisJournal(url, area, allow_everysec=True) as journal:
            await journal.append(entries(1, 1), 0)
    assert (
        "it could not be checked that it has appendfsync always, no-appendfsync-on-rewrite no"
        in caplog.text
    )
    # The policy of eviction is in INFO as well.
    await admin.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(NotDurableError, match="maxmemory-policy is allkeys-lru"):
        async with RedisJournal(url, area, allow_everysec=True):
            pass
    await admin.config_set("maxmemory-policy", "noeviction")
    assert "secret" not in caplog.text


@pytest.mark.parametrize("user", ["guest:wrong-secret", "stranger:wrong-secret"])
async def test_a_wrong_password_is_said_at_once(
    server: RedisServer, admin: Redis, area: str, user: str
) -> None:
    await allow(admin, "guest", "+@all")
    url = server.url.replace("//", f"//{user}@")
    with pytest.raises(AccessRefusedError, match="refused the account or its password") as found:
        async with RedisJournal(url, area, retry_for_s=60.0):
            pass
    assert "wrong-secret" not in str(found.value)
    assert f"127.0.0.1:{server.port}" in str(found.value)


async def test_a_missing_password_is_said_at_once(tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always", "--requirepass", "s3cret")
    with RedisServer(tmp_path, *options) as server:
        for url in (server.url, server.url.replace("//", "//:wrong@")):
            for read_only in (False, True):
                with pytest.raises(AccessRefusedError, match="the account or its password"):
                    async with RedisJournal(url, "a", read_only=read_only):
                        pass
        url = server.url.replace("//", "//:s3cret@")
        async with RedisJournal(url, "a", retry_for_s=60.0) as journal:
            await journal.append(entries(1, 1), 0)
            # The password is changed while the exchange runs: no attempt is repeated.
            await journal._redis.config_set("requirepass", "other")
            await journal._redis.connection_pool.disconnect()
            with pytest.raises(AccessRefusedError):
                await journal.append(entries(2, 2), 0)


async def test_an_account_without_the_right_to_write_is_named(
    server: RedisServer, admin: Redis, area: str
) -> None:
    await allow(admin, "reader", "+@read", "+info", "+config", "+evalsha", "+script")
    url = server.url.replace("//", "//reader:secret@")
    with pytest.raises(AccessRefusedError, match="refused the account"):
        async with RedisJournal(url, area):
            pass


async def test_a_number_of_a_database_that_is_not_there_is_a_sentence(server: RedisServer) -> None:
    with pytest.raises(JournalError, match="DB index is out of range"):
        async with RedisJournal(f"{server.url}/77", "a"):
            pass


# -- what a server says, without one -------------------------------------------------------------

GOOD = {"redis_version": "7.4.1", "role": "master", "aof_enabled": 1}
SETTINGS = {"maxmemory-policy": "noeviction", "appendfsync": "everysec"}


def facts(settings: dict[str, str] | None = None, **info: object) -> ServerFacts:
    return ServerFacts(GOOD | info, SETTINGS if settings is None else settings)


def test_a_newer_server_may_sync_every_second_because_it_is_waited_for() -> None:
    assert faults_of(facts()) == []
    assert facts().durability() is Durability.ON_DEMAND
    assert "each group of entries waits up to a second" in warnings_of(facts())[-1]
    assert not any("everysec" in each for each in warnings_of(facts({"appendfsync": "always"})))
    assert faults_of(facts({})) == []
    assert "could not be checked" in warnings_of(facts({}))[0]
    (never,) = faults_of(facts(SETTINGS | {"appendfsync": "no"}))
    assert "appendfsync is no" in never
    (late,) = faults_of(facts(SETTINGS | {"no-appendfsync-on-rewrite": "yes"}))
    assert "set no-appendfsync-on-rewrite no" in late


def test_a_server_that_cannot_write_its_file_is_refused() -> None:
    (fault,) = faults_of(facts(aof_last_write_status="err"))
    assert "aof_last_write_status is err" in fault
    warnings = warnings_of(facts(aof_last_bgrewrite_status="err"))
    assert any("rewrite of the append-only file failed" in each for each in warnings)


def test_all_faults_are_named_at_once() -> None:
    bad = facts(
        {"maxmemory-policy": "allkeys-lfu", "appendfsync": "no"},
        role="slave", master_host="m", master_port=1, redis_version="6.2.14",
    )  # fmt: skip
    assert len(faults_of(bad)) == 3


async def test_a_server_that_still_reads_its_files_is_not_one_without_files(tmp_path: Path) -> None:
    """While it does, Redis says that ``appendonly`` is off: try again later, do not give up."""
    slow = ("--appendonly", "yes", "--appendfsync", "always", "--key-load-delay", "400")
    with RedisServer(tmp_path, *slow) as server:
        async with RedisJournal(server.url, "area") as journal:
            await journal.append(entries(1, 3), 0)
            async with journal._redis.pipeline(transaction=False) as many:
                for number in range(5_000):
                    many.set(f"other:{number}", "x")
                await many.execute()
        server.kill()
        server.start(loaded=False)  # reads them for two seconds
        refusals = []
        while True:
            try:
                async with RedisJournal(server.url, "area") as journal:
                    read = [entry.sequence async for entry in journal.read()]
            except JournalUnavailableError as error:
                refusals.append(str(error))
            else:
                break
        assert read == [1, 2, 3]
        assert any("it reads its files" in each for each in refusals)
