"""The snapshots of an area in Redis: one in force, and one that may be being written beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast

from redis.asyncio import Redis

from gateway.errors import CorruptJournalError
from gateway.journal.snapshots.parts import (
    PLACES,
    SnapshotHead,
    heard,
    read_parts,
    told,
    write_parts,
)
from gateway.journal.snapshots.process_copy import in_copy
from gateway.ports import Snapshot

_WITHIN_S = 600.0  # a snapshot that takes longer is given up


@dataclass(frozen=True, slots=True)
class _Begun:
    """A snapshot that is being written: its entry, the digest there, its place, and the writing."""

    sequence: int
    chain: bytes
    place: str
    written: asyncio.Future[bytes]


class SnapshotStore:
    """Head and parts of the snapshots of an area.

    Parameters
    ----------
    redis, url
        The server.
    area, key, writer
        Whose snapshots they are, the key of the head, and that of the writer's hash.

    Attributes
    ----------
    head
        The snapshot in force, as last read or adopted; ``None`` without one.
    """

    def __init__(self, redis: Redis, url: str, area: str, key: str, writer: str) -> None:
        self._redis = redis
        self._url = url
        self._area = area
        self._key = key
        self._writer = writer
        self._begun: _Begun | None = None
        self.head: SnapshotHead | None = None

    @property
    def keys(self) -> list[str]:
        """The key of the head, and those of both places."""
        return [self._key, *map(self._parts, PLACES)]

    def begin(
        self, sequence: int, chain: bytes, epoch: int, make: Callable[[], bytes]
    ) -> asyncio.Future[bytes]:
        """Begin to write a snapshot beside the one in force, in a copy of this process.

        The future raises :class:`gateway.errors.JournalError` when the copy fails.
        """
        assert self._begun is None or self._begun.written.done(), "one is written at a time"
        place = next(each for each in PLACES if self.head is None or each != self.head.place)
        url, writer, key = self._url, self._writer, self._parts(place)
        written = in_copy(lambda: told(write_parts(url, writer, key, epoch, make)), _WITHIN_S)
        self._begun = _Begun(sequence, chain, place, written)
        return written

    def cancel(self) -> None:
        """End the writing of a snapshot; it stays without effect."""
        if self._begun is not None:
            self._begun.written.cancel()
            self._begun = None

    def written(self) -> SnapshotHead:
        """Return the snapshot that is written and not in force yet.

        Raises
        ------
        gateway.errors.JournalError
            When it could not be written.
        """
        assert self._begun is not None, "a snapshot was begun"
        begun = self._begun
        content = heard(begun.written.result())
        return SnapshotHead(begun.sequence, begun.chain, begun.place, content)

    def adoption(self, head: SnapshotHead) -> tuple[list[str], list[object]]:
        """Return keys and arguments of the script that puts a written snapshot into force."""
        before = next(each for each in PLACES if each != head.place)
        fields = {
            **{"sequence": head.sequence, "chain": head.chain, "place": head.place},
            **asdict(head.content),
        }
        keys = [self._key, self._parts(head.place), self._parts(before)]
        return keys, [head.content.parts, *(word for field in fields.items() for word in field)]

    def adopted(self, head: SnapshotHead) -> None:
        """Note which snapshot is in force."""
        self.head, self._begun = head, None

    async def read_head(self) -> SnapshotHead | None:
        """Read and return the head of the snapshot in force, ``None`` without one."""
        fields = cast("dict[bytes, bytes]", await self._redis.hgetall(self._key))
        self.head = SnapshotHead.of(self._area, fields)
        return self.head

    async def read(self) -> Snapshot | None:
        """Return the snapshot in force, ``None`` without one.

        Raises
        ------
        CorruptJournalError
            When parts of it are missing or damaged.
        """
        before = None
        while (head := await self.read_head()) is not None:
            key = self._parts(head.place)
            found = await read_parts(self._redis, self._area, key, head)
            if found is not None:
                return found
            if head == before:
                raise CorruptJournalError(
                    f"journal of {self._area}: the parts of its snapshot after entry "
                    f"{head.sequence} are not all there, or damaged"
                )
            before = head  # a writer may have replaced it meanwhile
        return None

    def _parts(self, place: str) -> str:
        return f"{self._key}:{place}"
