"""When intervals open: those of a scenario, or one after the other without end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime

from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.events import Refused
from exchange.vocabulary.formatting import format_time
from gateway.scenario.scenario import Scenario
from gateway.service.service import Service

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0  # seconds between two looks for intervals that must open


async def open_intervals(scenario: Scenario, service: Service, opened: asyncio.Event) -> None:
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
                        "%s: interval %s was not opened: %s",
                        *(scenario.area, format_time(session.start), event.detail),
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
