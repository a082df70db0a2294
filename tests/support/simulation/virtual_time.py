"""An event loop in virtual time: whatever waits is called at its moment, and no time passes.

``time.monotonic`` is the loop's clock while it runs, so all code of the process has one time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")


class StandstillError(Exception):
    """Nothing is due any more, and the work has not ended."""


class _Jumping(selectors.DefaultSelector):
    """Lets the clock jump to the next thing that is due, instead of waiting for it."""

    clock: VirtualClock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise StandstillError
            self.clock.now += timeout
        return ready


class VirtualClock:
    """Seconds since the simulation began."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run_in_virtual_time(work: Coroutine[Any, Any, Result], clock: VirtualClock) -> Result:
    """Run a coroutine to its end; raises :class:`StandstillError` when it waits for nothing."""
    selector = _Jumping()
    selector.clock = clock
    with (
        mock.patch("time.monotonic", clock),
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        return runner.run(work)
