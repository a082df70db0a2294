"""The dead man's switch: which guarded sessions have been silent for too long.

Silence counts only where it is the device's.  The exchange publishes a probe to itself every few
seconds.  A probe that comes back proves that whatever the broker had when it was published has
come, too; until then no session is called silent.  Where a probe is late, the connection is a new
one, or the exchange itself stood still, the silence of all sessions is counted anew.

Moments are seconds of a clock that never runs backwards.  Nothing here is part of the state: after
a restart silence is counted anew, and what is journaled is the loss of a session that follows.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable

from exchange.vocabulary.commands import Command, LoseSession, SetSafeguard
from exchange.vocabulary.reasons import CancelReason
from gateway.messages.safeguard_requests import SignOfLife
from gateway.messages.topics import Topics
from gateway.ports import Incoming, Transport
from gateway.service.core import JournaledExchange
from gateway.service.inbox import Inbox
from gateway.service.settings import ServiceSettings


class SilenceWatch:
    """Watches the sessions that have a safeguard against silence.

    Parameters
    ----------
    topics
        The area's topics.
    settings
        How often probes are published and the clock is looked at.
    core
        Returns the exchange, whose state has the safeguards.
    """

    def __init__(
        self, topics: Topics, settings: ServiceSettings, core: Callable[[], JournaledExchange]
    ) -> None:
        self._topics = topics
        self._core = core
        self._longest_pause_s = max(settings.probe_s, 2 * settings.tick_s)
        self._run = secrets.token_hex(4)  # A probe of a former process proves nothing.
        self._probes = 0
        self._under_way: tuple[bytes, float] | None = None
        self._proved: float | None = None
        self._looked_at = -math.inf
        self._connection = 0
        self._heard: dict[tuple[str, str], float] = {}  # By participant and session.

    def probe(self, moment: float) -> bytes:
        """Return the payload of the probe that is published now."""
        if self._under_way is not None:
            self._count_anew()  # The one before is late.
        self._probes += 1
        payload = f"{self._run}-{self._probes}".encode()
        self._under_way = payload, moment
        return payload

    def unread(self, messages: Iterable[Incoming], moment: float) -> None:
        """Note messages that will not be read: probes, and what came too fast."""
        for message in messages:
            if message.topic == self._topics.probe:
                if self._under_way is not None and message.payload == self._under_way[0]:
                    self._proved = self._under_way[1]
                    self._under_way = None
            elif (sender := self._topics.sender(message.topic)) is not None:
                self._note(sender, moment)

    def read(self, sender: str, command: Command | SignOfLife | None, moment: float) -> None:
        """Note a message that was read: a sign of life of the session it names, else of all.

        A query (``None``) is one, too.  A last will is none, because the broker publishes it.
        """
        match command:
            case LoseSession():
                pass
            case SetSafeguard() | SignOfLife():
                self._heard[sender, command.session] = moment  # It need not be in force yet.
            case _:
                self._note(sender, moment)

    def _note(self, sender: str, moment: float) -> None:
        for each in self._core().exchange.state.safeguards.of(sender):
            self._heard[sender, each.session] = moment

    def lost(self, moment: float, transport: Transport, inbox: Inbox) -> list[LoseSession]:
        """Return the sessions that have become silent, as commands.

        None of a participant whose messages wait in the inbox: they are read first.
        """
        paused = moment - self._looked_at > self._longest_pause_s
        if paused or not transport.connected or transport.connections != self._connection:
            self._count_anew()
        self._looked_at, self._connection = moment, transport.connections
        proved, self._proved = self._proved, None
        if proved is None:
            return []
        watched = self._core().exchange.state.safeguards.watched()
        # The others are forgotten, so there are never many.
        self._heard = {key: self._heard.get(key, moment) for key in watched}
        return [
            LoseSession(*key, CancelReason.SILENT)
            for key, silent_s in watched.items()
            if proved - self._heard[key] >= silent_s and not inbox.waits(key[0])
        ]

    def _count_anew(self) -> None:
        self._heard.clear()
        self._under_way = self._proved = None
