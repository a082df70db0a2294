"""Recovery of a long journal: with a snapshot near its end, and without one.

Orders of 40 customers (55 % new ones, 45 % cancellations, some 2,000 resting, 2 % of the new ones
cross) are handled and journaled in groups of 500; then the exchange's state is rebuilt as at a
start, in this process.

Run: ``python benchmarks/bench_recovery.py [--entries 1000000] [--after 10000]``
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]

import uvloop
from gateway_market import OPENING, START, market
from gateway_servers import RedisServer
from rich.console import Console
from rich.table import Table

from exchange.vocabulary.commands import CancelOrder, Command, SubmitOrder
from exchange.vocabulary.orders import OrderTerms
from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry
from gateway.service.core import JournaledExchange, recover
from orderbook.order import Side
from security_check.model.envelope import Direction

NOW = START - timedelta(hours=3)
POINTS = 40
RESTING = 2_000
GROUP = 500
AREA = "recovered"


def commands(count: int) -> Iterator[Command]:
    """Yield the opening of an interval, and then orders and cancellations."""
    yield OPENING
    rng = random.Random(1)
    resting: list[tuple[str, str]] = []
    for number in range(1, count):
        if resting and (len(resting) >= RESTING or rng.random() < 0.45):
            participant, order_id = resting.pop(rng.randrange(len(resting)))
            yield CancelOrder(participant, f"c{number}", order_id)
            continue
        point, side = rng.randrange(POINTS), Side.BUY if number % 2 else Side.SELL
        ticks = 300 - number % 97 if side is Side.BUY else 500 + number % 89
        if rng.random() < 0.02:
            ticks = 800 - ticks  # meets the orders of the other side
        terms = OrderTerms(f"load:{point}", Direction.INJECTION, START, side, 10, ticks)
        yield SubmitOrder(f"p{point}", f"n{number}", terms)
        resting.append((f"p{point}", f"n{number}"))


async def write(journal: RedisJournal, count: int, after: int) -> str:
    """Journal entries, with a snapshot before the last ``after`` of them; return the digest."""
    core = JournaledExchange(market(AREA, POINTS))
    entries: list[JournalEntry] = []
    for command in commands(count):
        entry, _ = core.handle(command, NOW)
        assert entry is not None
        entries.append(entry)
        if len(entries) == GROUP or core.sequence in (count - after, count):
            await journal.append(entries, core.sequence)
            entries = []
        if core.sequence == count - after:
            await journal.begin_snapshot(lambda: core.snapshot().state)
            await journal.adopt_snapshot(core.sequence)
    await journal.renew(core.sequence)
    return core.exchange.digest()


class WithoutSnapshot(RedisJournal):
    """The same journal, as if no snapshot had been written."""

    async def read_snapshot(self) -> None:
        return None


async def recovered(journal: RedisJournal) -> tuple[float, str, int]:
    """Return the seconds of a recovery, its digest, and the resting orders."""
    began = time.perf_counter()
    core, unpublished = await recover(market(AREA, POINTS), journal)
    assert not unpublished
    took_s = time.perf_counter() - began
    return took_s, core.exchange.digest(), len(core.exchange.state.orders)


async def run(count: int, after: int) -> None:
    columns = ("entries", "from", "seconds", "us an entry", "resting orders", "memory at most")
    table = Table(*columns, title="Recovery")
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name)) as server:
        async with RedisJournal(server.url, AREA) as journal:
            digest = await write(journal, count, after)
        for kind, source, read in (
            (RedisJournal, "a snapshot", after),
            (WithoutSnapshot, "the first entry", count),
        ):
            async with kind(server.url, AREA) as journal:
                took_s, found, resting = await recovered(journal)
            assert found == digest, "the recovered state is another one"
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            each = f"{1e6 * took_s / read:.1f}"
            table.add_row(
                f"{count:,}", source, f"{took_s:.1f}", each, f"{resting:,}", f"{memory:.0f} MB"
            )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--after", type=int, default=10_000, help="entries after the snapshot")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given.entries, given.after))


if __name__ == "__main__":
    main()
