"""Read journals: files of JSON lines, or Redis servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

from gateway.errors import CorruptJournalError
from gateway.journal.codec import decode_entry
from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry

_SCHEMES = ("redis://", "rediss://", "unix://")


async def read_entries(source: str, area: str | None = None) -> AsyncIterator[JournalEntry]:
    """Yield the entries of a journal in a file or on a Redis server.

    Parameters
    ----------
    source
        A file of JSON lines, or the URL of a Redis server; the URL may end in ``#area``.
    area
        The journal's area, where the URL does not name it.

    Raises
    ------
    CorruptJournalError
        When a line is not an entry or an entry is missing; the text names file and line.
    ValueError
        When a URL comes without an area.
    """
    if not source.startswith(_SCHEMES):
        for entry in _read_file(Path(source)):
            yield entry
        return
    url, fragment = urldefrag(source)
    wanted = area or unquote(fragment)
    if not wanted:
        raise ValueError("a journal on a Redis server needs its area: URL#area")
    async with RedisJournal(url, wanted, read_only=True) as journal:
        async for entry in journal.read():
            yield entry


def _read_file(path: Path) -> list[JournalEntry]:
    entries: list[JournalEntry] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = decode_entry(line)
            except CorruptJournalError as error:
                raise CorruptJournalError(f"{path}, line {number}: {error}") from None
            if entry.sequence != len(entries) + 1:
                raise CorruptJournalError(
                    f"{path}, line {number}: entry {len(entries) + 1} is missing"
                )
            entries.append(entry)
    return entries
