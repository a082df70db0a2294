"""Messages on their way to the broker, and the journal entry up to which it has them all.

With each connection everything retained goes out again, in parts, so that the loop does not stand
still meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice

from gateway.errors import PublishRefusedError
from gateway.ports import Outgoing, Transport
from gateway.service.core import JournaledExchange

_LOG = logging.getLogger(__name__)
_PART = 1_000  # envelopes that are published again in one round: some 10 ms


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

    def publish(self, sequence: int, messages: list[Outgoing]) -> asyncio.Future[None]:
        """Hand over messages of entries up to ``sequence``; done when all are confirmed."""
        confirmed = self._transport.publish(messages)
        self._unconfirmed.append((sequence, confirmed))
        confirmed.add_done_callback(self._confirmed)
        return confirmed

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


class Republication:
    """Publishes everything retained again with each connection.

    The broker may have lost its memory, or have an older one.  Subscribers that know a message see
    the same version or sequence again and ignore it.  Envelopes go out in parts, what is needed
    soonest in the first; the next part follows when the broker has confirmed the one before.

    Parameters
    ----------
    transport, outbox
        Which connection there is, and where messages go.
    clock
        Returns the time of the market.
    """

    def __init__(self, transport: Transport, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self._transport = transport
        self._outbox = outbox
        self._clock = clock
        self._begun_for: tuple[JournaledExchange, int] | None = None
        self._envelopes: Iterator[Outgoing] = iter(())
        self._part: asyncio.Future[None] | None = None

    def look(self, core: JournaledExchange) -> None:
        """Publish the next part where it is due; the first one after a new connection."""
        now_for = (core, self._transport.connections)
        begins = now_for != self._begun_for
        if begins:
            self._begun_for = now_for
            self._envelopes = core.publisher.envelopes.retained(self._clock)
        elif self._part is not None and not self._part.done():
            return
        messages = list(islice(self._envelopes, _PART))
        if begins:
            messages += core.publisher.retained(self._clock())
        self._part = self._outbox.publish(core.sequence, messages) if messages else None
