"""A standby: it follows the journal of the exchange that runs, to go on where that one ends.

It applies each entry soon after it was written, and keeps the messages of those entries that the
broker may not have.  So a take-over costs the time until the lease ends, and little more, however
long the journal is.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from gateway.errors import CorruptJournalError
from gateway.ports import JournalEntry, Outgoing, Snapshot
from gateway.service.core import ExchangeSetup, JournaledExchange, restored

_LOG = logging.getLogger(__name__)


class Followed(Protocol):
    """A journal as it is read."""

    def read(self, after: int) -> AsyncIterator[JournalEntry]:
        """Yield the entries after sequence ``after`` that are there now, in order."""

    async def read_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, if there is one."""


class Standby:
    """An exchange that follows a journal.

    Parameters
    ----------
    market
        Network, rules and terms.
    core
        An exchange to go on from, where the broker has the messages of all its entries.

    Attributes
    ----------
    core
        The exchange after the last entry that was applied; ``None`` before the first look.
    """

    def __init__(self, market: ExchangeSetup, core: JournaledExchange | None = None) -> None:
        self._market = market
        self._messages: deque[tuple[int, list[Outgoing]]] = deque()
        self.core = core

    async def catch_up(self, journal: Followed, published: int) -> JournaledExchange:
        """Apply the entries that are there now; return the exchange after them.

        Parameters
        ----------
        journal
            The journal.
        published
            The last entry whose messages the broker is known to have: those are forgotten.

        Raises
        ------
        gateway.errors.JournalError
            When the journal cannot be read.
        """
        try:
            await self._apply_new(journal)
        except CorruptJournalError:
            # Entries before a newer snapshot may have gone to the archive meanwhile.
            _LOG.warning("the standby begins anew, from the snapshot", exc_info=True)
            self.core = None
            self._messages.clear()
            await self._apply_new(journal)
        while self._messages and self._messages[0][0] <= published:
            self._messages.popleft()
        assert self.core is not None
        return self.core

    async def _apply_new(self, journal: Followed) -> None:
        if self.core is None:
            self.core = restored(self._market, await journal.read_snapshot())
        async for entry in journal.read(self.core.sequence):
            self._messages.append((entry.sequence, self.core.apply(entry)))

    def unpublished(self) -> list[Outgoing]:
        """Return the messages that the broker may not have, in order."""
        return [message for _, messages in self._messages for message in messages]
