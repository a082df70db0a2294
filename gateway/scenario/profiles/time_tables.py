"""Tables of numbers over time, CSV or Parquet: a row for each interval, a column for each quantity.

A table must have a row for each interval of the scenario and may have rows before and after them.
A row that starts inside an interval is a fault: its values are not those of the whole interval.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from exchange.vocabulary.formatting import format_time
from gateway.formats.faults import why
from gateway.formats.optional_packages import missing_package
from gateway.formats.records import parsed_time
from gateway.scenario.intervals import Span
from security_check.arrays import FloatArray, IndexArray
from security_check.errors import Fault

START = "start"


@dataclass(frozen=True, slots=True)
class TimeTable:
    """The numbers of a table in a scenario's T intervals; m columns.

    Parameters
    ----------
    name, word
        Name of the file, and the word for its rows: ``"line"`` (CSV) or ``"row"`` (Parquet).
    columns
        Names of the columns, without ``start``.
    values
        Shape (T, m), finite.
    rows
        Shape (T,), the number of the row of each interval.
    starts
        Starts of the intervals.
    """

    name: str
    word: str
    columns: tuple[str, ...]
    values: FloatArray
    rows: IndexArray
    starts: Sequence[datetime]

    def fault(self, column: str, interval: int, detail: str) -> Fault:
        """Return the fault of a cell, with its column, row and time."""
        time = format_time(self.starts[interval])
        where = f"{self.name} {self.word} {self.rows[interval]}, {time}"
        return Fault(column, f"{where}: {detail}")


@dataclass(slots=True)
class _TableReading:
    """A table that is being read, and its faults so far.

    ``wrong`` has the first faulty cell of each column and their number: (interval, text, count);
    ``inside`` has the rows that start inside an interval.
    """

    name: str
    word: str
    columns: list[str]
    span: Span
    faults: list[Fault] = field(default_factory=list)
    values: FloatArray = field(init=False)
    rows: IndexArray = field(init=False)
    wrong: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    inside: list[tuple[int, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = np.full((len(self.span.starts), len(self.columns)), np.nan)
        self.rows = np.zeros(len(self.span.starts), dtype=np.int64)

    def place(self, number: int, start: datetime) -> int | None:
        """Return the interval of a row; ``None`` if no interval of the scenario starts then."""
        interval = self.span.number_of(start)
        if interval is None:
            if self.span.holds(start):
                self.inside.append((number, start))
            return None
        if self.rows[interval]:
            self.faults.append(
                Fault(
                    f"{self.name} {self.word} {number}",
                    f"{format_time(start)} has a {self.word} already, {self.rows[interval]}",
                )
            )
            return None
        self.rows[interval] = number
        return interval

    def note(self, column: str, interval: int, text: str) -> None:
        """Record that a cell is not a finite number."""
        first, shown, count = self.wrong.get(column, (interval, text, 0))
        self.wrong[column] = (first, shown, count + 1)

    def done(self, faults: list[Fault]) -> TimeTable | None:
        """Return the table, or ``None`` after adding every fault in it."""
        table = TimeTable(
            self.name, self.word, tuple(self.columns), self.values, self.rows, self.span.starts
        )
        found = list(self.faults)
        for column, (interval, text, count) in self.wrong.items():
            more = f" (and {count - 1} more of its cells)" if count > 1 else ""
            found.append(table.fault(column, interval, f"{text} is not a finite number{more}"))
        if self.inside:
            number, start = self.inside[0]
            more = f" (and {len(self.inside) - 1} more)" if len(self.inside) > 1 else ""
            found.append(
                Fault(
                    f"{self.name} {self.word} {number}",
                    f"{format_time(start)} lies inside an interval of {self.span.minutes:g} "
                    f"minutes; rows must be as far apart as intervals{more}",
                )
            )
        missing = np.flatnonzero(self.rows == 0)
        if len(missing):
            first = format_time(self.span.starts[missing[0]])
            found.append(
                Fault(
                    self.name,
                    f"{len(missing):,} of {len(self.rows):,} intervals have no {self.word}; "
                    f"the first of them starts at {first}",
                )
            )
        faults += found
        return None if found else table


def read_time_table(path: Path, key: str, span: Span, faults: list[Fault]) -> TimeTable | None:
    """Return a table in the intervals of a scenario, or ``None`` after adding every fault in it.

    Parameters
    ----------
    path
        A file that ends in ``.csv`` or ``.parquet``.
    key
        The entry of the scenario that names the file; faults of the whole file are its faults.
    span
        The scenario's intervals.
    """
    readers = {".csv": _from_csv, ".parquet": _from_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        faults.append(Fault(key, f"{path.name} does not end in .csv or .parquet"))
        return None
    try:
        filling = reader(path, key, span, faults)
    except OSError as error:
        faults.append(Fault(key, f"{path} cannot be read: {why(error)}"))
        return None
    except UnicodeDecodeError:
        faults.append(Fault(key, f"{path} cannot be read: it is not UTF-8 text"))
        return None
    return None if filling is None else filling.done(faults)


def _checked_columns(
    names: Sequence[str], path: Path, key: str, faults: list[Fault]
) -> list[str] | None:
    """Return all columns but ``start``, or ``None`` after adding their faults."""
    found = [
        Fault(name or "a column without a name", f"{path.name} has it {names.count(name)} times")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if START not in names:
        found.append(Fault(key, f'{path.name} has no column "{START}"'))
    faults += found
    return None if found else [name for name in names if name != START]


def _from_csv(path: Path, key: str, span: Span, faults: list[Fault]) -> _TableReading | None:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        names = next(reader, [])
        columns = _checked_columns(names, path, key, faults)
        if columns is None:
            return None
        filling = _TableReading(path.name, "line", columns, span)
        at, length = names.index(START), len(names)
        for cells in reader:
            number = reader.line_num
            where = f"{path.name} line {number}"
            if len(cells) != length:
                detail = f"it has {len(cells)} cells, the first line has {length}"
                filling.faults.append(Fault(where, detail))
                continue
            text = cells.pop(at)
            try:
                start = parsed_time(text)
            except ValueError as error:
                filling.faults.append(Fault(where, f"{START} is {text!r}: {error}"))
                continue
            interval = filling.place(number, start)
            if interval is not None:
                _fill(filling, interval, cells)
    return filling


def _fill(filling: _TableReading, interval: int, cells: Sequence[str]) -> None:
    for k, text in enumerate(cells):
        try:
            value = float(text) if "_" not in text else np.nan
        except ValueError:
            value = np.nan
        if np.isfinite(value):
            filling.values[interval, k] = value
        else:
            filling.note(filling.columns[k], interval, repr(text))


def _from_parquet(path: Path, key: str, span: Span, faults: list[Fault]) -> _TableReading | None:
    if missing := missing_package("pyarrow", path.name):
        faults.append(Fault(key, missing))
        return None
    import pyarrow as pa  # large, and needed for Parquet only
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        faults.append(Fault(key, f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}"))
        return None
    columns = _checked_columns(table.column_names, path, key, faults)
    if columns is None:
        return None
    filling = _TableReading(path.name, "row", columns, span)
    kind = table.schema.field(START).type
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        faults.append(
            Fault(START, f"in {path.name} it is {kind}, not a timestamp with a time zone")
        )
        return None
    found = {name: table.schema.field(name).type for name in columns}
    unfit = [
        Fault(name, f"in {path.name} it is {kind}, not a number")
        for name, kind in found.items()
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind))
    ]
    faults += unfit
    if unfit:
        return None
    _fill_columns(filling, table)
    return filling


def _fill_columns(filling: _TableReading, table: Any) -> None:
    """Copy a Parquet table's values in the scenario's intervals."""
    rows, intervals = [], []
    for row, start in enumerate(table.column(START).to_pylist()):
        if start is None:
            where = f"{filling.name} row {row + 1}"
            filling.faults.append(Fault(where, f"{START} is missing"))
            continue
        interval = filling.place(row + 1, start.astimezone(UTC))
        if interval is not None:
            rows.append(row)
            intervals.append(interval)
    for k, name in enumerate(filling.columns):
        values = np.asarray(table.column(name).to_numpy(), dtype=float)[rows]
        for i in np.flatnonzero(~np.isfinite(values)):
            filling.note(name, intervals[i], str(values[i]))
        filling.values[intervals, k] = values
