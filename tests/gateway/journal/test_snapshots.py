"""Snapshots are written by a copy of the process; an interrupted one leaves the one before."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer
from hypothesis import given
from hypothesis import strategies as st
from journal_entries import entries, stand_still, stored, write_snapshot
from listening import until
from redis.asyncio import Redis

from exchange.vocabulary.commands import AdvanceTime
from gateway.errors import CorruptJournalError, JournalError, StaleWriterError
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.snapshots import process_copy
from gateway.journal.snapshots.parts import PART_BYTES, compressed_parts
from gateway.journal.snapshots.process_copy import in_copy
from gateway.ports import Snapshot
from gateway.service.core import JournaledExchange
from gateway.service.settings import ServiceSettings

LARGE = random.Random(6).randbytes(5 * PART_BYTES // 2)  # cannot be compressed


def waiting_for(path: Path, then: bytes = b"") -> Callable[[], bytes]:
    """Return work that waits until a file is there."""

    def work() -> bytes:
        (path.parent / f"{path.name}.began").touch()
        while not path.exists():
            time.sleep(0.01)
        return then

    return work


def sleeping() -> bytes:
    """Work that lasts longer than a test waits."""
    time.sleep(60)
    return b""


def began(path: Path) -> Callable[[], bool]:
    return (path.parent / f"{path.name}.began").exists


def is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The copies of this process, as they are made."""
    made: list[int] = []
    fork = os.fork

    def noted() -> int:
        made.append(fork())
        return made[-1]

    monkeypatch.setattr(process_copy.os, "fork", noted)
    return made


# -- work in a copy ------------------------------------------------------------------------------


async def test_a_copy_has_the_state_of_the_moment_it_was_made() -> None:
    state = ["before"]

    def work() -> bytes:
        state.append("in the copy")
        return ", ".join(state).encode() * 100_000

    answer = in_copy(work, 30)
    state.append("after")
    assert await answer == b"before, in the copy" * 100_000
    assert state == ["before", "after"]


async def test_what_goes_wrong_in_a_copy_is_an_error() -> None:
    def bug() -> bytes:
        raise ZeroDivisionError("half way")

    with pytest.raises(JournalError, match="ZeroDivisionError: half way"):
        await in_copy(bug, 30)

    def killed() -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with pytest.raises(JournalError, match="it was killed, or its time was up"):
        await in_copy(killed, 30)
    with pytest.raises(JournalError, match="its time was up"):
        await in_copy(sleeping, 0.05)


async def test_a_copy_has_no_connection_and_no_handler_of_its_process(
    redis_server: RedisServer,
) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: None)

    def work() -> bytes:
        handler = signal.getsignal(signal.SIGTERM)
        return f"{sorted(map(int, os.listdir('/proc/self/fd')))[:4]} {handler!r}".encode()

    async with Redis.from_url(redis_server.url) as connected:
        await connected.ping()
        told = (await in_copy(work, 30)).decode()
        assert await connected.ping()
    loop.remove_signal_handler(signal.SIGTERM)
    numbers = told.partition("]")[0].removeprefix("[").split(", ")
    # Besides the standard ones its pipe, and the folder that is listed here.
    assert numbers[:3] == ["0", "1", "2"]
    assert "SIG_DFL" in told
    assert len(numbers) == 4


async def test_no_process_is_left(processes: list[int]) -> None:
    answers = [in_copy(lambda: b"x", 30), in_copy(sleeping, 60)]
    await answers[0]
    answers[1].cancel()
    await until(lambda: not any(is_there(number) for number in processes))
    unfinished = in_copy(sleeping, 60)
    unfinished.cancel()
    await asyncio.sleep(0)
    assert len(processes) == 3
    assert not any(is_there(number) for number in processes), (
        "at once: the loop may be about to end"
    )


# -- parts ---------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.integers(0, 3 * PART_BYTES), st.booleans())
def test_parts_are_small_and_are_the_state(seed: bytes, size: int, random_content: bool) -> None:
    import zlib

    content = random.Random(seed).randbytes(size) if random_content else (seed * size)[:size]
    parts = list(compressed_parts(content))
    assert all(0 < len(part) <= PART_BYTES for part in parts)
    assert zlib.decompress(b"".join(parts)) == content


