"""The command line: ``doe-exchange COMMAND``.

Results go to stdout or to the file named with ``-o``; faults, warnings and progress go to
stderr.  Exit codes: 0 done, 1 not secure (``verify``), 2 the input has faults.

The commands import what they need when they run: ``--help`` must not wait for pandapower.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel
from typer.core import TyperGroup

from gateway.cli_output import NOT_SECURE, bar, err, fail, fail_with_faults, out, print_json
from gateway.files import InputFaults, read_envelopes, read_orders, write_json
from gateway.ports import GatewayError
from security_check.errors import GridError

if TYPE_CHECKING:
    from gateway.scenario import Scenario


class _Commands(TyperGroup):
    """The commands; what goes wrong for reasons outside the program ends as a sentence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputFaults as found:
            fail_with_faults(found)
        except (GatewayError, GridError) as error:
            fail(str(error))


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


@app.command()
def allocate(
    scenario: ScenarioArgument, output: OutputOption = None, json: JsonOption = False
) -> None:
    """Compute the fair and secure envelopes of every interval."""
    loaded = _load(scenario)
    from gateway.cli_grid import allocate_intervals
    from gateway.report_envelopes import show_envelopes

    with bar("Allocating", len(loaded.intervals)) as step:
        result = allocate_intervals(loaded, step)
    if not _deliver(result, output, json):
        show_envelopes(result, out)


@app.command()
def verify(
    scenario: ScenarioArgument,
    envelopes: Annotated[Path, typer.Argument(help="Envelopes, as allocate writes them.")],
    output: OutputOption = None,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random vertices.")] = 0,
) -> None:
    """Look for a point inside the envelopes that breaks a limit; exit code 1 if there is one."""
    given = read_envelopes(envelopes)
    loaded = _load(scenario)
    from gateway.cli_grid import match_envelopes, verify_intervals
    from gateway.report_envelopes import show_verdict

    matched = match_envelopes(loaded, given, str(envelopes))
    with bar("Verifying", len(matched)) as step:
        verdict = verify_intervals(loaded, matched, seed, step)
    if not _deliver(verdict, output, json):
        show_verdict(verdict, out)
    if not verdict.secure:
        raise typer.Exit(NOT_SECURE)


@app.command()
def simulate(
    scenario: ScenarioArgument,
    orders: Annotated[Path, typer.Argument(help="Orders, one JSON object a line.")],
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Run a file of orders through the exchange: trades, refusals, money, final envelopes."""
    lines = read_orders(orders)
    loaded = _load(scenario)
    from gateway.report_simulation import show_simulation
    from gateway.simulate import simulate as run

    with bar("Simulating", len(loaded.intervals) + len(lines)) as step:
        simulation = run(loaded, lines, step)
    for alarm in simulation.alarms:
        err.print(f"alarm {alarm.kind}: {alarm.detail}", markup=False, soft_wrap=True)
    if not _deliver(simulation.result, output, json):
        show_simulation(simulation, out)


@app.command()
def replay(
    journal: Annotated[
        str, typer.Argument(help="File of JSON lines, or URL of a Redis server: URL#area.")
    ],
    area: Annotated[str | None, typer.Option(help="Whose journal, on a Redis server.")] = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild the state of an exchange from its journal, and print its digest."""
    from gateway.cli_replay import replay_journal, show_replayed

    try:
        replayed = asyncio.run(replay_journal(journal, area))
    except OSError as error:
        fail(f"{journal} cannot be read: {error.strerror or error}")
    except ValueError as error:
        fail(f"{journal}: {error}")
    if not _deliver(replayed, output, json):
        show_replayed(replayed, out)


def _load(name: str) -> Scenario:
    with err.status("Reading the scenario ..."):
        from gateway.scenario import load_scenario, scenario_path

        return load_scenario(scenario_path(name))


def _deliver(result: BaseModel, output: Path | None, json: bool) -> bool:
    """Write a result where it is wanted; return whether JSON went to stdout."""
    if output is not None:
        write_json(output, result)
        err.print(f"wrote {output}", markup=False, soft_wrap=True)
    if json:
        print_json(result)
    return json


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
