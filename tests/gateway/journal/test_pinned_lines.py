"""One pinned line for each command, each event and each of their words, and what it must say.

An encoder and a decoder that are wrong in the same way agree with each other, so the lines are in
a file and the values that they stand for are written out (``pinned_entries.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from itertools import combinations
from math import isinf
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from frozen_files import DATA, PRESENT, VERSIONS, lines_of
from pinned_entries import LARGE, pinned_entries

from exchange.state.request_answers import Remembered, content_of
from exchange.vocabulary import versions
from exchange.vocabulary.commands import AmendOrder
from exchange.vocabulary.events import Refused
from exchange.vocabulary.serialization import EVENT_TYPES
from exchange.vocabulary.versions import VERSION, UnknownVersionError, in_present_form
from gateway.errors import CorruptJournalError
from gateway.journal import codec
from gateway.journal.codec import COMMAND_TYPES, decode_entry, encode_entry
from gateway.ports import JournalEntry

PINNED = pinned_entries()
LINES = lines_of(PRESENT / "lines.jsonl")


def _name(entry: JournalEntry) -> str:
    kind = type(entry.events[0] if entry.events else entry.command)
    return f"{entry.sequence}-{type(entry.command).__name__}-{kind.__name__}"


def _values(value: Any) -> Iterator[Any]:
    """Yield every frozen value inside a value, itself included."""
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from _values(getattr(value, field.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from _values(each)


VALUES = [each for entry in PINNED for each in _values((entry.command, entry.events))]


def _kinds(hint: Any) -> Iterator[type]:
    """Yield every class that an annotation names, and those that their fields name."""
    for part in get_args(hint):
        yield from _kinds(part)
    if isinstance(hint, type):
        yield hint
        if is_dataclass(hint):
            for inner in get_type_hints(hint).values():
                yield from _kinds(inner)


KINDS = list(
    dict.fromkeys(each for kind in (*COMMAND_TYPES, *EVENT_TYPES) for each in _kinds(kind))
)
CLASSES = [kind for kind in KINDS if is_dataclass(kind)]
FIELDS = [
    pytest.param(kind, field.name, id=f"{kind.__name__}.{field.name}")
    for kind in CLASSES
    for field in fields(kind)
]


def _pinned(kind: type, field: str) -> list[Any]:
    return [getattr(value, field) for value in VALUES if type(value) is kind]


# -- lines and values --------------------------------------------------------------------------


def test_every_version_has_its_files() -> None:
    assert sorted(int(each.name) for each in DATA.iterdir()) == VERSIONS, "run tools/freeze.py"
    assert len(LINES) == len(PINNED)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pinned_line_says_what_it_said(version: int) -> None:
    found = [decode_entry(line) for line in lines_of(DATA / str(version) / "lines.jsonl")]
    expected = PINNED[: len(found)]
    assert found == expected
    assert repr(found) == repr(expected)  # digests may be made of print


@pytest.mark.parametrize("entry", PINNED, ids=_name)
def test_a_value_is_written_as_its_pinned_line(entry: JournalEntry) -> None:
    assert encode_entry(entry) == LINES[entry.sequence - 1]


def _plain(value: Any) -> Any:
    """Return what a value must be in JSON: its fields by name, times in UTC with Z."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Decimal) else value


def _typed(value: Any) -> Any:
    return {"type": type(value).__name__, "data": _plain(value)}


@pytest.mark.parametrize("entry", PINNED, ids=_name)
def test_a_pinned_line_has_every_field_under_its_name(entry: JournalEntry) -> None:
    assert json.loads(LINES[entry.sequence - 1]) == {
        "version": VERSION,
        "sequence": entry.sequence,
        "command": _typed(entry.command),
        "events": [_typed(event) for event in entry.events],
    }


def test_a_request_that_is_sent_again_is_known_by_the_pinned_digest() -> None:
    """A refusal in a journal keeps the digest of its request, so digests are part of the form."""
    met = set()
    for entry in PINNED:
        for event in entry.events:
            if isinstance(event, Refused) and event.content:
                request: Any = entry.command
                assert content_of(request) == event.content
                met.add(type(request))
    remembered = {kind for part in get_args(Remembered) for kind in (get_args(part) or (part,))}
    assert met == remembered


# -- whether the pinned values leave anything out ------------------------------------------------


@pytest.mark.parametrize("kind", [*COMMAND_TYPES, *EVENT_TYPES], ids=lambda kind: kind.__name__)
def test_every_command_and_event_has_a_pinned_line(kind: type) -> None:
    pinned = [each for entry in PINNED for each in (entry.command, *entry.events)]
    assert any(type(each) is kind for each in pinned)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, Enum)])
