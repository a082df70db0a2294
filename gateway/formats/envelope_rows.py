"""Envelopes of many intervals as arrays, and as rows of CSV and Parquet files.

A row is one limit: an interval, a connection point and a direction (``docs/formats``).  An interval
without envelopes is one row without connection point, direction and limit.
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
    IntervalStatus,
    read_json_envelopes,
    stated_fairness,
)
from gateway.formats.faults import InputFaults, unreadable
from gateway.formats.optional_packages import missing_package
from gateway.formats.records import LARGEST_W, parsed_time
from security_check.arrays import BoolArray, IntArray
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
    "status",
    "reason",
    "fairness",
)
_READ = tuple(name for name in COLUMNS if name not in ("capacity_w", "proved"))
# Files of earlier versions have none: every interval is secure, its fairness is not stated.
_OPTIONAL = ("status", "reason", "fairness")
_STATUSES = tuple(str(status) for status in IntervalStatus)
_DIRECTIONS = tuple(str(direction) for direction in Direction)
_MOST_FAULTS = 20  # faults shown of one file; one systematic error repeats in every row

Row = tuple[datetime, datetime, str, str, int, str]
"""Start, end, connection point, direction, limit in watts, bottleneck."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the result of an interval is: its status, the reason for it, and its fairness."""

    status: IntervalStatus = IntervalStatus.SECURE
    reason: str = ""
    fairness: str = ""

    @property
    def published(self) -> bool:
        """Whether the interval has envelopes."""
        return self.status is not IntervalStatus.NONE


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
    marks
        What the result of each interval is.  Limits of an interval with status ``none`` are 0, and
        not published.
    """

    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    connection_points: tuple[str, ...]
    limits_w: IntArray
    bottleneck: IntArray
    elements: tuple[str, ...]
    marks: tuple[Mark, ...]

    @property
    def published(self) -> BoolArray:
        """Whether each interval has envelopes, shape (T,)."""
        return np.array([mark.published for mark in self.marks], dtype=bool)

    def tightest(self) -> int | None:
        """Return the interval with the least sum of limits; ``None`` where none has envelopes."""
        published = np.flatnonzero(self.published)
        if not len(published):
            return None
        return int(published[self.limits_w[published].sum(axis=(1, 2)).argmin()])

    def record(self, interval: int) -> IntervalRecord:
        """Return one interval as a record of the JSON file."""
        mark = self.marks[interval]
        limits_w, stops = self.limits_w[interval].tolist(), self.bottleneck[interval].tolist()
        return IntervalRecord(
            start=self.starts[interval],
            end=self.ends[interval],
            status=mark.status,
            reason=mark.reason,
            fairness=mark.fairness,
            envelopes=[
                EnvelopeRecord(
                    connection_point=point,
                    injection_limit_w=limits_w[0][i],
                    withdrawal_limit_w=limits_w[1][i],
                    injection_bottleneck=self.elements[stops[0][i]],
                    withdrawal_bottleneck=self.elements[stops[1][i]],
                )
                for i, point in enumerate(self.connection_points)
                if mark.published
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
    intervals: dict[datetime, tuple[datetime, Mark, dict[tuple[int, int], tuple[int, int]]]] = (
        field(default_factory=dict)
    )

    def interval(
        self, number: int, start: datetime, end: datetime, mark: Mark
    ) -> dict[tuple[int, int], tuple[int, int]]:
        """Return the limits of an interval gathered so far, after a look at end and status."""
        fresh = start not in self.intervals
        last, known, held = self.intervals.setdefault(start, (end, mark, {}))
        if end != last:
            detail = f"it ends at {format_time(end)}, but in an earlier {self.word} at {last:%H:%M}"
            self.wrong(number, format_time(start), detail)
        elif differing := _differing(mark, known):
            name, own, other = differing
            detail = f"its {name} is {own!r}, but in an earlier {self.word} {other!r}"
            self.wrong(number, format_time(start), detail)
        elif not mark.published and not fresh:
            self.wrong(number, format_time(start), "it is there already")
        return held

    def add(self, number: int, row: Row, mark: Mark) -> None:
        """Add a row."""
        start, end, point, direction, limit_w, element = row
        held = self.interval(number, start, end, mark)
        place = (_DIRECTIONS.index(direction), self.points.setdefault(point, len(self.points)))
        if place in held:
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
        for start, (_, mark, held) in self.intervals.items():
            if not mark.published:
                continue
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
        for k, (_, _, held) in enumerate(self.intervals.values()):
            if held:
                places = np.array(list(held))
                found[k, places[:, 0], places[:, 1]] = list(held.values())
        return EnvelopeTable(
            tuple(self.intervals),
            tuple(end for end, _, _ in self.intervals.values()),
            tuple(self.points),
            found[..., 0],
            found[..., 1],
            tuple(self.elements),
            tuple(mark for _, mark, _ in self.intervals.values()),
        )


def _differing(mark: Mark, known: Mark) -> tuple[str, str, str] | None:
    """Return what of two rows' marks of one interval differs, and both; reasons may."""
    for name in ("status", "fairness"):
        own, other = str(getattr(mark, name)), str(getattr(known, name))
        if own != other:
            return name, own, other
    return None


