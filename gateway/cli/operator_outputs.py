"""The command ``outputs``: the traffic light and the topological matrix of envelopes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.app import (
    EnvelopesArgument,
    JsonOption,
    ScenarioArgument,
    app,
    claimed,
    load,
    make_folder,
)
from gateway.formats.atomic_files import write_json, write_text
from gateway.terminal.console import out, print_json, say_written

if TYPE_CHECKING:
    from gateway.runs.operator_outputs import OutputFile

_LIGHTS, _MATRIX = "traffic_light", "topological_matrix"


def _claimed_in(folder: Path | None) -> Path | None:
    if folder is not None:
        for name in (_LIGHTS, _MATRIX):
            claimed(folder / f"{name}.json")
            claimed(folder / f"{name}.csv")
    return folder


FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write traffic_light and topological_matrix to this folder (JSON and CSV).",
        callback=_claimed_in,
    ),
]


@app.command()
def outputs(
    scenario: ScenarioArgument,
    envelopes: EnvelopesArgument,
    output: FolderOption = None,
    json: JsonOption = False,
) -> None:
    """Show the traffic light of each perimeter, and count the resources of the matrix."""
    from gateway.formats.envelope_rows import read_table
    from gateway.runs.operator_outputs import (
        OutputFile,
        match_table,
        topological_matrix,
        traffic_light,
    )
    from gateway.terminal.operator_outputs import show_outputs

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
        show_outputs(result, out)


def _write(result: OutputFile, folder: Path) -> None:
    from gateway.runs.operator_outputs import LightFile, MatrixFile, csv_text

    make_folder(folder)
    lights, matrix = result.traffic_light, result.topological_matrix
    write_json(folder / f"{_LIGHTS}.json", LightFile(traffic_light=lights))
    write_json(folder / f"{_MATRIX}.json", MatrixFile(topological_matrix=matrix))
    write_text(folder / f"{_LIGHTS}.csv", csv_text(lights))
    write_text(folder / f"{_MATRIX}.csv", csv_text(matrix))
    for name in (_LIGHTS, _MATRIX):
        say_written(folder / f"{name}.json")
        say_written(folder / f"{name}.csv")
