"""Traffic light and topological matrix for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.terminal.console import escape, out

if TYPE_CHECKING:
    from gateway.runs.operator_outputs import OutputFile


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