async def test_a_large_snapshot_has_several_parts_and_takes_the_place_of_the_one_before(
    redis_url: str, area: str
) -> None:
    async with RedisJournal(redis_url, area, owner="me") as journal:
        for number, state in enumerate((b"small", LARGE, b"", LARGE[::-1], b"again"), start=1):
            await journal.append(entries(number, number), 0)
            await write_snapshot(journal, state, published=number)
            assert journal.published_sequence == number
            assert await journal.read_snapshot() == Snapshot(number, state)
            async with RedisJournal(redis_url, area, read_only=True) as reader:
                assert await reader.read_snapshot() == Snapshot(number, state)
            keys = await journal._redis.keys(f"doe:{{{area}}}:snapshot*")
            assert len(keys) == 2, "the head, and the parts of one"
            lengths = [len(part) for part in await journal._redis.hvals(max(keys))]
            assert max(lengths) <= PART_BYTES
            assert (len(lengths) >= 3) == (len(state) == len(LARGE))
    async with RedisJournal(redis_url, area, owner="me") as journal:
        assert await journal.read_snapshot() == Snapshot(5, b"again")
        assert await stored(journal, after=5) == []


async def test_parts_that_are_missing_or_changed_are_an_error(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area, owner="me") as journal:
        await journal.append(entries(1, 1), 0)
        await write_snapshot(journal, LARGE)
        parts = f"doe:{{{area}}}:snapshot:a"
        second: Any = await journal._redis.hget(parts, "1")
        for change in (second[:-1] + bytes([second[-1] ^ 1]), None):
            if change is None:
                await journal._redis.hdel(parts, "1")
            else:
                await journal._redis.hset(parts, "1", change)
            with pytest.raises(CorruptJournalError, match="entry 1 are not all there, or damaged"):
                await journal.read_snapshot()
        await journal._redis.hdel(f"doe:{{{area}}}:snapshot", "digest")
        with pytest.raises(CorruptJournalError, match="its snapshot is not complete"):
            await journal.read_snapshot()


# -- interruptions -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancelled", "killed", "failed", "server gone"])
async def test_an_interrupted_snapshot_leaves_the_one_before(
    tmp_path: Path, how: str, processes: list[int]
) -> None:
    with RedisServer(tmp_path) as server:
        async with RedisJournal(server.url, "a", owner="me") as journal:
            await journal.append(entries(1, 2), 2)
            await write_snapshot(journal, b"before")
            await journal.append(entries(3, 4), 2)
            go_on = tmp_path / "go"
            work = waiting_for(go_on, LARGE)
            if how == "failed":

                def work() -> bytes:
                    raise MemoryError("no memory")

            written = journal.begin_snapshot(work)
            if how == "cancelled":
                await until(began(go_on))
                written.cancel()
                await until(gc.isenabled)
            else:
                if how == "killed":
                    await until(began(go_on))
                    os.kill(processes[-1], signal.SIGKILL)
                elif how == "server gone":
                    await until(began(go_on))
                    server.kill()
                    go_on.touch()
                with pytest.raises(JournalError, match="the copy of this process failed"):
                    await written
                with pytest.raises(JournalError):
                    await journal.adopt_snapshot(4)
            if how == "server gone":
                server.start()
            assert await journal.read_snapshot() == Snapshot(2, b"before")
            await write_snapshot(journal, b"after")
            assert await journal.read_snapshot() == Snapshot(4, b"after")
            assert len(await journal._redis.keys("*snapshot*")) == 2


async def test_a_part_that_is_lost_before_the_end_is_noticed(redis_url: str, area: str) -> None:
    async with RedisJournal(redis_url, area, owner="me") as journal:
        await journal.append(entries(1, 1), 0)
        await write_snapshot(journal, b"before")
        await journal.begin_snapshot(lambda: LARGE)
        await journal._redis.hdel(f"doe:{{{area}}}:snapshot:b", "1")
        with pytest.raises(JournalError, match="PARTS 2"):
            await journal.adopt_snapshot(0)
        assert await journal.read_snapshot() == Snapshot(1, b"before")


