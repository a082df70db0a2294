"""Read journals: files of JSON lines, or Redis servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

from gateway.journal.archive import read_lines
from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry

_SCHEMES = ("redis://", "rediss://", "unix://")


async def read_entries(
    source: str, area: str | None = None, archive: Path | None = None
) -> AsyncIterator[JournalEntry]:
    """Yield the entries of a journal in a file or on a Redis server.

    Parameters
    ----------
    source
        A file of JSON lines, or the URL of a Redis server; the URL may end in ``#area``.
    area
        The journal's area, where the URL does not name it.
    archive
        The file of the entries that have left the Redis server.

    Raises
    ------
    CorruptJournalError
        When a line is not an entry or an entry is missing; the text names file and line.
    ValueError
        When a URL comes without an area.
    """
    if not source.startswith(_SCHEMES):
        for entry, _ in read_lines(Path(source)):
            yield entry
        return
    url, fragment = urldefrag(source)
    wanted = area or unquote(fragment)
    if not wanted:
        raise ValueError("a journal on a Redis server needs its area: URL#area")
    last: int = 0
    chain: bytes | None = None
    if archive is not None:
        for entry, digest in read_lines(archive):
            last, chain = entry.sequence, digest
            yield entry
    async with RedisJournal(url, wanted, read_only=True) as journal:
        async for entry in journal.read(last, chain):
            yield entry
