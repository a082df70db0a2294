"""The demo's day while it runs: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exchange.vocabulary.events import Traded
from gateway.demo.day import DayProgress, Show
from gateway.publishing.trade_prints import mean_ticks, prints_of
from gateway.terminal.console import some

_TRADES = 8
_LINE_EVERY = 4  # quarter-hours


@contextmanager
def day_view(console: Console) -> Iterator[Show]:
    """Show the day while it runs; yield the function to call after every quarter-hour."""
    if not console.is_terminal:
        yield lambda progress: _line(progress, console)
        return
    with Live(Text("Starting broker, journal, exchange and agents ..."), console=console) as live:
        yield lambda progress: live.update(_screen(progress))


def _line(progress: DayProgress, console: Console) -> None:
    if progress.done % _LINE_EVERY and progress.done != progress.total:
        return
    watch = progress.watch
    session = watch.sessions[progress.interval.start]
    limits = session.interface_limits
    nearest = watch.trades[-1].binding_element if watch.trades else "nothing yet"
    console.print(
        f"{progress.interval.end:%H:%M}  TSO limits {_kw(limits.injection_limit_w)} / "
        f"{_kw(limits.withdrawal_limit_w)} kW, {progress.messages:,} messages, "
        f"{len(watch.trades):,} trades, {len(watch.blocked):,} blocked, "
        f"nearest its limit {nearest}, adversary {progress.adversary.done:,} checked",
        soft_wrap=True,
    )


def _kw(power_w: int | None) -> str:
    return "no limit" if power_w is None else f"{power_w / 1e3:,.0f}"


def _screen(progress: DayProgress) -> RenderableType:
    watch, interval = progress.watch, progress.interval
    session = watch.sessions[interval.start]
    limits = session.interface_limits
    facts = Table.grid(padding=(0, 2))
    facts.add_row("the day", ProgressBar(total=progress.total, completed=progress.done, width=60))
    facts.add_row("delivery interval", f"[bold]{interval.start:%H:%M} to {interval.end:%H:%M}[/]")
    facts.add_row(
        "TSO limits at the interface",
        f"{_kw(limits.injection_limit_w)} kW injection, "
        f"{_kw(limits.withdrawal_limit_w)} kW withdrawal",
    )
    for column, direction in enumerate(("injection", "withdrawal")):
        opened, now = session.opened_w[column] / 1e3, session.now_w[column] / 1e3
        facts.add_row(
            f"{direction} limits, fair start",
            f"{opened.min():.1f} to {opened.max():.1f} kW; "
            f"after trading {now.min():.1f} to {now.max():.1f} kW",
        )
    facts.add_row(
        "so far",
        f"{progress.messages:,} messages, {len(watch.trades):,} trades, "
        f"{len(watch.blocked):,} matches blocked by the network, {len(watch.refusals):,} refusals",
    )
    facts.add_row(
        "adversary",
        f"{progress.adversary.done:,} of {progress.adversary.submitted:,} trades checked",
    )
    return Group(facts, _tape(watch.trades[-_TRADES:]))


def _tape(trades: list[Traded]) -> Table:
    table = Table(title="Latest trades", title_justify="left", box=SIMPLE_HEAD)
    for column in ("for", "seller", "buyer", "limit"):
        table.add_column(column)
    for column in ("kW", "EUR", "nearest its limit then"):
        table.add_column(column, justify="right")
    for trade in trades:
        for (interval, direction), prints in prints_of(trade).items():
            quantity_w = sum(each.quantity_w for each in prints)
            table.add_row(
                _clock(interval),
                some(each.seller for each in prints),
                some(each.buyer for each in prints),
                direction,
                f"{quantity_w / 1e3:.1f}",
                f"{float(mean_ticks(prints) * quantity_w) * 1e-7:.4f}",
                f"{trade.binding_element} {trade.loading:.2%}",
            )
    return table


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M}"
