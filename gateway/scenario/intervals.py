"""The delivery intervals of a scenario, and the TSO's limits in each of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from exchange.vocabulary.formatting import format_time
from gateway.formats.faults import sentences
from gateway.scenario.schema import IntervalsSection, LimitsRow, default_start
from security_check.errors import Fault
from security_check.model.limits import InterfaceLimits


@dataclass(frozen=True, slots=True)
class DeliveryInterval:
    """One delivery interval ``[start, end)`` and the contract with the TSO in it."""

    start: datetime
    end: datetime
    interface_limits: InterfaceLimits


class Span:
    """The times of a scenario's T consecutive intervals.

    Parameters
    ----------
    starts
        Start of each interval, in order.
    length
        Length of every interval.
    """

    def __init__(self, starts: Sequence[datetime], length: timedelta) -> None:
        self.starts = tuple(starts)
        self.length = length
        self._numbers = {start: k for k, start in enumerate(self.starts)}

    @property
    def minutes(self) -> float:
        """The length of an interval in minutes."""
        return self.length / timedelta(minutes=1)

    def number_of(self, start: datetime) -> int | None:
        """Return the index of the interval that starts at ``start``, or ``None``."""
        return self._numbers.get(start)

    def holds(self, moment: datetime) -> bool:
        """Return whether a time lies inside an interval."""
        return self.starts[0] <= moment < self.starts[-1] + self.length


def build_span(section: IntervalsSection, faults: list[Fault]) -> Span | None:
    """Return the times of the intervals, or ``None`` after adding their faults."""
    if section.start is None and (section.count > 1 or section.limits_file is not None):
        faults.append(
            Fault(
                "intervals.start",
                "it is missing; without it there is one interval, and count and limits_file "
                "must not be given",
            )
        )
        return None
    first = section.start or default_start()
    length = timedelta(minutes=section.minutes)
    try:
        starts = [first + i * length for i in range(section.count)]
        _ = starts[-1] + length
    except OverflowError:
        detail = f"{section.count:,} intervals from {format_time(first)} end after the year 9999"
        faults.append(Fault("intervals.count", detail))
        return None
    return Span(starts, length)


def build_intervals(
    section: IntervalsSection,
    span: Span,
    usual: InterfaceLimits | None,
    folder: Path,
    faults: list[Fault],
) -> tuple[DeliveryInterval, ...]:
    """Return the intervals in order, after adding every fault.

    ``usual`` are the TSO's limits where the limits file gives none.  If they are ``None`` (faults),
    the section is checked and no interval is returned.
    """
    rows: dict[datetime, LimitsRow] = {}
    if section.limits_file is not None:
        rows = _limits_rows(folder / section.limits_file, set(span.starts), faults)
    if usual is None:
        return ()
    intervals = []
    for start in span.starts:
        try:
            limits = _merged(usual, rows[start]) if start in rows else usual
        except ValueError as error:
            faults.append(Fault(f"interval {format_time(start)}", str(error)))
            continue
        intervals.append(DeliveryInterval(start, start + span.length, limits))
    return tuple(intervals)


def _merged(usual: InterfaceLimits, row: LimitsRow) -> InterfaceLimits:
    """Return the limits of one interval: those of its row, and the usual ones for empty cells."""
    special = row.model_dump(exclude={"start"}, exclude_none=True)
    return replace(usual, **special)


def _limits_rows(
    path: Path, starts: set[datetime], faults: list[Fault]
) -> dict[datetime, LimitsRow]:
    """Return the rows of a limits file by interval, after adding every fault in it."""
    rows: dict[datetime, LimitsRow] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        faults.append(Fault("intervals.limits_file", f"{path} cannot be read: {reason}"))
        return rows
    reader = csv.DictReader(text.splitlines())
    names = reader.fieldnames or []
    faults += [
        Fault(f"{path.name} line 1", f"it has the column {name} {names.count(name)} times")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    for number, cells in enumerate(reader, start=2):
        where = f"{path.name} line {number}"
        if None in cells or None in cells.values():
            faults.append(Fault(where, "it has more or fewer cells than the first line"))
            continue
        try:
            row = LimitsRow.model_validate({key: cell for key, cell in cells.items() if cell})
        except ValidationError as error:
            faults.extend(sentences(error, where))
            continue
        start = row.start
        if start not in starts:
            faults.append(Fault(where, f"no interval starts at {format_time(start)}"))
        elif start in rows:
            faults.append(Fault(where, f"{format_time(start)} has a line already"))
        rows[start] = row
    return rows
