"""Snapshots while the exchange goes on: pauses of its loop, time, bytes, and what orders feel.

An exchange with many resting orders makes a snapshot, once in its own loop (as JSON of the whole
state, which is what a snapshot cost before it was made in a copy of the process), and once in a
copy.  A task that wakes every millisecond measures how long the loop stood still; meanwhile the
exchange handles and journals orders in groups of 16.

Run: ``python benchmarks/bench_snapshots.py [--orders 5000 20000 50000]``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

import uvloop
from gateway_market import OPENING, START, market
from gateway_servers import RedisServer
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from exchange.vocabulary.commands import SubmitOrder
from exchange.vocabulary.orders import OrderTerms
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.witness import Witness
from gateway.service.core import JournaledExchange
from orderbook.order import Side
from security_check.model.envelope import Direction

NOW = START - timedelta(hours=3)
POINTS = 40
GROUP = 16


@dataclass
class Pauses:
    """How long the loop stood still between two looks, in seconds."""

    longest_s: float = 0.0
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def __aenter__(self) -> Pauses:
        self._task = asyncio.create_task(self._look())
        await asyncio.sleep(0.01)
        self.longest_s = 0.0
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest_s = max(self.longest_s, time.perf_counter() - began - 0.001)


def an_order(number: int) -> SubmitOrder:
    """Return an order that rests: bids below, offers above."""
    point, side = number % POINTS, Side.BUY if number % 2 else Side.SELL
    ticks = 300 - number % 97 if side is Side.BUY else 500 + number % 89
    terms = OrderTerms(f"load:{point}", Direction.INJECTION, START, side, 10, ticks)
    return SubmitOrder(f"p{point}", f"n{number}", terms)


async def trade(core: JournaledExchange, journal: RedisJournal, stop: asyncio.Event) -> list[float]:
    """Handle and journal groups of orders until told to stop; return how long each group took."""
    took: list[float] = []
    while not stop.is_set():
        began = time.perf_counter()
        first = core.sequence
        group = [core.handle(an_order(first + k), NOW)[0] for k in range(GROUP)]
        await journal.append([entry for entry in group if entry is not None], 0)
        took.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    return took


async def measure(orders: int, folder: Path, url: str) -> list[str]:
    """Return the row of the table for a number of resting orders."""
    area = f"area{orders}"
    core = JournaledExchange(market(area, POINTS))
    async with RedisJournal(url, area, witness=Witness(folder / area, area)) as journal:
        entries = [core.handle(OPENING, NOW)[0]]
        for number in range(orders):
            entries.append(core.handle(an_order(number), NOW)[0])
            if len(entries) >= 500 or number == orders - 1:
                await journal.append([each for each in entries if each is not None], 0)
                entries = []
        assert len(core.exchange.state.orders) == orders
        gc.collect()
        async with Pauses() as quiet:
            stop = asyncio.Event()
            trading = asyncio.create_task(trade(core, journal, stop))
            await asyncio.sleep(2.0)
            stop.set()
            before = sorted(await trading)
        began = time.perf_counter()
        whole = core.snapshot().state
        in_loop_s = time.perf_counter() - began
        size = len(whole)
        del whole
        gc.collect()
        async with Pauses() as pauses:
            stop = asyncio.Event()
            trading = asyncio.create_task(trade(core, journal, stop))
            await asyncio.sleep(0.1)
            began = time.perf_counter()
            written = journal.begin_snapshot(lambda: core.snapshot().state)
            copied_s = time.perf_counter() - began
            await written
            await journal.adopt_snapshot(0)
            took_s = time.perf_counter() - began
            stop.set()
            during = sorted(await trading)
            longest_s = pauses.longest_s
        async with Redis.from_url(url) as client:
            kept = int((await client.hget(f"doe:{{{area}}}:snapshot", "bytes")) or 0)
        began = time.perf_counter()
        found = await journal.read_snapshot()
        JournaledExchange(market(area, POINTS), found)
        restored_s = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"{orders:,}",
        f"{1000 * in_loop_s:,.0f} ms, {size / 1e6:.1f} MB",
        f"{1000 * longest_s:.1f} ms (of it the copy {1000 * copied_s:.1f})",
        f"{1000 * quiet.longest_s:.1f} ms",
        f"{took_s:.1f} s, {kept / 1e6:.1f} MB",
        f"{1000 * before[len(before) // 2]:.1f} / {1000 * before[-1]:.0f} ms",
        f"{1000 * during[len(during) // 2]:.1f} / {1000 * during[-1]:.0f} ms",
        f"{restored_s:.1f} s",
        f"{memory:.0f} MB",
    ]


async def run(numbers: list[int]) -> None:
    columns = (
        *("resting orders", "in the loop: pause, bytes", "in a copy: longest pause"),
        *("without: longest pause", "written in", "16 orders, without: p50/max"),
        *("16 orders, during: p50/max", "restored in", "memory"),
    )
    table = Table(*columns, title="Snapshots")
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name)) as server:
        for orders in numbers:
            table.add_row(*await measure(orders, Path(name), server.url))
    Console(width=200).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, nargs="+", default=[5_000, 20_000, 50_000])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(parser.parse_args().orders))


if __name__ == "__main__":
    main()
