"""A journal's server in memory, with the faults of a real one: the twin of the Journal port."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

from simulated_broker import KilledError

from gateway.errors import JournalUnavailableError, SequenceGapError, StaleWriterError
from gateway.journal.codec import decode_entry, encode_entry
from gateway.ports import JournalEntry, Snapshot

LEASE_S = 3.0  # three times the period of renewals


class SimulatedServer:
    """What is durable, and who may write.

    Attributes
    ----------
    slow_s
        How long a write takes.
    losing_answers
        Number of writes that will be done and never answered.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.up = True
        self.slow_s = 0.002
        self.losing_answers = 0
        self.lines: list[bytes] = []
        self.last_event = 0
        self.snapshot: Snapshot | None = None
        self.published = 0
        self.epoch = 0
        self.leased_until = 0.0


class SimulatedJournal:
    """The Journal port of one process."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server
        self._epoch = 0
        self.killed = False

    async def __aenter__(self) -> Self:
        server, loop = self._server, asyncio.get_running_loop()
        while not server.up or loop.time() < server.leased_until:
            await asyncio.sleep(0.1)
            self._check_alive()
        server.epoch += 1
        self._epoch = server.epoch
        self._prolong()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self.killed and self._epoch == self._server.epoch:
            self._server.leased_until = 0.0

    @property
    def last_sequence(self) -> int:
        return len(self._server.lines)

    @property
    def published_sequence(self) -> int:
        return self._server.published

    async def append(self, entries: Sequence[JournalEntry], published: int) -> None:
        server = self._server
        await self._reach()
        if [entry.sequence for entry in entries] != [
            *range(len(server.lines) + 1, len(server.lines) + len(entries) + 1)
        ]:
            raise SequenceGapError("the entries do not follow the journal's last one")
        server.lines += [encode_entry(entry) for entry in entries]
        server.last_event = entries[-1].events[-1].sequence
        self._note(published)
        if server.losing_answers:
            server.losing_answers -= 1
            raise JournalUnavailableError("the server does not answer")
        await asyncio.sleep(0)
        self._check_alive()

    async def renew(self, published: int) -> None:
        await self._reach()
        self._note(published)

    async def read(self, after: int = 0) -> AsyncIterator[JournalEntry]:
        for line in self._server.lines[after:]:
            yield decode_entry(line)

    def begin_snapshot(self, make: Callable[[], bytes]) -> asyncio.Future[bytes]:
        self._begun = Snapshot(len(self._server.lines), make())
        written: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def write() -> None:
            if not written.done():
                written.set_result(b"")

        asyncio.get_running_loop().call_later(self._server.rng.uniform(0.0, 1.0), write)
        return written

    async def adopt_snapshot(self, published: int) -> None:
        await self._reach()
        self._server.snapshot = self._begun
        self._note(published)

    async def archive_entries(self) -> None:
        pass

    async def read_snapshot(self) -> Snapshot | None:
        return self._server.snapshot

    async def _reach(self) -> None:
        """Come to the server, which may take time, be away, or know another writer."""
        await asyncio.sleep(self._server.slow_s * self._server.rng.uniform(0.5, 1.5))
        self._check_alive()
        if not self._server.up:
            await asyncio.sleep(2.0)
            self._check_alive()
            if not self._server.up:
                raise JournalUnavailableError("the server does not answer")
        if self._epoch != self._server.epoch:
            raise StaleWriterError("another writer has taken over")
        self._prolong()

    def _note(self, published: int) -> None:
        self._server.published = max(self._server.published, published)

    def _prolong(self) -> None:
        self._server.leased_until = asyncio.get_running_loop().time() + LEASE_S

    def _check_alive(self) -> None:
        if self.killed:
            raise KilledError
