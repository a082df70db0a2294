"""Schemes of coordination as a picture: who pays, what stays unserved or exceeded, what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.flexibility.coordination_result import CoordinationFile
from gateway.plots.style import COLOURS, HATCHES, new_figure, save_figure, without_frame

_WIDTH_IN, _ROW_IN, _REST_IN = 13.0, 0.32, 1.8


def draw_coordination(content: CoordinationFile, path: Path) -> None:
    """Draw a row of bars for each scheme; the ending of the path is the format.

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the ending.
    """
    schemes = content.schemes[::-1]  # the first one on top
    figure = new_figure(_WIDTH_IN, _REST_IN + _ROW_IN * len(schemes))
    panels = figure.subplots(1, 4, sharey=True, width_ratios=(6, 2, 2, 2))
    places = list(range(len(schemes)))
    _draw_payments(panels[0], content)
    for axes, values, title in (
        (panels[1], [each.unserved_mw for each in schemes], "TSO's need unserved, MW"),
        (panels[2], [float(len(each.overloads)) for each in schemes], "limits exceeded"),
        (panels[3], [each.told_bytes / 1e3 for each in schemes], "told, kB"),
    ):
        axes.barh(places, values, color=COLOURS[3 if axes is not panels[3] else 4])
        axes.set_title(title, fontsize=10)
        without_frame(axes, "top", "right")
    panels[3].set_xscale("symlog", linthresh=1.0)
    names = [
        each.scheme if each.priority == "common" else f"{each.scheme}, {each.priority} first"
        for each in schemes
    ]
    panels[0].set_yticks(places, names)
    figure.suptitle(f"Schemes of coordination, {content.source}")
    save_figure(figure, path)


def _draw_payments(axes: Any, content: CoordinationFile) -> None:
    """Draw what each buyer pays, one after the other."""
    schemes = content.schemes[::-1]
    buyers = list(dict.fromkeys(b.buyer for each in content.schemes for b in each.buyers))
    left = [0.0] * len(schemes)
    for k, buyer in enumerate(buyers):
        pays = [sum(float(b.pays_eur) for b in each.buyers if b.buyer == buyer) for each in schemes]
        look = {"color": COLOURS[k % len(COLOURS)], "hatch": HATCHES[k % len(HATCHES)]}
        axes.barh(range(len(schemes)), pays, left=left, label=buyer, edgecolor="white", **look)
        left = [start + amount for start, amount in zip(left, pays, strict=True)]
    axes.set_title("paid, EUR/h", fontsize=10)
    axes.legend(frameon=False, fontsize=8, ncols=len(buyers), loc="lower right")
    without_frame(axes, "top", "right")
