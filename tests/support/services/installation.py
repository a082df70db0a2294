"""Several programs ``serve --standby`` that share areas, and clients that trade in all of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway_market import client, order
from killed_exchange import journaled
from served_programs import Program

from exchange.vocabulary.events import OrderAccepted
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.participant_client import ParticipantClient

SCENARIO = """
area = "{area}"
[network]
source = "{network}"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 20000
withdrawal_w = 20000
[participants]
bakery = ["load:0"]
mill = ["load:1"]
[intervals]
start = {start}
count = {intervals}
[market]
opening_minutes = 10080
"""
# Days ahead, so that no gate closes while something is shown.
BEGIN = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=3)


def write_scenarios(
    folder: Path,
    areas: Sequence[str],
    network: str = "pandapower:simple_four_bus_system",
    intervals: int = 2,
) -> list[Path]:
    """Write a scenario for each area, by default of a small network."""
    found = []
    for area in areas:
        path = folder / f"{area}.toml"
        start = f"{BEGIN:%Y-%m-%dT%H:%M:%SZ}"
        path.write_text(
            SCENARIO.format(area=area, network=network, intervals=intervals, start=start)
        )
        found.append(path)
    return found


async def until_health(condition: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    """Wait for what programs say of their health, without stopping the loop."""
    deadline = time.monotonic() + within_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.02)


async def until_shared(
    programs: Sequence[Program], shares: Sequence[int], within_s: float = 120.0
) -> None:
    """Wait until each area is served once, and programs have these shares, in any order."""
    total = sum(shares)

    def is_so() -> bool:
        served = [each.areas() for each in programs]
        sizes = sorted(map(len, served))
        return sizes == sorted(shares) and len(set[str]().union(*served)) == total

    await until_health(is_so, f"shares of {shares}", within_s)


def order_of(name: str, number: int) -> dict[str, Any]:
    """Return an order of a watt: the bakery sells, the mill buys, and each pair trades."""
    point, side = (0, "sell") if name == "bakery" else (1, "buy")
    made: dict[str, Any] = order(f"{name}-{number}", point, side, 1, "0.0100", interval=str(BEGIN))
    return made


@dataclass
class Trading:
    """Two customers in each area, one that sells and one that buys, order after order."""

    answered: dict[str, dict[str, int]] = field(default_factory=dict)
    """The numbers that the exchange of each area gave, by the clients' ids."""
    latest: dict[str, float] = field(default_factory=dict)
    """When the last answer of each area came."""
    longest: dict[str, float] = field(default_factory=dict)
    """The longest time between two answers of each area, since it was last forgotten."""

    async def run(self, customer: ParticipantClient, area: str, name: str, pause_s: float) -> None:
        for number in itertools.count(1):
            asked = order_of(name, number)
            answer = await customer.ask(asked, again_after_s=0.3)
            if answer["type"] == "accepted":
                self.answered[area][asked["client_order_id"]] = answer["order_id"]
            moment = time.monotonic()
            gap = moment - self.latest.get(area, moment)
            self.latest[area] = moment
            self.longest[area] = max(self.longest.get(area, 0.0), gap)
            await asyncio.sleep(pause_s)

    def count(self) -> int:
        """Return how many orders were accepted."""
        return sum(map(len, self.answered.values()))

    async def check(self, redis_url: str) -> int:
        """Check that each answered order is in the journal once; return how many there are."""
        for area, answered in self.answered.items():
            accepted = [
                event
                for entry in await journaled(redis_url, area)
                for event in entry.events
                if isinstance(event, OrderAccepted)
            ]
            counts = Counter(each.client_order_id for each in accepted)
            assert max(counts.values()) == 1, "none is doubled"
            written = {each.client_order_id: each.order_id for each in accepted}
            assert answered.items() <= written.items(), "none is lost"
        return self.count()


@contextlib.asynccontextmanager
async def trading(port: int, areas: Sequence[str], pause_s: float = 0.1) -> AsyncIterator[Trading]:
    """Let customers trade in all areas, as long as the body runs."""
    trades = Trading({area: {} for area in areas})
    async with contextlib.AsyncExitStack() as stack:
        customers = []
        for area in areas:
            for name in ("bakery", "mill"):
                settings = MqttSettings("127.0.0.1", port, f"{area}-{name}")
                settings = replace(settings, longest_backoff_s=0.2)
                made = await stack.enter_async_context(client(settings, area, name))
                customers.append((made, area, name))
        for made, _, name in customers:
            await made.ask(order_of(name, 0), again_after_s=0.3)
        missed = [made.missed for made, _, _ in customers]
        tasks = [
            asyncio.create_task(trades.run(made, area, name, pause_s))
            for made, area, name in customers
        ]
        try:
            yield trades
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or task.result() is None
        assert [made.missed for made, _, _ in customers] == missed, "no report is lost"
