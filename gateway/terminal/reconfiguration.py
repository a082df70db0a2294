"""The best configuration of a network, as a table and sentences."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.runs.reconfiguration import ConfigurationRecord, TopologyFile
from gateway.terminal.console import escape
from gateway.terminal.envelopes import kilowatts


def show_topology(content: TopologyFile, console: Console) -> None:
    """Print the present and the best configuration, the operations, and the proof."""
    _show_both(content, console)
    best = content.best
    if best is None:
        console.print("No configuration has secure envelopes.")
    elif not best.operations:
        console.print("The present configuration is the best one found; no operation is needed.")
    else:
        console.print(
            f"{_times(len(best.operations), 'operation')} lead to the best configuration:"
        )
        for operation in best.operations:
            console.print(f"  {escape(operation)}", soft_wrap=True)
    for sentence in _sentences(content):
        console.print(escape(sentence), soft_wrap=True)


def _show_both(content: TopologyFile, console: Console) -> None:
    table = Table(title="Configurations", box=SIMPLE_HEAD)
    for name in ("", "open", "taps"):
        table.add_column(name)
    for name in ("smallest limit\nkW", "mean injection\nkW", "mean withdrawal\nkW"):
        table.add_column(name, justify="right")
    for name, each in (("present", content.present), ("best", content.best)):
        if each is not None:
            table.add_row(name, *_cells(each))
    console.print(table)


def _cells(record: ConfigurationRecord) -> list[str]:
    numbers = [record.smallest_uncapped_limit_w, record.mean_injection_w, record.mean_withdrawal_w]
    taps = ", ".join(f"{name} at {position}" for name, position in record.taps.items())
    return [
        ", ".join(record.open) or "-",
        taps or "-",
        *("not secure" if number is None else kilowatts(number) for number in numbers),
    ]


def _sentences(content: TopologyFile) -> list[str]:
    found = []
    if content.present.infeasible_reason:
        found.append(f"At present: {content.present.infeasible_reason}")
    if not content.present.radial:
        found.append("The present configuration is not radial.")
    counts = [f"{content.configurations:,.0f} radial configurations"]
    counts.append(f"{content.evaluated:,} allocated")
    if content.exact:
        counts.append(f"{content.proved_worse:,} proved to be worse without")
    rejected = sum(content.rejected.values())
    reasons = "; ".join(f"{count:,}: {reason}" for reason, count in content.rejected.items())
    counts.append(f"{rejected:,} rejected" + (f" ({reasons})" if reasons else ""))
    found.append(", ".join(counts) + ".")
    if content.exact:
        found.append("Exact: no other allowed radial configuration is better.")
    else:
        found.append(
            "Not exact: found by single and double exchanges of branches and tap changes. No "
            f"configuration has a smallest limit above {kilowatts(content.bound_w)} kW; the gap "
            f"is {kilowatts(content.gap_w)} kW."
        )
    if content.bound_unavailable_reason:
        found.append(f"No bound besides capacities: {content.bound_unavailable_reason}.")
    if content.adversary_loading is not None:
        found.append(
            "The adversary fills the fullest element of the best configuration to "
            f"{100.0 * content.adversary_loading:.4f} % of its limit."
        )
    return found


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
