"""Many networks, one job each: what there is to do, what is done, and what came of it.

Contracts at the interfaces make every network independent of the others (security.md section 7),
so a folder of scenarios is a list of jobs in any order, in any process, on any machine that sees
the folder.  What came of each is a line in the folder of results; a job whose inputs are the same
as when its line was written is not done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from gateway.formats.atomic_files import remove_left_over
from gateway.formats.faults import InputFaults, unreadable, why
from gateway.formats.records import Record
from security_check.errors import Fault, GridError

JOB_LOG = "networks.jsonl"
"""In the folder of results: an :class:`JobOutcome` a line, in the order in which they came."""

_NO_NAME = re.compile(r"[\s=\"'()\[\]{},]+")  # between the words of an OpenDSS file

_one_at_a_time = threading.Lock()
"""Warnings and solvers are the process', so a process with several threads does one job."""


@dataclass(frozen=True, slots=True)
class Job:
    """One network to allocate.

    Parameters
    ----------
    name
        The scenario, relative to the folder, with forward slashes.
    scenario, result
        Paths of the scenario and of the envelopes to write.
    digest
        Of everything that the result depends on; see :func:`digest_of`.
    """

    name: str
    scenario: Path
    result: Path
    digest: str


class JobOutcome(Record):
    """What came of a network: a result, or faults.

    ``smallest_w`` and ``mean_w`` are over all limits of all intervals; ``seconds`` is what it took.
    """

    name: str
    digest: str
    intervals: int = 0
    connection_points: int = 0
    smallest_w: int | None = None
    mean_w: float | None = None
    seconds: float = 0.0
    faults: list[str] = Field(default_factory=list)


def jobs_in(folder: Path, results: Path, suffix: str = ".json") -> list[Job]:
    """Return a job for every scenario (``*.toml``) in a folder and those below it, sorted by name.

    Their results have that suffix: ``.json``, ``.csv`` or ``.parquet``.

    Raises
    ------
    InputFaults
        When there is none, the folder cannot be read, or a result would take the place of a file
        that a scenario names.
    """
    found = sorted(folder.rglob("*.toml"))
    if not found:
        raise InputFaults(str(folder), [Fault("folder", "there is no scenario (*.toml) in it")])
    jobs: list[Job] = []
    inputs: dict[Path, str] = {}
    for path in found:
        relative = path.relative_to(folder)
        try:
            digest = digest_of(path, suffix)
            inputs |= {each.resolve(): relative.as_posix() for each in _inputs_of(path)}
        except OSError as error:
            raise unreadable(str(path), error) from None
        jobs.append(Job(relative.as_posix(), path, results / relative.with_suffix(suffix), digest))
    faults = [
        Fault(
            str(job.result),
            f"the envelopes of {job.name} would take the place of this file, which "
            f"{inputs[job.result.resolve()]} names; take another folder for the results",
        )
        for job in jobs
        if job.result.resolve() in inputs
    ]
    if faults:
        raise InputFaults(str(results), faults)
    return jobs


