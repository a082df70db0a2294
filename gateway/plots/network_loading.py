"""A picture of the network, coloured by the worst loading inside the envelopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from doe_allocation.allocation.network_grid import NetworkGrid
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_rows import EnvelopeTable
from gateway.plots.price_map import tree_layout
from gateway.plots.standing import standings, write_standing
from gateway.plots.style import new_figure, without_frame
from gateway.scenario.scenario import Scenario
from security_check.arrays import FloatArray
from security_check.model.element import Element
from security_check.model.element_ids import AUXILIARY, kind_of, members_of, without_phase
from security_check.model.network import Network

_WORST = 5  # elements that are listed below the picture
_MAP = "cividis_r"  # dark is loaded; distinct with any kind of colour vision

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class NetworkLayout:
    """The coordinates at which a network is drawn.

    Parameters
    ----------
    places
        Coordinates of the buses, by name.
    ends
        The pairs of buses that each branch joins, by name; a three-winding transformer has several.
    geographic
        Whether places are coordinates of the network's data, or those of a tree.
    """

    places: Mapping[str, Place]
    ends: Mapping[str, list[tuple[str, str]]]
    geographic: bool


def worst_loadings(scenario: Scenario, table: EnvelopeTable, interval: int) -> dict[str, float]:
    """Return the loading of each element at its worst point inside the envelopes, 1 at its limit.

    Parameters
    ----------
    table
        Envelopes, in the order of the scenario's connection points.
    interval
        Index of the interval in the table.

    Raises
    ------
    PowerFlowError
        When a power flow does not converge.
    """
    starts = {each.start: k for k, each in enumerate(scenario.intervals)}
    number = 0 if scenario.anonymous else starts[table.starts[interval]]
    network = scenario.ac_network
    grid = NetworkGrid(
        network,
        scenario.voltage_limits,
        scenario.capacity_in(number),
        states=scenario.states,
        forecast=scenario.forecast_in(number),
    )
    robust = grid.robust_rows(scenario.intervals[number].interface_limits)
    u = table.limits_w[interval].ravel() / network.base_power_w
    rows = robust.limited
    _, values = robust.worst(rows, robust.leaning_points(rows, u), u)
    found: dict[str, float] = {}
    for row, loading in zip(rows.tolist(), 1.0 + robust.violation(rows, values), strict=True):
        name = without_phase(Element.parse(robust.element(row)).name)
        found[name] = max(found.get(name, 0.0), float(loading))
    return found


def network_layout(network: Network, places: Mapping[str, Place]) -> NetworkLayout:
    """Return the coordinates of a network: its own if every bus has some, else those of a tree."""
    buses = [without_phase(node) for node in network.nodes]
    terminals = network.terminals
    ends: dict[str, list[tuple[str, str]]] = {}
    for k, element in enumerate(terminals.elements):
        columns = terminals.admittance.indices[
            terminals.admittance.indptr[k] : terminals.admittance.indptr[k + 1]
        ]
        pair = sorted({buses[node] for node in columns})
        own = ends.setdefault(without_phase(element), [])
        if len(pair) == 2 and (pair[0], pair[1]) not in own:
            own.append((pair[0], pair[1]))
    known = {bus: places[bus] for bus in buses if bus in places}
    inner = {bus for bus in buses if kind_of(bus) == AUXILIARY}
    if not known or set(buses) - inner - set(known):
        drawn = tree_layout(network)
        tree = {bus: (float(drawn.x[i]), float(drawn.y[i])) for i, bus in enumerate(buses)}
        return NetworkLayout(tree, ends, geographic=False)
    for bus in sorted(inner):  # the star point of a transformer has no coordinates
        pairs = [pair for own in ends.values() for pair in own if bus in pair]
        near = [known[b] for pair in pairs for b in pair if b in known and b != bus]
        known[bus] = tuple(np.mean(near, axis=0)) if near else next(iter(known.values()))
    return NetworkLayout(known, ends, geographic=True)


def draw_network(scenario: Scenario, table: EnvelopeTable, interval: int) -> Any:
    """Return a figure of the network, coloured by the worst loading inside the envelopes."""
    from matplotlib.colors import Normalize

    loading = worst_loadings(scenario, table, interval)
    layout = network_layout(scenario.ac_network, scenario.places)
    figure = new_figure(11.0, 7.5)
    axes = figure.subplots()
    norm = Normalize(0.0, 100.0)
    lines = _draw_branches(axes, layout, loading, norm)
    _draw_buses(axes, scenario, layout, loading, norm)
    bar = figure.colorbar(lines, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label("loading, % of the limit")
    worst = sorted(loading, key=lambda name: -loading[name])[:_WORST]
    listed = "\n".join(f"{100 * loading[name]:6.1f} %  {name}" for name in worst)
    empty = [axes.plot([], [], " ")[0]]
    style = {"frameon": False, "fontsize": 9}
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, **style)
    figure.legend(empty, [listed], title="highest loadings", loc="outside lower right", **style)
    start = format_time(table.starts[interval])
    figure.suptitle(f"{scenario.area}, {start}: worst loading inside the envelopes")
    write_standing(axes, [standings(table)[interval]])
    if layout.geographic:
        axes.set_xlabel("longitude or x of the network's data")
        axes.set_ylabel("latitude or y")
        axes.ticklabel_format(useOffset=False)
        axes.locator_params(nbins=6)
    else:
        axes.set_xlabel("impedance from the interface, p.u.")
        axes.set_yticks([])
        without_frame(axes, "left")
    without_frame(axes, "top", "right")
    return figure


def _draw_branches(
    axes: Any, layout: NetworkLayout, loading: Mapping[str, float], norm: Any
) -> Any:
    """Draw branches as lines, transformers with a diamond; return the lines, for the colour bar."""
    from matplotlib.collections import LineCollection

    paths, colours, middles, own = [], [], [], []
    for element, pairs in layout.ends.items():
        for pair in pairs:
            (x0, y0), (x1, y1) = (layout.places[bus] for bus in pair)
            # In a tree, branches go vertically first, so that they do not cross.
            corner = [] if layout.geographic else [(min(x0, x1), (y0, y1)[x1 > x0])]
            paths.append([(x0, y0), *corner, (x1, y1)])
            colours.append(100.0 * loading.get(element, 0.0))
            if kind_of(element) in ("trafo", "trafo3w"):
                middles.append((0.5 * (x0 + x1), y1 if corner else 0.5 * (y0 + y1)))
                own.append(colours[-1])
    lines = LineCollection(paths, cmap=_MAP, norm=norm, linewidths=2.5, zorder=1)
    lines.set_array(np.array(colours))
    axes.add_collection(lines)
    if middles:
        x, y = np.array(middles).T
        axes.scatter(
            x,
            y,
            c=own,
            cmap=_MAP,
            norm=norm,
            marker="D",
            s=130,
            edgecolors="black",
            zorder=4,
            label="transformer",
        )
    return lines


def _draw_buses(
    axes: Any, scenario: Scenario, layout: NetworkLayout, loading: Mapping[str, float], norm: Any
) -> None:
    """Draw a dot for each bus, larger if it has customers, in the colour of its voltage."""
    served = {without_phase(members_of(node)[0]) for node in scenario.perimeters.node}
    source = {bus for joined in scenario.perimeters.interface for bus in members_of(joined)}
    kinds = (
        ("bus with customers (colour: voltage)", [b for b in layout.places if b in served], 42.0),
        ("other bus", [b for b in layout.places if b not in served | source], 10.0),
    )
    for label, buses, size in kinds:
        shown = [bus for bus in buses if kind_of(bus) != AUXILIARY]
        if shown:
            x, y = np.array([layout.places[bus] for bus in shown]).T
            full: FloatArray = np.array([100.0 * loading.get(bus, 0.0) for bus in shown])
            axes.scatter(
                x,
                y,
                c=full,
                s=size,
                cmap=_MAP,
                norm=norm,
                edgecolors="0.3",
                linewidths=0.5,
                zorder=3,
                label=label,
            )
    x, y = np.array([layout.places[bus] for bus in sorted(source)]).T
    axes.scatter(
        x, y, marker="s", s=90, color="white", edgecolors="black", zorder=3.5, label="interface"
    )
