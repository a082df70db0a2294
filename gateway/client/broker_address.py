"""Where a client connects to: a URL, or settings, for sessions that end with their connection."""

from __future__ import annotations

import secrets
from dataclasses import replace

from gateway.transport.mqtt_settings import MqttSettings


def settings_of(broker: str | MqttSettings, name: str | None) -> MqttSettings:
    """Return settings of a client.

    Parameters
    ----------
    broker
        ``mqtt[s]://user:password@host:port``, or settings, which are taken as they are.
    name
        Client id where the URL has no user; ``None`` for one that no other client has.

    Raises
    ------
    ValueError
        When it is not such a URL; the message does not repeat the password.
    """
    if isinstance(broker, MqttSettings):
        return broker
    settings = MqttSettings.from_url(broker, "")
    client_id = settings.username or name or f"reader-{secrets.token_hex(6)}"
    # What a session missed comes back by queries; a broker need not keep depth for it.
    return replace(settings, client_id=client_id, session_expiry_s=0)


def account_of(settings: MqttSettings) -> str:
    """Return the account of a client: its user without the device.

    Raises
    ------
    ValueError
        When there is no user.
    """
    account = (settings.username or "").partition("/")[0]
    if not account:
        raise ValueError("the broker's URL names no user, so the participant must be named")
    return account
