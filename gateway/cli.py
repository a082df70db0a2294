"""The command line: ``doe-exchange COMMAND``.

Results go to stdout or to the file named with ``-o``; faults, warnings and progress go to
stderr.  Exit codes: 0 done; 1 not secure (``verify``, ``demo``), or lines that are no orders
(``simulate``), both with a result; 2 the input has faults, or something else stands in the way.

The commands import what they need when they run: ``--help`` must not wait for pandapower.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel
from typer.core import TyperGroup

from exchange.reasons import RefusalReason
from exchange.wording import format_time
from gateway.cli_loop import run
from gateway.cli_output import (
    FAULTY_ORDERS,
    NOT_SECURE,
    bar,
    deliver_text,
    err,
    fail,
    fail_with_faults,
    fail_with_os_error,
    out,
    print_json,
)
from gateway.files import RefusalRecord, read_envelopes, write_json
from gateway.input_faults import InputFaults
from gateway.orders_file import OrderText, read_orders
from gateway.ports import GatewayError
from security_check.errors import GridError

if TYPE_CHECKING:
    from gateway.scenario import Scenario
    from gateway.simulate import Simulation


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
_NO_ORDER = (RefusalReason.MALFORMED, RefusalReason.TOO_LARGE)
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
    seed: Annotated[int, typer.Option(min=0, help="Of the random points.")] = 0,
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
    """Run a file of orders through the exchange: trades, refusals, money, final envelopes.

    Exit code 1 if a line is no order, or there is none; the result says what came of the rest.
    """
    lines = read_orders(orders)
    loaded = _load(scenario)
    from gateway.report_simulation import show_simulation

    simulation = _simulated(loaded, lines, orders)
    if not _deliver(simulation.result, output, json):
        show_simulation(simulation, out)
    _fail_without_orders(simulation, lines, orders)


@app.command()
def report(
    scenario: ScenarioArgument,
    orders: Annotated[Path, typer.Argument(help="Orders, one JSON object a line.")],
    output: OutputOption = None,
    json: JsonOption = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the price map into this file (PNG).")
    ] = None,
) -> None:
    """Run a file of orders, and report welfare, share of the optimum, refusals, rent and prices.

    Exit code 1 as for simulate.
    """
    lines = read_orders(orders)
    loaded = _load(scenario)
    from gateway.cli_report import make_report, show_report

    simulation = _simulated(loaded, lines, orders)
    with err.status("Looking for the clairvoyant optimum ..."):
        made = make_report(loaded, simulation, plot)
    if plot is not None:
        err.print(f"wrote {plot}", markup=False, soft_wrap=True)
    if not _deliver(made, output, json):
        show_report(made, out)
    _fail_without_orders(simulation, lines, orders)


def _simulated(loaded: Scenario, lines: Sequence[OrderText], orders: Path) -> Simulation:
    """Return what comes of a file of orders, and say what a person must know about it."""
    from gateway.simulate import simulate as run_orders

    with bar("Simulating", len(loaded.intervals) + len(lines)) as step:
        simulation = run_orders(loaded, lines, step, str(orders))
    if simulation.note:
        err.print(f"note: {simulation.note}", markup=False, soft_wrap=True)
    for alarm in simulation.alarms:
        err.print(f"alarm {alarm.kind}: {alarm.detail}", markup=False, soft_wrap=True)
    return simulation


def _fail_without_orders(simulation: Simulation, lines: Sequence[OrderText], orders: Path) -> None:
    faulty = [refusal for refusal in simulation.result.refusals if refusal.reason in _NO_ORDER]
    if faulty or not lines:
        fail(_why_no_orders(str(orders), len(lines), faulty), FAULTY_ORDERS)


def _why_no_orders(source: str, lines: int, faulty: Sequence[RefusalRecord]) -> str:
    if not lines:
        return f"{source} holds no orders"
    first = f"line {faulty[0].line}: {faulty[0].detail}"
    if len(faulty) == lines:
        return f"no line of {source} is an order; {first}"
    are = "is no order" if len(faulty) == 1 else "are no orders"
    return f"{len(faulty)} of the {lines} lines of {source} {are}; {first}"


@app.command()
def serve(
    scenario: ScenarioArgument,
    data: Annotated[
        Path, typer.Option(help="Where the journal stays when no DOE_REDIS_URL is given.")
    ] = Path("doe-exchange-data"),
    accounts: Annotated[
        Path | None,
        typer.Option(help="Names and passwords (TOML) for the broker that comes with us."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run the exchange for an area, until it is stopped.

    Broker and journal are those of DOE_MQTT_URL and DOE_REDIS_URL, or the program's own.
    """
    loaded = _load(scenario)
    from gateway.cli_serve import Places, Served, last_gate, read_accounts
    from gateway.cli_serve import serve as run_service

    last = last_gate(loaded)
    if last is not None and last <= datetime.now(UTC):
        fail(f"every gate of {scenario} has closed; the last one at {format_time(last)}")
    mqtt_url, redis_url = os.environ.get("DOE_MQTT_URL"), os.environ.get("DOE_REDIS_URL")
    if mqtt_url is not None and accounts is not None:
        fail("--accounts is for the broker that comes with us; DOE_MQTT_URL names another one")
    passwords = None if accounts is None else read_accounts(accounts, loaded)
    if mqtt_url is None and passwords is None:
        err.print("warning: without --accounts everybody on this machine may act for anybody")

    def started(served: Served) -> None:
        if json:
            out.print_json(served.model_dump_json())
            return
        out.print(
            f"Serving area {served.area} with {served.connection_points} connection points.\n"
            f"  MQTT     {served.mqtt}\n  journal  {served.journal}\nCtrl-C stops it.",
            markup=False,
            soft_wrap=True,
        )

    try:
        run(run_service(loaded, Places(mqtt_url, redis_url, data, passwords), started))
    except ValueError as error:
        fail(str(error))


