"""The rows of a year in a CSV file of a folder, written as days are computed.

A run that is killed leaves whole rows, but for the last one, which may be cut off.  The next run
removes a cut row, checks that the rows are those of its own first days, and goes on after them.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.flexibility.year.days import DAY, SHARE, Row
from gateway.formats.atomic_files import write_text
from gateway.formats.faults import InputFaults, unreadable, why
from security_check.errors import Fault

TABLE = "days.csv"
"""Name of the file of the rows."""

DIGEST = "inputs.sha256"
"""Name of the file with the digest of what the rows follow from."""

_LOCK = f".{TABLE}.lock"


class DayTable:
    """The file, for one process at a time.

    Parameters
    ----------
    folder
        Where it is.
    columns
        Its columns.
    """

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = folder / TABLE, tuple(columns)
        self.rows: list[Row] = []
        whole = self._read()
        if self.path.exists():
            os.truncate(self.path, whole)
        self._stream = self.path.open("ab")
        if not whole:
            self._append([self.columns])

    def write(self, row: Row) -> None:
        """Append a row and sync the file to the disk."""
        self._append([[row[name] for name in self.columns]])
        self.rows.append(row)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _append(self, cells: Sequence[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(cells)
        self._stream.write(text.getvalue().encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _read(self) -> int:
        """Read the whole rows, and return the number of their bytes."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        whole = content.rfind(b"\n") + 1
        try:
            lines = list(csv.reader(io.StringIO(content[:whole].decode(), newline="")))
        except (UnicodeDecodeError, csv.Error):
            raise self._fault("it is not a table of days") from None
        if lines and tuple(lines[0]) != self.columns:
            raise self._fault("its columns are not those of this year")
        for number, cells in enumerate(lines[1:], start=2):
            if len(cells) != len(self.columns):
                detail = f"line {number} has {len(cells)} cells of {len(self.columns)}"
                raise self._fault(detail)
            self.rows.append(dict(zip(self.columns, cells, strict=True)))
        return whole

    def check(self, keys: Sequence[tuple[str, str]]) -> None:
        """Check that the rows are those of the first of some shares and days.

        Raises
        ------
        InputFaults
            Names the first row that is not.
        """
        if len(self.rows) > len(keys):
            raise self._fault(f"it has {len(self.rows):,} days, the year {len(keys):,}")
        for row, (share, day) in zip(self.rows, keys, strict=False):
            if (row[SHARE], row[DAY]) != (share, day):
                detail = f"it has share {row[SHARE]} on {row[DAY]}, here comes {share} on {day}"
                raise self._fault(detail)

    def _fault(self, detail: str) -> InputFaults:
        sentence = f"{detail}; choose another folder for the results"
        return InputFaults(str(self.path), [Fault("file", sentence)])


@contextmanager
def open_table(folder: Path, columns: Sequence[str], digest: str) -> Iterator[DayTable]:
    """Open the table of a folder, which is made where there is none.

    Raises
    ------
    InputFaults
        When the folder has results of other inputs, another process writes there, or it cannot be
        written to.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / _LOCK).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _check_digest(folder, digest)
            table = DayTable(folder, columns)
        except BlockingIOError:
            detail = "another process is writing its results there"
            raise InputFaults(str(folder), [Fault("folder", detail)]) from None
        except OSError as error:
            detail = f"it cannot be written to: {why(error)}"
            raise InputFaults(str(folder), [Fault("folder", detail)]) from None
        stack.callback(table.close)
        yield table


def _check_digest(folder: Path, digest: str) -> None:
    """Refuse a folder with results of other inputs; write the digest into a new one."""
    path = folder / DIGEST
    try:
        found = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if (folder / TABLE).exists():
            detail = f"it has {TABLE} but no {DIGEST}; choose another folder for the results"
            raise InputFaults(str(folder), [Fault("folder", detail)]) from None
        write_text(path, digest + "\n")
        return
    except OSError as error:
        raise unreadable(str(path), error) from None
    except UnicodeDecodeError:
        raise InputFaults(str(path), [Fault("file", "it is not UTF-8 text")]) from None
    if found != digest:
        detail = "it has results of another file, program version or choice of days; choose "
        raise InputFaults(str(folder), [Fault("folder", f"{detail}another folder")])
