"""The commands about the market: orders, service, demo, journal, statements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.vocabulary.reasons import RefusalReason
from gateway.cli.app import (
    JsonOption,
    OutputOption,
    ScenarioArgument,
    app,
    claimed,
    deliver,
    kept,
    load,
)
from gateway.cli.event_loop import run
from gateway.formats.atomic_files import check_ending
from gateway.formats.orders_file import OrderLine, RefusedLine, read_orders
from gateway.formats.urls import shown_url
from gateway.runs.result_file import RefusalRecord
from gateway.terminal.console import (
    FAULTY_ORDERS,
    NOT_SECURE,
    bar,
    deliver_text,
    err,
    fail,
    fail_if_unsecured,
    out,
    say_written,
)

if TYPE_CHECKING:
    from gateway.runs.simulation import Simulation
    from gateway.scenario.scenario import Scenario


_NO_ORDER = (RefusalReason.MALFORMED, RefusalReason.TOO_LARGE)  # the line is not an order

OrdersArgument = Annotated[
    Path,
    typer.Argument(metavar="ORDERS", help="File of orders, one JSON object a line.", callback=kept),
]
AreaOption = Annotated[
    str | None, typer.Option(help="Area of the journal, on a Redis server with several.")
]

ArchiveOption = Annotated[
    Path | None,
    typer.Option(
        help="File of the entries that serve --archive has moved out of the journal.",
        callback=kept,
    ),
]


@app.command()
def simulate(
    scenario: ScenarioArgument,
    orders: OrdersArgument,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Run a file of orders through the exchange: trades, refusals, money, final envelopes.

    Exit code 1 if a line is not an order, the file is empty, or an interval cannot be secured.
    All other orders and intervals are run.
    """
    lines = read_orders(orders)
    loaded = load(scenario)
    from gateway.terminal.simulation import show_simulation

    simulation = _simulated(loaded, lines, orders)
    if not deliver(simulation.result, output, json):
        show_simulation(simulation, out)
    _fail_without_orders(simulation, lines, orders)
    _fail_if_unsecured(simulation, loaded)


@app.command()
def report(
    scenario: ScenarioArgument,
    orders: OrdersArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the price map to this file (.png or .svg).", callback=claimed),
    ] = None,
) -> None:
    """Run a file of orders, and report welfare, share of the optimum, refusals, rent and prices.

    Exit code 1 if a line is not an order, the file is empty, or an interval cannot be secured.
    """
    lines = read_orders(orders)
    loaded = load(scenario)
    from gateway.plots.price_map import draw_price_map
    from gateway.runs.market_report import market_report
    from gateway.terminal.market_report import show_report

    mapped = None if plot is None else (loaded.ac_network, plot)
    simulation = _simulated(loaded, lines, orders)
    with err.status("Searching the clairvoyant optimum ..."):
        made = market_report(loaded, simulation)
        if mapped is not None:
            draw_price_map(mapped[0], made, mapped[1])
    if plot is not None:
        say_written(plot)
    if not deliver(made, output, json):
        show_report(made, out)
    _fail_without_orders(simulation, lines, orders)
    _fail_if_unsecured(simulation, loaded)


def _simulated(
    loaded: Scenario, lines: Sequence[OrderLine | RefusedLine], orders: Path
) -> Simulation:
    """Return the simulation of a file of orders; print its note and alarms."""
    from gateway.runs.simulation import simulate as run_orders

    with bar("Simulating", len(loaded.intervals) + len(lines)) as step:
        simulation = run_orders(loaded, lines, step, str(orders))
    if simulation.note:
        err.print(f"note: {simulation.note}", markup=False, soft_wrap=True)
    for alarm in simulation.alarms:
        err.print(f"alarm {alarm.kind}: {alarm.detail}", markup=False, soft_wrap=True)
    return simulation


def _fail_without_orders(
    simulation: Simulation, lines: Sequence[OrderLine | RefusedLine], orders: Path
) -> None:
    faulty = [refusal for refusal in simulation.result.refusals if refusal.reason in _NO_ORDER]
    if faulty or not lines:
        fail(_why_no_orders(str(orders), len(lines), faulty), FAULTY_ORDERS)


def _fail_if_unsecured(simulation: Simulation, loaded: Scenario) -> None:
    from gateway.runs.unsecured import unsecured_faults

    fail_if_unsecured(loaded.source, unsecured_faults(simulation.result.envelopes.intervals))


def _why_no_orders(source: str, lines: int, faulty: Sequence[RefusalRecord]) -> str:
    if not lines:
        return f"{source} holds no orders"
    first = f"line {faulty[0].line}: {faulty[0].detail}"
    if len(faulty) == lines:
        return f"no line of {source} is an order; {first}"
    are = "is not an order" if len(faulty) == 1 else "are not orders"
    return f"{len(faulty)} of the {lines} lines of {source} {are}; {first}"


@app.command()
def demo(
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random customers.")] = 1,
    intervals: Annotated[
        int | None,
        typer.Option(
            min=1, max=96, help="Number of quarter-hours from midnight on; default: all 96."
        ),
    ] = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Run a market day on a real feeder, with embedded servers, in about a minute.

    Exit code 1 if the adversary finds a violation.
    """
    from gateway.demo.day import run_demo
    from gateway.demo.live_view import day_view
    from gateway.demo.report_tables import show_demo_report

    with day_view(err if json else out) as show:
        report = run(run_demo(seed, intervals, show))
    if not deliver(report, output, json):
        show_demo_report(report, out)
    if report.adversary.violations:
        raise typer.Exit(NOT_SECURE)


@app.command()
def replay(
    journal: Annotated[
        str,
        typer.Argument(
            metavar="JOURNAL",
            help="Journal: file of JSON lines, Redis URL (URL#area), or folder of serve.",
            callback=kept,
        ),
    ],
    area: AreaOption = None,
    archive: ArchiveOption = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild the state of an exchange from its journal, and print its digest."""
    from gateway.journal.replay import replay_journal
    from gateway.terminal.replay import show_replayed

    try:
        replayed = run(replay_journal(journal, area, archive))
    except OSError as error:
        fail(f"{shown_url(journal)} cannot be read: {error.strerror or error}")
    except ValueError as error:
        fail(f"{shown_url(journal)}: {error}")
    if not deliver(replayed, output, json):
        show_replayed(replayed, out)


@app.command()
def statements(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Journal, as for replay, or result file of simulate.",
            callback=kept,
        ),
    ],
    participant: Annotated[str | None, typer.Option(help="Print this account only.")] = None,
    since: Annotated[str | None, typer.Option(help="Print bookings from this time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Print bookings before this time.")] = None,
    area: AreaOption = None,
    archive: ArchiveOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write to this file (.json; with --csv .csv).", callback=claimed
        ),
    ] = None,
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV, one row an interval.")] = False,
) -> None:
    """Print statements of account: trades, compensation, penalties, opening and closing balance."""
    from gateway.runs.statements import StatementsRequest, make_statements
    from gateway.terminal.statements import show_statements, statements_csv

    if csv and json:
        fail("--csv and --json exclude each other")
    if output is not None:
        check_ending(output, (".csv",) if csv else (".json",))
    try:
        wanted = StatementsRequest.of(participant, since, until, area, archive)
        made = run(make_statements(source, wanted))
    except ValueError as error:
        fail(f"{shown_url(source)}: {error}")
    if csv:
        deliver_text(statements_csv(made), output)
    elif not deliver(made, output, json):
        show_statements(made, out)
