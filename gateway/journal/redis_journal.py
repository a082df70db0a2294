"""The Journal port on Redis Streams.

An area has four keys in one hash slot: the stream of entries, whose ids are their sequence
numbers; the writer's hash with fencing epoch, last sequence and published mark; the lease; the
snapshot.  Every write goes through a server-side script that first compares the epoch, so a
writer that was stalled while another took over can no longer write.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, Self, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import (
    CorruptJournalError,
    JournalError,
    JournalUnavailableError,
    LeaseHeldError,
    NotDurableError,
    SequenceGapError,
    StaleWriterError,
)
from gateway.journal.codec import decode_entry, encode_entry
from gateway.ports import JournalEntry, Snapshot

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_NO_ANSWER = (RedisConnectionError, RedisTimeoutError, OSError)

_ACQUIRE = """
if redis.call('EXISTS', KEYS[2]) == 1 and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return redis.error_reply('HELD by ' .. redis.call('GET', KEYS[2]))
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
local mark = redis.call('HMGET', KEYS[1], 'last', 'published')
return {epoch, tonumber(mark[1] or 0), tonumber(mark[2] or 0)}
"""

# KEYS: writer, lease, stream or snapshot.  ARGV: epoch, owner, lease in ms, published, ...
_FENCE = """
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return redis.error_reply('STALE')
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if tonumber(ARGV[4]) > tonumber(redis.call('HGET', KEYS[1], 'published') or 0) then
  redis.call('HSET', KEYS[1], 'published', ARGV[4])
end
"""

_APPEND = (
    _FENCE
    + """
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or 0)
if tonumber(ARGV[5]) ~= last + 1 then
  return redis.error_reply('GAP ' .. last)
end
for i = 6, #ARGV do
  last = last + 1
  redis.call('XADD', KEYS[3], string.format('%d-0', last), 'entry', ARGV[i])
end
redis.call('HSET', KEYS[1], 'last', last)
return last
"""
)

_RENEW = _FENCE + "return 0"

_SNAPSHOT = (
    _FENCE
    + """
redis.call('HSET', KEYS[3], 'sequence', ARGV[5], 'state', ARGV[6])
return 0
"""
)

_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
"""


class Durability(Enum):
    """How the server makes a write durable before it is acknowledged."""

    ON_WRITE = auto()
    """``appendfsync always``: the reply itself comes after the disk."""
    ON_DEMAND = auto()
    """Redis 7.2 and later: ``WAITAOF`` after each group of writes."""
    EVERY_SECOND = auto()
    """Survives a crash of the server; a crash of its machine may lose the last second."""


