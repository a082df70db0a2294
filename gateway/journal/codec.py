"""Commands and events as JSON for the journal, without any loss.

One entry is one line::

    {"version":1,"sequence":7,"command":{"type":"CancelOrder","data":{...}},"events":[...]}

The fields of a type follow from its annotations, so a new command or event only needs its place in
the union, and a new version (:mod:`exchange.vocabulary.versions`).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from exchange.vocabulary import commands, events
from exchange.vocabulary.flexibility import FlexibilityFill, FlexibilityTerms
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.serialization import EVENT_TYPES
from exchange.vocabulary.versions import VERSION, UnknownVersionError, Upgrade, in_present_form
from gateway.errors import CorruptJournalError
from gateway.formats.faults import sentences
from gateway.ports import JournalEntry

_CONFIG = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


COMMAND_TYPES: tuple[type, ...] = get_args(commands.Command)

UPGRADES: dict[int, Upgrade] = {}
"""What leads the JSON of an entry from each version to the next, where it changed."""


class _TypedValue(BaseModel):
    """A value and the name of its type."""

    model_config = _CONFIG

    type: str
    data: Any


def _record_type(kind: type) -> type[_TypedValue]:
    name: Any = Literal[kind.__name__]  # known only at run time
    return create_model(
        f"{kind.__name__}Record", __base__=_TypedValue, type=(name, ...), data=(kind, ...)
    )


def _union_of(kinds: tuple[type, ...]) -> tuple[dict[type, type[_TypedValue]], Any]:
    """Return a record type for each kind, and their union with ``type`` as discriminator."""
    records = {kind: _record_type(kind) for kind in kinds}
    union = reduce(or_, records.values())
    return records, Annotated[union, Field(discriminator="type")]


_COMMAND_RECORDS, _ANY_COMMAND = _union_of(COMMAND_TYPES)
_EVENT_RECORDS, _ANY_EVENT = _union_of(EVENT_TYPES)


class _EntryHead(BaseModel):
    """What entries of all versions have, the unknown ones of newer releases included."""

    version: Any = None
    sequence: Any = None


class _EntryBase(_EntryHead):
    model_config = _CONFIG

    version: int = Field(ge=1)
    sequence: int = Field(ge=1)
    command: Any
    events: Any


_Entry = create_model(
    "_Entry",
    __base__=_EntryBase,
    command=(_ANY_COMMAND, ...),
    events=(tuple[_ANY_EVENT, ...], ...),  # type: ignore[valid-type]  # known at run time
)


def encode_entry(entry: JournalEntry) -> bytes:
    """Return an entry as one line of JSON, without the line break."""
    # The values are valid by construction; the records need no second check.
    command = _COMMAND_RECORDS[type(entry.command)].model_construct(
        type=type(entry.command).__name__, data=entry.command
    )
    outcome = tuple(
        _EVENT_RECORDS[type(event)].model_construct(type=type(event).__name__, data=event)
        for event in entry.events
    )
    record = _Entry.model_construct(
        version=VERSION, sequence=entry.sequence, command=command, events=outcome
    )
    return record.model_dump_json().encode()


def decode_entry(line: bytes | str) -> JournalEntry:
    """Return the entry that :func:`encode_entry`, of this or an older release, made the line of.

    Raises
    ------
    CorruptJournalError
        When the line is no such entry, or a newer release wrote it; the text names its first
        fault, or the entry and both versions.
    """
    try:
        head = _EntryHead.model_validate_json(line)
        # Where there is no version at all, the second reading says so.
        if type(head.version) is int and head.version != VERSION:
            line = _upgraded(line, head)
        record = _Entry.model_validate_json(line, strict=True)
    except ValidationError as error:
        fault = next(sentences(error))
        raise CorruptJournalError(f"not a journal entry: {fault}") from None
    return JournalEntry(
        record.sequence,
        _in_utc(record.command.data),
        tuple(_in_utc(each.data) for each in record.events),
    )


def _upgraded(line: bytes | str, head: _EntryHead) -> str:
    """Return the line of another version in the form of this one."""
    try:
        return json.dumps(in_present_form(f"entry {head.sequence}", json.loads(line), UPGRADES))
    except UnknownVersionError as error:
        raise CorruptJournalError(str(error)) from None


def _in_utc(value: Any) -> Any:
    """Set the times of a fresh value to the standard library's UTC, as in all other values.

    pydantic's own UTC is equal to it, but prints differently, and digests are made of print.
    """
    times, part, parts = _PLACES_OF_TIMES[type(value)]
    for name in times:
        time = getattr(value, name)
        if time is not None:
            # The value is frozen, but was made above and has no other reference yet.
            object.__setattr__(value, name, time.astimezone(UTC))
    if part is not None:
        _in_utc(getattr(value, part))
    if parts is not None:
        for each in getattr(value, parts):
            _in_utc(each)
    return value


def _places_of_times(kind: type) -> tuple[tuple[str, ...], str | None, str | None]:
    """Return which fields of a type are times, and which hold a value, or values, with times."""
    hints = get_type_hints(kind)
    times = tuple(name for name, hint in hints.items() if hint in (datetime, datetime | None))
    part = "terms" if "terms" in hints else None
    return times, part, next((name for name in ("legs", "fills") if name in hints), None)


_PARTS = (Leg, OrderTerms, events.Fill, FlexibilityTerms, FlexibilityFill)
_PLACES_OF_TIMES = {
    kind: _places_of_times(kind) for kind in (*COMMAND_TYPES, *EVENT_TYPES, *_PARTS)
}
