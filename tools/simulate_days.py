"""Run market days with faults in virtual time, and print those that break a promise, shortened.

Run: ``python tools/simulate_days.py [--days 1000] [--seed 0] [--workers 2]``.  A day is decided by
its script (``tests/support/simulation/simulated_faults.py``): what is printed becomes a test.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT)] + [
    str(ROOT / "tests" / "support" / folder)
    for folder in ("grids", "markets", "oracles", "services", "simulation")
]
sys.path.append(str(ROOT / "tests"))

from simulated_day import SimulatedDay, broken
from simulated_faults import Script, shortened


def tried(seed: int) -> tuple[Script, int, str]:
    """Run the day of a seed; return its script, its journal entries, and what it breaks."""
    logging.disable(logging.CRITICAL)
    script = Script.drawn(seed)
    day = SimulatedDay(script)
    said = broken(day)
    if said is None:
        return script, day.entries, ""
    short = shortened(script, lambda each: broken(SimulatedDay(each)) is not None)
    return script, day.entries, f"{short}\n  {broken(SimulatedDay(short))}"


def main() -> int:
    """Run days; 1 if one of them breaks a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first day")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    entries, faults, bad = 0, Counter[str](), 0
    days_with, networks, began = Counter[str](), 0, time.monotonic()
    with ProcessPoolExecutor(given.workers) as pool:
        for script, count, said in pool.map(tried, range(given.seed, given.seed + given.days)):
            kinds = [fault.kind for fault in script.faults]
            entries += count
            networks += script.network
            faults.update(kinds)
            days_with.update(set(kinds))
            if said:
                bad += 1
                print(said, flush=True)
    print(f"{given.days:,} days, {entries:,} journal entries, {faults.total():,} faults:")
    for kind, count in faults.most_common():
        print(f"  {kind}: {count:,} in {days_with[kind]:,} days")
    print(f"  {networks:,} days on a feeder with AC power flow; {time.monotonic() - began:,.0f} s")
    print(f"  {bad} days break a promise")
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
