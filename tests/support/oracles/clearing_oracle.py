"""The clearing program written from its formula once more, for scipy, order by order in watts.

Nothing here knows of columns, tiers, screens or warm starts.  A direction's limits are half an
interval's columns, injection first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from exchange.clearing.problem import NetworkRows, ProgramOrder
from orderbook.order import Side

_PRECISE = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
_linprog: Any = linprog  # its stubs do not know bounds in one array


@dataclass(frozen=True)
class Oracle:
    """A program: orders, rows, balance or reserve price, and how many intervals."""

    orders: Sequence[ProgramOrder]
    rows: NetworkRows
    lot_w: int
    reserve: int | None = None
    intervals: int = 1

    def arrays(self):
        """Return value per watt, row and balance coefficients, right sides and quantities.

        A variable is a whole order, in watts over all its legs in their ratio.
        """
        limits = self.rows.A.shape[1]
        half = limits // (2 * self.intervals)
        value, loads, balance = [], [], []
        for order in self.orders:
            change, worth = np.zeros(limits), 0.0
            for leg in order.legs:
                buys = (leg.side or order.side) is Side.BUY
                price = leg.limit_price_ticks
                price = order.limit_price_ticks if price is None else price
                part = (1 if buys else -1) * leg.quantity_w / order.quantity_w
                change[leg.column] += part
                worth += part * (price - (self.reserve or 0))
            value.append(worth)
            loads.append((self.rows.A @ change) / self.rows.base_power_w)
            balance.append(change.reshape(-1, half).sum(axis=1))
        count = len(self.orders)
        return (
            np.array(value, dtype=float),
            np.array(loads).reshape(count, len(self.rows.A)).T,
            np.maximum(self.rows.headroom, 0.0),
            np.array(balance).reshape(count, 2 * self.intervals).T,
            np.array([order.quantity_w for order in self.orders], dtype=float),
        )

    def linear(self, *, lower=None, upper=None, value=None):
        """Return the quantities and the gain of the linear program, conditions left out."""
        own, loads, room, balance, quantity = self.arrays()
        value = own if value is None else value
        if not self.orders:
            return np.zeros(0), 0.0
        # Rows in units of their largest coefficient, so that tolerances mean watts here too.
        scale = np.abs(loads).max(axis=1, initial=0.0)
        live = scale > 0
        worth = np.abs(value).max(initial=0.0) or 1.0
        # Prices far apart are more than the sharp tolerances bear, and some need small objectives.
        for options, unit in ((_PRECISE, 1.0), ({}, 1.0), (_PRECISE, worth), ({}, worth)):
            found = _linprog(
                -value / unit,
                A_ub=loads[live] / scale[live, None] if live.any() else None,
                b_ub=room[live] / scale[live] if live.any() else None,
                A_eq=balance if self.reserve is None else None,
                b_eq=np.zeros(len(balance)) if self.reserve is None else None,
                bounds=np.column_stack(
                    [
                        np.zeros_like(quantity) if lower is None else lower,
                        quantity if upper is None else upper,
                    ]
                ),
                method="highs",
                options=options,
            )
            if found.status == 0:
                break
        assert found.status == 0, found.message
        return found.x, float(value @ found.x)

    def by_time(self):
        """Return the optimum of the linear program that serves older orders first.

        One after the other: the gain is kept to a hair, each order's share is fixed in turn.
        """
        _, gain = self.linear()
        value, loads, room, balance, quantity = self.arrays()
        lower, upper = np.zeros_like(quantity), quantity.copy()
        for i in sorted(range(len(quantity)), key=lambda i: self.orders[i].rank):
            found = _linprog(
                -np.eye(len(quantity))[i],
                A_ub=np.vstack([loads * self.rows.base_power_w, -value]),
                b_ub=np.concatenate([room * self.rows.base_power_w, [-gain + 1e-5]]),
                A_eq=balance if self.reserve is None else None,
                b_eq=np.zeros(len(balance)) if self.reserve is None else None,
                bounds=np.column_stack([lower, upper]),
                method="highs",
                options=_PRECISE,
            )
            assert found.status == 0, found.message
            lower[i] = max(found.x[i] - 1e-6, 0.0)
            upper[i] = min(found.x[i] + 1e-6, quantity[i])
        return (lower + upper) / 2

    def whole_lots(self):
        """Return the best gain in whole lots with all conditions, by mixed-integer programming."""
        value, loads, room, balance, quantity = self.arrays()
        count = len(self.orders)
        if not count:
            return 0.0
        steps = np.array([step_w(order, self.lot_w) for order in self.orders], dtype=float)
        most = np.round(quantity / steps)
        eye = np.eye(count)
        minimum = np.array([max(least_w(o, self.lot_w), 0) for o in self.orders]) / steps
        constraints = [
            LinearConstraint(np.hstack([eye, -np.diag(most)]), ub=np.zeros(count)),
            LinearConstraint(np.hstack([eye, -np.diag(minimum)]), lb=np.zeros(count)),
        ]
        if len(loads):
            scale = np.maximum(np.abs(loads * steps).max(axis=1), 1e-12)
            scaled = loads * steps / scale[:, None]
            padded = np.hstack([scaled, np.zeros_like(scaled)])
            constraints.append(LinearConstraint(padded, ub=room / scale))
        if self.reserve is None:
            constraints.append(
                LinearConstraint(
                    np.hstack([balance * steps, np.zeros((len(balance), count))]), 0.0, 0.0
                )
            )
        found = milp(
            -np.concatenate([value * steps, np.zeros(count)]),
            constraints=constraints,
            bounds=Bounds(np.zeros(2 * count), np.concatenate([most, np.ones(count)])),
            integrality=np.ones(2 * count, dtype=int),
            options={"mip_rel_gap": 0.0},
        )
        assert found.status == 0, found.message
        return -float(found.fun)

    def brute_force(self):
        """Return the best gain in whole lots with all conditions, by trying everything."""
        value, loads, room, balance, _ = self.arrays()
        choices = []
        for order in self.orders:
            step, least = step_w(order, self.lot_w), least_w(order, self.lot_w)
            choices.append(
                [q for q in range(0, order.quantity_w + 1, step) if q == 0 or q >= least]
            )
        best = 0.0
        for x in itertools.product(*choices):
            traded = np.array(x, dtype=float)
            if value @ traded <= best:
                continue
            if self.reserve is None and np.any(np.abs(balance @ traded) > 1e-6):
                continue
            if np.any(loads @ traded > room * (1 + 1e-12) + 1e-15):
                continue
            best = float(value @ traded)
        return best


def step_w(order: ProgramOrder, lot_w: int) -> int:
    """Return the watts by which an order can grow: a lot, or a block's smallest ratio."""
    lots = [leg.quantity_w // lot_w for leg in order.legs]
    return order.quantity_w // int(np.gcd.reduce(lots))


def least_w(order: ProgramOrder, lot_w: int) -> int:
    """Return the least watts an order trades."""
    step = step_w(order, lot_w)
    return min(max(-(-order.minimum_w // step), 1) * step, order.quantity_w)
