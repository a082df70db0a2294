"""The outcome of a folder run, printed for people."""

from __future__ import annotations

from rich.console import Console

from gateway.runs.folder.allocation import FolderSummary
from gateway.runs.folder.jobs import JOB_LOG
from gateway.terminal.console import counted, escape
from gateway.terminal.envelopes import kilowatts

_SHOWN = 20  # networks; the job log names all of them


def show_folder_summary(summary: FolderSummary, console: Console) -> None:
    """Print the outcome of a folder run, the failed networks first."""
    for outcome in summary.failed[:_SHOWN]:
        console.print(f"[bold red]failed[/] {escape(outcome.name)}:", soft_wrap=True)
        for fault in outcome.faults:
            console.print(f"  {escape(fault)}", soft_wrap=True)
    for outcome in summary.not_secured[:_SHOWN]:
        console.print(f"[bold red]not secured[/] {escape(outcome.name)}:", soft_wrap=True)
        for sentence in outcome.not_secured[:_SHOWN]:
            console.print(f"  {escape(sentence)}", soft_wrap=True)
        if len(outcome.not_secured) > _SHOWN:
            console.print(f"  ... and {len(outcome.not_secured) - _SHOWN} more intervals")
    for more in (summary.failed[_SHOWN:], summary.not_secured[_SHOWN:]):
        if more:
            console.print(f"... and {len(more)} more; {JOB_LOG} names them all")
    before = f", {summary.done_before} done before" if summary.done_before else ""
    rate = f" ({summary.allocated / summary.seconds:.2f} networks/s)" if summary.allocated else ""
    console.print(
        f"{counted(summary.networks, 'network')}: {summary.allocated} allocated{before}, "
        f"{len(summary.failed)} failed; {counted(summary.envelopes, 'envelope')}; "
        f"{summary.seconds:,.1f} s{rate}",
        soft_wrap=True,
    )
    if summary.smallest_w is not None:
        console.print(f"smallest limit anywhere: {kilowatts(summary.smallest_w)} kW")
