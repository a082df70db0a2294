"""Envelopes of many intervals as arrays, and as rows of CSV and Parquet files.

A row is one limit: an interval, a connection point and a direction (``docs/formats``).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import (
    EnvelopeFile,
    EnvelopeRecord,
    IntervalRecord,
    read_json_envelopes,
)
from gateway.formats.faults import InputFaults, unreadable
from gateway.formats.optional_packages import missing_package
from gateway.formats.records import parsed_time
from security_check.arrays import IntArray
from security_check.errors import Fault
from security_check.model.envelope import Direction

COLUMNS = (
    "start",
    "end",
    "connection_point",
    "direction",
    "limit_w",
    "capacity_w",
    "bottleneck",
    "proved",
)
_NEEDED = tuple(name for name in COLUMNS if name not in ("capacity_w", "proved"))
_DIRECTIONS = tuple(str(direction) for direction in Direction)
_MOST_FAULTS = 20  # faults shown of one file; one systematic error repeats in every row

Row = tuple[datetime, datetime, str, str, int, str]
"""Start, end, connection point, direction, limit in watts, bottleneck."""


@dataclass(frozen=True, slots=True)
class EnvelopeTable:
    """The envelopes of T intervals and c connection points.

    Parameters
    ----------
    starts, ends
        Of the intervals.
    connection_points
        Ids; c of them.
    limits_w
        Shape (T, 2, c), watts, injection first.
    bottleneck
        Shape (T, 2, c), index into ``elements`` of the element that limits each.
    elements
        Names; ``""`` where the file names none.
    """

    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    connection_points: tuple[str, ...]
    limits_w: IntArray
    bottleneck: IntArray
    elements: tuple[str, ...]

    def record(self, interval: int) -> IntervalRecord:
        """Return one interval as a record of the JSON file."""
        limits_w, stops = self.limits_w[interval].tolist(), self.bottleneck[interval].tolist()
        return IntervalRecord(
            start=self.starts[interval],
            end=self.ends[interval],
            envelopes=[
                EnvelopeRecord(
                    connection_point=point,
                    injection_limit_w=limits_w[0][i],
                    withdrawal_limit_w=limits_w[1][i],
                    injection_bottleneck=self.elements[stops[0][i]],
                    withdrawal_bottleneck=self.elements[stops[1][i]],
                )
                for i, point in enumerate(self.connection_points)
            ],
        )


@dataclass(slots=True)
class _Gathered:
    """Rows as they are read, interval by interval, and their faults."""

    where: str
    word: str
    faults: list[Fault] = field(default_factory=list)
    points: dict[str, int] = field(default_factory=dict)
    elements: dict[str, int] = field(default_factory=lambda: {"": 0})
    intervals: dict[datetime, tuple[datetime, dict[tuple[int, int], tuple[int, int]]]] = field(
        default_factory=dict
    )

    def add(self, number: int, row: Row) -> None:
        """Add a row."""
        start, end, point, direction, limit_w, element = row
        last, held = self.intervals.setdefault(start, (end, {}))
        place = (_DIRECTIONS.index(direction), self.points.setdefault(point, len(self.points)))
        if end != last:
            detail = f"it ends at {format_time(end)}, but in an earlier {self.word} at {last:%H:%M}"
            self.wrong(number, format_time(start), detail)
        elif place in held:
            detail = f"its {direction} limit in {format_time(start)} is there already"
            self.wrong(number, point, detail)
        held[place] = (limit_w, self.elements.setdefault(element, len(self.elements)))

    def wrong(self, number: int, what: str, detail: str) -> None:
        """Record a fault of a row."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(Fault(f"{self.word} {number}", f"{what}: {detail}"))

    def table(self) -> EnvelopeTable:
        """Return the table of the rows.

        Raises
        ------
        InputFaults
            When rows are wrong or missing.
        """
        count = len(self.points)
        for start, (_, held) in self.intervals.items():
            for point, i in self.points.items():
                for d, direction in enumerate(_DIRECTIONS):
                    if (d, i) not in held and len(self.faults) < _MOST_FAULTS:
                        detail = f"it has no {direction} limit in {format_time(start)}"
                        self.faults.append(Fault(point, detail))
        if not self.intervals and not self.faults:
            self.faults.append(Fault("intervals", "there are none"))
        if self.faults:
            raise InputFaults(self.where, self.faults)
        found = np.zeros((len(self.intervals), 2, count, 2), dtype=np.int64)
        for k, (_, held) in enumerate(self.intervals.values()):
            places = np.array(list(held))
            found[k, places[:, 0], places[:, 1]] = list(held.values())
        return EnvelopeTable(
            tuple(self.intervals),
            tuple(end for end, _ in self.intervals.values()),
            tuple(self.points),
            found[..., 0],
            found[..., 1],
            tuple(self.elements),
        )


