"""The program in whole lots: linear, mixed-integer where conditions need it, then rounded.

The orders and headrooms that rounding leaves over are solved again, until no profitable whole-lot
trade is left.  Where nothing trades at all, the program is solved without the unfillable orders
(:mod:`exchange.clearing.unfillable`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exchange.clearing.conditional.bounds import WarmChoices, gain_tolerance
from exchange.clearing.conditional.choice import ConditionalOrders, broken
from exchange.clearing.linear.linear_program import LinearProgram, LpSolution
from exchange.clearing.linear.time_priority import oldest_first
from exchange.clearing.lot_rows import LotRows
from exchange.clearing.problem import ClearingError, Tier
from exchange.clearing.program_orders import ProgramOrders
from exchange.clearing.rounding import LEAST_GAP, WHOLE, Rounding
from exchange.clearing.unfillable import ExcludedOrders, FillabilityCheck, leave_out
from exchange.clearing.work_budget import WorkBudget
from security_check.arrays import FloatArray, IntArray

_CAPPED = 4  # programs solved again at most because a share was rounded away: each costs a program
_MOST_ROUNDS = 10_000  # of rounding, each trades at least a lot: a limit against endless loops


@dataclass(frozen=True, slots=True)
class LotSolution:
    """Whole units to trade, and the linear optima before and after.

    Parameters
    ----------
    units
        Shape (columns,).
    relaxed
        The linear optimum without conditions.
    first
        The linear optimum with conditional orders chosen; it has the prices of the program.
    last
        The linear optimum of the orders left once the units have traded; no whole lot follows from
        its fractions.
    tier
        Whether a mixed-integer program was needed.
    in_lots
        Whether conditional orders were chosen in whole lots: then prices do not prove that no
        profitable trade is left.
    left_out
        The orders left out as unfillable, where the program was checked for them.
    fit
        The solution without these, where nothing trades in it either.
    capped
        Whether orders whose share is rounded away were left out, so that others do not trade at a
        loss for them.
    """

    units: IntArray
    relaxed: LpSolution
    first: LpSolution
    last: LpSolution
    tier: Tier
    in_lots: bool
    left_out: ExcludedOrders | None = None
    fit: LotSolution | None = None
    capped: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether the units differ from ``relaxed`` by rounding only."""
        left_out = self.left_out is not None and bool(self.left_out.proofs)
        return not (self.tier is Tier.MIXED_INTEGER or left_out or self.capped)


