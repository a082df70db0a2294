"""Commands from inside the program: they wait for their turn, and their callers for the events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from exchange.vocabulary.commands import Command
from exchange.vocabulary.events import Event
from gateway.errors import GatewayError


@dataclass(slots=True)
class InnerRequest:
    """A command from inside the program, and the future of its events."""

    command: Command
    answer: asyncio.Future[tuple[Event, ...]]

    def settle(self, events: tuple[Event, ...]) -> None:
        """Give the caller the events, which are durable."""
        if not self.answer.done():  # the caller may have been cancelled meanwhile
            self.answer.set_result(events)

    def fail(self, error: BaseException) -> None:
        """Let the caller know that there are no events that are known to be durable."""
        if not self.answer.done():
            self.answer.set_exception(error)


class InnerRequests:
    """The commands that wait.

    Parameters
    ----------
    wake
        Set when one comes.
    """

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._waiting: deque[InnerRequest] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def ask(self, command: Command) -> tuple[Event, ...]:
        """Let a command wait; return its events once they are durable."""
        answer: asyncio.Future[tuple[Event, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append(InnerRequest(command, answer))
        self._wake.set()
        return await answer

    def take(self) -> InnerRequest | None:
        """Return the oldest one, ``None`` where none waits."""
        return self._waiting.popleft() if self._waiting else None

    def abandon(self) -> None:
        """Fail all that wait, because the service has ended."""
        fail_all(self._waiting, GatewayError("the service has ended"))
        self._waiting.clear()


def fail_all(requests: Iterable[InnerRequest], error: BaseException) -> None:
    """Fail requests with one error."""
    for request in requests:
        request.fail(error)
