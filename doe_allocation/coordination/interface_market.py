"""The TSO's side: its own offers, and points that each DSO states at its interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.coordination.area import Point, mixed
from doe_allocation.coordination.problem import TOTAL, TSO, WATTS, Linearised
from doe_allocation.coordination.program import Rows, cheapest
from security_check.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Choice:
    """What the TSO chooses.

    Parameters
    ----------
    activated
        Shape (o,), the TSO's own offers, MW.
    weights
        For each area the weights of its points, which add up to 1.
    prices
        Shape (2 m,), what a MW, then a Mvar, out of each area is worth to the TSO.
    level
        Shape (m,), the cost of each area at these prices, less the worth of its power: a point
        below it would lower the cost.
    cost
        EUR/h, with that of unserved need and of limits exceeded.
    """

    activated: FloatArray
    weights: tuple[FloatArray, ...]
    prices: FloatArray
    level: FloatArray
    cost: float

    def activations(self, points: Sequence[list[Point]]) -> FloatArray:
        """Return what is activated in all areas, and of the TSO's own offers, shape (o,)."""
        total = self.activated.copy()
        for own, weights in zip(points, self.weights, strict=True):
            total += mixed(own, weights)
        return total

    def power(self, points: Sequence[list[Point]], area: int) -> tuple[float, float]:
        """Return the change of active and reactive power out of an area."""
        own, weights = points[area], self.weights[area]
        return (
            float(weights @ np.array([each.active for each in own])),
            float(weights @ np.array([each.reactive for each in own])),
        )


def choose(problem: Linearised, points: Sequence[list[Point]], *, system: bool = True) -> Choice:
    """Return the cheapest mixture of own offers and of each area's points.

    Parameters
    ----------
    points
        Of each area, one at least.
    system
        Whether the TSO's need counts; its limits always do.
    """
    market, rows = problem.market, problem.rows
    mine, own, count = market.area == TSO, rows.area == TSO, len(market.areas)
    sign, o = market.need.direction.sign, int(mine.sum())
    least_own, most_own = problem.bounds(TOTAL)
    area = np.repeat(np.arange(count), [len(each) for each in points])
    every = [point for each in points for point in each]
    active = np.array([point.active for point in every])
    reactive = np.array([point.reactive for point in every])
    width = o + 1 + len(every)
    A = np.zeros((int(own.sum()), width))
    A[:, :o] = rows.A[own][:, mine]
    by_active, by_reactive = np.split(problem.by_interface[own], 2, axis=1)
    A[:, o + 1 :] = by_active[:, area] * active + by_reactive[:, area] * reactive
    base = problem.without(mine)[own] - problem.by_interface[own] @ problem.own_out
    limits = Rows(A, rows.low[own] - base, rows.high[own] - base)
    exact = np.zeros((1 + count, width))
    exact[0, :o] = sign * market.change.real[mine]
    exact[0, o] = 1.0
    exact[0, o + 1 :] = sign * active
    exact[1:, o + 1 :] = area == np.arange(count)[:, None]
    before = float((problem.active - problem.scheduled - problem.own_out[:count]).sum())
    least = market.need.power_w / WATTS - sign * before if system else -np.inf
    bounds = np.concatenate([[least], np.ones(count)])
    most = np.concatenate([[np.inf], np.ones(count)])
    cost = np.concatenate(
        [market.prices[mine], [market.need.price_cap], [point.cost for point in every]]
    )
    lower = np.concatenate([least_own[mine], np.zeros(1 + len(every))])
    upper = np.concatenate([most_own[mine], [np.inf], np.ones(len(every))])
    best = cheapest(cost, lower, upper, limits, Rows(exact, bounds, most))
    activated = np.zeros(len(mine))
    activated[mine] = best.values[:o]
    weights = best.values[o + 1 :]
    parts = tuple(weights[area == k] / weights[area == k].sum() for k in range(count))
    price = -float(best.exact_worth[0]) * sign
    prices = np.repeat([price, 0.0], count) - best.limit_worth @ problem.by_interface[own]
    return Choice(activated, parts, prices, -best.exact_worth[1:], best.cost)
