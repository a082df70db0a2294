"""Days of ``procure`` as a picture: the fullest limit, activations and cost over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.flexibility.procurement_result import AttackRecord, ProcuredCase, ProcurementFile
from gateway.plots.style import COLOURS, new_figure, save_figure, without_frame
from security_check.model.element_ids import name_of

_WIDTH_IN, _HEIGHT_IN = 13.0, 3.4  # of a case
_LABELLED = 6  # intervals with a label


def draw_days(content: ProcurementFile, path: Path) -> None:
    """Draw a row of three panels over time for each case.

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the ending.
    """
    names = list(dict.fromkeys(each.case for each in content.cases))
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN * len(names))
    panels = figure.subplots(len(names), 3, squeeze=False, width_ratios=(4, 5, 3))
    for row, name in zip(panels, names, strict=True):
        own = [each for each in content.cases if each.case == name]
        row[0].set_title(f"case {name}", loc="left", fontsize=10, fontweight="bold")
        _draw_fullest(row[0], own)
        _draw_activated(row[1], own)
        _draw_cost(row[2], own)
        for axes in row:
            _name(axes, own)
    figure.suptitle(f"Procured flexibility, {content.source}")
    save_figure(figure, path)


def _draw_fullest(axes: Any, intervals: Sequence[ProcuredCase]) -> None:
    """Draw how full the fullest limit is at its worst deviations, before and after."""
    sides = (("before", COLOURS[4], "adversary_before"), ("after", COLOURS[0], "adversary_after"))
    for label, colour, key in sides:
        attacks = [
            None if each.outcome is None else getattr(each.outcome, key) for each in intervals
        ]
        axes.plot([_percent(each) for each in attacks], color=colour, marker=".", label=label)
    axes.axhline(100.0, color="tab:red", linewidth=1.0, label="limit")
    short = [k for k, each in enumerate(intervals) if each.outcome is None]
    if short:
        axes.plot(short, [100.0] * len(short), "x", color="tab:red", label="no activation")
    axes.set_ylabel("fullest limit, worst deviations, %")
    axes.legend(frameon=False, fontsize=8)


def _percent(attack: AttackRecord | None) -> float:
    return float("nan") if attack is None else attack.percent


def _draw_activated(axes: Any, intervals: Sequence[ProcuredCase]) -> None:
    """Draw what each resource activates, upward above the axis and downward below."""
    sums: dict[tuple[str, str], list[float]] = {}
    for k, each in enumerate(intervals):
        for active in each.outcome.activated if each.outcome is not None else ():
            key = (active.resource, active.direction.value)
            sums.setdefault(key, [0.0] * len(intervals))[k] += active.activated_kw
    base = {"upward": [0.0] * len(intervals), "downward": [0.0] * len(intervals)}
    for number, ((resource, way), power) in enumerate(sorted(sums.items())):
        if not any(power):
            continue
        sign = 1.0 if way == "upward" else -1.0
        signed = [sign * each for each in power]
        colour = COLOURS[number % len(COLOURS)]
        label = f"{name_of(resource)}, {way}"
        axes.bar(range(len(power)), signed, 0.9, bottom=base[way], color=colour, label=label)
        base[way] = [under + each for under, each in zip(base[way], signed, strict=True)]
    axes.axhline(0.0, color="0.4", linewidth=0.8)
    axes.set_ylabel("activated, kW")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8, title="resource", title_fontsize=8)


def _draw_cost(axes: Any, intervals: Sequence[ProcuredCase]) -> None:
    cost = [0.0 if each.outcome is None else each.outcome.cost_eur_per_h for each in intervals]
    axes.bar(range(len(cost)), cost, 0.9, color=COLOURS[1])
    axes.set_ylabel("cost, EUR/h")


def _name(axes: Any, intervals: Sequence[ProcuredCase]) -> None:
    step = 1 + (len(intervals) - 1) // _LABELLED
    labels = [each.interval or "" for each in intervals]
    axes.set_xticks(range(0, len(labels), step), labels[::step], fontsize=8)
    axes.set_xlabel("start of the interval")
    without_frame(axes, "top", "right")
