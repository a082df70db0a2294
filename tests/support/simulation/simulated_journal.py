"""A journal's server in memory, with the faults of a real one: the twin of the Journal port.

A call is carried out when it reaches the server, whatever the process that sent it does then: it
may be stopped or killed.  Every write compares the fencing epoch and prolongs the lease, as the
scripts of :mod:`gateway.journal.scripts` do.  A task renews the lease, where the adapter has a
thread (here no computation takes time).  What the twin leaves out: witness and archive, the chain
of digests, and attempts that are repeated under a lost answer (it raises at once, as the adapter
does when its time is up).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

from simulated_broker import KilledError
from virtual_time import OUTSIDE

from gateway.errors import (
    JournalError,
    JournalUnavailableError,
    SequenceGapError,
    StaleWriterError,
)
from gateway.journal.codec import decode_entry, encode_entry
from gateway.ports import JournalEntry, Snapshot

LEASE_S, RETRY_S = 1.0, 5.0  # as `serve` has them: the lease, and how long a call waits
FAST_S = 0.002


class SimulatedServer:
    """What is durable, and who may write.

    Attributes
    ----------
    slow_s
        How long a write takes.
    losing_answers
        Number of writes that will be done and never answered.
    full
        Whether it refuses to write; it renews leases and reads.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.up = True
        self.full = False
        self.slow_s = FAST_S
        self.losing_answers = 0
        self.lines: list[bytes] = []
        self.writers: list[int] = []
        """The epoch of the writer of each line."""
        self.written: list[Callable[[Sequence[JournalEntry]], None]] = []
        self.last_event = 0
        self.snapshot: Snapshot | None = None
        self.published = 0
        self.epoch = 0
        self.leased_until = 0.0

    @property
    def led(self) -> bool:
        return asyncio.get_running_loop().time() < self.leased_until

    def write(self, epoch: int, entries: Sequence[JournalEntry]) -> None:
        if self.full:
            raise JournalError("the server refused: OOM")
        if [entry.sequence for entry in entries] != [
            *range(len(self.lines) + 1, len(self.lines) + len(entries) + 1)
        ]:
            raise SequenceGapError("the entries do not follow the journal's last one")
        self.lines += [encode_entry(entry) for entry in entries]
        self.writers += [epoch] * len(entries)
        self.last_event = entries[-1].events[-1].sequence
        for note in self.written:
            note(entries)


class SimulatedJournal:
    """The Journal port of one process."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server
        self.epoch = 0
        self.killed = False
        self.blocked = 0
        """How many faults keep it from the server now."""
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        server = self._server
        while not server.up or self.blocked or server.full or server.led:
            await asyncio.sleep(0.1)
            self._check_alive()
        server.epoch += 1
        self.epoch = server.epoch
        self._prolong()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def _keep(self) -> None:
        """Prolong the lease, as long as this writer has the epoch and is not killed."""
        while True:
            await asyncio.sleep(LEASE_S / 4)
            if self.killed or self.epoch != self._server.epoch:
                return
            if self._server.up and not self.blocked:
                self._prolong()

    async def __aexit__(self, *exc_info: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        if not self.killed and not self.blocked and self.epoch == self._server.epoch:
            self._server.leased_until = 0.0

    @property
    def last_sequence(self) -> int:
        return len(self._server.lines)

    @property
    def published_sequence(self) -> int:
        return self._server.published

    async def append(self, entries: Sequence[JournalEntry], published: int) -> None:
        def write() -> None:
            server = self._server
            server.write(self.epoch, entries)
            self._note(published)
            if server.losing_answers:
                server.losing_answers -= 1
                raise JournalUnavailableError("the server does not answer")

        await self._call(write)

    async def renew(self, published: int) -> None:
        await self._call(lambda: self._note(published))

    async def read(self, after: int = 0) -> AsyncIterator[JournalEntry]:
        for line in self._server.lines[after:]:
            yield decode_entry(line)

    def begin_snapshot(self, make: Callable[[], bytes]) -> asyncio.Future[bytes]:
        self._begun = Snapshot(len(self._server.lines), make())
        written: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def write() -> None:
            if written.done():
                return
            if self._server.full:
                written.set_exception(JournalError("the server refused: OOM"))
            else:
                written.set_result(b"")

        asyncio.get_running_loop().call_later(self._server.rng.uniform(0.0, 1.0), write)
        return written

    async def adopt_snapshot(self, published: int) -> None:
        def adopt() -> None:
            if self._server.full:
                raise JournalError("the server refused: OOM")
            self._server.snapshot = self._begun
            self._note(published)

        await self._call(adopt)

    async def archive_entries(self) -> None:
        pass

    async def read_snapshot(self) -> Snapshot | None:
        return self._server.snapshot

    async def _call(self, act: Callable[[], None]) -> None:
        """Let the server act, which may take time, be away, or know another writer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RETRY_S
        while True:
            answer: asyncio.Future[bool] = loop.create_future()
            delay_s = self._server.slow_s * self._server.rng.uniform(0.5, 1.5)
            loop.call_later(delay_s, self._reaches_server, act, answer, context=OUTSIDE)
            self._check_alive()
            if await answer:
                self._check_alive()
                return
            self._check_alive()
            if loop.time() > deadline:
                raise JournalUnavailableError("the server does not answer")
            await asyncio.sleep(0.25)
            self._check_alive()

    def _reaches_server(self, act: Callable[[], None], answer: asyncio.Future[bool]) -> None:
        if not self._server.up or self.blocked:
            self._tell(answer, reached=False)
            return
        try:
            self._check_epoch()
            self._prolong()
            act()
        except JournalError as refused:
            if not answer.done():
                answer.set_exception(refused)
        else:
            self._tell(answer, reached=True)

    def _tell(self, answer: asyncio.Future[bool], *, reached: bool) -> None:
        if not answer.done():
            answer.set_result(reached)

    def _check_epoch(self) -> None:
        if self.epoch != self._server.epoch:
            raise StaleWriterError("another writer has taken over")

    def _note(self, published: int) -> None:
        self._server.published = max(self._server.published, published)

    def _prolong(self) -> None:
        self._server.leased_until = asyncio.get_running_loop().time() + LEASE_S

    def _check_alive(self) -> None:
        if self.killed:
            raise KilledError
