"""Messages that go out by the clock: market data, heartbeat, and probes of reception."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from exchange.vocabulary.rules import METERING, TSO
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.publisher import last_will
from gateway.service.core import JournaledExchange
from gateway.service.reception_watch import ReceptionWatch
from gateway.service.settings import ServiceSettings

_LOG = logging.getLogger(__name__)
_PROBE_EXPIRY_S = 10  # a probe that is later than this says nothing about reception


class PeriodicMessages:
    """Decides which messages are due, and whether messages still reach the exchange.

    All ``moment`` are seconds of one clock that never runs backwards.

    Parameters
    ----------
    topics
        The area's topics.
    settings
        Periods and patience.
    probe
        Returns the payload of a probe that is published now.
    """

    def __init__(
        self, topics: Topics, settings: ServiceSettings, probe: Callable[[float], bytes]
    ) -> None:
        self._topics = topics
        self._settings = settings
        self._probe = probe
        self._next_changes = self._next_depth = self._next_heartbeat = self._next_probe = 0.0
        self._confirmed_at: float | None = None  # up to when confirmations are done
        self._reception = ReceptionWatch(settings.silent_after_s)

    @property
    def silent(self) -> bool:
        """Whether nothing reaches the exchange any more."""
        return self._reception.silent

    def heard(self, topics: Iterable[str]) -> None:
        """Record that messages came on these topics.

        Messages of the TSO and of the meter operator do not count, nor do queries: they come
        through other subscriptions than orders and probes.
        """
        if all(
            self._topics.asks(topic) or self._topics.sender(topic) in (TSO, METERING)
            for topic in topics
        ):
            return
        if self._reception.heard():
            self._next_heartbeat = 0.0
            _LOG.warning("messages reach the exchange again")

    def due(
        self, core: JournaledExchange, moment: float, now: datetime, *, connected: bool
    ) -> list[Outgoing]:
        """Return the messages that are due at ``moment``, when the market's time is ``now``."""
        messages: list[Outgoing] = []
        if moment >= self._next_depth:
            self._next_depth = moment + self._settings.depth_s
            messages += core.market_data()
        elif moment >= self._next_changes:
            self._next_changes = moment + self._settings.depth_changes_s
            messages += core.publisher.books.changes()
        messages += self._confirmations(core, moment, now)
        if moment >= self._next_heartbeat:
            self._next_heartbeat = moment + self._settings.heartbeat_s
            silent = self._reception.silent
            messages.append(last_will(self._topics) if silent else core.publisher.session(now))
        if moment >= self._next_probe and connected:
            self._next_probe = moment + self._settings.probe_s
            payload = self._probe(moment)
            messages.append(Outgoing(self._topics.probe, payload, expires_after_s=_PROBE_EXPIRY_S))
            self._reception.probed(moment)
        return messages

    def _confirmations(
        self, core: JournaledExchange, moment: float, now: datetime
    ) -> list[Outgoing]:
        """Return envelopes of some connection points: of all of them once in a period."""
        envelopes = core.publisher.envelopes
        if self._confirmed_at is None:
            self._confirmed_at = moment
        each_s = self._settings.confirm_s / max(envelopes.points, 1)
        count = int((moment - self._confirmed_at) / each_s)
        if count <= envelopes.points:
            self._confirmed_at += count * each_s
        else:
            count, self._confirmed_at = envelopes.points, moment
        return envelopes.confirmations(count, now) if count else []

    def lost_reception(self, moment: float, *, connected: bool) -> bool:
        """Return whether the connection must be made anew, because nothing comes in any more."""
        waited_s = self._reception.lost(moment, connected=connected)
        if waited_s is None:
            return False
        _LOG.error(
            "for %.3g s no message has reached the exchange, not even its own on %s: the broker "
            "may have dropped its subscriptions, or its right to that topic; connecting anew",
            waited_s,
            self._topics.probe,
        )
        self._next_heartbeat = moment + self._settings.heartbeat_s
        return True
