"""The result of ``simulate``, printed for people."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from gateway.runs.simulation import Simulation
from gateway.terminal.console import escape
from gateway.terminal.envelopes import SHOWN, kilowatts, show_envelopes

_ROWS = 30  # rows of a table; a file has them all


def show_simulation(simulation: Simulation, console: Console) -> None:
    """Print trades, refusals, statements, envelopes, and the matches that the network blocked."""
    result = simulation.result
    _trades(simulation, console)
    if result.refusals:
        table = Table("line", "participant", "order", "reason", "detail", title="Refusals")
        for refusal in result.refusals[:_ROWS]:
            table.add_row(
                str(refusal.line),
                escape(refusal.participant or "?"),
                escape(refusal.client_order_id or "?"),
                refusal.reason,
                escape(refusal.detail),
            )
        console.print(table)
        _more(len(result.refusals), console)
    if result.statements:
        table = Table(title="Statements, in EUR")
        table.add_column("participant")
        table.add_column("interval")
        for column in ("bought\nkW", "sold\nkW", "paid", "received", "comp.", "balance"):
            table.add_column(column, justify="right")
        for line in result.statements[:_ROWS]:
            table.add_row(
                escape(line.participant),
                f"{line.interval:%Y-%m-%d %H:%M}",
                kilowatts(line.bought_w),
                kilowatts(line.sold_w),
                line.paid,
                line.received,
                line.compensation,
                line.balance,
            )
        console.print(table)
        _more(len(result.statements), console)
    intervals = result.envelopes.intervals
    show_envelopes(intervals[:SHOWN], [each.start for each in intervals], console)
    _closing(simulation, console)


def _trades(simulation: Simulation, console: Console) -> None:
    trades = simulation.result.trades
    if not trades:
        return
    table = Table(title="Trades")
    for column in ("buyer", "at", "seller", "at", "limit"):
        table.add_column(column)
    table.add_column("kW", justify="right")
    table.add_column("EUR/kW", justify="right")
    for trade in trades[:_ROWS]:
        table.add_row(
            escape(trade.buyer),
            trade.buy_connection_point,
            escape(trade.seller),
            trade.sell_connection_point,
            trade.direction,
            kilowatts(trade.quantity_w),
            trade.price,
        )
    console.print(table)
    _more(len(trades), console)


def _more(count: int, console: Console) -> None:
    if count > _ROWS:
        console.print(f"... and {count - _ROWS} more; -o FILE writes them all")


def _closing(simulation: Simulation, console: Console) -> None:
    result = simulation.result
    console.print(
        f"{len(result.trades):,} trades, {len(result.refusals):,} refusals, "
        f"{len(result.resting):,} orders resting, welfare {result.welfare} EUR"
    )
    elements = Counter(blocked.element for blocked in simulation.blocked)
    if elements:
        named = ", ".join(f"{element} {count}" for element, count in elements.most_common())
        console.print(f"{len(simulation.blocked):,} matches blocked by the network: {named}")
    for alarm in simulation.alarms:
        console.print(f"[bold red]alarm[/] {alarm.kind}: {escape(alarm.detail)}")
