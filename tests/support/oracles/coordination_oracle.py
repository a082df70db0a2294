"""The joint problem of all operators as one linear programme, written down a second time."""

from __future__ import annotations

import numpy as np
from presence import there
from scipy.optimize import linprog

from doe_allocation.coordination.problem import Linearised
from doe_allocation.coordination.program import EXCESS_PRICE


def least_cost(problem: Linearised) -> float:
    """Return the least cost of all needs: activations, need unserved, limits exceeded."""
    market, rows = problem.market, problem.rows
    r = len(rows.area)
    sign = market.need.direction.sign
    cost = np.concatenate([market.prices, [market.need.price_cap], np.full(2 * r, EXCESS_PRICE)])
    above = np.hstack([rows.A, np.zeros((r, 1)), -np.eye(r), np.zeros((r, r))])
    below = np.hstack([-rows.A, np.zeros((r, 1)), np.zeros((r, r)), -np.eye(r)])
    delivered = delivered_by(problem)
    need = np.concatenate([-sign * delivered, [-1.0], np.zeros(2 * r)])
    A = np.vstack([above, below, need])
    b = np.concatenate(
        [rows.high - rows.value, rows.value - rows.low, [-market.need.power_w / 1e6]]
    )
    kept = np.isfinite(b)
    bounds = [(0.0, size) for size in market.sizes] + [(0.0, None)] * (1 + 2 * r)
    found = linprog(cost, A_ub=A[kept], b_ub=b[kept], bounds=bounds)
    return float(there(found.fun))


def delivered_by(problem: Linearised) -> np.ndarray:
    """Return what arrives at the TSO of a MW of each offer, shape (o,)."""
    market = problem.market
    own = market.change.real * (market.area < 0)
    return np.asarray(own + problem.by_active.sum(axis=0))


def cost_of(problem: Linearised, activated: np.ndarray) -> float:
    """Return the same cost of given activations, shape (o,), MW."""
    market, rows = problem.market, problem.rows
    value = rows.value + rows.A @ activated
    excess = np.maximum(value - rows.high, 0.0) + np.maximum(rows.low - value, 0.0)
    return float(
        market.prices @ activated
        + market.need.price_cap * unserved(problem, activated)
        + EXCESS_PRICE * excess.sum()
    )


def unserved(problem: Linearised, activated: np.ndarray) -> float:
    """Return what the TSO's need lacks, MW."""
    market = problem.market
    delivered = delivered_by(problem)
    got = market.need.direction.sign * float(delivered @ activated)
    return max(market.need.power_w / 1e6 - got, 0.0)


def least_cost_at(problem: Linearised, area: int, active: float) -> float:
    """Return the least cost of one area alone at a change of the power out of it; or infinity."""
    market, rows = problem.market, problem.rows
    mine, own = market.area == area, rows.area == area
    A, value = rows.A[own][:, mine], rows.value[own]
    limits = np.vstack([A, -A])
    b = np.concatenate([rows.high[own] - value, value - rows.low[own]])
    kept = np.isfinite(b)
    found = linprog(
        market.prices[mine],
        A_ub=limits[kept],
        b_ub=b[kept],
        A_eq=problem.by_active[area][mine][None, :],
        b_eq=[active],
        bounds=[(0.0, size) for size in market.sizes[mine]],
    )
    return np.inf if found.fun is None else float(found.fun)
