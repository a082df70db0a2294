"""Messages on their way to the broker, and the journal entry up to which it has them all."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from gateway.errors import PublishRefusedError
from gateway.ports import Outgoing, Transport

_LOG = logging.getLogger(__name__)


class Outbox:
    """Hands messages to the transport and follows their confirmations.

    Parameters
    ----------
    transport
        The port.
    published
        Sequence of the last entry whose messages a broker is known to have.
    """

    def __init__(self, transport: Transport, published: int) -> None:
        self._transport = transport
        self._unconfirmed: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.published = published
        """Sequence of the last entry up to which the broker has confirmed all messages."""

    def __len__(self) -> int:
        """Return the number of batches that the broker has not confirmed."""
        return len(self._unconfirmed)

    def publish(self, sequence: int, messages: list[Outgoing]) -> None:
        """Hand over messages of entries up to ``sequence``."""
        confirmed = self._transport.publish(messages)
        self._unconfirmed.append((sequence, confirmed))
        confirmed.add_done_callback(self._confirmed)

    def _confirmed(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and isinstance(future.exception(), PublishRefusedError):
            _LOG.error("%s", future.exception())
        while self._unconfirmed and self._unconfirmed[0][1].done():
            sequence, first = self._unconfirmed.popleft()
            if not first.cancelled():
                self.published = max(self.published, sequence)

    async def wait_for_room(self, batches: int) -> None:
        """Wait for the oldest confirmation where ``batches`` or more are missing."""
        if len(self._unconfirmed) >= batches:
            await asyncio.wait({self._unconfirmed[0][1]})

    async def drain(self, within_s: float) -> bool:
        """Wait until the broker has confirmed everything; return whether it has."""
        waiting = {future for _, future in self._unconfirmed}
        if waiting:
            await asyncio.wait(waiting, timeout=within_s)
        return not self._unconfirmed
