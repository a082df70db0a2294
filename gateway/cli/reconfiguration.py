"""The command about switches and taps: ``topology``."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.app import JsonOption, OutputOption, ScenarioArgument, app, deliver, load
from gateway.terminal.console import err, out


@app.command()
def topology(
    scenario: ScenarioArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the adversary's random points.")] = 0,
) -> None:
    """Choose switches and taps under which the smallest envelope is largest."""
    loaded = load(scenario)
    from gateway.runs.reconfiguration import choose_topology
    from gateway.terminal.reconfiguration import show_topology

    with err.status("Searching ...") as status:
        result = choose_topology(
            loaded, lambda done: status.update(f"Searching, {done} allocated ..."), seed
        )
    if not deliver(result, output, json):
        show_topology(result, out)
