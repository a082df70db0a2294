"""One clearing over chosen offers, limits and needs, with prices, and who the activation is for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.coordination.problem import TSO, WATTS, Linearised
from doe_allocation.coordination.program import Rows, cheapest
from security_check.arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class Scope:
    """What a clearing is about.

    Parameters
    ----------
    rows
        Shape (r,), the limits that it keeps.
    floor, ceiling
        Shape (o,), between which each offer is activated, MW: both are at what is activated
        already where an offer takes no part.
    system
        Whether the TSO's need is served.
    portfolios
        Shape (b,), what each party buys at most, MW; ``None`` if they take no part.
    bought
        What parties have bought before, MW.
    """

    rows: BoolArray
    floor: FloatArray
    ceiling: FloatArray
    system: bool = True
    portfolios: FloatArray | None = None
    bought: float = 0.0


@dataclass(frozen=True, slots=True)
class Cleared:
    """The result of a clearing.

    Parameters
    ----------
    activated
        Shape (o,), MW.
    bought
        Shape (b,), what parties buy, MW.
    served
        What the TSO's need gets, MW.
    system_price
        EUR/MWh, the worth of a MW more of injection at the TSO's connection points.
    limit_worth
        Shape (r,), by how much the cost falls with a unit more of a limit.
    cost
        EUR/h, with that of unserved need and of limits exceeded.
    """

    activated: FloatArray
    bought: FloatArray
    served: float
    system_price: float
    limit_worth: FloatArray
    cost: float


def clear(problem: Linearised, scope: Scope) -> Cleared:
    """Return the cheapest activation that serves the needs of a scope within its limits."""
    market, rows = problem.market, problem.rows
    sign, o = market.need.direction.sign, len(market.offers)
    wanted = market.need.power_w / WATTS if scope.system else 0.0
    values = np.array([each.value for each in market.portfolios])
    most = np.zeros(len(values)) if scope.portfolios is None else scope.portfolios
    balanced = scope.system or scope.portfolios is not None
    cost = np.concatenate([market.prices, [market.need.price_cap], -values])
    lower = np.concatenate([scope.floor, [0.0], np.zeros(len(values))])
    upper = np.concatenate([scope.ceiling, [np.inf if balanced else 0.0], most])
    A = np.zeros((int(scope.rows.sum()), len(cost)))
    A[:, :o] = rows.A[scope.rows]
    base = problem.constant[scope.rows]
    limits = Rows(A, rows.low[scope.rows] - base, rows.high[scope.rows] - base)
    exact = Rows.none(len(cost))
    if balanced:
        row = np.concatenate([sign * problem.delivered, [1.0], -np.ones(len(values))])
        least = wanted + scope.bought - sign * problem.delivered_before
        exact = Rows(row[None, :], np.array([least]), np.array([np.inf]))
    best = cheapest(cost, lower, upper, limits, exact)
    worth = np.zeros(len(rows.area))
    worth[scope.rows] = best.limit_worth
    price = -float(best.exact_worth[0]) * sign if balanced else 0.0
    unserved = float(best.values[o])
    served = max(wanted - unserved, 0.0) if scope.system else 0.0
    return Cleared(best.values[:o], best.values[o + 1 :], served, price, worth, best.cost)


def interface_prices(problem: Linearised, cleared: Cleared) -> FloatArray:
    """Return what a MW, then a Mvar, out of each area is worth to the TSO, shape (2 m,)."""
    count = len(problem.market.areas)
    system = np.repeat([cleared.system_price, 0.0], count)
    mine = problem.rows.area == TSO
    return np.asarray(system - cleared.limit_worth[mine] @ problem.by_interface[mine])


def shares(problem: Linearised, cleared: Cleared) -> dict[str, FloatArray]:
    """Return the part of each activation that is for each buyer, shapes (o,), adding up to 1.

    In proportion to what it is worth to the buyer's needs, by the prices of the clearing; a buyer
    whom it does harm has no part.  What is worth nothing to anybody is the TSO's.
    """
    market, rows = problem.market, problem.rows
    worth = {
        market.owner(area): -cleared.limit_worth[rows.area == area] @ rows.A[rows.area == area]
        for area in range(len(market.areas))
    }
    own = -cleared.limit_worth[rows.area == TSO] @ rows.A[rows.area == TSO]
    balance = cleared.system_price * problem.delivered
    parties = {each.name: mw for each, mw in zip(market.portfolios, cleared.bought, strict=True)}
    total = cleared.served + sum(parties.values())
    for name, bought in parties.items():
        worth[name] = balance * (bought / total if total > 0.0 else 0.0)
    worth = {market.tso: own + balance * (cleared.served / total if total > 0.0 else 1.0), **worth}
    kept = {name: np.maximum(each, 0.0) for name, each in worth.items()}
    sums = np.sum(list(kept.values()), axis=0)
    unused = sums <= 0.0
    parts = {name: each / np.where(unused, 1.0, sums) for name, each in kept.items()}
    parts[market.tso] = np.where(unused, 1.0, parts[market.tso])
    return parts