async def test_a_snapshot_of_a_former_writer_has_no_effect(
    redis_url: str, area: str, tmp_path: Path
) -> None:
    """Neither when it is written, nor when it is put into force."""
    async with RedisJournal(redis_url, area, owner="one", lease_s=0.2) as former:
        stand_still(former)
        await former.append(entries(1, 1), 0)
        await write_snapshot(former, b"before")
        written = former.begin_snapshot(lambda: b"of the former")
        await written
        go_on = tmp_path / "go"
        async with RedisJournal(redis_url, area, owner="two", lease_s=0.2) as heir:
            with pytest.raises(StaleWriterError):
                await former.adopt_snapshot(0)
            await heir.append(entries(2, 2), 0)
            late = former.begin_snapshot(waiting_for(go_on, LARGE))
            await write_snapshot(heir, b"of the heir")
            go_on.touch()
            with pytest.raises(JournalError, match="STALE"):
                await late
            assert await heir.read_snapshot() == Snapshot(2, b"of the heir")


WRITER = """
import asyncio, sys, time
from journal_entries import entries, write_snapshot
from gateway.journal.redis_journal import RedisJournal

def slow():
    print("began", flush=True)
    time.sleep(float(sys.argv[2]))
    return b"late" * 300_000

async def write():
    async with RedisJournal(sys.argv[1], "a", owner="me") as journal:
        last = journal.last_sequence
        await journal.append(entries(last + 1, last + 3), 0)
        await journal.begin_snapshot(slow)
        await journal.adopt_snapshot(last + 3)
        print("adopted", last + 3, flush=True)
        await asyncio.sleep(60)

asyncio.run(write())
"""


async def test_a_killed_process_leaves_the_snapshot_before_or_the_next(tmp_path: Path) -> None:
    """Its copy lives on for a while, and changes nothing that the next process has."""
    chance = random.Random(6)
    adopted, last = 0, 0
    with RedisServer(tmp_path) as server:
        for round_ in range(8):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITER, server.url, str(chance.choice([0.0, 0.3]))),
                stdout=asyncio.subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"began\n"
            last += 3
            if round_ % 3 == 2:
                assert await process.stdout.readline() == b"adopted %d\n" % last
                adopted = last
            else:
                await asyncio.sleep(chance.uniform(0, 0.1))
            process.kill()
            await process.wait()
            # The pipe ends when the copy has ended, too.
            if b"adopted" in await process.stdout.read():
                adopted = last
            async with RedisJournal(server.url, "a", owner="me") as journal:
                found = await journal.read_snapshot()
                assert (0 if found is None else found.sequence) in {adopted, last}
                adopted = 0 if found is None else found.sequence
                assert await stored(journal) == entries(1, last)
                assert await stored(journal, after=adopted) == entries(adopted + 1, last)
    assert adopted > 0


async def test_the_snapshot_is_the_end_where_the_entries_before_it_are_gone(
    redis_url: str, area: str
) -> None:
    async with RedisJournal(redis_url, area, owner="me") as journal:
        await journal.append(entries(1, 3), 3)
        await write_snapshot(journal, b"state")
        await journal._redis.delete(journal._stream)
    async with RedisJournal(redis_url, area, owner="me") as journal:
        assert journal.last_sequence == 3
        await journal.append(entries(4, 5), 3)
        assert await stored(journal, after=3) == entries(4, 5)
        with pytest.raises(CorruptJournalError, match="entry 1 is missing, the next is 4"):
            await stored(journal)


# -- in the service ------------------------------------------------------------------------------


