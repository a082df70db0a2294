"""Blocks, all-or-none and minimum quantities: a mixed-integer program.

It is needed only where the linear program fills such an order in a way its conditions forbid:
an optimum of the linear program that respects all conditions is one of the mixed-integer program,
because the one relaxes the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exchange.linear_program import Relaxed
from exchange.lots import WHOLE, Rounding
from exchange.program import ClearingError, FloatArray, IntArray
from exchange.program_orders import Condition, per_lot_of
from exchange.solver import INFINITY, MixedProgram

_EQUAL = 1e-6  # of a gain, relative: gains closer than this are equal, so time decides


def respected(rounding: Rounding, relaxed: Relaxed) -> bool:
    """Return whether an optimum of the linear program keeps all conditions."""
    for column, condition in rounding.orders.conditions.items():
        units = float(relaxed.units[column])
        if abs(units - round(units)) > WHOLE:
            return False
        if units > WHOLE and units < _minimum(rounding, column, condition) - WHOLE:
            return False
    return True


def _minimum(rounding: Rounding, column: int, condition: Condition) -> int:
    """Return the least units an order trades: its minimum, or all when less than that is left."""
    return min(condition.minimum, int(rounding.orders.units[column]))


@dataclass(frozen=True, slots=True)
class ConditionalOrders:
    """The choice of conditional orders in one clearing.

    Parameters
    ----------
    rounding
        The program; plain columns count in fractions here.
    relaxed
        Its optimum without conditions.
    plain_gain
        What the optimum gains without any conditional order, plain ones in fractions.
    """

    rounding: Rounding
    relaxed: Relaxed
    plain_gain: float

    def chosen(self, forbidden: frozenset[int]) -> dict[int, int]:
        """Return the units of each conditional column at the best optimum, older ones first.

        Among choices of equal gain the oldest conditional order gets as much as it can, then the
        next.  Those that are ``forbidden`` do not trade, nor do those that no optimum has in it:
        with one of these, duality says, all together gain less than plain orders do alone.

        Raises
        ------
        ClearingError
            When the solver comes to no result.
        """
        conditions = self.rounding.orders.conditions
        none = dict.fromkeys(conditions, 0)
        columns = sorted(
            (column for column in conditions if self._may_trade(column, forbidden)),
            key=lambda column: conditions[column].rank,
        )
        if not columns:
            return none
        bounds = {column: (0, int(self.rounding.upper[column])) for column in columns}
        found = self._solve(bounds)
        if found is None:
            raise ClearingError("not even trading nothing satisfies the program")
        gain, units = found
        least = gain - _EQUAL * max(1.0, abs(gain))
        for column in columns:
            most = bounds[column][1]
            if units[column] < most and self._could_have_more(column, units[column], least):
                units = self._better(bounds, column, least) or units
            bounds[column] = (units[column], units[column])
        return none | units

    def _may_trade(self, column: int, forbidden: frozenset[int]) -> bool:
        """Return whether an optimum may have a column in it, for all that duality says."""
        least = self.plain_gain - _EQUAL * max(1.0, abs(self.plain_gain))
        return column not in forbidden and self._could_have_more(column, 0, least)

    def _better(
        self, bounds: dict[int, tuple[int, int]], column: int, least_gain: float
    ) -> dict[int, int] | None:
        """Return a choice that gives the most to one column, at a gain no less.

        ``None`` where the solver finds none: at the edge of its tolerances it may not find even
        what it found before, and that stands then.
        """
        try:
            found = self._solve(bounds, most_of=column, least_gain=least_gain)
        except ClearingError:
            return None
        return None if found is None else found[1]

    def _could_have_more(self, column: int, units: int, least_gain: float) -> bool:
        """Return whether duality leaves room for another unit at that gain."""
        surplus = float(self.relaxed.surplus[column])
        minimum = _minimum(self.rounding, column, self.rounding.orders.conditions[column])
        return self.relaxed.gain + min(surplus, 0.0) * max(units + 1, minimum) >= least_gain

    def _solve(
        self,
        bounds: dict[int, tuple[int, int]],
        most_of: int | None = None,
        least_gain: float = -INFINITY,
    ) -> tuple[float, dict[int, int]] | None:
        """Return the gain and the conditional columns' units of a best choice within bounds.

        ``None`` where the solver finds none.  Best is what gains the most; or what gives the most
        to one column, at a gain no less.
        """
        r = self.rounding
        live = np.flatnonzero((r.upper > 0) & (r.orders.limit[: len(r.upper)] >= 0))
        own = np.array(list(bounds), dtype=np.int64)
        columns: IntArray = np.concatenate([live, own])
        groups = r.member()
        accept, accept_lower, accept_upper = self._acceptance(own, len(live))
        shared = len(groups) + len(r.h)
        block = np.zeros((shared + len(accept), len(columns) + len(own)))
        block[: len(groups), : len(columns)] = r.orders.coefficients(columns, per_lot_of(groups))
        block[len(groups) : shared, : len(columns)] = r.orders.coefficients(
            columns, r.rows.of_limits
        )
        block[shared:] = accept
        ones = np.ones(len(own))
        worth = np.concatenate([r.worth(columns), 0.0 * ones])
        # The row of the gain is scaled, so that the tolerance of rows means lots in it, too.
        scale = float(np.abs(worth).max(initial=1.0))
        value = worth
        if most_of is not None:
            value = np.zeros(len(worth))
            value[len(live) + list(bounds).index(most_of)] = 1.0
        solution = MixedProgram(
            value=value,
            coefficients=np.vstack([block, worth / scale]),
            row_lower=np.concatenate(
                [
                    np.zeros(len(groups)),
                    np.full(len(r.h), -INFINITY),
                    accept_lower,
                    [least_gain / scale],
                ]
            ),
            row_upper=np.concatenate([np.zeros(len(groups)), r.h, accept_upper, [INFINITY]]),
            lower=np.concatenate([0.0 * live, [bounds[c][0] for c in own.tolist()], 0.0 * ones]),
            upper=np.concatenate([r.upper[live], [bounds[c][1] for c in own.tolist()], ones]),
            integer=np.concatenate([np.zeros(len(live), dtype=bool), np.ones(2 * len(own), bool)]),
        ).solve(gap=1e-6)
        if solution is None:
            return None
        gain = float(r.worth(columns) @ solution[: len(columns)])
        units = np.rint(solution[len(live) : len(columns)]).astype(np.int64)
        return gain, dict(zip(own.tolist(), units.tolist(), strict=True))

    def _acceptance(self, own: IntArray, plain: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return rows that tie units to acceptance z: ``minimum z <= units <= upper z``."""
        r = self.rounding
        width = plain + 2 * len(own)
        rows: list[FloatArray] = []
        upper: list[float] = []
        for i, column in enumerate(own.tolist()):
            condition = r.orders.conditions[column]
            units, accepted = plain + i, plain + len(own) + i
            row = np.zeros((2, width))
            row[0, units], row[0, accepted] = -1.0, _minimum(r, column, condition)
            row[1, units], row[1, accepted] = 1.0, -float(r.upper[column])
            rows.extend(row)
            upper.extend([0.0, 0.0])
        lower = np.full(len(rows), -INFINITY)
        return np.array(rows).reshape(len(rows), width), lower, np.array(upper)
