"""From fractions to whole lots: directions balance exactly and rows hold.

An optimum of the linear program has at most as many fractional columns as rows that bind.  All
ways of rounding these down or up are tried, together with a few full columns that may give up a
lot so that directions balance.  Where that is not enough, the whole lots near the vertex
(:mod:`exchange.clearing.integer_points`) or a small integer program over the columns that trade
decide.  The program of the orders and headrooms left is solved and rounded again, until no
profitable whole-lot trade is left.

Only columns that trade in the linear optimum take part.  So an order worse than its local price
cannot change the outcome, which the price screen relies on.  The welfare left when the clearing
ends is bounded: no whole lots of these columns that keep all conditions gain more than one lot
between the best bid and the best ask among them (in network-weighted mode the reserve price counts
as both), where both are of fillable orders (:mod:`exchange.clearing.unfillable`).  Smaller gains
are given up, because an unbounded number of integer programs would be needed to find them.  Whole
lots of columns worse than their local price, which fit the rows better in rare cases, are given up
too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from exchange.clearing.highs import INFINITY, MixedProgram
from exchange.clearing.integer_points import Vertex
from exchange.clearing.linear.linear_program import LpSolution
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.order_columns import per_lot_of
from exchange.clearing.problem import Priority
from exchange.clearing.program_orders import ProgramOrders
from exchange.clearing.work_budget import WorkBudget
from security_check.arrays import BoolArray, FloatArray, IntArray

WHOLE = 1e-6
"""Units by which a quantity may miss a whole number and still be one: the solver errs by 1e-9,
and by 1e-7 in mixed-integer programs."""

LEAST_GAP = 0.5
"""Tick-lots below which two gains in whole lots are the same: they are whole numbers."""

_CHOICES = 12  # columns of which all ways of rounding are tried: 4,096 ways are one small product
_MARGINS = (0.5, 1.0, 2.0, 4.0, 8.0)  # distances from rows tried, in typical errors of rounding
_FEW = 10.0  # lot values of gain up to which few whole lots gain enough: then corners are faster
_SUMS = 1e-6  # lots by which sums of a few coefficients may be off: on the safe side, rows stay


@cache
def _ways(count: int) -> FloatArray:
    """Return all ways of rounding ``count`` columns down (0) or up (1), shape (ways, count)."""
    return ((np.arange(2**count)[:, None] >> np.arange(count)[::-1]) & 1).astype(np.float64)


def _step(system: FloatArray, shift: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return a short step with ``system step = shift``, as nearly as bounds allow.

    Columns that would leave their bounds stop there, and the others make up for them.
    """
    step = np.zeros(len(low))
    free = np.ones(len(low), dtype=bool)
    while free.any():
        rest = shift - system[:, ~free] @ step[~free]
        step[free] = np.linalg.lstsq(system[:, free], rest, rcond=1e-9)[0]
        out = free & ((step < low) | (step > high))
        if not out.any():
            break
        step = np.clip(step, low, high)
        free &= ~out
    return step


