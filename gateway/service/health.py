"""Whether a service serves, and the measures of its queues and state."""

from __future__ import annotations

import math
import time

from gateway.ports import Transport
from gateway.service.core import JournaledExchange
from gateway.service.inbox import Inbox
from gateway.service.measures import Measures
from gateway.service.outbox import Outbox
from gateway.service.periodic import PeriodicMessages

_STANDS_STILL_S = 10.0  # a loop that has not come round for so long does not serve
_BETWEEN_LOOKS_S = 0.1  # the loop may come round a thousand times a second


class Health:
    """Looks at a service each time its loop comes round.

    Parameters
    ----------
    measures
        Where it is written down.
    transport, inbox, outbox, periodic
        The parts of the service.
    """

    def __init__(
        self,
        measures: Measures,
        transport: Transport,
        inbox: Inbox,
        outbox: Outbox,
        periodic: PeriodicMessages,
    ) -> None:
        self._measures = measures
        self._transport = transport
        self._inbox = inbox
        self._outbox = outbox
        self._periodic = periodic
        self._seen_at = -math.inf

    def look(self, core: JournaledExchange) -> None:
        """Take the measures of queues and state, ten times a second at most."""
        measures, now = self._measures, time.monotonic()
        if now - self._seen_at < _BETWEEN_LOOKS_S:
            return
        self._seen_at = now
        measures.waiting.set(len(self._inbox))
        measures.unread.inc(self._inbox.take_unread())
        measures.unconfirmed.set(len(self._outbox))
        measures.written.set(core.sequence)
        measures.published.set(self._outbox.published)
        measures.resting.set(len(core.exchange.state.orders))
        measures.open_intervals.set(len(core.exchange.open_intervals()))
        measures.online.set(self._transport.connected and not self._periodic.silent)

    def serves(self) -> bool:
        """Return whether it serves: its loop moves, it is connected, and messages reach it."""
        is_moving = time.monotonic() - self._seen_at < _STANDS_STILL_S
        return is_moving and self._transport.connected and not self._periodic.silent

    def end(self) -> None:
        """Note that the service serves no longer."""
        self._seen_at = -math.inf
        self._measures.online.set(0)
