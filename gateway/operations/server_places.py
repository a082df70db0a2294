"""Broker, journal and accounts of an exchange, as the settings of ``serve`` name them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from exchange.vocabulary.rules import EXCHANGE
from gateway.formats.faults import InputFaults
from gateway.journal.archive import Archive
from gateway.journal.embedded_redis import EmbeddedRedis
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.witness import Witness
from gateway.messages.topics import Topics
from gateway.operations.accounts import Account, read_accounts
from gateway.operations.serve_settings import ServeSettings
from gateway.scenario.scenario import Scenario
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.mqtt_client import MqttSettings
from security_check.errors import Fault


@dataclass(frozen=True, slots=True)
class ServerPlaces:
    """Broker and journal; ``None`` means an embedded server.

    Parameters
    ----------
    mqtt_url, redis_url
        Addresses of external servers.
    data
        Folder of the embedded journal, and of the witness.
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
    def of(cls, settings: ServeSettings, scenario: Scenario) -> ServerPlaces:
        """Return the places that settings name.

        Raises
        ------
        InputFaults
            When the file of accounts cannot be read, or belongs to another broker.
        """
        mqtt_url, redis_url = settings.mqtt_url, settings.redis_url
        if settings.standby and (mqtt_url is None or redis_url is None):
            detail = "a standby needs the broker and the Redis server of the other exchange"
            raise InputFaults("settings", [Fault("standby", f"{detail}: mqtt_url, redis_url")])
        accounts = None
        if settings.accounts is not None:
            if mqtt_url is not None:
                detail = "it is for the embedded broker, but DOE_MQTT_URL names another broker"
                raise InputFaults(str(settings.accounts), [Fault("--accounts", detail)])
            accounts = read_accounts(settings.accounts, scenario.owners)
            without = [each.name for each in accounts if each.password is None]
            if without:
                detail = "the embedded broker knows accounts by their passwords, and it has none"
                raise InputFaults(str(settings.accounts), [Fault(each, detail) for each in without])
        return cls(
            mqtt_url=None if mqtt_url is None else mqtt_url.get_secret_value(),
            redis_url=None if redis_url is None else redis_url.get_secret_value(),
            data=settings.data,
            accounts=accounts,
            mqtt_port=settings.mqtt_port,
            witness=settings.witness,
            archive=settings.archive,
            kept_entries=settings.keep_entries,
            lease_s=settings.lease_s,
        )


async def open_broker(
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
        for each in places.accounts:
            if each.password is not None:
                password = each.password.get_secret_value()
                accounts[each.name] = BrokerAccount(password, each.rights(topics))
    broker = await stack.enter_async_context(EmbeddedBroker(accounts, places.mqtt_port))
    return broker.settings(EXCHANGE, EXCHANGE), broker.url


async def open_journal(
    scenario: Scenario,
    places: ServerPlaces,
    stack: AsyncExitStack,
    *,
    owner: str | None = None,
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
    owner, retry_for_s, accepted_end
        As for :class:`gateway.journal.redis_journal.RedisJournal`.
    """
    redis_url = places.redis_url
    if redis_url is None:
        redis = await stack.enter_async_context(EmbeddedRedis(places.data / scenario.area))
        redis_url = redis.url
    journal = RedisJournal(
        redis_url,
        scenario.area,
        owner=owner,
        retry_for_s=retry_for_s,
        lease_s=places.lease_s,
        witness=Witness(places.witness or places.data / f"{scenario.area}.witness", scenario.area),
        archive=None if places.archive is None else Archive(places.archive),
        kept_entries=places.kept_entries,
        accepted_end=accepted_end,
    )
    return await stack.enter_async_context(journal), redis_url