@dataclass(frozen=True, slots=True)
class LotProgram:
    """The program in whole lots.

    Parameters
    ----------
    orders, linear
        The open orders, and their linear program.
    balanced, reserve
        Whether directions balance, and the price of watts issued otherwise, in ticks.
    budget
        The work allowed for mixed-integer programs.
    """

    orders: ProgramOrders
    linear: LinearProgram
    balanced: bool
    reserve: int
    budget: WorkBudget

    def solve(self, rows: LotRows) -> LotSolution:
        """Return the units to trade.

        Raises
        ------
        ClearingError
            When a solver is not sure.
        """
        every = self.orders.units[: self.orders.size].copy()
        solved = self._without_vain_losses(every, rows)
        if solved.capped:
            return solved
        if solved.units.any():
            return replace(solved, left_out=self._all_fit(solved, rows))
        none = np.zeros_like(every)
        left_out = leave_out(
            self._check(rows, every),
            solved.relaxed,
            lambda kept: self._ordered(none, kept, rows.h, none),
        )
        if not left_out.proofs:
            return replace(solved, left_out=left_out)
        fit = self._without_vain_losses(left_out.kept, rows)
        if fit.units.any():
            return replace(fit, relaxed=solved.relaxed, left_out=left_out)
        return replace(solved, left_out=left_out, fit=fit)

    def _all_fit(self, solved: LotSolution, rows: LotRows) -> ExcludedOrders | None:
        """Return the proof that the orders left are fillable; ``None`` if some are not."""
        columns = np.flatnonzero(solved.units)
        left = replace(rows, h=rows.left(self.orders.change(columns, solved.units[columns])))
        kept = self.orders.units[: self.orders.size] - solved.units
        check = self._check(left, kept)
        return None if check.at(solved.last) else ExcludedOrders(kept, (), (), check.witnesses)

    def _check(self, rows: LotRows, kept: IntArray) -> FillabilityCheck:
        return FillabilityCheck(self.linear, self.orders, rows, kept, self.budget.lots)

    def _without_vain_losses(self, upper: IntArray, rows: LotRows) -> LotSolution:
        """Return the units to trade, with no trade at a loss for a share that is rounded away.

        A linear optimum may let others trade at a loss to make room for a fraction of an order with
        a high price.  Where rounding takes that fraction away, and the orders that trade would gain
        more without those at a loss, the program is solved again without such orders.
        """
        solved = self._solve_within(upper, rows)
        relaxed, program = solved.relaxed, self._rounding(rows, upper, upper, rows.h)
        for _ in range(_CAPPED):
            traded = solved.units > 0
            short = (solved.first.units > solved.units + WHOLE) & ~traded
            if not traded.any() or not short.any():
                break
            gain = program.gain(solved.units)
            a_lot = max(program.lot_value(np.flatnonzero(traded)), LEAST_GAP)
            if solved.first.gain - gain <= a_lot:
                break
            trimmed = self.linear.solve(np.zeros_like(upper), solved.units, rows.h)
            if trimmed.gain <= gain + LEAST_GAP:
                break
            upper = np.where(short, 0, upper)
            again = self._solve_within(upper, rows)
            if program.gain(again.units) <= gain:
                break
            solved = replace(again, relaxed=relaxed, capped=True)
        return solved

    def _solve_within(self, upper: IntArray, rows: LotRows) -> LotSolution:
        """Return the units to trade within upper bounds of shape (columns,)."""
        solved = self._with_conditions(upper, rows)
        total = found = solved.units
        last = solved.last
        upper = upper.copy()
        upper[list(self.orders.conditions)] = 0
        lower = np.zeros_like(upper)
        for _ in range(_MOST_ROUNDS):
            if not found.any():
                return replace(solved, units=total, last=last)
            columns = np.flatnonzero(total)
            h = rows.left(self.orders.change(columns, total[columns]))
            remaining = np.where(upper > 0, upper - total, 0)
            last = self._ordered(lower, remaining, h, total)
            rounded = self._rounding(rows, lower, remaining, h).to_lots(last)
            if rounded is None:
                raise ClearingError("rounding does not find the empty set of trades")
            found = rounded
            total = total + found
        raise ClearingError(f"{_MOST_ROUNDS} rounds of rounding are not enough")

    def _with_conditions(self, upper: IntArray, rows: LotRows) -> LotSolution:
        """Return what trades in the first round, with conditional orders chosen."""
        free = np.zeros_like(upper)
        program = self._rounding(rows, free, upper, rows.h)
        programs = WarmChoices(program)
        relaxed = first = self._ordered(free, upper, rows.h, free)
        choice, tier = relaxed.units, Tier.LINEAR
        if broken(program, relaxed):
            tier = Tier.MIXED_INTEGER
            known = self._without_broken(program, relaxed)
            found = ConditionalOrders(programs, relaxed, known.gain).chosen()
            if found is None and self.budget.choices.left:
                raise ClearingError("the solver finds no choice although one is known")
            # The known choice stands where the budget for a better one is used up.  Preferring
            # older orders may cost one gain tolerance, and the solver may err by another.
            if found is None or program.gain(found) < known.gain - 2.0 * gain_tolerance(known.gain):
                found = known.units
            choice = found
        fixed = self._decided(program, choice)
        if tier is Tier.MIXED_INTEGER:
            first = self._ordered(fixed.lower, fixed.upper, rows.h, free)
        units = fixed.to_lots(first)
        # Prices of orders that trade at neither optimum decide nothing, as in the price screen.
        support = np.flatnonzero((relaxed.units > WHOLE) | (first.units > WHOLE))
        least = program.lot_value(support)
        if units is None or not self._is_enough(program, support, first, units, least):
            return self._chosen_in_lots(programs, relaxed, least)
        return LotSolution(units, relaxed, first, first, tier, in_lots=False)

    def _is_enough(
        self, program: Rounding, support: IntArray, first: LpSolution, units: IntArray, least: float
    ) -> bool:
        """Return whether a choice made in fractions is good enough in whole lots.

        It is if the lots do not lose, or if no lots can gain more than ``least``, the value of a
        lot.
        """
        if self.orders.conditions.keys().isdisjoint(support.tolist()):
            return True
        if units.any():
            return program.gain(units) >= 0.0
        return first.gain <= least

    def _chosen_in_lots(
        self, programs: WarmChoices, relaxed: LpSolution, least: float
    ) -> LotSolution:
        """Return what trades where conditional orders are chosen in whole lots.

        Chosen with plain orders in fractions, they would find no whole lots, or trade at a loss.
        Only choices that gain more than ``least`` are looked for.
        """
        program = programs.rounding
        none = np.zeros_like(program.upper)
        fixed = self._decided(program, none)
        first = self._ordered(fixed.lower, fixed.upper, program.h, none)
        units = fixed.to_lots(first)
        units = none if units is None else units
        beats = program.gain(units)
        known = max(beats, least)
        choice = ConditionalOrders(programs, relaxed, known, beats, whole=True).chosen()
        whole = none if choice is None else np.rint(choice).astype(np.int64)
        if program.holds(whole) and program.gain(whole) > program.gain(units):
            fixed, units = self._decided(program, whole), whole
            first = self._ordered(fixed.lower, fixed.upper, program.h, none)
            # As good whole lots near the linear optimum serve older orders first.
            near = fixed.to_lots(first)
            if near is not None and program.gain(near) >= program.gain(whole):
                units = near
        return LotSolution(units, relaxed, first, first, Tier.MIXED_INTEGER, in_lots=True)

    def _decided(self, program: Rounding, choice: FloatArray | IntArray) -> Rounding:
        """Return the program with conditional orders fixed at their units in a choice."""
        lower, upper = np.zeros_like(program.upper), program.upper.copy()
        own = list(self.orders.conditions)
        lower[own] = upper[own] = np.rint(choice[own])
        return replace(program, lower=lower, upper=upper)

    def _without_broken(self, program: Rounding, relaxed: LpSolution) -> LpSolution:
        """Return a linear optimum without orders whose conditions it would break."""
        upper = program.upper.copy()
        while columns := broken(program, relaxed):
            upper[columns] = 0
            relaxed = self.linear.solve(program.lower, upper, program.h)
        return relaxed

    def _ordered(
        self, lower: IntArray, upper: IntArray, h: FloatArray, taken: IntArray
    ) -> LpSolution:
        """Return the linear optimum that serves older orders first."""
        relaxed = self.linear.solve(lower, upper, h)
        units = oldest_first(self.linear, self.orders, relaxed, lower, upper, h, taken)
        return replace(relaxed, units=units)

    def _rounding(self, rows: LotRows, lower: IntArray, upper: IntArray, h: FloatArray) -> Rounding:
        return Rounding(
            self.orders, rows, h, self.balanced, self.reserve, lower, upper, self.budget
        )
