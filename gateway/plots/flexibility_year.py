"""A year of a flexibility market as a picture: prices, volumes, curtailment, by share and month."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.flexibility.year.days import BOUGHT, CURTAILED, DAY, RENEWABLE, SHARE, UTILISATION, Row
from gateway.flexibility.year.result import FlexibilityYearResult
from gateway.plots.style import COLOURS, HATCHES, new_figure, save_figure, without_frame

_WIDTH_IN, _HEIGHT_IN = 13.0, 10.0
_MARKERS = "osD^vP*X"
_KWH = 1e3  # in an MWh
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def draw_flexibility_year(content: FlexibilityYearResult, rows: Sequence[Row], path: Path) -> None:
    """Draw a year; the ending of the path is the format.

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the ending.
    """
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
    panels = figure.subplots(3, 2)
    _draw_prices(panels[0][0], content)
    _draw_volumes(panels[1][0], content)
    _draw_curtailment(panels[2][0], content)
    months = sorted({row[DAY][:7] for row in rows})
    for axes, upper, lower, scale, title in (
        (panels[0][1], UTILISATION, BOUGHT, 1.0, "mean price of a kWh by month, EUR"),
        (panels[1][1], BOUGHT, None, 1 / _KWH, "bought by month, MWh"),
        (panels[2][1], CURTAILED, RENEWABLE, 100.0, "curtailed by month, % of renewable energy"),
    ):
        _draw_months(axes, rows, months, upper, lower, scale)
        axes.set_title(title, fontsize=10)
    for line in panels:
        line[0].set_xlabel("renewable energy, % of what loads take", fontsize=9)
        for axes in line:
            axes.set_ylim(bottom=0.0)
            without_frame(axes, "top", "right")
    look = {"loc": "upper right", "frameon": False, "fontsize": 8, "title_fontsize": 8}
    panels[1][1].legend(title="renewable energy", **look)
    count = max(each.days for each in content.shares)
    figure.suptitle(f"{count} days of a flexibility market, {content.source}")
    save_figure(figure, path)


def _places(axes: Any, content: FlexibilityYearResult) -> list[int]:
    places = list(range(len(content.shares)))
    axes.set_xticks(places, [_percent(each.share) for each in content.shares])
    return places


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _draw_prices(axes: Any, content: FlexibilityYearResult) -> None:
    """Draw the mean and the highest price that was paid; nothing where nothing was bought."""
    places = _places(axes, content)
    nothing = float("nan")
    mean = [nothing if e.mean_eur_per_kwh is None else e.mean_eur_per_kwh for e in content.shares]
    highest = [
        nothing if e.mean_eur_per_kwh is None else float(e.highest_eur_per_kwh)
        for e in content.shares
    ]
    axes.plot(places, highest, color=COLOURS[3], marker="^", linestyle="--", label="highest")
    axes.plot(places, mean, color=COLOURS[0], marker="o", label="mean")
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_title("price of a kWh, EUR", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _draw_volumes(axes: Any, content: FlexibilityYearResult) -> None:
    """Draw what was bought of each resource, one on the other, and what stayed unmet."""
    places = _places(axes, content)
    names = list(content.shares[0].bought_kwh_of)
    bottom = [0.0] * len(places)
    parts = [(name, [float(e.bought_kwh_of[name]) for e in content.shares]) for name in names]
    parts.append(("not met", [float(each.missing_kwh) for each in content.shares]))
    for k, (name, kwh) in enumerate(parts):
        if any(kwh):
            look = {"color": COLOURS[k % len(COLOURS)], "hatch": HATCHES[k % len(HATCHES)]}
            heights = [each / _KWH for each in kwh]
            axes.bar(places, heights, bottom=bottom, label=name, edgecolor="white", **look)
            bottom = [low + each for low, each in zip(bottom, heights, strict=True)]
    axes.set_title("bought in all days, MWh", fontsize=10)
    if any(bottom):
        axes.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_curtailment(axes: Any, content: FlexibilityYearResult) -> None:
    """Draw curtailed energy in parts of what plants could generate, with what buyers pay."""
    places = _places(axes, content)
    parts = [
        100.0 * float(each.curtailed_kwh) / (float(each.renewable_kwh) or 1.0)
        for each in content.shares
    ]
    bars = axes.bar(places, parts, color=COLOURS[1])
    costs = [f"{float(each.cost_eur):,.0f} EUR" for each in content.shares]
    axes.bar_label(bars, costs, fontsize=8, padding=2)
    axes.margins(y=0.15)
    axes.set_title(
        "curtailed in all days, % of renewable energy; above: what buyers pay", fontsize=10
    )


def _draw_months(
    axes: Any,
    rows: Sequence[Row],
    months: Sequence[str],
    upper: str,
    lower: str | None,
    scale: float,
) -> None:
    """Draw a line for each share: sums of a month, or one sum divided by another."""
    shares = list(dict.fromkeys(row[SHARE] for row in rows))
    for k, share in enumerate(shares):
        values = []
        for month in months:
            own = [row for row in rows if row[SHARE] == share and row[DAY].startswith(month)]
            top = sum(float(row[upper]) for row in own)
            under = 1.0 if lower is None else sum(float(row[lower]) for row in own)
            values.append(scale * top / under if under else float("nan"))
        look = {"color": COLOURS[k % len(COLOURS)], "marker": _MARKERS[k % len(_MARKERS)]}
        axes.plot(range(len(months)), values, label=_percent(float(share)), markersize=5, **look)
    names = [_MONTHS[int(each[5:]) - 1] for each in months]
    step = 1 + (len(months) - 1) // 12
    axes.set_xticks(range(0, len(months), step), names[::step], fontsize=9)
