"""Figures: matplotlib where it is installed, and what all figures look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.errors import GatewayError

# Okabe and Ito's colours: told apart with any kind of colour vision, and in this order in grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
OTHERS = "0.75"
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "++", "oo")
DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))
_DPI = 130


def new_figure(width_in: float, height_in: float) -> Any:
    """Return an empty figure whose parts keep out of each other's way.

    Raises
    ------
    GatewayError
        When matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # large; only who asks for a picture needs it
    except ImportError:
        raise GatewayError(
            "a plot needs matplotlib, which is not installed; "
            "install the project with its extra plot, doe-exchange[plot]"
        ) from None
    return Figure(figsize=(width_in, height_in), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure; the name's ending says which kind (``.png``, ``.svg``).

    Raises
    ------
    GatewayError
        When matplotlib does not know the ending.
    """
    try:
        figure.savefig(path, dpi=_DPI)
    except ValueError as error:
        raise GatewayError(f"{path} cannot be drawn: {error}") from None


def legend_beside(axes: Any, title: str = "", *, reverse: bool = False) -> None:
    """Put the legend of a panel to the right of it, outside the data."""
    handles, labels = axes.get_legend_handles_labels()
    if reverse:
        handles, labels = handles[::-1], labels[::-1]
    axes.legend(
        handles,
        labels,
        title=title or None,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize=9,
    )


def without_frame(axes: Any, *sides: str) -> None:
    """Take away the sides of a panel's frame that say nothing."""
    for side in sides:
        axes.spines[side].set_visible(False)
