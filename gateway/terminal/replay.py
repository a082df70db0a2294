"""The state that ``replay`` has rebuilt from a journal, printed for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from gateway.journal.replay import Replayed


def show_replayed(replayed: Replayed, console: Console) -> None:
    """Print the intervals of the journal, and the digest of the state."""
    table = Table(title=f"{replayed.entries:,} entries, {replayed.events:,} events")
    for column in ("interval", "phase"):
        table.add_column(column)
    for column in ("open orders", "injection limits\nkW", "withdrawal limits\nkW"):
        table.add_column(column, justify="right")
    for session in replayed.state["sessions"]:
        injection_w, withdrawal_w = (sum(row[i] for row in session["holdings"]) for i in (1, 2))
        halted = session["halted"] or session["suspended"] or replayed.state["controls"]["halted"]
        phase = "closed" if session["closed_at"] else "halted" if halted else "open"
        table.add_row(
            session["start"],
            phase,
            f"{len(session['orders']):,}",
            f"{injection_w / 1e3:,.3f}",
            f"{withdrawal_w / 1e3:,.3f}",
        )
    console.print(table)
    console.print(f"digest {replayed.digest}", soft_wrap=True)
