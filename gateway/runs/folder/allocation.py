"""Allocate every network of a folder that has no up-to-date envelopes yet."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from pydantic import Field

from gateway.formats.records import Record
from gateway.runs.allocation import Step
from gateway.runs.folder.job_log import left_to_do, open_job_log, remove_outdated
from gateway.runs.folder.jobs import JOB_LOG, Job, JobOutcome
from gateway.runs.folder.runners import run_in_processes, run_on_dask


class FolderSummary(Record):
    """The outcome of a folder run.

    ``failed`` are the networks without envelopes, ``not_secured`` those in which an interval could
    not be secured.
    """

    results: str
    networks: int
    done_before: int
    allocated: int
    intervals: int
    envelopes: int
    smallest_w: int | None
    seconds: float
    not_secured: list[JobOutcome] = Field(default_factory=list)
    failed: list[JobOutcome] = Field(default_factory=list)


def allocate_jobs(
    jobs: Sequence[Job],
    results: Path,
    processes: int | None,
    scheduler: str | None,
    step: Step,
) -> FolderSummary:
    """Allocate the networks of all jobs that have not been done before.

    Parameters
    ----------
    jobs
        From :func:`gateway.runs.folder.jobs.jobs_in`.
    results
        The folder of results, which also holds the job log.
    processes
        Number of processes on this machine; one per processor if ``None``.
    scheduler
        Address of a Dask scheduler that runs the jobs instead.
    step
        Called with the number of jobs done so far.

    Raises
    ------
    InputFaults
        When the folder of results cannot be used.
    GatewayError
        When the cluster does not answer.
    """
    began = time.monotonic()
    outcomes = []
    with open_job_log(results) as log:
        to_do, before = left_to_do(jobs, results / JOB_LOG)
        remove_outdated(jobs, to_do)
        step(len(before))
        with closing(_run(to_do, processes, scheduler)) as running:
            for outcome in running:
                log.write(outcome)
                outcomes.append(outcome)
                step(len(before) + len(outcomes))
    done = [outcome for outcome in outcomes if not outcome.faults]
    everything = [*before, *done]
    smallest = [each.smallest_w for each in everything if each.smallest_w is not None]
    return FolderSummary(
        results=str(results),
        networks=len(jobs),
        done_before=len(before),
        allocated=len(done),
        intervals=sum(each.intervals for each in everything),
        envelopes=sum(_published(each) for each in everything),
        smallest_w=min(smallest, default=None),
        seconds=time.monotonic() - began,
        not_secured=sorted(
            (each for each in everything if each.not_secured), key=lambda each: each.name
        ),
        failed=sorted((each for each in outcomes if each.faults), key=lambda each: each.name),
    )


def _published(outcome: JobOutcome) -> int:
    """Return the number of envelopes of a network, over all intervals that have some."""
    return (outcome.intervals - outcome.without_envelopes) * outcome.connection_points


def _run(
    jobs: Iterable[Job], processes: int | None, scheduler: str | None
) -> Generator[JobOutcome, None, None]:
    if scheduler is not None:
        return run_on_dask(jobs, scheduler)
    return run_in_processes(jobs, processes or len(os.sched_getaffinity(0)))
