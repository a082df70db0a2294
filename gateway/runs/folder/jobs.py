"""The jobs of a folder run: one for each scenario (``*.toml``) of the folder.

A contract at its interface makes each network independent of the others.  Jobs can therefore run
in any order, in any process, and on any machine that sees the folder.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from gateway.formats.atomic_files import KeptInputs
from gateway.formats.faults import InputFaults, unreadable
from gateway.formats.input_files import files_named_by
from gateway.formats.records import Record
from security_check.errors import Fault, GridError

JOB_LOG = "jobs.jsonl"
"""Name of the job log: one :class:`JobOutcome` a line, in the order in which jobs ended."""

JOB_LOCK = f".{JOB_LOG}.lock"
"""Name of the file that the process holds which writes the job log."""

_one_at_a_time = threading.Lock()
"""Warning filters and solvers are global to a process: its threads take turns, one job each."""


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
        Digest of everything that the result depends on; see :func:`digest_of`.
    """

    name: str
    scenario: Path
    result: Path
    digest: str


class JobOutcome(Record):
    """The outcome of one job: figures of its envelopes, or faults.

    ``not_secured`` has a sentence for each interval that could not be secured; of these,
    ``without_envelopes`` have none.  ``smallest_w`` and ``mean_w`` are over all limits published;
    ``seconds`` is the run time.
    """

    name: str
    digest: str
    intervals: int = 0
    connection_points: int = 0
    smallest_w: int | None = None
    mean_w: float | None = None
    seconds: float = 0.0
    without_envelopes: int = 0
    not_secured: list[str] = Field(default_factory=list)
    faults: list[str] = Field(default_factory=list)


def jobs_in(folder: Path, results: Path, suffix: str = ".json") -> list[Job]:
    """Return a job for every scenario (``*.toml``) below a folder, sorted by name.

    Parameters
    ----------
    folder, results
        The folder of scenarios, and the folder of results.
    suffix
        File suffix of the results: ``.json``, ``.csv`` or ``.parquet``.

    Raises
    ------
    InputFaults
        When the folder holds no scenario or cannot be read, or when a result would overwrite a
        scenario or a file that one names.
    """
    found = sorted(folder.rglob("*.toml"))
    if not found:
        raise InputFaults(str(folder), [Fault("folder", "it holds no scenario (*.toml)")])
    jobs: list[Job] = []
    inputs = KeptInputs()
    for path in found:
        relative = path.relative_to(folder)
        try:
            digest = digest_of(path, suffix)
            inputs.keep(path, "a scenario of the folder")
            for each in files_named_by(path):
                inputs.keep(each, f"which {relative.as_posix()} names")
        except OSError as error:
            raise unreadable(str(path), error) from None
        jobs.append(Job(relative.as_posix(), path, results / relative.with_suffix(suffix), digest))
    faults = [
        Fault(str(output), f"{what} would overwrite this file, {why}; choose another folder")
        for output, what in _outputs_of(jobs, results)
        if (why := inputs.at(output)) is not None
    ]
    if faults:
        raise InputFaults(str(results), faults)
    return jobs


def _outputs_of(jobs: Iterable[Job], results: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file that a folder run writes, and what it is."""
    for name in (JOB_LOG, JOB_LOCK):
        yield results / name, "the job log"
    for job in jobs:
        yield job.result, f"the envelopes of {job.name}"


def digest_of(scenario: Path, suffix: str = ".json") -> str:
    """Return a digest of a scenario, of every file it names, and of this program's version.

    The format of the results is part of the digest, because the job log has one line for each
    network, which is valid for one format only.
    """
    digest = hashlib.sha256(f"{version('doe-exchange')} {suffix}".encode())
    for path in (scenario, *files_named_by(scenario)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def allocate_job(job: Job) -> JobOutcome:
    """Allocate one network and write its envelopes; return figures or faults.

    Raises nothing: a faulty network must not stop the others.
    """
    with _one_at_a_time:
        began = time.perf_counter()
        try:
            outcome = _allocated(job)
        except InputFaults as found:
            outcome = failed(job, [str(fault) for fault in found.faults])
        except (GridError, OSError) as error:
            outcome = failed(job, [str(error)])
        except Exception as error:  # an internal error, which the report must show
            outcome = failed(job, [f"{type(error).__name__}: {error}"])
        return outcome.model_copy(update={"seconds": time.perf_counter() - began})


def _allocated(job: Job) -> JobOutcome:
    from gateway.formats.envelope_writers import result_writer
    from gateway.runs.allocation import allocate_intervals
    from gateway.runs.unsecured import unsecured_faults
    from gateway.scenario.loading import load_scenario

    scenario = load_scenario(job.scenario)
    job.result.parent.mkdir(parents=True, exist_ok=True)
    published, sum_w = 0, 0
    smallest_w: int | None = None
    unsecured: list[Fault] = []
    with result_writer(job.result) as write:
        for record, capacity in allocate_intervals(scenario, lambda done: None):
            write(record, capacity)
            unsecured += unsecured_faults([record])
            limits_w = [
                limit_w
                for each in record.envelopes
                for limit_w in (each.injection_limit_w, each.withdrawal_limit_w)
            ]
            if limits_w:
                published += 1
                smallest_w = min(limits_w if smallest_w is None else [smallest_w, *limits_w])
                sum_w += sum(limits_w)
        if not published:
            raise InputFaults(scenario.source, unsecured)
    points = len(scenario.network.connection_points)
    return JobOutcome(
        name=job.name,
        digest=job.digest,
        intervals=len(scenario.intervals),
        connection_points=points,
        smallest_w=smallest_w,
        mean_w=sum_w / (2 * published * points),
        without_envelopes=len(scenario.intervals) - published,
        not_secured=[str(each) for each in unsecured],
    )


def failed(job: Job, faults: Sequence[str]) -> JobOutcome:
    """Return the outcome of a job without envelopes, with the reasons."""
    return JobOutcome(name=job.name, digest=job.digest, faults=list(faults))
