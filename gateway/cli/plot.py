"""The command ``plot``: pictures of envelopes that ``allocate`` has written."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.app import EnvelopesArgument, app, claimed, kept_with_named, load, make_folder
from gateway.formats.atomic_files import claim_output
from gateway.formats.faults import InputFaults
from gateway.terminal.console import say_written
from security_check.errors import Fault

if TYPE_CHECKING:
    from gateway.formats.envelope_rows import EnvelopeTable

_SUFFIXES = (".png", ".svg")


class PictureKind(StrEnum):
    """The subject of a picture."""

    ENVELOPES = "envelopes"
    BINDING = "binding"
    DISTRIBUTION = "distribution"
    NETWORK = "network"


@app.command()
def plot(
    envelopes: EnvelopesArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="A .png or .svg file for one picture, or a folder for all.",
            callback=claimed,
        ),
    ],
    kind: Annotated[
        PictureKind | None,
        typer.Option(help="Draw this picture only; default for a file: envelopes."),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="SCENARIO",
            help="Scenario of the envelopes; the picture network needs it.",
            callback=kept_with_named,
        ),
    ] = None,
    point: Annotated[
        list[str] | None, typer.Option(help="Connection point to show; may be repeated.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Start of the interval for network; default: the one with the least limits."
        ),
    ] = None,
) -> None:
    """Draw envelopes over time, their binding elements, their distribution, and the network."""
    from gateway.formats.envelope_rows import read_table

    single = output.suffix.lower() in _SUFFIXES
    kinds = [
        each for each in PictureKind if each is not PictureKind.NETWORK or scenario is not None
    ]
    if single:
        kinds = kinds[:1]
    if kind is not None:
        kinds = [kind]
    if PictureKind.NETWORK in kinds and scenario is None:
        raise InputFaults(
            "plot", [Fault("--scenario", "it is missing; the picture network needs it")]
        )
    table = read_table(envelopes)
    if not single:
        if output.suffix and not output.is_dir():
            detail = f"it is neither a folder nor a {' or '.join(_SUFFIXES)} file"
            raise InputFaults(str(output), [Fault("--output", detail)])
        make_folder(output)
        for each in kinds:
            claim_output(output / f"{each}.png")
    for each in kinds:
        figure = _drawn(each, table, str(envelopes), scenario, point or [], at)
        path = output if single else output / f"{each}.png"
        _save(figure, path)


def _drawn(
    kind: PictureKind,
    table: EnvelopeTable,
    source: str,
    scenario: str | None,
    points: list[str],
    at: str | None,
) -> Any:
    from gateway.plots.envelopes_over_time import draw_binding, draw_distribution, draw_envelopes

    if kind is PictureKind.ENVELOPES:
        return draw_envelopes(table, points, source)
    if kind is PictureKind.BINDING:
        return draw_binding(table, source)
    if kind is PictureKind.DISTRIBUTION:
        return draw_distribution(table, source)
    assert scenario is not None
    from gateway.plots.network_loading import draw_network
    from gateway.runs.operator_outputs import match_table

    loaded = load(scenario)
    matched = match_table(loaded, table, source).table
    return draw_network(loaded, matched, _interval(matched, at, source))


def _interval(table: EnvelopeTable, at: str | None, source: str) -> int:
    """Return the interval that starts at ``at``, or the one with the least sum of limits."""
    from gateway.formats.records import parsed_time

    if at is None:
        tightest = table.tightest()
        assert tightest is not None, "matched tables have an interval with envelopes"
        return tightest
    try:
        interval = table.starts.index(parsed_time(at))
    except ValueError:
        raise InputFaults(source, [Fault("--at", f"no interval starts at {at}")]) from None
    if not table.published[interval]:
        raise InputFaults(source, [Fault("--at", f"the interval at {at} has no envelopes")])
    return interval


def _save(figure: Any, path: Path) -> None:
    from gateway.plots.style import save_figure

    save_figure(figure, path)
    say_written(path)
