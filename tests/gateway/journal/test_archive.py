"""Entries move to a file and leave Redis; at no moment is one in neither."""

from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_entries import entries, stored, write_snapshot
from redis.asyncio import Redis

from gateway.errors import CorruptJournalError, JournalError, LostEntriesError
from gateway.journal import archive as module
from gateway.journal.archive import Archive, archived, read_lines
from gateway.journal.chain import BEGINNING, ChainedLine, linked
from gateway.journal.codec import encode_entry
from gateway.journal.files import read_entries
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.replay import replay_journal
from gateway.journal.witness import Witness
from gateway.ports import JournalEntry
from gateway.service.settings import ServiceSettings


def lines(last: int) -> list[ChainedLine]:
    made, chain = [], BEGINNING
    for entry in entries(1, last):
        line = encode_entry(entry)
        chain = linked(chain, line)
        made.append(ChainedLine(entry.sequence, line, chain))
    return made


def journal(url: str, area: str, path: Path, kept: int = 0) -> RedisJournal:
    return RedisJournal(url, area, owner="me", archive=Archive(path), kept_entries=kept)


async def whole(url: str, area: str, path: Path | None) -> list[JournalEntry]:
    return [each async for each in read_entries(url, area, path)]


async def in_redis(url: str, area: str) -> list[int]:
    async with Redis.from_url(url) as client_:
        found: Any = await client_.xrange(f"doe:{{{area}}}:journal")
    return [int(number.partition(b"-")[0]) for number, _ in found]


# -- the file ------------------------------------------------------------------------------------


@given(groups=st.lists(st.integers(1, 20), min_size=1, max_size=6), data=st.data())
@settings(deadline=None, max_examples=40)
async def test_a_file_that_was_not_finished_goes_on_after_its_last_whole_line(
    groups: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("a") / "archive"
    wanted = lines(sum(groups))
    for size in groups:
        archive = Archive(path)
        archive.open()
        await archive.add(wanted[archive.last : archive.last + size])
        archive.close()
        content = path.read_bytes()
        # As after a failure of the machine: the end is missing.
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        left = [entry.sequence for entry, _ in read_lines(path)]
        assert left == list(range(1, len(left) + 1))
        archive = Archive(path)
        archive.open()
        assert archive.last == len(left)
        await archive.add(wanted[archive.last : archive.last + 2])
        archive.close()
    last = len(list(read_lines(path)))
    assert path.read_bytes() == b"".join(archived(e.line, e.chain) for e in wanted[:last])


async def test_a_line_that_does_not_follow_is_refused(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    archive.open()
    wanted = lines(5)
    await archive.add(wanted[:2])
    with pytest.raises(CorruptJournalError, match="entry 4 does not follow entry 2"):
        await archive.add(wanted[3:])
    changed = wanted[2]._replace(line=wanted[2].line.replace(b"a3", b"b3"))
    with pytest.raises(CorruptJournalError, match="entry 3 does not follow entry 2"):
        await archive.add([changed])
    await archive.add(wanted[2:])
    archive.close()
    assert [each for each, _ in read_lines(archive.path)] == entries(1, 5)
    assert stat.S_IMODE(archive.path.stat().st_mode) == 0o600
    path = tmp_path / "changed"
    path.write_bytes(archive.path.read_bytes().replace(b'"a3"', b'"b3"'))
    with pytest.raises(CorruptJournalError, match=r"changed, line 3: its digest does not follow"):
        list(read_lines(path))
    missing = archive.path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(missing[:2] + missing[3:]))
    with pytest.raises(CorruptJournalError, match=r"line 3: entry 3 is missing"):
        list(read_lines(path))


async def test_a_disk_that_is_full_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path / "archive")
    archive.open()
    wanted = lines(4)
    await archive.add(wanted[:2])
    before = archive.path.read_bytes()
    write, written = os.write, list[int]()

    def full(descriptor: int, content: bytes) -> int:
        if written:
            raise OSError(28, "No space left on device")
        written.append(write(descriptor, content[:10]))
        return written[-1]

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(JournalError, match=r"cannot be archived in .*: no space left"):
        await archive.add(wanted[2:])
    monkeypatch.undo()
    assert archive.path.read_bytes() == before
    await archive.add(wanted[2:])
    archive.close()
    assert [each for each, _ in read_lines(archive.path)] == entries(1, 4)


# -- with a journal ------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 3, 100])
async def test_entries_before_the_snapshot_move_and_are_found(
    redis_url: str, area: str, tmp_path: Path, kept: int
) -> None:
    path, last = tmp_path / "archive.jsonl", 0
    for step in (700, 1, 30, 1200):
        async with journal(redis_url, area, path, kept) as opened:
            await opened.append(entries(last + 1, last + step), 0)
            await opened.archive_entries()
            before = await in_redis(redis_url, area)
            await write_snapshot(opened, b"state")
            assert await in_redis(redis_url, area) == before
            await opened.append(entries(last + step + 1, last + step + 2), 0)
            last += step + 2
            await opened.archive_entries()
            moved = max(0, min(last - 2, last - kept))
            assert await in_redis(redis_url, area) == list(range(moved + 1, last + 1))
            assert await stored(opened, after=last - 2) == entries(last - 1, last)
        assert await whole(redis_url, area, path) == entries(1, last)
        assert len(list(read_lines(path))) == moved
    if kept < 100:
        with pytest.raises(CorruptJournalError, match=r"entry 1 is missing.* an archive may have"):
            await whole(redis_url, area, None)


