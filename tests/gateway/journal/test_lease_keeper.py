"""The lease while the loop computes, hangs, or has been replaced."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from gateway_servers import RedisServer
from journal_entries import entries, stand_still
from redis import Redis

from gateway.errors import LeaseHeldError, StaleWriterError
from gateway.journal.redis_journal import RedisJournal


class Look:
    """Looks for a lease from a thread, every 20 ms."""

    def __init__(self, url: str, area: str) -> None:
        self.seen: list[bool] = []
        self._redis = Redis.from_url(url)
        self._lease = f"doe:{{{area}}}:lease"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            self.seen.append(bool(self._redis.exists(self._lease)))

    def __enter__(self) -> Look:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()
        self._redis.close()


async def test_a_long_computation_does_not_lose_the_lease(
    redis_server: RedisServer, area: str
) -> None:
    async with RedisJournal(redis_server.url, area, lease_s=0.5) as journal:
        with Look(redis_server.url, area) as look:
            time.sleep(2.0)  # noqa: ASYNC251  # the loop computes
        assert look.seen
        assert all(look.seen)
        await journal.append(entries(1, 1), 0)
        with pytest.raises(LeaseHeldError):
            async with RedisJournal(redis_server.url, area, lease_s=0.3):
                pass


async def test_a_loop_that_hangs_loses_the_lease(redis_server: RedisServer, area: str) -> None:
    async with RedisJournal(redis_server.url, area, lease_s=0.3) as journal:
        journal._keeper._hang_s = 0.2
        with Look(redis_server.url, area) as look:
            time.sleep(2.0)  # noqa: ASYNC251  # the loop hangs
        assert not look.seen[-1]
        await journal.renew(0)
        with Look(redis_server.url, area) as look:
            await asyncio.sleep(0.1)
        assert look.seen[-1], "it comes round again, and no other writer has come"


async def test_the_keeper_of_a_former_writer_does_not_hold_the_lease_of_its_heir(
    redis_server: RedisServer, area: str
) -> None:
    async with RedisJournal(redis_server.url, area, owner="one", lease_s=0.3) as former:
        stand_still(former)
        async with RedisJournal(redis_server.url, area, owner="two", lease_s=0.3) as heir:
            former._keeper.start(former._epoch)
            await asyncio.sleep(0.5)
            stand_still(heir)
            async with RedisJournal(redis_server.url, area, owner="three", lease_s=0.3):
                with pytest.raises(StaleWriterError):
                    await former.renew(0)
