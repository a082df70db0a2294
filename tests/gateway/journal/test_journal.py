"""The contract of the Journal port, and what is special to Redis."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from pathlib import Path
from typing import Any

import pytest
from gateway_servers import RedisServer, free_port
from journal_entries import entries, stand_still, stored, write_snapshot
from redis.asyncio import Redis

from exchange.vocabulary.commands import AdvanceTime
from exchange.vocabulary.versions import VERSION
from gateway.errors import (
    CorruptJournalError,
    JournalError,
    JournalUnavailableError,
    LeaseHeldError,
    NotDurableError,
    SequenceGapError,
    StaleWriterError,
)
from gateway.journal.chain import BEGINNING, linked
from gateway.journal.codec import encode_entry
from gateway.journal.files import read_entries
from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry, Snapshot


async def test_entries_are_read_as_they_were_written(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as journal:
        assert (journal.last_sequence, journal.published_sequence) == (0, 0)
        await journal.append(entries(1, 1), 0)
        await journal.append([], 0)
        await journal.append(entries(2, 1200), 1)
        assert await stored(journal) == entries(1, 1200)
        assert await stored(journal, after=1198) == entries(1199, 1200)
        assert await stored(journal, after=1200) == []
        assert (journal.last_sequence, journal.published_sequence) == (1200, 1)


async def test_next_writer_finds_everything(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as first:
        await first.append(entries(1, 2), 1)
        await write_snapshot(first, b"\x00state")
        await first.append(entries(3, 3), 2)
        await first.renew(3)
    async with RedisJournal(redis_url, area) as second:
        assert (second.last_sequence, second.published_sequence) == (3, 3)
        assert await second.read_snapshot() == Snapshot(2, b"\x00state")
        await second.append(entries(4, 4), 3)
        assert await stored(second) == entries(1, 4)


async def test_no_snapshot_yet(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as journal:
        assert await journal.read_snapshot() is None


async def test_published_mark_only_moves_forward(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as journal:
        await journal.append(entries(1, 5), 4)
        await journal.renew(2)
        assert journal.published_sequence == 4
    async with RedisJournal(redis_url, area) as again:
        assert again.published_sequence == 4


@pytest.mark.parametrize("first", [1, 3, 5])
async def test_gap_and_repetition_are_refused(redis_url: str, area: str, first: int) -> None:
    async with RedisJournal(redis_url, area) as journal:
        await journal.append(entries(1, 3), 0)
        with pytest.raises(SequenceGapError, match=f"entry {first} does not follow"):
            await journal.append(entries(first, first), 0)
        assert await stored(journal) == entries(1, 3)


async def test_server_refuses_gap_too(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as journal:
        await journal.append(entries(1, 3), 0)
        journal._last = 6
        with pytest.raises(SequenceGapError, match="last one, 3"):
            await journal.append(entries(7, 7), 0)


async def test_answer_lost_on_its_way_is_no_error(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as journal:
        await journal.append(entries(1, 3), 0)
        # As if the answer to entries 2 and 3 had not come back.
        journal._last, journal._chain = 1, linked(BEGINNING, encode_entry(entries(1, 1)[0]))
        await journal.append(entries(2, 3), 0)
        assert journal.last_sequence == 3
        assert await stored(journal) == entries(1, 3)


async def test_stalled_former_writer_cannot_write(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area, owner="one", lease_s=0.2) as stalled:
        stand_still(stalled)
        await stalled.append(entries(1, 1), 0)
        async with RedisJournal(redis_url, area, owner="two", lease_s=0.2) as heir:
            with pytest.raises(StaleWriterError, match="taken over"):
                await stalled.append(entries(2, 2), 0)
            with pytest.raises(StaleWriterError):
                await stalled.renew(1)
            with pytest.raises(JournalError, match="STALE"):
                await write_snapshot(stalled, b"old")
            await heir.append(entries(2, 2), 1)
            assert await stored(heir) == entries(1, 2)
            assert await heir.read_snapshot() is None


async def test_living_writer_keeps_its_lease(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area, lease_s=0.3) as living:

        async def stay_alive() -> None:
            while True:
                await living.renew(0)
                await asyncio.sleep(0.1)

        renewing = asyncio.create_task(stay_alive())
        with pytest.raises(LeaseHeldError, match="another writer"):
            async with RedisJournal(redis_url, area, lease_s=0.3):
                pass
        renewing.cancel()
        await asyncio.wait({renewing})


async def test_same_owner_comes_back_at_once(redis_url: str, area: str) -> None:
    async with (
        asyncio.timeout(2),
        RedisJournal(redis_url, area, owner="one", lease_s=60) as killed,
        RedisJournal(redis_url, area, owner="one", lease_s=60),
    ):
        with pytest.raises(StaleWriterError):
            await killed.append(entries(1, 1), 0)


async def test_areas_do_not_see_each_other(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as one, RedisJournal(redis_url, f"{area}b") as two:
        await one.append(entries(1, 2), 0)
        assert await stored(two) == []


async def test_reader_takes_no_lease_and_writes_nothing(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as writer:
        await writer.append(entries(1, 2), 0)
        async with RedisJournal(redis_url, area, read_only=True) as reader:
            assert reader.last_sequence == 2
            assert await stored(reader) == entries(1, 2)
            with pytest.raises(JournalError, match="reading only"):
                await reader.append(entries(3, 3), 0)
        await writer.append(entries(3, 3), 0)


async def test_missing_entry_is_noticed(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as journal:
        await journal.append(entries(1, 3), 0)
        await journal._redis.xdel(journal._stream, "2-0")
        with pytest.raises(CorruptJournalError, match="entry 2 is missing, the next is 3"):
            await stored(journal)


async def test_an_entry_of_a_newer_release_is_named(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area) as journal:
        await journal.append(entries(1, 2), 0)
        here, next_ = (f'{{"version":{each},'.encode() for each in (VERSION, VERSION + 1))
        newer = encode_entry(entries(3, 3)[0]).replace(here, next_)
        fields: dict[Any, Any] = {"entry": newer, "chain": linked(journal._chain, newer)}
        await journal._redis.xadd(journal._stream, fields, "3-0")
        words = (
            f"journal of {area}, entry 3: entry 3 has version {VERSION + 1}, and this program reads"
        )
        with pytest.raises(CorruptJournalError, match=words):
            await stored(journal)


async def test_the_layout_in_redis_is_the_one_that_releases_have_written(
    redis_url: str, area: str
) -> None:
    """Both ways, with a client that knows nothing of the journal."""
    stream, writer = f"doe:{{{area}}}:journal", f"doe:{{{area}}}:writer"
    snapshot, lease = f"doe:{{{area}}}:snapshot", f"doe:{{{area}}}:lease"
    lines = [encode_entry(entry) for entry in entries(1, 3)]
    digests = [BEGINNING]
    for line in lines:
        digests.append(hashlib.sha256(digests[-1] + line).digest())
    stored_as: list[dict[Any, Any]] = [
        {b"entry": line, b"chain": chain} for line, chain in zip(lines, digests[1:], strict=True)
    ]
    async with Redis.from_url(redis_url) as client:
        for number, fields in enumerate(stored_as[:2], start=1):
            await client.xadd(stream, fields, f"{number}-0")
        mark: dict[Any, Any] = {"epoch": 6, "last": 2, "published": 1, "chain": digests[2]}
        await client.hset(writer, mapping=mark)
        packed = [zlib.compress(state) for state in (b"\x00state", b"later")]
        await client.hset(f"{snapshot}:a", "0", packed[0][:5])
        await client.hset(f"{snapshot}:a", "1", packed[0][5:])
        head: dict[Any, Any] = {
            **{"sequence": 1, "chain": digests[1], "place": "a", "parts": 2},
            **{"bytes": len(packed[0]), "digest": hashlib.sha256(packed[0]).hexdigest()},
        }
        await client.hset(snapshot, mapping=head)
        async with RedisJournal(redis_url, area, owner="me") as journal:
            assert (journal.last_sequence, journal.published_sequence) == (2, 1)
            assert await stored(journal) == entries(1, 2)
            assert await journal.read_snapshot() == Snapshot(1, b"\x00state")
            assert await client.get(lease) == b"me"
            await journal.append(entries(3, 3), 2)
            await write_snapshot(journal, b"later")
        written = await client.xrange(stream)
        assert written == [(b"%d-0" % k, fields) for k, fields in enumerate(stored_as, 1)]
        assert await client.hgetall(writer) == {
            **{b"epoch": b"7", b"last": b"3", b"published": b"2"},
            b"chain": digests[3],
        }
        parts: Any = await client.hgetall(f"{snapshot}:b")
        (part,) = parts.values()
        assert zlib.decompress(part) == b"later"
        assert await client.hgetall(snapshot) == {
            **{b"sequence": b"3", b"chain": digests[3], b"place": b"b", b"parts": b"1"},
            **{b"bytes": b"%d" % len(part), b"digest": hashlib.sha256(part).hexdigest().encode()},
        }
        assert sorted(await client.keys(f"doe:{{{area}}}:*")) == sorted(
            each.encode() for each in (stream, writer, snapshot, f"{snapshot}:b")
        )


async def test_file_and_back(redis_url: str, area: str, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    async with RedisJournal(redis_url, area) as journal:
        await journal.append(entries(1, 5), 0)
        lines = [encode_entry(entry) + b"\n" async for entry in journal.read()]
        assert len(lines) == 5
        file.write_bytes(b"".join(lines))
    assert [each async for each in read_entries(str(file))] == entries(1, 5)
    assert [each async for each in read_entries(f"{redis_url}#{area}")] == entries(1, 5)
    assert [each async for each in read_entries(redis_url, area)] == entries(1, 5)


async def test_file_with_a_missing_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    line = encode_entry(JournalEntry(1, AdvanceTime(), ()))
    third = line.replace(b'"sequence":1', b'"sequence":3')
    file.write_bytes(b"\n".join([line, third]))
    with pytest.raises(CorruptJournalError, match=r"journal\.jsonl, line 2: entry 2 is missing"):
        [each async for each in read_entries(str(file))]
    with pytest.raises(ValueError, match="needs its area"):
        [each async for each in read_entries("redis://127.0.0.1")]


async def test_server_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path, "--appendonly", "no") as server,
        pytest.raises(NotDurableError, match="appendonly is no: it does not write"),
    ):
        async with RedisJournal(server.url, "a"):
            pass


async def test_server_that_syncs_each_second_needs_a_word(tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "everysec")
    with RedisServer(tmp_path, *options) as server:
        with pytest.raises(NotDurableError, match="appendfsync always"):
            async with RedisJournal(server.url, "a"):
                pass
        async with RedisJournal(server.url, "a", allow_everysec=True) as journal:
            await journal.append(entries(1, 1), 0)


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(JournalUnavailableError, match="does not answer"):
        async with RedisJournal(f"redis://127.0.0.1:{free_port()}", "a"):
            pass


async def test_server_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with RedisJournal(server.url, "a") as journal:
            await journal.append(entries(1, 2), 0)
            server.kill()
            appending = asyncio.create_task(journal.append(entries(3, 4), 0))
            await asyncio.sleep(0.3)
            assert not appending.done()
            server.start()
            await appending
            assert await stored(journal) == entries(1, 4)


async def test_server_that_stays_away_is_an_error(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with RedisJournal(server.url, "a", retry_for_s=0.3) as journal:
            server.kill()
            with pytest.raises(JournalUnavailableError, match="has not answered for"):
                await journal.append(entries(1, 1), 0)


@pytest.mark.parametrize("name", ["", "a{b", "}"])
def test_area_that_breaks_the_hash_slot_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="may not name a journal"):
        RedisJournal("redis://127.0.0.1", name)
