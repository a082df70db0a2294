"""The command ``outputs``: what operators tell each other of envelopes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.app import JsonOption, ScenarioArgument, app, load
from gateway.formats.atomic_files import write_json, write_text
from gateway.formats.faults import InputFaults, why
from gateway.terminal.console import escape, out, print_json, say_written
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


def _show(result: OutputFile) -> None:
    """Print how often each perimeter has which light, and its smallest limit."""
    from gateway.runs.operator_outputs import Light

    groups: dict[tuple[str, str], list[int]] = {}
    for k, each in enumerate(result.traffic_light):
        groups.setdefault((each.perimeter, str(each.direction)), []).append(k)
    for (perimeter, direction), places in groups.items():
        rows = [result.traffic_light[k] for k in places]
        count = Counter(each.light for each in rows)
        lights = ", ".join(f"{count[light]} {light}" for light in Light if count[light])
        least = min(rows, key=lambda each: each.limit_w)
        out.print(
            f"{escape(perimeter)} ({least.connection_points} resources), {direction}: {lights}; "
            f"at least {least.limit_w / 1e3:,.3f} of {least.capacity_w / 1e3:,.3f} kW"
            + (f", kept by {escape(least.bottleneck)}" if least.bottleneck else ""),
            soft_wrap=True,
        )
    levels = Counter(each.voltage_level or "unknown" for each in result.topological_matrix)
    told = ", ".join(f"{count} at {level} voltage" for level, count in levels.items())
    out.print(f"{len(result.topological_matrix)} resources: {told}", soft_wrap=True)
