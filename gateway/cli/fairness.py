"""The command ``fairness``: every principle on the same interval, side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.app import (
    JsonOption,
    OutputOption,
    ScenarioArgument,
    SeedOption,
    app,
    deliver,
    load,
)
from gateway.terminal.console import NOT_SECURE, bar, fail, fail_if_unsecured, out


@app.command()
def fairness(
    scenario: ScenarioArgument,
    interval: Annotated[
        int, typer.Option(min=1, help="Number of the interval, counted from 1.")
    ] = 1,
    output: OutputOption = None,
    json: JsonOption = False,
    seed: SeedOption = 0,
) -> None:
    """Compare the principles of fairness: least limit, sum, Jain's index, price of fairness.

    Exit code 1 if the envelopes of a principle are not secure, or none can be secured by it.
    """
    loaded = load(scenario)
    from gateway.runs.fairness_comparison import compare, principles_of, unsecured_rules
    from gateway.terminal.fairness import show

    if interval > len(loaded.intervals):
        fail(f"--interval is {interval}, but the last interval is {len(loaded.intervals)}")
    principles = principles_of(loaded)
    with bar("Allocating", len(principles)) as step:
        result = compare(loaded, loaded.intervals[interval - 1], principles, seed, step)
    if not deliver(result, output, json):
        show(result, out)
    fail_if_unsecured(loaded.source, unsecured_rules(result))
    if not all(record.secure for record in result.rules):
        raise typer.Exit(NOT_SECURE)
