"""Whole lots around a vertex of the linear program: the best of enough gain, or none.

From an optimum that is a vertex, every other feasible point is reached by giving something up:
headroom of a row that binds, at the row's price, or units of a column that is full, at the column's
surplus.  The cost may not exceed the gain of the optimum less the gain asked for.  So the points of
enough gain form a simplex.  Often it has no whole lots at all, as its corners show.  Otherwise one
column after the other is fixed, the one with the fewest choices first.

Fixing a column at a value that is not its value at the vertex needs the vertex of the smaller
simplex.  One step of the dual simplex method, with the tableau at hand, leads there; this is why
this module has pivots of its own instead of calling the solver for each of some hundred vertices.

Measured: without this module, with the search inside the rows and the integer program of
:mod:`exchange.clearing.rounding` alone, congested books take 1.25 and 1.45 times as long (slowest
event 371 ms instead of 177 ms), the orders of the demo day 1.08 times and those of agents on the
reference network 0.86 times.  Results changed in 0 of 192 clearings of the demo day and, from the
first difference on, in 106 of 410 clearings of the agents (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exchange.clearing.problem import TIE
from security_check.arrays import FloatArray, IntArray

_PIVOTS = 3  # towards the vertex of a smaller simplex; the bounds are valid after any number
_NODES = 200  # vertices visited at most: then an integer program is faster
_WIDE = 30  # choices for one column; where there are more, an integer program is faster
_MOST = 256  # points that are enumerated in one product
_SURE = 1e-6  # lots by which corners may be off: the solver errs by 1e-9, the inverse by more
_SINGULAR = 1e9  # lots moved by a lot of headroom, above which the inverse is not reliable
_NOTHING = 1e-9  # lots, or ticks, that count as no movement or price: the solver's tolerance


@dataclass(frozen=True, slots=True)
class Simplex:
    """The points of enough gain around a vertex.

    Parameters
    ----------
    fixed
        The columns that are fixed, and their units.
    basic
        Shape (basic,), the columns between their bounds at the vertex; -1 for headroom of a row.
    units
        Shape (basic,), their units at the vertex.
    moves
        Shape (basic, directions), their change for a unit of each direction.
    cost
        Shape (directions,), what a unit of each direction costs, in tick-lots.
    given
        Shape (directions,), the column that a direction takes a unit off; -1 for headroom.
    spare
        Tick-lots that may be spent.
    """

    fixed: dict[int, int]
    basic: IntArray
    units: FloatArray
    moves: FloatArray
    cost: FloatArray
    given: IntArray
    spare: float

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return the bounds of the basic columns over the simplex, shape (basic,) each."""
        reach = self.spare / np.maximum(self.cost, _NOTHING * max(self.spare, 1.0))
        corners = self.moves * reach
        low: FloatArray = self.units + corners.min(axis=1, initial=0.0)
        high: FloatArray = self.units + corners.max(axis=1, initial=0.0)
        return low, high

    def with_basic(self, place: int, units: int, full: FloatArray) -> Simplex | None:
        """Return the points at which a basic column has given units; ``None`` if there are none.

        Parameters
        ----------
        place
            Of the column among the basic ones.
        units
            Its units.
        full
            Shape (columns,), the units of the columns that directions take from at the vertex.
        """
        if np.abs(self.moves[place]).max(initial=0.0) <= _NOTHING:
            return self._with_settled(place, units)
        moved = self._pivoted(place, float(units), full)
        if moved is None:
            return None
        moved = replace(
            moved,
            fixed=self.fixed | {int(self.basic[place]): units},
            moves=moved.moves[:, :-1],
            cost=moved.cost[:-1],
            given=moved.given[:-1],
        )
        # Headroom that is negative now must return to zero.
        for _ in range(_PIVOTS):
            short = np.flatnonzero((moved.basic < 0) & (moved.units < -_SURE))
            if not len(short) or moved.spare < -_SURE:
                break
            feasible = moved._pivoted(int(short[moved.units[short].argmin()]), 0.0, full)
            if feasible is None:
                return None
            moved = feasible
        return moved

    def _with_settled(self, place: int, units: int) -> Simplex | None:
        """Return the points at which a basic column that no direction moves has given units."""
        if abs(self.units[place] - units) > _SURE:
            return None
        stays = np.arange(len(self.basic)) != place
        return replace(
            self,
            fixed=self.fixed | {int(self.basic[place]): units},
            basic=self.basic[stays],
            units=self.units[stays],
            moves=self.moves[stays],
        )

    def _pivoted(self, place: int, units: float, full: FloatArray) -> Simplex | None:
        """Return the cheapest vertex at which a basic variable has given units.

        The last direction there is an increase of that variable.  A step of the dual simplex
        method: the direction that enters is that of the least cost for the movement needed.
        """
        row, step = self.moves[place], units - self.units[place]
        if abs(step) <= _SURE:
            step = 0.0
        towards = row if step > 0 or (step == 0 and row.max(initial=0.0) > _NOTHING) else -row
        able = np.flatnonzero(towards > _NOTHING)
        if not len(able):
            return None
        enters = int(able[np.argmin(self.cost[able] / towards[able])])
        taken = max(step / row[enters], 0.0)
        others = np.arange(len(self.cost)) != enters
        stays = np.arange(len(self.basic)) != place
        share = np.append(-row[others], 1.0) / row[enters]
        entering = self.moves[stays, enters]
        moves = np.zeros((len(self.basic), len(self.cost)))
        moves[:-1, :-1] = self.moves[np.ix_(stays, others)]
        moves[:-1] += np.outer(entering, share)
        # The direction that enters becomes basic: headroom, or a column, which counts downwards.
        column = int(self.given[enters])
        moves[-1] = share if column < 0 else -share
        left = taken if column < 0 else full[column] - taken
        cost = np.append(self.cost[others], 0.0) + self.cost[enters] * share
        return replace(
            self,
            basic=np.append(self.basic[stays], column),
            units=np.append(self.units[stays] + entering * taken, left),
            moves=moves,
            cost=np.maximum(cost, 0.0),
            given=np.append(self.given[others], -1),
            spare=self.spare - float(self.cost[enters]) * taken,
        )

    def with_given(self, place: int, taken: int, full: FloatArray) -> Simplex:
        """Return the points at which a direction takes given units off its column."""
        others = np.arange(len(self.cost)) != place
        column = int(self.given[place])
        return Simplex(
            self.fixed | {column: round(float(full[column])) - taken},
            self.basic,
            self.units + self.moves[:, place] * taken,
            self.moves[:, others],
            self.cost[others],
            self.given[others],
            self.spare - float(self.cost[place]) * taken,
        )


