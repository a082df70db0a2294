"""A market report, printed for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from exchange.vocabulary.formatting import format_time
from gateway.runs.market_report import MarketReport
from gateway.terminal.console import escape
from gateway.terminal.envelopes import kilowatts

_ROWS = 100  # rows of a table; a file has them all


def show_report(report: MarketReport, console: Console) -> None:
    """Print a report as tables."""
    _intervals(report, console)
    _prices(report, console)
    share = "" if report.share is None else f" ({report.share:.2%} reached)"
    console.print(
        f"welfare {report.welfare} EUR; clairvoyant optimum "
        f"{report.clairvoyant_welfare} EUR{share}",
        soft_wrap=True,
    )
    console.print(
        f"congestion rent {report.congestion_rent} EUR; in the clairvoyant optimum "
        f"{report.clairvoyant_rent} EUR",
        soft_wrap=True,
    )
    _counts(f"{report.clearings:,} clearings", report.tiers, console)
    _counts(f"{sum(report.refusals.values()):,} refusals", report.refusals, console)
    _counts(
        f"{sum(report.blocked.values()):,} orders blocked by the network", report.blocked, console
    )


def _counts(title: str, counts: Mapping[str, int], console: Console) -> None:
    named = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    console.print(f"{title}{': ' if named else ''}{escape(named)}", soft_wrap=True)


def _intervals(report: MarketReport, console: Console) -> None:
    if len(report.intervals) < 2:
        return
    table = Table(title="Intervals", box=SIMPLE_HEAD)
    table.add_column("start")
    for column in ("clearings", "bought\nkW", "welfare\nEUR", "clairvoyant\nEUR", "share"):
        table.add_column(column, justify="right")
    for each in report.intervals[:_ROWS]:
        table.add_row(
            format_time(each.start),
            f"{each.clearings:,}",
            kilowatts(each.bought_w),
            each.welfare,
            each.clairvoyant_welfare,
            "" if each.share is None else f"{each.share:.2%}",
        )
    console.print(table)
    _more(len(report.intervals), console)


def _prices(report: MarketReport, console: Console) -> None:
    known = [row for row in report.prices if row.average_price or row.local_price]
    if not known:
        return
    table = Table(title="Prices, in EUR/kW", box=SIMPLE_HEAD)
    for column in ("connection point", "limit"):
        table.add_column(column)
    for column in ("bought\nkW", "sold\nkW", "average\nprice", "last local\nprice"):
        table.add_column(column, justify="right")
    for row in known[:_ROWS]:
        table.add_row(
            escape(row.connection_point),
            row.direction,
            kilowatts(row.bought_w),
            kilowatts(row.sold_w),
            row.average_price or "",
            row.local_price or "",
        )
    console.print(table)
    _more(len(known), console)


def _more(count: int, console: Console) -> None:
    if count > _ROWS:
        console.print(f"... and {count - _ROWS} more; -o FILE writes them all")
