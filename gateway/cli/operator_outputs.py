"""The command ``outputs``: what operators tell each other of envelopes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.app import JsonOption, ScenarioArgument, app, load
from gateway.formats.atomic_files import write_json, write_text
from gateway.formats.faults import InputFaults, why
from gateway.terminal.console import print_json, say_written
from gateway.terminal.operator_outputs import _show
from security_check.errors import Fault

if TYPE_CHECKING:
    from gateway.runs.operator_outputs import OutputFile

FolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write traffic_light and topological_matrix into it."),
]


@app.command()
def outputs(
    scenario: ScenarioArgument,
    envelopes: Annotated[Path, typer.Argument(help="Envelopes, as allocate writes them.")],
    output: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show the traffic light of every perimeter and the topological matrix of all resources."""
    from gateway.formats.envelope_rows import read_table
    from gateway.runs.operator_outputs import (
        OutputFile,
        match_table,
        topological_matrix,
        traffic_light,
    )

    table = read_table(envelopes)
    loaded = load(scenario)
    matched = match_table(loaded, table, str(envelopes))
    result = OutputFile(
        traffic_light=list(traffic_light(loaded, matched)),
        topological_matrix=topological_matrix(loaded, matched),
    )
    if output is not None:
        _write(result, output)
    if json:
        print_json(result)
    else:
        _show(result)


def _write(result: OutputFile, folder: Path) -> None:
    from gateway.runs.operator_outputs import LightFile, MatrixFile, csv_text

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"it cannot be made: {why(error)}"
        raise InputFaults(str(folder), [Fault("folder", sentence)]) from None
    lights, matrix = result.traffic_light, result.topological_matrix
    write_json(folder / "traffic_light.json", LightFile(traffic_light=lights))
    write_json(folder / "topological_matrix.json", MatrixFile(topological_matrix=matrix))
    write_text(folder / "traffic_light.csv", csv_text(lights))
    write_text(folder / "topological_matrix.csv", csv_text(matrix))
    for name in ("traffic_light", "topological_matrix"):
        say_written(folder / f"{name}.json")
        say_written(folder / f"{name}.csv")
