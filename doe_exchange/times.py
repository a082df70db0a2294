"""Times as a notebook gives them: UTC-aware datetimes, pandas timestamps, or ISO 8601 text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from exchange.vocabulary.formatting import format_time
from gateway.formats.faults import InputFaults
from gateway.formats.records import parsed_time
from security_check.errors import Fault


def as_time(given: datetime | str, name: str = "time") -> datetime:
    """Return a time in UTC.

    Raises
    ------
    InputFaults
        When it is no time, or has no offset.

    Examples
    --------
    >>> as_time("2026-07-01T12:00:00+02:00")
    datetime.datetime(2026, 7, 1, 10, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        return parsed_time(given.isoformat() if isinstance(given, datetime) else str(given))
    except ValueError as error:
        raise InputFaults(name, [Fault(name, f"{error}, found {given}")]) from None


def one_interval(given: datetime | str | None, starts: Sequence[datetime]) -> datetime:
    """Return the start of an interval; where there is one interval it may be left out.

    Raises
    ------
    InputFaults
        When it is left out and there are several, or no interval starts then.
    """
    if given is None and len(starts) == 1:
        return starts[0]
    known = f"there are {len(starts)} from {format_time(min(starts))} on"
    if given is None:
        raise InputFaults("interval", [Fault("interval", f"it is missing, and {known}")])
    start = as_time(given, "interval")
    if start not in starts:
        detail = f"none starts at {format_time(start)}; {known}"
        raise InputFaults("interval", [Fault("interval", detail)])
    return start
