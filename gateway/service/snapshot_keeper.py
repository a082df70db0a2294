"""When snapshots are made: every so many entries, and at the end.

A snapshot is written while the exchange goes on (:mod:`gateway.ports`).  It comes into force when
the broker has confirmed the messages of all entries before it: after it they cannot be made again.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.errors import JournalError
from gateway.ports import Journal
from gateway.service.core import JournaledExchange
from gateway.service.outbox import Outbox

_LOG = logging.getLogger(__name__)


class SnapshotKeeper:
    """Begins snapshots and puts them into force.

    Parameters
    ----------
    journal, outbox
        Where snapshots are kept, and which messages are confirmed.
    every
        Entries between two snapshots.
    """

    def __init__(self, journal: Journal, outbox: Outbox, every: int) -> None:
        self._journal = journal
        self._outbox = outbox
        self._every = every
        self._writing: asyncio.Future[bytes] | None = None
        self._archiving: asyncio.Task[None] | None = None
        self._begun_at = 0
        self._in_force = 0

    def recovered(self, core: JournaledExchange) -> None:
        """Note the snapshot with which an exchange began."""
        self._in_force = self._begun_at = core.snapshot_sequence

    async def look(self, core: JournaledExchange) -> None:
        """Begin a snapshot when it is due, and adopt it when it is written and may be.

        Between batches: all entries of the exchange are in the journal.
        """
        if self._writing is None:
            if core.sequence - self._begun_at >= self._every:
                self._begin(core)
        elif self._writing.done() and self._outbox.published >= self._begun_at:
            await self._adopt()

    async def finish(self, core: JournaledExchange) -> None:
        """Make a last snapshot, unless messages before it are unconfirmed and would be lost."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
            if self._outbox.published >= self._begun_at:
                await self._adopt()
        if self._outbox.published < core.sequence or core.sequence == self._in_force:
            return
        self._begin(core)
        if self._writing is not None:
            await asyncio.wait({self._writing})
            await self._adopt()

    async def cancel(self) -> None:
        """End the writing of a snapshot, and of the archive, that is under way."""
        if self._writing is not None:
            self._writing.cancel()
        if self._archiving is not None:
            self._archiving.cancel()
            await asyncio.wait({self._archiving})

    def _begin(self, core: JournaledExchange) -> None:
        self._begun_at = core.sequence
        try:
            self._writing = self._journal.begin_snapshot(lambda: core.snapshot().state)
        except OSError as error:  # the machine makes no copy of this process
            self._failed(error)

    async def _adopt(self) -> None:
        writing, self._writing = self._writing, None
        assert writing is not None, "a snapshot was begun"
        if writing.cancelled():
            return
        error = writing.exception()
        if error is not None:
            self._failed(error)
            return
        try:
            await self._journal.adopt_snapshot(self._outbox.published)
        except JournalError as refused:
            if type(refused) is not JournalError:  # there is no journal to write to any more
                raise
            self._failed(refused)
            return
        self._in_force = self._begun_at
        if self._archiving is None or self._archiving.done():
            self._archiving = asyncio.create_task(self._archive(), name="exchange-archive")

    async def _archive(self) -> None:
        """Move entries to the archive; while it runs, the exchange goes on."""
        try:
            await self._journal.archive_entries()
        except JournalError as error:
            _LOG.error("entries stay where they are: %s", error)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, JournalError | OSError):
            raise error
        _LOG.error(
            "no snapshot after entry %d, the one after entry %d stays in force: %s",
            *(self._begun_at, self._in_force, error),
        )