@app.command()
def demo(
    seed: Annotated[int, typer.Option(min=0, help="Draws the customers and their moods.")] = 1,
    intervals: Annotated[
        int | None, typer.Option(min=1, max=96, help="Only so many quarter-hours from midnight on.")
    ] = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Run a whole market day on a real feeder, everything embedded, in about a minute."""
    from gateway.demo import run_demo
    from gateway.report_demo import show_report
    from gateway.report_live import day_view

    with day_view(err if json else out) as show:
        report = run(run_demo(seed, intervals, show))
    if not _deliver(report, output, json):
        show_report(report, out)
    if report.adversary.violations:
        raise typer.Exit(NOT_SECURE)


@app.command()
def replay(
    journal: Annotated[
        str,
        typer.Argument(
            help="File of JSON lines, URL of a Redis server (URL#area), or folder that serve keeps."
        ),
    ],
    area: Annotated[str | None, typer.Option(help="Whose journal, on a Redis server.")] = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild the state of an exchange from its journal, and print its digest."""
    from gateway.cli_replay import replay_journal, show_replayed

    try:
        replayed = run(replay_journal(journal, area))
    except OSError as error:
        fail(f"{journal} cannot be read: {error.strerror or error}")
    except ValueError as error:
        fail(f"{journal}: {error}")
    if not _deliver(replayed, output, json):
        show_replayed(replayed, out)


@app.command()
def statements(
    source: Annotated[
        str,
        typer.Argument(help="Journal, as for replay, or a result that simulate has written."),
    ],
    participant: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only what was booked from this time on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only what was booked before this time.")
    ] = None,
    area: Annotated[str | None, typer.Option(help="Whose journal, on a Redis server.")] = None,
    tick: Annotated[
        str | None, typer.Option(help="Price step in EUR per kW, for journals that name none.")
    ] = None,
    output: OutputOption = None,
    json: JsonOption = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write CSV instead, a row an interval.")
    ] = False,
) -> None:
    """Print statements of account: trades, compensation, penalties, opening and closing balance."""
    from gateway.cli_statements import Wanted, make_statements
    from gateway.report_statements import show_statements, statements_csv

    if csv and json:
        fail("--csv and --json exclude each other")
    try:
        wanted = Wanted.of(participant, since, until, area, tick)
        made = run(make_statements(source, wanted))
    except ValueError as error:
        fail(f"{source}: {error}")
    if csv:
        deliver_text(statements_csv(made), output)
    elif not _deliver(made, output, json):
        show_statements(made, out)


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
