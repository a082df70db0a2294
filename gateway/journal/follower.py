"""Follow the journal that another process writes, without a lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from gateway.journal.redis_journal import RedisJournal
from gateway.journal.redis_link import connect, retrying
from gateway.journal.scripts import keys_of
from gateway.ports import JournalEntry, Snapshot


class JournalFollower:
    """Reads a journal again and again, and sees whether a writer holds its lease.

    Parameters
    ----------
    url, area
        As for :class:`gateway.journal.redis_journal.RedisJournal`.
    retry_for_s
        Seconds that a reader waits for a server that does not answer.
    """

    def __init__(self, url: str, area: str, retry_for_s: float) -> None:
        self._url = url
        self._retry_for_s = retry_for_s
        self._journal = RedisJournal(url, area, read_only=True, retry_for_s=retry_for_s)
        self._redis = connect(url)
        self._keys = keys_of(area)

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._journal.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connections."""
        await self._redis.aclose()
        await self._journal.__aexit__(*exc_info)

    async def is_led(self) -> bool:
        """Return whether a writer holds the lease."""
        found = await retrying(
            self._url, lambda: self._redis.exists(self._keys.lease), self._retry_for_s
        )
        return bool(found)

    async def published(self) -> int:
        """Return the last entry whose messages the broker is known to have."""
        found = await retrying(
            self._url, lambda: self._redis.hget(self._keys.writer, "published"), self._retry_for_s
        )
        return int(found or 0)

    def read(self, after: int) -> AsyncIterator[JournalEntry]:
        """Yield the entries after sequence ``after`` that are there now, in order."""
        return self._journal.read(after)

    async def read_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, if there is one."""
        return await self._journal.read_snapshot()
