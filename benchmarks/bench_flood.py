"""What does a participant that floods the exchange cost the others?

Five participants send an order every 50 ms, open loop, while a sixth sends as much as it can: at
quality of service 1 (as many messages as the broker lets be under way) or 0 (as many bytes as the
broker reads), orders or rubbish.  mosquitto, Redis with ``appendfsync always``; the exchange has
its usual rates.  A latency ends when the report has been read.  Bounded in time.

Run: ``python benchmarks/bench_flood.py [--seconds 15]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

import uvloop
from bench_gateway import machine
from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer
from rich.console import Console
from rich.table import Table

from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.service.garbage import collected_in_parts
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.mqtt_packets import connect_packet, publish_packet
from gateway.transport.participant_client import ParticipantClient

OTHERS = range(1, 6)
EVERY_S = 0.05
AT_ONCE = 500  # messages of the flood that are written together
FLOODS = {
    "none": None,
    "orders, QoS 1": (1, True),
    "rubbish, QoS 1": (1, False),
    "orders, QoS 0": (0, True),
    "rubbish, QoS 0": (0, False),
}


@dataclass(frozen=True)
class Figures:
    flood: str
    flooded_per_s: float
    p50_ms: float
    p99_ms: float
    most_ms: float


def payloads(area: str, *, orders: bool) -> list[Outgoing]:
    """Return messages of the flood; orders are refused or rest, at a price that never trades."""
    bodies = [
        json.dumps(order(f"f{k}", 0, "buy", 10, "0.0001")).encode() if orders else b"\xff{" * 60
        for k in range(AT_ONCE)
    ]
    return [Outgoing(Topics(area).order("p0"), body) for body in bodies]


async def flood(area: str, port: int, quality: int, *, orders: bool) -> None:
    """Send until this process is ended; print the number of messages every half second."""
    messages = payloads(area, orders=orders)
    settings = MqttSettings("127.0.0.1", port, f"{area}-p0", version=5)
    sent, printed_at = 0, time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        if quality:
            transport = await stack.enter_async_context(MqttTransport(settings, ()))
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(connect_packet(5, settings.client_id, 600, (None, None), None, []))
            await reader.read(100)
            packets = b"".join(publish_packet(5, each, 0, retain=False) for each in messages)
        while True:
            if quality:
                await transport.publish(messages)
            else:
                writer.write(packets)
                await writer.drain()
            sent += len(messages)
            if time.monotonic() - printed_at > 0.5:
                printed_at = time.monotonic()
                print(sent, flush=True)


async def latencies(area: str, port: int, seconds: float) -> None:
    """Be the other participants; print the latencies of their orders as JSON."""
    mqtt = MqttSettings("127.0.0.1", port, "", version=5)
    found: list[float] = []

    async def one(asking: ParticipantClient, number: int) -> None:
        point, begun = number % len(OTHERS) + 1, time.perf_counter()
        side = "buy" if point % 2 else "sell"
        await asking.ask(order(f"n{number}", point, side, 10, "0.0450"), again_after_s=60)
        found.append(time.perf_counter() - begun)

    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                client(replace(mqtt, client_id=f"{area}-p{k}"), area, f"p{k}")
            )
            for k in OTHERS
        ]
        ended, number = time.monotonic() + seconds, 0
        async with asyncio.TaskGroup() as asked:
            while time.monotonic() < ended:
                for asking in clients:
                    asked.create_task(one(asking, number))
                    number += 1
                await asyncio.sleep(EVERY_S)
    print(json.dumps(found))


@contextlib.asynccontextmanager
async def _child(*arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


async def measure(name: str, broker: Mosquitto, redis: str, seconds: float) -> Figures:
    area, how = f"flood{list(FLOODS).index(name)}", FLOODS[name]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(collected_in_parts())
        settings = broker.settings(area, 5)
        await stack.enter_async_context(serving(area, settings, redis))
        flooding = None
        if how is not None:
            quality, orders = how
            flooding = await stack.enter_async_context(
                _child("--flood", area, settings.port, quality, int(orders))
            )
            assert flooding.stdout is not None
            await flooding.stdout.readline()  # it has begun
        async with _child("--others", area, settings.port, seconds) as others:
            output, _ = await others.communicate()
        flooded = 0.0
        if flooding is not None:
            assert flooding.stdout is not None
            flooding.terminate()
            counts = (await flooding.stdout.read()).split()
            flooded = (int(counts[-1]) - int(counts[0])) / (0.5 * (len(counts) - 1))
    found = sorted(json.loads(output))
    at = [found[int(share * (len(found) - 1))] * 1e3 for share in (0.5, 0.99, 1.0)]
    return Figures(name, flooded, *at)


async def run(seconds: float) -> list[Figures]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder)) as broker,
        RedisServer(Path(folder)) as redis,
    ):
        return [await measure(name, broker, redis.url, seconds) for name in FLOODS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--flood", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--others", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flood:
        area, port, quality, orders = given.flood
        uvloop.run(flood(area, int(port), int(quality), orders=orders == "1"))
    elif given.others:
        area, port, seconds = given.others
        uvloop.run(latencies(area, int(port), float(seconds)))
    else:
        table = Table(title=f"Orders of five participants beside a flood of a sixth\n{machine()}")
        for column in ("flood", "its messages/s", "p50 ms", "p99 ms", "longest ms"):
            table.add_column(column, justify="left" if column == "flood" else "right")
        for each in uvloop.run(run(given.seconds)):
            figures = (each.flooded_per_s, each.p50_ms, each.p99_ms, each.most_ms)
            table.add_row(each.flood, *(f"{figure:,.1f}" for figure in figures))
        Console().print(table)


if __name__ == "__main__":
    main()
