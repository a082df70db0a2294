"""Twenty areas on three processes: one is killed, one joins, one stands still; and what areas cost.

Real processes ``serve --standby``, mosquitto and Redis (``appendfsync always``) on this machine.
Two customers trade in each area all the time; in the end each answered order must be in the
journal once, and no report may be missing.  A silence is the longest time between two answers in an
area, the pause of its customers included.  Memory is what a process has for itself.  Bounded in
areas and time: some minutes.

Run: ``python benchmarks/bench_areas.py [--areas 20] [--seconds 10] [--network bundled:lv-rural2]``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support" / "services")]
os.environ["PYTHONPATH"] = str(ROOT)  # of the processes

from gateway_servers import Mosquitto, RedisServer
from installation import (
    Program,
    Trading,
    trading,
    until_health,
    until_shared,
    write_scenarios,
)

WITHIN_S = 120.0
TICKS = os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    """Anonymous memory: what a process has for itself, libraries not counted."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    raise LookupError("Anonymous")


def processor_s(process: int) -> float:
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


async def cost(number: int, seconds: float) -> tuple[float, float]:
    """Return MB of a process, and its processor time in ms of each second."""
    begun, began = processor_s(number), time.monotonic()
    await asyncio.sleep(seconds)
    used = (processor_s(number) - begun) / (time.monotonic() - began)
    return memory_mb(number), used * 1000


def show(name: str, *figures: str) -> None:
    print(f"{name:48}", *(f"{each:>22}" for each in figures), flush=True)


def silences(trades: Trading, areas: Collection[str]) -> str:
    found = sorted(trades.longest[area] for area in areas)
    if not found:
        return "no area"
    return f"{statistics.median(found):.2f} s, at most {found[-1]:.2f} s"


def shares(count: int, processes: int) -> list[int]:
    least, more = divmod(count, processes)
    return [least + (place < more) for place in range(processes)]


