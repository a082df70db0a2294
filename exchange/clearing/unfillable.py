"""Unfillable orders: not even one lot of them can trade, so the others trade without them.

An order is *fillable* if one lot of it can trade together with fractions of the other orders, at
any gain or loss.  No set of whole lots has a part for an unfillable order, but the linear program
gives it a fraction.  If its price is high enough, that fraction takes headroom that whole lots of
other orders would use, and their gain looks like less than a lot at that price.

So if no whole lots follow from an optimum, the orders with the best prices in it are checked: first
whether a lot of each could trade with a lot of one other order, then by a linear program how much
of it could trade at all.  Orders of less than a lot are left out, and the program is solved again,
until its best prices are of fillable orders.  This is a rule of the market, not for speed
(docs/adr/0013-unfillable-orders.md).

Measured: without this rule the orders of the demo day take 0.94 of the time and those of agents on
the reference network 0.83; results change in 3 of 32 quarter-hours of the demo day and in 2 of 16
random markets (docs/benchmarks.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exchange.clearing.linear.linear_program import LinearProgram, LpSolution, MaxFill
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.problem import TIE
from exchange.clearing.program_orders import ProgramOrders
from exchange.clearing.rounding import LEAST_GAP, WHOLE
from exchange.clearing.work_budget import RemainingWork
from security_check.arrays import BoolArray, FloatArray, IntArray

FITS = 1.0 - WHOLE
"""Lots of an order that must be able to trade for it to be fillable: one, but for rounding."""

_MOST = 8  # sides of limits left out at most, so that a crowd behind a full line costs milliseconds
_COLUMNS = 2  # columns of the linear program for each unit of work


@dataclass(frozen=True, slots=True)
class LimitSide:
    """The plain orders of one side at one limit.

    Whether an order is fillable does not depend on its price, so all of them are or none.
    """

    limit: int
    sign: float

    @classmethod
    def of(cls, orders: ProgramOrders, column: int) -> LimitSide:
        """Return the limit and side of a plain column."""
        return cls(int(orders.limit[column]), float(orders.sign[column]))

    @property
    def opposite(self) -> LimitSide:
        """The other side at the same limit.

        Its orders free all that these need, but mostly belong to the same participant, so they do
        not count as counterparts.
        """
        return LimitSide(self.limit, -self.sign)

    def has(self, orders: ProgramOrders) -> BoolArray:
        """Return which columns belong to it, shape (columns,)."""
        size = orders.size
        found: BoolArray = (orders.limit[:size] == self.limit) & (orders.sign[:size] == self.sign)
        return found

    def most(
        self, linear: LinearProgram, orders: ProgramOrders, kept: IntArray, h: FloatArray
    ) -> MaxFill:
        """Return how much of it could trade at any gain or loss of others, up to a lot."""
        others = np.where(self.opposite.has(orders), 0, kept)
        return linear.most(np.flatnonzero(self.has(orders)), others, h, enough=FITS)


@dataclass(slots=True)
class UnfillableProof:
    """Prices at which the other orders free too little for a lot of a side of a limit.

    Parameters
    ----------
    limit_side
        The side that is unfillable.
    local
        Shape (n,), the price of a lot at each limit, in lots of that side.
    spare
        Lots of that side that are missing for a whole one.
    """

    limit_side: LimitSide
    local: FloatArray
    spare: float

    def added(self, orders: ProgramOrders, column: int, units: int) -> bool:
        """Note that units have come into a column; return whether the proof holds.  O(legs)."""
        side = LimitSide.of(orders, column)
        if side == self.limit_side.opposite:
            return True
        freed = float(side == self.limit_side) - orders.cost_of(column, self.local)
        self.spare -= units * max(freed, 0.0)
        return self.spare > 0.0


@dataclass(frozen=True, slots=True)
class ExcludedOrders:
    """The orders left out of a program, with proofs.

    Parameters
    ----------
    kept
        Shape (columns,), units that are left in.
    optima
        The linear optima that led there, each without the orders left out before.
    proofs
        One for each side of a limit that is left out.
    witnesses
        Units of some columns that show that the other orders checked are fillable.
    """

    kept: IntArray
    optima: tuple[LpSolution, ...]
    proofs: tuple[UnfillableProof, ...]
    witnesses: dict[int, int]

    def added(self, orders: ProgramOrders, column: int, units: int) -> bool:
        """Note that units have come into a column; return whether still nothing trades.

        That is proved if they are worse than their local price at every optimum, and make no order
        fillable.
        """
        tie = TIE * orders.lots_of_unit(column)
        worse = all(orders.surplus_of(column, optimum.local) <= -tie for optimum in self.optima)
        fits = [proof.added(orders, column, units) for proof in self.proofs]
        return worse and all(fits)

    @property
    def traded(self) -> frozenset[int]:
        """Columns that one of the optima trades, if only in fractions."""
        return frozenset().union(*(np.flatnonzero(o.units > 0.0).tolist() for o in self.optima))


def leave_out(
    check: FillabilityCheck, relaxed: LpSolution, solve: Callable[[IntArray], LpSolution]
) -> ExcludedOrders:
    """Leave out unfillable orders that have the best prices of an optimum.

    Costs a linear program for each side of a limit that cannot trade with one other order, and two
    for each that is left out; only a few are, the best prices first.

    Parameters
    ----------
    check
        Of the program; its ``kept`` changes.
    relaxed
        Its linear optimum, from which no whole lots follow.
    solve
        Returns the linear optimum for upper bounds of shape (columns,), in units.
    """
    optima: list[LpSolution] = []
    proofs: list[UnfillableProof] = []
    while len(proofs) < _MOST and (unfit := check.at(relaxed)):
        for proof in unfit:
            check.kept[proof.limit_side.has(check.orders)] = 0
        proofs += unfit
        relaxed = solve(check.kept)
        optima.append(relaxed)
    return ExcludedOrders(check.kept, tuple(optima), tuple(proofs), check.witnesses)


class FillabilityCheck:
    """The check whether orders are fillable.

    Parameters
    ----------
    linear, orders, rows
        The program.
    kept
        Shape (columns,), units of each that may trade; may change between checks.
    budget
        For its linear programs; when it is used up, the orders not checked count as fillable.

    Attributes
    ----------
    orders, kept
        As above.
    witnesses
        Units of some columns that show which orders are fillable.
    """

    def __init__(
        self,
        linear: LinearProgram,
        orders: ProgramOrders,
        rows: LotRows,
        kept: IntArray,
        budget: RemainingWork,
    ) -> None:
        self._linear, self._rows, self._budget = linear, rows, budget
        self.orders, self.kept = orders, kept
        self._fillable: set[LimitSide] = set()
        self.witnesses: dict[int, int] = {}

    def at(self, relaxed: LpSolution) -> list[UnfillableProof]:
        """Return proofs for the unfillable orders among those with the best prices of an optimum.

        None where no whole lot can gain anything.
        """
        if relaxed.gain <= LEAST_GAP:
            return []
        found = []
        for side in _decisive(self.orders, relaxed.units) - self._fillable:
            proof = self._proof(side)
            if proof is None:
                self._fillable.add(side)
            else:
                found.append(proof)
        return found

    def _proof(self, side: LimitSide) -> UnfillableProof | None:
        """Return the proof that a side is unfillable; ``None`` where it counts as fillable."""
        partner = self._partner(side)
        if partner is not None:
            own = int(np.flatnonzero(side.has(self.orders) & (self.kept > 0))[0])
            self._note({partner: 1, own: 1})
            return None
        self._budget.spend(1 + self.orders.size // _COLUMNS)
        if not self._budget.left:
            return None
        most = side.most(self._linear, self.orders, self.kept, self._rows.h)
        if most.count < FITS:
            return UnfillableProof(side, most.local, FITS - most.count)
        needed = np.flatnonzero(most.units > WHOLE)
        self._note({int(c): math.ceil(float(most.units[c]) - WHOLE) for c in needed})
        return None

    def _note(self, units: dict[int, int]) -> None:
        for column, count in units.items():
            self.witnesses[column] = max(count, self.witnesses.get(column, 0))

    def _partner(self, side: LimitSide) -> int | None:
        """Return a column of which one lot can trade with one lot of a side, and nothing else."""
        orders, rows = self.orders, self._rows
        live = np.flatnonzero((self.kept > 0) & (orders.limit[: orders.size] >= 0))
        same = orders.groups[orders.limit[live]] == orders.groups[side.limit]
        elsewhere = orders.limit[live] != side.limit
        others = live[same & elsewhere & (orders.sign[live] == -side.sign)]
        limits, first = np.unique(orders.limit[others], return_index=True)
        own = rows.of_limits(np.array([side.limit]))
        load = side.sign * (own - rows.of_limits(limits))
        room = rows.h + rows.tolerance(rows.h)
        fits = np.flatnonzero((load <= room[:, None]).all(axis=0))
        return int(others[first[fits[0]]]) if len(fits) else None


def _decisive(orders: ProgramOrders, units: FloatArray) -> set[LimitSide]:
    """Return the sides with the best price of each group, where they trade less than a lot."""
    support = np.flatnonzero(units > WHOLE)
    plain = support[orders.limit[support] >= 0]
    groups, signs = orders.groups[orders.limit[plain]], orders.sign[plain]
    found = set()
    for group in range(len(orders.prices)):
        for sign in (1.0, -1.0):
            own = plain[(groups == group) & (signs == sign)]
            if not len(own):
                continue
            best = LimitSide.of(orders, int(own[np.argmax(sign * orders.price[own])]))
            # Orders of several prices may trade at one side of a limit.
            if units[own][best.has(orders)[own]].sum() < FITS:
                found.add(best)
    return found
