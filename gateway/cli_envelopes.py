"""The commands about envelopes: ``allocate`` and ``verify``."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_app import JsonOption, OutputOption, ScenarioArgument, app, deliver, load
from gateway.cli_output import (
    NOT_SECURE,
    bar,
    out,
    say_written,
)

if TYPE_CHECKING:
    from gateway.files import IntervalRecord

ResultOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write the result to this file: .parquet, .csv, else JSON."
    ),
]


@app.command()
def allocate(
    scenario: ScenarioArgument, output: ResultOption = None, json: JsonOption = False
) -> None:
    """Compute the fair and secure envelopes of every interval."""
    loaded = load(scenario)
    from gateway.cli_grid import allocate_intervals
    from gateway.report_envelopes import SHOWN, show_envelopes
    from gateway.result_files import json_writer, result_writer

    first: list[IntervalRecord] = []
    # What a fault in a later interval would make void must not be on stdout already.
    with TemporaryFile("w+", encoding="utf-8") as text:
        with ExitStack() as stack:
            writers = [] if output is None else [stack.enter_context(result_writer(output))]
            if json:
                writers.append(stack.enter_context(json_writer(text)))
            step = stack.enter_context(bar("Allocating", len(loaded.intervals)))
            for record, capacity in allocate_intervals(loaded, step):
                for write in writers:
                    write(record, capacity)
                if len(first) < SHOWN:
                    first.append(record)
        if output is not None:
            say_written(output)
        if json:
            text.seek(0)
            shutil.copyfileobj(text, sys.stdout)
            sys.stdout.flush()  # a full disk must show while somebody can still say so
    if not json:
        show_envelopes(first, [each.start for each in loaded.intervals], out)


@app.command()
def verify(
    scenario: ScenarioArgument,
    envelopes: Annotated[Path, typer.Argument(help="Envelopes, as allocate writes them.")],
    output: OutputOption = None,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random points.")] = 0,
) -> None:
    """Look for a point inside the envelopes that breaks a limit; exit code 1 if there is one."""
    from gateway.envelope_table import read_envelopes

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
