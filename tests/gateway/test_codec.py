"""The journal's encoding: every command and every event, exact there and back."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from gateway_market import GATE, OPENING, START, market
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.vocabulary.commands import (
    AdvanceTime,
    CancelOrder,
    Command,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.serialization import from_plain
from gateway.errors import CorruptJournalError
from gateway.journal.codec import COMMAND_TYPES, EVENT_TYPES, decode_entry, encode_entry
from gateway.ports import JournalEntry
from gateway.service.core import JournaledExchange
from orderbook.order import OrderConditions, Side, TimeInForce
from security_check.model.envelope import Direction
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
    if is_dataclass(hint):
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


def as_before(line: bytes) -> bytes:
    """Return an entry in the form of the time when a trade was one buyer and one seller."""
    entry = json.loads(line)
    for event in entry["events"]:
        if event["type"] == "Traded":
            event["data"] = pairwise(event["data"])
    return json.dumps(entry).encode()


def pairwise(trade: dict[str, Any]) -> dict[str, Any]:
    fills = trade.pop("fills")
    buy, sell = sorted(fills, key=lambda fill: fill["side"])
    taker = trade.pop("taker_order_id")
    del trade["rent"], trade["tier"]
    return trade | {
        "interval": buy["interval"],
        "direction": buy["direction"],
        "quantity_w": buy["quantity_w"],
        "price_ticks": buy["amount"] // buy["quantity_w"],
        "amount": buy["amount"],
        "taker_side": "buy" if taker == buy["order_id"] else "sell",
        "buy_order_id": buy["order_id"],
        "sell_order_id": sell["order_id"],
        "buyer": buy["participant"],
        "seller": sell["participant"],
        "buyer_client_order_id": buy["client_order_id"],
        "seller_client_order_id": sell["client_order_id"],
        "buy_connection_point": buy["connection_point"],
        "sell_connection_point": sell["connection_point"],
        "buy_limit_price_ticks": buy["limit_price_ticks"],
        "sell_limit_price_ticks": sell["limit_price_ticks"],
    }


def test_a_journal_from_before_leads_to_the_same_state() -> None:
    core = JournaledExchange(market("a", 2))
    commands: list[Command] = [OPENING]
    for number, (side, quantity_w, price) in enumerate(
        [(Side.SELL, 900, 300), (Side.BUY, 250, 310), (Side.BUY, 800, 320), (Side.SELL, 100, 290)]
    ):
        who = 0 if side is Side.SELL else 1
        commands.append(
            SubmitOrder(
                participant=f"p{who}",
                client_order_id=f"c{number}",
                terms=OrderTerms(
                    connection_point=f"load:{who}",
                    direction=Direction.INJECTION,
                    interval=START,
                    side=side,
                    quantity_w=quantity_w,
                    limit_price_ticks=price,
                    time_in_force=TimeInForce.GOOD_TILL_CANCEL,
                    conditions=OrderConditions(displayed_w=200 if number == 0 else None),
                ),
            )
        )
    now = GATE - timedelta(hours=1)
    entries = [core.handle(command, now)[0] for command in commands]
    lines = [encode_entry(entry) for entry in entries if entry is not None]
    assert sum(b'"fills"' in line for line in lines) == 3
    again = JournaledExchange(market("a", 2))
    for line in lines:
        entry = decode_entry(as_before(line))
        assert b'"buy_order_id"' in as_before(line) or b'"Traded"' not in line
        again.apply(entry)
    assert again.exchange.digest() == core.exchange.digest()
    assert again.reports.state() == core.reports.state()


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


LINE = encode_entry(JournalEntry(3, CancelOrder("p1", "a"), ()))


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
        LINE.replace(b'"p1"', b'"buy_order_id"')[:-2],
        LINE.replace(b'"events":[]', b'"events":[{"type":"Traded","data":{"buy_order_id":1}}]'),
        b"\xff" + LINE,
    ],
)
def test_a_line_that_is_no_entry_is_named(line: bytes) -> None:
    with pytest.raises(CorruptJournalError, match="not a journal entry"):
        decode_entry(line)


def test_line_is_plain_json() -> None:
    assert json.loads(LINE) == {
        "sequence": 3,
        "command": {
            "type": "CancelOrder",
            "data": {"participant": "p1", "client_order_id": "a"},
        },
        "events": [],
    }