@dataclass(frozen=True, slots=True)
class Rounding:
    """A program to be rounded.

    Parameters
    ----------
    orders, rows
        Of the program.
    h
        Shape (m,), headrooms in lots.
    balanced
        Whether each group must balance.
    reserve
        Price of watts issued, in ticks; 0 when balanced.
    lower, upper
        Shape (columns,), bounds in units.
    budget
        The work allowed for mixed-integer programs.
    """

    orders: ProgramOrders
    rows: LotRows
    h: FloatArray
    balanced: bool
    reserve: int
    lower: IntArray
    upper: IntArray
    budget: WorkBudget

    def to_lots(self, relaxed: LpSolution) -> IntArray | None:
        """Return whole units near an optimum, shape (columns,); ``None`` when there are none.

        Trading nothing is always possible, unless ``lower`` demands some units.

        Raises
        ------
        ClearingError
            When the solver is not sure.
        """
        units = relaxed.units
        near = np.rint(units)
        fractional = np.flatnonzero(np.abs(units - near) > WHOLE)
        whole = near.astype(np.int64)
        if not len(fractional) and self.holds(whole):
            return whole
        support = np.flatnonzero((units > WHOLE) | (self.lower > 0))
        found = self._best_neighbour(units, fractional, support)
        if self.lower.any():
            return self._integer_program(support) if found is None else found
        if found is not None and found.any():
            return found
        least = self.lot_value(support)
        if self.gain(units) <= least:
            return np.zeros_like(whole)
        return self._worth_more(relaxed, fractional, support, least)

    def _worth_more(
        self, relaxed: LpSolution, fractional: IntArray, support: IntArray, least: float
    ) -> IntArray:
        """Return whole units that gain more than ``least``, none of them next to the optimum.

        All 0 where there are none.
        """
        if self.gain(relaxed.units) < _FEW * least:
            # Mostly there are none, and the corners show that in less time than a search takes.
            known = self._vertex(relaxed, support).best(least)
            if known is not None:
                whole = np.zeros_like(self.upper)
                whole[support] = known
                return whole
        found = self._from_inside(relaxed.units, fractional, support)
        if found is not None:
            return found
        better = self._integer_program(support)
        if better is None or self.gain(better) < 0.0:
            return np.zeros_like(self.upper)
        return better

    def _vertex(self, relaxed: LpSolution, support: IntArray) -> Vertex:
        return Vertex(
            units=relaxed.units[support],
            upper=self.upper[support],
            worth=self.worth(support),
            surplus=relaxed.surplus[support],
            balances=self.orders.coefficients(support, per_lot_of(self.member())),
            rows=self.orders.coefficients(support, self.rows.of_limits),
            eta=relaxed.eta,
            room=self.h + LotRows.tolerance(self.h),
        )

    # -- what a rounding must satisfy -----------------------------------------------------------

    def worth(self, columns: IntArray) -> FloatArray:
        """Return what a unit of each column gains, less the price of watts issued, in tick-lots."""
        worth: FloatArray = self.orders.value(columns)
        if self.reserve:
            paid = per_lot_of(np.full((1, len(self.orders.groups)), float(self.reserve)))
            worth = worth - self.orders.coefficients(columns, paid)[0]
        return worth

    def gain(self, units: FloatArray | IntArray) -> float:
        """Return the gain of units of all columns, in tick-lots."""
        columns = np.flatnonzero(units)
        return float(self.worth(columns) @ units[columns])

    def lot_value(self, support: IntArray) -> float:
        """Return the most that one lot bought and one sold can gain among columns, tick-lots."""
        own = [c for column in support.tolist() if (c := self.orders.conditions.get(column))]
        sign = np.concatenate([self.orders.sign[support], *(c.lots for c in own)])
        price = np.concatenate([self.orders.price[support], *(c.prices for c in own)])
        default = float(self.reserve)
        bid = price[sign > 0].max(initial=-np.inf)
        ask = price[sign < 0].min(initial=np.inf)
        if not self.balanced:
            bid, ask = max(bid, default), min(ask, default)
        return max(float(bid - ask), 0.0)

    def member(self) -> FloatArray:
        """Return 1 for the limits of each group that must balance, 0 else; shape (groups, n)."""
        count = len(self.orders.prices) if self.balanced else 0
        member: FloatArray = (self.orders.groups == np.arange(count)[:, None]).astype(np.float64)
        return member

    def holds(self, units: IntArray) -> bool:
        """Return whether directions balance and rows hold with whole units of all columns."""
        columns = np.flatnonzero(units)
        change = self.orders.change(columns, units[columns])
        return not np.any(self.member() @ change) and self.rows.hold(change, self.h)

    # -- all ways of rounding a few columns -----------------------------------------------------

    def _best_neighbour(
        self, units: FloatArray, fractional: IntArray, support: IntArray
    ) -> IntArray | None:
        """Return the best way to round a few columns down or up; ``None`` if none holds."""
        base = np.rint(units).astype(np.int64)
        if len(fractional) > _CHOICES:
            # The columns nearest to whole lots are rounded to these.
            off = np.abs(units[fractional] - base[fractional])
            fractional = fractional[np.argsort(-off, kind="stable")[:_CHOICES]]
        chosen = self._with_helpers(units, fractional, support)[:_CHOICES]
        base[fractional] = np.floor(units[fractional]).astype(np.int64)
        base[chosen[len(fractional) :]] -= 1
        ways = _ways(len(chosen))
        traded = np.flatnonzero(base)
        start = self.orders.change(traded, base[traded])
        groups = self.member()
        shares = self.orders.coefficients(chosen, per_lot_of(groups))
        balance = (groups @ start)[:, None] + shares @ ways.T
        ways = ways[~balance.any(axis=0)]
        block = self.orders.coefficients(chosen, self.rows.of_limits)
        room = self.h + LotRows.tolerance(self.h) - self.rows.loads(start)
        # Rows that hold even if all columns that load them are rounded up need not be checked.
        reached = np.maximum(block, 0.0).sum(axis=1) > room - _SUMS
        ways = ways[(block[reached] @ ways.T <= room[reached, None]).all(axis=0)]
        if not len(ways):
            return None
        gain = ways @ self.worth(chosen)
        best = ways[gain == gain.max()]
        if len(best) > 1:
            # Of equal gains the one that serves older orders first.
            next_orders = [self._next_priority(c, int(base[c])) for c in chosen]
            by_age = np.array(sorted(range(len(chosen)), key=next_orders.__getitem__))
            best = best[np.lexsort(best[:, by_age[::-1]].T)[-1:]]
        base[chosen] += best[0].astype(np.int64)
        # Trading nothing is better than a loss, where it is allowed.
        if self.gain(base) < 0 and not self.lower.any():
            return np.zeros_like(base)
        return base

    def _from_inside(
        self, units: FloatArray, fractional: IntArray, support: IntArray
    ) -> IntArray | None:
        """Return a good rounding of a point a little inside the rows; ``None`` if there is none.

        Around a point on many rows, hardly any whole lots satisfy all of them; around a point
        inside by about the error of rounding, many do.  The gain lost is regained from the program
        of the orders left.  The fractional columns move by the shortest step that takes the full
        rows that far away.
        """
        groups = self.member()
        block = self.orders.coefficients(fractional, self.rows.of_limits)
        moved = np.flatnonzero(units)
        headroom = self.h - self.rows.loads(self.orders.change(moved, units[moved]))
        error = np.linalg.norm(block, axis=1)
        balances = self.orders.coefficients(fractional, per_lot_of(groups))
        for share in _MARGINS:
            near = np.flatnonzero(headroom < share * error)
            shift = np.concatenate([np.zeros(len(groups)), headroom[near] - share * error[near]])
            system = np.concatenate([balances, block[near]])
            inside = units.copy()
            inside[fractional] += _step(
                system, shift, -units[fractional], (self.upper - units)[fractional]
            )
            between = np.flatnonzero(np.abs(inside - np.rint(inside)) > WHOLE)
            found = self._best_neighbour(inside, between, support)
            if found is not None and found.any():
                return found
        return None

    def _with_helpers(self, units: FloatArray, fractional: IntArray, support: IntArray) -> IntArray:
        """Return the fractional columns, then the full columns of the worst price on each side."""
        movable = (self.orders.limit[support] >= 0) & (self.lower[support] == 0)
        whole = np.abs(units[support] - np.rint(units[support])) <= WHOLE
        others = support[movable & whole & (units[support] >= 1.0 - WHOLE)]
        order = others[
            np.argsort(self.orders.sign[others] * self.orders.price[others], kind="stable")
        ]
        group = self.orders.groups[self.orders.limit[order]]
        sign = self.orders.sign[order]
        helpers = [
            int(order[(group == g) & (sign == side)][0])
            for g in range(len(self.orders.prices))
            for side in (1.0, -1.0)
            if ((group == g) & (sign == side)).any()
        ]
        return np.concatenate([fractional, np.array(helpers, dtype=np.int64)])

    def _next_priority(self, column: int, units: int) -> Priority:
        """Return the priority of the order that the next unit of a column would go to."""
        last: Priority = False, 0
        for entry in self.orders.queue(column):
            last = entry.order.priority
            units -= entry.units
            if units < 0:
                break
        return last

    # -- an integer program over the columns that trade -----------------------------------------

    def _integer_program(self, support: IntArray) -> IntArray | None:
        """Return the best whole units of the columns that trade, ``None`` where there are none."""
        groups = self.member()
        balances = len(groups)
        every: BoolArray = np.ones(len(support), dtype=bool)
        program = MixedProgram(
            value=self.worth(support),
            coefficients=np.concatenate(
                [
                    self.orders.coefficients(support, per_lot_of(groups)),
                    self.orders.coefficients(support, self.rows.of_limits),
                ]
            ),
            row_lower=np.concatenate([np.zeros(balances), np.full(len(self.h), -INFINITY)]),
            row_upper=np.concatenate([np.zeros(balances), self.h]),
            lower=self.lower[support].astype(float),
            upper=self.upper[support].astype(float),
            integer=every,
        )
        found = program.solve(max(self.lot_value(support), LEAST_GAP), self.budget.lots)
        if found is None:
            return None
        whole = np.zeros_like(self.upper)
        whole[support] = np.rint(found).astype(np.int64)
        return whole if self.holds(whole) else None
