"""The command about local flexibility: ``procure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from doe_allocation.procurement.choices import CurrentShape, Objective
from gateway.cli.app import JsonOption, OutputOption, SeedOption, app, claimed, deliver, kept
from gateway.terminal.console import NOT_SECURE, err, fail, out, say_written

CaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="CASE",
        help="File of a procurement case (JSON), or bundled:NAME for one of the project.",
        callback=kept,
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(help="Draw the result to this file (.png or .svg).", callback=claimed),
]
ChosenOption = Annotated[
    list[str] | None,
    typer.Option(help="Procure in this case of the file only; may be given several times."),
]
SetOption = Annotated[
    str,
    typer.Option(
        "--set",
        metavar="SET",
        help="Deviations to withstand: box, gamma=NUMBER, ellipsoid or ellipsoid=RADIUS.",
    ),
]
ObjectiveOption = Annotated[
    Objective,
    typer.Option(
        help="Least cost of the local need; or also the most flexibility for the TSO beside it."
    ),
]
CurrentsOption = Annotated[
    CurrentShape,
    typer.Option(help="How magnitudes are bounded: planes, refined planes, or exact cones."),
]
PlanesOption = Annotated[
    int | None,
    typer.Option(min=3, max=4096, help="Number of planes; default: that of the file."),
]
ExactOption = Annotated[
    bool,
    typer.Option(
        "--ac-exact", help="Iterate until the binding limits are met exactly in AC power flow."
    ),
]


@app.command()
def procure(
    file: CaseArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    plot: PlotOption = None,
    case: ChosenOption = None,
    within: SetOption = "box",
    objective: ObjectiveOption = Objective.COST,
    currents: CurrentsOption = CurrentShape.PLANES,
    planes: PlanesOption = None,
    ac_exact: ExactOption = False,
    seed: SeedOption = 0,
) -> None:
    """Buy the flexibility with which all limits hold, whatever the deviations.

    Exit code 1 if a case has no activation that keeps all limits, or if the adversary finds a
    limit that the linear model does not keep in AC power flow (--ac-exact does).
    """
    with err.status("Reading the case ..."):
        from gateway.flexibility.case_loading import SetChoice, case_path
        from gateway.flexibility.day_loading import load_day
        from gateway.flexibility.procurement import procure_cases, settings_of
        from gateway.terminal.flexibility.procurement import show_procurement

        loaded = load_day(case_path(file))
    try:
        choice = SetChoice.parse(within)
    except ValueError as error:
        fail(f"--set: {error}")
    settings = settings_of(loaded, objective, currents, planes, ac_exact=ac_exact)
    with err.status("Procuring ..."):
        result = procure_cases(loaded, case or (), choice, settings, seed)
    if plot is not None:
        from gateway.plots.procurement import draw_procurement

        draw_procurement(result, plot)
        say_written(plot)
    if not deliver(result, output, json):
        show_procurement(result, out)
    if not all(each.outcome is not None and each.outcome.ac_secure for each in result.cases):
        raise typer.Exit(NOT_SECURE)
