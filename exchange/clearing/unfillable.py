"""Orders of which not even a lot fits, whatever else trades: the others trade without them.

No set of whole lots has a part for such an order, but the linear program gives it a fraction.  If
its price is high enough, that fraction takes headroom that whole lots of others would have used,
and what these gain looks like less than a lot at that price.  So where whole lots follow from no
optimum, the orders with the best prices in it are looked at: whether a lot of each could trade with
a lot of somebody else's, at whatever loss, and otherwise by a linear program how much of it could
trade if nothing else mattered.  Those of which that is less than a lot are left out, and the
optimum is looked for again, until it has the best prices from orders that fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exchange.clearing.linear_program import LinearProgram, LpSolution, MaxFill
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.order_columns import ProgramOrders
from exchange.clearing.problem import TIE
from exchange.clearing.rounding import LEAST_GAP, WHOLE
from exchange.clearing.work_budget import RemainingWork
from security_check.arrays import BoolArray, FloatArray, IntArray

_MOST = 8  # places that are left out at most
FITS = 1.0 - WHOLE
"""Lots from which on a lot fits."""

_COLUMNS = 2  # that make a linear program a unit of work dearer


@dataclass(frozen=True, slots=True)
class LimitSide:
    """The plain orders of one side at one limit.

    What fits does not depend on prices, so all of them fit or none.
    """

    limit: int
    sign: float

    @classmethod
    def of(cls, orders: ProgramOrders, column: int) -> LimitSide:
        """Return the place of a plain column."""
        return cls(int(orders.limit[column]), float(orders.sign[column]))

    @property
    def opposite(self) -> LimitSide:
        """The other side at the same limit.

        Its orders free all that these need, and are mostly one's own: that does not count.
        """
        return LimitSide(self.limit, -self.sign)

    def has(self, orders: ProgramOrders) -> BoolArray:
        """Return which columns are of it, shape (columns,)."""
        size = orders.size
        found: BoolArray = (orders.limit[:size] == self.limit) & (orders.sign[:size] == self.sign)
        return found

    def most(
        self, linear: LinearProgram, orders: ProgramOrders, kept: IntArray, h: FloatArray
    ) -> MaxFill:
        """Return how much of it could trade if nothing else mattered, if less than a lot."""
        others = np.where(self.opposite.has(orders), 0, kept)
        return linear.most(np.flatnonzero(self.has(orders)), others, h, enough=FITS)


@dataclass(slots=True)
class UnfillableProof:
    """Prices at which all that the other orders free is too little for a unit of a place.

    Parameters
    ----------
    place
        Of which not even a unit fits.
    local
        Shape (n,), the price of a lot at each limit, in units of the place.
    spare
        Units of the place that are missing for a whole one.
    """

    place: LimitSide
    local: FloatArray
    spare: float

    def added(self, orders: ProgramOrders, column: int, units: int) -> bool:
        """Note that units came into a column; return whether the proof still stands.  O(legs)."""
        place = LimitSide.of(orders, column)
        if place == self.place.opposite:
            return True
        freed = float(place == self.place) - orders.cost_of(column, self.local)
        self.spare -= units * max(freed, 0.0)
        return self.spare > 0.0


@dataclass(frozen=True, slots=True)
class ExcludedOrders:
    """What is left out of a program, and why.

    Parameters
    ----------
    kept
        Shape (columns,), units of what is left in.
    optima
        The linear optima that led there, each without what was known to be unfit before.
    proofs
        One for each place that is left out.
    witnesses
        How many units of some columns show that the orders looked at fit, where they do.
    """

    kept: IntArray
    optima: tuple[LpSolution, ...]
    proofs: tuple[UnfillableProof, ...]
    witnesses: dict[int, int]

    def added(self, orders: ProgramOrders, column: int, units: int) -> bool:
        """Note that units came into a column; return whether nothing is found in spite of them.

        They are worse than their local price at every optimum, and do not make anything fit.
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
    look: FillabilityCheck, relaxed: LpSolution, solve: Callable[[IntArray], LpSolution]
) -> ExcludedOrders:
    """Leave out what does not fit, as far as it decides what a lot is worth.

    Costs a linear program for each place that fits with no single other, and two for each left
    out; no more than a few places are, the dearest first.

    Parameters
    ----------
    look
        At the program.
    relaxed
        Its linear optimum, from which no whole lots follow.
    solve
        Returns the linear optimum of so many units of each column, shape (columns,).
    """
    optima: list[LpSolution] = []
    proofs: list[UnfillableProof] = []
    while len(proofs) < _MOST and (unfit := look.at(relaxed)):
        for proof in unfit:
            look.kept[proof.place.has(look.orders)] = 0
        proofs += unfit
        relaxed = solve(look.kept)
        optima.append(relaxed)
    return ExcludedOrders(look.kept, tuple(optima), tuple(proofs), look.witnesses)


