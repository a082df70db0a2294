"""The command ``access``: accounts and topics as files for mosquitto."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from pydantic import SecretStr

from gateway.cli.app import ScenariosArgument, app, claimed, kept, load, make_folder
from gateway.formats.atomic_files import write_text
from gateway.terminal.console import say_written

_NAMES = ("mosquitto.conf", "acl", "passwords", "exchange.env")


def _claimed_in(folder: Path) -> Path:
    for name in _NAMES:
        claimed(folder / name)
    return folder


@app.command()
def access(
    scenarios: ScenariosArgument,
    accounts: Annotated[
        Path,
        typer.Option(
            help="Accounts with roles and passwords (TOML); see docs/operation.md.", callback=kept
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Write the files to this folder.", callback=_claimed_in
        ),
    ],
    place: Annotated[
        str, typer.Option(help="Where that folder will be on the broker's machine.")
    ] = "/etc/mosquitto/doe",
    host: Annotated[str, typer.Option(help="The broker's name, for the exchange.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The broker's port.")] = 1883,
) -> None:
    """Write who may use which topic, for mosquitto; of one area or of several.

    mosquitto.conf reads acl and passwords; exchange.env has the exchange's own password, in
    DOE_MQTT_URL.  All of them can be read by their own account only.
    """
    loaded = [load(each) for each in scenarios]
    from gateway.operations.accounts import read_accounts
    from gateway.operations.mosquitto_access import (
        access_list,
        configuration,
        exchange_user,
        password_file,
    )
    from gateway.operations.server_places import (
        AREA,
        check_names,
        owners_in,
        participants_in,
        requesters_in,
    )

    check_names(loaded)
    known = read_accounts(accounts, owners_in(loaded), requesters_in(loaded))
    areas = participants_in(loaded)
    password = SecretStr(secrets.token_urlsafe(24))
    user = quote(exchange_user(loaded[0].area if len(loaded) == 1 else AREA), safe="{}")
    address = f"mqtt://{user}:{quote(password.get_secret_value())}@{host}:{port}"
    texts = (
        configuration(place, port),
        access_list(areas, known),
        password_file([each.area for each in areas], password, known),
        f"DOE_MQTT_URL={address}\n",
    )
    make_folder(output)
    for name, text in zip(_NAMES, texts, strict=True):
        write_text(output / name, text, private=True)
        say_written(output / name)
