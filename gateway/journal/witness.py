"""The witness of a journal: a second place that knows its end.

A journal that comes back shorter, from an older copy or after its server lost writes, is gap-free
and looks like any other.  The witness is a small file on the machine of the exchange with the
sequence and the digest of the chain (:mod:`gateway.journal.chain`) of the last entry written.  At
a start the journal must have an entry with that sequence and digest.

The file has two records, each with a checksum, that are written in turn: where one write is torn,
the other record is whole.  A record is written after each group of entries is durable and before
it is answered; it then survives the end of any process.  To the disk it goes once a second: syncing
it each time would add 4 ms to each group (docs/benchmarks.md).  So a failure of the whole machine
may leave a witness that is a second old; what it proves is true all the same.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import JournalError
from gateway.formats.private_files import make_private_folder, open_private, sync_folder

_RECORD_BYTES = 1024
_RECORDS = 2


@dataclass(frozen=True, slots=True, order=True)
class JournalEnd:
    """An end of a journal: the fencing epoch of its writer, its last entry, the digest there."""

    epoch: int
    sequence: int
    chain: bytes


class Witness:
    """Keeps the end of an area's journal in a file.

    Parameters
    ----------
    path
        The file; it is made when it does not exist, for its own account only.
    area
        Whose journal it is.
    """

    def __init__(self, path: Path, area: str) -> None:
        self.path = path
        self._area = area
        self._descriptor: int | None = None
        self._next = 0
        self._synced = True

    def open(self) -> JournalEnd | None:
        """Open the file; return the end it knows, ``None`` where it is new.

        Raises
        ------
        JournalError
            When the file cannot be used, is damaged, or belongs to another area.
        """
        try:
            if not self.path.parent.exists():
                make_private_folder(self.path.parent)
            self._descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
            sync_folder(self.path.parent)
            content = os.pread(self._descriptor, _RECORDS * _RECORD_BYTES, 0)
        except OSError as error:
            raise self._unusable(error) from None
        found = [
            (known, number)
            for number in range(_RECORDS)
            if (known := self._read(content[number * _RECORD_BYTES :][:_RECORD_BYTES])) is not None
        ]
        if not found:
            if content.strip(b"\0 \n"):
                raise JournalError(
                    f"the witness {self.path} is damaged; if the journal of {self._area} is known "
                    "to be whole, remove this file"
                )
            return None
        known, number = max(found)
        self._next = (number + 1) % _RECORDS
        return known

    def note(self, end: JournalEnd) -> None:
        """Write the end of the journal; it survives the end of this process at once."""
        assert self._descriptor is not None, "the witness is not open"
        record = self._record(end)
        try:
            written = os.pwrite(self._descriptor, record, self._next * _RECORD_BYTES)
            if written < len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._unusable(error) from None
        self._next = (self._next + 1) % _RECORDS
        self._synced = False

    async def sync(self) -> None:
        """Bring what was noted to the disk, without stopping the loop."""
        if self._synced or self._descriptor is None:
            return
        self._synced = True
        try:
            await asyncio.to_thread(os.fdatasync, self._descriptor)
        except OSError as error:
            raise self._unusable(error) from None

    async def close(self) -> None:
        """Bring everything to the disk and close the file."""
        try:
            await self.sync()
        finally:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _record(self, end: JournalEnd) -> bytes:
        content: dict[str, object] = {
            "area": self._area,
            "sequence": end.sequence,
            "chain": end.chain.hex(),
            "epoch": end.epoch,
        }
        content["checksum"] = _checksum(content)
        line = json.dumps(content, ensure_ascii=False).encode()
        return line.ljust(_RECORD_BYTES - 1) + b"\n"

    def _read(self, record: bytes) -> JournalEnd | None:
        """Return the end in a record; ``None`` where it is not whole."""
        try:
            content = json.loads(record)
            checksum = content.pop("checksum")
            if checksum != _checksum(content):
                return None
            end = JournalEnd(content["epoch"], content["sequence"], bytes.fromhex(content["chain"]))
        except (ValueError, LookupError, TypeError, AttributeError):
            return None
        if content["area"] != self._area:
            raise JournalError(
                f"the witness {self.path} is that of area {content['area']}, not of {self._area}"
            )
        return end

    def _unusable(self, error: OSError) -> JournalError:
        reason = (error.strerror or str(error)).lower()
        return JournalError(
            f"the witness of the journal of {self._area} cannot be kept in {self.path}: {reason}"
        )


def _checksum(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
