"""Orders, deliveries and reports of a flexibility day, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from gateway.flexibility.day.delivery.result import (
    ActivationResult,
    MeasurementResult,
    MonitoringResult,
)
from gateway.terminal.console import escape, new_table, print_rest

_SHOWN = 20  # rows of a table
_POWERS = 4  # of a row


def show_delivery(
    phase: ActivationResult | MeasurementResult | MonitoringResult, console: Console
) -> None:
    """Print a phase about orders, deliveries or a report."""
    if isinstance(phase, ActivationResult):
        _show_orders(phase, console)
    elif isinstance(phase, MeasurementResult):
        _show_deliveries(phase, console)
    else:
        _show_report(phase, console)


def _show_orders(phase: ActivationResult, console: Console) -> None:
    table = new_table("", ["order", "way", "from", "to"], ["kW", "kWh"])
    for each in phase.orders[:_SHOWN]:
        hours = (f"{each.start:%m-%d %H:%M}", f"{each.end:%m-%d %H:%M}")
        cells = (each.order, each.direction.removesuffix("ward"), *hours)
        table.add_row(*(Text(cell) for cell in cells), _kw(each.power_w), _kw(each.energy_wh))
    if not phase.orders:
        table.add_row(Text("none", style="dim"))
    console.print(table)
    print_rest(len(phase.orders), _SHOWN, console)
    for each in phase.orders:
        if each.reason is not None:
            console.print(f"  [bold red]refused:[/] {escape(each.detail)}", soft_wrap=True)


def _show_deliveries(phase: MeasurementResult, console: Console) -> None:
    numbers = ["kWh", "delivered", "over", "missing", "excused", "accuracy"]
    table = new_table("", ["order"], numbers)
    for each in phase.deliveries[:_SHOWN]:
        table.add_row(
            Text(each.order),
            _kw(each.ordered_wh),
            _kw(each.delivered_wh),
            _kw(each.over_wh),
            _kw(each.deficient_wh),
            _kw(each.excused_wh),
            f"{each.accuracy:.1%}",
        )
    if not phase.deliveries:
        table.add_row(Text("nothing", style="dim"))
    console.print(table)
    print_rest(len(phase.deliveries), _SHOWN, console)
    for each in phase.deliveries[:_SHOWN]:
        usual, metered = (_some(watts) for watts in (each.baseline_w, each.metered_w))
        sentence = f"{each.order}: baseline {usual} kW, metered {metered} kW"
        console.print(f"  {escape(sentence)}", soft_wrap=True)


def _show_report(phase: MonitoringResult, console: Console) -> None:
    numbers = ["trades", "sold kWh", "EUR", "ordered", "delivered", "over", "excused"]
    table = new_table("", ["zone", "way"], numbers)
    for each in phase.zones:
        table.add_row(
            *(Text(cell) for cell in (each.zone, each.direction.removesuffix("ward"))),
            str(each.trades),
            _kw(each.sold_wh),
            each.cost_eur,
            _kw(each.ordered_wh),
            _kw(each.delivered_wh),
            _kw(each.over_wh),
            _kw(each.excused_wh),
        )
    console.print(table)
    for flow in phase.branches[:_SHOWN]:
        limit_w = flow.flow_max_w if flow.forecast_w > 0.0 else flow.flow_min_w
        state = "[bold red]overloaded:[/]" if flow.overloaded else "held:"
        sentence = f"{flow.branch} at {flow.interval:%m-%d %H:%M}, forecast {_kw(flow.forecast_w)}"
        sentence += f" kW, as sold {_kw(flow.sold_w)}, as measured {_kw(flow.measured_w)}"
        console.print(f"  {state} {escape(sentence)}, limit {_kw(limit_w)} kW", soft_wrap=True)
    print_rest(len(phase.branches), _SHOWN, console)


def _some(watts: Sequence[int]) -> str:
    """Return the first powers of a row."""
    rest = ", ..." if len(watts) > _POWERS else ""
    return ", ".join(_kw(each) for each in watts[:_POWERS]) + rest


def _kw(watts: float) -> str:
    return f"{watts / 1e3 + 0.0:.6g}"
