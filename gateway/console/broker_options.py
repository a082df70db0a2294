"""Where a terminal connects: from options, then the environment; a password is never shown."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

from gateway.client.broker_address import settings_of
from gateway.formats.faults import InputFaults, why
from gateway.transport.mqtt_settings import MqttSettings
from security_check.errors import Fault

BROKER_VARIABLE = "DOE_MQTT_URL"
PASSWORD_VARIABLE = "DOE_MQTT_PASSWORD"  # the name of a variable
_LONGEST_PASSWORD = 65_535  # bytes, of MQTT


def broker_settings(
    broker: str | None, user: str | None, password_file: Path | None
) -> MqttSettings:
    """Return the settings of a connection.

    Parameters
    ----------
    broker
        ``mqtt[s]://[user[:password]@]host:port``; without it that of the environment.
    user
        The account, in place of that of the URL.
    password_file
        A file whose first line is the password; without it that of the environment or the URL.

    Raises
    ------
    InputFaults
        When no broker is named, it is no such URL, or the file cannot be read.
    """
    url = broker or os.environ.get(BROKER_VARIABLE)
    if not url:
        raise _fault("--broker", f"no broker is named; {BROKER_VARIABLE} may name it, too")
    try:
        settings = settings_of(url, None)
    except ValueError as error:
        raise _fault("--broker" if broker else BROKER_VARIABLE, str(error)) from None
    if user is not None:
        settings = replace(settings, username=user)
    if settings.username is not None:
        # Beside other clients of the account, where the broker lets it choose.
        settings = replace(settings, client_id=f"{settings.username}/{secrets.token_hex(4)}")
    password = os.environ.get(PASSWORD_VARIABLE) or settings.password
    if password_file is not None:
        password = _first_line(password_file)
    if password is not None and settings.username is None:
        raise _fault("--user", "there is a password, and no user")
    return replace(settings, password=password)


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(_LONGEST_PASSWORD).rstrip("\r\n")
    except OSError as error:
        raise _fault("--password-file", f"{path}: {why(error)}") from None
    except UnicodeDecodeError:
        raise _fault("--password-file", f"{path} is not UTF-8") from None
    if not line:
        raise _fault("--password-file", f"the first line of {path} is empty")
    return line


def _fault(option: str, detail: str) -> InputFaults:
    return InputFaults("the connection", [Fault(option, detail)])