class Bench:
    def __init__(self, folder: Path, chosen: argparse.Namespace, stack: ExitStack) -> None:
        self.folder = folder
        self.seconds: float = chosen.seconds
        self.stack = stack
        self.areas = [f"area-{number:02}" for number in range(chosen.areas)]
        self.scenarios = write_scenarios(folder, self.areas, chosen.network, chosen.intervals)
        self.broker = stack.enter_context(Mosquitto(folder))
        self.redis = stack.enter_context(RedisServer(folder))
        self.started = 0

    def start(self, scenarios: Sequence[Path] | None = None) -> Program:
        self.started += 1
        environment = {
            "DOE_MQTT_URL": f"mqtt://127.0.0.1:{self.broker.port}",
            "DOE_REDIS_URL": self.redis.url,
            "DOE_LOG_LEVEL": "error",
        }
        data = self.folder / f"data-{self.started}"
        program = Program(scenarios or self.scenarios, data, environment)
        self.stack.callback(program.end)
        return program

    async def costs(self) -> list[Program]:
        """Measure one area, all areas, and all areas beside a second process."""
        alone = self.start(self.scenarios[:1])
        await until_shared([alone], [1], WITHIN_S)
        base = await cost(alone.process.pid, self.seconds)
        alone.finish()
        count = len(self.areas)
        began = time.monotonic()
        first = self.start()
        await until_shared([first], [count], WITHIN_S)
        show(f"start of a process with {count} areas", f"{time.monotonic() - began:.1f} s")
        owns = await cost(first.process.pid, self.seconds)
        second = self.start()
        await until_shared([first, second], shares(count, 2), WITHIN_S)
        numbers = (second.process.pid, self.broker.number, self.redis.number)
        shared, broker, redis = await asyncio.gather(
            *(cost(each, self.seconds) for each in numbers)
        )
        own, followed = shares(count, 2)[1], shares(count, 2)[0]
        show("", "MB", "ms of processor a s")
        show("a process with one idle area", *(f"{each:.1f}" for each in base))
        owned = [(b - a) / (count - 1) for a, b in zip(base, owns, strict=True)]
        show("each further area, served, idle", *(f"{each:.2f}" for each in owned))
        rest = [
            (both - one - each * (own - 1)) / followed
            for one, each, both in zip(base, owned, shared, strict=True)
        ]
        show("each area that is followed, idle", *(f"{each:.2f}" for each in rest))
        for name, (_, used) in (("broker", broker), ("Redis", redis)):
            show(f"{name}, for each area of two processes", "", f"{used / count:.2f}")
        return [first, second]

    async def moves(self, programs: list[Program]) -> None:
        """Let processes end, come and stand still while customers trade in all areas."""
        count = len(self.areas)
        programs.append(self.start())
        await until_shared(programs, shares(count, 3), WITHIN_S)
        async with trading(self.broker.port, self.areas) as trades:
            await asyncio.sleep(1.0)
            before, began = trades.count(), time.monotonic()
            used = await asyncio.gather(
                *(cost(each.process.pid, self.seconds) for each in programs)
            )
            rate = (trades.count() - before) / (time.monotonic() - began)
            total = sum(each for _, each in used)
            show("while customers trade", f"{rate:.0f} orders/s", f"{total:.0f} ms a s, all three")
            show("an area, undisturbed: silence", silences(trades, self.areas))

            killed, *others = programs
            lost = killed.areas()
            trades.longest.clear()
            began = time.monotonic()
            killed.process.kill()
            await until_health(
                lambda: len(set[str]().union(*(each.areas() for each in others))) == count, "all"
            )
            show(f"killed with {len(lost)} areas: all serve", f"{time.monotonic() - began:.2f} s")
            await asyncio.sleep(2.0)
            show("silence, its areas", silences(trades, lost))
            show("silence, the others", silences(trades, set(self.areas) - lost))

            trades.longest.clear()
            began = time.monotonic()
            added = self.start()
            programs = [*others, added]
            known = ("serves", "standby_at_entry")
            await until_health(
                lambda: sum(len(added.areas(each)) for each in known) == count, "it follows"
            )
            show("added: it follows all", f"{time.monotonic() - began:.1f} s")
            began = time.monotonic()
            await until_shared(programs, shares(count, 3), WITHIN_S)
            moved = added.areas()
            show("then: fair shares", f"{time.monotonic() - began:.1f} s")
            await asyncio.sleep(1.0)
            show(f"silence, {len(moved)} areas that moved", silences(trades, moved))
            show("silence, the others", silences(trades, set(self.areas) - moved))

            stopped, *others = programs
            lost = stopped.areas()
            trades.longest.clear()
            stopped.pause()
            await until_shared(others, shares(count, 2), WITHIN_S)
            await asyncio.sleep(1.0)
            show(f"stands still with {len(lost)}: silence", silences(trades, lost))
            trades.longest.clear()
            began = time.monotonic()
            stopped.go_on()
            await until_shared(programs, shares(count, 3), WITHIN_S)
            show("it goes on: fair shares", f"{time.monotonic() - began:.1f} s")
            await asyncio.sleep(1.0)
            show("silence, all areas", silences(trades, self.areas))
        answered = await trades.check(self.redis.url)
        show("answered orders: none lost, none doubled", f"{answered:,}")
        for each in programs:
            assert each.finish() == 0

    async def run(self, *, only_costs: bool) -> None:
        programs = await self.costs()
        if not only_costs:
            await self.moves(programs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--areas", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--network", default="pandapower:simple_four_bus_system")
    parser.add_argument("--intervals", type=int, default=2, help="open for trading in each area")
    parser.add_argument("--only-costs", action="store_true", help="leave out the moves")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        load = os.getloadavg()[0]
        print(f"{chosen.areas} areas; load of the machine before: {load:.1f} on {os.cpu_count()}")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(Bench(Path(folder), chosen, stack).run(only_costs=chosen.only_costs))


if __name__ == "__main__":
    main()