def table_of(content: EnvelopeFile, where: str) -> EnvelopeTable:
    """Return the envelopes of a JSON file as a table.

    Raises
    ------
    InputFaults
        When intervals do not name the same connection points, once each.
    """
    gathered = _Gathered(where, "interval")
    for number, interval in enumerate(content.intervals, start=1):
        for each in interval.envelopes:
            for direction in _DIRECTIONS:
                limit_w = getattr(each, f"{direction}_limit_w")
                element = getattr(each, f"{direction}_bottleneck")
                point = each.connection_point
                row = (interval.start, interval.end, point, direction, limit_w, element)
                gathered.add(number, row)
    return gathered.table()


def read_table(path: Path) -> EnvelopeTable:
    """Return the envelopes in a file that ends in ``.parquet``, ``.csv`` or anything else (JSON).

    Raises
    ------
    InputFaults
        When the file cannot be read or is not of the format.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        return table_of(read_json_envelopes(path), str(path))
    gathered = _Gathered(str(path), "line" if suffix == ".csv" else "row")
    try:
        rows = _csv_rows(path) if suffix == ".csv" else _parquet_rows(path)
        for number, cells in rows:
            try:
                gathered.add(number, _row(cells))
            except ValueError as error:
                gathered.wrong(number, *error.args)
    except OSError as error:
        raise unreadable(str(path), error) from None
    except UnicodeDecodeError:
        raise InputFaults(str(path), [Fault("file", "it is not UTF-8 text")]) from None
    return gathered.table()


def read_envelopes(path: Path) -> EnvelopeFile:
    """Return the envelopes in a file of any format.

    Raises
    ------
    InputFaults
        When the file cannot be read or is not of the format; all faults at once.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        return read_json_envelopes(path)
    table = read_table(path)
    return EnvelopeFile(intervals=[table.record(k) for k in range(len(table.starts))])


def _row(cells: Sequence[Any]) -> Row:
    """Return the values of a row.

    Raises
    ------
    ValueError
        With the column and its fault.
    """
    start, end, point, direction, limit_w, element = cells
    times = []
    for name, moment in (("start", start), ("end", end)):
        try:
            times.append(parsed_time(moment) if isinstance(moment, str) else _aware(moment))
        except ValueError as error:
            raise ValueError(name, f"it is {moment!r}: {error}") from None
    if not isinstance(point, str) or not 1 <= len(point) <= 200:
        raise ValueError("connection_point", f"{point!r} is not a name")
    if direction not in _DIRECTIONS:
        raise ValueError("direction", f"it is {direction!r}, not {' or '.join(_DIRECTIONS)}")
    whole = str(limit_w)
    if not (whole.isascii() and whole.isdigit()) or len(whole) > 15:
        raise ValueError(
            "limit_w", f"{point} in {start}: {limit_w!r} is not a whole number of watts"
        )
    return times[0], times[1], point, direction, int(whole), str(element or "")


def _aware(moment: Any) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError("it is not a time with an offset")
    return moment.astimezone(UTC)


def _lacking(path: Path, names: Sequence[str]) -> None:
    faults = [Fault(name, "there is no such column") for name in _NEEDED if name not in names]
    if faults:
        raise InputFaults(str(path), faults)


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        names = next(reader, [])
        _lacking(path, names)
        places = [names.index(name) for name in _NEEDED]
        for cells in reader:
            if len(cells) != len(names):
                detail = f"it has {len(cells)} cells, the first line has {len(names)}"
                raise InputFaults(str(path), [Fault(f"line {reader.line_num}", detail)])
            yield reader.line_num, [cells[k] for k in places]


def _parquet_rows(path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    if missing := missing_package("pyarrow", path.name):
        raise InputFaults(str(path), [Fault("file", missing)])
    import pyarrow as pa  # large, and needed for Parquet only
    import pyarrow.parquet as pq

    number = 0
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            _lacking(path, file.schema_arrow.names)
            for batch in file.iter_batches(columns=list(_NEEDED)):
                columns = [batch.column(name).to_pylist() for name in _NEEDED]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, cells
    except pa.ArrowException as error:
        detail = f"it cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise InputFaults(str(path), [Fault("file", detail)]) from None
