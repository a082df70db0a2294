"""Run the exchange of one area until a signal stops it: the command ``serve``.

Broker and journal are those of ``DOE_MQTT_URL`` and ``DOE_REDIS_URL``, or embedded ones.  Intervals
open some time before they start: those of the scenario, or one after the other without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.events import Refused
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.rules import EXCHANGE, MarketRules
from gateway.errors import (
    CorruptJournalError,
    GatewayError,
    LeaseHeldError,
    LostEntriesError,
    SequenceGapError,
    StaleWriterError,
)
from gateway.formats.strict_json import KEPT_REQUEST_BYTES
from gateway.formats.urls import shown_url
from gateway.journal.follower import JournalFollower
from gateway.messages.topics import Topics
from gateway.operations.endpoint import Endpoint
from gateway.operations.serve_settings import ServeSettings
from gateway.operations.server_places import ServerPlaces, open_broker, open_journal
from gateway.publishing.publisher import last_will
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup
from gateway.service.garbage import collected_in_parts
from gateway.service.measures import Measures
from gateway.service.plausible_clock import PlausibleClock
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.service.standby import Standby
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

_LOG = logging.getLogger(__name__)
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
"""Seconds before the exchange is started anew, at first and at most."""
_RETRY_FOR_S = 5.0  # an exchange that has waited so long for its journal says that it is offline
_FOR_GOOD = (
    StaleWriterError,
    LeaseHeldError,
    CorruptJournalError,
    SequenceGapError,
    LostEntriesError,
)
"""Errors of the journal that starting anew cannot mend."""
_ANOTHER_WRITER = (StaleWriterError, LeaseHeldError)
"""Errors that mean that another exchange serves the area."""
_FOLLOW_EVERY_S = 0.05  # a standby looks so often for entries, and for the end of the lease
_LOOK_EVERY_S = 1.0  # seconds between two looks for intervals that must open


class Served(BaseModel):
    """The addresses of a running exchange."""

    area: str
    mqtt: str
    journal: str
    metrics: str | None
    connection_points: int


async def serve(
    scenario: Scenario, settings: ServeSettings, started: Callable[[Served], None]
) -> None:
    """Run the exchange until a signal stops it; ``started`` is called with its addresses.

    Raises
    ------
    gateway.errors.GatewayError
        When broker or journal cannot be reached, or fail for good.
    ValueError
        When a URL is not valid.
    """
    places = ServerPlaces.of(settings, scenario)
    topics = Topics(scenario.area)
    async with AsyncExitStack() as stack:
        mqtt, mqtt_url = await open_broker(places, topics, stack)
        area = _Area(
            scenario=scenario,
            market=ExchangeSetup(topics, scenario.networks(), scenario.rules, scenario.terms()),
            mqtt=mqtt,
            settings=settings.loop,
            measures=Measures(topics.area),
            places=places,
            stands_by=settings.standby,
            # Under its old name a restarted exchange gets its lease at once.  Only an embedded
            # journal is known to have no other writer.
            owner=EXCHANGE if places.redis_url is None else secrets.token_hex(8),
            clock=PlausibleClock(),
        )
        metrics_url = _endpoint(settings, area, stack)

        def note_start(journal: str) -> None:
            points = len(scenario.network.connection_points)
            started(
                Served(
                    area=topics.area,
                    mqtt=mqtt_url,
                    journal=journal,
                    metrics=metrics_url,
                    connection_points=points,
                )
            )

        await _supervise(area, note_start)


@dataclass(frozen=True, slots=True)
class _Area:
    """What the exchange of an area is started from, each time anew."""

    scenario: Scenario
    market: ExchangeSetup
    mqtt: MqttSettings
    places: ServerPlaces
    owner: str
    clock: PlausibleClock
    settings: ServiceSettings
    measures: Measures
    stands_by: bool
    serving: list[Service] = field(default_factory=list)
    """The service that runs now, if any."""
    following: list[Standby] = field(default_factory=list)
    """What follows another's journal now, if anything."""

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the exchange serves, and what else its operator asks first."""
        service = next(iter(self.serving), None)
        serves = service is not None and service.serves()
        entries: dict[str, Any] = {"area": self.market.topics.area, "serves": serves}
        for standby in self.following:
            entries["standby_at_entry"] = standby.core and standby.core.sequence
        return serves, entries


def _endpoint(settings: ServeSettings, area: _Area, stack: AsyncExitStack) -> str | None:
    """Show health and measures where the settings say so; return the address."""
    if settings.metrics_port is None:
        return None
    registry = area.measures.registry
    where = (settings.metrics_host, settings.metrics_port)
    return stack.enter_context(Endpoint(*where, registry, area.health)).url


async def _supervise(area: _Area, started: Callable[[str], None]) -> None:
    """Run the exchange until a signal; start it anew, without end, when it loses its servers.

    A failure before it has run once is a wrong configuration, and ends the command.
    """
    stopped, has_run = asyncio.Event(), asyncio.Event()

    def note_start(journal: str) -> None:
        if not has_run.is_set():
            has_run.set()
            started(journal)

    pause_s = _SHORTEST_PAUSE_S
    with _signals(stopped.set):
        while not stopped.is_set():
            began = time.monotonic()
            try:
                await _run_once(area, stopped, note_start)
                return
            except GatewayError as error:
                others_turn = area.stands_by and isinstance(error, _ANOTHER_WRITER)
                if isinstance(error, _FOR_GOOD) and not others_turn:
                    raise
                if not (has_run.is_set() or others_turn):
                    raise
                if time.monotonic() - began > _LONGEST_PAUSE_S:
                    pause_s = _SHORTEST_PAUSE_S
                if others_turn:
                    _LOG.warning("%s; standing by", error)
                    continue
                _LOG.error("the exchange lost a server: %s; starting anew in %g s", error, pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stopped.wait()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _run_once(area: _Area, stopped: asyncio.Event, started: Callable[[str], None]) -> None:
    """Run the exchange until it is stopped or fails.

    ``started`` is called with the journal's address when it serves.
    """
    topics = area.market.topics
    standby = await _stand_by(area, stopped) if area.stands_by else None
    if stopped.is_set():
        return
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(collected_in_parts())
        journal, url = await open_journal(
            area.scenario, area.places, stack, owner=area.owner, retry_for_s=_RETRY_FOR_S
        )
        transport = await stack.enter_async_context(
            MqttTransport(
                covered(area.mqtt, area.market.rules),
                topics.incoming,
                will=last_will(topics),
                ignore_retained=True,
                payload_at_most=KEPT_REQUEST_BYTES,
            )
        )
        service = Service(
            area.market,
            transport,
            journal,
            clock=area.clock,
            settings=area.settings,
            measures=area.measures,
            standby=standby,
        )
        area.serving[:] = [service]
        opened = asyncio.Event()
        running = asyncio.create_task(service.run())
        opening = asyncio.create_task(_open_intervals(area.scenario, service, opened))
        ready, stop = asyncio.create_task(opened.wait()), asyncio.create_task(stopped.wait())
        tasks = {running, opening, stop}
        try:
            await asyncio.wait({*tasks, ready}, return_when=asyncio.FIRST_COMPLETED)
            if opened.is_set():
                started(shown_url(url))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            area.serving.clear()
            service.stop()
            for task in (opening, ready, stop):
                task.cancel()
            await asyncio.wait({*tasks, ready})
        running.result()
        if not (opening.cancelled() or stopped.is_set()):
            opening.result()  # raises: this task ends by an error only


async def _stand_by(area: _Area, stopped: asyncio.Event) -> Standby:
    """Follow the journal until no writer holds its lease, or until a signal; return the state."""
    standby, url = Standby(area.market), area.places.redis_url
    assert url is not None, "a standby has no embedded journal"
    area.following[:] = [standby]
    try:
        async with JournalFollower(url, area.market.topics.area, _RETRY_FOR_S) as journal:
            while not stopped.is_set():
                await standby.catch_up(journal, await journal.published())
                if not await journal.is_led():
                    break
                await asyncio.sleep(_FOLLOW_EVERY_S)
    finally:
        area.following.clear()
    return standby


def covered(settings: MqttSettings, rules: MarketRules) -> MqttSettings:
    """Return settings by which the broker delivers no more again than the exchange remembers.

    What it has sent and the exchange has not acknowledged is delivered again after a broken
    connection (MQTT 5: at most the receive maximum), and all of it may be of one sender.
    """
    return replace(settings, inflight_in=min(settings.inflight_in, rules.answers_kept))


async def _open_intervals(scenario: Scenario, service: Service, opened: asyncio.Event) -> None:
    """Open every interval when it is due; a refused interval is not tried again.

    ``opened`` is set when the intervals due at the start are open.
    """
    await service.ready.wait()
    asked: set[datetime] = set()
    while True:
        for session in due_sessions(scenario, service.now()):
            known = service.core.exchange.state.sessions
            if session.start in asked or session.start in known:
                continue
            asked.add(session.start)
            for event in await service.request(session):
                if isinstance(event, Refused):
                    _LOG.error(
                        "interval %s was not opened: %s", format_time(session.start), event.detail
                    )
        opened.set()
        await asyncio.sleep(_LOOK_EVERY_S)


def due_sessions(scenario: Scenario, now: datetime) -> Iterator[OpenSession]:
    """Yield the sessions that should be open: after the opening, before the gate closure.

    A scenario without intervals has one after the other without end, aligned to midnight.
    """
    if scenario.anonymous:
        (usual,) = scenario.intervals
        length = usual.end - usual.start
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        start = midnight + (now - midnight) // length * length
        starts = [start + k * length for k in range(1, scenario.opening // length + 2)]
        candidates = [(s, s + length, usual.interface_limits) for s in starts]
    else:
        candidates = [(i.start, i.end, i.interface_limits) for i in scenario.intervals]
    for start, end, limits in candidates:
        gate_closes_at = start - scenario.gate_closure
        if start - scenario.opening <= now < gate_closes_at:
            yield OpenSession(start, end, gate_closes_at, limits)


def last_gate(scenario: Scenario) -> datetime | None:
    """Return when the last gate closes; ``None`` where intervals have no end."""
    if scenario.anonymous:
        return None
    return max(interval.start for interval in scenario.intervals) - scenario.gate_closure


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the service gracefully."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
