"""How the commands speak: results on stdout, everything else on stderr, faults as sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gateway.formats.atomic_files import write_text
from gateway.formats.faults import InputFaults, why

NOT_SECURE = 1
"""Exit code of ``verify`` for envelopes that are not secure."""
FAULTY_ORDERS = 1
"""Exit code of ``simulate`` where lines are no orders; the result is there all the same."""
FAILED_NETWORKS = 1
"""Exit code of ``allocate`` where networks of a folder have no envelopes; the others have."""
BAD_INPUT = 2
"""Exit code for input with faults."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(content: BaseModel) -> None:
    """Write a result for a program: JSON on stdout, nothing else."""
    sys.stdout.write(content.model_dump_json(indent=2) + "\n")
    sys.stdout.flush()  # a full disk must show while somebody can still say so


def deliver_text(text: str, output: Path | None) -> None:
    """Write text for a program: to a file, or to stdout and nothing else there."""
    if output is not None:
        write_text(output, text)
        say_written(output)
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def say_written(path: Path) -> None:
    """Say that a file is there."""
    err.print(f"wrote {path}", markup=False, soft_wrap=True)


def fail(sentence: str, code: int = BAD_INPUT) -> NoReturn:
    """Say in a sentence what stands in the way, and end."""
    err.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
    raise typer.Exit(code)


def fail_with_faults(found: InputFaults) -> NoReturn:
    """Show every fault of an input, and end."""
    count = len(found.faults)
    err.print(
        f"[bold red]error:[/] {escape(found.source)} has {count} fault{'s' if count != 1 else ''}:",
        soft_wrap=True,
    )
    for fault in found.faults:
        err.print(f"  [bold]{escape(fault.element)}[/]: {escape(fault.detail)}", soft_wrap=True)
    raise typer.Exit(BAD_INPUT)


def fail_with_os_error(error: OSError) -> NoReturn:
    """Say what the system does not let us do, and end."""
    try:
        sys.stdout.flush()
    except OSError:
        # What stdout did not take stays in its buffer; the interpreter would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    place = f"{error.filename}: " if error.filename else "the output cannot be written: "
    fail(place + why(error))


def escape(text: str) -> str:
    """Return text as it is: what comes from an input must not be read as markup."""
    return text.replace("[", r"\[")


def some(names: Iterable[str]) -> str:
    """Return the first of some names, and how many more there are."""
    first, *others = dict.fromkeys(names)
    return f"{first} and {len(others)} more" if others else first


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr, when that is a terminal; yields how to move it."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("about"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
