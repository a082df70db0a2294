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

from gateway.input_faults import InputFaults, unreadable, why
from gateway.records import Record
from security_check.errors import Fault, GridError

LEDGER = "networks.jsonl"
"""In the folder of results: an :class:`Outcome` a line, in the order in which they came."""

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


class Outcome(Record):
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
        When there is none, or the folder cannot be read.
    """
    found = sorted(folder.rglob("*.toml"))
    if not found:
        raise InputFaults(str(folder), [Fault("folder", "there is no scenario (*.toml) in it")])
    jobs = []
    for path in found:
        relative = path.relative_to(folder)
        try:
            digest = digest_of(path)
        except OSError as error:
            raise unreadable(str(path), error) from None
        jobs.append(Job(relative.as_posix(), path, results / relative.with_suffix(suffix), digest))
    return jobs


def digest_of(scenario: Path) -> str:
    """Return a digest of a scenario, of every file it names, and of this program's version.

    Whatever value of the scenario is the name of a file beside it counts as one.
    """
    text = scenario.read_bytes()
    digest = hashlib.sha256(version("doe-exchange").encode())
    try:
        content = tomllib.loads(text.decode())
    except ValueError:  # whoever reads it will say what is wrong
        content = {}
    for part in (text, *(path.read_bytes() for path in _files_of(content, scenario.parent))):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _files_of(content: Any, folder: Path) -> Iterator[Path]:
    if isinstance(content, str):
        path = folder / content if "\0" not in content and len(content) < 256 else folder
        if path.is_file():
            yield path
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _files_of(value, folder)
    elif isinstance(content, list):
        for value in content:
            yield from _files_of(value, folder)


def allocate_job(job: Job) -> Outcome:
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


def _allocated(job: Job) -> Outcome:
    from gateway.cli_grid import allocate_intervals
    from gateway.result_files import result_writer
    from gateway.scenario_loading import load_scenario

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
    return Outcome(
        name=job.name,
        digest=job.digest,
        intervals=intervals,
        connection_points=points,
        smallest_w=smallest_w,
        mean_w=sum_w / (2 * intervals * points),
    )


def failed(job: Job, faults: Sequence[str]) -> Outcome:
    """Return that a network has no envelopes, and why."""
    return Outcome(name=job.name, digest=job.digest, faults=list(faults))


def left_to_do(jobs: Iterable[Job], ledger: Path) -> tuple[list[Job], list[Outcome]]:
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


def _outcomes(ledger: Path) -> Iterator[Outcome]:
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
            yield Outcome.model_validate_json(line)
        except ValidationError:
            detail = "it is not what came of a network; take another folder for the results"
            raise InputFaults(str(ledger), [Fault(f"line {number}", detail)]) from None


class Ledger:
    """Writes down what came of each network, so that it is not lost."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("ab")
        if self._stream.tell() and not path.read_bytes().endswith(b"\n"):
            self._cut_torn_line(path)

    def _cut_torn_line(self, path: Path) -> None:
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)

    def write(self, outcome: Outcome) -> None:
        """Append a line; when this returns it is on the disk."""
        self._stream.write(outcome.model_dump_json().encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


@contextmanager
def open_ledger(results: Path) -> Iterator[Ledger]:
    """Open the ledger in a folder of results, for one process at a time.

    Raises
    ------
    InputFaults
        When the folder cannot be written to, or another process writes to it.
    """
    lock = None
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / f".{LEDGER}.lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ledger = Ledger(results / LEDGER)
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
