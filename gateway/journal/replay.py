"""Rebuild the state of an exchange from its journal, and from nothing else.

The state follows from events alone, so neither a scenario nor a network is needed.  Connection
points get terms without restrictions: entries were checked before they were written.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from exchange.state.effects import apply
from exchange.state.invariants import check_state
from exchange.state.snapshots import digest_of, snapshot_of
from exchange.state.state import State
from exchange.vocabulary.events import SessionOpened
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.errors import CorruptJournalError
from gateway.formats.urls import shown_url
from gateway.journal.embedded_redis import EmbeddedRedis
from gateway.journal.files import read_entries
from gateway.ports import JournalEntry

_ANY_CAPACITY_W = 10**15  # beyond every connection


class Replayed(BaseModel):
    """The state after a journal's last entry; ``digest`` is SHA-256 over ``state``."""

    entries: int
    events: int
    digest: str
    state: dict[str, Any]


async def replay_journal(source: str, area: str | None, archive: Path | None = None) -> Replayed:
    """Return the state after the last entry of a journal.

    Parameters
    ----------
    source
        A file of JSON lines, the URL of a Redis server, or the folder in which ``serve`` keeps
        the journal of an area.
    area
        The journal's area, where the source does not name it.
    archive
        The file of the entries that have left the journal.

    Raises
    ------
    OSError, ValueError, gateway.errors.GatewayError
        When the journal cannot be read, or is not a gap-free sequence of entries.
    """
    shown = shown_url(source)
    name = shown if area is None else f"{shown}, area {area}"
    async with aclosing(journal_entries(source, area, archive)) as entries:
        return await _replay(entries, name)


async def journal_entries(
    source: str, area: str | None, archive: Path | None = None
) -> AsyncGenerator[JournalEntry, None]:
    """Yield the entries of a journal: of a file, a server, or a folder that ``serve`` keeps.

    Close it (``contextlib.aclosing``): a folder is read through an embedded server.  Raise the
    errors of :func:`replay_journal`.
    """
    folder = journal_folder(source)
    if folder is None:
        async for entry in read_entries(source, area, archive):
            yield entry
        return
    async with EmbeddedRedis(folder) as redis:
        async for entry in read_entries(redis.url, area or folder.name, archive):
            yield entry


def journal_folder(source: str) -> Path | None:
    """Return the folder a source names, ``None`` where it is a file or a URL.

    Raises
    ------
    ValueError
        When the folder holds no journal.
    """
    folder = Path(source)
    if not folder.is_dir():
        return None
    if not any((folder / name).exists() for name in ("appendonly.aof", "appendonlydir")):
        raise ValueError("this folder holds no journal")
    return folder.resolve()


async def _replay(journal: AsyncIterator[JournalEntry], name: str) -> Replayed:
    terms: dict[str, ConnectionTerms] = {}
    state = State(MarketRules(), terms)
    entries = events = 0
    async for entry in journal:
        entries += 1
        events += len(entry.events)
        try:
            _apply(entry, state, terms)
        except (LookupError, ValueError, AssertionError) as error:
            # Each entry is well-formed, but no exchange writes this sequence.
            raise CorruptJournalError(
                f"{name}: entry {entries} does not follow from those before it: {error}"
            ) from error
    if not entries:
        raise CorruptJournalError(f"{name}: this journal has no entries")
    check_state(state)
    return Replayed(
        entries=entries, events=events, digest=digest_of(state), state=snapshot_of(state)
    )


def _apply(entry: JournalEntry, state: State, terms: dict[str, ConnectionTerms]) -> None:
    for event in entry.events:
        if isinstance(event, SessionOpened):
            for envelope in event.envelopes:
                point = envelope.connection_point
                terms.setdefault(
                    point, ConnectionTerms(point, point, _ANY_CAPACITY_W, _ANY_CAPACITY_W)
                )
        apply(state, event)
