"""Broker, journals and accounts of a process, as the settings of ``serve`` name them.

A process may serve several areas.  Where each needs an address or a file of its own, the setting
has ``{area}`` in the place of the area's name.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from exchange.vocabulary.rules import EXCHANGE, participants_of
from gateway.formats.faults import InputFaults
from gateway.journal.archive import Archive
from gateway.journal.embedded_redis import EmbeddedRedis
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.witness import Witness
from gateway.messages.topics import Rights, Topics
from gateway.operations.accounts import Account, read_accounts, rights_in
from gateway.operations.serve_settings import ServeSettings
from gateway.scenario.scenario import Scenario
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.mqtt_client import MqttSettings
from security_check.errors import Fault

AREA = "{area}"
"""What stands for the name of an area in a setting."""


@dataclass(frozen=True, slots=True)
class ServerPlaces:
    """Broker and journals; ``None`` means an embedded server.

    Parameters
    ----------
    mqtt_url, redis_url
        Addresses of external servers.
    data
        Folder of the embedded journals, and of the witnesses.
    accounts
        Accounts of the embedded broker; ``None`` accepts every client on this machine.
    mqtt_port
        Port of the embedded broker; 0 is a free one.
    witness
        File that knows the end of the journal; ``None`` for ``AREA.witness`` in the folder.
    archive, kept_entries
        File for entries before the last snapshot, and how many of the newest stay; ``None`` leaves
        all in the journal.
    lease_s
        Seconds after which a writer that stands still may be replaced.
    """

    mqtt_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    data: Path
    accounts: Sequence[Account] | None = field(repr=False)
    mqtt_port: int = 0
    witness: Path | None = None
    archive: Path | None = None
    kept_entries: int = 0
    lease_s: float = 1.0

    @classmethod
    def of(cls, settings: ServeSettings, scenarios: Sequence[Scenario]) -> ServerPlaces:
        """Return the places that settings name, for these areas.

        Raises
        ------
        InputFaults
            When the file of accounts cannot be read, or belongs to another broker, when areas
            would share a file, or when other processes could not use the servers.
        """
        mqtt_url, redis_url = settings.mqtt_url, settings.redis_url
        if settings.standby and (mqtt_url is None or redis_url is None):
            detail = (
                "processes that share areas, as a standby does, need one broker and one Redis "
                "server; an embedded one is of its own process"
            )
            raise InputFaults("settings", [Fault("standby", f"{detail}: mqtt_url, redis_url")])
        _check_files(settings, len(scenarios))
        return cls(
            mqtt_url=None if mqtt_url is None else mqtt_url.get_secret_value(),
            redis_url=None if redis_url is None else redis_url.get_secret_value(),
            data=settings.data,
            accounts=_accounts(settings, scenarios),
            mqtt_port=settings.mqtt_port,
            witness=settings.witness,
            archive=settings.archive,
            kept_entries=settings.keep_entries,
            lease_s=settings.lease_s,
        )


def _check_files(settings: ServeSettings, areas: int) -> None:
    """Refuse one file for several areas."""
    named = {"witness": settings.witness, "archive": settings.archive}
    faults = [
        Fault(name, f"{path} would be that of {areas} areas: put {AREA} into its name")
        for name, path in named.items()
        if path is not None and areas > 1 and AREA not in str(path)
    ]
    if faults:
        raise InputFaults("settings", faults)


def _accounts(settings: ServeSettings, scenarios: Sequence[Scenario]) -> Sequence[Account] | None:
    """Return the accounts of the embedded broker, if there is a file of them."""
    if settings.accounts is None:
        return None
    if settings.mqtt_url is not None:
        detail = "it is for the embedded broker, but DOE_MQTT_URL names another broker"
        raise InputFaults(str(settings.accounts), [Fault("--accounts", detail)])
    owners, requesters = owners_in(scenarios), requesters_in(scenarios)
    accounts = read_accounts(settings.accounts, owners, requesters)
    without = [each.name for each in accounts if each.password is None]
    if without:
        detail = "the embedded broker knows accounts by their passwords, and it has none"
        raise InputFaults(str(settings.accounts), [Fault(each, detail) for each in without])
    return accounts


def check_names(scenarios: Sequence[Scenario]) -> None:
    """Refuse two scenarios of one area: each would take the other's lease.

    Raises
    ------
    InputFaults
        With the files of each such area.
    """
    counts = Counter(each.area for each in scenarios)
    faults = [
        Fault(area, f"{count} scenarios have this area: {', '.join(files)}")
        for area, count in counts.items()
        if count > 1 and (files := [each.source for each in scenarios if each.area == area])
    ]
    if faults:
        raise InputFaults("scenarios", faults)


def owners_in(scenarios: Sequence[Scenario]) -> dict[str, str]:
    """Return the participant of each connection point, for points of several areas."""
    return {
        f"{each.area}/{point}": owner for each in scenarios for point, owner in each.owners.items()
    }


def participants_in(scenarios: Sequence[Scenario]) -> dict[Topics, Collection[str]]:
    """Return the participants of each area."""
    return {Topics(each.area): participants_of(each.rules, each.terms()) for each in scenarios}


def requesters_in(scenarios: Sequence[Scenario]) -> frozenset[str]:
    """Return who may request flexibility in any area."""
    rules = (each.rules.flexibility for each in scenarios)
    return frozenset(name for each in rules if each is not None for name in each.requesters)


MakeSettings = Callable[[str], MqttSettings]
"""Area -> how its exchange reaches the broker, in a session of its own."""


async def open_broker(
    places: ServerPlaces, areas: Mapping[Topics, Collection[str]], stack: AsyncExitStack
) -> tuple[MakeSettings, str]:
    """Return how the exchanges of areas reach their broker, and the address for clients.

    Parameters
    ----------
    places
        The broker.
    areas
        The participants of each area.
    stack
        Stops an embedded broker.
    """
    url = places.mqtt_url
    if url is not None:
        plain = _settings_at(url, next(iter(areas)).area)
        scheme = "mqtts" if plain.tls else "mqtt"
        return lambda area: _settings_at(url, area), f"{scheme}://{plain.host}:{plain.port}"
    accounts: dict[str, BrokerAccount] | None = None
    if places.accounts is not None:
        every = tuple(topic for each in areas for topic in each.exchange_rights().publish)
        own = Rights(every, every)
        accounts = {EXCHANGE: BrokerAccount(secrets.token_hex(16), own)}
        for each in places.accounts:
            if each.password is not None:
                password = each.password.get_secret_value()
                accounts[each.name] = BrokerAccount(password, rights_in(each, areas))
    broker = await stack.enter_async_context(EmbeddedBroker(accounts, places.mqtt_port))
    return lambda area: broker.settings(f"{EXCHANGE}/{area}", EXCHANGE), broker.url


def _settings_at(url: str, area: str) -> MqttSettings:
    return MqttSettings.from_url(url.replace(AREA, quote(area, safe="")), f"doe-exchange-{area}")


def _file_of(area: str, path: Path) -> Path:
    return Path(str(path).replace(AREA, area))


async def open_journal(
    scenario: Scenario,
    places: ServerPlaces,
    stack: AsyncExitStack,
    *,
    owner: str | None = None,
    lease_wait_s: float | None = None,
    retry_for_s: float = 20.0,
    accepted_end: int | None = None,
) -> tuple[RedisJournal, str]:
    """Open the journal of an area with its witness; return it and the address of its server.

    Parameters
    ----------
    scenario, places
        Of the exchange.
    stack
        Closes the journal, and stops an embedded server.
    owner, lease_wait_s, retry_for_s, accepted_end
        As for :class:`gateway.journal.redis_journal.RedisJournal`.
    """
    area, redis_url = scenario.area, places.redis_url
    if redis_url is None:
        redis = await stack.enter_async_context(EmbeddedRedis(places.data / area))
        redis_url = redis.url
    witness = places.witness or places.data / f"{AREA}.witness"
    archive = places.archive
    journal = RedisJournal(
        redis_url,
        area,
        owner=owner,
        lease_wait_s=lease_wait_s,
        retry_for_s=retry_for_s,
        lease_s=places.lease_s,
        witness=Witness(_file_of(area, witness), area),
        archive=None if archive is None else Archive(_file_of(area, archive)),
        kept_entries=places.kept_entries,
        accepted_end=accepted_end,
    )
    return await stack.enter_async_context(journal), redis_url
