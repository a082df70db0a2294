"""The published market of 15 buses as an area that is served, and its orders as messages.

Run as a program it serves that area until it is stopped or killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway_market import START, serving

from exchange.vocabulary.events import Event
from exchange.vocabulary.flexibility_events import (
    FlexibilityAccepted,
    FlexibilityBlocked,
    FlexibilityMatched,
)
from gateway.flexibility.case_loading import case_path
from gateway.messages.topics import Topics
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup
from gateway.service.settings import ServiceSettings
from gateway.transport.mqtt_client import MqttSettings
from orderbook.order import Side

CASE: dict[str, Any] = json.loads(case_path("bundled:lfm-15bus").read_text(encoding="utf-8"))
PUBLISHED = CASE["published"]["pairwise"]
MW = 1_000_000
SCENARIO = """
[network]
kind = "linear"
source = "network.json"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = {capacity_w}
withdrawal_w = {capacity_w}
[market]
tick = "0.00001"
[flexibility]
requesters = ["dso"]
matching = "{matching}"
up_w = 500000
down_w = 500000
"""


def write_scenario(folder: Path, matching: str, capacity_w: int = 0) -> Path:
    """Write the case's network and set point as a scenario: a customer ``c-BUS`` at each bus."""
    network = {key: CASE[key] for key in ("buses", "slack_bus", "branches", "setpoint_mw")}
    points = [{"id": f"c-{bus}", "bus": bus} for bus in CASE["buses"]]
    network["connection_points"] = points
    (folder / "network.json").write_text(json.dumps(network), encoding="utf-8")
    path = folder / "flexible.toml"
    text = SCENARIO.format(matching=matching, capacity_w=capacity_w)
    path.write_text(text, encoding="utf-8")
    return path


def setup(scenario: Scenario, area: str) -> ExchangeSetup:
    """Return what the exchange of a scenario is made of, in an area of a test."""
    return ExchangeSetup(Topics(area), scenario.networks(), scenario.rules, scenario.terms())


def orders() -> list[tuple[str, dict[str, Any]]]:
    """Return sender and message of each published order: requests first, then offers."""
    found = []
    for k, each in enumerate(CASE["requests"]):
        message = _message(f"requests.{k}", each) | {"type": "request_flexibility"}
        message |= {"bus": each["bus"], "conditional": each["type"] == "conditional"}
        found.append(("dso", message))
    for k, each in enumerate(CASE["offers"]):
        message = _message(f"offers.{k}", each) | {"type": "offer_flexibility"}
        customer = f"c-{each['bus']}"
        found.append((customer, message | {"connection_point": customer}))
    return found


def _message(name: str, order: dict[str, Any]) -> dict[str, Any]:
    return {
        "client_order_id": name,
        "direction": f"{order['direction']}ward",
        "interval": START.isoformat(),
        "quantity_w": round(order["quantity_mw"] * MW),
        "price": f"{order['price'] / 1000:.5f}",
    }


def outcome(events: Sequence[Event]) -> tuple[list[list[Any]], set[tuple[str, str]], float]:
    """Return trades as the case has them, refused pairs, and welfare, from events."""
    named = {e.order_id: e for e in events if isinstance(e, FlexibilityAccepted)}
    trades, refused, gain = [], set(), 0
    for event in events:
        if isinstance(event, FlexibilityMatched):
            for each in event.matches:
                offer, request = named[each.offer_id], named[each.request_id]
                assert (offer.terms.side, request.terms.side) == (Side.SELL, Side.BUY)
                bid, ask = request.terms.limit_price_ticks, offer.terms.limit_price_ticks
                gain += (bid - ask) * each.quantity_w
                names = (offer.client_order_id, request.client_order_id)
                trades.append([*map(_number, names), each.quantity_w / MW])
        if isinstance(event, FlexibilityBlocked):
            refused |= {
                (named[p.offer_id].client_order_id, named[p.request_id].client_order_id)
                for p in event.pairs
            }
    return trades, refused, gain * 1e-5 / 1000


def _number(name: str) -> int:
    return int(name.partition(".")[2])


async def _serve_until_killed(area: str, mqtt_url: str, redis_url: str, scenario: str) -> None:
    made = setup(load_scenario(Path(scenario)), area)
    mqtt = MqttSettings.from_url(mqtt_url, f"{area}-exchange")
    settings = ServiceSettings(snapshot_entries=20)
    async with serving(area, mqtt, redis_url, settings=settings, setup=made):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_until_killed(*sys.argv[1:]))
