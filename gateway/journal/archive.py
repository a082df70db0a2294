"""The archive: a file of the entries that have left Redis, in order, for audits and replays.

A line is that of the entry, with the digest of the chain at it in front (``chain``).  A file is
only appended to.  Entries leave Redis when they are before the snapshot in force, and only after
the file is on the disk: where a process is killed between, they are in both, and go on from there.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.errors import CorruptJournalError, JournalError, LostEntriesError
from gateway.formats.private_files import make_private_folder, open_private, sync_folder
from gateway.journal.chain import BEGINNING, ChainedLine, linked
from gateway.journal.codec import decode_entry
from gateway.journal.entry_stream import EntryStream
from gateway.ports import JournalEntry

_HEAD = re.compile(rb'\{"chain":"([0-9a-f]{64})",')
_START = b'{"chain":"'
_BLOCK = 2**16


def archived(line: bytes, chain: bytes) -> bytes:
    """Return an entry's line with the digest at it in front."""
    return b'{"chain":"' + chain.hex().encode() + b'",' + line[1:] + b"\n"


def split(line: bytes) -> tuple[bytes, bytes | None]:
    """Return the line of an entry as it was written first, and the digest; ``None`` without one."""
    found = _HEAD.match(line)
    if found is None:
        return line, None
    return b"{" + line[found.end() :].rstrip(b"\n"), bytes.fromhex(found[1].decode())


