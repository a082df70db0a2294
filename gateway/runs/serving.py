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
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.events import Refused
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.rules import EXCHANGE, METERING, OPERATOR, TSO
from gateway.formats.faults import InputFaults
from gateway.formats.strict_json import KEPT_REQUEST_BYTES
from gateway.journal.embedded_redis import EmbeddedRedis
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.topics import Topics
from gateway.publishing.publisher import last_will
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup
from gateway.service.service import Service
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings
from security_check.errors import Fault

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0  # seconds between two looks for intervals that must open


class Served(BaseModel):
    """The addresses of a running exchange."""

    area: str
    mqtt: str
    journal: str
    connection_points: int


@dataclass(frozen=True, slots=True)
class ServerPlaces:
    """Broker and journal; ``None`` means an embedded server.

    Parameters
    ----------
    mqtt_url, redis_url
        Addresses of external servers.
    data
        Folder of the embedded journal.
    accounts
        Passwords of the embedded broker; ``None`` accepts every client on this machine.
    """

    mqtt_url: str | None
    redis_url: str | None
    data: Path
    accounts: Mapping[str, str] | None


def read_accounts(path: Path, scenario: Scenario) -> dict[str, str]:
    """Return names and passwords from a TOML file.

    Raises
    ------
    InputFaults
        When it cannot be read, or names an account that is not a participant.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputFaults(str(path), [Fault("file", f"it cannot be read: {error}")]) from None
    known = {*scenario.owners.values(), TSO, OPERATOR, METERING}
    faults = [
        Fault(name, "there is no participant of that name") for name in content if name not in known
    ]
    faults += [
        Fault(name, "its password must be text, and not empty")
        for name, password in content.items()
        if not isinstance(password, str) or not password
    ]
    if faults:
        raise InputFaults(str(path), faults)
    return content


async def serve(
    scenario: Scenario, places: ServerPlaces, started: Callable[[Served], None]
) -> None:
    """Run the exchange until a signal stops it; ``started`` is called with its addresses.

    Raises
    ------
    gateway.errors.GatewayError
        When broker or journal cannot be reached, or fail for good.
    ValueError
        When a URL is not valid.
    """
    topics = Topics(scenario.area)
    async with AsyncExitStack() as stack:
        settings, mqtt_url = await _broker(places, topics, stack)
        redis_url = places.redis_url
        if redis_url is None:
            redis = await stack.enter_async_context(EmbeddedRedis(places.data / scenario.area))
            redis_url = redis.url
        # Under its old name a restarted exchange gets its lease at once.  Only an embedded journal
        # is known to have no other writer.
        owner = EXCHANGE if places.redis_url is None else None
        journal = await stack.enter_async_context(
            RedisJournal(redis_url, scenario.area, owner=owner)
        )
        transport = await stack.enter_async_context(
            MqttTransport(
                settings,
                topics.incoming,
                will=last_will(topics),
                ignore_retained=True,
                payload_at_most=KEPT_REQUEST_BYTES,
            )
        )
        market = ExchangeSetup(topics, scenario.grid(), scenario.rules, scenario.terms())
        service = Service(market, transport, journal)
        running = asyncio.create_task(service.run())
        opened = asyncio.Event()
        opening = asyncio.create_task(_open_intervals(scenario, service, opened))
        with _signals(service.stop):
            ready = asyncio.create_task(opened.wait())
            await asyncio.wait({running, opening, ready}, return_when=asyncio.FIRST_COMPLETED)
            if opened.is_set():
                points = len(scenario.network.connection_points)
                started(
                    Served(
                        area=scenario.area,
                        mqtt=mqtt_url,
                        journal=redis_url,
                        connection_points=points,
                    )
                )
            done, _ = await asyncio.wait({running, opening}, return_when=asyncio.FIRST_COMPLETED)
            service.stop()
            for task in (opening, ready):
                task.cancel()
            await asyncio.gather(opening, ready, return_exceptions=True)
            await running
        if running not in done:
            opening.result()  # raises: this task ends by an error only


async def _broker(
    places: ServerPlaces, topics: Topics, stack: AsyncExitStack
) -> tuple[MqttSettings, str]:
    """Return the exchange's settings for its broker, and the address for clients."""
    if places.mqtt_url is not None:
        settings = MqttSettings.from_url(places.mqtt_url, f"doe-exchange-{topics.area}")
        scheme = "mqtts" if settings.tls else "mqtt"
        return settings, f"{scheme}://{settings.host}:{settings.port}"
    accounts: dict[str, BrokerAccount] | None = None
    if places.accounts is not None:
        accounts = {EXCHANGE: BrokerAccount(secrets.token_hex(16), topics.exchange_rights())}
        for name, password in places.accounts.items():
            accounts[name] = BrokerAccount(password, topics.rights_of(name))
    broker = await stack.enter_async_context(EmbeddedBroker(accounts))
    return broker.settings(EXCHANGE, EXCHANGE), broker.url


async def _open_intervals(scenario: Scenario, service: Service, opened: asyncio.Event) -> None:
    """Open every interval when it is due; a refused interval is not tried again.

    ``opened`` is set when the intervals due at the start are open.
    """
    await service.ready.wait()
    asked: set[datetime] = set()
    while True:
        for session in due_sessions(scenario, datetime.now(UTC)):
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
