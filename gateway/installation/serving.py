"""Run the exchanges of one or several areas until a signal stops them: the command ``serve``.

Broker and journal are those of ``DOE_MQTT_URL`` and ``DOE_REDIS_URL``, or embedded ones.  All areas
of a process run on one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from pydantic import BaseModel

from exchange.vocabulary.rules import EXCHANGE
from gateway.installation.area_runner import AreaRunner, AreaSetup
from gateway.installation.failures import Failures
from gateway.installation.sharing import Sharing
from gateway.messages.topics import Topics
from gateway.operations.endpoint import Endpoint
from gateway.operations.serve_settings import ServeSettings
from gateway.operations.server_places import (
    ServerPlaces,
    check_names,
    open_broker,
    participants_in,
)
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup
from gateway.service.garbage import collected_in_parts
from gateway.service.measures import MeasureFamilies, Measures
from gateway.service.plausible_clock import PlausibleClock


class Served(BaseModel):
    """The addresses of a running exchange."""

    area: str
    mqtt: str
    journal: str
    metrics: str | None
    connection_points: int


async def serve(
    scenarios: Sequence[Scenario], settings: ServeSettings, started: Callable[[Served], None]
) -> None:
    """Run the exchanges of areas until a signal stops them.

    Parameters
    ----------
    scenarios
        The areas, each with a name of its own.
    settings
        Servers, and how the loops behave.
    started
        Called with the addresses of each area when it is served here for the first time.

    Raises
    ------
    gateway.errors.GatewayError
        When broker or journal cannot be reached, or fail for good.
    InputFaults
        When areas have the same name, or the settings do not suit several areas.
    ValueError
        When a URL is not valid.
    """
    check_names(scenarios)
    places = ServerPlaces.of(settings, scenarios)
    # Under its old name a restarted exchange gets its lease at once.  Only an embedded journal is
    # known to have no other writer.
    owner = EXCHANGE if places.redis_url is None else secrets.token_hex(8)
    failures = Failures([each.area for each in scenarios])
    families, clock = MeasureFamilies(), PlausibleClock()
    runners: list[AreaRunner] = []
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(collected_in_parts())
        mqtt, mqtt_url = await open_broker(places, participants_in(scenarios), stack)
        endpoint = _endpoint(settings, families, runners, stack)

        for each in scenarios:
            setup = AreaSetup(
                scenario=each,
                market=ExchangeSetup(Topics(each.area), each.networks(), each.rules, each.terms()),
                mqtt=mqtt(each.area),
                places=places,
                clock=clock,
                settings=settings.loop,
                measures=Measures(each.area, families),
                owner=owner,
                is_shared=settings.standby,
            )
            note_start = partial(_say_where, each, mqtt_url, endpoint, started)
            runners.append(AreaRunner(setup, failures, note_start))
        sharing = None
        if settings.standby:
            assert places.redis_url is not None, "shared areas have no embedded journal"
            sharing = Sharing(places.redis_url, owner, runners, places.lease_s, failures)
        await _run_all(runners, sharing)


def _say_where(
    scenario: Scenario,
    mqtt: str,
    metrics: str | None,
    started: Callable[[Served], None],
    journal: str,
) -> None:
    """Say where an area is served."""
    points = len(scenario.network.connection_points)
    started(
        Served(
            area=scenario.area,
            mqtt=mqtt,
            journal=journal,
            metrics=metrics,
            connection_points=points,
        )
    )


def health_of(areas: dict[str, dict[str, Any]]) -> tuple[bool, dict[str, Any]]:
    """Return whether a process is healthy, and what its operator asks first.

    It is where it serves an area, and each of the others is served or followed.
    """
    serves = [each["serves"] for each in areas.values()]
    follows = ["standby_at_entry" in each for each in areas.values()]
    is_healthy = any(serves) and all(map(any, zip(serves, follows, strict=True)))
    return is_healthy, {"serves": is_healthy, "areas": areas}


def _endpoint(
    settings: ServeSettings,
    families: MeasureFamilies,
    runners: Sequence[AreaRunner],
    stack: AsyncExitStack,
) -> str | None:
    """Show health and measures where the settings say so; return the address."""
    if settings.metrics_port is None:
        return None

    def ask_health() -> tuple[bool, dict[str, Any]]:
        return health_of({each.area: each.health() for each in runners})

    where = (settings.metrics_host, settings.metrics_port)
    return stack.enter_context(Endpoint(*where, families.registry, ask_health)).url


async def _run_all(runners: Sequence[AreaRunner], sharing: Sharing | None) -> None:
    """Run areas until a signal, or an error that ends the process."""
    parts: list[AreaRunner | Sharing] = [*runners, *([] if sharing is None else [sharing])]

    def stop() -> None:
        for each in parts:
            each.stop()

    tasks = {asyncio.create_task(each.run()) for each in parts}
    with _signals(stop):
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            stop()
            await asyncio.wait(tasks)
            errors = [error for task in tasks if (error := task.exception()) is not None]
    if errors:
        raise errors[0]


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
