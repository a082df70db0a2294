"""The application with which the commands register, and the options that they share.

Output and exit codes are described in :mod:`gateway.terminal.console`.  The commands import what
they need when they run, so that ``--help`` does not wait for pandapower.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from typer.core import TyperGroup

from gateway.errors import GatewayError
from gateway.formats.atomic_files import (
    check_ending,
    claim_output,
    inputs_kept,
    keep_input,
    write_json,
)
from gateway.formats.faults import InputFaults, why
from gateway.formats.input_files import files_named_by
from gateway.formats.urls import shown_url
from gateway.terminal.console import (
    err,
    fail,
    fail_with_faults,
    fail_with_os_error,
    out,
    print_json,
    say_written,
)
from security_check.errors import Fault, GridError

if TYPE_CHECKING:
    from gateway.scenario.scenario import Scenario

_Named = TypeVar("_Named", str, Path, Path | None)


@contextmanager
def _as_sentences() -> Iterator[None]:
    """End with a sentence and an exit code after an error with a cause outside the program."""
    try:
        yield
    except InputFaults as found:
        fail_with_faults(found)
    except (GatewayError, GridError) as error:
        fail(str(error))
    except BrokenPipeError:
        raise  # the reader of the output has closed it: typer ends quietly
    except OSError as error:
        fail_with_os_error(error)


class _Commands(TyperGroup):
    """The commands, with one way to report errors."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _as_sentences():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _as_sentences(), inputs_kept():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="A continuous exchange for dynamic operating envelopes: "
    "secure, fair and tradable grid limits.",
    epilog="Exit codes: 0, done; 1, done, but the result reports a failure; 2, no result.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def kept_with_named(name: str | None) -> str | None:
    """Keep a scenario or hierarchy, and the files that it names, from being overwritten."""
    path = Path(name or "")
    if name is None or not path.is_file():  # a bundled one, or a fault that the command reports
        return name
    keep_input(path, f"an input of this command, {name}")
    with suppress(OSError):  # the command reports what cannot be read
        for each in files_named_by(path):
            keep_input(each, f"an input of this command, named by {name}")
    return name


def kept(path: _Named) -> _Named:
    """Keep an input file from being overwritten."""
    if path is not None:
        keep_input(Path(path), f"an input of this command, {shown_url(str(path))}")
    return path


def claimed(path: Path | None) -> Path | None:
    """Refuse an output file that is an input of the command; both may be named in any order."""
    if path is not None:
        claim_output(path)
    return path


def json_file(path: Path | None) -> Path | None:
    """Refuse an output file that does not end in ``.json`` or is an input of the command."""
    if path is not None:
        check_ending(path, (".json",))
    return claimed(path)


ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        help="Scenario file (TOML), or bundled:NAME for one of the project.",
        callback=kept_with_named,
    ),
]
ScenariosArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SCENARIO...",
        help="Scenario files (TOML), each of an area of its own, or bundled:NAME.",
        callback=lambda names: [kept_with_named(each) for each in names],
    ),
]


OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write the result to this file (.json).", callback=json_file
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, not tables.")]
EnvelopesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="ENVELOPES", help="File of envelopes that allocate has written.", callback=kept
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the adversary's random points.")]


def _show_version(asked: bool) -> None:
    if asked:
        out.print(f"doe-exchange {version('doe-exchange')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


def load(name: str) -> Scenario:
    """Return the scenario of a file or ``bundled:NAME``, with a status line meanwhile."""
    with err.status("Reading the scenario ..."):
        from gateway.scenario.loading import load_scenario, scenario_path

        return load_scenario(scenario_path(name))


def make_folder(folder: Path) -> None:
    """Create the folder of the results, if it does not exist.

    Raises
    ------
    InputFaults
        When the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        detail = f"the folder cannot be created: {why(error)}"
        raise InputFaults(str(folder), [Fault("--output", detail)]) from None


def deliver(result: BaseModel, output: Path | None, json: bool) -> bool:
    """Write a result to a file and to stdout as the options say; return whether stdout has it."""
    if output is not None:
        write_json(output, result)
        say_written(output)
    if json:
        print_json(result)
    return json