def test_every_word_has_a_pinned_line(kind: type[Enum]) -> None:
    pinned = {
        each
        for value in VALUES
        for field in fields(value)
        if isinstance(each := getattr(value, field.name), kind)
    }
    assert pinned == set(kind)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_no_two_fields_of_a_class_could_be_swapped_unseen(kind: type) -> None:
    same = [
        (one.name, other.name)
        for one, other in combinations(fields(kind), 2)
        if _pinned(kind, one.name) == _pinned(kind, other.name)
    ]
    assert same == []


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_field_is_pinned_with_all_that_it_may_be(kind: type, field: str) -> None:
    """Nothing and something, true and false, an order of several."""
    hint = get_type_hints(kind)[field]
    pinned = _pinned(kind, field)
    if NoneType in get_args(hint):
        assert None in pinned
        assert any(each is not None for each in pinned)
    if hint is bool:
        assert set(pinned) == {True, False}
    if isinstance(pinned[0], tuple):
        assert any(len(set(each)) > 1 for each in pinned)


def test_pinned_numbers_times_and_texts_show_what_is_rounded_or_replaced() -> None:
    plain = [getattr(value, field.name) for value in VALUES for field in fields(value)]
    assert any(type(each) is int and float(each) != each for each in plain)
    assert any(type(each) is float and len(repr(each)) > 17 for each in plain)
    assert any(type(each) is float and isinf(each) for each in plain)
    assert any(type(each) is float and 0 < each < 1e-12 for each in plain)
    assert any(isinstance(each, datetime) and each.microsecond % 1000 for each in plain)
    assert any(isinstance(each, Decimal) and str(each).endswith("0") for each in plain)
    texts = "".join(each for each in plain if type(each) is str)
    assert not texts.isascii()
    assert set('"\\\n') <= set(texts)


# -- versions ------------------------------------------------------------------------------------

NUMBER = 4
LINE = encode_entry(PINNED[NUMBER - 1])
READS = rf"and this program reads versions? (1 to )?{VERSION}"


def _with(version: str) -> bytes:
    """Return a line with something else in place of its version."""
    begin = f'{{"version":{VERSION},'.encode()
    assert LINE.startswith(begin)
    return b"{" + version.encode() + LINE.removeprefix(begin)


def test_an_entry_of_a_newer_version_is_refused_with_both_versions() -> None:
    newer = VERSION + 6
    words = rf"entry {NUMBER} has version {newer}, {READS}: a newer release wrote it"
    with pytest.raises(CorruptJournalError, match=words):
        decode_entry(_with(f'"version":{newer},'))
    # Also where nothing else in it can be read.
    line = {"commands": [{"type": "Prophecy"}], "sequence": NUMBER, "version": newer}
    with pytest.raises(CorruptJournalError, match=words):
        decode_entry(json.dumps(line))


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("", "not a journal entry: version: it is missing"),
        ('"version":null,', "not a journal entry: version: .* found null"),
        ('"version":true,', "not a journal entry: version: .* found true"),
        (f'"version":"{VERSION}",', f'not a journal entry: version: .* found "{VERSION}"'),
        (f'"version":{VERSION}.0,', f"not a journal entry: version: .* found {VERSION}.0"),
        ('"version":0,', f"entry {NUMBER} has version 0, {READS}$"),
        ('"version":-1,', f"entry {NUMBER} has version -1, {READS}$"),
    ],
)
def test_an_entry_without_a_version_is_refused(version: str, words: str) -> None:
    with pytest.raises(CorruptJournalError, match=words):
        decode_entry(_with(version))


def test_older_entries_are_upgraded_version_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the next version renamed a key, the one after changed nothing, the third a unit."""

    def rename(data: dict[str, Any]) -> dict[str, Any]:
        content = data["command"]["data"]
        content["client_order_id"] = content.pop("id")
        return data

    def scale(data: dict[str, Any]) -> dict[str, Any]:
        content = data["command"]["data"]
        scaled = {**content, "quantity_w": content["quantity_w"] * 1_000}
        return {**data, "command": {**data["command"], "data": scaled}}

    latest = VERSION + 3
    monkeypatch.setattr(versions, "VERSION", latest)
    monkeypatch.setattr(codec, "VERSION", latest)
    monkeypatch.setattr(codec, "UPGRADES", {VERSION: rename, VERSION + 2: scale})
    entry = JournalEntry(5, AmendOrder("p1", "r1", "a", 7_000, LARGE), ())
    line = encode_entry(entry).decode()
    assert line.startswith(f'{{"version":{latest},')
    assert decode_entry(line) == entry
    in_kw = line.replace('"quantity_w":7000', '"quantity_w":7')
    third = in_kw.replace(f'"version":{latest}', f'"version":{VERSION + 2}')
    oldest = in_kw.replace(f'"version":{latest}', f'"version":{VERSION}')
    assert decode_entry(third) == entry
    assert decode_entry(oldest.replace('"client_order_id"', '"id"')) == entry
    newer = line.replace(f'"version":{latest}', f'"version":{latest + 1}')
    with pytest.raises(CorruptJournalError, match=f"reads versions 1 to {latest}: a newer"):
        decode_entry(newer)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, f"the snapshot has no version, {READS}$"),
        ({"version": "1"}, f"the snapshot has version '1', {READS}$"),
        ({"version": True}, f"the snapshot has version True, {READS}$"),
        ({"version": 99}, f"the snapshot has version 99, {READS}: a newer release wrote it"),
    ],
)
def test_data_of_no_known_version_are_named(data: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownVersionError, match=words):
        in_present_form("the snapshot", data, {})
