"""The commands about envelopes: ``allocate`` and ``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_app import JsonOption, OutputOption, ScenarioArgument, app, deliver, load
from gateway.cli_output import (
    NOT_SECURE,
    bar,
    out,
)
from gateway.files import read_envelopes

if TYPE_CHECKING:
    pass


@app.command()
def allocate(
    scenario: ScenarioArgument, output: OutputOption = None, json: JsonOption = False
) -> None:
    """Compute the fair and secure envelopes of every interval."""
    loaded = load(scenario)
    from gateway.cli_grid import allocate_intervals
    from gateway.report_envelopes import show_envelopes

    with bar("Allocating", len(loaded.intervals)) as step:
        result = allocate_intervals(loaded, step)
    if not deliver(result, output, json):
        show_envelopes(result, out)


@app.command()
def verify(
    scenario: ScenarioArgument,
    envelopes: Annotated[Path, typer.Argument(help="Envelopes, as allocate writes them.")],
    output: OutputOption = None,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random points.")] = 0,
) -> None:
    """Look for a point inside the envelopes that breaks a limit; exit code 1 if there is one."""
    given = read_envelopes(envelopes)
    loaded = load(scenario)
    from gateway.cli_grid import match_envelopes, verify_intervals
    from gateway.report_envelopes import show_verdict

    matched = match_envelopes(loaded, given, str(envelopes))
    with bar("Verifying", len(matched)) as step:
        verdict = verify_intervals(loaded, matched, seed, step)
    if not deliver(verdict, output, json):
        show_verdict(verdict, out)
    if not verdict.secure:
        raise typer.Exit(NOT_SECURE)
