"""The job log: one line for each finished job, in the folder of results.

A job whose inputs have not changed since its line was written is not done again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from gateway.formats.atomic_files import remove_left_over
from gateway.formats.faults import InputFaults, unreadable, why
from gateway.runs.folder.jobs import JOB_LOCK, JOB_LOG, Job, JobOutcome
from security_check.errors import Fault


def remove_outdated(jobs: Sequence[Job], to_do: Iterable[Job]) -> None:
    """Remove the results of jobs that are to be done, so that a job that fails has no envelopes.

    Temporary files that a killed process left behind are removed, too, for all jobs.

    Raises
    ------
    InputFaults
        When a result cannot be removed.
    """
    for folder in dict.fromkeys(job.result.parent for job in jobs):
        remove_left_over(folder)
    for job in to_do:
        try:
            job.result.unlink(missing_ok=True)
        except OSError as error:
            detail = f"it is out of date and cannot be removed: {why(error)}"
            raise InputFaults(str(job.result), [Fault("file", detail)]) from None


def left_to_do(jobs: Iterable[Job], log: Path) -> tuple[list[Job], list[JobOutcome]]:
    """Return the jobs that are to be done, and the outcomes of those that are done.

    A job that failed is tried again: the cause may have been outside the scenario.

    Raises
    ------
    InputFaults
        When the job log cannot be read, or a line of it is not an outcome.
    """
    last = {outcome.name: outcome for outcome in _outcomes(log)}
    to_do, done = [], []
    for job in jobs:
        outcome = last.get(job.name)
        if (
            outcome is not None
            and not outcome.faults
            and outcome.digest == job.digest
            and job.result.is_file()
        ):
            done.append(outcome)
        else:
            to_do.append(job)
    return to_do, done


def _outcomes(log: Path) -> Iterator[JobOutcome]:
    try:
        lines = log.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(str(log), error) from None
    # A crash may cut the last line off; its job is done again.
    for number, line in enumerate(lines[:-1], start=1):
        if not line:
            continue
        try:
            yield JobOutcome.model_validate_json(line)
        except ValidationError:
            detail = "it is not the outcome of a job; choose another folder for the results"
            raise InputFaults(str(log), [Fault(f"line {number}", detail)]) from None


class JobLog:
    """Writes the outcome of each job to the disk at once, so that a crash does not lose it."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("ab")
        if self._stream.tell() and not path.read_bytes().endswith(b"\n"):
            self._cut_torn_line(path)

    def _cut_torn_line(self, path: Path) -> None:
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)

    def write(self, outcome: JobOutcome) -> None:
        """Append a line and sync the file to the disk."""
        self._stream.write(outcome.model_dump_json().encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


@contextmanager
def open_job_log(results: Path) -> Iterator[JobLog]:
    """Open the job log in a folder of results, for one process at a time.

    Raises
    ------
    InputFaults
        When the folder cannot be written to, or another process holds the job log.
    """
    lock = None
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / JOB_LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        log = JobLog(results / JOB_LOG)
    except BlockingIOError:
        assert lock is not None
        lock.close()
        detail = "another process is writing its results there"
        raise InputFaults(str(results), [Fault("folder", detail)]) from None
    except OSError as error:
        detail = f"it cannot be written to: {why(error)}"
        raise InputFaults(str(results), [Fault("folder", detail)]) from None
    try:
        yield log
    finally:
        log.close()
        lock.close()
