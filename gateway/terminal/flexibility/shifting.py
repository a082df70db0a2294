"""The phase of ``flexibility-day`` that calls time-shiftable offers, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from gateway.flexibility.day.shift_result import ShiftOutcomeRecord, ShiftResult
from gateway.terminal.console import counted, escape, new_table, print_rest

_SHOWN = 20  # rows of a table


def show_shift(phase: ShiftResult, console: Console) -> None:
    """Print aggregates, members, what aggregation gave away, and flows."""
    table = new_table("", ["aggregate", "may begin", "begins", "kW"], ["members"])
    for group in phase.aggregates[:_SHOWN]:
        window = f"{_at(group.earliest)} to {_at(group.latest)}"
        begins = "as planned" if group.start is None else _at(group.start)
        cells = (group.name, window, begins, _powers(group.watts))
        table.add_row(*(Text(cell) for cell in cells), str(len(group.members)))
    console.print(table)
    print_rest(len(phase.aggregates), _SHOWN, console)
    table = new_table("", ["offer", "of", "planned", "kW", "begins", "kW"], ["EUR"])
    for each in phase.members[:_SHOWN]:
        begins = _at(each.start) if each.called else "as planned"
        own = _powers(each.watts) if each.called else ""
        cells = (each.offer, each.aggregate, _at(each.planned_start), _powers(each.planned_w))
        table.add_row(*(Text(cell) for cell in (*cells, begins, own)), each.amount_eur)
    console.print(table)
    print_rest(len(phase.members), _SHOWN, console)
    for reason in phase.refused:
        console.print(f"  refused: {escape(f'{reason.name}, {reason.detail}')}", soft_wrap=True)
    _show_loss(phase, console)
    for lack in phase.shortfalls[:_SHOWN]:
        sentence = f"{lack.need} at {_at(lack.interval)}: {lack.detail}"
        console.print(f"  [bold red]not met:[/] {escape(sentence)}", soft_wrap=True)
    print_rest(len(phase.shortfalls), _SHOWN, console)
    for flow in phase.flows[:_SHOWN]:
        limit_w = flow.flow_max_w if flow.before_w + flow.after_w > 0.0 else flow.flow_min_w
        state = "[bold red]overloaded:[/]" if flow.overloaded else "relieved:"
        sentence = f"{flow.branch} at {_at(flow.interval)}, {_kw(flow.before_w)} to "
        sentence += f"{_kw(flow.after_w)} kW, limit {_kw(limit_w)} kW"
        console.print(f"  {state} {escape(sentence)}", soft_wrap=True)
    print_rest(len(phase.flows), _SHOWN, console)
    console.print(f"  cost {phase.outcome.cost_eur} EUR")


def _show_loss(phase: ShiftResult, console: Console) -> None:
    """Print what aggregation gave away, in flexibility and in what is achieved."""
    first, left = phase.flexibility, phase.aggregated_flexibility
    sentence = (
        f"{counted(len(phase.aggregates), 'aggregate')} of {counted(len(phase.members), 'offer')}: "
        f"shifts {left.time_intervals} of {first.time_intervals} intervals, "
        f"ranges of slices {left.width_kwh} of {first.width_kwh} kWh, "
        f"of totals {left.total_kwh} of {first.total_kwh} kWh"
    )
    console.print(f"  {escape(sentence)}", soft_wrap=True)
    if phase.alone is not None:
        both = f"in aggregates {_outcome(phase.outcome)}; one by one {_outcome(phase.alone)}"
        console.print(f"  {escape(both)}", soft_wrap=True)


def _outcome(each: ShiftOutcomeRecord) -> str:
    text = f"{each.cost_eur} EUR, {each.missing_kwh} kWh missing"
    if each.deviation_kwh != "0":
        text += f", {each.deviation_kwh} kWh off the target"
    return text if each.proved else f"{text} (not proved to be the best)"


def _powers(watts: Sequence[int]) -> str:
    return " ".join(_kw(each) for each in watts)


def _kw(watts: float) -> str:
    return f"{watts / 1e3 + 0.0:.6g}"


def _at(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M}"
