"""Follow the journal that another process writes, without a lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry, Snapshot


class JournalFollower:
    """Reads a journal again and again.

    Parameters
    ----------
    url, area
        As for :class:`gateway.journal.redis_journal.RedisJournal`.
    retry_for_s
        Seconds that a reader waits for a server that does not answer.
    """

    def __init__(self, url: str, area: str, retry_for_s: float) -> None:
        self._journal = RedisJournal(url, area, read_only=True, retry_for_s=retry_for_s)

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._journal.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection."""
        await self._journal.__aexit__(*exc_info)

    def read(self, after: int) -> AsyncIterator[JournalEntry]:
        """Yield the entries after sequence ``after`` that are there now, in order."""
        return self._journal.read(after)

    async def read_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, if there is one."""
        return await self._journal.read_snapshot()
