"""Print the modules that run for an order that trades, for the table in ``docs/architecture.md``.

Run: ``python tools/modules_of_a_trade.py``.  The exchange serves the reference case with mosquitto
and Redis, and a client in another process sells 1,000 W and buys 400 W of them.  From the moment
the buying order is published until its report has come, the file of every function that the
exchange calls is noted, in its main thread; what it does by the clock is turned off.  Modules that
only define something run nothing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "support" / "services")]

from bench_gateway import reference_market
from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer

from gateway.service.settings import ServiceSettings
from gateway.transport.mqtt_client import MqttSettings

AREA = "trace"
PACKAGES = ("gateway", "exchange", "orderbook", "doe_allocation", "security_check")
NEVER_S = 1e6
NOTHING_BY_THE_CLOCK = ServiceSettings(
    depth_changes_s=NEVER_S,
    depth_s=NEVER_S,
    heartbeat_s=NEVER_S,
    renew_s=NEVER_S,
    probe_s=NEVER_S,
    confirm_s=NEVER_S,
    silent_after_s=NEVER_S,
)
Modules = frozenset[str]


async def trade(port: int) -> None:
    """Be the client: sell, say so, and buy as often as a line comes on standard input."""
    mqtt = MqttSettings("127.0.0.1", port, "p0", version=5)
    async with (
        client(mqtt, AREA, "p0") as seller,
        client(replace(mqtt, client_id="p1"), AREA, "p1") as buyer,
    ):
        await seller.ask(order("s", 0, "sell", 1000, "0.0450"))
        print("ready", flush=True)
        for number, _ in enumerate(iter(sys.stdin.readline, "")):
            await buyer.ask(order(f"b{number}", 1, "buy", 400, "0.0500"))
            print("done", flush=True)


async def modules_of_trades() -> tuple[Modules, Modules]:
    """Return the modules that run for the first trade of an interval, and for the next."""
    market = reference_market(AREA)
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder)) as broker,
        RedisServer(Path(folder)) as redis,
    ):
        settings = broker.settings(AREA, 5)
        async with serving(AREA, settings, redis.url, settings=NOTHING_BY_THE_CLOCK, setup=market):
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, str(settings.port)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert child.stdin is not None
            assert child.stdout is not None
            await child.stdout.readline()
            await asyncio.sleep(1.0)  # until everything about the sale is done
            first = await _run(child.stdin, child.stdout)
            later = await _run(child.stdin, child.stdout)
            child.stdin.close()
            await child.wait()
    return first, later


async def _run(to: asyncio.StreamWriter, back: asyncio.StreamReader) -> Modules:
    files: set[str] = set()

    def note(frame: FrameType, what: str, _: object) -> None:
        if what == "call":
            files.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        to.write(b"\n")
        await back.readline()
        await asyncio.sleep(0.2)  # until the broker has confirmed everything
    finally:
        sys.setprofile(None)
    inside = (Path(name).relative_to(ROOT) for name in files if name.startswith(str(ROOT)))
    return frozenset(
        ".".join(path.with_suffix("").parts) for path in inside if path.parts[0] in PACKAGES
    )


def main() -> None:
    first, later = asyncio.run(modules_of_trades())
    rooms = sorted({name.rpartition(".")[0] for name in first | later}, key=_place)
    for room in rooms:
        names, more = (
            [_last(n) for n in sorted(s) if n.rpartition(".")[0] == room]
            for s in (later, first - later)
        )
        cells = [", ".join(names)] if names else []
        cells += [f"first trade: {', '.join(more)}"] if more else []
        print(f"| `{room}` | {'; '.join(cells)} |")
    for package in PACKAGES:
        counts = [
            sum(name.partition(".")[0] == package for name in each) for each in (later, first)
        ]
        print(f"{package}: {counts[0]}, first trade {counts[1]}")
    print(f"all: {len(later)}, first trade {len(first | later)}")


def _place(room: str) -> tuple[int, str]:
    return PACKAGES.index(room.partition(".")[0]), room


def _last(name: str) -> str:
    return f"`{name.rpartition('.')[2]}`"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(trade(int(sys.argv[1])))
    else:
        main()
