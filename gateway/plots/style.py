"""Make and save figures, and the style that all figures share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.formats.atomic_files import replacing
from gateway.formats.optional_packages import missing_package

# Okabe and Ito's colours are distinct with any kind of colour vision, and in this order in grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
OTHERS = "0.75"  # grey for all elements without a colour of their own
HATCHES = ("", "//", "..", "xx", "\\\\", "--", "++", "oo")
DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))
BESIDE: dict[str, Any] = {
    "loc": "upper left",
    "bbox_to_anchor": (1.01, 1.0),
    "borderaxespad": 0.0,
    "frameon": False,
    "fontsize": 9,
}
"""Place and look of a legend to the right of a panel."""

_DPI = 130  # 11 inches become 1,430 pixels, which fit a screen


def new_figure(width_in: float, height_in: float) -> Any:
    """Return an empty figure whose parts do not overlap.

    Raises
    ------
    GatewayError
        When matplotlib is not installed.
    """
    if missing := missing_package("matplotlib", "a plot"):
        raise GatewayError(missing)
    from matplotlib.figure import Figure  # large, and needed for pictures only

    return Figure(figsize=(width_in, height_in), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure; the suffix of the file selects the format (``.png``, ``.svg``).

    Raises
    ------
    GatewayError
        When matplotlib does not know the suffix.
    InputFaults
        When the file cannot be written.
    """
    known = sorted(figure.canvas.get_supported_filetypes())
    kind = path.suffix.lower().removeprefix(".")
    if kind not in known:
        endings = ", ".join(f".{each}" for each in known)
        raise GatewayError(f"{path} cannot be drawn: its name must end in one of {endings}")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format=kind)


def legend_beside(axes: Any, title: str = "", *, reverse: bool = False) -> None:
    """Put the legend of a panel to the right of it, outside the data."""
    handles, labels = axes.get_legend_handles_labels()
    if reverse:
        handles, labels = handles[::-1], labels[::-1]
    axes.legend(
        handles,
        labels,
        title=title or None,
        **BESIDE,
    )


def without_frame(axes: Any, *sides: str) -> None:
    """Hide sides of a panel's frame."""
    for side in sides:
        axes.spines[side].set_visible(False)
