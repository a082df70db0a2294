"""Entries of a journal that differ in their numbers only."""

from __future__ import annotations

from datetime import UTC, datetime

from exchange.vocabulary.commands import CancelOrder
from exchange.vocabulary.events import OrderCancelled
from exchange.vocabulary.reasons import CancelReason
from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry

TIME = datetime(2026, 7, 1, 12, tzinfo=UTC)


def entry(sequence: int, client_order_id: str | None = None) -> JournalEntry:
    client_order_id = client_order_id or f"a{sequence}"
    event = OrderCancelled(
        sequence=sequence,
        time=TIME,
        order_id=sequence,
        participant="p1",
        client_order_id=client_order_id,
        remaining_w=7,
        reason=CancelReason.REQUESTED,
    )
    return JournalEntry(sequence, CancelOrder("p1", f"r{sequence}", client_order_id), (event,))


def entries(first: int, last: int) -> list[JournalEntry]:
    return [entry(sequence) for sequence in range(first, last + 1)]


async def stored(journal: RedisJournal, after: int = 0) -> list[JournalEntry]:
    return [each async for each in journal.read(after)]


async def write_snapshot(journal: RedisJournal, state: bytes, published: int = 0) -> None:
    """Write a snapshot after the newest entry, and put it into force."""
    await journal.begin_snapshot(lambda: state)
    await journal.adopt_snapshot(published)


def stand_still(journal: RedisJournal) -> None:
    """Let a writer renew its lease no longer, as a process does that is stopped."""
    journal._keeper.stop()
