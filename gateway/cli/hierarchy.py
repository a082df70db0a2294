"""The commands about hierarchies of operators: ``hierarchy`` and ``contract``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.app import (
    JsonOption,
    OutputOption,
    SeedOption,
    app,
    claimed,
    deliver,
    kept_with_named,
)
from gateway.terminal.console import NOT_SECURE, bar, err, fail, out, say_written

if TYPE_CHECKING:
    from doe_allocation.hierarchy.joint_model.check import JointVerdict
    from doe_allocation.hierarchy.joint_model.members import Hierarchy

NO_CONTRACT = 1
"""Exit code of ``contract`` if there is no band that both sides can hold."""

HierarchyArgument = Annotated[
    str,
    typer.Argument(
        metavar="HIERARCHY",
        help="Hierarchy file (TOML), or bundled:NAME for one of the project.",
        callback=kept_with_named,
    ),
]


def _load(name: str) -> Hierarchy:
    with err.status("Reading the networks of all operators ..."):
        from gateway.hierarchy.loading import hierarchy_path, load_hierarchy

        return load_hierarchy(hierarchy_path(name))


@app.command()
def hierarchy(
    file: HierarchyArgument,
    output: OutputOption = None,
    json: JsonOption = False,
    verify: Annotated[
        bool,
        typer.Option(help="Join all networks into one AC model, and let the adversary attack it."),
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Allocate from the top operator down to every customer.

    Exit code 1 if a contract is unmet, or if --verify finds a violation.
    """
    loaded = _load(file)
    from gateway.hierarchy.result_file import hierarchy_result
    from gateway.terminal.hierarchy import show_hierarchy

    with err.status("Allocating, level by level ..."):
        allocation = loaded.allocate()
    verdict: JointVerdict | None = None
    if verify:
        import numpy as np

        from doe_allocation.hierarchy.joint_model.check import check_joint_model

        with bar("Attacking", 1 + len(loaded.members[0].states)) as step:
            verdict = check_joint_model(loaded, allocation, np.random.default_rng(seed), step)
    result = hierarchy_result(allocation, verdict)
    if not deliver(result, output, json):
        show_hierarchy(result, out)
    if not result.holds:
        raise typer.Exit(NOT_SECURE)


@app.command()
def contract(
    file: HierarchyArgument,
    child: Annotated[str, typer.Argument(metavar="CHILD", help="Name of the operator below.")],
    output: OutputOption = None,
    json: JsonOption = False,
    within: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Voltage band to search, p.u.; default: the parent's voltage limits.",
        ),
    ] = None,
    steps: Annotated[
        int,
        typer.Option(
            min=1, max=20, help="Number of equal steps of the band at which bands begin and end."
        ),
    ] = 6,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the curve to this file (.png or .svg).", callback=claimed),
    ] = None,
) -> None:
    """Find the contracts that CHILD and its parent can agree on.

    Exit code 1 if there is none.
    """
    if within is not None and not 0.0 < within[0] < within[1] < 2.0:
        fail(f"--within needs 0 < low < high < 2 p.u., got {within[0]:g} and {within[1]:g}")
    loaded = _load(file)
    from gateway.hierarchy.contract_curve import boundary_of, contract_curve
    from gateway.plots.contract_curve import draw_curve
    from gateway.terminal.contract_curve import show_curve

    boundary = boundary_of(loaded, child)
    with err.status(f"Asking {boundary.parent} and {child} about one band after the other ..."):
        curve = contract_curve(loaded, boundary, within, steps)
    if plot is not None:
        draw_curve(curve, plot)
        say_written(plot)
    if not deliver(curve, output, json):
        show_curve(curve, out)
    if not any(offer.chosen for offer in curve.offers):
        raise typer.Exit(NO_CONTRACT)
