"""What ``allocate`` does with a folder of scenarios."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path

from pydantic import Field

from gateway.formats.records import Record
from gateway.runs.batch_jobs import (
    JOB_LOG,
    Job,
    JobOutcome,
    jobs_in,
    left_to_do,
    open_job_log,
    remove_outdated,
)
from gateway.runs.batch_runners import run_in_processes, run_on_dask
from gateway.terminal.console import bar, err, escape, out
from gateway.terminal.envelopes import kilowatts

_SHOWN = 20  # failed networks; the ledger names all


class ManySummary(Record):
    """What came of a folder of scenarios; ``failed`` names the networks without envelopes."""

    results: str
    networks: int
    done_before: int
    allocated: int
    intervals: int
    envelopes: int
    smallest_w: int | None
    seconds: float
    failed: list[JobOutcome] = Field(default_factory=list)


def allocate_folder(
    folder: Path,
    results: Path,
    processes: int | None,
    scheduler: str | None,
    suffix: str = ".json",
) -> ManySummary:
    """Allocate every network of a folder that has not been allocated before.

    Parameters
    ----------
    folder, results
        Where the scenarios are, and where the envelopes go under the same names.
    processes
        How many on this machine; as many as it has processors where not given.
    scheduler
        Address of a Dask scheduler that runs the jobs instead.
    suffix
        Of the files of results: ``.json``, ``.csv`` or ``.parquet``.

    Raises
    ------
    InputFaults
        When there is no scenario, or the folder of results is of no use.
    GatewayError
        When the cluster does not answer.
    """
    jobs = jobs_in(folder, results, suffix)
    began = time.monotonic()
    with open_job_log(results) as ledger:
        to_do, before = left_to_do(jobs, results / JOB_LOG)
        remove_outdated(jobs, to_do)
        outcomes = []
        with bar("Allocating networks", len(jobs)) as step:
            step(len(before))
            with closing(_run(to_do, processes, scheduler)) as running:
                for outcome in running:
                    ledger.write(outcome)
                    outcomes.append(outcome)
                    step(len(before) + len(outcomes))
    done = [outcome for outcome in outcomes if not outcome.faults]
    everything = [*before, *done]
    smallest = [each.smallest_w for each in everything if each.smallest_w is not None]
    return ManySummary(
        results=str(results),
        networks=len(jobs),
        done_before=len(before),
        allocated=len(done),
        intervals=sum(each.intervals for each in everything),
        envelopes=sum(each.intervals * each.connection_points for each in everything),
        smallest_w=min(smallest, default=None),
        seconds=time.monotonic() - began,
        failed=sorted((each for each in outcomes if each.faults), key=lambda each: each.name),
    )


def _run(
    jobs: Iterable[Job], processes: int | None, scheduler: str | None
) -> Generator[JobOutcome, None, None]:
    if scheduler is not None:
        return run_on_dask(jobs, scheduler)
    return run_in_processes(jobs, processes or len(os.sched_getaffinity(0)))


def show_summary(summary: ManySummary) -> None:
    """Print what came of a folder, the failed networks first."""
    for outcome in summary.failed[:_SHOWN]:
        out.print(f"[bold red]failed[/] {escape(outcome.name)}:", soft_wrap=True)
        for fault in outcome.faults:
            out.print(f"  {escape(fault)}", soft_wrap=True)
    if len(summary.failed) > _SHOWN:
        out.print(f"... and {len(summary.failed) - _SHOWN} more; {JOB_LOG} names them all")
    before = f", {summary.done_before} done before" if summary.done_before else ""
    rate = f" ({summary.allocated / summary.seconds:.2f} networks/s)" if summary.allocated else ""
    out.print(
        f"{summary.networks} networks: {summary.allocated} allocated{before}, "
        f"{len(summary.failed)} failed; {summary.envelopes:,} envelopes; "
        f"{summary.seconds:,.1f} s{rate}",
        soft_wrap=True,
    )
    if summary.smallest_w is not None:
        out.print(f"smallest limit anywhere: {kilowatts(summary.smallest_w)} kW")
    err.print(f"wrote {escape(summary.results)}", soft_wrap=True)
