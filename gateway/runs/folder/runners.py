"""Run jobs in processes of this machine, or on a Dask cluster.

Both runners take jobs from an iterator as processes become free, and yield each outcome as it
arrives, so memory does not grow with the number of networks.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any

from gateway.errors import GatewayError
from gateway.formats.optional_packages import missing_package
from gateway.runs.folder.jobs import Job, JobOutcome, allocate_job, failed

Work = Callable[[Job], JobOutcome]

_WAITING = 2  # jobs handed to each process: the next one is there when a job ends
_CONNECT_S = 10  # seconds to wait for a Dask scheduler: it answers in milliseconds or is not there
_KILLED = "its process ended without an answer: it was killed or ran out of memory"


def run_in_processes(
    jobs: Iterable[Job], processes: int, work: Work = allocate_job
) -> Generator[JobOutcome, None, None]:
    """Yield the outcomes of jobs that run in ``processes`` processes of this machine.

    When a process dies, its job is reported as failed; the other jobs in progress run again.
    """
    waiting = iter(jobs)
    while True:
        suspects = yield from _run_until_one_dies(waiting, processes, work)
        if not suspects:
            return
        # Which job's process died is unknown, so each job in progress gets its own process.
        for job in suspects:
            dead = yield from _run_until_one_dies(iter([job]), 1, work)
            if dead:
                yield failed(job, [_KILLED])


def _run_until_one_dies(
    waiting: Iterator[Job], processes: int, work: Work
) -> Generator[JobOutcome, None, list[Job]]:
    """Yield outcomes until no job is left or a process dies; return the jobs in progress then."""
    # Not forked: threads of this process (progress bar) may hold locks at that moment.
    context = multiprocessing.get_context("spawn")
    running: dict[Future[JobOutcome], Job] = {}
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_tie_to_parent) as pool:
        try:
            while True:
                for job in islice(waiting, _WAITING * processes - len(running)):
                    running[_submitted(pool, work, job)] = job
                if not running:
                    return []
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = done.result()
                    del running[done]
                    yield outcome
        except BrokenProcessPool:
            return list(running.values())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tie_to_parent() -> None:
    """Let a process end with the one that started it, and end silently at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _submitted(pool: ProcessPoolExecutor, work: Work, job: Job) -> Future[JobOutcome]:
    try:
        return pool.submit(work, job)
    except BrokenProcessPool as error:  # a process has died since the last wait
        broken: Future[JobOutcome] = Future()
        broken.set_exception(error)
        return broken


def run_on_dask(
    jobs: Iterable[Job], scheduler: str, work: Work = allocate_job
) -> Generator[JobOutcome, None, None]:
    """Yield the outcomes of jobs on a Dask cluster, whose workers must see the same folders.

    Raises
    ------
    GatewayError
        When dask.distributed is not installed, or no scheduler answers at the address.
    """
    client, results_of = _connected(scheduler)
    waiting, suspects = iter(jobs), []
    with client:
        room = _WAITING * max(1, sum(client.nthreads().values()))
        # pure=False: Dask must run a repeated job again, not return the earlier outcome.
        running = {client.submit(work, job, pure=False): job for job in islice(waiting, room)}
        results = results_of(list(running), loop=client.loop, raise_errors=False)
        for future in results:
            job = running.pop(future)
            outcome = _outcome(future, job)
            if outcome is None:
                suspects.append(job)
            else:
                yield outcome
            future.release()
            for following in islice(waiting, 1):
                submitted = client.submit(work, following, pure=False)
                running[submitted] = following
                results.add(submitted)
        # The scheduler blames all jobs of a dead worker; run alone, only the failing job dies.
        for job in suspects:
            yield _outcome(client.submit(work, job, pure=False), job) or failed(job, [_KILLED])


def _outcome(future: Any, job: Job) -> JobOutcome | None:
    """Return the outcome of a job on a cluster, ``None`` where its workers died."""
    raised = future.exception()
    if raised is None:
        outcome: JobOutcome = future.result()
        return outcome
    if type(raised).__name__ == "KilledWorker":
        return None
    return failed(job, [f"the cluster could not run it: {type(raised).__name__}: {raised}"])


def _connected(scheduler: str) -> tuple[Any, Callable[..., Any]]:
    """Return a client of a cluster and Dask's ``as_completed``; Dask publishes no types."""
    if missing := missing_package("distributed", "a Dask scheduler"):
        raise GatewayError(missing)
    import distributed

    connect: Any = distributed.Client
    try:
        return connect(
            scheduler, timeout=_CONNECT_S, set_as_default=False
        ), distributed.as_completed
    except (OSError, ValueError) as error:
        raise GatewayError(f"no Dask scheduler answers at {scheduler}: {error}") from None
