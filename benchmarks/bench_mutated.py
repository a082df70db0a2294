"""Is every one of a million damaged requests answered, and what do they cost the others?

Six senders, MQTT 3.1.1 and 5 at quality of service 0, 1 and 2 (paho), send requests whose bytes,
JSON, fields, properties and topics were changed, while five others place an order every 50 ms, open
loop, and measure how long the report takes.  mosquitto, Redis with ``appendfsync always``; rates
are lifted, so that every message is read.  An answer is a report that names its request.  What the
broker never passed on (wrong topics, and quality of service 0 in excess) has none.  The memory is
that of the exchange's process, with the number of orders that rest.

Run: ``python benchmarks/bench_mutated.py [--messages 1000000] [--per-second 1000]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

import bench_flood
import paho.mqtt.client as paho
import uvloop
from bench_gateway import UNLIMITED, machine
from gateway_market import START, serving
from gateway_servers import Mosquitto, RedisServer
from mutated_messages import mutated
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from rich.console import Console
from rich.table import Table

from exchange.vocabulary.formatting import format_time
from gateway.messages.topics import Topics
from gateway.service.garbage import collected_in_parts

AREA = "mutated"
FIRST = 6  # the senders' participants: those before are the others
KINDS = list(product((4, 5), (0, 1, 2)))  # protocol (4 is 3.1.1), quality of service
ELSEWHERE = 0.02  # share of the messages on a topic that is not the sender's
SAMPLES = 10  # of the memory
QUIET_S = 5.0
PROPERTIES: list[dict[str, Any]] = [
    {},
    {"ContentType": "", "ResponseTopic": "a", "CorrelationData": b""},
    {"UserProperty": [("", ""), ("a", "x" * 500), ("a", "\U0010fffd")]},
    {"MessageExpiryInterval": 2**32 - 1, "PayloadFormatIndicator": 1},
]


@dataclass
class Sent:
    """What one sender has sent, and how many answers it got."""

    version: int
    quality: int
    sent: int = 0
    elsewhere: int = 0
    answered: int = 0


class Sender:
    """A client of another library, with the books of what it is owed."""

    def __init__(self, port: int, number: int, version: int, quality: int, seed: int) -> None:
        self.counts = Sent(version, quality)
        self._draw = Random(f"{seed} {number}")
        self._topic, name = Topics(AREA).order(f"p{number}"), f"p{number}"
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            f"{AREA}-{name}",
            protocol=paho.MQTTProtocolVersion(version),
        )
        self._client.max_inflight_messages_set(500)
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(Topics(AREA).report(name), 1)
        self._client.loop_start()
        self.answered_at = time.monotonic()

    def _heard(self, client: Any, context: Any, message: paho.MQTTMessage) -> None:
        if json.loads(message.payload).get("request") is not None:
            self.counts.answered += 1
            self.answered_at = time.monotonic()

    def send(self) -> None:
        draw, topic = self._draw, self._topic
        if draw.random() < ELSEWHERE:
            self.counts.elsewhere += 1
            topic += draw.choice(["/", "/x", "/x/y", "\u00e9/x"])
        properties = None
        if self.counts.version == paho.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)
            for name, value in draw.choice(PROPERTIES).items():
                setattr(properties, name, value)
        payload = mutated(draw, format_time(START))
        self._client.publish(topic, payload, self.counts.quality, properties=properties)
        self.counts.sent += 1

    @property
    def owed(self) -> int:
        return self.counts.sent - self.counts.elsewhere - self.counts.answered


def send_all(port: int, messages: int, per_second: float, seed: int) -> None:
    """Send everything at a pace, wait for the answers, and print the counts as JSON."""
    senders = [Sender(port, FIRST + k, *kind, seed) for k, kind in enumerate(KINDS)]
    begun = time.monotonic()
    for number in range(messages):
        senders[number % len(senders)].send()
        ahead_s = begun + number / per_second - time.monotonic()
        if ahead_s > 0.01:
            time.sleep(ahead_s)
    while any(sender.owed for sender in senders):
        if time.monotonic() - max(sender.answered_at for sender in senders) > QUIET_S:
            break
        time.sleep(0.1)
    print(json.dumps([asdict(sender.counts) for sender in senders]))


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _child(script: str, *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, script, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )


async def run(
    given: argparse.Namespace,
) -> tuple[list[Sent], list[tuple[float, int]], list[float]]:
    """Return the counts, memory in MB and open orders at equal times, and the others' latencies."""
    expected_s = given.messages / given.per_second
    memory: list[tuple[float, int]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder)) as broker,
        RedisServer(Path(folder)) as redis,
    ):
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(collected_in_parts())
            settings = broker.settings(AREA, 5)
            points = FIRST + len(KINDS)
            service = await stack.enter_async_context(
                serving(AREA, settings, redis.url, points=points, settings=UNLIMITED)
            )
            paced = ("--send", broker.port, given.messages, given.per_second, given.seed)
            senders = await _child(__file__, *paced)
            others = await _child(bench_flood.__file__, "--others", AREA, broker.port, expected_s)
            sent = asyncio.create_task(senders.communicate())
            latencies = asyncio.create_task(others.communicate())
            while not sent.done():
                memory.append((memory_mb(), len(service.core.exchange.state.orders)))
                await asyncio.wait({sent}, timeout=max(expected_s / SAMPLES, 1.0))
            counts = [Sent(**each) for each in json.loads(sent.result()[0])]
            found = json.loads((await latencies)[0])
            service.core.exchange.check_invariants()
    return counts, memory, sorted(found)


def main() -> int:
    """Run it; 1 if a message at quality of service 1 or 2 has no answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--per-second", type=float, default=1_000.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--send", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send:
        port, messages, per_second, seed = given.send
        send_all(int(port), int(messages), float(per_second), int(seed))
        return 0
    logging.disable(logging.WARNING)
    counts, memory, latencies = uvloop.run(run(given))
    table = Table(title=f"Damaged requests, {given.per_second:,.0f} a second\n{machine()}")
    for column in ("MQTT", "QoS", "sent", "on other topics", "answered", "without an answer"):
        table.add_column(column, justify="right")
    for each in counts:
        version = "5" if each.version == paho.MQTTv5 else "3.1.1"
        numbers = (each.sent, each.elsewhere, each.answered)
        owed = each.sent - each.elsewhere - each.answered
        table.add_row(version, str(each.quality), *(f"{n:,}" for n in (*numbers, owed)))
    Console().print(table)
    at = [latencies[int(share * (len(latencies) - 1))] * 1e3 for share in (0.5, 0.99, 1.0)]
    print(
        f"orders of the others: {len(latencies):,}, p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, ",
        end="",
    )
    print(f"longest {at[2]:.0f} ms")
    for mb, orders in memory:
        print(f"memory of the exchange {mb:.0f} MB, open orders {orders:,}")
    missing = [
        each for each in counts if each.quality and each.sent - each.elsewhere != each.answered
    ]
    return int(bool(missing))


if __name__ == "__main__":
    raise SystemExit(main())
