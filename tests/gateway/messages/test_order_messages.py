"""Messages of participants, and the commands they become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway_market import START, market, order

from exchange.vocabulary.commands import MassCancel, RejectMessage, SubmitJoint, SubmitOrder
from exchange.vocabulary.orders import Leg
from gateway.messages.requests import Reader
from orderbook.order import UNCONDITIONAL, OrderConditions, SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction

NOON = START.isoformat().replace("+00:00", "Z")
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
    assert read({"type": "mass_cancel", "interval": NOON, **filters}) == MassCancel(
        "p1", START, "load:1", Direction.INJECTION, Side.BUY
    )
    assert read({"type": "mass_cancel"}) == MassCancel("p1")


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
    assert rejected.client_order_id == message["client_order_id"]
    assert words in rejected.detail
