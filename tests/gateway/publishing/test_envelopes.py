"""A limit that falls beside one that rises, of the same connection point at the same time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from gateway_market import OPENING, START, market, retained

from exchange.vocabulary.commands import AdvanceTime, CloseGate, OpenSession, SubmitOrder
from exchange.vocabulary.events import HoldingCurtailed, HoldingRaised
from exchange.vocabulary.orders import OrderTerms
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.service.core import JournaledExchange
from orderbook.order import Side, TimeInForce
from security_check.model.envelope import Direction

TOPICS = Topics("a")
BEGIN = START - timedelta(hours=5)
QUARTER = timedelta(minutes=15)


def opened(start: datetime, gate: datetime) -> OpenSession:
    return OpenSession(start, start + QUARTER, gate, OPENING.interface_limits)


def test_point_that_falls_and_rises_first_hears_the_smaller() -> None:
    core = JournaledExchange(market("a", 2))
    now = BEGIN
    core.handle(OPENING, now)
    common: dict[str, Any] = {"sequence": 2, "time": now, "interval": START, "element": "line:1"}
    half = 500_000_000
    events = [
        HoldingRaised(
            participant="p0",
            connection_point="load:0",
            direction=Direction.INJECTION,
            from_w=half,
            to_w=half + 5,
            **common,
        ),
        HoldingCurtailed(
            participant="p0",
            connection_point="load:0",
            direction=Direction.WITHDRAWAL,
            from_w=half,
            to_w=half - 7,
            **common,
        ),
        HoldingCurtailed(
            participant="p1",
            connection_point="load:1",
            direction=Direction.INJECTION,
            from_w=half,
            to_w=half - 9,
            **common,
        ),
    ]
    messages, changed = core.publisher.envelopes.apply(events, now)
    said = [json.loads(message.payload) for message in messages]
    limits = [
        (
            each["connection_point"],
            each["version"],
            each["injection_limit_w"] - half,
            each["withdrawal_limit_w"] - half,
        )
        for each in said
    ]
    assert limits == [("load:0", 2, 0, -7), ("load:1", 2, -9, 0), ("load:0", 3, 5, -7)]
    assert changed == [("load:0", START), ("load:1", START)]


def test_an_interval_that_is_over_is_removed_with_the_next_entry() -> None:
    """Opened anew later, also after a restart, its versions are higher than all before."""
    core = JournaledExchange(market("a", 2))
    core.handle(OPENING, BEGIN)
    core.handle(CloseGate(START), BEGIN)
    later = START + timedelta(hours=1)
    _, before = core.handle(opened(later, later), OPENING.end - timedelta(seconds=1))
    assert b"" not in {message.payload for message in before}
    _, messages = core.handle(CloseGate(later), OPENING.end)
    topics = [TOPICS.envelope(f"load:{k}", START) for k in range(2)]
    envelopes = [message for message in messages if "/envelope/" in message.topic]
    assert [message.topic for message in envelopes[2:]] == topics
    assert envelopes[2:] == [Outgoing(topic, b"", retain=True) for topic in topics]
    assert envelopes[2:] == [each for each in retained(core, later) if each.topic in topics]
    core = JournaledExchange(market("a", 2), core.snapshot())
    assert envelopes[2:] == [each for each in retained(core, later) if each.topic in topics]
    longer = OpenSession(START, later, later, OPENING.interface_limits)
    _, messages = core.handle(longer, OPENING.end)
    (again,) = [json.loads(m.payload) for m in messages if m.topic == topics[0]]
    assert again["version"] == 5, "twice this interval, and the other twice"
    core.handle(CloseGate(START), later)
    day = later + timedelta(days=1)
    core.handle(opened(day + QUARTER, day + QUARTER), day)
    assert topics[0] in {each.topic for each in retained(core, day)}
    core.handle(opened(day, day + QUARTER), day + timedelta(seconds=1))
    assert topics[0] not in {each.topic for each in retained(core, day)}, "no broker is older"


def test_an_interval_may_trade_after_its_end_and_is_not_published() -> None:
    """The gate of this one closes an hour after its end."""
    core = JournaledExchange(market("a", 2))
    gate = OPENING.end + timedelta(hours=1)
    core.handle(opened(START, gate), BEGIN)
    topics = {TOPICS.envelope(f"load:{k}", START) for k in range(2)}
    core.handle(opened(gate + QUARTER, gate + QUARTER), OPENING.end)
    for point, side in enumerate(Side):
        place = f"load:{point}", Direction.INJECTION, START
        terms = OrderTerms(*place, side, 400, 400, TimeInForce.GOOD_TILL_CANCEL)
        _, messages = core.handle(SubmitOrder(f"p{point}", "o1", terms), OPENING.end)
        assert not topics & {message.topic for message in messages}
    assert TOPICS.trade in {message.topic for message in messages}
    assert core.publisher.envelopes.envelope("load:0", START).injection_limit_w == 500_000_000 + 400
    payloads = {each.topic: each.payload for each in retained(core, OPENING.end)}
    assert {payloads[topic] for topic in topics} == {b""}
    _, messages = core.handle(AdvanceTime(), gate)
    assert {m.topic for m in messages if "/envelope/" in m.topic and not m.payload} == topics
