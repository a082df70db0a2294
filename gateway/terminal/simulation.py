"""The result of ``simulate``, printed for people."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from gateway.runs.simulation import Simulation
from gateway.terminal.console import counted, escape, new_table, print_rest
from gateway.terminal.envelopes import SHOWN, kilowatts, show_envelopes

_ROWS = 30  # rows of a table; a file has them all


def show_simulation(simulation: Simulation, console: Console) -> None:
    """Print trades, refusals, statements, envelopes, and the matches that the network blocked."""
    result = simulation.result
    _trades(simulation, console)
    if result.refusals:
        table = new_table("Refusals", ("line", "participant", "order", "reason", "detail"))
        for refusal in result.refusals[:_ROWS]:
            table.add_row(
                str(refusal.line),
                escape(refusal.participant or "?"),
                escape(refusal.client_order_id or "?"),
                refusal.reason,
                escape(refusal.detail),
            )
        console.print(table)
        print_rest(len(result.refusals), _ROWS, console)
    if result.statements:
        columns = ("bought\nkW", "sold\nkW", "paid", "received", "comp.", "balance")
        table = new_table("Statements, in EUR", ("participant", "interval"), columns)
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
        print_rest(len(result.statements), _ROWS, console)
    intervals = result.envelopes.intervals
    show_envelopes(intervals[:SHOWN], [each.start for each in intervals], console)
    _closing(simulation, console)


def _trades(simulation: Simulation, console: Console) -> None:
    trades = simulation.result.trades
    if not trades:
        return
    table = new_table("Trades", ("buyer", "at", "seller", "at", "limit"), ("kW", "EUR/kW"))
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
    print_rest(len(trades), _ROWS, console)


def _closing(simulation: Simulation, console: Console) -> None:
    result = simulation.result
    console.print(
        f"{counted(len(result.trades), 'trade')}, {counted(len(result.refusals), 'refusal')}, "
        f"{counted(len(result.resting), 'resting order')}, welfare {result.welfare} EUR"
    )
    elements = Counter(blocked.element for blocked in simulation.blocked)
    if elements:
        named = ", ".join(f"{element} {count}" for element, count in elements.most_common())
        matches = counted(len(simulation.blocked), "match", "matches")
        console.print(f"{matches} blocked by the network: {named}")
    for alarm in simulation.alarms:
        console.print(f"[bold red]alarm[/] {alarm.kind}: {escape(alarm.detail)}")
