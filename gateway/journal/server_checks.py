"""Settings of a Redis server with which acknowledged entries could be lost.

They are looked at before the first write and again while the exchange runs, because they can be
changed at any time.  A setting that cannot be read is named in the log, and where nothing else
makes a write durable it is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import NotDurableError

_LOG = logging.getLogger(__name__)
_WANTED = {
    "maxmemory-policy": "noeviction",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
}
_WAITAOF_SINCE = (7, 2)


class Durability(Enum):
    """How the server makes a write durable before it is acknowledged."""

    ON_WRITE = auto()
    """``appendfsync always``: the reply itself comes after the disk."""
    ON_DEMAND = auto()
    """Redis 7.2 and later: ``WAITAOF`` after each group of writes."""
    EVERY_SECOND = auto()
    """Survives a crash of the server; a crash of its machine may lose the last second."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself.

    Parameters
    ----------
    info
        The answer to ``INFO``.
    settings
        Those of ``CONFIG GET`` that could be read, by name.
    expiring
        The keys of the journal that have a time to live.
    """

    info: Mapping[str, Any]
    settings: Mapping[str, str]
    expiring: Sequence[str] = ()

    @property
    def waits_for_disk(self) -> bool:
        """Whether the server has ``WAITAOF``."""
        version = str(self.info.get("redis_version", "0")).split(".")[:2]
        return tuple(int(part) for part in version) >= _WAITAOF_SINCE

    @property
    def unknown(self) -> list[str]:
        """The settings that could not be read."""
        return [name for name in _WANTED if name not in self.settings]

    def durability(self) -> Durability:
        """Return how writes become durable, where :func:`faults_of` finds nothing."""
        if self.waits_for_disk:
            return Durability.ON_DEMAND
        is_synced = self.settings.get("appendfsync") == "always"
        return Durability.ON_WRITE if is_synced else Durability.EVERY_SECOND


async def ask_server(redis: Redis, keys: Sequence[str]) -> ServerFacts:
    """Return what a server says of itself; ``keys`` are those of the journal.

    Raises
    ------
    redis.exceptions.BusyLoadingError
        While it reads its files: then what it says of them is not so.
    """
    info = await redis.info()
    if int(info.get("loading", 0)):
        raise BusyLoadingError("it reads its files")
    settings: dict[str, str] = {}
    for name in _WANTED:
        try:
            answer = await redis.config_get(name)
        except ResponseError:  # managed servers forbid CONFIG
            break
        settings |= {str(key): str(value) for key, value in answer.items()}
    if "maxmemory_policy" in info:  # is in both
        settings.setdefault("maxmemory-policy", str(info["maxmemory_policy"]))
    left_ms = [await redis.pttl(key) for key in keys]
    expiring = [key for key, ms in zip(keys, left_ms, strict=True) if ms >= 0]
    return ServerFacts(info, settings, expiring)


def faults_of(facts: ServerFacts, *, allow_everysec: bool = False) -> list[str]:
    """Return a sentence for each setting with which acknowledged entries could be lost."""
    return [*_faults_of_role(facts), *_faults_of_files(facts, allow_everysec)]


def _faults_of_role(facts: ServerFacts) -> Iterator[str]:
    info = facts.info
    if info.get("role", "master") != "master":
        yield (
            f"its role is {info['role']} of {info.get('master_host')}:{info.get('master_port')}: "
            "what is written to a replica is lost at its next synchronisation; name the master"
        )
    policy = facts.settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        yield (
            f"maxmemory-policy is {policy}: without free memory it would drop entries; "
            "set maxmemory-policy noeviction"
        )
    for key in facts.expiring:
        yield f"the key {key} has a time to live and would vanish; use PERSIST {key}"


def _faults_of_files(facts: ServerFacts, allow_everysec: bool) -> Iterator[str]:
    info, settings = facts.info, facts.settings
    if not int(info.get("aof_enabled", 0)):
        yield (
            "appendonly is no: it does not write to disk before it answers; "
            "set appendonly yes and appendfsync always"
        )
        return
    if info.get("aof_last_write_status", "ok") != "ok":
        yield (
            f"aof_last_write_status is {info['aof_last_write_status']}: it could not write its "
            "append-only file; look at its disk and its log"
        )
    if settings.get("no-appendfsync-on-rewrite", "no") != "no":
        yield (
            "no-appendfsync-on-rewrite is yes: it does not sync while it rewrites its file; "
            "set no-appendfsync-on-rewrite no"
        )
    sync = settings.get("appendfsync", "unknown")
    if facts.waits_for_disk:
        if sync == "no":
            yield "appendfsync is no: it never syncs its file; set appendfsync everysec or always"
    elif sync != "always" and not (allow_everysec and sync != "no"):
        yield (
            f"appendfsync is {sync!r}: a failure of its machine loses acknowledged entries; "
            "set appendfsync always"
        )


def warnings_of(facts: ServerFacts) -> list[str]:
    """Return a sentence for each thing that should be looked at, and loses nothing by itself."""
    info = facts.info
    found = []
    if facts.unknown:
        wanted = ", ".join(f"{name} {_WANTED[name]}" for name in facts.unknown)
        found.append(f"CONFIG is forbidden, so it could not be checked that it has {wanted}")
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        found.append("its last rewrite of the append-only file failed: the file grows")
    if int(info.get("connected_slaves", 0)):
        found.append(
            f"it has {info['connected_slaves']} replicas, which lag behind: a failover to one of "
            "them can lose acknowledged entries"
        )
    if facts.waits_for_disk and facts.settings.get("appendfsync") == "everysec":
        found.append(
            "appendfsync is everysec: nothing is lost, but each group of entries waits up to a "
            "second for the disk; set appendfsync always"
        )
    if facts.durability() is Durability.EVERY_SECOND:
        found.append("a failure of its machine may lose the last second of the journal")
    return found


class ServerWatch:
    """Looks at the settings of a server, at the start and every few seconds.

    Parameters
    ----------
    redis
        The server.
    area, keys
        Whose journal it keeps, and its keys.
    allow_everysec
        Whether ``appendfsync everysec`` is accepted where there is no ``WAITAOF``.
    """

    def __init__(
        self, redis: Redis, area: str, keys: Sequence[str], *, allow_everysec: bool
    ) -> None:
        self._redis = redis
        self._area = area
        self._keys = keys
        self._allow_everysec = allow_everysec
        self._warned: list[str] = []

    async def look(self) -> Durability:
        """Return how writes become durable; log warnings when they are new.

        Raises
        ------
        NotDurableError
            Names each setting that could lose entries, its value, and what to set.
        """
        facts = await ask_server(self._redis, self._keys)
        faults = faults_of(facts, allow_everysec=self._allow_everysec)
        if faults:
            raise NotDurableError(
                f"the Redis server of the journal of {self._area} could lose acknowledged "
                f"entries: {'; '.join(faults)}"
            )
        warnings = warnings_of(facts)
        for warning in warnings:
            if warning not in self._warned:
                _LOG.warning("the Redis server of the journal of %s: %s", self._area, warning)
        self._warned = warnings
        return facts.durability()


async def wait_for_disk(redis: Redis) -> None:
    """Return when the server has synced what this connection wrote; from Redis 7.2 on.

    Raises
    ------
    redis.exceptions.TimeoutError
        When it has not after 10 s.
    """
    answer = await redis.execute_command(  # type: ignore[no-untyped-call]  # no types
        "WAITAOF", 1, 0, 10_000
    )
    if int(answer[0]) < 1:
        raise RedisTimeoutError("the append-only file was not synced within 10 s")
