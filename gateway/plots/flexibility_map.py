"""The map of a flexibility day: zones, what they need, which resources qualify and why not."""

from __future__ import annotations

from math import cos, radians
from pathlib import Path
from typing import Any

from gateway.flexibility.day.case import DayCase
from gateway.flexibility.day.result import (
    AnnouncementResult,
    FlexibilityDayResult,
    QualificationResult,
)
from gateway.formats.faults import InputFaults
from gateway.plots.style import COLOURS, new_figure, save_figure, without_frame
from security_check.errors import Fault

_WIDTH_IN, _HEIGHT_IN = 13.0, 7.5
_LISTED = 24  # lines beside the map
_WIDTHS = (3, 2)  # of the map and the list


def draw_flexibility_map(case: DayCase, result: FlexibilityDayResult, path: Path) -> None:
    """Draw the zones of a day and its resources; the ending of the path is the format.

    A number on the map is that of the list beside it.

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the ending.
    InputFaults
        When the day has no zone with a polygon, or no qualification.
    """
    tried = [each for each in result.phases if isinstance(each, QualificationResult)]
    faults = []
    if not case.areas:
        faults.append(Fault("areas", "no zone has a polygon, so there is no map"))
    if not tried:
        faults.append(Fault("phases", "there is no qualification to draw"))
    if faults:
        raise InputFaults(case.source, faults)
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
    axes, beside = figure.subplots(1, 2, width_ratios=_WIDTHS)
    announced = [each for each in result.phases if isinstance(each, AnnouncementResult)]
    _draw_zones(axes, case, announced, tried[0])
    lines = _draw_resources(axes, case, tried[0])
    _write_list(beside, lines)
    latitude = case.areas[0].polygon[0][1]
    axes.set_aspect(1.0 / cos(radians(latitude)), adjustable="datalim")
    axes.set_xlabel("longitude, degrees")
    axes.set_ylabel("latitude, degrees")
    axes.margins(0.06, 0.12)
    without_frame(axes, "top", "right")
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    figure.suptitle(f"Zones, needs and resources, {case.source}")
    save_figure(figure, path)


def _draw_zones(
    axes: Any, case: DayCase, announced: list[AnnouncementResult], tried: QualificationResult
) -> None:
    """Draw each zone with its name, needs that were announced (or all) and what qualifies."""
    told = {need.need for each in announced for need in each.needs}
    needs = [each for each in case.day.needs if each.name in told or not announced]
    for k, area in enumerate(case.areas):
        colour = COLOURS[k % len(COLOURS)]
        corners = [*area.polygon, area.polygon[0]]
        axes.fill(*zip(*corners, strict=True), color=colour, alpha=0.15, linewidth=0.0)
        axes.plot(*zip(*corners, strict=True), color=colour, linewidth=1.5)
        text = [area.zone]
        for need in needs:
            if need.zone == area.zone:
                first, last = need.intervals[0], need.intervals[-1]
                hours = f"{case.units.start_of(first):%H:%M} to "
                hours += f"{case.units.start_of(last + 1):%H:%M}"
                way = "" if need.direction is None else need.direction.value.removesuffix("ward")
                text.append(f"{max(need.quantity_w) / 1e3:g} kW {way}, {hours}")
        for each in tried.competition:
            if each.zone == area.zone:
                way = each.direction.removesuffix("ward")
                text.append(f"{each.resources} qualify: {each.able_w / 1e3:g} kW {way}")
        xs, ys = zip(*area.polygon, strict=True)
        axes.annotate(
            "\n".join(text),
            ((min(xs) + max(xs)) / 2.0, min(ys)),
            (0, -8),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=9,
            color=colour,
            fontweight="bold",
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0.0, "pad": 1.0},
            zorder=2,
        )


def _draw_resources(axes: Any, case: DayCase, tried: QualificationResult) -> list[str]:
    """Draw each resource with a position; return a line for each, by its number."""
    lines = []
    groups: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for number, (name, position) in enumerate(case.positions.items(), start=1):
        own = [each for each in tried.resources if each.resource == name]
        products = [each.product for each in own if each.qualified]
        groups[bool(products)].append(position)
        if products:
            detail = f"qualifies for {', '.join(products)}"
        else:
            nearest = min(own, key=lambda each: len(each.reasons))
            detail = "; ".join(each.detail for each in nearest.reasons)
        lines.append(f"{number}  {name}: {detail}")
        axes.annotate(
            str(number), position, (6, 4), textcoords="offset points", fontsize=9, zorder=4
        )
    for qualifies, marker, colour, label in (
        (True, "o", COLOURS[2], "qualifies"),
        (False, "X", COLOURS[3], "does not qualify"),
    ):
        if groups[qualifies]:
            xs, ys = zip(*groups[qualifies], strict=True)
            axes.scatter(xs, ys, marker=marker, color=colour, s=50, label=label, zorder=3)
    return lines


def _write_list(axes: Any, lines: list[str]) -> None:
    from textwrap import fill

    axes.axis("off")
    shown = [fill(line, 62, subsequent_indent="    ") for line in lines[:_LISTED]]
    if len(lines) > _LISTED:
        shown.append(f"and {len(lines) - _LISTED} more")
    axes.text(0.0, 1.0, "\n".join(shown), transform=axes.transAxes, va="top", fontsize=9)
