"""From fractions to whole lots: directions balance exactly and rows hold.

An optimum of the linear program has at most as many fractional columns as rows that bind.  All
ways of rounding these down or up are looked at together with a few full columns that may give a
lot away, so that directions can balance; where that is not enough, a small integer program over
the columns that trade decides.  What is lost is worth less than the duality bound says, and it is
looked for again in the program of what is left, until no whole lot can be gained this way.

Only columns that trade in the linear optimum take part.  So an order that is not good enough for
its local price cannot change the outcome, which the price screen relies on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.program import FloatArray, IntArray
from exchange.program_orders import ProgramOrders
from exchange.program_rows import BoolArray, LotRows
from exchange.solver import INFINITY, MixedProgram, WarmModel

WHOLE = 1e-6
"""Lots by which a quantity may miss a whole number and still be one."""

_CHOICES = 12  # columns rounded by looking at all ways
_MARGINS = (0.5, 1.0, 2.0)  # of the error of rounding, by which rows are kept away from
_WINDOW = 3  # lots around the fraction that the integer program looks at first
_GAP = 0.5  # tick-lots: gains are whole numbers of these


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
    """

    orders: ProgramOrders
    rows: LotRows
    h: FloatArray
    balanced: bool
    reserve: int
    lower: IntArray
    upper: IntArray

    def to_lots(self, units: FloatArray) -> IntArray | None:
        """Return whole units near an optimum, shape (columns,); ``None`` when there are none.

        There always are (nothing at all) unless ``lower`` demands some.

        Raises
        ------
        ClearingError
            When the solver comes to no result.
        """
        near = np.rint(units)
        fractional = np.flatnonzero(np.abs(units - near) > WHOLE)
        whole = near.astype(np.int64)
        if not len(fractional) and self._holds(whole):
            return whole
        support = np.flatnonzero((units > WHOLE) | (self.lower > 0))
        found = self._best_neighbour(units, fractional, support)
        if self.lower.any():
            return self._integer_program(units, support) if found is None else found
        if found is None:
            found = self._from_inside(fractional, support)
        if found.any() or self.gain(units) <= self._lot_value(support):
            return found
        better = self._integer_program(units, support)
        return found if better is None or self.gain(better) < 0.0 else better

    # -- what a rounding must satisfy ---------------------------------------------------------

    def worth(self, columns: IntArray) -> FloatArray:
        """Return what a unit of each column gains, in tick-lots, watts issued paid for."""
        worth: FloatArray = self.orders.value(columns)
        if self.reserve:
            paid = np.full((1, len(self.orders.groups)), float(self.reserve))
            worth = worth - self.orders.coefficients(columns, paid)[0]
        return worth

    def gain(self, units: FloatArray | IntArray) -> float:
        """Return the gain of units of all columns, in tick-lots."""
        columns = np.flatnonzero(units)
        return float(self.worth(columns) @ units[columns])

    def _lot_value(self, support: IntArray) -> float:
        """Return the most that a lot bought and a lot sold can gain among columns."""
        sign, price = self.orders.sign[support], self.orders.price[support]
        default = float(self.reserve)
        bid = price[sign > 0].max(initial=-np.inf)
        ask = price[sign < 0].min(initial=np.inf)
        if not self.balanced:
            bid, ask = max(bid, default), min(ask, default)
        return max(float(bid - ask), 0.0)

    def member(self) -> FloatArray:
        """Return which limits belong to each group that must balance, shape (groups, n)."""
        count = len(self.orders.prices) if self.balanced else 0
        member: FloatArray = (self.orders.groups == np.arange(count)[:, None]).astype(np.float64)
        return member

    def _holds(self, units: IntArray) -> bool:
        columns = np.flatnonzero(units)
        change = self.orders.change(columns, units[columns])
        return not np.any(self.member() @ change) and self.rows.hold(change, self.h)

    # -- all ways of rounding a few columns ---------------------------------------------------

    def _best_neighbour(
        self, units: FloatArray, fractional: IntArray, support: IntArray
    ) -> IntArray | None:
        """Return the best way to round a few columns down or up; ``None`` if none holds."""
        if len(fractional) > _CHOICES:
            return None
        chosen = self._with_helpers(units, fractional, support)[:_CHOICES]
        base = np.rint(units).astype(np.int64)
        base[fractional] = np.floor(units[fractional]).astype(np.int64)
        helpers = chosen[len(fractional) :]
        base[helpers] -= 1
        # The oldest orders are the leading bits, so that of equal gains the largest number
        # serves older orders first.
        chosen = chosen[np.argsort([self._rank(c, int(base[c])) for c in chosen], kind="stable")]
        bits = np.arange(len(chosen))[::-1]
        ways = (np.arange(2 ** len(chosen))[:, None] >> bits) & 1
        traded = np.flatnonzero(base)
        start = self.orders.change(traded, base[traded])
        groups = self.member()
        balance = (groups @ start)[:, None] + self.orders.coefficients(chosen, groups) @ ways.T
        fits = (base[chosen] + ways <= self.upper[chosen]).all(axis=1)
        ways = ways[fits & ~balance.any(axis=0)]
        load = self.orders.coefficients(chosen, self.rows.a) @ ways.T
        room = self.h + LotRows.tolerance(self.h) - self.rows.a @ start
        good = np.flatnonzero((load <= room[:, None]).all(axis=0))
        if not len(good):
            return None
        gain = ways[good] @ self.worth(chosen)
        best = int(good[np.flatnonzero(gain == gain.max())[-1]])
        base[chosen] += ways[best]
        # Worse than nothing is no trade, where nothing is allowed.
        if self.gain(base) < 0 and not self.lower.any():
            return np.zeros_like(base)
        return base

    def _from_inside(self, fractional: IntArray, support: IntArray) -> IntArray:
        """Return a good way to round an optimum that keeps away from the rows a little.

        Around a point on many rows, hardly any whole lots satisfy all of them; around one that
        is about as far inside as rounding errs, many do.  What that gives away is regained from
        the program of what is left.
        """
        groups = self.member()
        block = self.orders.coefficients(support, np.concatenate([groups, self.rows.a]))
        none, balances = np.full(len(self.h), -INFINITY), np.zeros(len(groups))
        free = np.concatenate([balances, none])
        model = WarmModel(free, np.concatenate([balances, self.h]))
        model.add(self.worth(support), block)
        model.set_bounds(
            self.lower[support].astype(np.float64), self.upper[support].astype(np.float64)
        )
        error = np.linalg.norm(self.orders.coefficients(fractional, self.rows.a), axis=1)
        for share in _MARGINS:
            h = np.maximum(self.h - share * error, 0.0)
            model.set_row_bounds(free, np.concatenate([balances, h]))
            units = np.zeros(len(self.upper))
            units[support] = model.solve()[0]
            between = np.flatnonzero(np.abs(units - np.rint(units)) > WHOLE)
            found = self._best_neighbour(units, between, np.flatnonzero(units > WHOLE))
            if found is not None and found.any():
                return found
        return np.zeros_like(self.upper)

    def _with_helpers(self, units: FloatArray, fractional: IntArray, support: IntArray) -> IntArray:
        """Return the fractional columns, then full ones of the worst prices on each side."""
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

    def _rank(self, column: int, units: int) -> int:
        """Return the rank of the order that the next unit of a column would go to."""
        last = 0
        for entry in self.orders.queue(column):
            last = entry.order.rank
            units -= entry.units
            if units < 0:
                break
        return last

    # -- an integer program over the columns that trade ---------------------------------------

    def _integer_program(self, units: FloatArray, support: IntArray) -> IntArray | None:
        """Return the best whole units near the optimum, or anywhere if there are none near."""
        middle = units[support]
        low = np.maximum(np.floor(middle) - _WINDOW, self.lower[support])
        high = np.minimum(np.ceil(middle) + _WINDOW, self.upper[support])
        found = self._solve_integer(support, low, high)
        if found is None:
            low, high = self.lower[support], self.upper[support]
            found = self._solve_integer(support, low.astype(float), high.astype(float))
        if found is None:
            return None
        whole = np.zeros(len(units), dtype=np.int64)
        whole[support] = np.rint(found).astype(np.int64)
        return whole if self._holds(whole) else None

    def _solve_integer(
        self, columns: IntArray, low: FloatArray, high: FloatArray
    ) -> FloatArray | None:
        groups = self.member()
        balances = len(groups)
        every: BoolArray = np.ones(len(columns), dtype=bool)
        program = MixedProgram(
            value=self.worth(columns),
            coefficients=self.orders.coefficients(columns, np.concatenate([groups, self.rows.a])),
            row_lower=np.concatenate([np.zeros(balances), np.full(len(self.h), -INFINITY)]),
            row_upper=np.concatenate([np.zeros(balances), self.h]),
            lower=low,
            upper=high,
            integer=every,
        )
        return program.solve(gap=max(self._lot_value(columns), _GAP))
