"""Snapshots in Redis: compressed, in parts, and put into force as a whole.

The head, a hash, says which snapshot is in force: its entry, the digest of the chain there, and
in which of two places its parts are.  The next snapshot is written to the other place and then
named by the head, so one that is interrupted changes nothing, and the next one removes it.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import redis
from redis.asyncio import Redis

from gateway.errors import CorruptJournalError
from gateway.journal import scripts
from gateway.ports import Snapshot

PART_BYTES = 256 * 1024
"""The largest part; Redis does nothing else while it takes one."""
PLACES = ("a", "b")
_LEVEL = 1  # of compression: the higher ones take several times as long for a tenth less
_REST = 2.0  # pause after a part, as a multiple of the time that it took


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """The parts of a snapshot: their number, their bytes, and the SHA-256 over all of them."""

    parts: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """The snapshot in force: its entry, the digest of the chain there, its place, its parts."""

    sequence: int
    chain: bytes
    place: str
    content: SnapshotParts

    @classmethod
    def of(cls, area: str, fields: dict[bytes, bytes]) -> SnapshotHead | None:
        """Return the head with these fields, ``None`` without any."""
        if not fields:
            return None
        try:
            return cls(
                int(fields[b"sequence"]),
                fields[b"chain"],
                fields[b"place"].decode(),
                SnapshotParts(
                    int(fields[b"parts"]), int(fields[b"bytes"]), fields[b"digest"].decode()
                ),
            )
        except (KeyError, ValueError) as error:
            raise CorruptJournalError(
                f"journal of {area}: its snapshot is not complete: {error}"
            ) from None


def compressed_parts(state: bytes) -> Iterator[bytes]:
    """Yield the parts of a state: one compressed stream, cut into pieces."""
    packer, waiting = zlib.compressobj(_LEVEL), bytearray()
    for start in range(0, len(state), PART_BYTES):
        waiting += packer.compress(state[start : start + PART_BYTES])
        while len(waiting) >= PART_BYTES:
            yield bytes(waiting[:PART_BYTES])
            del waiting[:PART_BYTES]
    waiting += packer.flush()
    for start in range(0, len(waiting), PART_BYTES):
        yield bytes(waiting[start : start + PART_BYTES])


def write_parts(
    url: str, writer: str, key: str, epoch: int, make: Callable[[], bytes]
) -> SnapshotParts:
    """Write the parts of a state to their place, through a connection of its own.

    Each write checks the fencing epoch, and none prolongs the lease: this runs in a process that
    may live on when the writer is dead.

    Parameters
    ----------
    url
        The server.
    writer, key
        The keys of the writer's hash and of the place.
    epoch
        That of the writer.
    make
        Returns the state.
    """
    state = make()
    digest, parts, size = hashlib.sha256(), 0, 0
    with redis.Redis.from_url(url, socket_timeout=30.0, socket_connect_timeout=5.0) as client:
        client.eval(scripts.CLEAR, 2, writer, key, epoch)
        for part in compressed_parts(state):
            began = time.monotonic()
            client.eval(scripts.PART, 2, writer, key, epoch, parts, part)
            digest.update(part)
            parts, size = parts + 1, size + len(part)
            time.sleep(_REST * (time.monotonic() - began))
    return SnapshotParts(parts, size, digest.hexdigest())


async def read_parts(client: Redis, area: str, key: str, head: SnapshotHead) -> Snapshot | None:
    """Return the snapshot whose head this is; ``None`` where another has taken its place."""
    found: list[bytes] = []
    for number in range(head.content.parts):
        part: Any = await client.hget(key, str(number))
        if part is None:
            return None
        found.append(part)
    content = b"".join(found)
    if hashlib.sha256(content).hexdigest() != head.content.digest:
        return None
    try:
        return Snapshot(head.sequence, zlib.decompress(content))
    except zlib.error as error:
        raise CorruptJournalError(f"journal of {area}: its snapshot is damaged: {error}") from None


def told(parts: SnapshotParts) -> bytes:
    """Return what one process tells another of the parts that it has written."""
    return json.dumps(asdict(parts)).encode()


def heard(content: bytes) -> SnapshotParts:
    """Return the parts that :func:`told` told of."""
    return SnapshotParts(**json.loads(content))