async def test_orders_are_answered_while_a_snapshot_is_made(
    mosquitto: Mosquitto,
    redis_server: RedisServer,
    area: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The copy waits until the orders that came after it are answered."""
    go_on, process = tmp_path / "go", os.getpid()
    whole = JournaledExchange.snapshot

    def slow(core: JournaledExchange) -> Snapshot:
        if os.getpid() != process:
            waiting_for(go_on)()
        return whole(core)

    monkeypatch.setattr(JournaledExchange, "snapshot", slow)
    settings = ServiceSettings(snapshot_entries=3)
    async with (
        serving(area, mosquitto.settings(f"{area}-x"), redis_server.url, settings=settings),
        client(mosquitto.settings(f"{area}-p0"), area, "p0") as participant,
        RedisJournal(redis_server.url, area, read_only=True) as reader,
    ):
        number = 0
        while not began(go_on)():
            number += 1
            await participant.ask(order(f"n{number}", 0, "sell", 10, "0.0450"))
        for k in range(50):
            report = await participant.ask(order(f"m{k}", 0, "sell", 10, "0.0450"))
            assert report["type"] == "accepted"
        assert await reader.read_snapshot() is None
        go_on.touch()
        async with asyncio.timeout(20):
            while await reader.read_snapshot() is None:
                await participant.ask(order(f"n{number}", 0, "sell", 10, "0.0450"))
        found = await reader.read_snapshot()
        assert found is not None
        assert found.sequence <= number + 1, "it is of the time before the fifty"


async def test_a_snapshot_that_fails_is_in_the_log_and_the_exchange_goes_on(
    mosquitto: Mosquitto,
    redis_server: RedisServer,
    area: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(core: JournaledExchange) -> Snapshot:
        raise MemoryError("no memory")

    settings = ServiceSettings(snapshot_entries=2)
    with monkeypatch.context() as patch:
        patch.setattr(JournaledExchange, "snapshot", broken)
        async with (
            serving(area, mosquitto.settings(f"{area}-x"), redis_server.url, settings=settings),
            client(mosquitto.settings(f"{area}-p0"), area, "p0") as participant,
        ):
            async with asyncio.timeout(20):
                for k in range(1000):
                    report = await participant.ask(order(f"m{k}", 0, "sell", 10, "0.0450"))
                    assert report["type"] == "accepted"
                    if caplog.text.count("MemoryError: no memory") > 1:
                        break
    assert "the one after entry 0 stays in force" in caplog.text
    async with serving(area, mosquitto.settings(f"{area}-x"), redis_server.url) as service:
        assert service.core.sequence > 1
    async with RedisJournal(redis_server.url, area, read_only=True) as reader:
        assert await reader.read_snapshot() is not None


async def test_a_snapshot_that_lost_a_part_is_in_the_log_and_the_exchange_goes_on(
    mosquitto: Mosquitto,
    redis_server: RedisServer,
    area: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    adopt = RedisJournal.adopt_snapshot

    async def after_a_loss(journal: RedisJournal, published: int) -> None:
        await journal._redis.delete(f"doe:{{{area}}}:snapshot:a")
        await adopt(journal, published)

    settings = ServiceSettings(snapshot_entries=2)
    with monkeypatch.context() as patch:
        patch.setattr(RedisJournal, "adopt_snapshot", after_a_loss)
        async with (
            serving(area, mosquitto.settings(f"{area}-x"), redis_server.url, settings=settings),
            client(mosquitto.settings(f"{area}-p0"), area, "p0") as participant,
            asyncio.timeout(30),
        ):
            number = 0
            while "refused: PARTS 0" not in caplog.text:
                number += 1
                await participant.ask(order(f"m{number}", 0, "sell", 10, "0.0450"))
            report = await participant.ask(order("last", 0, "sell", 10, "0.0450"))
            assert report["type"] == "accepted"
    async with RedisJournal(redis_server.url, area, read_only=True) as reader:
        assert await reader.read_snapshot() is None


async def test_a_graceful_end_waits_for_the_last_snapshot_and_keeps_the_lease(
    mosquitto: Mosquitto,
    redis_server: RedisServer,
    area: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process, whole = os.getpid(), JournaledExchange.snapshot

    def slow(core: JournaledExchange) -> Snapshot:
        if os.getpid() != process:
            time.sleep(1.5)
        return whole(core)

    monkeypatch.setattr(JournaledExchange, "snapshot", slow)
    often = ServiceSettings(renew_s=0.02)
    lease = {"lease_s": 1.0}
    broker = mosquitto.settings(f"{area}-x")
    async with serving(area, broker, redis_server.url, settings=often, journal=lease) as service:
        for _ in range(3):
            await service.request(AdvanceTime())
        last = service.core.sequence
        service.stop()
        async with Redis.from_url(redis_server.url) as other:
            for _ in range(12):
                assert await other.exists(f"doe:{{{area}}}:lease")
                await asyncio.sleep(0.1)
    async with RedisJournal(redis_server.url, area, read_only=True) as reader:
        found = await reader.read_snapshot()
        assert found is not None
        assert found.sequence == last
