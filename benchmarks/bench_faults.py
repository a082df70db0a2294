"""Does a fault of a server lose or double anything, or make what devices keep to insecure?

mosquitto, Redis with ``appendfsync always``, an exchange and its standby as processes, ten clients
that trade; random faults, some of them before the one before is over.  At the end the clients'
books are compared with the journal, and the exchange's own state with a replay.  A silence is the
time from a fault to the next answer that any client gets.

Run: ``python benchmarks/bench_faults.py [--faults 1000] [--seed 0]`` (1,000 faults: an hour)
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
sys.path[:0] = [str(ROOT / "tests" / "support" / each) for each in ("grids", "oracles", "services")]

from bench_gateway import machine
from fault_campaign import Campaign, Outcome
from rich.console import Console
from rich.table import Table


def table(outcome: Outcome) -> Table:
    found = Table(title=f"Random faults against real servers\n{machine()}")
    for column in ("fault", "times", "silence, median s", "90 %", "longest"):
        found.add_column(column, justify="left" if column == "fault" else "right")
    for kind, times in outcome.faults.most_common():
        silences = sorted(outcome.silences_s.get(kind, []))
        at = [silences[int(share * (len(silences) - 1))] for share in (0.5, 0.9, 1.0)]
        found.add_row(kind, f"{times:,}", *(f"{each:.2f}" for each in at))
    return found


def main() -> int:
    """Run a campaign; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # every fault is noted by every client
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(Campaign(Path(folder), given.seed).run(given.faults))
    console = Console()
    console.print(table(outcome))
    console.print(
        f"exchanges started again {outcome.starts:,} times; "
        f"{outcome.orders:,} orders acknowledged, {outcome.refused:,} refused, {outcome.fills:,} "
        f"fills, {outcome.entries:,} journal entries in {outcome.seconds:,.0f} s; the adversary "
        f"attacked what devices keep to {outcome.attacked:,} times"
    )
    console.print("\n".join(outcome.broken) or "nothing lost, doubled, or insecure")
    return int(bool(outcome.broken))


if __name__ == "__main__":
    raise SystemExit(main())
