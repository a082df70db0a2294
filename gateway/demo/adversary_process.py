"""The adversary of the demo: attacks the envelopes after every trade, in a process of its own.

Trading does not wait for it.  What it is given is attacked in order, every box of envelopes by
itself, with random points, those that sensitivities lead to, and a climb from the worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import numpy as np

from doe_allocation.allocation.grid import Grid
from gateway.scenario.loading import load_scenario
from security_check.arrays import IntArray
from security_check.errors import PowerFlowError
from security_check.model.limits import InterfaceLimits

_TOLERANCE = 1e-6  # of a limit; what the power flow itself may be off
_SAMPLES = 64
_CLIMBS = 2


@dataclass(frozen=True, slots=True)
class AttackedEnvelopes:
    """Envelopes to attack: what holds at the interface, and all limits, injection first."""

    trade_id: int
    interface_limits: InterfaceLimits
    limits_w: IntArray


@dataclass(frozen=True, slots=True)
class Attacked:
    """What came of attacking one box; ``violation`` is a sentence, or empty."""

    trade_id: int
    vertices_tried: int
    violation: str


class AdversaryProcess:
    """Attacks boxes of envelopes beside the market.

    A context manager; leaving it stops the process.

    Parameters
    ----------
    scenario
        The scenario file, which the process reads for itself.
    seed
        Of the random points.
    """

    def __init__(self, scenario: Path, seed: int) -> None:
        # A fresh process: a copy of this one would share its sockets and event loop.
        self._pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_start, initargs=(scenario, seed)
        )
        self._futures: list[Future[Attacked]] = []

    def __enter__(self) -> Self:
        """Let the process start: reading the network takes a second or two."""
        self._pool.submit(_ready)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the process; what it has not begun is not done."""
        self._pool.shutdown(cancel_futures=True)

    def submit(self, box: AttackedEnvelopes) -> None:
        """Give it a box to attack."""
        self._futures.append(self._pool.submit(_attack, box))

    @property
    def submitted(self) -> int:
        """How many boxes it was given."""
        return len(self._futures)

    @property
    def done(self) -> int:
        """How many boxes it has attacked."""
        return sum(future.done() for future in self._futures)

    def results(self) -> Sequence[Attacked]:
        """Return what came of every box, in order; waits for those under way."""
        return [future.result() for future in self._futures]


_grid: Grid | None = None
_rng = np.random.default_rng()


def _start(scenario: Path, seed: int) -> None:
    global _grid, _rng
    _grid = load_scenario(scenario).grid()
    _rng = np.random.default_rng(seed)


def _ready() -> bool:
    return _grid is not None


def _attack(box: AttackedEnvelopes) -> Attacked:
    assert _grid is not None, "the process has read the scenario when it started"
    try:
        found = _grid.attack(
            box.interface_limits, box.limits_w, _rng, samples=_SAMPLES, climbs=_CLIMBS
        )
    except PowerFlowError as error:
        return Attacked(box.trade_id, 0, str(error))
    violation = ""
    if found.violation > _TOLERANCE:
        violation = f"{found.element} reaches {found.value:.6g} of {found.limit:.6g} {found.unit}"
    return Attacked(box.trade_id, found.points_tried, violation)