class FillabilityCheck:
    """Looks whether orders fit.

    Parameters
    ----------
    linear, orders, rows
        The program.
    kept
        Shape (columns,), units of each that may trade; may change from look to look.
    budget
        For its linear programs; when it is used up, what is left counts as fit.

    Attributes
    ----------
    orders, kept
        As above.
    witnesses
        How many units of some columns show that the orders looked at fit, where they do.
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
        self._fit: set[LimitSide] = set()
        self.witnesses: dict[int, int] = {}

    def at(self, relaxed: LpSolution) -> list[UnfillableProof]:
        """Return why those do not fit that decide what a lot is worth at an optimum.

        No more is asked where no whole lot can gain anything.
        """
        if relaxed.gain <= LEAST_GAP:
            return []
        found = []
        for place in _decisive(self.orders, relaxed.units) - self._fit:
            proof = self._proof(place)
            if proof is None:
                self._fit.add(place)
            else:
                found.append(proof)
        return found

    def _proof(self, place: LimitSide) -> UnfillableProof | None:
        """Return why a place does not fit; ``None`` where witnesses show that it does."""
        partner = self._partner(place)
        if partner is not None:
            own = int(np.flatnonzero(place.has(self.orders) & (self.kept > 0))[0])
            self._note({partner: 1, own: 1})
            return None
        self._budget.spend(1 + self.orders.size // _COLUMNS)
        if not self._budget.left:
            return None
        most = place.most(self._linear, self.orders, self.kept, self._rows.h)
        if most.count < FITS:
            return UnfillableProof(place, most.local, FITS - most.count)
        needed = np.flatnonzero(most.units > WHOLE)
        self._note({int(c): math.ceil(float(most.units[c]) - WHOLE) for c in needed})
        return None

    def _note(self, units: dict[int, int]) -> None:
        for column, count in units.items():
            self.witnesses[column] = max(count, self.witnesses.get(column, 0))

    def _partner(self, place: LimitSide) -> int | None:
        """Return a column of which a lot fits with one of a place, as if these were all."""
        orders, rows = self.orders, self._rows
        live = np.flatnonzero((self.kept > 0) & (orders.limit[: orders.size] >= 0))
        same = orders.groups[orders.limit[live]] == orders.groups[place.limit]
        elsewhere = orders.limit[live] != place.limit
        others = live[same & elsewhere & (orders.sign[live] == -place.sign)]
        limits, first = np.unique(orders.limit[others], return_index=True)
        own = rows.of_limits(np.array([place.limit]))
        load = place.sign * (own - rows.of_limits(limits))
        room = rows.h + rows.tolerance(rows.h)
        fits = np.flatnonzero((load <= room[:, None]).all(axis=0))
        return int(others[first[fits[0]]]) if len(fits) else None


def _decisive(orders: ProgramOrders, units: FloatArray) -> set[LimitSide]:
    """Return the places with the best price of each side, where they trade less than a lot."""
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
            # What trades at a place may be orders of several prices.
            if units[own][best.has(orders)[own]].sum() < FITS:
                found.add(best)
    return found
