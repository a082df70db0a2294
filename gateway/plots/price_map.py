"""A picture of prices in the network: its tree from the interface, a dot per connection point.

The horizontal axis is the electrical distance from the interface, as in a one-line diagram.  Where
voltage binds, prices follow this distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from gateway.plots.style import new_figure, save_figure, without_frame
from gateway.runs.market_report import MarketReport, MarketReportLimit
from security_check.arrays import FloatArray, IndexArray
from security_check.model.envelope import Direction
from security_check.model.network import Network

_SMALLEST, _LARGEST = 20.0, 260.0  # areas of dots, in square points


@dataclass(frozen=True, slots=True)
class TreeLayout:
    """The coordinates of a tree.

    Parameters
    ----------
    x, y
        Shape (n,): electrical distance of each node from the interface, p.u. of impedance, and its
        vertical position.
    parent
        Shape (n,), the node that feeds each node; its own index at the interface.
    node_of
        Shape (c,), the node of each connection point.
    """

    x: FloatArray
    y: FloatArray
    parent: IndexArray
    node_of: IndexArray


def tree_layout(network: Network) -> TreeLayout:
    """Return the layout of a network: the tree of shortest electrical paths from the interface."""
    between = sp.coo_array(abs(network.admittance))
    off = (between.row != between.col) & (between.data > 0)
    length = sp.csr_array(
        (1.0 / between.data[off], (between.row[off], between.col[off])), shape=between.shape
    )
    roots = np.asarray(network.interface.nodes)
    far, before, _ = dijkstra(
        length, directed=False, indices=roots, return_predecessors=True, min_only=True
    )
    nodes = np.arange(len(far))
    parent = np.where(before < 0, nodes, before).astype(np.int64)
    place = abs(network.ports.incidence).argmax(axis=0)
    shares = abs(network.port_shares).argmax(axis=0)
    node_of = np.asarray(place).ravel()[np.asarray(shares).ravel()]
    return TreeLayout(far, _across(parent, far), parent, node_of)


def _across(parent: IndexArray, far: FloatArray) -> FloatArray:
    """Return the vertical position of each node: leaves in order, others amid their children."""
    children: dict[int, list[int]] = {}
    for node in np.argsort(far).tolist():
        if parent[node] != node:
            children.setdefault(int(parent[node]), []).append(node)
    y = np.zeros(len(parent))
    ends = 0
    stack = [(int(node), False) for node in np.flatnonzero(parent == np.arange(len(parent)))]
    while stack:
        node, seen = stack.pop()
        mine = children.get(node, [])
        if not mine:
            y[node], ends = ends, ends + 1
        elif seen:
            y[node] = (y[mine[0]] + y[mine[-1]]) / 2
        else:
            stack.append((node, True))
            stack += [(child, False) for child in reversed(mine)]
    return y


def draw_price_map(network: Network, report: MarketReport, path: Path) -> None:
    """Write the price map to a file; its suffix selects the format (``.png``, ``.svg``).

    The colour of a dot is the volume-weighted average price, or the last local price if there was
    no trade; its size is the traded quantity.

    Raises
    ------
    GatewayError
        When matplotlib is not installed, or does not know the suffix.
    """
    layout = tree_layout(network)
    figure = new_figure(12.0, 7.5)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, direction in zip(panels, Direction, strict=True):
        rows = [row for row in report.prices if row.direction is direction]
        _panel(figure, axes, layout, direction, rows)
    share = "" if report.share is None else f", {report.share:.1%} of the clairvoyant optimum"
    figure.suptitle(f"Prices by connection point; welfare {report.welfare} EUR{share}")
    save_figure(figure, path)


def _panel(
    figure: Any,
    axes: Any,
    layout: TreeLayout,
    direction: Direction,
    rows: Sequence[MarketReportLimit],
) -> None:
    """Draw one direction: the tree in grey, dots in the colours of their prices."""
    for node, parent in enumerate(layout.parent.tolist()):
        if node != parent:
            x, y = layout.x[[parent, parent, node]], layout.y[[parent, node, node]]
            axes.plot(x, y, color="0.75", linewidth=0.8, zorder=1)
    prices = [row.average_price or row.local_price for row in rows]
    known = np.array([price is not None for price in prices], dtype=bool)
    traded_w = np.array([row.bought_w + row.sold_w for row in rows], dtype=float)
    area = _SMALLEST + (_LARGEST - _SMALLEST) * traded_w / max(traded_w.max(initial=0.0), 1.0)
    x, y = layout.x[layout.node_of], layout.y[layout.node_of]
    axes.scatter(
        x[~known],
        y[~known],
        s=_SMALLEST,
        facecolors="none",
        edgecolors="0.5",
        zorder=2,
        label="no price",
    )
    values = [float(price) for price in prices if price is not None]
    dots = axes.scatter(
        x[known],
        y[known],
        s=area[known],
        c=values,
        cmap="viridis",
        edgecolors="0.2",
        linewidths=0.5,
        zorder=3,
    )
    if values:
        figure.colorbar(dots, ax=axes, label="EUR/kW", shrink=0.8)
    else:
        axes.legend(loc="lower right")
    axes.set_title(f"{direction} limits, {traded_w.sum() / 2e3:,.1f} kW traded")
    axes.set_xlabel("impedance from the interface, p.u.")
    axes.set_yticks([])
    without_frame(axes, "top", "right", "left")
