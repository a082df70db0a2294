"""A market report, printed for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from exchange.vocabulary.formatting import format_time
from gateway.runs.market_report import MarketReport
from gateway.terminal.console import counted, escape, new_table, print_rest
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
    _counts(counted(report.clearings, "clearing"), report.tiers, console)
    _counts(counted(sum(report.refusals.values()), "refusal"), report.refusals, console)
    blocked = counted(sum(report.blocked.values()), "match", "matches")
    _counts(f"{blocked} blocked by the network", report.blocked, console)


def _counts(title: str, counts: Mapping[str, int], console: Console) -> None:
    named = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    console.print(f"{title}{': ' if named else ''}{escape(named)}", soft_wrap=True)


def _intervals(report: MarketReport, console: Console) -> None:
    if len(report.intervals) < 2:
        return
    columns = ("clearings", "bought\nkW", "welfare\nEUR", "clairvoyant\nEUR", "share")
    table = new_table("Intervals", ("start",), columns)
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
    print_rest(len(report.intervals), _ROWS, console)


def _prices(report: MarketReport, console: Console) -> None:
    known = [row for row in report.prices if row.average_price or row.local_price]
    if not known:
        return
    columns = ("bought\nkW", "sold\nkW", "average\nprice", "last local\nprice")
    table = new_table("Prices, in EUR/kW", ("connection point", "limit"), columns)
    for row in known[:_ROWS]:
        table.add_row(
            escape(row.connection_point),
            row.direction,
            kilowatts(row.bought_w),
            kilowatts(row.sold_w),
            row.average_price or "",
            "" if row.local_price is None else f"{float(row.local_price):.6f}",
        )
    console.print(table)
    print_rest(len(known), _ROWS, console)