async def test_an_archive_of_another_journal_is_refused(
    redis_url: str, area: str, tmp_path: Path
) -> None:
    path, other = tmp_path / "archive", tmp_path / "other"
    async with journal(redis_url, area, path) as opened:
        await opened.append(entries(1, 10), 0)
        await write_snapshot(opened, b"state")
        await opened.append(entries(11, 12), 0)
        await opened.archive_entries()
    with pytest.raises(CorruptJournalError, match=r"other ends at entry 0, .* begins at entry 11"):
        async with journal(redis_url, area, other):
            pass
    async with journal(redis_url, f"{area}b", other) as opened:
        await opened.append(entries(1, 20), 0)
        await write_snapshot(opened, b"state")
        await opened.archive_entries()
    with pytest.raises(LostEntriesError, match=r"other ends at entry 20, which is not in the"):
        async with journal(redis_url, area, other):
            pass
    # A reader compares what follows with the last line of the file.
    cut = b"".join(path.read_bytes().splitlines(keepends=True)[:9])
    path.write_bytes(cut)
    with pytest.raises(CorruptJournalError, match="entry 10 is missing"):
        await whole(redis_url, area, path)
    line = encode_entry(entries(10, 10)[0]).replace(b"a10", b"b10")
    path.write_bytes(cut + archived(line, linked(lines(9)[-1].chain, line)))
    with pytest.raises(CorruptJournalError, match="entry 11: its digest does not follow"):
        await whole(redis_url, area, path)


async def test_entries_that_are_not_on_the_disk_stay(
    redis_url: str, area: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    async with journal(redis_url, area, tmp_path / "archive") as opened:
        await opened.append(entries(1, 10), 0)
        await write_snapshot(opened, b"state")
        with monkeypatch.context() as patch:
            patch.setattr(module.os, "fsync", broken)
            with pytest.raises(JournalError, match="input/output error"):
                await opened.archive_entries()
        assert await in_redis(redis_url, area) == list(range(1, 11))
        await opened.archive_entries()
        assert await in_redis(redis_url, area) == []
        await opened.append(entries(11, 11), 0)
    assert await whole(redis_url, area, tmp_path / "archive") == entries(1, 11)


async def test_a_witness_that_is_older_than_what_is_left_proves_nothing(
    redis_url: str, area: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As that of a machine that has not written for long."""
    witness = Witness(tmp_path / "witness", area)
    async with RedisJournal(redis_url, area, owner="me", witness=witness) as opened:
        await opened.append(entries(1, 2), 0)
    async with journal(redis_url, area, tmp_path / "archive") as opened:
        await opened.append(entries(3, 9), 0)
        await write_snapshot(opened, b"state")
        await opened.append(entries(10, 11), 0)
        await opened.archive_entries()
    async with RedisJournal(redis_url, area, owner="me", witness=witness) as opened:
        assert opened.last_sequence == 11
    assert "is older than its oldest entry, and proves nothing" in caplog.text


WRITER = """
import asyncio, sys
from pathlib import Path
from typing import Any
from journal_entries import entries, write_snapshot
from gateway.journal.archive import Archive
from gateway.journal.redis_journal import RedisJournal

async def write():
    async with RedisJournal(
        sys.argv[1], "a", owner="me", archive=Archive(Path(sys.argv[2]))
    ) as journal:
        while True:
            last = journal.last_sequence
            await journal.append(entries(last + 1, last + 1300), 0)
            await write_snapshot(journal, b"state")
            print(last + 1300, flush=True)
            await journal.archive_entries()

asyncio.run(write())
"""


async def test_a_process_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(22)
    path = tmp_path / "archive"
    with RedisServer(tmp_path) as server:
        for _ in range(8):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITER, server.url, str(path)),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            assert process.stdout is not None
            for _ in range(chance.randint(1, 3)):
                answered = int(await process.stdout.readline())
            await asyncio.sleep(chance.uniform(0, 0.1))
            process.kill()
            await process.wait()
            await process.stdout.read()
            found = await whole(server.url, "a", path)
            assert found == entries(1, len(found))
            assert len(found) >= answered
        moved = len(list(read_lines(path)))
        left = await in_redis(server.url, "a")
        assert moved > 1300
        assert not left or left[0] <= moved + 1  # all are moved where the kill came after it


# -- in the service and the commands -------------------------------------------------------------


async def test_the_service_moves_entries_and_the_command_replays_them(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, tmp_path: Path
) -> None:
    path = tmp_path / "archive"
    given_up = ServiceSettings(snapshot_entries=5)
    more = {"archive": Archive(path), "kept_entries": 2}
    settings_ = mosquitto.settings(f"{area}-x")
    async with (
        serving(area, settings_, redis_server.url, settings=given_up, journal=more) as service,
        client(mosquitto.settings(f"{area}-p0"), area, "p0") as participant,
    ):
        number = 0
        async with asyncio.timeout(30):
            while len(await in_redis(redis_server.url, area)) >= number - 10 or number < 30:
                number += 1
                await participant.ask(order(f"n{number}", 0, "sell", 10, "0.0450"))
        digest = service.core.exchange.digest()
    replayed = await replay_journal(f"{redis_server.url}#{area}", None, path)
    assert replayed.digest == digest
    assert replayed.entries > 30
    told = await asyncio.to_thread(
        run, "replay", f"{redis_server.url}#{area}", "--archive", path, "--json"
    )
    assert json.loads(told.stdout)["digest"] == digest
    refused = await asyncio.to_thread(run, "replay", f"{redis_server.url}#{area}")
    assert refused.exit_code == 2
    assert "entry 1 is missing" in refused.stderr
    statements = await asyncio.to_thread(
        run, "statements", f"{redis_server.url}#{area}", "--archive", path, "--json"
    )
    assert statements.exit_code == 0, statements.stderr
    async with serving(area, settings_, redis_server.url, journal=more) as service:
        assert service.core.exchange.digest() == digest
