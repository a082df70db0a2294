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

from gateway.cli.app import (
    EnvelopesArgument,
    JsonOption,
    OutputOption,
    ScenarioArgument,
    SeedOption,
    app,
    claimed,
    deliver,
    json_file,
    kept_with_named,
    load,
)
from gateway.formats.atomic_files import check_ending
from gateway.terminal.console import (
    FAILED_NETWORKS,
    NOT_SECURE,
    bar,
    fail,
    fail_if_unsecured,
    out,
    print_json,
    say_written,
)

if TYPE_CHECKING:
    from gateway.formats.envelope_file import IntervalRecord
    from gateway.scenario.scenario import Scenario
    from security_check.errors import Fault


class ResultFormat(StrEnum):
    """File format of the results of a folder."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


CertificateOption = Annotated[
    Path | None,
    typer.Option(
        help="Write a certificate of the envelopes to this file, for others to check.",
        callback=json_file,
    ),
]


@app.command()
def allocate(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            help="Scenario file (TOML), bundled:NAME for one of the project, or a folder of files.",
            callback=kept_with_named,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the envelopes to this file (.json, .csv or .parquet) or folder.",
            callback=claimed,
        ),
    ] = None,
    json: JsonOption = False,
    certificate: CertificateOption = None,
    format_: Annotated[
        ResultFormat | None,
        typer.Option("--format", help="Format of the results of a folder; default: json."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", "-p", min=1, help="Processes for a folder; default: one per processor."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler that runs the networks of a folder."),
    ] = None,
) -> None:
    """Compute the fair and secure envelopes of every interval.

    An interval that cannot be secured is marked in the result; the others have their envelopes.
    For a folder, each network is allocated on its own.
    Exit code 1 if an interval cannot be secured, or a network of a folder has no envelopes.
    Networks whose inputs have not changed are not allocated again.
    """
    if Path(scenario).is_dir():
        if certificate is not None:
            fail("--certificate is for a single scenario, not for a folder")
        format_ = format_ or ResultFormat.JSON
        _allocate_folder(Path(scenario), output, f".{format_}", json, processes, scheduler)
    elif any(each is not None for each in (format_, processes, scheduler)):
        fail("--format, --processes and --scheduler are for a folder of scenarios")
    else:
        if output is not None:
            from gateway.formats.envelope_writers import ENDINGS

            check_ending(output, ENDINGS)
        _allocate_file(load(scenario), output, json, certificate)


def _allocate_file(
    scenario: Scenario, output: Path | None, json: bool, certificate: Path | None
) -> None:
    from gateway.formats.envelope_writers import json_writer, result_writer
    from gateway.runs.allocation import allocate_intervals
    from gateway.runs.unsecured import unsecured_faults
    from gateway.terminal.envelopes import SHOWN, show_envelopes

    if certificate is not None:
        _ = scenario.ac_network  # a fault now, not after the allocation
    first: list[IntervalRecord] = []
    unsecured: list[Fault] = []
    certified: list[IntervalRecord] = []
    # JSON reaches stdout only at the end: an error in a later interval makes all of it void.
    with TemporaryFile("w+", encoding="utf-8") as text:
        with ExitStack() as stack:
            writers = [] if output is None else [stack.enter_context(result_writer(output))]
            if json:
                writers.append(stack.enter_context(json_writer(text)))
            step = stack.enter_context(bar("Allocating", len(scenario.intervals)))
            for record, capacity in allocate_intervals(scenario, step):
                for write in writers:
                    write(record, capacity)
                if len(first) < SHOWN:
                    first.append(record)
                unsecured += unsecured_faults([record])
                if certificate is not None:
                    certified.append(record)
        if output is not None:
            say_written(output)
        if certificate is not None:
            _write_certificate(scenario, certified, certificate)
        if json:
            text.seek(0)
            shutil.copyfileobj(text, sys.stdout)
            sys.stdout.flush()  # report a full disk now: at exit no error can be shown
    if not json:
        show_envelopes(first, [each.start for each in scenario.intervals], out)
    fail_if_unsecured(scenario.source, unsecured)


def _write_certificate(
    scenario: Scenario, records: list[IntervalRecord], certificate: Path
) -> None:
    from gateway.formats.atomic_files import write_text
    from gateway.runs.certification import certificate_of

    with bar("Certifying", len(records)) as step:
        write_text(certificate, certificate_of(scenario, records, step))
    say_written(certificate)


def _allocate_folder(
    folder: Path,
    results: Path | None,
    suffix: str,
    json: bool,
    processes: int | None,
    scheduler: str | None,
) -> None:
    if results is None:
        fail("a folder of scenarios needs a folder for the results: -o FOLDER")
    if processes is not None and scheduler is not None:
        fail("--processes and --scheduler exclude each other")
    from gateway.runs.folder.allocation import allocate_jobs
    from gateway.runs.folder.jobs import jobs_in
    from gateway.terminal.folder import show_folder_summary

    jobs = jobs_in(folder, results, suffix)
    with bar("Allocating networks", len(jobs)) as step:
        summary = allocate_jobs(jobs, results, processes, scheduler, step)
    if json:
        print_json(summary)
    else:
        show_folder_summary(summary, out)
        say_written(results)
    if summary.failed or summary.not_secured:
        raise typer.Exit(FAILED_NETWORKS)


@app.command()
def verify(
    scenario: ScenarioArgument,
    envelopes: EnvelopesArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    seed: SeedOption = 0,
) -> None:
    """Look for a point inside the envelopes that violates a limit.

    Exit code 1 if there is one, or if an interval has no envelopes.
    """
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
