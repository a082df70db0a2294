"""The state that ``replay`` has rebuilt from a journal, printed for people."""

from __future__ import annotations

from rich.console import Console

from gateway.journal.replay import Replayed
from gateway.terminal.console import new_table
from gateway.terminal.envelopes import kilowatts


def show_replayed(replayed: Replayed, console: Console) -> None:
    """Print the intervals of the journal, and the digest of the state."""
    title = f"{replayed.entries:,} entries, {replayed.events:,} events"
    columns = ("open orders", "injection limits\nkW", "withdrawal limits\nkW")
    table = new_table(title, ("interval", "phase"), columns)
    for session in replayed.state["sessions"]:
        injection_w, withdrawal_w = (sum(row[i] for row in session["holdings"]) for i in (1, 2))
        halted = session["halted"] or session["suspended"] or replayed.state["controls"]["halted"]
        phase = "closed" if session["closed_at"] else "halted" if halted else "open"
        table.add_row(
            session["start"],
            phase,
            f"{len(session['orders']):,}",
            kilowatts(injection_w),
            kilowatts(withdrawal_w),
        )
    console.print(table)
    console.print(f"digest {replayed.digest}", soft_wrap=True)
