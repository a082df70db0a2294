"""Blocks, all-or-none and minimum quantities: a mixed-integer program.

It is needed only where the linear program fills such an order in a way its conditions forbid:
an optimum of the linear program that respects all conditions is one of the mixed-integer program,
because the one relaxes the other.

Once the gain of some choice is known, linear programs say of most columns where they are at all
that gain more (:mod:`exchange.clearing.conditional.bounds`), and mostly of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.clearing.conditional.bounds import EQUAL, ChoiceBounds, WarmChoices, gain_tolerance
from exchange.clearing.conditional.branch_and_bound import branch
from exchange.clearing.conditional.mixed_integer import ChoiceProgram, LexicographicObjective
from exchange.clearing.highs import INFINITY
from exchange.clearing.linear_program import LpSolution
from exchange.clearing.problem import ClearingError
from exchange.clearing.rounding import LEAST_GAP, WHOLE, Rounding
from security_check.arrays import FloatArray, IntArray

_WAYS = 2**16  # of sharing among the orders that one program ranks; its weights stay exact


def broken(rounding: Rounding, relaxed: LpSolution) -> list[int]:
    """Return the columns whose conditions an optimum of the linear program does not keep."""
    found = []
    for column in rounding.orders.conditions:
        units = float(relaxed.units[column])
        short = WHOLE < units < rounding.orders.least_units(column) - WHOLE
        if short or abs(units - round(units)) > WHOLE:
            found.append(column)
    return found


@dataclass(frozen=True, slots=True)
class ConditionalOrders:
    """The choice of conditional orders in one clearing.

    Parameters
    ----------
    programs
        The linear programs.
    relaxed
        Their optimum without conditions.
    known_gain
        What some choice is known to gain.
    beats
        What a choice must gain more than to be of use.
    whole
        Whether plain columns count in whole lots, too, and not in fractions.
    """

    programs: WarmChoices
    relaxed: LpSolution
    known_gain: float
    beats: float = -INFINITY
    whole: bool = False

    @property
    def rounding(self) -> Rounding:
        """The program."""
        return self.programs.rounding

    @property
    def _bounds(self) -> ChoiceBounds:
        return ChoiceBounds(self.programs, self.relaxed, self.whole)

    def chosen(self) -> FloatArray | None:
        """Return the units of each column at the best optimum, older conditional orders first.

        ``None`` where nothing that is found gains as much as is known, or is of use.

        Among choices of equal gain the oldest conditional order gets as much as it can, then the
        next.  In whole lots, gains are equal that differ by less than a lot is worth.

        Raises
        ------
        ClearingError
            When the solver comes to no result.
        """
        low, high = self._bounds.of_gain(self.known_gain)
        own = list(self.rounding.orders.conditions)
        if not self.whole and (low[own] == high[own]).all():
            return high
        found = self._best(low, high)
        if found is None or self.rounding.gain(found) <= self.beats:
            return None
        return self._oldest_first(found)

    def _best(self, low: FloatArray, high: FloatArray) -> FloatArray | None:
        """Return a choice that gains the most, or the best that is found."""
        if self.whole:
            return self._solve(low, high, -INFINITY)
        # Bounds have room for a choice that gains as much as is known, but for what solvers err by.
        least = self.known_gain - 2.0 * gain_tolerance(self.known_gain)
        seen = branch(self.programs, low, high, least, equal=EQUAL)
        if seen.best is None:
            return self._solve(low, high, -INFINITY)
        if seen.complete:
            return seen.best
        gain = self.rounding.gain(seen.best)
        better = self._solve(*self._bounds.of_gain(gain), -INFINITY)
        return seen.best if better is None or self.rounding.gain(better) < gain else better

    def _oldest_first(self, units: FloatArray) -> FloatArray:
        """Return the choice of no less gain that gives the oldest the most, then the next."""
        r = self.rounding
        gain = r.gain(units)
        least = gain - gain_tolerance(gain)
        low, high = self._bounds.of_gain(least)
        waiting = sorted(r.orders.conditions, key=lambda c: r.orders.conditions[c].rank)
        while True:
            # Whoever has the most that duality allows has it for good.
            while waiting and units[waiting[0]] >= high[waiting[0]]:
                low[waiting[0]] = high[waiting[0]] = units[waiting[0]]
                del waiting[0]
            if (units[waiting] >= high[waiting]).all():
                return units
            if self._is_in_or_out(waiting[0], low, high):
                accepted = low.copy()
                accepted[waiting[0]] = high[waiting[0]]
                seen = branch(self.programs, accepted, high, least, equal=INFINITY)
                if seen.complete:
                    units = units if seen.best is None else seen.best
                    high[waiting[0]] = units[waiting[0]]
                    continue
            ranked = self._next_ranked(waiting, low, high)
            better = self._better(low, high, least, self._aim(ranked, high, units))
            units = units if better is None else better
            low[ranked] = high[ranked] = units[ranked]
            del waiting[: len(ranked)]

    def _is_in_or_out(self, column: int, low: FloatArray, high: FloatArray) -> bool:
        """Return whether all that a column has open is to trade all or nothing of one quantity."""
        return (
            not self.whole
            and not low[column]
            and high[column] == self.rounding.orders.least_units(column)
        )

    def _next_ranked(self, waiting: Sequence[int], low: FloatArray, high: FloatArray) -> list[int]:
        """Return the oldest of some columns that one program can rank; at least one."""
        ways, ranked = 1.0, list[int]()
        for column in waiting:
            ways *= self._ways(column, high) if low[column] < high[column] else 1.0
            if ranked and ways > _WAYS:
                break
            ranked.append(column)
        return ranked

    def _ways(self, column: int, high: FloatArray) -> float:
        """Return how many units a column may have: none, or from its minimum on."""
        minimum = self.rounding.orders.least_units(column)
        return float(max(high[column] - minimum, 0.0)) + 2.0

    def _aim(
        self, ranked: Sequence[int], high: FloatArray, units: FloatArray
    ) -> LexicographicObjective:
        """Return what puts the first of some columns before all others, and so on.

        It is the number whose digits are what each column has, so it counts in ones.
        """
        weights: dict[int, tuple[float, float]] = {}
        weight = 1.0
        for column in reversed(ranked):
            minimum = self.rounding.orders.least_units(column)
            weights[column] = (weight * (1.0 - minimum), weight)
            weight *= self._ways(column, high)
        now = LexicographicObjective(weights, 0.0).value(units)
        return LexicographicObjective(weights, now + 1.0)

    def _better(
        self, low: FloatArray, high: FloatArray, least_gain: float, aim: LexicographicObjective
    ) -> FloatArray | None:
        """Return the choice that an aim puts first, at a gain no less.

        ``None`` where the solver finds none: what was found before stands then.
        """
        try:
            found = self._solve(low, high, least_gain, aim)
        except ClearingError:
            return None
        return found if found is not None and aim.value(found) > aim.least - 0.5 else None

    def _solve(
        self,
        low: FloatArray,
        high: FloatArray,
        least_gain: float,
        aim: LexicographicObjective | None = None,
    ) -> FloatArray | None:
        """Return a best choice within bounds; see :meth:`ChoiceProgram.best`."""
        program = ChoiceProgram.between(self.rounding, low, high, whole=self.whole)
        return program.best(least_gain, self._gap(program.columns, aim), aim)

    def _gap(self, columns: IntArray, aim: LexicographicObjective | None) -> float:
        """Return by how much a choice may miss the best."""
        if aim is not None:
            return LEAST_GAP  # aims count in ones
        return max(self.rounding.lot_value(columns), LEAST_GAP) if self.whole else EQUAL
