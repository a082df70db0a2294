"""The stream of entries in Redis, as it is read: in order, without gaps, each bound to the last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from redis.asyncio import Redis

from gateway.errors import CorruptJournalError
from gateway.journal.chain import BEGINNING, ChainedLine, linked
from gateway.journal.codec import decode_entry
from gateway.journal.redis_link import retrying
from gateway.ports import JournalEntry

_PAGE = 500  # entries read at once


class EntryStream:
    """The entries of an area; their ids are their sequence numbers.

    Parameters
    ----------
    redis, url
        The server, and its address for errors.
    area, key
        Whose entries they are, and the stream's key.
    retry_for_s
        Seconds that a reader waits for a server that does not answer.
    """

    def __init__(self, redis: Redis, url: str, area: str, key: str, retry_for_s: float) -> None:
        self._redis = redis
        self._url = url
        self._area = area
        self._key = key
        self._retry_for_s = retry_for_s
        self.base = (0, BEGINNING)
        """Sequence of the snapshot and the digest there: what is before it is not needed."""

    async def end(self) -> tuple[int, bytes]:
        """Return sequence and digest of the newest entry, or of the snapshot where that is later.

        0 and the beginning without any.
        """
        newest: Any = await self._redis.xrevrange(self._key, "+", "-", 1)
        for number, fields in newest:
            if _sequence(number) >= self.base[0]:
                return _sequence(number), self._digest(fields, number)
        return self.base

    async def chain_at(self, sequence: int) -> bytes | None:
        """Return the digest at an entry, ``None`` where it is not in the stream."""
        if sequence == 0:
            return BEGINNING
        if sequence == self.base[0]:
            return self.base[1]
        number = f"{sequence}-0"
        found: Any = await self._redis.xrange(self._key, number, number, 1)
        return self._digest(found[0][1], found[0][0]) if found else None

    async def read(self, after: int, follows: bytes | None = None) -> AsyncIterator[JournalEntry]:
        """Yield the entries after sequence ``after``, in order.

        ``follows`` is the digest there, where it is known from elsewhere.

        Raises
        ------
        CorruptJournalError
            Names the entry that is missing, is no entry, or does not follow from those before it.
        """
        expected = after + 1
        chain = follows or await self._retrying(partial(self.chain_at, after))
        while True:
            start = expected
            for _, line, digest in await self._retrying(partial(self.page, expected)):
                entry = self._decoded(line, expected)
                if chain is not None and linked(chain, line) != digest:
                    raise CorruptJournalError(
                        f"journal of {self._area}, entry {expected}: its digest does not follow "
                        "from the entries before it"
                    )
                chain = digest
                expected += 1
                yield entry
            if expected == start:
                return

    async def page(self, first: int, last: int | None = None) -> list[ChainedLine]:
        """Return at most 500 entries from ``first`` on, and up to ``last``."""
        end = "+" if last is None else f"{last}-0"
        page: Any = await self._redis.xrange(self._key, f"{first}-0", end, _PAGE)
        return [
            ChainedLine(_sequence(number), fields[b"entry"], self._digest(fields, number))
            for number, fields in page
        ]

    async def first(self) -> int:
        """Return the sequence of the oldest entry that is there; 0 without one."""
        oldest: Any = await self._redis.xrange(self._key, "-", "+", 1)
        return _sequence(oldest[0][0]) if oldest else 0

    def _decoded(self, line: bytes, expected: int) -> JournalEntry:
        try:
            entry = decode_entry(line)
        except CorruptJournalError as error:
            raise CorruptJournalError(
                f"journal of {self._area}, entry {expected}: {error}"
            ) from None
        if entry.sequence != expected:
            hint = "; an archive may have those before it" if expected == 1 else ""
            raise CorruptJournalError(
                f"journal of {self._area}: entry {expected} is missing, "
                f"the next is {entry.sequence}{hint}"
            )
        return entry

    def _digest(self, fields: dict[bytes, bytes], number: bytes) -> bytes:
        try:
            return fields[b"chain"]
        except KeyError:
            raise CorruptJournalError(
                f"journal of {self._area}, entry {_sequence(number)}: it has no digest of the "
                "entries before it"
            ) from None

    async def _retrying(self, attempt: Any) -> Any:
        return await retrying(self._url, attempt, self._retry_for_s)


def _sequence(number: bytes) -> int:
    """Return the sequence in the id of a stream's entry."""
    return int(number.partition(b"-")[0])
