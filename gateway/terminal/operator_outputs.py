"""Traffic light and topological matrix for people."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from gateway.runs.operator_outputs import Light, OutputFile
from gateway.terminal.console import escape
from gateway.terminal.envelopes import kilowatts


def show_outputs(result: OutputFile, console: Console) -> None:
    """Print the lights of each perimeter with its smallest limit, and count the resources."""
    groups: dict[tuple[str, str], list[int]] = {}
    for k, each in enumerate(result.traffic_light):
        groups.setdefault((each.perimeter, str(each.direction)), []).append(k)
    for (perimeter, direction), places in groups.items():
        rows = [result.traffic_light[k] for k in places]
        count = Counter(each.light for each in rows)
        lights = ", ".join(f"{count[light]} {light}" for light in Light if count[light])
        least = min(rows, key=lambda each: each.limit_w)
        element = f", limited by {least.bottleneck}" if least.bottleneck else ""
        console.print(
            escape(
                f"{perimeter} ({least.connection_points} resources), {direction}: {lights}; "
                f"at least {kilowatts(least.limit_w)} of {kilowatts(least.capacity_w)} kW{element}"
            ),
            soft_wrap=True,
        )
    levels = Counter(each.voltage_level or "unknown" for each in result.topological_matrix)
    named = ", ".join(f"{count} at {level} voltage" for level, count in levels.items())
    console.print(f"{len(result.topological_matrix)} resources: {named}", soft_wrap=True)
