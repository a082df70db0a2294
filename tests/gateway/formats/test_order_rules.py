"""One set of rules for orders: a message and a line with the same content mean the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_market import START, market
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.vocabulary.commands import Command, RejectMessage, identity_of
from gateway.formats.faults import InvalidMessageError
from gateway.formats.order_terms import order_command
from gateway.formats.orders_file import OrderLine, RefusedLine, read_order_line
from gateway.formats.strict_json import MAX_REQUEST_BYTES, entries_of, id_of
from gateway.messages.requests import Reader, id_key
from gateway.messages.safeguard_requests import SignOfLife

MARKET = market("a")
TICK = MARKET.rules.tick
NOON = START.isoformat().replace("+00:00", "Z")
HEAD = {"time": "2096-06-01T10:00:00Z", "participant": "p0", "client_order_id": "a1"}
WHERE = {"connection_point": "load:0", "direction": "injection", "side": "buy"}
PRICED = WHERE | {"quantity_w": 1000, "price": "0.0450"}
GOOD: list[dict[str, Any]] = [
    {"type": "submit", **HEAD, **PRICED},
    {"type": "submit", **HEAD, **WHERE, "quantity_w": 1000, "order_type": "market"},
    {"type": "block", **HEAD, **PRICED, "intervals": [NOON]},
    {"type": "linked", **HEAD, "legs": [PRICED, PRICED | {"side": "sell", "interval": NOON}]},
    {"type": "cancel", **HEAD, "request_id": "r1"},
    {"type": "amend", **HEAD, "request_id": "r2", "quantity_w": 5},
    {
        "type": "mass_cancel",
        "time": HEAD["time"],
        "participant": "p0",
        "request_id": "r3",
        "side": "buy",
    },
]
TIMES = st.sampled_from([NOON, "2096-06-01T14:00:00+02:00", "noon", "2096-06-01T12:00:00", 1, None])
FLAGS = st.sampled_from([True, False, 1, "yes", None])
WATTS = st.one_of(
    st.integers(-(10**13), 10**13),
    st.sampled_from([10**12, 10**12 + 1, -(10**12), 1.0, "5", True, float("nan"), None]),
)
PRICES = st.one_of(
    st.decimals(-1000, 1000, places=4).map(str),
    st.sampled_from(["0.00005", "NaN", "1e-4", "", "1" * 13, "-0", "0." + "0" * 13, 0.045, None]),
)
IDS = st.one_of(
    st.text(max_size=70),
    st.text("abcXYZ09._:-", min_size=1, max_size=66),
    st.sampled_from(["x" * 64, "x" * 65, "x" * 128, "x" * 129, "a b", "a\x00b", "load:0", 3, None]),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["submit", "block", "linked", "cancel", "amend", "mass_cancel", "x"]),
    "client_order_id": IDS,
    "request_id": IDS,
    "connection_point": IDS,
    "direction": st.sampled_from(["injection", "withdrawal", "both", None]),
    "side": st.sampled_from(["buy", "sell", "both", 1]),
    "interval": TIMES,
    "intervals": st.lists(TIMES, max_size=3),
    "quantity_w": WATTS,
    "price": PRICES,
    "order_type": st.sampled_from(["limit", "market", "stop"]),
    "time_in_force": st.sampled_from(["GTC", "GTD", "IOC", "FOK", "DAY", None]),
    "expires_at": TIMES,
    "post_only": FLAGS,
    "all_or_none": FLAGS,
    "minimum_quantity_w": WATTS,
    "displayed_quantity_w": WATTS,
    "self_trade_prevention": st.sampled_from(["cancel_newest", "cancel_both", "none"]),
    "legs": st.lists(st.sampled_from([PRICED, WHERE, PRICED | {"price": "0.00005"}]), max_size=3),
    "note": st.text(max_size=5),
}


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """Return a request, often with entries changed, added or left out."""
    content = dict(draw(st.sampled_from(GOOD)))
    for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=3)):
        content[name] = draw(VALUES[name])
    removable = sorted(content.keys() - {"time", "participant"})
    for name in draw(st.lists(st.sampled_from(removable), max_size=1)):
        content.pop(name, None)
    return content


def by_message(text: bytes, intervals: int) -> Command | tuple[str, str | None, str]:
    starts = [START.replace(hour=12 + hour) for hour in range(intervals)]
    participants = {each.participant for each in MARKET.terms}
    command = Reader(TICK, participants, lambda: starts).read("p0", text)
    if isinstance(command, RejectMessage):
        return command.reason, command.request_id, command.detail
    assert not isinstance(command, SignOfLife)
    return command


def by_line(text: bytes, intervals: int) -> Command | tuple[str, str | None, str]:
    starts = [START.replace(hour=12 + hour) for hour in range(intervals)]
    line, entries = read_order_line(1, text), entries_of(text)
    # A refused line names its order, a refused message the id of the request.
    assert isinstance(line, OrderLine) or line.client_order_id == id_of(entries, "client_order_id")
    key = id_of(entries, id_key("p0", entries.get("type")))
    if isinstance(line, RefusedLine):
        return str(line.reason), key, line.detail
    try:
        return order_command(line.request, line.participant, TICK, starts)
    except InvalidMessageError as refusal:
        return str(refusal.reason), key, str(refusal)


def assert_the_same(text: bytes, intervals: int) -> None:
    message, line = by_message(text, intervals), by_line(text, intervals)
    if not isinstance(message, tuple):
        assert line == message
        return
    assert isinstance(line, tuple)
    assert line[:2] == message[:2]
    # A message's sentence is cut to what the journal keeps, and printable.
    shown = "".join(each if each.isprintable() else "?" for each in line[2][:300])
    assert shown == message[2]


@given(contents(), st.integers(0, 2))
@example(GOOD[0] | {"client_order_id": "x" * 65}, 1)
@example(GOOD[0] | {"connection_point": "x" * 129}, 1)
@example(GOOD[0] | {"quantity_w": 10**12 + 1}, 1)
@example(GOOD[0] | {"price": "0.00005"}, 1)
@example(GOOD[0], 2)
def test_a_message_and_a_line_lead_to_the_same_command_or_reason(
    content: dict[str, Any], intervals: int
) -> None:
    assert_the_same(json.dumps(content).encode(), intervals)


@given(st.sampled_from(GOOD), st.integers(MAX_REQUEST_BYTES - 2, MAX_REQUEST_BYTES + 2))
def test_the_largest_message_is_the_largest_line(content: dict[str, Any], size: int) -> None:
    text = json.dumps(content).encode()
    padded = text + b" " * (size - len(text))
    assert len(padded) == size
    assert_the_same(padded, 1)
    assert isinstance(by_line(padded, 1), tuple) == (size > MAX_REQUEST_BYTES)


@given(st.sampled_from(GOOD), st.integers(0, 300), st.binary(min_size=1, max_size=3))
def test_damaged_text_has_the_same_reason(
    content: dict[str, Any], offset: int, damage: bytes
) -> None:
    text = json.dumps(content).encode()
    # Behind the participant: another one has another topic.
    place = min(text.index(b'"p0"') + len(b'"p0"') + offset, len(text))
    assert_the_same(text[:place] + damage + text[place + len(damage) :], 1)


@pytest.mark.parametrize("content", GOOD, ids=lambda content: content["type"])
def test_good_requests_are_commands(content: dict[str, Any]) -> None:
    text = json.dumps(content).encode()
    assert not isinstance(by_message(text, 1), tuple)
    assert_the_same(text, 1)


@pytest.mark.parametrize("name", ["time", "participant"])
def test_only_a_line_must_name_time_and_participant(name: str) -> None:
    text = json.dumps({key: each for key, each in GOOD[0].items() if key != name}).encode()
    assert by_message(text, 1) == by_message(json.dumps(GOOD[0]).encode(), 1)
    assert by_line(text, 1) == ("malformed", "a1", f"{name}: it is missing")


@pytest.mark.parametrize("content", GOOD[4:], ids=lambda content: content["type"])
def test_only_a_message_must_give_a_change_an_id(content: dict[str, Any]) -> None:
    """A line gets one of its place, which no sender can give."""
    text = json.dumps({key: each for key, each in content.items() if key != "request_id"}).encode()
    assert by_message(text, 1) == ("malformed", None, "request_id: it is missing")
    found = set()
    for number in (1, 2):
        line = read_order_line(number, text)
        assert isinstance(line, OrderLine)
        assert id_of({"request_id": line.usual_id}, "request_id") is None
        command = order_command(line.request, line.participant, TICK, [START], line.usual_id)
        assert identity_of(command).request_id == line.usual_id
        found.add(line.usual_id)
    assert len(found) == 2


@given(st.sets(st.sampled_from([*HEAD, *WHERE, "type", "quantity_w"])))
def test_a_line_names_all_entries_that_are_missing(absent: set[str]) -> None:
    text = json.dumps({key: each for key, each in GOOD[0].items() if key not in absent}).encode()
    found = by_line(text, 1)
    if not absent:
        assert not isinstance(found, tuple)
        return
    # The type decides the form, so without it only the entries of all forms are known.
    known = absent & {"time", "participant", "type"} if "type" in absent else absent
    assert isinstance(found, tuple)
    assert set(found[2].split("; ")) == {f"{name}: it is missing" for name in known}
