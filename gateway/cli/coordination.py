"""The command about schemes of coordination: ``coordinate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.app import JsonOption, OutputOption, app, claimed, deliver, kept_with_named
from gateway.terminal.console import NOT_SECURE, bar, err, fail, out, say_written

CaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="CASE",
        help="File of a coordination case (TOML), or bundled:NAME for one of the project.",
        callback=kept_with_named,
    ),
]
SchemeOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who clears what, seeing what.")
]
CompareOption = Annotated[bool, typer.Option("--compare", help="Run all schemes.")]
PriorityOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Whose need is first where all clear together."),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(help="Draw the result to this file (.png or .svg).", callback=claimed),
]


@app.command()
def coordinate(
    file: CaseArgument,
    scheme: SchemeOption = None,
    compare: CompareOption = False,
    priority: PriorityOption = None,
    output: OutputOption = None,
    json: JsonOption = False,
    plot: PlotOption = None,
) -> None:
    """Let TSO and DSOs buy flexibility under a scheme of coordination, or under all of them.

    Exit code 1 if, with --scheme, a limit stays exceeded or the TSO's need unserved.
    """
    if compare == (scheme is not None):
        fail("give --scheme NAME, or --compare for all schemes")
    with err.status("Reading the networks of all operators ..."):
        from doe_allocation.coordination.coordination import WITH_PRIORITY, Scheme
        from doe_allocation.coordination.plan import Priority
        from doe_allocation.coordination.shortfall import SERVED_MW
        from gateway.flexibility.coordination import run_schemes
        from gateway.flexibility.coordination_case import coordination_path, load_coordination_case
        from gateway.terminal.flexibility.coordination import show_comparison, show_scheme

        if scheme is not None and scheme not in list(Scheme):
            fail(f"--scheme: there is no scheme {scheme}; there is {', '.join(Scheme)}")
        if priority is not None and priority not in list(Priority):
            fail(f"--priority: there is no {priority}; there is {', '.join(Priority)}")
        if priority is not None and (scheme is None or Scheme(scheme) not in WITH_PRIORITY):
            detail = f"{scheme or 'each other scheme'} has its own order of needs"
            fail(f"--priority: {detail}; it is for {' and '.join(WITH_PRIORITY)}")
        case = load_coordination_case(coordination_path(file))
    first = Priority.COMMON if priority is None else Priority(priority)
    if scheme is not None:
        chosen = [(Scheme(scheme), first)]
    else:
        chosen = [
            (each, order)
            for each in Scheme
            for order in (Priority if each in WITH_PRIORITY else (first,))
        ]
    with bar("Clearing", len(chosen)) as step:
        result = run_schemes(case, chosen, step)
    if plot is not None:
        from gateway.plots.coordination import draw_coordination

        draw_coordination(result, plot)
        say_written(plot)
    if not deliver(result, output, json):
        if compare:
            show_comparison(result, out)
        else:
            show_scheme(result, out)
    only = result.schemes[0]
    if not compare and (only.overloads or only.unserved_mw > SERVED_MW):
        raise typer.Exit(NOT_SECURE)
