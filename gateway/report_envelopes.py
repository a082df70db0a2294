"""Envelopes and verdicts for people, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gateway.files import EnvelopeFile, EnvelopeRecord, IntervalRecord
from security_check.envelope import Direction

_ROWS = 100  # longer tables are for programs: they get the file


def kilowatts(power_w: float) -> str:
    """Return a power for people, for example ``6.907``; three decimals are watts."""
    return f"{power_w / 1e3:,.3f}"


def show_envelopes(content: EnvelopeFile, console: Console) -> None:
    """Print the envelopes of one interval, or a line for each of several."""
    if len(content.intervals) == 1:
        _show_interval(content.intervals[0], console)
    else:
        _show_intervals(content.intervals, console)


def _show_interval(interval: IntervalRecord, console: Console) -> None:
    table = Table(title="Envelopes")
    table.add_column("connection point")
    for direction in Direction:
        table.add_column(f"{direction} limit\nkW", justify="right")
        table.add_column("kept by\n")
    for envelope in interval.envelopes[:_ROWS]:
        table.add_row(
            envelope.connection_point,
            kilowatts(envelope.injection_limit_w),
            envelope.injection_bottleneck,
            kilowatts(envelope.withdrawal_limit_w),
            envelope.withdrawal_bottleneck,
        )
    console.print(table)
    if len(interval.envelopes) > _ROWS:
        console.print(f"... and {len(interval.envelopes) - _ROWS} more; -o FILE writes them all")
    for direction in Direction:
        console.print(summary(interval.envelopes, direction))


def summary(envelopes: Sequence[EnvelopeRecord], direction: Direction) -> str:
    """Return one line: smallest, mean and largest limit, and what keeps most of them."""
    limits = limits_w(envelopes, direction)
    kept = bottlenecks(envelopes, direction).most_common(1)
    element = f"; {kept[0][0]} keeps {kept[0][1]} of {len(limits)}" if kept else ""
    return (
        f"{direction:>10}: {kilowatts(min(limits))} to {kilowatts(max(limits))} kW, "
        f"mean {kilowatts(sum(limits) / len(limits))} kW{element}"
    )


def limits_w(envelopes: Sequence[EnvelopeRecord], direction: Direction) -> list[int]:
    """Return the limits of one direction, in watts."""
    if direction is Direction.INJECTION:
        return [envelope.injection_limit_w for envelope in envelopes]
    return [envelope.withdrawal_limit_w for envelope in envelopes]


def bottlenecks(envelopes: Sequence[EnvelopeRecord], direction: Direction) -> Counter[str]:
    """Return which elements keep how many limits of one direction."""
    injects = direction is Direction.INJECTION
    return Counter(
        envelope.injection_bottleneck if injects else envelope.withdrawal_bottleneck
        for envelope in envelopes
    )


def _show_intervals(intervals: Sequence[IntervalRecord], console: Console) -> None:
    table = Table(title=f"Envelopes of {len(intervals)} intervals, in kW")
    table.add_column("interval")
    for direction in Direction:
        for column in ("min", "mean", "max"):
            table.add_column(f"{direction}\n{column}", justify="right")
        table.add_column("\nmost kept by")
    for interval in intervals[:_ROWS]:
        cells = [f"{interval.start:%Y-%m-%d %H:%M}"]
        for direction in Direction:
            limits = limits_w(interval.envelopes, direction)
            cells += [kilowatts(x) for x in (min(limits), sum(limits) / len(limits), max(limits))]
            cells.append(bottlenecks(interval.envelopes, direction).most_common(1)[0][0])
        table.add_row(*cells)
    console.print(table)
    if len(intervals) > _ROWS:
        console.print(f"... and {len(intervals) - _ROWS} more; -o FILE writes them all")
