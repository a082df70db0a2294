"""What ``contract`` does: the contracts that two operators could agree on, as table and picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from doe_allocation.hierarchy.allocation import sides_of
from doe_allocation.hierarchy.joint_model.members import Boundary, Hierarchy
from doe_allocation.hierarchy.negotiation import ContractCurve, ContractPoint, agree, bands_within
from gateway.cli_output import escape
from gateway.hierarchy_records import ContractRecord
from gateway.input_faults import InputFaults
from gateway.ports import GatewayError
from gateway.records import Record
from security_check.errors import Fault

Band = tuple[float, float]


class OfferRecord(Record):
    """One contract that was asked about; ``refused_by`` names the side that cannot keep it."""

    contract: ContractRecord
    child_smallest_w: float
    others_smallest_w: float | None
    best: bool
    chosen: bool
    refused_by: str | None
    detail: str


class CurveRecord(Record):
    """The contracts that a parent and a child could agree on, the narrowest band first."""

    parent: str
    connection_point: str
    child: str
    offers: list[OfferRecord]


def boundary_of(hierarchy: Hierarchy, child: str) -> Boundary:
    """Return the boundary above an operator.

    Raises
    ------
    InputFaults
        When there is no such operator, or it is the one at the top.
    """
    boundary = hierarchy.parent_of(child)
    if boundary is None:
        children = ", ".join(b.child for b in hierarchy.boundaries)
        detail = f"it is no child of another operator; there is {children or 'none'}"
        raise InputFaults(hierarchy.source, [Fault(child, detail)])
    return boundary


def contract_curve(
    hierarchy: Hierarchy, boundary: Boundary, within: Band | None, steps: int
) -> CurveRecord:
    """Return the contracts that both sides of a boundary were asked about.

    Parameters
    ----------
    hierarchy
        The operators; the parent's own contract is the one that the allocation gives it.
    boundary
        Where the two meet.
    within
        Bands lie in this one, per unit; the parent's voltage limits where not given.
    steps
        Their ends are among so many equal steps of it.
    """
    limits = hierarchy.member(boundary.parent).voltage_limits
    allocation = hierarchy.allocate()
    above, below = sides_of(
        hierarchy.operator(boundary.parent),
        allocation.results[boundary.parent].contract,
        boundary.connection_point,
    )
    outer = within or (limits.minimum_pu, limits.maximum_pu)
    curve = agree(above, below, bands_within(outer, steps))
    return _record(boundary, curve)


def _record(boundary: Boundary, curve: ContractCurve) -> CurveRecord:
    best = set(map(id, curve.front))

    def told(point: ContractPoint) -> OfferRecord:
        refusal = point.refusal
        names = {"child": boundary.child, "parent": boundary.parent}
        return OfferRecord(
            contract=ContractRecord.of(point.contract),
            child_smallest_w=point.below_w,
            others_smallest_w=point.above_w if math.isfinite(point.above_w) else None,
            best=id(point) in best,
            chosen=point is curve.chosen,
            refused_by=None if refusal is None else names[refusal.element],
            detail="" if refusal is None else refusal.detail,
        )

    return CurveRecord(
        parent=boundary.parent,
        connection_point=boundary.connection_point,
        child=boundary.child,
        offers=[told(point) for point in curve.points],
    )


def show_curve(curve: CurveRecord, console: Console) -> None:
    """Print the contracts as a table, and the default choice."""
    title = f"Contracts that {curve.parent} and {curve.child} could agree on"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("band\np.u.", no_wrap=True)
    for column in (
        "injection\nkW",
        "withdrawal\nkW",
        f"smallest limit below\n{curve.child}, kW",
        f"of anyone else at\n{curve.parent}, kW",
    ):
        table.add_column(column, justify="right")
    for offer in curve.offers:
        if offer.refused_by is None:
            style = "bold green" if offer.chosen else None
            table.add_row(*_cells(offer), style=style)
    console.print(table)
    refused: dict[str, int] = {}
    for offer in curve.offers:
        if offer.refused_by is not None:
            refused[offer.refused_by] = refused.get(offer.refused_by, 0) + 1
    for operator, count in refused.items():
        console.print(f"{escape(operator)} refuses {count} more of {len(curve.offers)} bands")
    chosen = next((offer for offer in curve.offers if offer.chosen), None)
    if chosen is None:
        console.print("[bold red]no band is one that both can keep[/]")
        for offer in curve.offers[-1:]:
            console.print(escape(f"{_band(offer)}: {offer.refused_by}: {offer.detail}"))
        return
    console.print(
        f"the default choice, max-min over both sides: {_band(chosen)} p.u.", soft_wrap=True
    )


def _cells(offer: OfferRecord) -> list[str]:
    contract, others = offer.contract, offer.others_smallest_w
    assert contract.injection_limit_w is not None  # a child's contract has both limits
    assert contract.withdrawal_limit_w is not None
    return [
        f"{_band(offer)}{' *' if offer.best else ''}",
        f"{contract.injection_limit_w / 1e3:,.1f}",
        f"{contract.withdrawal_limit_w / 1e3:,.1f}",
        f"{offer.child_smallest_w / 1e3:,.3f}",
        "nobody" if others is None else f"{others / 1e3:,.3f}",
    ]


def _band(offer: OfferRecord) -> str:
    return f"{offer.contract.voltage_min_pu:.4f} to {offer.contract.voltage_max_pu:.4f}"


def draw_curve(curve: CurveRecord, path: Path) -> None:
    """Draw the trade-off, and the bands behind it; the ending says which kind (.png, .svg).

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the ending.
    """
    try:
        from matplotlib.figure import Figure  # needed by nobody else
    except ImportError:
        raise GatewayError(
            "a plot needs matplotlib, which is not installed; install the extra plot"
        ) from None
    figure = Figure(figsize=(12, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_trade(figure, left, curve)
    _draw_bands(right, curve)
    figure.suptitle(f"What {curve.parent} and {curve.child} could agree on")
    try:
        figure.savefig(path, dpi=130)
    except ValueError as error:
        raise GatewayError(f"{path} cannot be drawn: {error}") from None


def _draw_trade(figure: Any, axes: Any, curve: CurveRecord) -> None:
    """Draw one dot for each contract that both can keep, the best of them joined."""
    kept = [offer for offer in curve.offers if offer.refused_by is None]
    axes.set_xlabel(f"smallest limit of a customer below {curve.child}, kW")
    axes.set_ylabel(f"smallest limit of anyone else at {curve.parent}, kW")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not kept:
        axes.text(0.5, 0.5, "no band that both can keep", transform=axes.transAxes, ha="center")
        return
    places = [
        (offer.child_smallest_w / 1e3, (offer.others_smallest_w or 0.0) / 1e3) for offer in kept
    ]
    best = sorted(place for place, offer in zip(places, kept, strict=True) if offer.best)
    axes.plot(
        *zip(*best, strict=True),
        color="0.4",
        linewidth=1.2,
        zorder=2,
        label="neither can have more unless the other has less",
    )
    widths = [offer.contract.voltage_max_pu - offer.contract.voltage_min_pu for offer in kept]
    dots = axes.scatter(
        *zip(*places, strict=True),
        c=widths,
        cmap="viridis",
        s=60,
        edgecolors="0.2",
        linewidths=0.5,
        zorder=3,
    )
    figure.colorbar(dots, ax=axes, label="width of the band, p.u.", shrink=0.85)
    chosen = [place for place, offer in zip(places, kept, strict=True) if offer.chosen]
    axes.scatter(
        *zip(*chosen, strict=True),
        s=220,
        facecolors="none",
        edgecolors="tab:red",
        linewidths=2,
        zorder=4,
        label="default choice (max-min)",
    )
    axes.set_xlim(0.0, 1.08 * max(x for x, _ in places) or 1.0)
    axes.set_ylim(0.0, 1.12 * max(y for _, y in places) or 1.0)
    axes.legend(loc="lower left", frameon=False)


def _draw_bands(axes: Any, curve: CurveRecord) -> None:
    """Draw each band from its lowest to its highest voltage, the narrowest at the bottom."""
    colours = {None: "tab:green", curve.parent: "tab:orange", curve.child: "tab:purple"}
    words = {
        None: "both can keep it",
        curve.parent: f"{curve.parent} refuses",
        curve.child: f"{curve.child} refuses",
    }
    seen: set[str | None] = set()
    for place, offer in enumerate(curve.offers):
        side = offer.refused_by
        axes.plot(
            (offer.contract.voltage_min_pu, offer.contract.voltage_max_pu),
            (place, place),
            color="tab:red" if offer.chosen else colours[side],
            linewidth=4 if offer.chosen else 2,
            linestyle="-" if side is None else ":",
            label=None if side in seen or offer.chosen else words[side],
        )
        seen |= set() if offer.chosen else {side}
    axes.set_xlabel("voltage band at the interface, p.u.")
    axes.set_ylabel("bands asked about, by width")
    axes.set_yticks([])
    axes.set_ylim(-1, len(curve.offers) + 1 + len(seen) * max(1, len(curve.offers) // 12))
    for side_name in ("top", "right", "left"):
        axes.spines[side_name].set_visible(False)
    axes.legend(loc="upper left", frameon=False)
