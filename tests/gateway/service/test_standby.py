"""A standby has the state of the exchange that serves, and outlives what that one does not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway_market import OPENING, market, order
from listening import until
from memory_ports import MemoryJournal, MemoryTransport

from gateway.errors import CorruptJournalError
from gateway.ports import JournalEntry
from gateway.service.core import JournaledExchange, recover
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.service.standby import Standby

MADE = market("area")


async def entries(count: int) -> MemoryJournal:
    """Return a journal with an open session and some orders."""
    journal, transport = MemoryJournal(), MemoryTransport()
    service = Service(MADE, transport, journal, settings=ServiceSettings(stop_within_s=0.1))
    running = asyncio.create_task(service.run())
    await service.ready.wait()
    await service.request(OPENING)
    topic = MADE.topics.order("p0")
    messages = [order(f"a{k}", 0, "sell", 10, "0.0450") for k in range(count)]
    transport.deliver(*((topic, json.dumps(each).encode()) for each in messages))
    await until(lambda: len(transport.acknowledged) == count)
    service.stop()
    await running
    return journal


class Growing:
    """A journal that shows one entry more at each look, and forgets old ones when told."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.shown = 0
        self.first = 1

    async def read(self, after: int) -> Any:
        self.shown += 1
        async for entry in self.journal.read(after):
            if entry.sequence > self.shown:
                return
            if entry.sequence == after + 1 and after + 1 < self.first:
                raise CorruptJournalError(f"entry {after + 1} is missing")
            yield entry

    async def read_snapshot(self) -> Any:
        snapshot = self.journal.snapshot
        return snapshot if snapshot is not None and snapshot.sequence <= self.shown else None


async def test_a_standby_has_the_state_and_the_messages_of_the_journal() -> None:
    journal = await entries(12)
    journal.snapshot = None
    growing, standby = Growing(journal), Standby(MADE)
    for _ in range(journal.last_sequence):
        core = await standby.catch_up(growing, 0)
    recovered, messages = await recover(MADE, _unpublished(journal))
    assert core.exchange.digest() == recovered.exchange.digest()
    assert core.publisher.state() == recovered.publisher.state()
    assert standby.unpublished() == messages


def _unpublished(journal: MemoryJournal) -> MemoryJournal:
    copy = MemoryJournal()
    copy.lines = journal.lines
    return copy


async def test_a_standby_forgets_messages_that_are_published() -> None:
    journal = await entries(6)
    journal.snapshot = None
    standby = Standby(MADE)
    await standby.catch_up(journal, journal.last_sequence - 1)
    core = JournaledExchange(MADE)
    last: list[Any] = []
    async for entry in journal.read():
        assert isinstance(entry, JournalEntry)
        last = core.apply(entry)
    assert standby.unpublished() == last


async def test_a_standby_begins_anew_where_old_entries_are_in_the_archive() -> None:
    journal = await entries(6)
    growing, standby = Growing(journal), Standby(MADE)
    growing.shown = 2
    await standby.catch_up(growing, 0)
    growing.shown, growing.first = journal.last_sequence, journal.last_sequence + 1
    core = await standby.catch_up(growing, 0)
    assert core.sequence == journal.last_sequence
    assert core.exchange.digest() == (await recover(MADE, journal))[0].exchange.digest()
    assert standby.unpublished() == []  # what is in the archive was published
