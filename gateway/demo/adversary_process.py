"""The adversary of the demo: attacks the envelopes after every trade, in a process of its own.

Trading does not wait for it.  It attacks the boxes of envelopes one after the other, with random
points, points along sensitivities, and ascents from the worst of them.
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

_TOLERANCE = 1e-6  # relative to a limit: the accuracy of the power flow
_SAMPLES = 64  # random points for each box
_CLIMBS = 2  # ascents from the worst of them


@dataclass(frozen=True, slots=True)
class AttackedEnvelopes:
    """Envelopes to attack: the interface limits, and all limits in watts, injection first."""

    trade_id: int
    interface_limits: InterfaceLimits
    limits_w: IntArray


@dataclass(frozen=True, slots=True)
class Attacked:
    """Result of attacking one box; ``violation`` is a sentence, or empty."""

    trade_id: int
    vertices_tried: int
    violation: str


class AdversaryProcess:
    """Attacks boxes of envelopes in a process beside the market.

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
        """Start the process, which first reads the network for a second or two."""
        self._pool.submit(_ready)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the process; boxes not begun are not attacked."""
        self._pool.shutdown(cancel_futures=True)

    def submit(self, box: AttackedEnvelopes) -> None:
        """Queue a box to attack."""
        self._futures.append(self._pool.submit(_attack, box))

    @property
    def submitted(self) -> int:
        """Number of boxes queued so far."""
        return len(self._futures)

    @property
    def done(self) -> int:
        """Number of boxes attacked so far."""
        return sum(future.done() for future in self._futures)

    def results(self) -> Sequence[Attacked]:
        """Return the result of every box, in order; wait until all are attacked."""
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
