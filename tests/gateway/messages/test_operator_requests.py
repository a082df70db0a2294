"""The operator's messages: each control as JSON, and what is no control."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from gateway_market import OPENING, START, market, order

from exchange.vocabulary.commands import (
    ControlCommand,
    HaltTrading,
    RejectMessage,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    identity_of,
)
from exchange.vocabulary.rules import (
    METERING,
    OPERATOR,
    TSO,
    BuyBack,
    ConnectionTerms,
    PriceCollar,
    RiskLimits,
)
from gateway.messages.requests import Reader
from gateway.messages.topics import Topics
from gateway.service.core import JournaledExchange
from security_check.model.envelope import Direction

TOPICS = Topics("a")
NOON = START.isoformat().replace("+00:00", "Z")


def read(message: Any, sender: str = OPERATOR) -> Any:
    made = market("a")
    participants = {each.participant for each in made.terms}
    reader = Reader(made.rules.tick, participants, lambda: [START])
    return reader.read(sender, json.dumps(message).encode())


@pytest.mark.parametrize(
    ("message", "command"),
    [
        (
            {"type": "price_collar", "control_id": "c", "min_price": "0.001"},
            SetPriceCollar("c", PriceCollar(10, None)),
        ),
        (
            {"type": "risk_limits", "control_id": "c", "participant": "p1", "credit": "2.5"},
            SetRiskLimits("c", "p1", RiskLimits(credit=25_000_000)),
        ),
        (
            {
                "type": "risk_limits",
                "control_id": "c",
                "participant": "*",
                "max_quantity_w": 1,
                "orders_per_minute": 2,
                "position_w": 3,
            },
            SetRiskLimits("c", None, RiskLimits(1, 2, 3)),
        ),
        (
            {"type": "kill_switch", "control_id": "c", "participant": "p1", "engaged": True},
            SetKillSwitch("c", "p1", engaged=True),
        ),
        (
            {"type": "kill_switch", "control_id": "c", "participant": "*", "engaged": False},
            SetKillSwitch("c", None, engaged=False),
        ),
        (
            {
                "type": "buy_back",
                "control_id": "c",
                "interval": NOON,
                "direction": "injection",
                "quantity_w": 500,
                "price": "0.01",
            },
            SetBuyBack("c", START, Direction.INJECTION, BuyBack(500, 100)),
        ),
        ({"type": "halt", "control_id": "c", "interval": NOON}, HaltTrading("c", START)),
        ({"type": "resume", "control_id": "c"}, ResumeTrading("c")),
    ],
)
def test_each_control_has_its_message(message: dict[str, Any], command: ControlCommand) -> None:
    assert read(message) == command


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"type": "halt"}, "control_id"),
        ({"type": "destroy", "control_id": "c"}, "type"),
        ({"type": "kill_switch", "control_id": "c", "engaged": "yes"}, "engaged"),
        ({"type": "price_collar", "control_id": "c", "max_price": "0.00005"}, "tick of 0.0001"),
        ({"type": "price_collar", "control_id": "c", "max_price": "NaN"}, "max_price"),
        (
            {
                "type": "risk_limits",
                "control_id": "c",
                "participant": "*",
                "credit": "0.00000005",
            },
            "multiple of",
        ),
        ({"type": "risk_limits", "control_id": "c", "orders_per_minute": -1}, "orders_per_minute"),
        ({"type": "halt", "control_id": "c", "why": "x"}, "why"),
        # What is for all participants must say so.
        (
            {"type": "kill_switch", "control_id": "c", "engaged": True},
            "participant: it is missing",
        ),
        (
            {"type": "kill_switch", "control_id": "c", "participant": None, "engaged": True},
            "participant",
        ),
        (
            {"type": "kill_switch", "control_id": "c", "participant": "", "engaged": True},
            "participant",
        ),
        ({"type": "risk_limits", "control_id": "c", "credit": "1"}, "participant: it is missing"),
    ],
)
def test_what_is_no_control_is_refused_with_a_sentence(message: dict[str, Any], words: str) -> None:
    rejected = read(message)
    assert isinstance(rejected, RejectMessage)
    assert (rejected.participant, rejected.reason) == ("operator", "malformed")
    assert words in rejected.detail
    assert rejected.request_id == message.get("control_id")


def test_only_the_operator_has_the_topic() -> None:
    assert TOPICS.sender(TOPICS.control) == OPERATOR
    assert TOPICS.sender("doe/v1/a/order/operator") is None
    assert TOPICS.rights_of(OPERATOR).publish == (TOPICS.control, TOPICS.query(OPERATOR))
    assert TOPICS.control not in TOPICS.rights_of("p1").publish
    assert TOPICS.control in TOPICS.incoming
    refused = read({"type": "halt", "control_id": "c"}, sender="p1")
    assert isinstance(refused, RejectMessage)
    assert read(order("a", 1, "buy", 5, "0.1"), sender=OPERATOR).reason == "malformed"


def published(
    core: JournaledExchange, command: Any, seconds: int
) -> dict[str, list[dict[str, Any]]]:
    """Return what is published of a command, by topic."""
    _, messages = core.handle(command, START - timedelta(hours=5) + timedelta(seconds=seconds))
    found: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        topic = message.topic.removeprefix("doe/v1/a/")
        found.setdefault(topic, []).append(json.loads(message.payload))
    return found


def test_the_operator_gets_an_answer_and_all_accounts_the_phase_and_the_collar() -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, START - timedelta(hours=5))
    halted = published(core, HaltTrading("h1"), 1)
    (report,) = halted["report/operator"]
    assert (report["type"], report["control_id"], report["control"]) == (
        "control_set",
        "h1",
        "halt",
    )
    assert (report["interval"], report["repeated"]) == (None, False)
    assert [each["phase"] for each in halted["session"][0]["intervals"]] == ["halted"]
    again = published(core, HaltTrading("h1"), 2)["report/operator"][0]
    assert (again["repeated"], again["sequence"]) == (True, report["sequence"] + 1)
    collar = published(core, SetPriceCollar("c1", PriceCollar(1, None)), 3)["session"][0]
    assert (collar["min_price"], collar["max_price"]) == ("0.0001", None)
    restored = JournaledExchange(market("a"), core.snapshot())
    assert restored.publisher.session() == core.publisher.session()
    resumed = published(restored, ResumeTrading("r1"), 4)
    assert [each["phase"] for each in resumed["session"][0]["intervals"]] == ["open"]
    refused = published(core, SetKillSwitch("k1", "unknown", engaged=True), 5)
    assert refused["report/operator"][0]["reason"] == "unknown_participant"


@pytest.mark.parametrize(
    ("command", "participant"),
    [
        (SetKillSwitch("c", None, engaged=True), "*"),
        (SetKillSwitch("c", "p1", engaged=True), "p1"),
        (SetRiskLimits("c", None, RiskLimits()), "*"),
        (SetPriceCollar("c", PriceCollar()), None),
        (HaltTrading("c", START), None),
    ],
)
def test_the_answer_to_a_control_says_whom_it_is_for(
    command: ControlCommand, participant: str | None
) -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, START - timedelta(hours=5))
    (report,) = published(core, command, 1)["report/operator"]
    assert (report["participant"], report["request_id"]) == (participant, "c")


@pytest.mark.parametrize("name", ["*", "operator"])
def test_no_customer_has_the_name_of_all(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a participant's name"):
        ConnectionTerms("load:0", name, 1, 1)


REQUESTS: list[tuple[str, dict[str, Any], str | None]] = [
    (OPERATOR, {"type": "price_collar", "control_id": "c1"}, "c1"),
    (OPERATOR, {"type": "risk_limits", "control_id": "c2", "participant": "p1"}, "c2"),
    (OPERATOR, {"type": "risk_limits", "control_id": "c3"}, "c3"),  # it becomes a rejection
    (OPERATOR, {"type": "kill_switch", "control_id": "c4", "participant": "p1"}, "c4"),
    (
        OPERATOR,
        {"type": "kill_switch", "control_id": "c5", "participant": "*", "engaged": True},
        "c5",
    ),
    (OPERATOR, {"type": "halt", "control_id": "c6"}, "c6"),
    (OPERATOR, {"type": "resume", "control_id": "c7", "interval": NOON}, "c7"),
    (TSO, {"update_id": "u1", "voltage_min_pu": 0.99, "voltage_max_pu": 1.03}, "u1"),
    ("p1", {"type": "cancel", "request_id": "r1", "client_order_id": "o1"}, "r1"),
    ("p1", {"type": "amend", "request_id": "r2", "client_order_id": "o2", "quantity_w": 5}, "r2"),
    ("p1", {"type": "mass_cancel", "request_id": "r3"}, "r3"),
    # Without an id of their own they are rejected; that of the order does not stand for it.
    ("p1", {"type": "cancel", "client_order_id": "o1"}, None),
    ("p1", {"type": "amend", "client_order_id": "o2", "quantity_w": 5}, None),
    ("p1", {"type": "mass_cancel"}, None),
    ("p1", {"type": "mass_cancel", "request_id": "r4", "client_order_id": "o2"}, "r4"),
    ("p1", {"type": "amend", "request_id": "r 5", "client_order_id": "o2"}, None),
    (TSO, {"update_id": "u2", "client_order_id": "o3"}, "u2"),
    (METERING, {"reading_id": "m1", "request_id": "r6"}, "m1"),
    ("p1", order("o3", 1, "sell", 10, "0.01"), "o3"),
    ("p1", {"type": "cancel"}, None),  # no request: it becomes a rejection
]


@pytest.mark.parametrize(("sender", "message", "key"), REQUESTS)
def test_the_answer_to_a_command_goes_to_the_sender_of_its_message(
    sender: str, message: dict[str, Any], key: str | None
) -> None:
    asked = identity_of(read(message, sender))
    assert (asked.sender, asked.request_id) == (sender, key)
