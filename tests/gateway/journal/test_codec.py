"""The journal's encoding: every command and every event, exact there and back."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from gateway_market import START
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.vocabulary.commands import (
    AdvanceTime,
    CancelOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.serialization import EVENT_TYPES, from_plain
from exchange.vocabulary.versions import VERSION
from gateway.errors import CorruptJournalError
from gateway.journal.codec import COMMAND_TYPES, decode_entry, encode_entry
from gateway.ports import JournalEntry
from security_check.model.limits import InterfaceLimits

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)).map(
    lambda time: time.replace(tzinfo=UTC, fold=0)
)
LIMITS = st.builds(
    InterfaceLimits,
    voltage_min_pu=st.floats(0.5, 1.0),
    voltage_max_pu=st.floats(1.0, 1.5),
    injection_limit_w=st.none() | st.integers(0, 10**12),
    withdrawal_limit_w=st.none() | st.integers(0, 10**12),
    unbalance_pu=st.none() | st.floats(0.0, 0.9),
    reactive_min_var=st.none() | st.integers(-(10**12), 0),
    reactive_max_var=st.none() | st.integers(0, 10**12),
)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for an annotated type; knows nothing of the single classes."""
    known: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(exclude_categories=["Cs"])),
        int: st.integers(-(10**30), 10**30),
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
        datetime: TIMES,
        Decimal: st.decimals(allow_nan=False, allow_infinity=False),
        NoneType: st.none(),
        InterfaceLimits: LIMITS,
    }
    if hint in known:
        return known[hint]
    if get_origin(hint) is tuple:
        return st.lists(values_of(get_args(hint)[0]), max_size=3).map(tuple)
    if get_args(hint):
        return st.one_of(*(values_of(each) for each in get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return st.builds(hint, **{each.name: values_of(hints[each.name]) for each in fields(hint)})
    raise TypeError(f"no values for {hint}")


def test_there_are_commands_and_events() -> None:
    assert CancelOrder in COMMAND_TYPES
    assert len(COMMAND_TYPES) >= 9
    assert len({kind.__name__ for kind in EVENT_TYPES}) == len(EVENT_TYPES) >= 15


@pytest.mark.parametrize("kind", COMMAND_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_every_command_survives(kind: type, data: st.DataObject) -> None:
    entry = JournalEntry(data.draw(st.integers(1, 10**15)), data.draw(values_of(kind)), ())
    assert decode_entry(encode_entry(entry)) == entry


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_every_event_survives(kind: type, data: st.DataObject) -> None:
    events = data.draw(st.lists(values_of(kind), max_size=3).map(tuple))
    entry = JournalEntry(1, AdvanceTime(), events)
    again = decode_entry(encode_entry(entry))
    # Not only equal but the same in print, since digests may be made of print.
    assert repr(again) == repr(entry)
    assert b"\n" not in encode_entry(entry)


def test_contracts_from_before_have_no_reactive_range() -> None:
    """As commands in the journal, as events, and in a snapshot."""
    limits = InterfaceLimits(0.98, 1.04, 5_000, 6_000)
    command = UpdateInterfaceLimits("u1", START, limits)
    line = encode_entry(JournalEntry(1, command, ()))
    entry = json.loads(line)
    contract = entry["command"]["data"]["interface_limits"]
    del contract["reactive_min_var"], contract["reactive_max_var"]
    assert decode_entry(json.dumps(entry).encode()).command == command
    assert from_plain(InterfaceLimits, contract) == limits


LINE = encode_entry(JournalEntry(3, CancelOrder("p1", "r1", "a"), ()))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"null",
        LINE[:-2],
        LINE.replace(b"CancelOrder", b"Nonsense"),
        LINE.replace(b'"sequence":3', b'"sequence":0'),
        LINE.replace(b'"sequence":3', b'"sequence":"3"'),
        LINE.replace(b'"sequence":3', b'"sequence":3,"more":1'),
        LINE.replace(b'"p1"', b"1"),
        LINE.replace(b'"events":[]', b'"events":[{"type":"Traded","data":{"trade_id":1}}]'),
        b"\xff" + LINE,
    ],
)
def test_a_line_that_is_no_entry_is_named(line: bytes) -> None:
    with pytest.raises(CorruptJournalError, match="not a journal entry"):
        decode_entry(line)


def test_line_is_plain_json() -> None:
    assert json.loads(LINE) == {
        "version": VERSION,
        "sequence": 3,
        "command": {
            "type": "CancelOrder",
            "data": {"participant": "p1", "request_id": "r1", "client_order_id": "a"},
        },
        "events": [],
    }