class Archive:
    """Appends entries to a file.

    Parameters
    ----------
    path
        The file; it is made when it does not exist, for its own account only.

    Attributes
    ----------
    last, chain
        Sequence of the last entry in it, and the digest there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = 0
        self.chain = BEGINNING
        self._descriptor: int | None = None

    def open(self) -> None:
        """Open the file, find its last entry, and cut off a line that was not finished.

        Raises
        ------
        JournalError
            When the file cannot be used, or does not end with an entry.
        """
        try:
            if not self.path.parent.exists():
                make_private_folder(self.path.parent)
            self._descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
            sync_folder(self.path.parent)
            end, last = self._last_line(self._descriptor)
            os.ftruncate(self._descriptor, end)
        except OSError as error:
            raise self._unusable(error) from None
        self.last, self.chain = 0, BEGINNING
        if last:
            line, chain = split(last)
            try:
                self.last = decode_entry(line).sequence
            except CorruptJournalError as error:
                raise CorruptJournalError(f"the archive {self.path}, last line: {error}") from None
            if chain is None:
                raise CorruptJournalError(f"the archive {self.path}, last line: it has no chain")
            self.chain = chain

    @staticmethod
    def _last_line(descriptor: int) -> tuple[int, bytes]:
        """Return the end of the last finished line, and this line; 0 and nothing without one."""
        start = os.fstat(descriptor).st_size
        tail = b""
        while start > 0 and tail.count(b"\n") < 2:
            step = min(_BLOCK, start)
            start -= step
            tail = os.pread(descriptor, step, start) + tail
        finished, newline, _ = tail.rpartition(b"\n")
        if not newline:
            return 0, b""
        return start + len(finished) + 1, finished.rpartition(b"\n")[2]

    async def add(self, entries: Sequence[ChainedLine]) -> None:
        """Append entries, and return when they are on the disk.

        Raises
        ------
        CorruptJournalError
            When the first does not follow the last one in the file.
        JournalError
            When the file cannot be written; it then ends as before.
        """
        assert self._descriptor is not None, "the archive is open"
        last, chain = self.last, self.chain
        for entry in entries:
            if entry.sequence != last + 1 or linked(chain, entry.line) != entry.chain:
                raise CorruptJournalError(
                    f"entry {entry.sequence} does not follow entry {last}, the last one in the "
                    f"archive {self.path}"
                )
            last, chain = entry.sequence, entry.chain
        content = b"".join(archived(entry.line, entry.chain) for entry in entries)
        writing = asyncio.ensure_future(asyncio.to_thread(self._append, self._descriptor, content))
        try:
            await asyncio.wait({writing})
        finally:
            # A thread cannot be stopped, and the file must stay open for it.
            while not writing.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({writing})
            if writing.exception() is None:
                self.last, self.chain = last, chain
        try:
            writing.result()
        except OSError as error:
            raise self._unusable(error) from None

    @staticmethod
    def _append(descriptor: int, content: bytes) -> None:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            written = 0
            while written < len(content):
                written += os.write(descriptor, content[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _unusable(self, error: OSError) -> JournalError:
        reason = (error.strerror or str(error)).lower()
        return JournalError(f"entries cannot be archived in {self.path}: {reason}")


class Trimming:
    """Keeps a stream short.

    Parameters
    ----------
    archive
        Where entries go; ``None`` leaves all of them in the stream.
    kept
        So many of the newest stay, even before the snapshot.
    entries, area
        The stream, and whose it is.
    """

    def __init__(self, archive: Archive | None, kept: int, entries: EntryStream, area: str) -> None:
        self._archive = archive
        self._kept = kept
        self._entries = entries
        self._area = area

    async def open(self, last: int) -> None:
        """Open the archive and compare it with a journal that ends at entry ``last``.

        Raises
        ------
        JournalError
            When they do not belong together, or entries between them are missing.
        """
        archive = self._archive
        if archive is None:
            return
        archive.open()
        there = await self._entries.chain_at(archive.last)
        if archive.last > last or there not in (None, archive.chain):
            raise LostEntriesError(
                f"the archive {archive.path} ends at entry {archive.last}, which is not in the "
                f"journal of {self._area}, up to entry {last}: move this file away if the loss of "
                "these entries was accepted"
            )
        first = await self._entries.first()
        if first > archive.last + 1:
            raise CorruptJournalError(
                f"the archive {archive.path} ends at entry {archive.last}, and the journal of "
                f"{self._area} begins at entry {first}: bring back the archive that has the "
                "entries between"
            )

    async def run(self, last: int, trim: Callable[[int], Awaitable[None]]) -> None:
        """Move what is before the snapshot; ``trim`` removes the entries before one.

        An entry is removed when the file with it is on the disk, and not before.
        """
        archive = self._archive
        if archive is None:
            return
        end = min(self._entries.base[0], last - self._kept)
        while archive.last < end:
            first = archive.last + 1
            await archive.add(await self._entries.page(first, end))
            if archive.last < first:
                raise CorruptJournalError(
                    f"journal of {self._area}: entry {first} is neither in Redis nor in the "
                    f"archive {archive.path}"
                )
            await trim(archive.last + 1)

    def close(self) -> None:
        """Close the archive."""
        if self._archive is not None:
            self._archive.close()


def read_lines(path: Path) -> Iterator[tuple[JournalEntry, bytes]]:
    """Yield the entries of a file of JSON lines, each with the digest of the chain at it.

    A line without a digest, as other files than archives have, gets that which follows from those
    before it.  A line that an archive has not finished is left out.

    Raises
    ------
    CorruptJournalError
        When a line is not an entry, an entry is missing, or a digest does not follow; the text
        names file and line.
    """
    chain, expected = BEGINNING, 1
    with path.open("rb") as file:
        for number, whole in enumerate(file, start=1):
            line, digest = split(whole)
            if not whole.endswith(b"\n") and whole[: len(_START)] == _START[: len(whole)]:
                return
            try:
                entry = decode_entry(line)
            except CorruptJournalError as error:
                raise CorruptJournalError(f"{path}, line {number}: {error}") from None
            if entry.sequence != expected:
                raise CorruptJournalError(f"{path}, line {number}: entry {expected} is missing")
            chain = linked(chain, line.rstrip(b"\n"))
            if digest is not None and digest != chain:
                raise CorruptJournalError(
                    f"{path}, line {number}: its digest does not follow from the lines before it"
                )
            expected += 1
            yield entry, chain
