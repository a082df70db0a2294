"""The demo report in the terminal: binding elements, trades, payments."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from exchange.vocabulary.rules import OPERATOR
from gateway.demo.customers import CustomerKind
from gateway.demo.report import DemoReport, Party, Update
from gateway.terminal.console import escape, some

_LEFT = (
    "interval",
    "customer",
    "at",
    "limit",
    "limited by",
    "element",
    "trade",
    "kind",
    "effect on holdings",
    "why",
    "reason",
    "for example",
    "nearest its limit",
)


def show_demo_report(report: DemoReport, console: Console) -> None:
    """Print the demo report."""
    console.rule(f"[bold]A market day on {report.network}")
    console.print(
        f"{report.intervals} quarter-hours, {report.customers} customers, "
        f"{report.messages:,} messages over MQTT in {report.seconds:.0f} seconds; "
        f"seed {report.seed}"
    )
    for group in report.groups:
        console.print(f"  {group.customers:>2} {group.kind:<6} {group.kind.description}")
    _in_short(report, console)
    _envelopes(report, console)
    _needs(report, console)
    _busiest(report, console)
    _elements(report, console)
    _blocked(report, console)
    _updates(report, console)
    _money(report, console)
    _refusals(report, console)
    _closing(report, console)


def _in_short(report: DemoReport, console: Console) -> None:
    """Print the summary of the tables in words."""
    before = sum(row.beyond_before_kwh for row in report.unmet)
    after = sum(row.beyond_after_kwh for row in report.unmet)
    words = (
        f"Customers needed {before:,.0f} kWh more than their fair envelopes allowed; "
        f"after {report.trades:,} trades, {after:,.0f} kWh."
    )
    if report.elements:
        first = report.elements[0]
        words += f" {first.element} limited most envelopes"
        words += f" and blocked {first.matches_blocked:,} matches."
    if report.flows:
        flow = report.flows[0]
        words += (
            f" Most was paid by {flow.payer} to {flow.receiver}: {float(flow.amount):,.2f} EUR."
        )
    console.print(f"\n[bold]In short:[/] {words}\n")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        left = column.split("\n")[-1] in _LEFT
        table.add_column(column, justify="left" if left else "right")
    return table


def _kw(power_w: float | None) -> str:
    return "none" if power_w is None else f"{power_w / 1e3:,.1f}"


def _envelopes(report: DemoReport, console: Console) -> None:
    table = _table(
        "Envelopes, in kW, over all customers and intervals",
        "limit",
        "fair start\nmin",
        "\nmean",
        "\nmax",
        "after trading\nmin",
        "\nmean",
        "\nmax",
    )
    for spread in report.spreads:
        table.add_row(
            spread.direction,
            *(_kw(getattr(spread, f"opened_{name}_w")) for name in ("min", "mean", "max")),
            *(_kw(getattr(spread, f"closed_{name}_w")) for name in ("min", "mean", "max")),
        )
    console.print(table)


def _needs(report: DemoReport, console: Console) -> None:
    table = _table(
        "Energy beyond the envelopes, which customers could not exchange, in kWh",
        "kind",
        "limit",
        "needed",
        "without\ntrading",
        "with\ntrading",
    )
    for row in report.unmet:
        table.add_row(
            row.kind,
            row.direction,
            f"{row.needed_kwh:,.1f}",
            f"{row.beyond_before_kwh:,.1f}",
            f"{row.beyond_after_kwh:,.1f}",
        )
    console.print(table)


def _busiest(report: DemoReport, console: Console) -> None:
    if report.busiest is None:
        return
    start, trades = report.busiest.start, report.busiest.trades
    table = _table(
        f"The busiest quarter-hour, {start:%H:%M}, {trades} trades: what changed most",
        "customer",
        "at",
        "limit",
        "needed\nkW",
        "fair start\nkW",
        "limited by",
        "after trading\nkW",
    )
    for change in report.busiest.changes:
        table.add_row(
            change.participant,
            change.connection_point,
            change.direction,
            _kw(change.needed_w),
            _kw(change.opened_w),
            change.bottleneck,
            _kw(change.closed_w),
        )
    console.print(table)


def _elements(report: DemoReport, console: Console) -> None:
    table = _table(
        "What binds",
        "element",
        "envelopes it limits\nat the start",
        "matches\nblocked",
        "nearest to its limit\nafter trades",
        "highest\nloading",
    )
    for element in report.elements:
        table.add_row(
            element.element,
            f"{element.envelopes_limited:,}",
            f"{element.matches_blocked:,}",
            f"{element.nearest_after_trades:,}",
            f"{element.highest_loading:.2%}" if element.highest_loading else "-",
        )
    console.print(table)
    if not report.binding_changes:
        return
    table = _table(
        "Trades that changed which element binds; the largest of "
        f"{report.binding_changes_in_all:,}",
        "trade",
        "interval",
        "customer",
        "limit",
        "kW",
        "nearest its limit",
    )
    for change in report.binding_changes:
        table.add_row(
            str(change.trade_id),
            f"{change.interval:%H:%M}",
            f"{some(change.sellers)} to {some(change.buyers)}",
            change.direction,
            _kw(change.quantity_w),
            f"{change.nearest_before} -> {change.nearest_after}",
        )
    console.print(table)


def _blocked(report: DemoReport, console: Console) -> None:
    if not report.largest_blocked:
        return
    table = _table(
        f"Matches that the network could not carry; the largest of {report.blocked:,}",
        "customer",
        "kW",
        "why",
    )
    for blocked in report.largest_blocked:
        table.add_row(blocked.participant, _kw(blocked.blocked_w), escape(blocked.detail))
    console.print(table)


def _updates(report: DemoReport, console: Console) -> None:
    if not report.updates:
        return
    table = _table(
        "New limits from the TSO during trading, in kW",
        "interval",
        "limit",
        "from",
        "to",
        "effect on holdings",
    )
    for update in report.updates:
        limit, before, after = _changed(update)
        outcome = [
            f"{count} limits {word} by {_kw(power_w)} in all"
            for count, word, power_w in (
                (update.curtailed, "cut", update.curtailed_w),
                (update.raised, "raised", update.raised_w),
            )
            if count
        ]
        table.add_row(
            f"{update.interval:%H:%M}", limit, _kw(before), _kw(after), ", ".join(outcome)
        )
    console.print(table)


def _changed(update: Update) -> tuple[str, int | None, int | None]:
    if update.injection_limit_w[0] != update.injection_limit_w[1]:
        return "injection", *update.injection_limit_w
    return "withdrawal", *update.withdrawal_limit_w


def _money(report: DemoReport, console: Console) -> None:
    paid = {(flow.payer, flow.receiver): flow.amount for flow in report.flows}
    parties: list[Party] = [*CustomerKind, "operator"]
    kinds = [party for party in parties if any(party in pair for pair in paid)]
    table = _table(
        "Payments between kinds of customers, in EUR", "kind", *(f"to {kind}" for kind in kinds)
    )
    for payer in kinds:
        cells = [paid.get((payer, receiver), "0") for receiver in kinds]
        table.add_row(f"from {payer}", *(f"{float(cell):,.2f}" for cell in cells))
    console.print(table)
    customers = [account for account in report.accounts if account.participant != OPERATOR]
    if customers:
        most, least = customers[0], customers[-1]
        console.print(
            f"  {most.participant} earned most, {float(most.balance):,.2f} EUR; "
            f"{least.participant} paid most, {-float(least.balance):,.2f} EUR."
        )


def _refusals(report: DemoReport, console: Console) -> None:
    if report.refusals:
        table = _table("Requests refused", "reason", "count", "for example")
        for refusal in report.refusals:
            table.add_row(refusal.reason, f"{refusal.count:,}", escape(refusal.example))
        console.print(table)
    for alarm in report.alarms:
        console.print(f"[bold red]alarm[/] {escape(alarm)}")


def _closing(report: DemoReport, console: Console) -> None:
    adversary = report.adversary
    same = "the same state" if report.digest == report.replayed_digest else "ANOTHER state"
    lines: Sequence[tuple[str, str]] = (
        ("Trades", f"{report.trades:,}, moving {report.traded_w / 1e3:,.1f} kW of limits"),
        ("Orders", f"{report.orders:,}, and {report.amendments:,} amendments"),
        ("Matches blocked by the network", f"{report.blocked:,}"),
        ("Welfare gained", f"{report.welfare} EUR"),
        (
            "Money settled",
            f"{report.paid} EUR paid, {report.received} EUR received, "
            f"difference {report.difference}",
        ),
        (
            "Journal",
            f"{report.journal_entries:,} entries; replayed, they lead to {same} "
            f"({report.replayed_digest[:12]})",
        ),
        ("AC violations found by the adversary after every trade", f"{adversary.violations}"),
        (
            "",
            f"it attacked the envelopes after each of {adversary.trades_checked:,} trades, "
            f"with {adversary.vertices_tried:,} AC power flows in all",
        ),
    )
    console.rule()
    for name, value in lines:
        colour = "bold red" if name.startswith("AC") and adversary.violations else "bold"
        console.print(f"[{colour}]{name}:[/] {value}" if name else f"  {value}", soft_wrap=True)
    for example in adversary.examples:
        console.print(f"  [red]{escape(example)}[/]")
