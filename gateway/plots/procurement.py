"""The result of ``procure`` as a picture: currents, voltages and activations of each case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.flexibility.procurement_result import OutcomeRecord, ProcurementFile
from gateway.plots.procurement_days import draw_days
from gateway.plots.style import COLOURS, new_figure, save_figure, without_frame
from security_check.model.element_ids import name_of

_WIDTH_IN, _HEIGHT_IN = 13.0, 3.6  # of a case
_BAR = 0.38  # width of a bar; two stand beside each other
_LABELLED = 16  # elements that all have labels; of more every second, third, ... has


def draw_procurement(content: ProcurementFile, path: Path) -> None:
    """Draw a row of three panels for each case; the ending of the path is the format.

    Of a case with intervals these are over time.

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the ending.
    """
    if content.interval_minutes is not None:
        draw_days(content, path)
        return
    count = len(content.cases)
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN * count)
    panels = figure.subplots(count, 3, squeeze=False, width_ratios=(5, 4, 3))
    for row, each in zip(panels, content.cases, strict=True):
        row[0].set_title(f"case {each.case}", loc="left", fontsize=10, fontweight="bold")
        if each.outcome is None:
            detail = "" if each.shortfall is None else each.shortfall.detail
            _write(row[0], detail)
            for axes in row[1:]:
                axes.axis("off")
            continue
        _draw_currents(row[0], each.outcome)
        _draw_voltages(row[1], each.outcome)
        _draw_activated(row[2], each.outcome)
    figure.suptitle(f"Procured flexibility, {content.source}")
    save_figure(figure, path)


def _draw_currents(axes: Any, outcome: OutcomeRecord) -> None:
    """Draw each branch's current before and after, with its robust margin on top, and its limit."""
    for side, colour, label in ((-0.5, COLOURS[4], "before"), (0.5, COLOURS[0], "after")):
        first = [b.before_a if side < 0 else b.after_a for b in outcome.branches]
        worst = [b.ac_worst_before_a if side < 0 else b.ac_worst_after_a for b in outcome.branches]
        at = [k + side * _BAR for k in range(len(first))]
        axes.bar(at, worst, _BAR, color=colour, alpha=0.35, label=f"{label}, worst deviations")
        axes.bar(at, first, _BAR, color=colour, label=label)
    for k, branch in enumerate(outcome.branches):
        if branch.limit_a is not None:
            label = "" if "limit" in axes.get_legend_handles_labels()[1] else "limit"
            axes.plot([k - 0.45, k + 0.45], [branch.limit_a] * 2, color="tab:red", label=label)
    _name(axes, [name_of(branch.element) for branch in outcome.branches], "branch")
    axes.set_ylabel("current, A")
    axes.legend(frameon=False, fontsize=8)


def _draw_voltages(axes: Any, outcome: OutcomeRecord) -> None:
    """Draw each bus's voltage before and after, and the range under all deviations."""
    places = list(range(len(outcome.buses)))
    ranges = (
        (COLOURS[4], "before", "ac_lowest_before_pu", "ac_highest_before_pu", "before_pu"),
        (COLOURS[0], "after", "ac_lowest_after_pu", "ac_highest_after_pu", "after_pu"),
    )
    for colour, label, low, high, expected in ranges:
        below, above, line = (
            [getattr(bus, name) for bus in outcome.buses] for name in (low, high, expected)
        )
        axes.fill_between(places, below, above, color=colour, alpha=0.3, linewidth=0.0)
        axes.plot(places, line, color=colour, marker=".", label=label)
    _name(axes, [name_of(bus.element) for bus in outcome.buses], "bus")
    axes.set_ylabel("voltage, p.u.")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(frameon=False, fontsize=8)


def _draw_activated(axes: Any, outcome: OutcomeRecord) -> None:
    """Draw what each offer activates, on what it offers, and the TSO's part on top."""
    places = list(range(len(outcome.activated)))
    local = [each.activated_kw for each in outcome.activated]
    axes.bar(places, [each.offered_kw for each in outcome.activated], color="0.9", label="offered")
    axes.bar(places, local, color=COLOURS[1], label="activated")
    if outcome.tso is not None:
        tso = [each.tso_kw for each in outcome.activated]
        axes.bar(places, tso, bottom=local, color=COLOURS[2], label="for the TSO")
    marks = {"upward": "+", "downward": "-"}
    names = [f"{name_of(each.resource)}{marks[each.direction.value]}" for each in outcome.activated]
    _name(axes, names, "offer: resource and direction")
    axes.set_ylabel("kW")
    axes.legend(frameon=False, fontsize=8)


def _name(axes: Any, names: list[str], what: str) -> None:
    step = 1 + len(names) // _LABELLED
    axes.set_xticks(range(0, len(names), step), names[::step], fontsize=8)
    axes.set_xlabel(what)
    without_frame(axes, "top", "right")


def _write(axes: Any, sentence: str) -> None:
    axes.axis("off")
    axes.text(0.0, 0.5, sentence, transform=axes.transAxes, wrap=True, fontsize=9, va="center")
