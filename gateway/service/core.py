"""The exchange of an area together with its messages.

Both follow from the journal's entries alone.  A ``JournaledExchange`` turns commands into entries,
or applies entries and reaches the same state; in both cases it returns the messages to publish.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.engine import Exchange
from exchange.vocabulary.commands import Command
from exchange.vocabulary.network_port import Networks
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from exchange.vocabulary.versions import UnknownVersionError
from gateway.errors import CorruptJournalError
from gateway.messages.topics import Topics
from gateway.ports import Journal, JournalEntry, Outgoing, Snapshot
from gateway.publishing.answers import Answered, Answers
from gateway.publishing.publisher import Publisher

REPORTS_OF_ENTRIES = 20_000
"""Published entries of which, after a start, the reports are there for those who missed some."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExchangeSetup:
    """Network, rules and terms of an area's exchange.

    Parameters
    ----------
    topics
        The area's topics.
    grid
        The network.
    rules, terms
        The market's rules, and the terms of each connection point.
    """

    topics: Topics
    grid: Networks
    rules: MarketRules
    terms: Sequence[ConnectionTerms]


class JournaledExchange:
    """An exchange and its publisher, kept in step.

    Parameters
    ----------
    market
        Network, rules and terms.
    snapshot
        The state to begin with; ``None`` for an exchange without entries.

    Attributes
    ----------
    sequence, snapshot_sequence
        The last entry that is part of the state, and of the snapshot that it began with.
    """

    def __init__(self, market: ExchangeSetup, snapshot: Snapshot | None = None) -> None:
        terms = {each.connection_point: each for each in market.terms}
        self.publisher = Publisher(market.topics, market.rules, terms)
        self.snapshot_sequence = 0 if snapshot is None else snapshot.sequence
        self.sequence = self.snapshot_sequence
        if snapshot is None:
            self.exchange = Exchange(market.grid, market.rules, market.terms)
        else:
            state = json.loads(snapshot.state)
            self.exchange = Exchange.restore(
                state["exchange"], market.grid, market.rules, market.terms
            )
            self.publisher.restore(state["reports"])
        self._answers = Answers(market.topics, self.exchange.state, self.publisher)

    @property
    def next_due(self) -> datetime | None:
        """When the clock must act next: for a gate, an order that expires, or readings."""
        return self.exchange.next_deadline()

    def handle(self, command: Command, now: datetime) -> tuple[JournalEntry | None, list[Outgoing]]:
        """Apply a command.

        Returns
        -------
        The entry to journal, ``None`` where the command had no effect, and the messages to publish
        once the entry is durable.
        """
        events = tuple(self.exchange.handle(command, now))
        if not events:
            return None, []
        messages = self.publisher.entry(events, self.exchange.state.repeated_answer)
        self.sequence += 1
        return JournalEntry(self.sequence, command, events), messages

    def apply(self, entry: JournalEntry, *, reports: bool = True) -> list[Outgoing]:
        """Apply an entry of the journal; return its messages.

        Without ``reports`` those to participants are only counted (:meth:`Publisher.entry`).
        """
        self.exchange.replay(entry.events)
        self.sequence = entry.sequence
        find_answer = self.exchange.state.repeated_answer
        return self.publisher.entry(entry.events, find_answer, reports=reports)

    def answer(self, sender: str, query: bytes, now: datetime) -> Answered:
        """Return the answer to a query, from the state as it is; nothing changes.

        It may be published once the entries that it includes are durable.
        """
        return self._answers.answer(sender, query, now)

    def market_data(self) -> list[Outgoing]:
        """Return depth, statistics and local prices that changed since the last call."""
        return self.publisher.market_data(self.exchange.local_prices)

    def snapshot(self) -> Snapshot:
        """Return the state as a snapshot of the journal."""
        state = {"exchange": self.exchange.snapshot(), "reports": self.publisher.state()}
        return Snapshot(self.sequence, json.dumps(state).encode())


def restored(market: ExchangeSetup, snapshot: Snapshot | None) -> JournaledExchange:
    """Return the exchange of a snapshot, or one without entries.

    Raises
    ------
    CorruptJournalError
        When a newer release wrote the snapshot.
    """
    try:
        return JournaledExchange(market, snapshot)
    except UnknownVersionError as error:
        raise CorruptJournalError(f"journal of {market.topics.area}: {error}") from None


async def recover(
    market: ExchangeSetup, journal: Journal
) -> tuple[JournaledExchange, list[Outgoing]]:
    """Rebuild the state from snapshot and journal.

    Returns
    -------
    The core, and the messages of those entries that may not have been published.

    Raises
    ------
    gateway.errors.JournalError
        When journal or snapshot cannot be read, or a newer release wrote them.
    """
    core = restored(market, await journal.read_snapshot())
    start = core.sequence
    unpublished: list[Outgoing] = []
    async for entry in journal.read(after=start):
        old = entry.sequence <= journal.published_sequence - REPORTS_OF_ENTRIES
        messages = core.apply(entry, reports=not old)
        if entry.sequence > journal.published_sequence:
            unpublished += messages
    if _LOG.isEnabledFor(logging.INFO):  # the digest of a large state takes seconds
        _LOG.info(
            "%s: recovered snapshot %d and %d entries after it, state %s",
            market.topics.area,
            start,
            core.sequence - start,
            core.exchange.digest(),
        )
    return core, unpublished
