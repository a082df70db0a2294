"""The commands about envelopes: ``allocate`` and ``verify``."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.app import JsonOption, OutputOption, ScenarioArgument, app, deliver, load
from gateway.terminal.console import (
    FAILED_NETWORKS,
    NOT_SECURE,
    bar,
    fail,
    out,
    print_json,
    say_written,
)

if TYPE_CHECKING:
    from gateway.formats.envelope_file import IntervalRecord


class ResultFormat(StrEnum):
    """Of the results of a folder."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


@app.command()
def allocate(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            help="Scenario file (TOML), bundled:NAME for one that ships with us, or a folder.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the result to this file (.parquet, .csv, else JSON), or to this folder.",
        ),
    ] = None,
    json: JsonOption = False,
    format_: Annotated[
        ResultFormat | None,
        typer.Option("--format", help="For a folder: of the results; json if not said."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", "-p", min=1, help="For a folder: how many at once."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="For a folder: run on the Dask cluster of this address."),
    ] = None,
) -> None:
    """Compute the fair and secure envelopes of every interval.

    Of a folder, every network by itself: what fails is reported and does not stop the rest (exit
    code 1), and what has been done before is not done again.
    """
    if Path(scenario).is_dir():
        _allocate_folder(
            Path(scenario), output, format_ or ResultFormat.JSON, json, processes, scheduler
        )
        return
    if any(each is not None for each in (format_, processes, scheduler)):
        fail("--format, --processes and --scheduler are for a folder of scenarios")
    loaded = load(scenario)
    from gateway.formats.envelope_writers import json_writer, result_writer
    from gateway.runs.allocation import allocate_intervals
    from gateway.terminal.envelopes import SHOWN, show_envelopes

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


def _allocate_folder(
    folder: Path,
    results: Path | None,
    format_: ResultFormat,
    json: bool,
    processes: int | None,
    scheduler: str | None,
) -> None:
    if results is None:
        fail("a folder of scenarios needs a folder for the results: -o FOLDER")
    if processes is not None and scheduler is not None:
        fail("--processes and --scheduler exclude each other")
    from gateway.runs.folder.allocation import allocate_folder
    from gateway.terminal.folder import show_summary

    summary = allocate_folder(folder, results, processes, scheduler, f".{format_}")
    if json:
        print_json(summary)
    else:
        show_summary(summary)
    if summary.failed:
        raise typer.Exit(FAILED_NETWORKS)


@app.command()
def verify(
    scenario: ScenarioArgument,
    envelopes: Annotated[Path, typer.Argument(help="Envelopes, as allocate writes them.")],
    output: OutputOption = None,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random points.")] = 0,
) -> None:
    """Look for a point inside the envelopes that breaks a limit; exit code 1 if there is one."""
    from gateway.formats.envelope_rows import read_envelopes

    given = read_envelopes(envelopes)
    loaded = load(scenario)
    from gateway.runs.verification import match_envelopes, verify_intervals
    from gateway.terminal.envelopes import show_verdict

    matched = match_envelopes(loaded, given, str(envelopes))
    with bar("Verifying", len(matched)) as step:
        verdict = verify_intervals(loaded, matched, seed, step)
    if not deliver(verdict, output, json):
        show_verdict(verdict, out)
    if not verdict.secure:
        raise typer.Exit(NOT_SECURE)
