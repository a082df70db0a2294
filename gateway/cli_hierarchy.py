"""The commands about hierarchies of operators: ``hierarchy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_app import JsonOption, OutputOption, app, deliver
from gateway.cli_output import NOT_SECURE, bar, err, out

if TYPE_CHECKING:
    from gateway.hierarchy_file import Hierarchy
    from gateway.joined_check import JoinedVerdict

HierarchyArgument = Annotated[
    str,
    typer.Argument(
        metavar="HIERARCHY",
        help="Hierarchy file (TOML), or bundled:NAME for one that ships with us.",
    ),
]


def _load(name: str) -> Hierarchy:
    with err.status("Reading the networks of all operators ..."):
        from gateway.hierarchy_file import hierarchy_path, load_hierarchy

        return load_hierarchy(hierarchy_path(name))


@app.command()
def hierarchy(
    file: HierarchyArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    verify: Annotated[
        bool,
        typer.Option(help="Join all networks into one AC model and attack the envelopes there."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the adversary's random points.")] = 0,
) -> None:
    """Allocate from the top operator down to every customer; exit code 1 if a contract is unmet."""
    loaded = _load(file)
    from doe_allocation.hierarchy import allocate_hierarchy
    from gateway.hierarchy_records import hierarchy_result
    from gateway.report_hierarchy import show_hierarchy

    with err.status("Allocating, level by level ..."):
        allocation = allocate_hierarchy(loaded.root(), loaded.contract)
    verdict: JoinedVerdict | None = None
    if verify:
        from gateway.joined_check import check_joined

        with bar("Attacking", 1 + len(loaded.members[0].outages)) as step:
            verdict = check_joined(loaded, allocation, seed, step)
    result = hierarchy_result(allocation, verdict)
    if not deliver(result, output, json):
        show_hierarchy(result, out)
    if not result.holds:
        raise typer.Exit(NOT_SECURE)
