"""The adversary's verdict on envelopes, and the elements at their limits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pandas as pd

from doe_exchange.tables import TIME, Table, Tabular
from gateway.formats.envelope_file import BindingRecord, IntervalRecord
from gateway.runs.verdict_file import IntervalVerdict, VerdictFile
from gateway.terminal.envelopes import proof_line

_BINDING = {
    "start": TIME,
    "element": "string",
    "value": "float64",
    "limit": "float64",
    "unit": "string",
    "loading": "float64",
    "proof": "string",
    "detail": "string",
}


def binding_table(
    title: str, intervals: Iterable[IntervalRecord] | Iterable[IntervalVerdict]
) -> Table:
    """Return one row for each interval and element at its limit."""

    def row(start: datetime, each: BindingRecord) -> tuple[Any, ...]:
        return (start, *(getattr(each, name) for name in tuple(_BINDING)[1:]))

    rows = (row(interval.start, each) for interval in intervals for each in interval.binding)
    return Table(title, _BINDING, rows)


class Verdict(Tabular):
    """What the adversary found in envelopes, and what is proved of them; true where all is secure.

    Parameters
    ----------
    content
        The verdict, as ``doe-exchange verify`` writes it.

    Attributes
    ----------
    content
        The same: the worst of all intervals, then each interval.

    Examples
    --------
    >>> import doe_exchange as dx
    >>> verdict = dx.Area.from_scenario("bundled:reference").allocate().verify()
    >>> verdict.secure, verdict.element, round(verdict.loading, 3)
    (True, 'line:24', 1.0)
    >>> verdict.proof["only_checked"]
    0
    """

    def __init__(self, content: VerdictFile) -> None:
        self.content = content

    @property
    def secure(self) -> bool:
        """Whether no limit is broken at any point that was found."""
        return self.content.secure

    def __bool__(self) -> bool:
        return self.secure

    @property
    def element(self) -> str:
        """The element nearest to, or farthest beyond, its limit."""
        return self.content.element

    @property
    def loading(self) -> float | None:
        """How full that element becomes, 1.0 at its limit; ``None`` without a power flow there."""
        return self.content.loading

    @property
    def detail(self) -> str:
        """The verdict in one sentence: the element, what it reaches, its limit, and when."""
        return self.content.detail

    @property
    def worst_point(self) -> Table:
        """What each connection point does where that element is worst; injection positive."""
        return Table(
            f"Worst point for {self.element}",
            {"connection_point": "string", "power_w": "int64", "reactive_var": "int64"},
            (
                (each.connection_point, each.power_w, each.reactive_var)
                for each in self.content.vertex
            ),
        )

    @property
    def proof(self) -> dict[str, int]:
        """How many monitored quantities are proved, and how, over all intervals."""
        names = ("proved", "proved_below_limit", "proved_within_gap", "only_checked")
        proofs = [each.proof for each in self.content.intervals if each.proof is not None]
        return {name: sum(getattr(proof, name) for proof in proofs) for name in names}

    @property
    def title(self) -> str:
        """The sentence, how much was tried, and what is proved where there is one interval."""
        lines = [self.detail, f"{self.content.points_tried:,} power flows were tried"]
        intervals = self.content.intervals
        if len(intervals) > 1:
            secure = sum(each.secure for each in intervals)
            lines.append(f"{secure} of {len(intervals)} intervals are secure")
        elif intervals[0].proof is not None:
            lines.append(proof_line(intervals[0].proof))
        return "\n".join([*lines, "elements at their limits or beyond"])

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each interval and element at its limit or beyond.

        ``loading`` is 1.0 at the limit; ``proof`` says what is proved of the value.
        """
        return binding_table("", self.content.intervals).to_frame()

    def _shown(self) -> pd.DataFrame:
        wide = ["detail"] if len(self.content.intervals) > 1 else ["start", "detail"]
        return self.to_frame().drop(columns=wide)
