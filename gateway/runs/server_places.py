"""Broker, journal and accounts of an exchange, as the settings of ``serve`` name them."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from exchange.vocabulary.rules import EXCHANGE, METERING, OPERATOR, TSO
from gateway.formats.faults import InputFaults
from gateway.messages.topics import Topics
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
        Folder of the embedded journal.
    accounts
        Passwords of the embedded broker; ``None`` accepts every client on this machine.
    mqtt_port
        Port of the embedded broker; 0 is a free one.
    """

    mqtt_url: str | None
    redis_url: str | None
    data: Path
    accounts: Mapping[str, str] | None
    mqtt_port: int = 0

    @classmethod
    def of(cls, settings: ServeSettings, scenario: Scenario) -> ServerPlaces:
        """Return the places that settings name.

        Raises
        ------
        InputFaults
            When the file of accounts cannot be read, or belongs to another broker.
        """
        mqtt_url, redis_url = settings.mqtt_url, settings.redis_url
        accounts = None
        if settings.accounts is not None:
            if mqtt_url is not None:
                detail = "it is for the embedded broker, but DOE_MQTT_URL names another broker"
                raise InputFaults(str(settings.accounts), [Fault("--accounts", detail)])
            accounts = read_accounts(settings.accounts, scenario)
        return cls(
            mqtt_url=None if mqtt_url is None else mqtt_url.get_secret_value(),
            redis_url=None if redis_url is None else redis_url.get_secret_value(),
            data=settings.data,
            accounts=accounts,
            mqtt_port=settings.mqtt_port,
        )


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
        for name, password in places.accounts.items():
            accounts[name] = BrokerAccount(password, topics.rights_of(name))
    broker = await stack.enter_async_context(EmbeddedBroker(accounts, places.mqtt_port))
    return broker.settings(EXCHANGE, EXCHANGE), broker.url
