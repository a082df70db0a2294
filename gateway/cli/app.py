"""The application that the commands hang on, and what they share.

Results go to stdout or to the file named with ``-o``; faults, warnings and progress go to
stderr.  Exit codes: 0 done; 1 not secure (``verify``, ``demo``, ``hierarchy``), a contract that
cannot be kept (``hierarchy``, ``contract``), or lines that are no orders (``simulate``), all with a
result; 2 the input has faults, or something else stands in the way.

The commands import what they need when they run: ``--help`` must not wait for pandapower.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel
from typer.core import TyperGroup

from gateway.errors import GatewayError
from gateway.formats.atomic_files import write_json
from gateway.formats.faults import InputFaults
from gateway.terminal.console import (
    err,
    fail,
    fail_with_faults,
    fail_with_os_error,
    out,
    print_json,
    say_written,
)
from security_check.errors import GridError

if TYPE_CHECKING:
    from gateway.scenario.scenario import Scenario


@contextmanager
def _as_sentences() -> Iterator[None]:
    """End with a sentence where something goes wrong for reasons outside the program."""
    try:
        yield
    except InputFaults as found:
        fail_with_faults(found)
    except (GatewayError, GridError) as error:
        fail(str(error))
    except BrokenPipeError:
        raise  # the reader of our output has seen enough: typer ends quietly
    except OSError as error:
        fail_with_os_error(error)


class _Commands(TyperGroup):
    """The commands, and how all of them end."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _as_sentences():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _as_sentences():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="A continuous exchange for dynamic operating envelopes: "
    "secure, fair and tradable grid limits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO", help="Scenario file (TOML), or bundled:NAME for one that ships with us."
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the result to this file (JSON).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, not tables.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"doe-exchange {version('doe-exchange')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def load(name: str) -> Scenario:
    """Return the scenario of a file or ``bundled:NAME``, with a word that it is being read."""
    with err.status("Reading the scenario ..."):
        from gateway.scenario.loading import load_scenario, scenario_path

        return load_scenario(scenario_path(name))


def deliver(result: BaseModel, output: Path | None, json: bool) -> bool:
    """Write a result where it is wanted; return whether JSON went to stdout."""
    if output is not None:
        write_json(output, result)
        say_written(output)
    if json:
        print_json(result)
    return json
