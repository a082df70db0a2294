"""An event loop in virtual time: whatever waits is called at its moment, and no time passes.

``time.monotonic`` is the loop's clock while it runs, so all code of the process has one time.  The
code of a simulated process can stand still, as a process does that got SIGSTOP: what is due for it
meanwhile is called when it goes on, in the same order.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unittest import mock

Result = TypeVar("Result")
BEGIN = datetime(2030, 6, 1, tzinfo=UTC)
RUNNING: ContextVar[Standing | None] = ContextVar("RUNNING", default=None)
"""The simulated process whose code runs; all that it calls later, and all its tasks, inherit it."""
OUTSIDE = Context()
"""Where network and servers are called: no simulated process can hold them up."""


class StandstillError(Exception):
    """Nothing is due any more, and the work has not ended."""


class Standing:
    """Code that can stand still: between two steps of its tasks, never inside one."""

    def __init__(self) -> None:
        self.stopped = False
        self._held: list[asyncio.Handle] = []

    def stop(self) -> None:
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False
        held, self._held = self._held, []
        loop: Any = asyncio.get_running_loop()
        loop._ready.extend(held)

    def hold(self, handle: asyncio.Handle) -> None:
        self._held.append(handle)


class _Step:
    """A callback that is held while its process stands still."""

    handle: asyncio.Handle

    def __init__(self, process: Standing, call: Callable[..., object]) -> None:
        self._process, self._call = process, call

    def __call__(self, *given: object) -> None:
        if self._process.stopped:
            self._process.hold(self.handle)
        else:
            self._call(*given)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        return self._stepped(super().call_soon, (), callback, args, context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        return self._stepped(super().call_at, (when,), callback, args, context)

    def _stepped(
        self,
        schedule: Callable[..., Any],
        first: tuple[float, ...],
        callback: Any,
        args: tuple[Any, ...],
        context: Context | None,
    ) -> Any:
        process = RUNNING.get() if context is None else context.get(RUNNING)
        if process is None:
            return schedule(*first, callback, *args, context=context)
        step = _Step(process, callback)
        step.handle = schedule(*first, step, *args, context=context)
        return step.handle


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


def true_time(clock: VirtualClock) -> datetime:
    """Return the time of day, as a clock that never was wrong shows it."""
    return BEGIN + timedelta(seconds=clock.now)


def run_in_virtual_time(work: Coroutine[Any, Any, Result], clock: VirtualClock) -> Result:
    """Run a coroutine to its end; raises :class:`StandstillError` when it waits for nothing."""
    selector = _Jumping()
    selector.clock = clock
    with (
        mock.patch("time.monotonic", clock),
        asyncio.Runner(loop_factory=lambda: _VirtualLoop(selector)) as runner,
    ):
        return runner.run(work)
