"""The comparison of principles of fairness, as a table."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from doe_allocation.fairness.principles import ComparedShare, Fairness, LevelScope, Rule
from gateway.runs.fairness_comparison import FairnessFile
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
        principle = Fairness(
            Rule(record.rule), record.alpha, ComparedShare(record.over), LevelScope(record.common)
        )
        table.add_row(
            escape(principle.title) + (" *" if record.in_force else ""),
            kilowatts(record.minimum_w),
            kilowatts(record.sum_w),
            f"{record.jain:.4f}",
            f"{record.price_of_fairness:.2%}",
            f"{100.0 * record.worst_loading:.3f}",
            "yes" if record.secure else f"[bold red]no: {escape(record.worst_element)}[/]",
        )
    console.print(table)
    console.print(
        "* the scenario's own. Jain: index of equality. price: part of the largest sum given up."
    )
