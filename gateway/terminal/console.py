"""How all commands write, and their exit codes.

Results go to stdout or to the file named with ``-o``.  Errors, warnings and progress go to stderr.
All input errors are printed, one line each, with the element and the numbers.

Exit codes: 0, done.  1, done, but the result reports a failure: envelopes that are not secure, an
interval that could not be secured, an unmet contract, a line that is not an order or is refused,
a network without envelopes.  2, no result: the input
has faults, or a file, a server or a package is not available.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from gateway.formats.atomic_files import write_text
from gateway.formats.faults import InputFaults, why
from security_check.errors import Fault

NOT_SECURE = 1
"""Exit code for envelopes that are not secure, intervals without any, and unmet contracts."""
FAULTY_ORDERS = 1
"""Exit code for files with a line that is not an order; the result covers all other lines."""
REFUSED_LINES = 1
"""Exit code for a script of which a line was no command or was refused."""
FAILED_NETWORKS = 1
"""Exit code for a folder in which a network has no envelopes; the others have them."""
BAD_INPUT = 2
"""Exit code for commands without a result."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(content: BaseModel) -> None:
    """Write a result to stdout as JSON."""
    sys.stdout.write(content.model_dump_json(indent=2) + "\n")
    sys.stdout.flush()  # report a full disk now: at exit no error can be shown


def deliver_text(text: str, output: Path | None) -> None:
    """Write text to a file, or to stdout."""
    if output is not None:
        write_text(output, text)
        say_written(output)
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def say_written(path: Path) -> None:
    """Print to stderr that a file has been written."""
    err.print(f"wrote {path}", markup=False, soft_wrap=True)


def fail(sentence: str, code: int = BAD_INPUT) -> NoReturn:
    """Print an error and end the command."""
    err.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
    raise typer.Exit(code)


def fail_with_faults(found: InputFaults) -> NoReturn:
    """Print every fault of an input, one line each, and end the command."""
    count = counted(len(found.faults), "fault")
    err.print(f"[bold red]error:[/] {escape(found.source)} has {count}:", soft_wrap=True)
    for fault in found.faults:
        err.print(f"  [bold]{escape(fault.element)}[/]: {escape(fault.detail)}", soft_wrap=True)
    raise typer.Exit(BAD_INPUT)


def fail_if_unsecured(source: str, intervals: Sequence[Fault]) -> None:
    """Print the intervals that could not be secured, if any, and end the command."""
    if not intervals:
        return
    err.print(
        f"[bold red]alarm:[/] {escape(source)}: {counted(len(intervals), 'interval')} could not be "
        "secured:",
        soft_wrap=True,
    )
    for each in intervals:
        err.print(f"  [bold]{escape(each.element)}[/]: {escape(each.detail)}", soft_wrap=True)
    raise typer.Exit(NOT_SECURE)


def fail_with_os_error(error: OSError) -> NoReturn:
    """Print an error of the operating system and end the command."""
    try:
        sys.stdout.flush()
    except OSError:
        # The buffer still holds text that stdout refused; the interpreter would write it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    place = f"{error.filename}: " if error.filename else "the output cannot be written: "
    fail(place + why(error))


def escape(text: str) -> str:
    """Return text in which nothing is markup, because it comes from an input."""
    return text.replace("[", r"\[")


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, for example ``1 trade`` or ``2,000 trades``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def some(names: Iterable[str]) -> str:
    """Return the first of some names, and the number of further ones."""
    first, *others = dict.fromkeys(names)
    return f"{first} and {len(others)} more" if others else first


def new_table(title: str, left: Iterable[str], right: Iterable[str] = ()) -> Table:
    """Return an empty table with columns of words (``left``), then columns of numbers."""
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def print_rest(count: int, shown: int, console: Console) -> None:
    """Print the number of rows that a table leaves out, if any."""
    if count > shown:
        console.print(f"... and {count - shown} more; -o FILE writes them all")


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if stderr is a terminal; yield the function that sets its progress."""
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
