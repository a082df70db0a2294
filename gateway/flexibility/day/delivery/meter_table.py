"""Metered power of a day and the days before it, from a table over time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from gateway.flexibility.day.schema import FlexibilityDayFile
from gateway.flexibility.day.units import Units
from gateway.formats.records import LARGEST_W
from gateway.scenario.intervals import Span
from gateway.scenario.profiles.time_tables import TimeTable, read_time_table
from security_check.errors import Fault

Series = Mapping[str, Mapping[date, tuple[int, ...]]]
"""Metered watts by resource and date, one value for each interval of the day."""

_KEY = "meter_table"


def table_series(
    content: FlexibilityDayFile, units: Units, folder: Path, faults: list[Fault]
) -> Series:
    """Return what the table of a file says of each of its columns; nothing without a table.

    The table has a row for each interval from ``history_days`` days before the day to its end.
    """
    given = content.meter_table
    if given is None:
        return {}
    first = units.start - timedelta(days=given.history_days)
    total = given.history_days * timedelta(days=1) // units.step + units.count
    if timedelta(days=1) % units.step:
        detail = f"intervals of {content.interval_min} min do not divide a day"
        faults.append(Fault(_KEY, f"{detail}; a table of several days needs that"))
        return {}
    span = Span([first + k * units.step for k in range(total)], units.step)
    table = read_time_table(folder / given.file, _KEY, span, faults)
    if table is None:
        return {}
    whole = table.values == np.round(table.values)
    whole &= np.abs(table.values) <= LARGEST_W
    for interval, column in np.argwhere(~whole).tolist():
        detail = f"{table.values[interval, column]:g} are not whole watts"
        faults.append(table.fault(table.columns[column], interval, detail))
        return {}
    names = [each.name for each in content.resources]
    for name in table.columns:
        if name not in names:
            detail = f"{given.file} has a column of this name, and there is no such resource"
            faults.append(Fault(f"{_KEY}.{name}", detail))
    return {name: _by_date(table, k, units) for k, name in enumerate(table.columns)}


def _by_date(table: TimeTable, column: int, units: Units) -> Mapping[date, tuple[int, ...]]:
    per_day = timedelta(days=1) // units.step
    found = {}
    for k in range(0, len(table.starts), per_day):
        values = table.values[k : k + units.count, column]
        found[table.starts[k].date()] = tuple(int(each) for each in values)
    return found
