"""A journal that comes back shorter, or another one, is refused at its start."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import journal_entries
import pytest
from gateway_servers import RedisServer
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_entries import entries, stored
from redis.asyncio import Redis

from gateway.errors import JournalError, LostEntriesError, SequenceGapError
from gateway.journal.chain import BEGINNING
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.witness import JournalEnd, Witness

RECORD = 1024
ENDS = st.builds(
    JournalEnd,
    epoch=st.integers(1, 3),
    sequence=st.integers(0, 2**60),
    chain=st.binary(min_size=32, max_size=32),
)


@contextmanager
def umask(mode: int) -> Iterator[None]:
    before = os.umask(mode)
    try:
        yield
    finally:
        os.umask(before)


async def noted(path: Path, ends: list[JournalEnd]) -> None:
    witness = Witness(path, "a")
    witness.open()
    for end in ends:
        witness.note(end)
    await witness.close()


async def known(path: Path, area: str = "a") -> JournalEnd | None:
    witness = Witness(path, area)
    try:
        return witness.open()
    finally:
        await witness.close()


@given(ends=st.lists(ENDS, min_size=1, max_size=6).map(sorted))
@settings(max_examples=30)
async def test_the_last_end_is_known(
    ends: list[JournalEnd], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("w") / "witness"
    assert await known(path) is None
    for end in ends:
        await noted(path, [end])  # each time as after a restart
        assert await known(path) == end
    path.unlink()
    await noted(path, ends)
    assert await known(path) == ends[-1]


@given(
    numbers=st.lists(st.integers(1, 10**9), min_size=2, max_size=5, unique=True).map(sorted),
    torn=st.integers(0, RECORD - 1),
    junk=st.sampled_from([b"\0", b"x", b"}", None]),
)
@settings(max_examples=50)
async def test_a_torn_record_leaves_the_one_before(
    numbers: list[int], torn: int, junk: bytes | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As after a failure of the machine while it wrote: a part of the new record is there."""
    path = tmp_path_factory.mktemp("w") / "witness"
    ends = [JournalEnd(1, number, number.to_bytes(32)) for number in numbers]
    await noted(path, ends[:-1])
    before = path.read_bytes()
    await noted(path, ends[-1:])
    after = path.read_bytes()
    start = next(k for k in range(len(after)) if after[k : k + 1] != before[k : k + 1])
    start -= start % RECORD
    rest = before[start + torn :] if junk is None else junk * (RECORD - torn)
    mixed = after[: start + torn] + rest[: RECORD - torn] + after[start + RECORD :]
    path.write_bytes(mixed)
    assert await known(path) in ends[-2:]


