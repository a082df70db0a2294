"""A figure that a notebook shows and that can be saved."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any


class Picture:
    """A figure.

    A notebook shows it when it is the last value of a cell.

    Parameters
    ----------
    figure
        The matplotlib figure; it may be changed before it is saved.
    """

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def save(self, path: Path | str) -> None:
        """Write the figure to a file; the name's ending says which kind (``.png``, ``.svg``).

        Raises
        ------
        GatewayError
            When matplotlib does not know the ending.
        """
        from gateway.plots.style import save_figure  # with matplotlib; only pictures need it

        save_figure(self.figure, Path(path))

    def __repr__(self) -> str:
        return f"<Picture: {self.figure.get_suptitle()}>"

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.figure.savefig(buffer, format="png")
        return buffer.getvalue()
