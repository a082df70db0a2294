"""The command about switches and taps: ``topology``."""

from __future__ import annotations

from gateway.cli.app import (
    JsonOption,
    OutputOption,
    ScenarioArgument,
    SeedOption,
    app,
    deliver,
    load,
)
from gateway.terminal.console import err, out


@app.command()
def topology(
    scenario: ScenarioArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    seed: SeedOption = 0,
) -> None:
    """Choose the switch and tap positions that maximise the smallest envelope."""
    loaded = load(scenario)
    from gateway.runs.reconfiguration import choose_topology
    from gateway.terminal.reconfiguration import show_topology

    with err.status("Searching ...") as status:
        result = choose_topology(
            loaded, lambda done: status.update(f"Searching, {done} allocated ..."), seed
        )
    if not deliver(result, output, json):
        show_topology(result, out)
