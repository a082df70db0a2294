"""The run of a year: each day at each share, and their totals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.flexibility.year.case import YearCase
from gateway.flexibility.year.days import Row, columns, key, row_of
from gateway.flexibility.year.result import FlexibilityYearResult, totals
from gateway.flexibility.year.table import DIGEST, TABLE, open_table
from gateway.formats.atomic_files import write_json

RESULT = "result.json"
"""Name of the file of the totals."""

WRITTEN = (TABLE, DIGEST, RESULT)
"""Names of all files that a run writes into its folder."""


def run_flexibility_year(
    case: YearCase, folder: Path, step: Callable[[int], None]
) -> tuple[FlexibilityYearResult, list[Row]]:
    """Run the days that a folder does not have yet; return the totals, and the rows of all days.

    ``step`` is called with the number of days done.  A run that was killed is taken up after its
    last whole row, and leaves the same files as one that was not.

    Raises
    ------
    InputFaults
        When the folder has other results, or cannot be written to.
    ClearingError
        When the solver finds no best choice in a session.
    """
    wanted = [(share, day) for share in case.shares for day in case.days]
    with open_table(folder, columns(case), case.digest) as table:
        table.check([key(case, share, day) for share, day in wanted])
        step(len(table.rows))
        for share, day in wanted[len(table.rows) :]:
            table.write(row_of(case, share, day))
            step(len(table.rows))
        result = totals(case, table.rows)
        write_json(folder / RESULT, result)
        return result, table.rows
