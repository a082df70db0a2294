"""The choice of conditional orders: blocks, all-or-none orders and minimum quantities.

A choice is needed only where the linear program breaks a condition: it relaxes the mixed-integer
program, so an optimum of it that keeps all conditions is an optimum of both.

Once the gain of some choice is known, linear programs fix the units of most columns, often of all,
at every choice that gains more (:mod:`exchange.clearing.conditional.bounds`).  Branch and bound
(:mod:`exchange.clearing.conditional.branch_and_bound`) or a mixed-integer program
(:mod:`exchange.clearing.conditional.mixed_integer`) decides the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.clearing.conditional.bounds import EQUAL, ChoiceBounds, WarmChoices, gain_tolerance
from exchange.clearing.conditional.branch_and_bound import branch
from exchange.clearing.conditional.mixed_integer import ChoiceProgram, LexicographicObjective
from exchange.clearing.highs import INFINITY
from exchange.clearing.linear.linear_program import LpSolution
from exchange.clearing.problem import ClearingError
from exchange.clearing.rounding import LEAST_GAP, WHOLE, Rounding
from security_check.arrays import FloatArray, IntArray

_WAYS = 2**16  # ways of sharing that one program may rank: the solver's weights stay exact


def broken(rounding: Rounding, relaxed: LpSolution) -> list[int]:
    """Return the columns whose conditions an optimum of the linear program breaks."""
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
        The linear program without conditions.
    relaxed
        Its optimum.
    known_gain
        The gain of some choice, in tick-lots.
    beats
        A gain that a choice must exceed, in tick-lots.
    whole
        Whether plain columns trade whole lots, too, and not fractions.
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

        Among choices of equal gain the oldest conditional order gets as much as it can, then the
        next.  In whole lots, gains that differ by less than the value of a lot are equal.  ``None``
        where no choice is found that gains as much as the known one, and more than ``beats``.

        Raises
        ------
        ClearingError
            When the solver is not sure.
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
        """Return a choice that gains the most, or the best found within the budget."""
        if self.whole:
            return self._solve(low, high, -INFINITY)
        # The known choice must stay within bounds, in spite of the solver's error.
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
        """Return the choice of equal gain that gives the oldest order the most, then the next."""
        r = self.rounding
        gain = r.gain(units)
        least = gain - gain_tolerance(gain)
        low, high = self._bounds.of_gain(least)
        waiting = sorted(r.orders.conditions, key=lambda c: r.orders.conditions[c].priority)
        while True:
            # An order that has the most its bounds allow keeps it.
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
        """Return whether a column trades either nothing or one quantity."""
        return (
            not self.whole
            and not low[column]
            and high[column] == self.rounding.orders.least_units(column)
        )

    def _next_ranked(self, waiting: Sequence[int], low: FloatArray, high: FloatArray) -> list[int]:
        """Return the oldest of some columns, at least one, as many as one program can rank."""
        ways, ranked = 1.0, list[int]()
        for column in waiting:
            ways *= self._ways(column, high) if low[column] < high[column] else 1.0
            if ranked and ways > _WAYS:
                break
            ranked.append(column)
        return ranked

    def _ways(self, column: int, high: FloatArray) -> float:
        """Return the number of quantities a column may have: none, or from its minimum on."""
        minimum = self.rounding.orders.least_units(column)
        return float(max(high[column] - minimum, 0.0)) + 2.0

    def _aim(
        self, ranked: Sequence[int], high: FloatArray, units: FloatArray
    ) -> LexicographicObjective:
        """Return the objective that puts the first of some columns before all others, and so on.

        It is a number whose digits are the units of the columns, so values differ by at least 1.
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
        """Return the choice of enough gain with the best value; ``None`` if the solver finds none.

        Then the choice found before stands.
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
        """Return the gap to the best at which the solver may stop."""
        if aim is not None:
            return LEAST_GAP  # values differ by at least 1
        return max(self.rounding.lot_value(columns), LEAST_GAP) if self.whole else EQUAL
