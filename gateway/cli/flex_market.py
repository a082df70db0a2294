"""The commands about markets for local flexibility: ``flex-market``, a day and a year of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exchange.vocabulary.flexibility import Matching
from gateway.cli.app import JsonOption, OutputOption, app, claimed, deliver, kept, kept_with_named
from gateway.terminal.console import NOT_SECURE, bar, err, out, say_written

CaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="CASE",
        help="File of a flexibility market case (JSON), or bundled:NAME for one of the project.",
        callback=kept,
    ),
]
DayArgument = Annotated[
    str,
    typer.Argument(
        metavar="DAY",
        help="File of a flexibility day (TOML or JSON), or the name of one of the project.",
        callback=kept,
    ),
]
MapOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        help="Draw the map of a day with zones to this file (.png or .svg): needs, who qualifies.",
        callback=claimed,
    ),
]
YearArgument = Annotated[
    str,
    typer.Argument(
        metavar="YEAR",
        help="File of a flexibility year (TOML or JSON), or the name of one of the project.",
        callback=kept_with_named,
    ),
]


def _claimed_in(folder: Path) -> Path:
    from gateway.flexibility.year.running import WRITTEN

    for name in WRITTEN:
        claimed(folder / name)
    return folder


FolderOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Folder of the results; a run that was killed goes on.",
        callback=_claimed_in,
    ),
]
YearPlotOption = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw the year to this file (.png, .svg).", callback=claimed),
]
EveryOption = Annotated[int, typer.Option(min=1, help="Run each N-th day only.")]
MatchingOption = Annotated[
    Matching,
    typer.Option(help="At each order what brings the most welfare, or pairs by price and time."),
]


@app.command()
def flex_market(
    file: CaseArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    matching: MatchingOption = Matching.WELFARE,
) -> None:
    """Match offers of flexibility to requests, one by one, within the network's limits.

    Exit code 1 if a branch is overloaded, which a match never leads to: by the set point.
    """
    with err.status("Matching ..."):
        from gateway.flexibility.case_loading import case_path
        from gateway.flexibility.flex_market import run_flex_market
        from gateway.flexibility.market_case import load_market_case
        from gateway.terminal.flexibility.flex_market import show_flex_market

        result = run_flex_market(load_market_case(case_path(file)), matching)
    if not deliver(result, output, json):
        show_flex_market(result, out)
    if any(each.overloaded for each in result.flows):
        raise typer.Exit(NOT_SECURE)


@app.command()
def flexibility_day(
    file: DayArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    plot: MapOption = None,
) -> None:
    """Run a day of a flexibility market: qualification, contracts, sessions, orders, settlement.

    Exit code 1 if a need stays unmet at the end, or a branch overloaded.
    """
    with err.status("Running the day ..."):
        from gateway.flexibility.day.case import day_path, load_day
        from gateway.flexibility.day.result import all_is_met
        from gateway.flexibility.day.running import run_flexibility_day
        from gateway.terminal.flexibility.day import show_flexibility_day

        case = load_day(day_path(file))
        result = run_flexibility_day(case)
    if not deliver(result, output, json):
        show_flexibility_day(result, out)
    if plot is not None:
        from gateway.plots.flexibility_map import draw_flexibility_map

        draw_flexibility_map(case, result, plot)
        say_written(plot)
    if not all_is_met(result):
        raise typer.Exit(NOT_SECURE)


@app.command()
def flexibility_year(
    file: YearArgument,
    output: FolderOption,
    plot: YearPlotOption = None,
    every: EveryOption = 1,
) -> None:
    """Run a flexibility market day by day over a year, at growing shares of renewable energy."""
    with err.status("Reading the year ..."):
        from gateway.flexibility.year.case import load_year, year_path
        from gateway.flexibility.year.running import RESULT, run_flexibility_year
        from gateway.terminal.flexibility.year import show_flexibility_year

        case = load_year(year_path(file), every)
    with bar("days", len(case.shares) * len(case.days)) as step:
        result, rows = run_flexibility_year(case, output, step)
    say_written(output / RESULT)
    show_flexibility_year(result, out)
    if plot is not None:
        from gateway.plots.flexibility_year import draw_flexibility_year

        draw_flexibility_year(result, rows, plot)
        say_written(plot)
