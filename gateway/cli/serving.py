"""The commands of a running exchange: ``serve`` and ``accept-loss``."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.vocabulary.formatting import format_time
from gateway.cli.app import (
    JsonOption,
    OutputOption,
    ScenarioArgument,
    ScenariosArgument,
    app,
    claimed,
    deliver,
    kept,
    load,
)
from gateway.cli.event_loop import run
from gateway.formats.private_files import readable_by_others
from gateway.terminal.console import err, fail, out

if TYPE_CHECKING:
    from gateway.installation.serving import Served
    from gateway.operations.serve_settings import ServeSettings

DataOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the witness, and of the journal without DOE_REDIS_URL; "
        "default: doe-exchange-data."
    ),
]
WitnessOption = Annotated[
    Path | None,
    typer.Option(
        callback=claimed,
        help="File that knows the end of the journal; default: AREA.witness in the data folder.",
    ),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option(help="File of settings (TOML); see docs/operation.md.", callback=kept),
]


ArchiveOption = Annotated[
    Path | None,
    typer.Option(
        callback=claimed,
        help="Move entries before the last snapshot to this file; default: they stay in Redis.",
    ),
]
KeepOption = Annotated[
    int | None,
    typer.Option(min=0, help="So many of the newest entries stay, with --archive: 10,000."),
]
AccountsOption = Annotated[
    Path | None,
    typer.Option(help="Names and passwords (TOML) for the embedded broker.", callback=kept),
]
PortOption = Annotated[
    int | None, typer.Option(help="Port of the embedded broker; default: a free one.")
]
MetricsOption = Annotated[
    int | None, typer.Option(help="Show /health and /metrics on this port of the machine.")
]
StandbyOption = Annotated[
    bool,
    typer.Option(
        "--standby",
        help="Share the areas with the other processes that have the same list: serve a fair "
        "share, follow the others, take over where one ends.",
    ),
]


@app.command()
def serve(
    scenarios: ScenariosArgument,
    data: DataOption = None,
    witness: WitnessOption = None,
    archive: ArchiveOption = None,
    keep_entries: KeepOption = None,
    accounts: AccountsOption = None,
    port: PortOption = None,
    metrics_port: MetricsOption = None,
    standby: StandbyOption = False,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Run the exchange of an area, or of several in one process, until it is stopped.

    DOE_MQTT_URL and DOE_REDIS_URL name the MQTT broker and the Redis server.
    Without them, an embedded broker and an embedded server are started.
    """
    loaded = [load(each) for each in scenarios]
    from gateway.installation.intervals import last_gate
    from gateway.installation.serving import serve as run_service
    from gateway.operations.logs import logs_written
    from gateway.operations.serve_settings import read_settings

    chosen = read_settings(
        settings,
        data=data,
        witness=witness,
        archive=archive,
        keep_entries=keep_entries,
        accounts=accounts,
        mqtt_port=port,
        metrics_port=metrics_port,
        standby=standby or None,
    )
    for name, each in zip(scenarios, loaded, strict=True):
        last = last_gate(each)
        if last is not None and last <= datetime.now(UTC):
            fail(f"every gate of {name} has closed, the last one at {format_time(last)}")
    _warn_of_accounts(chosen)
    try:
        with logs_written(chosen.log_format, chosen.log_level):
            run(run_service(loaded, chosen, partial(_say_where, json=json)))
    except ValueError as error:
        fail(str(error))


def _say_where(served: Served, *, json: bool) -> None:
    """Print the addresses of a running exchange."""
    if json:
        out.print_json(served.model_dump_json())
        return
    metrics = f"  metrics  {served.metrics}/metrics\n" if served.metrics else ""
    out.print(
        f"Serving area {served.area} with {served.connection_points} connection points.\n"
        f"  MQTT     {served.mqtt}\n  journal  {served.journal}\n{metrics}Ctrl-C stops it.",
        markup=False,
        soft_wrap=True,
    )


def _warn_of_accounts(settings: ServeSettings) -> None:
    """Warn where there are no accounts, or where others can read their passwords."""
    accounts = settings.accounts
    if accounts is None:
        if settings.mqtt_url is None:
            err.print(
                "warning: without --accounts any program on this machine can act for any "
                "participant"
            )
    elif accounts.is_file() and readable_by_others(accounts):
        err.print(
            f"warning: other accounts of this machine can read the passwords in {accounts}: "
            "chmod 600",
            markup=False,
            soft_wrap=True,
        )


@app.command("accept-loss")
def accept_loss(
    scenario: ScenarioArgument,
    ends_at: Annotated[
        int,
        typer.Option(min=0, help="Entry with which the journal ends now; what followed is lost."),
    ],
    data: DataOption = None,
    witness: WitnessOption = None,
    settings: SettingsOption = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a journal whose end is lost; serve has refused it and named its last entry.

    Orders and trades in the lost entries are gone, whatever participants were told.
    No number that may have been given out in them is given out again.
    """
    loaded = load(scenario)
    from gateway.operations.serve_settings import read_settings
    from gateway.operations.server_places import ServerPlaces
    from gateway.runs.journal_loss import accept_loss as accept

    places = ServerPlaces.of(read_settings(settings, data=data, witness=witness), [loaded])
    try:
        accepted = run(accept(loaded, places, ends_at))
    except ValueError as error:
        fail(str(error))
    if not deliver(accepted, output, json):
        out.print(
            f"The journal of area {accepted.area} goes on after entry {accepted.ends_at}, although "
            f"{accepted.detail}.\nThe next order gets number {accepted.next_order_id}, the next "
            f"event number {accepted.next_event}.",
            markup=False,
            soft_wrap=True,
        )