class RedisJournal:
    """The Journal port on one Redis server.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` or ``unix://`` address of the server.
    area
        Whose journal it is; names the keys.
    owner
        Name of this writer.  A writer that comes back under its old name gets its own lease
        at once; by default each has a name of its own and waits for the old lease to end.
    lease_s
        How long a silent writer keeps its lease.
    retry_for_s
        Seconds that an append waits for a server that does not answer.
    allow_everysec
        Accept a server that can lose the last second when its *machine* fails.
    read_only
        Take no lease: reading works, every write is refused.
    """

    def __init__(
        self,
        url: str,
        area: str,
        *,
        owner: str | None = None,
        lease_s: float = 5.0,
        retry_for_s: float = 20.0,
        allow_everysec: bool = False,
        read_only: bool = False,
    ) -> None:
        if not area or set(area) & set("{}"):
            raise ValueError(f"area {area!r} may not name a journal")
        self._redis: Redis = Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=5.0)
        self._area = area
        self._owner = owner or secrets.token_hex(8)
        self._lease_ms = int(lease_s * 1000)
        self._retry_for_s = retry_for_s
        self._allow_everysec = allow_everysec
        self._read_only = read_only
        self._durability = Durability.ON_WRITE
        self._epoch = 0
        self._last = 0
        self._published = 0
        prefix = f"doe:{{{area}}}"
        self._stream, self._writer = f"{prefix}:journal", f"{prefix}:writer"
        self._lease, self._snapshot = f"{prefix}:lease", f"{prefix}:snapshot"
        self._acquire_script = self._redis.register_script(_ACQUIRE)
        self._append_script = self._redis.register_script(_APPEND)
        self._renew_script = self._redis.register_script(_RENEW)
        self._snapshot_script = self._redis.register_script(_SNAPSHOT)
        self._release_script = self._redis.register_script(_RELEASE)

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest entry, 0 for an empty journal."""
        return self._last

    @property
    def published_sequence(self) -> int:
        """Sequence of the last entry whose messages the broker is known to have."""
        return self._published

    async def __aenter__(self) -> Self:
        """Check durability and take the lease; wait until an earlier lease has expired."""
        try:
            if self._read_only:
                last = await self._redis.hget(self._writer, "last")
                self._last = int(last or 0)
            else:
                self._durability = await self._ask_durability()
                await self._acquire()
        except _NO_ANSWER as error:
            await self._redis.aclose()
            raise JournalUnavailableError(f"the Redis server does not answer: {error}") from error
        except BaseException:
            await self._redis.aclose()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Give the lease back and close the connection."""
        try:
            if not self._read_only:
                await self._release_script(keys=[self._lease], args=[self._owner])
        except (*_NO_ANSWER, RedisError) as error:
            _LOG.warning("the lease of %s was not given back: %s", self._area, error)
        finally:
            await self._redis.aclose()

    async def append(self, entries: Sequence[JournalEntry], published: int) -> None:
        """Write entries, all or none, and return when they are durable."""
        if not entries:
            return
        first, end = entries[0].sequence, entries[-1].sequence
        if first != self._last + 1:
            raise SequenceGapError(
                f"entry {first} does not follow the journal's last one, {self._last}"
            )
        lines = [encode_entry(entry) for entry in entries]

        async def write() -> None:
            try:
                await self._fenced(self._append_script, self._stream, published, first, *lines)
            except SequenceGapError:
                # The answer to an earlier attempt may have been lost.  No other writer has this
                # epoch, so a journal that ends with the same entry has been written by it.
                if await self._stored_last() != end:
                    raise
            if self._durability is Durability.ON_DEMAND:
                await self._wait_for_disk()

        await self._retrying(write)
        self._last = end
        self._published = max(self._published, published)

    async def renew(self, published: int) -> None:
        """Prolong the lease and move the mark."""
        await self._retrying(lambda: self._fenced(self._renew_script, self._stream, published))
        self._published = max(self._published, published)

    async def read(self, after: int = 0) -> AsyncIterator[JournalEntry]:
        """Yield the entries after sequence ``after``, in order; check that none is missing."""
        expected = after + 1
        while True:
            start = expected
            for line in await self._retrying(partial(self._page, expected)):
                try:
                    entry = decode_entry(line)
                except CorruptJournalError as error:
                    raise CorruptJournalError(
                        f"journal of {self._area}, entry {expected}: {error}"
                    ) from None
                if entry.sequence != expected:
                    raise CorruptJournalError(
                        f"journal of {self._area}: entry {expected} is missing, "
                        f"the next is {entry.sequence}"
                    )
                expected += 1
                yield entry
            if expected == start:
                return

    async def write_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot."""
        await self._retrying(
            lambda: self._fenced(
                self._snapshot_script, self._snapshot, 0, snapshot.sequence, snapshot.state
            )
        )

    async def read_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, if there is one."""
        found = await self._retrying(lambda: self._redis.hgetall(self._snapshot))
        if not found:
            return None
        fields = cast("dict[bytes, bytes]", found)
        return Snapshot(int(fields[b"sequence"]), fields[b"state"])

    async def _page(self, first: int) -> list[bytes]:
        """Return the lines of at most 500 entries from ``first`` on."""
        page: Any = await self._redis.xrange(self._stream, f"{first}-0", "+", 500)
        return [fields[b"entry"] for _, fields in page]

    async def _acquire(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._lease_ms / 1000 + 1.0
        while True:
            try:
                answer = await self._acquire_script(
                    keys=[self._writer, self._lease], args=[self._owner, self._lease_ms]
                )
            except ResponseError as error:
                if "HELD" not in str(error):
                    raise JournalError(f"the Redis server refused the lease: {error}") from error
                if asyncio.get_running_loop().time() > deadline:
                    raise LeaseHeldError(
                        f"another writer holds the lease of the journal of {self._area}"
                    ) from None
                await asyncio.sleep(0.05)
            else:
                self._epoch, self._last, self._published = (int(each) for each in answer)
                return

    async def _fenced(self, script: Any, key: str, published: int, *rest: object) -> None:
        """Run a script that checks the epoch, and raise its refusals as errors."""
        if self._read_only:
            raise JournalError("this journal was opened for reading only")
        try:
            await script(
                keys=[self._writer, self._lease, key],
                args=[self._epoch, self._owner, self._lease_ms, published, *rest],
            )
        except ResponseError as error:
            words = str(error)
            if "STALE" in words:
                raise StaleWriterError(
                    f"another writer has taken over the journal of {self._area}"
                ) from None
            if "GAP" in words:
                raise SequenceGapError(
                    f"entry {rest[0]} does not follow the journal's last one, "
                    f"{words.rpartition('GAP ')[2]}"
                ) from None
            raise JournalError(f"the Redis server refused a write: {words}") from error

    async def _retrying(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat an attempt without an answer until the time is up, then raise."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._retry_for_s, 0.05
        while True:
            try:
                return await attempt()
            except _NO_ANSWER as error:
                if loop.time() + pause > deadline:
                    raise JournalUnavailableError(
                        f"the Redis server has not answered for {self._retry_for_s:g} s: {error}"
                    ) from error
                _LOG.warning("journal of %s: %s; trying again", self._area, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, 1.0)

    async def _stored_last(self) -> int:
        return int(await self._redis.hget(self._writer, "last") or 0)

    async def _wait_for_disk(self) -> None:
        answer = await self._redis.execute_command(  # type: ignore[no-untyped-call]  # no types
            "WAITAOF", 1, 0, 10_000
        )
        if int(answer[0]) < 1:
            raise RedisTimeoutError("the append-only file was not synced within 10 s")

    async def _ask_durability(self) -> Durability:
        """Return how the server makes writes durable; raise where it does not."""
        persistence = await self._redis.info("persistence")
        if not int(persistence.get("aof_enabled", 0)):
            raise NotDurableError(
                "the Redis server does not write to disk before it answers: "
                "set appendonly yes and appendfsync always"
            )
        version = (await self._redis.info("server")).get("redis_version", "0")
        if tuple(int(part) for part in str(version).split(".")[:2]) >= (7, 2):
            return Durability.ON_DEMAND
        try:
            sync = (await self._redis.config_get("appendfsync")).get("appendfsync")
        except ResponseError:  # managed servers forbid CONFIG
            sync = "unknown"
        if sync == "always":
            return Durability.ON_WRITE
        if not self._allow_everysec:
            raise NotDurableError(
                f"the Redis server syncs its append-only file {sync!r}: set appendfsync always, "
                "or allow losing the last second when its machine fails"
            )
        _LOG.warning("a failure of the Redis machine may lose the last second of the journal")
        return Durability.EVERY_SECOND
