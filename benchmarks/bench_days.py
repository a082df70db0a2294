"""Whole days: time for an interval and memory, as the number of intervals grows.

Each row is a process of its own.  It allocates ``1-LV-rural3--0-sw`` with simbench profiles, whose
generators have bands that grow with the horizon, and writes a JSON or a Parquet file.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SCENARIO = """
[network]
source = "simbench:1-LV-rural3--0-sw"
passive = "as-given"
[limits]
voltage_min_pu = 0.95
voltage_max_pu = 1.05
[interface]
voltage_min_pu = 0.99
voltage_max_pu = 1.02
[capacity]
injection_w = 15000
withdrawal_w = 15000
[uncertainty]
relative = 0.1
relative_per_hour = 0.01
relative_at_most = 0.4
[profiles]
powers = "simbench"
[intervals]
start = 2016-06-06T00:00:00Z
count = {count}
"""


def run(count: int, suffix: str) -> tuple[float, float]:
    """Return the processor time in seconds and the largest memory in MB of one allocation."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "scenario.toml"
        scenario.write_text(SCENARIO.format(count=count))
        script = "import sys; from gateway.cli.main import main; sys.exit(main())"
        output = Path(folder) / f"result{suffix}"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Each child measures itself: the parent only knows the largest of all children.
        measured = (
            "import resource, subprocess, sys; "
            "code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
        )
        command = [sys.executable, "-c", script, "allocate", str(scenario), "-o", str(output)]
        done = subprocess.run(
            [sys.executable, "-c", measured, *command],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return spent, int(done.stdout) / 1024


def main() -> None:
    """Print a table."""
    print("| intervals | file | processor time | of it for each interval | largest memory |")
    print("| ---: | --- | ---: | ---: | ---: |")
    for suffix in (".parquet", ".json"):
        start_s, _ = run(1, suffix)
        for count in (96, 7 * 96):
            spent_s, memory_mb = run(count, suffix)
            each_ms = 1e3 * (spent_s - start_s) / (count - 1)
            kind = suffix.removeprefix(".")
            print(f"| {count} | {kind} | {spent_s:.1f} s | {each_ms:.1f} ms | {memory_mb:.0f} MB |")


if __name__ == "__main__":
    main()