@dataclass(frozen=True, slots=True)
class Vertex:
    """The columns that trade at an optimum, and the constraints on them.

    Parameters
    ----------
    units
        Shape (columns,), what trades.
    upper
        Shape (columns,), upper bounds in units.
    worth, surplus
        Shape (columns,), the gain of a unit, and its gain at local prices, in tick-lots.
    balances, rows
        Shape (groups, columns) and (m, columns), coefficients of balances and of all rows.
    eta
        Shape (m,), prices of the rows in ticks.
    room
        Shape (m,), headrooms in lots, with the tolerance of rounding.
    """

    units: FloatArray
    upper: IntArray
    worth: FloatArray
    surplus: FloatArray
    balances: FloatArray
    rows: FloatArray
    eta: FloatArray
    room: FloatArray

    def simplex(self, least: float) -> Simplex | None:
        """Return the points that gain at least ``least`` tick-lots.

        ``None`` where the optimum is not a vertex, or not described by its prices.
        """
        full = self.surplus > TIE
        basic, given = np.flatnonzero(~full), np.flatnonzero(full)
        priced = np.flatnonzero(self.eta > TIE)
        shared = self.balances[self.balances.any(axis=1)]
        block = np.concatenate([shared, self.rows[priced]])
        if not len(basic) or len(basic) != len(block):
            return None
        try:
            inverse = np.linalg.inv(block[:, basic])
        except np.linalg.LinAlgError:
            return None
        if not np.abs(inverse).max() < _SINGULAR:
            return None
        moves = np.concatenate([-inverse[:, len(shared) :], inverse @ block[:, given]], axis=1)
        return Simplex(
            fixed={},
            basic=basic,
            units=self.units[basic],
            moves=moves,
            cost=np.concatenate([self.eta[priced], self.surplus[given]]),
            given=np.concatenate([np.full(len(priced), -1), given]),
            spare=max(float(self.worth @ self.units) - least, 0.0),
        )

    def best(self, least: float) -> IntArray | None:
        """Return the best whole units that gain more than ``least`` tick-lots; all 0 if none do.

        ``None`` where that would need too many points or vertices.
        """
        root = self.simplex(least)
        if root is None:
            return None
        best, most = np.zeros_like(self.upper), least
        waiting = [root]
        for _ in range(_NODES):
            if not waiting:
                return best
            simplex = waiting.pop()
            simplex = replace(simplex, spare=simplex.spare - (most - least))
            columns, low, high, place = self._choices(simplex)
            counts = high - low + 1
            if simplex.spare < -_SURE or not (counts > 0).all():
                continue
            if np.prod(counts.astype(np.float64)) <= _MOST:
                better = self._best_of(simplex.fixed, columns, low, counts, most)
                if better is not None:
                    best, most = better, float(self.worth @ better)
                continue
            least_spread = int(counts.argmin())
            if counts[least_spread] > _WIDE:
                return None
            waiting += self._branches(
                replace(simplex, spare=simplex.spare + (most - least)),
                int(place[least_spread]),
                range(int(low[least_spread]), int(high[least_spread]) + 1),
            )
        return None

    def _choices(self, simplex: Simplex) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Return columns that are not fixed, their least and most whole units, and their places.

        The place of a basic column is that among the basic ones; that of a column that a direction
        takes from is -1 minus the place of the direction.
        """
        low, high = simplex.bounds()
        is_headroom = simplex.basic < 0
        if (high[is_headroom] < -_SURE).any():
            none = np.zeros(1, dtype=np.int64)
            return none, none, none - 1, none
        moving = np.flatnonzero(~is_headroom)
        low, high = low[moving], high[moving]
        places = np.flatnonzero(simplex.given >= 0)
        given = simplex.given[places]
        taken = simplex.spare / simplex.cost[places].clip(_NOTHING)
        columns = np.concatenate([simplex.basic[moving], given])
        low = np.concatenate([low, self.units[given] - taken])
        high = np.concatenate([high, self.units[given]])
        return (
            columns,
            np.ceil(np.maximum(low, 0.0) - _SURE).astype(np.int64),
            np.floor(np.minimum(high, self.upper[columns]) + _SURE).astype(np.int64),
            np.concatenate([moving, -1 - places]),
        )

    def _branches(self, simplex: Simplex, place: int, choices: range) -> list[Simplex]:
        """Return the smaller simplex of each choice for one column, the cheapest last."""
        if place < 0:
            full = round(float(self.units[simplex.given[-1 - place]]))
            found = [simplex.with_given(-1 - place, full - c, self.units) for c in choices]
        else:
            tried = [simplex.with_basic(place, choice, self.units) for choice in choices]
            found = [one for one in tried if one is not None and one.spare >= -_SURE]
        return sorted(found, key=lambda one: one.spare)

    def _best_of(
        self, fixed: dict[int, int], columns: IntArray, low: IntArray, counts: IntArray, most: float
    ) -> IntArray | None:
        """Return the best of all points between bounds that gains more than ``most``."""
        every = np.stack(np.unravel_index(np.arange(int(counts.prod())), tuple(counts)), axis=1)
        points = np.zeros((len(every), len(self.units)), dtype=np.int64)
        points[:, list(fixed)] = list(fixed.values())
        points[:, columns] = low + every
        gain = points @ self.worth
        good = np.flatnonzero(gain > most + _SURE)
        good = good[~(points[good] @ self.balances.T).any(axis=1)]
        good = good[(points[good] @ self.rows.T <= self.room).all(axis=1)]
        if not len(good):
            return None
        best: IntArray = points[good[np.argmax(gain[good])]]
        return best
