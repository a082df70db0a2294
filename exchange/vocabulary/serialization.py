"""Events and other frozen values as JSON-able data and back, for snapshots and digests.

The fields of a value are read from the annotations of its type.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from exchange.vocabulary import (
    events,
    flexibility_events,
    recovery_events,
    safeguard_events,
    settlement_events,
)

T = TypeVar("T")

EVENT_TYPES: tuple[type[events.Event], ...] = tuple(
    kind
    for module in (
        events,
        settlement_events,
        recovery_events,
        safeguard_events,
        flexibility_events,
    )
    for kind in vars(module).values()
    if isinstance(kind, type) and events.Event in kind.__bases__
)
"""Every type of event."""


def to_plain(value: Any) -> Any:
    """Return a dataclass as a dict, a tuple as a list, a time as ISO 8601, an enum as its value."""
    return _writer(type(value))(value)  # type: ignore[arg-type]  # a class is hashable


def from_plain(kind: type[T], data: Any) -> T:
    """Return the value of a dataclass type that :func:`to_plain` made ``data`` of."""
    readers = _readers(kind)  # type: ignore[arg-type]  # a class is hashable
    return kind(**{name: readers[name](item) for name, item in data.items()})


def event_to_plain(event: events.Event) -> dict[str, Any]:
    """Return an event's fields and, under ``"event"``, the name of its type."""
    plain: dict[str, Any] = to_plain(event)
    plain["event"] = type(event).__name__
    return plain


def event_from_plain(data: dict[str, Any]) -> events.Event:
    """Return the event that :func:`event_to_plain` made ``data`` of; ``KeyError`` if unknown."""
    content = dict(data)
    return from_plain(_event_types()[content.pop("event")], content)


@cache
def _event_types() -> dict[str, type[events.Event]]:
    return {kind.__name__: kind for kind in EVENT_TYPES}


@cache
def _writer(kind: type) -> Callable[[Any], Any]:
    """Return the function that turns a value of a type into plain data."""
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, datetime):
        return datetime.isoformat
    if issubclass(kind, Decimal):
        return str
    if issubclass(kind, tuple):
        return lambda value: [to_plain(item) for item in value]
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return lambda value: {name: to_plain(getattr(value, name)) for name in names}
    return lambda value: value


@cache
def _readers(kind: type) -> dict[str, Callable[[Any], Any]]:
    return {name: _reader(hint) for name, hint in get_type_hints(kind).items()}


def _reader(hint: Any) -> Callable[[Any], Any]:
    """Return the function that turns plain data into a value of an annotated type."""
    if get_origin(hint) in (Union, types.UnionType):
        (kind,) = (arg for arg in get_args(hint) if arg is not type(None))
        read = _reader(kind)
        return lambda data: None if data is None else read(data)
    if get_origin(hint) is tuple:
        read = _reader(get_args(hint)[0])
        return lambda data: tuple(read(item) for item in data)
    if hint is datetime:
        return datetime.fromisoformat
    if hint is Decimal:
        return Decimal
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda data: from_plain(hint, data)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return lambda data: data
