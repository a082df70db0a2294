"""A proposal: units of columns that should trade, and the duals that prove it.

``merit_order`` and ``lot_program`` find the units.  A proposal says what that means for orders, and
what the price screen may conclude once the units have traded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from exchange.clearing.linear.linear_program import LpSolution
from exchange.clearing.lot_program import LotSolution
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.problem import ClearingOptimum, LocalPrices, ParticipationBound, Tier
from exchange.clearing.program_orders import ColumnEntry, ProgramOrders
from exchange.clearing.unfillable import ExcludedOrders
from security_check.arrays import FloatArray, IntArray

_FILLED = 1e-12  # units from which a column counts as traded: any that the solver does not call 0


@dataclass(frozen=True, slots=True)
class Duals:
    """The duals of a linear optimum, and the columns that it trades, if only in fractions.

    ``balance`` has shape (groups,), ``eta`` shape (m,), both in ticks.
    """

    balance: FloatArray
    eta: FloatArray
    filled: frozenset[int]

    @classmethod
    def of(cls, relaxed: LpSolution) -> Duals:
        """Return the duals of an optimum."""
        filled = frozenset(np.flatnonzero(relaxed.units > _FILLED).tolist())
        return cls(relaxed.balance, relaxed.eta, filled)

    def prices(self, orders: ProgramOrders, rows: LotRows) -> LocalPrices:
        """Return the local prices."""
        local = self.balance[orders.groups]
        if not self.eta.any():
            return LocalPrices(self.balance, np.zeros(rows.count), local)
        local = local + rows.prices(self.eta)
        return LocalPrices(self.balance, rows.network_prices(self.eta), local)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What should trade.

    Parameters
    ----------
    columns, units
        The columns that trade, and the units of each.
    h
        Shape (m,), headrooms of the rows once these have traded, in lots.
    prices
        The duals of the program that led to the units.
    left
        The duals of the program of the orders left.
    rows_worth, surplus
        What the headrooms left are worth, and what the orders left gain, at those duals, in
        tick-lots; no further trades gain more than the sum.
    settled
        Whether it is proved that nothing trades among the orders left.
    tier
        The method that found the units.
    relaxed_local
        Shape (n,), local prices of the program without conditions, in ticks.
    relaxed_gain
        What that program gains, in tick-lots, where it may be more than the units gain; ``None``
        where they are its optimum but for rounding.
    left_out
        The unfillable orders, where the program was checked for them.
    """

    columns: IntArray
    units: IntArray
    h: FloatArray
    prices: Duals
    left: Duals
    rows_worth: float
    surplus: float
    settled: bool
    tier: Tier
    relaxed_local: FloatArray
    relaxed_gain: float | None
    left_out: ExcludedOrders | None = None

    @classmethod
    def of_lots(cls, solved: LotSolution, orders: ProgramOrders, rows: LotRows) -> Proposal:
        """Return the proposal of a solution in whole lots."""
        columns = np.flatnonzero(solved.units)
        units = solved.units[columns]
        last, fit = solved.last, solved.fit
        h = rows.left(orders.change(columns, units))
        # After trades that left some orders out, the rest is not checked for unfillable orders.
        is_checked = not len(columns) or (
            solved.left_out is not None and not solved.left_out.proofs
        )
        programs = [solved] if fit is None else [solved, fit]
        remaining = orders.units[: orders.size] - solved.units
        return cls(
            columns=columns,
            units=units,
            h=h,
            prices=Duals.of(solved.first),
            left=Duals.of(last),
            rows_worth=float(last.eta @ h),
            surplus=float(remaining @ np.maximum(last.surplus, 0.0)),
            settled=is_checked
            and not any(
                each.in_lots or orders.conditions_matter(each.last.local) for each in programs
            ),
            tier=solved.tier,
            relaxed_local=solved.relaxed.local,
            relaxed_gain=None if solved.is_exact else solved.relaxed.gain,
            left_out=solved.left_out,
        )

    def shares(self, orders: ProgramOrders) -> Iterator[tuple[ColumnEntry, int]]:
        """Iterate over orders that trade and their units; within a column the oldest first."""
        for column, units in zip(self.columns.tolist(), self.units.tolist(), strict=True):
            left = units
            for entry in orders.queue(column):
                taken = min(left, entry.units)
                yield entry, taken
                left -= taken
                if not left:
                    break

    def optimum(self, orders: ProgramOrders, rows: LotRows, reserve: int) -> ClearingOptimum:
        """Return what each order trades; ``reserve`` is the price of watts issued, in ticks."""
        shares = sorted(self.shares(orders), key=lambda share: share[0].order.priority)
        quantities_w: dict[int, int] = {}
        gain = 0
        for entry, units in shares:
            number, traded_w = entry.order.order_id, orders.watts(entry, units)
            quantities_w[number] = quantities_w.get(number, 0) + traded_w
            gain += entry.order.worth(traded_w, reserve)
        bound = (self.rows_worth + self.surplus) * orders.lot_w
        prices = self.prices.prices(orders, rows)
        return ClearingOptimum(quantities_w, gain, prices, self.tier, bound)

    def participation_bound(self, gain: float) -> ParticipationBound:
        """Return what orders outside the program would need; ``gain`` of the units, tick-lots."""
        gap = 0.0 if self.relaxed_gain is None else max(self.relaxed_gain - gain, 0.0)
        return ParticipationBound(self.relaxed_local, gap)
