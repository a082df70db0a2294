"""The commands of a market that runs elsewhere: ``trade`` and ``watch``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.app import app, kept
from gateway.cli.event_loop import run
from gateway.formats.private_files import readable_by_others
from gateway.terminal.console import REFUSED_LINES, err, fail, out

if TYPE_CHECKING:
    from gateway.transport.mqtt_settings import MqttSettings

AreaArgument = Annotated[str, typer.Argument(metavar="AREA", help="Area of the exchange.")]
BrokerOption = Annotated[
    str | None,
    typer.Option(help="mqtt[s]://[user[:password]@]host:port; default: DOE_MQTT_URL."),
]
UserOption = Annotated[
    str | None, typer.Option(help="Account at the broker; default: that of the URL.")
]
PasswordOption = Annotated[
    Path | None,
    typer.Option(
        help="File whose first line is the password; default: DOE_MQTT_PASSWORD, or the URL's.",
        callback=kept,
    ),
]


@app.command()
def trade(
    area: AreaArgument,
    broker: BrokerOption = None,
    user: UserOption = None,
    password_file: PasswordOption = None,
    participant: Annotated[
        str | None, typer.Option(help="Who trades; default: the account, without its device.")
    ] = None,
    cancel_on_disconnect: Annotated[
        bool, typer.Option("--cancel-on-disconnect", help="At the end, cancel all its orders.")
    ] = False,
    silent: Annotated[
        int | None,
        typer.Option(min=5, max=3600, help="Cancel all its orders after so many silent seconds."),
    ] = None,
) -> None:
    """Trade line by line: show book and orders, buy, sell, amend, cancel; help lists it all.

    Lines come from the keyboard, or from a script on stdin.
    """
    settings = _connection(area, broker, user, password_file)
    from gateway.client.trading import TradingClient
    from gateway.console.lines import lines_of
    from gateway.console.trade import TradingLines

    async def trading() -> int:
        async with TradingClient(
            settings,
            area,
            participant,
            cancel_on_disconnect=cancel_on_disconnect,
            silent_s=silent,
        ) as trader:
            lines = TradingLines(trader, out, err)
            await lines.run(lines_of(sys.stdin), "> " if sys.stdin.isatty() else "")
            return lines.failures

    failures = 0
    try:
        with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            failures = run(trading())
    except ValueError as error:
        fail(str(error))
    if failures and not sys.stdin.isatty():
        raise typer.Exit(REFUSED_LINES)


@app.command()
def watch(
    area: AreaArgument,
    broker: BrokerOption = None,
    user: UserOption = None,
    password_file: PasswordOption = None,
    interval: Annotated[
        str | None,
        typer.Option(help="Start of the interval on the screen, as 2026-07-01T12:15Z."),
    ] = None,
) -> None:
    """Watch a market: books, prices, envelopes, trades, alarms, until Ctrl-C.

    Where stdout is no terminal, every change is a line.
    """
    settings = _connection(area, broker, user, password_file)
    from gateway.client.market import MarketClient
    from gateway.console.watch import watch as show
    from gateway.formats.records import parsed_time

    async def watching(shown: datetime | None) -> None:
        async with MarketClient(settings, area) as market:
            await show(market, shown, out)

    try:
        shown = None if interval is None else parsed_time(interval)
        with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            run(watching(shown))
    except ValueError as error:
        fail(str(error))


def _connection(
    area: str, broker: str | None, user: str | None, password_file: Path | None
) -> MqttSettings:
    from gateway.console.broker_options import broker_settings
    from gateway.messages.topics import Topics

    try:
        Topics(area)
    except ValueError as error:
        fail(str(error))
    settings = broker_settings(broker, user, password_file)
    if password_file is not None and readable_by_others(password_file):
        err.print(
            f"warning: other accounts of this machine can read the password in {password_file}: "
            "chmod 600",
            markup=False,
            soft_wrap=True,
        )
    return settings
