"""How the intervals of a result stand: secured or not, as fair as their rule says or not.

Pictures of envelopes say it in a line above their panels.  Where an interval is not as promised,
pictures over time have a strip along the top of each panel instead, which shows when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gateway.formats.envelope_file import NOT_REACHED, IntervalStatus, fairness_gap
from gateway.formats.envelope_rows import EnvelopeTable, Mark
from gateway.plots.style import BESIDE, COLOURS

_STRIP = (1.015, 1.055)  # lower and upper edge, in heights of a panel
_WIDTH = 1.0  # points of a mark's edge: one interval of a year is still seen


@dataclass(frozen=True, slots=True)
class Standing:
    """How an interval stands, and how it is drawn.

    Parameters
    ----------
    label
        In words.
    colour, hatch
        Of its mark; distinct with any kind of colour vision, and in grey.
    promised
        Whether this is what an allocation promises.
    """

    label: str
    colour: str
    hatch: str = ""
    promised: bool = False


_FALLBACK = Standing("not secured: fallback published", COLOURS[3], "\\\\\\")
_NOTHING = Standing("not secured: nothing published", COLOURS[7])
_UNFAIR = Standing("secure, fairness not reached", COLOURS[1], "xxx")
_UNSTATED = Standing("secure", "0.9", promised=True)


def standings(table: EnvelopeTable) -> list[Standing]:
    """Return how each interval stands; those within a gap of their rule share the largest gap."""
    widest = max((mark.fairness for mark in table.marks), key=_gap, default="")
    return [_standing(mark, widest) for mark in table.marks]


def _gap(reached: str) -> float:
    return fairness_gap(reached) or 0.0


def _standing(mark: Mark, widest: str) -> Standing:
    if mark.status is IntervalStatus.NONE:
        return _NOTHING
    if mark.status is IntervalStatus.FALLBACK:
        return _FALLBACK
    if mark.fairness == NOT_REACHED:
        return _UNFAIR
    if _gap(mark.fairness):
        return Standing(f"secure, fair {widest}", COLOURS[6], "//")
    if not mark.fairness:
        return _UNSTATED
    return Standing(f"secure, {mark.fairness.replace('_', '-')}", "0.9", promised=True)


def write_standing(axes: Any, found: Sequence[Standing]) -> None:
    """Write above a panel how its interval stands, or how many intervals stand in which way."""
    counts = Counter(standing.label for standing in found).most_common()
    line = "intervals: " + ", ".join(f"{count:,} {label}" for label, count in counts)
    axes.set_title(counts[0][0] if len(found) == 1 else line, loc="left", fontsize=9, color="0.3")


def mark_standing(panels: Sequence[Any], table: EnvelopeTable, edges: Sequence[Any]) -> None:
    """Mark how each interval stands above every panel, with a legend beside the last one.

    Where all are as promised, a line says so and nothing is marked.
    """
    from matplotlib.patches import Patch

    found = standings(table)
    if all(standing.promised for standing in found):
        write_standing(panels[0], found)
        return
    for standing, run in groupby(range(len(found)), key=found.__getitem__):
        members = list(run)
        for axes in panels:
            _mark(axes, edges[members[0]], edges[members[-1] + 1], standing)
    counts = Counter(found)
    handles = [
        Patch(
            label=f"{counts[each]:,} {each.label}",
            facecolor=each.colour,
            edgecolor="white",
            hatch=each.hatch,
        )
        for each in sorted(counts, key=_severity)
    ]
    panels[-1].legend(handles=handles, title="intervals", **BESIDE)


def _severity(standing: Standing) -> tuple[bool, ...]:
    """Return the key by which the worst standing comes last."""
    secured = standing not in (_FALLBACK, _NOTHING)
    return not secured, not standing.promised, standing == _UNFAIR, standing == _NOTHING


def _mark(axes: Any, start: Any, end: Any, standing: Standing) -> None:
    """Fill a part of the strip; an edge of the same colour shows what is narrower than a pixel."""
    low, high = _STRIP
    edge = 0.0 if standing.promised else _WIDTH
    axes.axvspan(
        start,
        end,
        low,
        high,
        facecolor=standing.colour,
        edgecolor=standing.colour,
        linewidth=edge,
        clip_on=False,
    )
    if standing.hatch:
        axes.axvspan(
            start,
            end,
            low,
            high,
            facecolor="none",
            edgecolor="white",
            hatch=standing.hatch,
            linewidth=0.0,
            clip_on=False,
        )
