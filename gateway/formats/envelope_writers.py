"""Writers of envelopes, interval by interval: JSON, CSV and Parquet.

Only the next part of the file is kept in memory, so a year takes no more memory than a day.  A file
appears whole, at the end, or not at all.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from doe_allocation.capacity import Capacity
from exchange.vocabulary.formatting import format_time
from gateway.formats.atomic_files import replacing
from gateway.formats.envelope_file import IntervalRecord, IntervalStatus
from gateway.formats.envelope_rows import COLUMNS
from gateway.formats.faults import InputFaults
from gateway.formats.optional_packages import missing_package
from security_check.errors import Fault
from security_check.model.envelope import Direction

Write = Callable[[IntervalRecord, Capacity], None]
"""Writes an interval of the result, with its capacities."""

ENDINGS = (".json", ".csv", ".parquet")
"""The endings of files of envelopes."""

_AT_ONCE = 50_000  # rows of one row group of a Parquet file: a few megabytes of memory
_UNITS = {"limit_w": "W", "capacity_w": "W", "start": "UTC", "end": "UTC"}
_INDENT = "    "


@contextmanager
def result_writer(path: Path) -> Iterator[Write]:
    """Yield a writer to a file: JSON, CSV or Parquet by its ending.

    Raises
    ------
    InputFaults
        When the ending is another, the file cannot be written, or a package is missing.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet" and (missing := missing_package("pyarrow", path.name)):
        raise InputFaults(str(path), [Fault("file", missing)])
    writers = {".csv": _csv_writer, ".parquet": _parquet_writer}
    with replacing(path, ENDINGS) as temporary, writers.get(suffix, _json_file)(temporary) as write:
        yield write


@contextmanager
def _json_file(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as stream, json_writer(stream) as write:
        yield write


@contextmanager
def json_writer(stream: IO[str]) -> Iterator[Write]:
    """Yield a writer to a stream; it writes the same text as ``write_json`` would at once."""
    first = True

    def write(record: IntervalRecord, _: Capacity) -> None:
        nonlocal first
        text = record.model_dump_json(indent=2).replace("\n", f"\n{_INDENT}")
        stream.write(f"{'' if first else ','}\n{_INDENT}{text}")
        first = False

    stream.write('{\n  "intervals": [')
    yield write
    stream.write("]\n}\n" if first else "\n  ]\n}\n")
    stream.flush()


@contextmanager
def _csv_writer(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(COLUMNS)

        def write(record: IntervalRecord, capacity: Capacity) -> None:
            columns = _columns(record, capacity)
            for name in ("start", "end"):
                columns[name] = [format_time(moment) for moment in columns[name]]
            columns["proved"] = [{None: ""}.get(s, str(s).lower()) for s in columns["proved"]]
            rows.writerows(zip(*columns.values(), strict=True))  # writes None as an empty cell

        yield write


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    import pyarrow as pa  # large, and needed for Parquet only
    import pyarrow.parquet as pq

    time = pa.timestamp("us", tz="UTC")
    kinds = {"start": time, "end": time, "limit_w": pa.int64(), "capacity_w": pa.int64()}
    kinds["proved"] = pa.bool_()
    schema = pa.schema(
        [
            pa.field(
                name,
                kinds.get(name, pa.string()),
                metadata={"unit": _UNITS[name]} if name in _UNITS else None,
            )
            for name in COLUMNS
        ]
    )
    waiting: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    with pq.ParquetWriter(path, schema) as file:

        def write(record: IntervalRecord, capacity: Capacity) -> None:
            for name, column in _columns(record, capacity).items():
                waiting[name] += column
            if len(waiting["limit_w"]) >= _AT_ONCE:
                flush()

        def flush() -> None:
            file.write_table(pa.table(waiting, schema=schema))
            for column in waiting.values():
                column.clear()

        yield write
        if waiting["limit_w"]:
            flush()


def _columns(record: IntervalRecord, capacity: Capacity) -> dict[str, list[Any]]:
    """Return the rows of one interval, column by column in the order of the files."""
    if record.status is IntervalStatus.NONE:
        empty: dict[str, Any] = dict.fromkeys(COLUMNS, "")
        empty |= dict.fromkeys(("limit_w", "capacity_w", "proved"))
        empty |= {"start": record.start, "end": record.end}
        empty |= {"status": str(record.status), "reason": record.reason}
        empty |= {"fairness": record.fairness}
        return {name: [cell] for name, cell in empty.items()}
    points = [each.connection_point for each in record.envelopes]
    count = len(points)
    proved = None if record.proof is None else record.proof.secure
    return {
        "start": [record.start] * (2 * count),
        "end": [record.end] * (2 * count),
        "connection_point": points * 2,
        "direction": [str(direction) for direction in Direction for _ in points],
        "limit_w": [
            *(each.injection_limit_w for each in record.envelopes),
            *(each.withdrawal_limit_w for each in record.envelopes),
        ],
        "capacity_w": capacity.upper_w().tolist(),
        "bottleneck": [
            *(each.injection_bottleneck for each in record.envelopes),
            *(each.withdrawal_bottleneck for each in record.envelopes),
        ],
        "proved": [proved] * (2 * count),
        "status": [str(record.status)] * (2 * count),
        "reason": [record.reason] * (2 * count),
        "fairness": [record.fairness] * (2 * count),
    }
