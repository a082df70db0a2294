"""A limit that falls beside one that rises, of the same connection point at the same time."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from gateway_market import OPENING, START, market

from exchange.vocabulary.events import HoldingCurtailed, HoldingRaised
from gateway.service.core import JournaledExchange
from security_check.model.envelope import Direction


def test_point_that_falls_and_rises_first_hears_the_smaller() -> None:
    core = JournaledExchange(market("a", 2))
    now = START - timedelta(hours=5)
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
