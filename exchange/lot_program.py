"""Tier 3 as a whole: linear, then mixed-integer where conditions ask for it, then whole lots.

What rounding has left over is solved again, as the program of the orders and headrooms that remain,
until it yields no whole lot more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exchange.conditional_orders import ConditionalOrders, respected
from exchange.linear_program import LinearProgram, Relaxed
from exchange.lots import Rounding
from exchange.program import ClearingError, FloatArray, IntArray, Tier
from exchange.program_orders import ProgramOrders
from exchange.program_rows import LotRows
from exchange.time_priority import oldest_first

_ROUNDS = 10_000  # each but the last trades at least a lot


@dataclass(frozen=True, slots=True)
class Solved:
    """Whole units to trade, shape (columns,), and the linear optima before and after.

    ``relaxed`` is the optimum without conditions; ``first``, with conditional orders decided, has
    the prices of the program; ``last`` is the optimum, in fractions that no whole lot follows
    from, of what is left once the units have traded.
    """

    units: IntArray
    relaxed: Relaxed
    first: Relaxed
    last: Relaxed
    tier: Tier


@dataclass(frozen=True, slots=True)
class LotProgram:
    """The program in whole lots.

    Parameters
    ----------
    orders, linear
        The open orders, and their linear program.
    balanced, reserve
        Whether directions balance, and the price of watts issued otherwise, in ticks.
    """

    orders: ProgramOrders
    linear: LinearProgram
    balanced: bool
    reserve: int

    def solve(self, rows: LotRows) -> Solved:
        """Return the units to trade.

        Raises
        ------
        ClearingError
            When a solver is not sure.
        """
        relaxed, first, total, tier = self._with_conditions(rows)
        last, found = first, total
        upper = self.orders.units[: self.orders.size].copy()
        upper[list(self.orders.conditions)] = 0
        lower = np.zeros_like(upper)
        for _ in range(_ROUNDS):
            if not found.any():
                return Solved(total, relaxed, first, last, tier)
            columns = np.flatnonzero(total)
            h = rows.left(self.orders.change(columns, total[columns]))
            remaining = np.where(upper > 0, upper - total, 0)
            last = self._ordered(lower, remaining, h, total)
            rounded = self._rounding(rows, lower, remaining, h).to_lots(last)
            if rounded is None:
                raise ClearingError("rounding finds nothing where nothing is allowed")
            found = rounded
            total = total + found
        raise ClearingError(f"{_ROUNDS} rounds of rounding do not end")

    def _with_conditions(self, rows: LotRows) -> tuple[Relaxed, Relaxed, IntArray, Tier]:
        """Return the linear optima without and with conditional orders decided, units, and tier."""
        upper = self.orders.units[: self.orders.size].copy()
        free = np.zeros_like(upper)
        whole = self._rounding(rows, free, upper, rows.h)
        relaxed = linear = self._ordered(free, upper, rows.h, free)
        forbidden: frozenset[int] = frozenset()
        tier = Tier.LINEAR
        decided = {column: round(float(linear.units[column])) for column in self.orders.conditions}
        if not respected(whole, linear):
            tier = Tier.MIXED_INTEGER
            choice = ConditionalOrders(whole, relaxed, self._plain_gain(free, upper, rows.h))
            decided = choice.chosen(forbidden)
        while True:
            lower, most = free.copy(), upper.copy()
            for column, units in decided.items():
                lower[column] = most[column] = units
            if tier is Tier.MIXED_INTEGER:
                linear = self._ordered(lower, most, rows.h, free)
            rounding = self._rounding(rows, lower, most, rows.h)
            found = rounding.to_lots(linear)
            if found is not None and rounding.gain(found) >= 0.0:
                return relaxed, linear, found, tier
            # No whole lots go with these, or only at a loss: the newest of them has to wait.
            accepted = [column for column, units in decided.items() if units]
            newest = max(accepted, key=lambda column: self.orders.conditions[column].rank)
            forbidden |= {newest}
            tier = Tier.MIXED_INTEGER
            choice = ConditionalOrders(whole, relaxed, self._plain_gain(free, upper, rows.h))
            decided = choice.chosen(forbidden)

    def _plain_gain(self, lower: IntArray, upper: IntArray, h: FloatArray) -> float:
        """Return what plain orders gain in fractions without any conditional one."""
        plain = upper.copy()
        plain[list(self.orders.conditions)] = 0
        return self.linear.solve(lower, plain, h).gain

    def _ordered(self, lower: IntArray, upper: IntArray, h: FloatArray, taken: IntArray) -> Relaxed:
        """Return the linear optimum that serves older orders first."""
        relaxed = self.linear.solve(lower, upper, h)
        units = oldest_first(self.linear, self.orders, relaxed, lower, upper, h, taken)
        return replace(relaxed, units=units)

    def _rounding(self, rows: LotRows, lower: IntArray, upper: IntArray, h: FloatArray) -> Rounding:
        return Rounding(self.orders, rows, h, self.balanced, self.reserve, lower=lower, upper=upper)