async def test_the_file_is_for_its_own_account_whatever_the_umask(tmp_path: Path) -> None:
    with umask(0):
        path = tmp_path / "new" / "folder" / "a.witness"
        await noted(path, [JournalEnd(1, 1, BEGINNING)])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o666)
        await known(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.witness"
    path.write_text("my notes\n")
    with pytest.raises(JournalError, match=rf"the witness {path} is damaged; .* remove this file"):
        await known(path)
    path.unlink()
    await noted(path, [JournalEnd(1, 1, BEGINNING)])
    with pytest.raises(JournalError, match="is that of area a, not of b"):
        await known(path, "b")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(JournalError, match="cannot be kept in"):
        await known(link)
    with pytest.raises(JournalError, match="cannot be kept in"):
        await known(tmp_path)
    witness = Witness(Path("/dev/full"), "a")
    witness._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(JournalError, match="no space left"):
        witness.note(JournalEnd(1, 1, BEGINNING))
    await witness.close()


# -- with a journal ------------------------------------------------------------------------------


def journal(url: str, path: Path, area: str, accepted_end: int | None = None) -> RedisJournal:
    return RedisJournal(
        url, area, owner="me", witness=Witness(path, area), accepted_end=accepted_end
    )


async def test_a_journal_that_is_whole_is_opened(redis_url: str, area: str, tmp_path: Path) -> None:
    path = tmp_path / "witness"
    for last in (3, 4, 9):
        async with journal(redis_url, path, area) as opened:
            await opened.append(entries(opened.last_sequence + 1, last), 0)
    # Another machine has written since: its witness knows more, this one less.
    async with RedisJournal(redis_url, area, owner="me") as other:
        await other.append(entries(10, 12), 0)
    async with journal(redis_url, path, area) as opened:
        assert await stored(opened) == entries(1, 12)
    found = await known(path, area)
    assert found is not None
    assert found.sequence == 12


async def shorten(url: str, area: str, to: int) -> None:
    """Bring a journal back as an older copy has it: all its keys say the same."""
    stream, writer = f"doe:{{{area}}}:journal", f"doe:{{{area}}}:writer"
    async with Redis.from_url(url) as client:
        everything: Any = await client.xrange(stream)
        await client.delete(stream)
        for number, fields in everything[:to]:
            await client.xadd(stream, fields, number)
        if to:
            chain = everything[to - 1][1][b"chain"]
            await client.hset(writer, mapping={"last": to, "chain": chain, "epoch": 1})
        else:
            await client.delete(writer)


@pytest.mark.parametrize("left", [0, 1, 4])
async def test_a_journal_that_comes_back_shorter_is_refused_until_the_loss_is_accepted(
    redis_url: str, area: str, tmp_path: Path, left: int
) -> None:
    path = tmp_path / "witness"
    async with journal(redis_url, path, area) as opened:
        await opened.append(entries(1, 5), 5)
    await shorten(redis_url, area, left)
    for wrong in (None, left + 1, 5):
        words = rf"{area} ends at entry {left}, but the witness knows entry 5 .*--ends-at {left}$"
        with pytest.raises(LostEntriesError, match=words):
            async with journal(redis_url, path, area, wrong):
                pass
    async with journal(redis_url, path, area, left) as opened:
        assert opened.lost is not None
        assert (opened.lost.ends_at, opened.lost.written) == (left, 5)
        assert opened.last_sequence == left
        assert opened.published_sequence <= left
    # Nothing was written after it: the loss is still one.
    with pytest.raises(LostEntriesError):
        async with journal(redis_url, path, area):
            pass
    async with journal(redis_url, path, area, left) as opened:
        await opened.append(entries(left + 1, left + 2), 0)
    async with journal(redis_url, path, area) as opened:
        assert opened.lost is None
        assert await stored(opened) == entries(1, left + 2)
    with pytest.raises(JournalError, match=f"nothing is known to be lost .*entry {left + 2}"):
        async with journal(redis_url, path, area, left + 2):
            pass


async def test_a_journal_that_went_another_way_is_refused(
    redis_url: str, area: str, tmp_path: Path
) -> None:
    """An older copy to which another exchange has written: it is longer, and not the same."""
    path = tmp_path / "witness"
    async with journal(redis_url, path, area) as opened:
        await opened.append(entries(1, 5), 0)
    await shorten(redis_url, area, 3)
    async with RedisJournal(redis_url, area, owner="me") as other:
        others = [journal_entries.entry(k, f"b{k}") for k in range(4, 9)]
        await other.append(others, 0)
    words = "ends at entry 8, but its entry 5 is not the one that the witness knows"
    with pytest.raises(LostEntriesError, match=words):
        async with journal(redis_url, path, area):
            pass
    async with journal(redis_url, path, area, 8) as opened:
        await opened.append(entries(9, 9), 0)
    async with journal(redis_url, path, area) as opened:
        assert len(await stored(opened)) == 9


@pytest.mark.parametrize("gone", ["end", "all", "record"])
async def test_a_stream_that_does_not_end_as_recorded_is_refused(
    redis_url: str, area: str, tmp_path: Path, gone: str
) -> None:
    """Without a witness, too: the server's own record of the last entry is another place."""
    async with RedisJournal(redis_url, area, owner="me") as opened:
        await opened.append(entries(1, 5), 0)
        if gone == "end":
            await opened._redis.xdel(opened._stream, "5-0")
        elif gone == "all":
            await opened._redis.delete(opened._stream)
        else:
            await opened._redis.hdel(opened._writer, "last", "chain")
    end, last = {"end": (4, 5), "all": (0, 5), "record": (5, 0)}[gone]
    words = f"ends at entry {end}, but its server recorded entry {last} as its last"
    with pytest.raises(LostEntriesError, match=words):
        async with RedisJournal(redis_url, area, owner="me"):
            pass
    async with RedisJournal(redis_url, area, owner="me", accepted_end=end) as opened:
        await opened.append(entries(end + 1, 6), 0)
    async with RedisJournal(redis_url, area, owner="me") as opened:
        assert await stored(opened) == entries(1, 6)


async def test_a_changed_entry_is_noticed(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area, owner="me") as opened:
        await opened.append(entries(1, 5), 0)
        everything: Any = await opened._redis.xrange(opened._stream)
        everything[2][1][b"entry"] = everything[2][1][b"entry"].replace(b'"a3"', b'"b3"')
        await opened._redis.delete(opened._stream)
        for number, fields in everything:
            await opened._redis.xadd(opened._stream, fields, number)
        with pytest.raises(JournalError, match="entry 3: its digest does not follow"):
            await stored(opened)
        with pytest.raises(JournalError, match="entry 3: its digest does not follow"):
            await stored(opened, after=2)


async def test_an_older_copy_that_comes_back_while_it_is_written_to_is_an_error(
    redis_url: str, area: str, tmp_path: Path
) -> None:
    async with journal(redis_url, tmp_path / "witness", area) as opened:
        await opened.append(entries(1, 5), 0)
        await shorten(redis_url, area, 3)
        with pytest.raises(SequenceGapError, match=r"entry 6 does not follow .* last one, 3"):
            await opened.append(entries(6, 6), 0)
        await opened._redis.delete(opened._writer)
        with pytest.raises(LostEntriesError, match="came back in an older form"):
            await opened.renew(0)


async def test_a_server_whose_files_are_an_older_copy(tmp_path: Path) -> None:
    path, copy = tmp_path / "witness", tmp_path / "copy"
    with RedisServer(tmp_path) as server:
        async with journal(server.url, path, "a") as opened:
            await opened.append(entries(1, 3), 0)
        server.kill()
        shutil.copytree(server._directory, copy)
        server.start()
        async with journal(server.url, path, "a") as opened:
            await opened.append(entries(4, 7), 0)
        server.kill()
        shutil.rmtree(server._directory)
        copy.rename(server._directory)
        server.start()
        with pytest.raises(LostEntriesError, match=r"ends at entry 3, but .* entry 7"):
            async with journal(server.url, path, "a"):
                pass


async def test_what_cannot_be_proved_is_in_the_log(
    redis_url: str, area: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "witness"
    with caplog.at_level(logging.INFO):
        async with RedisJournal(redis_url, area, owner="me") as opened:
            await opened.append(entries(1, 3), 0)
        assert "that it is whole cannot be proved" in caplog.text
        async with journal(redis_url, path, area):
            pass
        assert f"{path} is new: that the journal of {area} is whole, up to entry 3" in caplog.text
        caplog.clear()
        async with journal(redis_url, path, area):
            pass
        assert caplog.text == ""


WRITER = """
import asyncio, sys
from journal_entries import entries
from pathlib import Path
from typing import Any
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.witness import Witness

async def write(url, path):
    async with RedisJournal(url, "a", owner="me", witness=Witness(Path(path), "a")) as journal:
        while True:
            last = journal.last_sequence
            await journal.append(entries(last + 1, last + 3), 0)
            print(last + 3, flush=True)

asyncio.run(write(*sys.argv[1:]))
"""


async def test_a_killed_writer_leaves_a_witness_of_all_that_it_answered(tmp_path: Path) -> None:
    """Never more than the journal has, and never less than was said to be durable."""
    chance = random.Random(15)
    path = tmp_path / "witness"
    answered = 0
    with RedisServer(tmp_path) as server:
        for _ in range(8):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITER, server.url, str(path)),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            assert process.stdout is not None
            wanted = chance.randint(1, 60)
            for _ in range(wanted):
                answered = int(await process.stdout.readline())
            process.kill()
            lines = (await process.stdout.read()).split()
            await process.wait()
            answered = max(answered, *(int(line) for line in lines), 0)
            found = await known(path)
            assert found is not None
            assert found.sequence >= answered
            async with journal(server.url, path, "a") as opened:
                assert opened.last_sequence >= found.sequence
                assert await stored(opened) == entries(1, opened.last_sequence)
