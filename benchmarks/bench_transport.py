"""Processor time of the MQTT transport for one message: published, received, acknowledged.

One process sends itself messages of quality of service 1 over mosquitto, so the figures are the sum
of both directions, without the broker's own time.  The port (``MqttTransport``) stands beside
aiomqtt, a client of the same kind on paho; both are measured in turns.

Run: ``python benchmarks/bench_transport.py [--messages 10000] [--waiting 64] [--rounds 5]``
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

import aiomqtt
import uvloop
from bench_gateway import machine
from gateway_servers import Mosquitto
from rich.console import Console
from rich.table import Table

from gateway.ports import Outgoing
from gateway.transport.mqtt import MqttTransport

PAYLOAD = b"x" * 250  # about an order
Measured = Callable[[Mosquitto, int, int, int], Coroutine[Any, Any, None]]


@dataclass
class Clock:
    """Processor time of this process, and time of the wall, between two moments."""

    cpu_s: float = 0.0
    wall_s: float = 0.0

    def __enter__(self) -> Clock:
        self.cpu_s, self.wall_s = -time.process_time(), -time.perf_counter()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cpu_s += time.process_time()
        self.wall_s += time.perf_counter()


CLOCK = Clock()


async def own(server: Mosquitto, version: int, messages: int, waiting: int) -> None:
    """Send and receive by the port; ``waiting`` messages are on their way at any time."""
    topic = "bench/own"
    async with MqttTransport(server.settings("bench-own", version), [topic]) as transport:
        with CLOCK:
            for _ in range(waiting):
                transport.publish([Outgoing(topic, PAYLOAD)])
            sent, got = waiting, 0
            while got < messages:
                received = await transport.receive(waiting)
                transport.acknowledge(received)
                got += len(received)
                for _ in range(min(len(received), messages - sent)):
                    transport.publish([Outgoing(topic, PAYLOAD)])
                    sent += 1


async def peer(server: Mosquitto, version: int, messages: int, waiting: int) -> None:
    """Do the same by aiomqtt, which acknowledges by itself; its calls wait for confirmations."""
    topic = "bench/peer"
    settings = server.settings("bench-peer", version)
    protocol = aiomqtt.ProtocolVersion.V5 if version == 5 else aiomqtt.ProtocolVersion.V311
    quiet = logging.getLogger("peer")
    quiet.setLevel(logging.CRITICAL)  # it warns of each call that waits
    async with aiomqtt.Client(
        settings.host,
        settings.port,
        identifier="bench-peer",
        protocol=protocol,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=quiet,
    ) as client:
        await client.subscribe(topic, 1)
        arrived = asyncio.Semaphore(waiting)

        async def send() -> None:
            for _ in range(messages):
                await arrived.acquire()
                # As many confirmations may be missing as messages: no call waits for its own.
                tasks.add(task := asyncio.create_task(client.publish(topic, PAYLOAD, 1)))
                task.add_done_callback(tasks.discard)

        tasks: set[asyncio.Task[None]] = set()
        with CLOCK:
            sending = asyncio.create_task(send())
            got = 0
            async for _ in client.messages:
                got += 1
                arrived.release()
                if got == messages:
                    break
            await asyncio.gather(sending, *tasks)


PEERS: dict[str, tuple[Measured, int]] = {
    "own session, MQTT 5": (own, 5),
    "aiomqtt and paho, MQTT 5": (peer, 5),
    "own session, MQTT 3.1.1": (own, 4),
    "aiomqtt and paho, MQTT 3.1.1": (peer, 4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    with tempfile.TemporaryDirectory() as directory, Mosquitto(Path(directory)) as server:
        for _ in range(arguments.rounds):
            for name, (measured, version) in PEERS.items():
                uvloop.run(measured(server, version, arguments.messages, arguments.waiting))
                found[name].append((CLOCK.cpu_s, CLOCK.wall_s))
    table = Table(
        title=f"A message published, confirmed, received and acknowledged, {arguments.waiting} on"
        f" their way\n{machine()}"
    )
    for column in ("client", "CPU us/message", "least, most", "messages/s"):
        table.add_column(column, justify="left" if column == "client" else "right")
    for name, times in found.items():
        each = [1e6 * cpu_s / arguments.messages for cpu_s, _ in times]
        rate = arguments.messages / statistics.median(wall_s for _, wall_s in times)
        middle = statistics.median(each)
        table.add_row(name, f"{middle:.0f}", f"{min(each):.0f}, {max(each):.0f}", f"{rate:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
