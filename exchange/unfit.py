"""Orders of which not even a unit fits, whatever else trades: the others trade without them.

No set of whole lots has a part for such an order, but the linear program gives it a fraction.  If
its price is high enough, that fraction takes headroom that whole lots of others would have used,
and what these gain looks like less than a lot at that price.  So where whole lots follow from no
optimum, the orders with the best prices in it are looked at: whether a lot of each could trade with
a lot of somebody else's, at whatever loss, and otherwise by a linear program how much of it could
trade if nothing else mattered.  Those of which that is less than a unit are left out, and the
optimum is looked for again, until it has the best prices from orders that fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exchange.linear_program import LinearProgram, Relaxed
from exchange.lots import LEAST_GAP, WHOLE
from exchange.program import FloatArray, IntArray
from exchange.program_orders import ProgramOrders
from exchange.program_rows import LotRows


@dataclass(frozen=True, slots=True)
class Place:
    """Plain orders of one side at one limit, or (with ``column``) one conditional order.

    What fits of plain orders does not depend on their prices, so all of a place fit or none.
    """

    limit: int
    sign: float
    column: int = -1

    @classmethod
    def of(cls, orders: ProgramOrders, column: int) -> Place:
        """Return the place of a column."""
        limit = int(orders.limit[column])
        if limit < 0:
            return cls(-1, 0.0, column)
        return cls(limit, float(orders.sign[column]))

    def columns(self, orders: ProgramOrders) -> IntArray:
        """Return its columns."""
        if self.column >= 0:
            return np.array([self.column])
        size = orders.size
        return np.flatnonzero(
            (orders.limit[:size] == self.limit) & (orders.sign[:size] == self.sign)
        )

    def least_units(self, orders: ProgramOrders) -> int:
        """Return the least units of it that trade."""
        return 1 if self.column < 0 else orders.least_units(self.column)

    def fits(self, linear: LinearProgram, orders: ProgramOrders, h: FloatArray) -> bool:
        """Return whether so many could trade if nothing else mattered, with headrooms h."""
        least = self.least_units(orders) - WHOLE
        every = orders.units[: orders.size]
        return linear.most(self.columns(orders), every, h, enough=least).count >= least


@dataclass(slots=True)
class Proof:
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

    place: Place
    local: FloatArray
    spare: float

    def added(self, orders: ProgramOrders, column: int, units: int) -> bool:
        """Note that units came into a column; return whether the proof still stands.  O(legs)."""
        own = Place.of(orders, column) == self.place
        freed = float(own) - orders.cost_of(column, self.local)
        self.spare -= units * max(freed, 0.0)
        return self.spare > 0.0


@dataclass(frozen=True, slots=True)
class LeftOut:
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
    optima: tuple[Relaxed, ...]
    proofs: tuple[Proof, ...]
    witnesses: dict[int, int]


def leave_out(
    linear: LinearProgram,
    orders: ProgramOrders,
    rows: LotRows,
    relaxed: Relaxed,
    solve: Callable[[IntArray], Relaxed],
) -> LeftOut:
    """Leave out what does not fit, as far as it decides what a lot is worth.

    Costs a linear program for each place that fits with no single other, and two for each left
    out.

    Parameters
    ----------
    linear, orders, rows
        The program.
    relaxed
        Its linear optimum, from which no whole lots follow.
    solve
        Returns the linear optimum of so many units of each column, shape (columns,).
    """
    kept = orders.units[: orders.size].copy()
    optima: list[Relaxed] = []
    proofs: list[Proof] = []
    look = Look(linear, orders, rows, kept)
    while unfit := look.at(relaxed):
        for proof in unfit:
            kept[proof.place.columns(orders)] = 0
        proofs += unfit
        relaxed = solve(kept)
        optima.append(relaxed)
    return LeftOut(kept, tuple(optima), tuple(proofs), look.witnesses)


class Look:
    """Looks whether orders fit.

    Parameters
    ----------
    linear, orders, rows
        The program.
    kept
        Shape (columns,), units of each that may trade; read each time.

    Attributes
    ----------
    witnesses
        How many units of some columns show that the orders looked at fit, where they do.
    """

    def __init__(
        self, linear: LinearProgram, orders: ProgramOrders, rows: LotRows, kept: IntArray
    ) -> None:
        self._linear, self._orders, self._rows, self._kept = linear, orders, rows, kept
        self._fit: set[Place] = set()
        self.witnesses: dict[int, int] = {}

    def at(self, relaxed: Relaxed) -> list[Proof]:
        """Return why those do not fit that decide what a lot is worth at an optimum.

        No more is asked where no whole lot can gain anything.
        """
        if relaxed.gain <= LEAST_GAP:
            return []
        found = []
        for place in _decisive(self._orders, relaxed.units) - self._fit:
            proof = self._proof(place)
            if proof is None:
                self._fit.add(place)
            else:
                found.append(proof)
        return found

    def _proof(self, place: Place) -> Proof | None:
        """Return why a place does not fit; ``None`` where witnesses show that it does."""
        own = place.columns(self._orders)
        own = own[self._kept[own] > 0]
        partner = None if place.column >= 0 else self._partner(place)
        if partner is not None:
            self._note({partner: 1, int(own[0]): 1})
            return None
        least = place.least_units(self._orders) - WHOLE
        most = self._linear.most(own, self._kept, self._rows.h, enough=least)
        if most.count < least:
            return Proof(place, most.local, least - most.count)
        needed = np.flatnonzero(most.units > WHOLE)
        self._note({int(c): math.ceil(float(most.units[c]) - WHOLE) for c in needed})
        return None

    def _note(self, units: dict[int, int]) -> None:
        for column, count in units.items():
            self.witnesses[column] = max(count, self.witnesses.get(column, 0))

    def _partner(self, place: Place) -> int | None:
        """Return a column of which a lot fits with one of a place, as if these were all."""
        orders, rows = self._orders, self._rows
        live = np.flatnonzero((self._kept > 0) & (orders.limit[: orders.size] >= 0))
        same = orders.groups[orders.limit[live]] == orders.groups[place.limit]
        others = live[same & (orders.sign[live] == -place.sign)]
        limits, first = np.unique(orders.limit[others], return_index=True)
        own = rows.of_limits(np.array([place.limit]))
        load = place.sign * (own - rows.of_limits(limits))
        room = rows.h + rows.tolerance(rows.h)
        fits = np.flatnonzero((load <= room[:, None]).all(axis=0))
        return int(others[first[fits[0]]]) if len(fits) else None


def _decisive(orders: ProgramOrders, units: FloatArray) -> set[Place]:
    """Return the places with the best price of each side, where they trade less than a unit."""
    support = np.flatnonzero(units > WHOLE)
    plain = support[orders.limit[support] >= 0]
    # One lot more or less at a limit may be in orders of several prices.
    traded: dict[Place, float] = {}
    for column in plain.tolist():
        place = Place.of(orders, column)
        traded[place] = traded.get(place, 0.0) + float(units[column])
    found = set()
    for group in range(len(orders.prices)):
        for sign in (1.0, -1.0):
            own = plain[
                (orders.groups[orders.limit[plain]] == group) & (orders.sign[plain] == sign)
            ]
            if len(own):
                best = int(own[np.argmax(sign * orders.price[own])])
                found.add(Place.of(orders, best))
    found = {place for place in found if traded[place] < 1.0 - WHOLE}
    for column in orders.conditions:
        if WHOLE < units[column] < orders.least_units(column) - WHOLE:
            found.add(Place.of(orders, column))
    return found
