"""Times, intervals, directions and limits as a notebook gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from exchange.vocabulary.formatting import format_time
from gateway.formats.faults import InputFaults
from gateway.formats.records import parsed_time
from security_check.errors import Fault
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits


def as_time(given: datetime | str, name: str = "time") -> datetime:
    """Return a datetime, pandas timestamp or ISO 8601 text as a time in UTC.

    Raises
    ------
    InputFaults
        When it is not a time, or has no offset.

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


def one_direction(given: Direction | str) -> Direction:
    """Return a direction.

    Raises
    ------
    InputFaults
        When it is none.

    Examples
    --------
    >>> one_direction("injection")
    <Direction.INJECTION: 'injection'>
    """
    try:
        return Direction(given)
    except ValueError:
        detail = f"it should be {' or '.join(Direction)}, found {given!r}"
        raise InputFaults("direction", [Fault("direction", detail)]) from None


def changed_limits(limits: InterfaceLimits, changes: Mapping[str, Any]) -> InterfaceLimits:
    """Return the TSO's limits with some of them changed.

    Raises
    ------
    InputFaults
        When there is no such limit, or one is wrong.
    """
    names = [field.name for field in fields(InterfaceLimits)]
    detail = f"there is no such limit; there are {', '.join(names)}"
    faults = [Fault(name, detail) for name in changes if name not in names]
    if faults:
        raise InputFaults("the TSO's limits", faults)
    try:
        return replace(limits, **changes)
    except (TypeError, ValueError) as error:
        raise InputFaults("the TSO's limits", [Fault("interface", str(error))]) from None
