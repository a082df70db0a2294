"""Accept that the end of a journal is lost: the command ``accept-loss``.

``serve`` refuses a journal that does not end where it was written last
(:mod:`gateway.journal.witness`).  Where the missing entries cannot be brought back, this command
writes one entry that leaves out all numbers that may have been given out in them.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime

from pydantic import BaseModel

from exchange.vocabulary.commands import AcceptLoss
from gateway.errors import JournalError
from gateway.messages.topics import Topics
from gateway.operations.server_places import ServerPlaces, open_journal
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup, recover


class AcceptedLoss(BaseModel):
    """What is lost of a journal, and with which numbers the exchange goes on."""

    area: str
    ends_at: int
    written: int
    detail: str
    next_event: int
    next_order_id: int
    digest: str


async def accept_loss(scenario: Scenario, places: ServerPlaces, ends_at: int) -> AcceptedLoss:
    """Let the journal of an area go on after its last entry, although more had been written.

    Parameters
    ----------
    scenario, places
        Of the exchange, as for ``serve``; it must not run.
    ends_at
        The last entry that is left: what is accepted is the loss of all after it.

    Raises
    ------
    gateway.errors.LostEntriesError
        When the journal ends at another entry; the text names it.
    gateway.errors.JournalError
        When nothing is known to be lost, or the journal cannot be read or written.
    """
    topics = Topics(scenario.area)
    async with AsyncExitStack() as stack:
        journal, _ = await open_journal(scenario, places, stack, accepted_end=ends_at)
        lost = journal.lost
        if lost is None:
            raise JournalError(f"nothing is known to be lost of the journal of {scenario.area}")
        market = ExchangeSetup(topics, scenario.networks(), scenario.rules, scenario.terms())
        core, _ = await recover(market, journal)
        entry, _ = core.handle(AcceptLoss(lost.ends_at, lost.written), datetime.now(UTC))
        assert entry is not None, "a loss is an event"
        await journal.append([entry], journal.published_sequence)
        state = core.exchange.state
        return AcceptedLoss(
            area=scenario.area,
            ends_at=lost.ends_at,
            written=lost.written,
            detail=lost.detail,
            next_event=state.sequence + 1,
            next_order_id=state.next_order_id,
            digest=core.exchange.digest(),
        )