def digest_of(scenario: Path, suffix: str = ".json") -> str:
    """Return a digest of a scenario, of every file it names, and of this program's version.

    Whatever value of the scenario is the name of a file beside it counts as one; so does whatever
    word of an OpenDSS file is.  The format of the results is part of it: there is one line in the
    ledger for each network, and what it says of one format is not true of another.
    """
    digest = hashlib.sha256(f"{version('doe-exchange')} {suffix}".encode())
    for path in (scenario, *_inputs_of(scenario)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _inputs_of(scenario: Path) -> list[Path]:
    """Return the files that a scenario names, and those that these name in turn."""
    try:
        content = tomllib.loads(scenario.read_bytes().decode())
    except ValueError:  # whoever reads it will say what is wrong
        return []
    found: dict[Path, None] = {}
    left = list(_files_of(content, scenario.parent))
    while left:
        path = left.pop(0)
        if path in found:
            continue
        found[path] = None
        if path.suffix.lower() == ".dss":  # redirects to others, and loads shapes from them
            words = _NO_NAME.split(path.read_bytes().decode(errors="replace"))
            left += _files_of(words, path.parent)
    return list(found)


def _files_of(content: Any, folder: Path) -> Iterator[Path]:
    if isinstance(content, str):
        path = folder / content if "\0" not in content and len(content) < 256 else folder
        if content and path.is_file():
            yield path
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _files_of(value, folder)
    elif isinstance(content, list):
        for value in content:
            yield from _files_of(value, folder)


def allocate_job(job: Job) -> JobOutcome:
    """Allocate one network and write its envelopes; what is wrong with it is in the answer.

    Raises nothing: one network must not stop the others.
    """
    with _one_at_a_time:
        began = time.perf_counter()
        try:
            outcome = _allocated(job)
        except InputFaults as found:
            outcome = failed(job, [str(fault) for fault in found.faults])
        except (GridError, OSError) as error:
            outcome = failed(job, [str(error)])
        except Exception as error:  # an error of the program, which the report must show
            outcome = failed(job, [f"{type(error).__name__}: {error}"])
        return outcome.model_copy(update={"seconds": time.perf_counter() - began})


def _allocated(job: Job) -> JobOutcome:
    from gateway.formats.envelope_writers import result_writer
    from gateway.runs.allocation import allocate_intervals
    from gateway.scenario.loading import load_scenario

    scenario = load_scenario(job.scenario)
    job.result.parent.mkdir(parents=True, exist_ok=True)
    smallest_w, sum_w = None, 0
    with result_writer(job.result) as write:
        for record, capacity in allocate_intervals(scenario, lambda done: None):
            write(record, capacity)
            limits_w = [
                limit_w
                for each in record.envelopes
                for limit_w in (each.injection_limit_w, each.withdrawal_limit_w)
            ]
            smallest_w = min(limits_w if smallest_w is None else [smallest_w, *limits_w])
            sum_w += sum(limits_w)
    intervals, points = len(scenario.intervals), len(scenario.network.connection_points)
    return JobOutcome(
        name=job.name,
        digest=job.digest,
        intervals=intervals,
        connection_points=points,
        smallest_w=smallest_w,
        mean_w=sum_w / (2 * intervals * points),
    )


def failed(job: Job, faults: Sequence[str]) -> JobOutcome:
    """Return that a network has no envelopes, and why."""
    return JobOutcome(name=job.name, digest=job.digest, faults=list(faults))


def remove_outdated(jobs: Sequence[Job], to_do: Iterable[Job]) -> None:
    """Remove the results of jobs that are to be done: whoever fails now has no envelopes.

    So is what a process that was killed had begun to write, for any of the jobs.

    Raises
    ------
    InputFaults
        When one cannot be removed.
    """
    for folder in dict.fromkeys(job.result.parent for job in jobs):
        remove_left_over(folder)
    for job in to_do:
        try:
            job.result.unlink(missing_ok=True)
        except OSError as error:
            detail = f"it is out of date and cannot be removed: {why(error)}"
            raise InputFaults(str(job.result), [Fault("file", detail)]) from None


def left_to_do(jobs: Iterable[Job], ledger: Path) -> tuple[list[Job], list[JobOutcome]]:
    """Return the jobs that are to be done, and what came of those that are done.

    What failed is tried again: what was wrong may have been outside the scenario.

    Raises
    ------
    InputFaults
        When the ledger cannot be read, or is none.
    """
    last = {outcome.name: outcome for outcome in _outcomes(ledger)}
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


def _outcomes(ledger: Path) -> Iterator[JobOutcome]:
    try:
        lines = ledger.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(str(ledger), error) from None
    # A line that does not end was cut off by a crash, and its job is simply done again.
    for number, line in enumerate(lines[:-1], start=1):
        if not line:
            continue
        try:
            yield JobOutcome.model_validate_json(line)
        except ValidationError:
            detail = "it is not what came of a network; take another folder for the results"
            raise InputFaults(str(ledger), [Fault(f"line {number}", detail)]) from None


class JobLog:
    """Writes down what came of each network, so that it is not lost."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("ab")
        if self._stream.tell() and not path.read_bytes().endswith(b"\n"):
            self._cut_torn_line(path)

    def _cut_torn_line(self, path: Path) -> None:
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)

    def write(self, outcome: JobOutcome) -> None:
        """Append a line; when this returns it is on the disk."""
        self._stream.write(outcome.model_dump_json().encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


@contextmanager
def open_job_log(results: Path) -> Iterator[JobLog]:
    """Open the ledger in a folder of results, for one process at a time.

    Raises
    ------
    InputFaults
        When the folder cannot be written to, or another process writes to it.
    """
    lock = None
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / f".{JOB_LOG}.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ledger = JobLog(results / JOB_LOG)
    except BlockingIOError:
        assert lock is not None
        lock.close()
        detail = "another process is writing its results there"
        raise InputFaults(str(results), [Fault("folder", detail)]) from None
    except OSError as error:
        detail = f"it cannot be written to: {why(error)}"
        raise InputFaults(str(results), [Fault("folder", detail)]) from None
    try:
        yield ledger
    finally:
        ledger.close()
        lock.close()
