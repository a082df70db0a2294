"""The contracts that two operators could agree on, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.hierarchy.contract_curve import CurveRecord
from gateway.plots.style import new_figure, save_figure, without_frame


def draw_curve(curve: CurveRecord, path: Path) -> None:
    """Draw the contracts of a curve and their bands; the ending of the path is the format.

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the ending.
    """
    figure = new_figure(12, 5.5)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_trade(figure, left, curve)
    _draw_bands(right, curve)
    figure.suptitle(f"Contracts that {curve.parent} and {curve.child} could agree on")
    save_figure(figure, path)


def _draw_trade(figure: Any, axes: Any, curve: CurveRecord) -> None:
    """Draw a dot for each contract that both operators can keep, the best ones joined."""
    kept = [offer for offer in curve.offers if offer.refused_by is None]
    axes.set_xlabel(f"smallest limit of a customer below {curve.child}, kW")
    axes.set_ylabel(f"smallest limit of others at {curve.parent}, kW")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    without_frame(axes, "top", "right")
    if not kept:
        axes.text(
            0.5, 0.5, "no band can be kept by both operators", transform=axes.transAxes, ha="center"
        )
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
        label="neither side can have more unless the other has less",
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
        None: "both operators can keep it",
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
    axes.set_ylabel("bands, by width")
    axes.set_yticks([])
    axes.set_ylim(-1, len(curve.offers) + 1 + len(seen) * max(1, len(curve.offers) // 12))
    without_frame(axes, "top", "right", "left")
    axes.legend(loc="upper left", frameon=False)