def table_of(content: EnvelopeFile, where: str) -> EnvelopeTable:
    """Return the envelopes of a JSON file as a table.

    Raises
    ------
    InputFaults
        When intervals do not name the same connection points, once each.
    """
    gathered = _Gathered(where, "interval")
    for number, interval in enumerate(content.intervals, start=1):
        mark = Mark(interval.status, interval.reason, interval.fairness)
        if not mark.published:
            gathered.interval(number, interval.start, interval.end, mark)
        for each in interval.envelopes:
            for direction in _DIRECTIONS:
                limit_w = getattr(each, f"{direction}_limit_w")
                element = getattr(each, f"{direction}_bottleneck")
                point = each.connection_point
                row = (interval.start, interval.end, point, direction, limit_w, element)
                gathered.add(number, row, mark)
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
                start, end, mark = _interval(cells)
                if not mark.published:
                    gathered.interval(number, start, end, mark)
                else:
                    gathered.add(number, (start, end, *_limit(cells)), mark)
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


def _interval(cells: Sequence[Any]) -> tuple[datetime, datetime, Mark]:
    """Return start, end, and status of a row's interval.

    Raises
    ------
    ValueError
        With the column and its fault.
    """
    start, end, point, direction, limit_w, _, status, reason, fairness = cells
    times = []
    for name, moment in (("start", start), ("end", end)):
        try:
            times.append(parsed_time(moment) if isinstance(moment, str) else _aware(moment))
        except ValueError as error:
            raise ValueError(name, f"it is {moment!r}: {error}") from None
    status = status or str(IntervalStatus.SECURE)
    if status not in _STATUSES:
        raise ValueError("status", f"it is {status!r}, not one of {', '.join(_STATUSES)}")
    try:
        stated = stated_fairness(str(fairness or ""))
    except ValueError as error:
        raise ValueError("fairness", f"it is {fairness!r}: {error}") from None
    mark = Mark(IntervalStatus(status), str(reason or ""), stated)
    if not mark.published and any(cell not in (None, "") for cell in (point, direction, limit_w)):
        raise ValueError("status", f"it is {status}, but the row has a limit")
    return times[0], times[1], mark


def _limit(cells: Sequence[Any]) -> tuple[str, str, int, str]:
    """Return connection point, direction, limit and bottleneck of a row.

    Raises
    ------
    ValueError
        With the column and its fault.
    """
    start, _, point, direction, limit_w, element, *_ = cells
    if not isinstance(point, str) or not 1 <= len(point) <= 200:
        raise ValueError("connection_point", f"{point!r} is not a name")
    if direction not in _DIRECTIONS:
        raise ValueError("direction", f"it is {direction!r}, not {' or '.join(_DIRECTIONS)}")
    whole = str(limit_w)
    if not (whole.isascii() and whole.isdigit()):
        raise ValueError(
            "limit_w", f"{point} in {start}: {limit_w!r} is not a whole number of watts"
        )
    if len(whole) > len(str(LARGEST_W)) or int(whole) > LARGEST_W:
        detail = f"{point} in {start}: {limit_w} W is above the largest of a file, {LARGEST_W:,} W"
        raise ValueError("limit_w", detail)
    return point, direction, int(whole), str(element or "")


def _aware(moment: Any) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError("it is not a time with an offset")
    return moment.astimezone(UTC)


def _lacking(path: Path, names: Sequence[str]) -> None:
    needed = [name for name in _READ if name not in _OPTIONAL]
    faults = [Fault(name, "there is no such column") for name in needed if name not in names]
    if faults:
        raise InputFaults(str(path), faults)


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        names = next(reader, [])
        _lacking(path, names)
        places = [names.index(name) if name in names else None for name in _READ]
        for cells in reader:
            if len(cells) != len(names):
                detail = f"it has {len(cells)} cells, the first line has {len(names)}"
                raise InputFaults(str(path), [Fault(f"line {reader.line_num}", detail)])
            yield reader.line_num, ["" if k is None else cells[k] for k in places]


def _parquet_rows(path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    if missing := missing_package("pyarrow", path.name):
        raise InputFaults(str(path), [Fault("file", missing)])
    import pyarrow as pa  # large, and needed for Parquet only
    import pyarrow.parquet as pq

    number = 0
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            _lacking(path, file.schema_arrow.names)
            names = [name for name in _READ if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=names):
                columns = [
                    batch.column(name).to_pylist() if name in names else [None] * len(batch)
                    for name in _READ
                ]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, cells
    except pa.ArrowException as error:
        detail = f"it cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise InputFaults(str(path), [Fault("file", detail)]) from None
