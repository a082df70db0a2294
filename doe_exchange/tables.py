"""What all results share: a title, a short table as their representation, and ``to_frame()``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import pandas as pd

TIME = "datetime64[ns, UTC]"
"""The pandas type of a column of times."""

_SHOWN = 10  # rows of a representation; the frame has all of them
_WIDEST = 60  # characters of a cell of a representation


class Tabular(ABC):
    """A result that is a table: pandas gets all of it, a notebook shows the first and last rows."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What the table is about, in one line."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas frame, one row for each entry."""

    def _shown(self) -> pd.DataFrame:
        """Return the columns that the representation shows."""
        return self.to_frame()

    def __len__(self) -> int:
        return len(self.to_frame())

    def __repr__(self) -> str:
        frame = self._shown()
        if frame.empty:
            return f"{self.title}: none"
        rows = frame.to_string(
            index=False, na_rep="", max_rows=_SHOWN, float_format="{:.6g}".format
        )
        return f"{self.title}\n{rows}"

    def _repr_html_(self) -> str:
        rows = self._shown().to_html(index=False, na_rep="", max_rows=_SHOWN, border=0)
        title = escape(self.title).replace("\n", "<br>")
        return f"<div>{title}</div>{rows}"


class Table(Tabular):
    """A table of rows.

    Parameters
    ----------
    title
        What it is about.
    columns
        The pandas type of each column.
    rows
        The entries, in the order of the columns.

    Examples
    --------
    >>> Table("two limits", {"element": "string", "limit_a": "float64"},
    ...       [("line:1", 270.0), ("line:2", 142.5)])
    two limits
    element  limit_a
     line:1      270
     line:2    142.5
    """

    def __init__(
        self, title: str, columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]
    ) -> None:
        self._title = title
        self._frame = frame_of(columns, rows)

    @property
    def title(self) -> str:
        """What the table is about, in one line."""
        return self._title

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas frame; a copy."""
        return self._frame.copy()


def frame_of(columns: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Return rows as a frame whose columns have the given pandas types, also without rows."""
    # object: whole numbers stay whole beside missing ones until each column has its type.
    frame = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    for name, kind in columns.items():
        if kind == TIME:
            frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.astype(dict(columns))
