"""The two ports in memory, so that a test decides what is confirmed, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Self

from gateway.errors import SequenceGapError
from gateway.journal.codec import decode_entry, encode_entry
from gateway.ports import Incoming, JournalEntry, Outgoing, Snapshot


class MemoryJournal:
    """The Journal port on a list of encoded entries; what is in it is durable."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.batches: list[int] = []
        """The number of entries of each append."""
        self.snapshot: Snapshot | None = None
        self.published_sequence = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    @property
    def last_sequence(self) -> int:
        return len(self.lines)

    async def append(self, entries: Sequence[JournalEntry], published: int) -> None:
        if [entry.sequence for entry in entries] != [
            *range(len(self.lines) + 1, len(self.lines) + len(entries) + 1)
        ]:
            raise SequenceGapError("the entries do not follow the journal's last one")
        self.lines += [encode_entry(entry) for entry in entries]
        self.batches.append(len(entries))
        self.published_sequence = max(self.published_sequence, published)

    async def renew(self, published: int) -> None:
        self.published_sequence = max(self.published_sequence, published)

    async def read(self, after: int = 0) -> AsyncIterator[JournalEntry]:
        for line in self.lines[after:]:
            yield decode_entry(line)

    def begin_snapshot(self, make: Callable[[], bytes]) -> asyncio.Future[bytes]:
        self._begun = Snapshot(len(self.lines), make())
        written: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        written.set_result(b"")
        return written

    async def adopt_snapshot(self, published: int) -> None:
        self.snapshot = self._begun
        self.published_sequence = max(self.published_sequence, published)

    async def archive_entries(self) -> None:
        pass

    async def read_snapshot(self) -> Snapshot | None:
        return self.snapshot


class MemoryTransport:
    """The Transport port on lists: messages come when the test says so, and so do confirmations.

    Parameters
    ----------
    confirming
        Whether every publication is confirmed at once.
    """

    def __init__(self, *, confirming: bool = True) -> None:
        self.confirming = confirming
        self.connected = True
        self.connections = 1
        self.published: list[Outgoing] = []
        self.acknowledged: list[Incoming] = []
        self.waiting: list[asyncio.Future[None]] = []
        """The confirmations that are missing, oldest first."""
        self._inbox: asyncio.Queue[list[Incoming]] = asyncio.Queue()
        self._number = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def deliver(self, *messages: tuple[str, bytes]) -> list[Incoming]:
        """Bring messages to the exchange, all of them at once."""
        batch = []
        for topic, payload in messages:
            self._number += 1
            batch.append(Incoming(topic, payload, self._number))
        self._inbox.put_nowait(batch)
        return batch

    def confirm(self) -> None:
        """Confirm everything, now and from now on."""
        self.confirming = True
        for future in self.waiting:
            future.set_result(None)
        self.waiting.clear()

    async def receive(self, at_most: int) -> list[Incoming]:
        return await self._inbox.get()

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        self.acknowledged += messages

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        self.published += messages
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.confirming:
            future.set_result(None)
        else:
            self.waiting.append(future)
        return future

    def reconnect(self) -> None:
        pass

    def payloads(self, topic: str) -> list[Any]:
        """Return what was published on a topic, oldest first."""
        return [each.payload for each in self.published if each.topic == topic]
