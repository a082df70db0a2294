"""Messages of participants, and the commands they become."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from gateway_market import START, market, order

from exchange.state.request_answers import RequestAnswer
from exchange.vocabulary.commands import (
    MassCancel,
    RejectMessage,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import InterfaceLimitsUpdated, Refused
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import RefusalReason
from gateway.messages.requests import Reader
from orderbook.order import UNCONDITIONAL, OrderConditions, SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

NOON = START.isoformat().replace("+00:00", "Z")
BAND = InterfaceLimits(0.98, 1.04)
LEG = {
    "connection_point": "load:1",
    "direction": "injection",
    "side": "sell",
    "quantity_w": 5,
    "price": "0.1",
}


def read(message: Any) -> Any:
    made = market("a")
    participants = {each.participant for each in made.terms}
    reader = Reader(made.rules.tick, participants, lambda: [START])
    return reader.read("p1", json.dumps(message).encode())


def test_a_plain_order_has_no_conditions() -> None:
    command = read(order("a", 1, "buy", 5, "0.1"))
    assert isinstance(command, SubmitOrder)
    assert command.terms.conditions is UNCONDITIONAL
    assert (command.terms.limit_price_ticks, command.terms.interval) == (1000, START)
    assert command.terms.time_in_force is TimeInForce.GOOD_TILL_CANCEL


@pytest.mark.parametrize(
    ("entry", "conditions"),
    [
        ({"post_only": True}, OrderConditions(post_only=True)),
        ({"all_or_none": True}, OrderConditions(all_or_none=True)),
        ({"minimum_quantity_w": 3}, OrderConditions(minimum_w=3)),
        ({"displayed_quantity_w": 2}, OrderConditions(displayed_w=2)),
        (
            {"self_trade_prevention": "cancel_oldest"},
            OrderConditions(self_trade_prevention=SelfTradePrevention.CANCEL_OLDEST),
        ),
    ],
)
def test_each_condition_has_its_entry(entry: dict[str, Any], conditions: OrderConditions) -> None:
    assert read(order("a", 1, "buy", 5, "0.1", **entry)).terms.conditions == conditions


def test_a_market_order_has_no_price_and_does_not_wait() -> None:
    message = order("a", 1, "buy", 5, "0.1", order_type="market")
    del message["price"]
    command = read(message)
    assert command.terms.limit_price_ticks is None
    assert command.terms.time_in_force is TimeInForce.IMMEDIATE_OR_CANCEL
    assert read(message | {"time_in_force": "FOK"}).terms.time_in_force is TimeInForce.FILL_OR_KILL


def test_a_mass_cancel_may_name_what_it_is_about() -> None:
    filters = {"connection_point": "load:1", "direction": "injection", "side": "buy"}
    named = {"type": "mass_cancel", "request_id": "m1"}
    assert read({**named, "interval": NOON, **filters}) == MassCancel(
        "p1", "m1", START, "load:1", Direction.INJECTION, Side.BUY
    )
    assert read(named) == MassCancel("p1", "m1")


CHANGES: list[dict[str, Any]] = [
    {"type": "cancel", "client_order_id": "a"},
    {"type": "amend", "client_order_id": "a", "quantity_w": 5},
    {"type": "mass_cancel", "side": "buy"},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change["type"])
@pytest.mark.parametrize("request_id", ["absent", None, "", "a b", "x" * 65, 7])
def test_a_request_about_orders_needs_an_id_of_its_own(
    change: dict[str, Any], request_id: Any
) -> None:
    message = change if request_id == "absent" else change | {"request_id": request_id}
    rejected = read(message)
    assert isinstance(rejected, RejectMessage)
    assert rejected.request_id is None
    assert rejected.detail.startswith("request_id: ")
    assert not isinstance(read(change | {"request_id": "r1"}), RejectMessage)


def test_a_message_without_an_interval_that_comes_again_is_about_the_same_one() -> None:
    """Whatever is open by then, or its content would differ from that of the first."""
    made, later = market("a"), START + timedelta(minutes=15)
    opened = [START]
    updated = InterfaceLimitsUpdated(
        sequence=7, time=START, update_id="u1", interval=START, interface_limits=BAND
    )
    refused = Refused(
        sequence=8,
        time=START,
        participant="p1",
        request_id="a",
        request="submit",
        reason=RefusalReason.EXCEEDS_HOLDING,
        detail="",
        interval=START,
    )
    known = {("p1", "a"): RequestAnswer(refused), ("tso", "u1"): RequestAnswer(updated)}
    reader = Reader(made.rules.tick, {"p1"}, lambda: opened, lambda *key: known.get(key))
    new = json.dumps(order("b", 1, "buy", 5, "0.1")).encode()
    old = json.dumps(order("a", 1, "buy", 5, "0.1")).encode()
    limits = {"voltage_min_pu": 0.98, "voltage_max_pu": 1.04}
    updates = [json.dumps(limits | {"update_id": key}).encode() for key in ("u1", "u2")]
    for opened[:] in ([START], [later], [START, later], []):
        placed, updated_again = reader.read("p1", old), reader.read("tso", updates[0])
        assert isinstance(placed, SubmitOrder)
        assert placed.terms.interval == START
        assert isinstance(updated_again, UpdateInterfaceLimits)
        assert updated_again.interval == START
        for again in (reader.read("p1", new), reader.read("tso", updates[1])):
            if len(opened) == 1:
                assert isinstance(again, SubmitOrder | UpdateInterfaceLimits)
                about = again.terms if isinstance(again, SubmitOrder) else again
                assert about.interval == opened[0]
            else:
                assert isinstance(again, RejectMessage)
                assert again.uses_id  # it might be read when it is delivered again
                assert again.detail.endswith(f"{len(opened)} intervals are open for trading")


def test_a_message_that_lacked_an_interval_is_refused_again_where_it_would_not_lack_it() -> None:
    made, sentence = market("a"), "interval: it is missing, and 2 intervals are open for trading"
    refused = Refused(
        sequence=8,
        time=START,
        participant="p1",
        request_id="a",
        request="message",
        reason=RefusalReason.MALFORMED,
        detail=sentence,
    )
    reader = Reader(made.rules.tick, {"p1"}, lambda: [START], lambda *_: RequestAnswer(refused))
    message = order("a", 1, "buy", 5, "0.1")
    again = reader.read("p1", json.dumps(message).encode())
    assert again == RejectMessage("p1", "a", "malformed", sentence, uses_id=True)
    # With an interval it is another message; whether its id is used is for the exchange to say.
    other = reader.read("p1", json.dumps(message | {"interval": NOON}).encode())
    assert isinstance(other, SubmitOrder)


def test_a_block_has_a_leg_in_each_interval() -> None:
    block = LEG | {"type": "block", "client_order_id": "b", "intervals": [NOON]}
    leg = Leg("load:1", Direction.INJECTION, START, Side.SELL, 5, 1000)
    assert read(block) == SubmitJoint("p1", "b", (leg,), all_or_none=False)
    assert read(block | {"all_or_none": True}) == SubmitJoint("p1", "b", (leg,), all_or_none=True)


def test_a_linked_pair_has_two_legs() -> None:
    pair = {
        "type": "linked",
        "client_order_id": "l",
        "legs": [LEG, LEG | {"interval": NOON, "side": "buy", "price": "0.2"}],
        "self_trade_prevention": "cancel_both",
    }
    assert read(pair) == SubmitJoint(
        "p1",
        "l",
        (
            Leg("load:1", Direction.INJECTION, START, Side.SELL, 5, 1000),
            Leg("load:1", Direction.INJECTION, START, Side.BUY, 5, 2000),
        ),
        all_or_none=True,
        self_trade_prevention=SelfTradePrevention.CANCEL_BOTH,
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (LEG | {"type": "block", "client_order_id": "b"}, "intervals"),
        (LEG | {"type": "block", "client_order_id": "b", "intervals": ["noon"]}, "intervals"),
        ({"type": "linked", "client_order_id": "l", "legs": [LEG]}, "legs"),
        ({"type": "linked", "client_order_id": "l", "legs": [LEG, LEG | {"x": 1}]}, "x"),
        (
            {"type": "linked", "client_order_id": "l", "legs": [LEG, LEG | {"price": "0.00001"}]},
            "tick of 0.0001",
        ),
    ],
)
def test_what_is_no_joint_order_is_refused(message: dict[str, Any], words: str) -> None:
    rejected = read(message)
    assert isinstance(rejected, RejectMessage)
    assert rejected.request_id == message["client_order_id"]
    assert not rejected.uses_id
    assert words in rejected.detail
