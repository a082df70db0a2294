"""Start of an exchange: from the command to the moment when all intervals due are open.

``serve`` on the 41-customer network opens the intervals of a day at its start, on mosquitto and a
Redis that syncs each write.  A client counts the retained envelopes.

Run: ``python benchmarks/bench_start.py [--intervals 96] [--rounds 3]``
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

from gateway_servers import Mosquitto, RedisServer
from rich.console import Console
from rich.table import Table
from running_exchange import served

from gateway.transport.mqtt import MqttTransport

CUSTOMERS = 41
SCENARIO = """
area = "started"
[network]
source = "bundled:semiurb4"
connection_points = "load"
[limits]
voltage_min_pu = 0.90
voltage_max_pu = 1.10
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 30000
withdrawal_w = 30000
[market]
opening_minutes = {minutes}
"""
LONGEST_S = 120.0


async def all_envelopes(mosquitto: Mosquitto, began: float, wanted: int) -> tuple[float, float]:
    """Return when so many envelopes had come, in seconds, and their MB."""
    seen: dict[str, int] = {}
    settings = mosquitto.settings("counter")
    async with MqttTransport(settings, ("doe/v1/started/envelope/#",)) as transport:
        async with asyncio.timeout(LONGEST_S):
            while len(seen) < wanted:
                messages = await transport.receive(1000)
                seen |= {each.topic: len(each.payload) for each in messages}
                transport.acknowledge(messages)
    return time.perf_counter() - began, sum(seen.values()) / 1e6


async def measure(folder: Path, intervals: int) -> list[str]:
    """Return a row of the table."""
    scenario = folder / "started.toml"
    # An interval that is due within its length is open as well.
    scenario.write_text(SCENARIO.format(minutes=15 * intervals), encoding="utf-8")
    with Mosquitto(folder) as mosquitto, RedisServer(folder) as redis:
        servers = {
            "DOE_MQTT_URL": f"mqtt://127.0.0.1:{mosquitto.port}",
            "DOE_REDIS_URL": redis.url,
            "PYTHONPATH": str(ROOT),
        }
        began = time.perf_counter()
        counting = asyncio.create_task(all_envelopes(mosquitto, began, CUSTOMERS * intervals))

        def start() -> float:
            with served(scenario, environment=servers):
                ready_s = time.perf_counter() - began
                done.wait(LONGEST_S)
                return ready_s

        done = threading.Event()
        serving = asyncio.create_task(asyncio.to_thread(start))
        try:
            there_s, size = await counting
        finally:
            done.set()
        ready_s = await serving
    return [f"{intervals}", f"{ready_s:.1f} s", f"{there_s:.1f} s", f"{size:.1f} MB"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    columns = ("intervals", "all are open after", "all envelopes at a client after", "of it")
    table = Table(*columns, title=f"Start, {CUSTOMERS} customers")
    for count in (1, *[given.intervals] * given.rounds):
        with tempfile.TemporaryDirectory() as name:
            table.add_row(*asyncio.run(measure(Path(name), count)))
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    Console(width=120).print(table, load)


if __name__ == "__main__":
    main()
