"""Local prices in parts: the price of each direction, and what each binding element adds.

The price of a limit is that of its direction and what the binding rows add to it,

    local_c = lambda_d + sum_k eta_k A_k,c                              (docs/market.md)

so a connection point that loads a full line pays for that line, and other points do not.  The rows
and their eta are those of the last program that left nothing to trade: later orders that are worse
than their local price, and cancels, need no program (:mod:`exchange.clearing.price_screen`).
Lambda is the middle between the best bid and the best ask of the open orders, less what elements
add at their limits; with orders on one side only, the best of them.  Where these cross because
whole lots cannot trade as fractions would, lambda is that of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from exchange.clearing.problem import TIE
from exchange.clearing.welfare_clearing import WelfareClearing
from security_check.arrays import FloatArray, IntArray
from security_check.model.envelope import Direction

_DIRECTIONS = (Direction.INJECTION, Direction.WITHDRAWAL)


@dataclass(frozen=True, slots=True)
class PricePart:
    """The price that one element adds to a local price, in ticks, > 0."""

    element: str
    price_ticks: float


@dataclass(frozen=True, slots=True)
class PointPrice:
    """The local price of one limit, in parts.

    Parameters
    ----------
    connection_point, direction
        The limit.
    balance_ticks
        The price of its direction where no element binds: lambda, or the reserve price in
        network-weighted mode.
    parts
        Of the elements that bind, the largest first; parts below a millionth of a tick are left
        out.
    """

    connection_point: str
    direction: Direction
    balance_ticks: float
    parts: tuple[PricePart, ...]

    @property
    def price_ticks(self) -> float:
        """Balance and parts added up, in ticks."""
        return sum((part.price_ticks for part in self.parts), self.balance_ticks)


def point_prices(
    clearing: WelfareClearing,
    points: Sequence[str],
    interval: int,
    element: Callable[[int], str],
) -> tuple[PointPrice, ...]:
    """Return the local prices of one interval: injection first, points in the network's order.

    A direction without a resting plain order has no prices.  O(rows n + columns); changes nothing.

    Parameters
    ----------
    clearing
        The program of the interval's market, with nothing left to trade.
    points
        The connection points.
    interval
        The interval's number among those of the program.
    element
        Returns the name of the element behind a network row of the program.
    """
    balance, eta = clearing.screen.duals
    priced = np.flatnonzero((eta > 0.0) & (clearing.rows.source >= 0))
    names = [element(int(row)) for row in clearing.rows.source[priced]]
    elements = sorted(set(names))
    added = np.zeros((len(elements), len(clearing.orders.groups)))
    for name, row in zip(names, priced.tolist(), strict=True):
        added[elements.index(name)] += eta[row] * clearing.rows.of_rows(np.array([row]))[0]
    added[added < TIE] = 0.0
    groups = clearing.orders.groups
    low, high = _quotes(clearing, added.sum(axis=0))
    found = []
    for column in np.flatnonzero(groups // 2 == interval).tolist():
        group = int(groups[column])
        bid, ask = float(low[group]), float(high[group])
        if bid == -np.inf and ask == np.inf:
            continue
        middle = float(balance[group]) if not clearing.balanced else _middle(bid, ask)
        found.append(
            PointPrice(
                points[column % len(points)],
                _DIRECTIONS[group % 2],
                float(balance[group]) if middle is None else middle,
                _parts(elements, added[:, column]),
            )
        )
    return tuple(found)


def _quotes(clearing: WelfareClearing, added: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the best bid and ask of each group, in ticks, less what elements add to each limit."""
    orders = clearing.orders
    groups = len(orders.prices)
    low, high = np.full(groups, -np.inf), np.full(groups, np.inf)
    size = orders.size
    plain: IntArray = np.flatnonzero((orders.limit[:size] >= 0) & (orders.units[:size] > 0))
    limits = orders.limit[plain]
    net = orders.price[plain] - added[limits]
    buys = orders.sign[plain] > 0
    np.maximum.at(low, orders.groups[limits[buys]], net[buys])
    np.minimum.at(high, orders.groups[limits[~buys]], net[~buys])
    return low, high


def _middle(bid: float, ask: float) -> float | None:
    """Return the middle of bid and ask; the better of one side; ``None`` where they cross."""
    if bid == -np.inf:
        return ask
    if ask == np.inf:
        return bid
    return (bid + ask) / 2.0 if bid <= ask + TIE else None


def _parts(elements: Sequence[str], added: FloatArray) -> tuple[PricePart, ...]:
    parts = [PricePart(elements[k], float(added[k])) for k in np.flatnonzero(added).tolist()]
    return tuple(sorted(parts, key=lambda part: (-part.price_ticks, part.element)))
