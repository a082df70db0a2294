"""Run one area of a process: serve it, or follow the journal of the process that serves it.

Each area has its own journal, lease, witness and session at the broker, and is started anew by
itself: what befalls one stops no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from exchange.vocabulary.rules import MarketRules
from gateway.errors import GatewayError, LeaseHeldError
from gateway.formats.strict_json import KEPT_REQUEST_BYTES
from gateway.formats.urls import shown_url
from gateway.installation.failures import ANOTHER_WRITER, Failures
from gateway.installation.intervals import open_intervals
from gateway.installation.shares import Readiness
from gateway.journal.follower import JournalFollower
from gateway.journal.members import AreaSeen
from gateway.operations.server_places import ServerPlaces, open_journal
from gateway.publishing.publisher import last_will
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup
from gateway.service.measures import Measures
from gateway.service.plausible_clock import PlausibleClock
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.service.standby import Standby
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

_LOG = logging.getLogger(__name__)
_RETRY_FOR_S = 5.0  # an exchange that has waited so long for its journal says that it is offline
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
"""Seconds before an area is started anew, at first and at most."""
_CONNECT_WITHIN_S = 5.0  # a process that does not reach the broker leaves the area to another
_LEAST_RELUCTANCE_S, _MOST_RELUCTANCE_S = 10.0, 600.0
"""Seconds after a failure in which other processes serve the area rather than this one."""
_BEHIND_S = 1.0  # a follower that was not up to date for so long has to catch up
_SERVED_WELL_S = 60.0  # an area that was served for so long has not failed again


@dataclass(frozen=True, slots=True)
class AreaSetup:
    """What the exchange of an area is started from, each time anew.

    Parameters
    ----------
    scenario, market, mqtt, places, clock, settings, measures
        The area, its servers, and how its loop behaves.
    owner
        Name under which this process holds leases.
    is_shared
        Whether other processes serve the area, too: then it is followed until it is this
        process's turn.
    """

    scenario: Scenario
    market: ExchangeSetup
    mqtt: MqttSettings
    places: ServerPlaces
    clock: PlausibleClock
    settings: ServiceSettings
    measures: Measures
    owner: str
    is_shared: bool


class AreaRunner:
    """Runs an area until it is stopped.

    Parameters
    ----------
    setup
        What it is started from.
    failures
        Decides whether an error ends the process.
    started
        Called with the journal's address when the area is served for the first time.
    """

    def __init__(
        self, setup: AreaSetup, failures: Failures, started: Callable[[str], None]
    ) -> None:
        self._setup = setup
        self._failures = failures
        self._started: Callable[[str], None] | None = started
        self._stopped = asyncio.Event()
        self._given = asyncio.Event()
        self._looked = asyncio.Event()
        self._seen: AreaSeen | None = None
        self._may_take = False
        self._service: Service | None = None
        self._standby: Standby | None = None
        self._served_from: float | None = None
        self._pause_s = _SHORTEST_PAUSE_S
        self._is_pausing = False
        self._current_at = -math.inf
        self._reluctance_s = 0.0
        self._reluctant_until = 0.0

    @property
    def area(self) -> str:
        """Name of the area."""
        return self._setup.scenario.area

    def stop(self) -> None:
        """Let it end gracefully; safe in a signal handler."""
        self._stopped.set()
        self._looked.set()

    def note(self, seen: AreaSeen, *, take: bool, give: bool) -> None:
        """Note what was seen of the area, and whether this process takes it or gives it back."""
        self._seen, self._may_take = seen, take
        self._looked.set()
        if give and self._service is not None:
            self._given.set()

    @property
    def is_catching_up(self) -> bool:
        """Whether it is behind the journal of another process."""
        if self._is_pausing or self._owns:
            return False
        return time.monotonic() - self._current_at > _BEHIND_S

    @property
    def _owns(self) -> bool:
        """Whether it serves the area, and its lease was not seen in other hands."""
        seen = self._seen
        is_lost = seen is not None and seen.owner not in (None, self._setup.owner)
        return self._service is not None and not is_lost

    def readiness(self) -> Readiness:
        """Return whether this process could serve the area now."""
        if self._owns:
            return Readiness.READY
        if self._standby is None or self._is_pausing or self._service is not None:
            return Readiness.AWAY
        is_reluctant = self.is_catching_up or time.monotonic() < self._reluctant_until
        return Readiness.RELUCTANT if is_reluctant else Readiness.READY

    def health(self) -> dict[str, Any]:
        """Return whether it serves the area, and the last entry that it follows."""
        service, standby = self._service, self._standby
        entries: dict[str, Any] = {"serves": service is not None and service.serves()}
        if service is None and standby is not None and not self._is_pausing:
            entries["standby_at_entry"] = standby.core and standby.core.sequence
        return entries

    async def run(self) -> None:
        """Run the area; start it anew, without end, when it fails.

        Raises
        ------
        Exception
            The error with which the process must end.
        """
        while not self._stopped.is_set():
            self._served_from = None
            try:
                await self._once()
            except Exception as error:
                if self._setup.is_shared and isinstance(error, ANOTHER_WRITER):
                    level = logging.INFO if isinstance(error, LeaseHeldError) else logging.WARNING
                    _LOG.log(level, "%s; standing by", error)
                    continue
                if self._failures.end_all(self.area, error):
                    raise
                if isinstance(error, ANOTHER_WRITER):
                    _LOG.error("%s; this process serves it no longer", error)
                    return
                await self._recover_from(error)

    async def _recover_from(self, error: Exception) -> None:
        """Log an error, and wait before the area is started anew."""
        moment = time.monotonic()
        if self._served_from is not None and moment - self._served_from > _SERVED_WELL_S:
            self._pause_s, self._reluctance_s = _SHORTEST_PAUSE_S, 0.0
        doubled = max(2 * self._reluctance_s, _LEAST_RELUCTANCE_S)
        self._reluctance_s = min(doubled, _MOST_RELUCTANCE_S)
        self._reluctant_until = moment + self._reluctance_s
        is_bug = not isinstance(error, GatewayError)
        _LOG.log(
            logging.CRITICAL if is_bug else logging.ERROR,
            "the exchange of %s failed: %s; starting anew in %g s",
            *(self.area, error, self._pause_s),
            exc_info=error if is_bug else None,
        )
        self._is_pausing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self._stopped.wait()
        self._is_pausing = False
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    async def _once(self) -> None:
        """Serve the area until it is stopped, given back or fails; where it is shared, wait."""
        self._given.clear()
        if self._setup.is_shared:
            await self._follow()
        if not self._stopped.is_set():
            await self._serve()

    async def _follow(self) -> None:
        """Follow the journal until this process takes its lease, or is stopped."""
        url = self._setup.places.redis_url
        assert url is not None, "a shared area has no embedded journal"
        standby, self._standby = self._standby or Standby(self._setup.market), None
        applied: AreaSeen | None = None
        async with JournalFollower(url, self.area, _RETRY_FOR_S) as journal:
            while not self._stopped.is_set():
                seen = self._seen
                if seen is not None and seen != applied:
                    await standby.catch_up(journal, seen.published)
                    applied, self._standby = seen, standby
                    self._current_at = time.monotonic()
                    continue
                if seen is not None:
                    self._current_at = time.monotonic()
                    if self._may_take:
                        self._may_take = False  # until the next look: another may be quicker
                        return
                self._looked.clear()
                await self._looked.wait()

    async def _serve(self) -> None:
        setup = self._setup
        topics = setup.market.topics
        async with AsyncExitStack() as stack:
            journal, url = await open_journal(
                *(setup.scenario, setup.places, stack),
                owner=setup.owner,
                lease_wait_s=0.0 if setup.is_shared else None,
                retry_for_s=_RETRY_FOR_S,
            )
            transport = await stack.enter_async_context(
                MqttTransport(
                    self._mqtt(),
                    topics.incoming,
                    will=last_will(topics),
                    ignore_retained=True,
                    payload_at_most=KEPT_REQUEST_BYTES,
                    # A former writer that goes on after a pause would publish an older state.
                    may_publish=lambda: journal.renew(0),
                )
            )
            service = Service(
                *(setup.market, transport, journal),
                clock=setup.clock,
                settings=setup.settings,
                measures=setup.measures,
                standby=self._standby,
            )
            self._service = service
            try:
                await self._run_service(service, shown_url(url))
            finally:
                self._service = None
                self._standby = None
            if journal.published_sequence >= service.core.sequence:
                # It goes on following from here: the broker has everything.
                self._standby = Standby(setup.market, service.core)

    def _mqtt(self) -> MqttSettings:
        """Return the settings of the connection; where others may serve, it is not tried long."""
        found = covered(self._setup.mqtt, self._setup.market.rules)
        if not self._setup.is_shared:
            return found
        return replace(found, connect_within_s=min(found.connect_within_s, _CONNECT_WITHIN_S))

    async def _run_service(self, service: Service, journal: str) -> None:
        """Run a service until it ends, or this process stops it."""
        opened = asyncio.Event()
        running = asyncio.create_task(service.run(), name=f"exchange-{self.area}")
        opening = asyncio.create_task(open_intervals(self._setup.scenario, service, opened))
        ready = asyncio.create_task(opened.wait())
        stop = asyncio.create_task(self._stopped.wait())
        give = asyncio.create_task(self._given.wait())
        tasks = {running, opening, stop, give}
        try:
            await asyncio.wait({*tasks, ready}, return_when=asyncio.FIRST_COMPLETED)
            if opened.is_set():
                self._note_start(journal)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            service.stop(snapshot=not self._setup.is_shared)
            for task in (opening, ready, stop, give):
                task.cancel()
            await asyncio.wait({*tasks, ready})
        running.result()
        if not (opening.cancelled() or self._stopped.is_set() or self._given.is_set()):
            opening.result()  # raises: this task ends by an error only

    def _note_start(self, journal: str) -> None:
        self._served_from = time.monotonic()
        self._failures.ran(self.area)
        if self._started is not None:
            started, self._started = self._started, None
            started(journal)


def covered(settings: MqttSettings, rules: MarketRules) -> MqttSettings:
    """Return settings by which the broker delivers no more again than the exchange remembers.

    What it has sent and the exchange has not acknowledged is delivered again after a broken
    connection (MQTT 5: at most the receive maximum), and all of it may be of one sender.
    """
    return replace(settings, inflight_in=min(settings.inflight_in, rules.answers_kept))
