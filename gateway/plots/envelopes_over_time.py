"""Pictures of envelopes over time: limits, binding elements, and distribution of limits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import numpy as np

from gateway.formats.envelope_rows import EnvelopeTable
from gateway.formats.faults import InputFaults
from gateway.plots.standing import mark_standing, standings, write_standing
from gateway.plots.style import (
    COLOURS,
    DASHES,
    HATCHES,
    OTHERS,
    legend_beside,
    new_figure,
    without_frame,
)
from security_check.arrays import FloatArray, IntArray
from security_check.errors import Fault
from security_check.model.envelope import Direction

_WIDTH, _HEIGHT = 11.0, 6.5  # inches
_NAMED = 7  # elements with a colour of their own, the number of distinct colours less black
_BINS = 40  # bars of the histogram
_UNNAMED = "unknown"  # element of a limit in files without binding elements


def draw_envelopes(table: EnvelopeTable, points: Sequence[str], source: str) -> Any:
    """Return a figure of limits over time: smallest, median, largest, and those of chosen points.

    There is a gap where an interval has no envelopes.

    Raises
    ------
    InputFaults
        When a chosen connection point, or every interval, has no envelope.
    """
    _check_published(table, source)
    unknown = [point for point in points if point not in table.connection_points]
    if unknown:
        detail = "it is not a connection point of these envelopes"
        raise InputFaults(source, [Fault(point, detail) for point in unknown])
    figure = new_figure(_WIDTH, _HEIGHT)
    edges = _edges(table)
    panels = figure.subplots(2, 1, sharex=True)
    for d, (axes, direction) in enumerate(zip(panels, Direction, strict=True)):
        kilowatts = np.where(table.published[:, None], table.limits_w[:, d] / 1e3, np.nan)
        low, high = _steps(kilowatts.min(axis=1)), _steps(kilowatts.max(axis=1))
        axes.fill_between(
            edges,
            low,
            high,
            step="post",
            color=COLOURS[4],
            alpha=0.45,
            linewidth=0,
            label="smallest to largest",
        )
        middle = _steps(np.median(kilowatts, axis=1))
        axes.step(edges, middle, where="post", color="black", linewidth=2.6, label="median")
        for k, point in enumerate(points):
            own = _steps(kilowatts[:, table.connection_points.index(point)])
            style = DASHES[k % len(DASHES)]
            colour = (*COLOURS[:4], *COLOURS[5:6])[k % 5]
            axes.step(
                edges, own, where="post", color=colour, linestyle=style, linewidth=1.6, label=point
            )
        axes.set_ylim(0.0, max(1.08 * float(np.nanmax(kilowatts)), 1e-3))
        axes.set_ylabel(f"{direction} limit, kW")
        axes.grid(axis="y", color="0.9")
        without_frame(axes, "top", "right")
    legend_beside(panels[0], f"{len(table.connection_points)} connection points")
    mark_standing(panels, table, edges)
    _time_axis(panels[1], edges)
    figure.suptitle(f"Envelopes, {_days(table)}")
    return figure


def draw_binding(table: EnvelopeTable, source: str) -> Any:
    """Return a figure of the number of limits that each element limits, over time.

    Raises
    ------
    InputFaults
        When no interval has envelopes.
    """
    _check_published(table, source)
    figure = new_figure(_WIDTH, _HEIGHT)
    edges = _edges(table)
    counts = np.stack([_counts(table, d) for d in (0, 1)])  # (2, T, elements)
    order = np.argsort(-counts.sum(axis=(0, 1)), kind="stable")
    shown = [int(e) for e in order[:_NAMED] if counts[:, :, e].any()]
    others = counts.sum(axis=2) - counts[:, :, shown].sum(axis=2)
    panels = figure.subplots(2, 1, sharex=True)
    for d, (axes, direction) in enumerate(zip(panels, Direction, strict=True)):
        below = np.zeros(len(edges))
        layers = [(table.elements[e] or _UNNAMED, counts[d, :, e]) for e in shown]
        if others.any():
            layers.append(("others", others[d]))
        for k, (name, count) in enumerate(layers):
            above = below + _steps(count)
            colour = OTHERS if name == "others" else COLOURS[k]
            axes.fill_between(
                edges,
                below,
                above,
                step="post",
                facecolor=colour,
                edgecolor="white",
                hatch=HATCHES[k],
                linewidth=0.0,
                label=name,
            )
            below = above
        axes.set_ylim(0, len(table.connection_points))
        axes.set_ylabel(f"number of {direction} limits")
        without_frame(axes, "top", "right")
    legend_beside(panels[0], "limited by", reverse=True)
    mark_standing(panels, table, edges)
    _time_axis(panels[1], edges)
    customers = len(table.connection_points)
    figure.suptitle(f"Binding elements of {customers} connection points, {_days(table)}")
    return figure


def draw_distribution(table: EnvelopeTable, source: str) -> Any:
    """Return a histogram of the limits of all connection points and intervals with envelopes.

    Raises
    ------
    InputFaults
        When no interval has envelopes.
    """
    _check_published(table, source)
    figure = new_figure(_WIDTH, _HEIGHT)
    panels = figure.subplots(2, 1, sharex=True)
    largest = max(float(table.limits_w.max()) / 1e3, 1e-3)
    bins = np.linspace(0.0, largest, _BINS + 1)
    for d, (axes, direction) in enumerate(zip(panels, Direction, strict=True)):
        kilowatts = table.limits_w[table.published, d].ravel() / 1e3
        share = np.full(len(kilowatts), 100.0 / len(kilowatts))
        axes.hist(kilowatts, bins=bins, weights=share, color=COLOURS[4], edgecolor="white")
        marks = (("median", np.median(kilowatts), "-"), ("mean", kilowatts.mean(), "--"))
        for name, value, style in marks:
            label = f"{name} {value:,.3f} kW"
            axes.axvline(value, color="black", linestyle=style, linewidth=1.4, label=label)
        ends = f"from {kilowatts.min():,.3f}\nto {kilowatts.max():,.3f} kW"
        axes.plot([], [], " ", label=ends)
        axes.set_ylabel(f"share of {direction} limits, %")
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
        legend_beside(axes)
        without_frame(axes, "top", "right")
    write_standing(panels[0], standings(table))
    panels[1].set_xlim(0.0, 1.02 * largest)  # the last bar is drawn whole
    panels[1].set_xlabel("limit, kW")
    intervals = int(table.published.sum())
    count = f"{intervals:,} interval{'s' if intervals > 1 else ''}, "
    count += f"{len(table.connection_points)} connection points"
    figure.suptitle(f"Distribution of limits, {_days(table)}, {count}")
    return figure


def _counts(table: EnvelopeTable, direction: int) -> IntArray:
    """Return the number of limits that each element limits, shape (T, elements).

    It is 0 in intervals without envelopes.
    """
    elements = table.bottleneck[:, direction]
    intervals, count = len(elements), len(table.elements)
    flat = (elements + count * np.arange(intervals)[:, None]).ravel()
    counts = np.bincount(flat, minlength=intervals * count).reshape(intervals, count)
    return counts * table.published[:, None]


def _check_published(table: EnvelopeTable, source: str) -> None:
    if not table.published.any():
        raise InputFaults(source, [Fault("intervals", "none of them has envelopes")])


def _edges(table: EnvelopeTable) -> list[Any]:
    return [*table.starts, table.ends[-1]]


def _steps(values: FloatArray | IntArray) -> FloatArray:
    """Return values at the edges of intervals; the last one lasts until the end."""
    return np.append(values, values[-1]).astype(float)


def _days(table: EnvelopeTable) -> str:
    first, last = (f"{table.starts[k]:%Y-%m-%d}" for k in (0, -1))
    return first if first == last else f"{first} to {last}"


def _time_axis(axes: Any, edges: Sequence[Any]) -> None:
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(tz=UTC, maxticks=13)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, tz=UTC, show_offset=False))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("time (UTC)")
