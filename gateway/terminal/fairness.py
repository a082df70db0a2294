"""The comparison of principles of fairness, as a table."""

from __future__ import annotations

from collections.abc import Callable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.formats.envelope_file import IntervalStatus
from gateway.runs.fairness_comparison import FairnessFile, RuleRecord
from gateway.terminal.console import escape
from gateway.terminal.envelopes import kilowatts


def show(content: FairnessFile, console: Console) -> None:
    """Print a line for each principle."""
    table = Table(title="Principles of fairness", box=SIMPLE_HEAD)
    table.add_column("principle", min_width=26)
    for column in ("least\nkW", "sum\nkW", "Jain", "price", "full %"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("secure", no_wrap=True)
    for record in content.rules:
        table.add_row(
            escape(record.principle.title) + (" *" if record.in_force else ""),
            *(_figure(kilowatts, watts) for watts in (record.minimum_w, record.sum_w)),
            _figure("{:.4f}".format, record.jain),
            _figure("{:.2%}".format, record.price_of_fairness),
            _figure("{:.3%}".format, record.worst_loading).rstrip("%"),
            _secure(record),
        )
    console.print(table)
    console.print(
        "* the scenario's own. Jain: index of equality. price: part of the largest sum given up."
    )


def _figure(shown: Callable[[float], str], figure: float | None) -> str:
    return "" if figure is None else shown(figure)


def _secure(record: RuleRecord) -> str:
    """Return whether what a principle publishes is secure, or that it is not its own."""
    if record.status is not IntervalStatus.SECURE:
        return f"[bold red]{record.status}[/]"
    return "yes" if record.secure else f"[bold red]no: {escape(record.worst_element)}[/]"
