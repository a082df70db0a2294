"""A folder of networks: throughput and memory, in local processes and on a Dask cluster.

    python benchmarks/bench_many.py [LARGEST]

Each feeder is `bundled:semiurb4` with its own capacities, over 96 intervals with the limits of the
demo's day.  LARGEST is the number of feeders (default 1,000); a tenth of it is run, too.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from bench_allocation import machine
from distributed import LocalCluster

from gateway.formats.input_files import bundled
from gateway.runs.folder.allocation import FolderSummary, allocate_jobs
from gateway.runs.folder.jobs import jobs_in

PROCESSES = 2
FEEDER = """
[network]
source = "bundled:semiurb4"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = {injection_w}
withdrawal_w = {withdrawal_w}
[intervals]
start = 2016-05-02T00:00:00Z
count = 96
limits_file = "limits.csv"
"""


def write_feeders(folder: Path, count: int) -> None:
    folder.mkdir()
    (folder / "limits.csv").write_text(bundled("interface_limits.csv").read_text())
    for i in range(count):
        text = FEEDER.format(injection_w=20_000 + 10 * i, withdrawal_w=30_000 - 10 * i)
        (folder / f"feeder{i:04}.toml").write_text(text)


class Memory:
    """The largest resident memory, in MB, of this process and of its children, in the block."""

    def __enter__(self) -> Memory:
        self.own_mb = self.children_mb = 0.0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.5):
            self.own_mb = max(self.own_mb, me.memory_info().rss / 1e6)
            children = [_rss_mb(child) for child in me.children(recursive=True)]
            self.children_mb = max(self.children_mb, max(children, default=0.0))

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()


def _rss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss / 1e6)
    except psutil.Error:
        return 0.0  # the process has ended


def show(name: str, count: int, work: Callable[[], FolderSummary]) -> None:
    with Memory() as memory:
        summary = work()
    assert not summary.failed
    print(
        f"{name:>20} | {count:5,} | {summary.seconds:8.1f} | {count / summary.seconds:8.2f} | "
        f"{summary.intervals / summary.seconds:8.0f} | {memory.own_mb:8.0f} | "
        f"{memory.children_mb:8.0f}",
        flush=True,
    )


def allocate(
    folder: Path, results: Path, processes: int | None, scheduler: str | None
) -> FolderSummary:
    jobs = jobs_in(folder, results)
    return allocate_jobs(jobs, results, processes, scheduler, lambda done: None)


def main() -> None:
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print(machine())
    print("               where | feeders | seconds | feeders/s | intervals/s | MB here | MB there")
    with tempfile.TemporaryDirectory() as place:
        for count in (largest // 10, largest):
            folder = Path(place) / f"in{count}"
            write_feeders(folder, count)
            local = Path(place) / f"local{count}"
            show("2 processes", count, partial(allocate, folder, local, PROCESSES, None))
        folder = Path(place) / f"in{largest // 10}"
        began = time.perf_counter()
        with LocalCluster(
            n_workers=PROCESSES, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster:
            print(f"a Dask cluster of {PROCESSES} starts in {time.perf_counter() - began:.1f} s")
            remote = Path(place) / "dask"
            address = cluster.scheduler_address
            show(
                "Dask, 2 workers",
                largest // 10,
                partial(allocate, folder, remote, None, address),
            )


if __name__ == "__main__":
    main()
