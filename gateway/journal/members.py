"""The processes that share a list of areas, and what each area's keys say, at one look.

A process announces itself with a word under its name, for a short time by the server's clock.  All
processes with the same list find each other: the key has a digest of the list, and the hash slot of
its first area.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from gateway.journal import scripts
from gateway.journal.redis_link import connect, retrying

_TTL_PARTS = 0.75  # of a lease: a process that died is known to be dead before its leases end


@dataclass(frozen=True, slots=True)
class AreaSeen:
    """An area at a look.

    Parameters
    ----------
    owner
        Who holds its lease, ``None`` if no process does.
    last, published
        Its last entry, and the last whose messages the broker is known to have.
    """

    owner: str | None
    last: int
    published: int


@dataclass(frozen=True, slots=True)
class InstallationSeen:
    """The processes that live, each with its word, and all areas."""

    members: dict[str, str]
    areas: dict[str, AreaSeen]


class MemberBoard:
    """Where the processes that share areas announce themselves.

    Parameters
    ----------
    url
        The Redis server.
    name
        Of this process: the owner of its leases.
    areas
        The areas that it shares; others with the same list share them.
    lease_s
        Seconds of a lease.
    """

    def __init__(self, url: str, name: str, areas: Sequence[str], lease_s: float) -> None:
        self._redis = connect(url)
        self._url = url
        self._name = name
        self._areas = sorted(areas)
        self._ttl_ms = int(_TTL_PARTS * lease_s * 1000)
        digest = hashlib.sha256("\n".join(self._areas).encode()).hexdigest()[:16]
        self._key = f"doe:{{{self._areas[0]}}}:members:{digest}"
        self._announce = self._redis.register_script(scripts.ANNOUNCE)

    async def __aenter__(self) -> Self:
        """Use the board; the connection is made when it is first needed."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def announce(self, word: str) -> None:
        """Say that this process lives, with a word for the others.

        Raises
        ------
        gateway.errors.JournalError
            When the server does not answer, or refuses; all other methods do so, too.
        """

        async def announce() -> None:
            await self._announce(keys=[self._key], args=[self._name, self._ttl_ms, word])

        await retrying(self._url, announce, 0.0)

    async def leave(self) -> None:
        """Say that this process ends."""
        await retrying(self._url, lambda: self._redis.hdel(self._key, self._name), 0.0)

    async def look(self) -> InstallationSeen:
        """Return who lives, and every area, in one exchange of messages with the server."""
        return await retrying(self._url, self._look, 0.0)

    async def _look(self) -> InstallationSeen:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(self._key)
        for area in self._areas:
            keys = scripts.keys_of(area)
            pipeline.get(keys.lease)
            pipeline.hmget(keys.writer, "last", "published")
        (seconds, micros), announced, *answers = await pipeline.execute()
        now_ms = seconds * 1000 + micros // 1000
        members = {}
        for name, value in announced.items():
            until_ms, _, word = value.decode().partition(" ")
            if int(until_ms) > now_ms:
                members[name.decode()] = word
        pairs = zip(answers[::2], answers[1::2], strict=True)
        found = zip(self._areas, pairs, strict=True)
        return InstallationSeen(members, {area: _seen(*pair) for area, pair in found})


def _seen(owner: bytes | None, ends: Sequence[Any]) -> AreaSeen:
    last, published = (int(each or 0) for each in ends)
    return AreaSeen(None if owner is None else owner.decode(), last, published)
