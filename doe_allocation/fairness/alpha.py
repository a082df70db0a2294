"""Proportional and alpha-fairness over a packing polytope: every trade-off of sum and minimum.

    max  sum_i w_i U(u_i / w_i),    U(x) = log x  for alpha = 1,  x^(1 - alpha) / (1 - alpha)  else

over ``{A u <= b, lower <= u <= upper}`` (Mo and Walrand, 2000).  alpha = 0 is the maximum sum,
alpha = 1 proportional fairness, and as alpha grows the optimum tends to the weighted max-min point.

The prices y_r >= 0 of the rows determine the limits: ``u_i = clip(w_i (A'y)_i^(-1/alpha), lower,
upper)``.  Prices of different rows lie as far apart as the alpha-th powers of levels, so they are
kept as levels ``z_r = y_r^(-1/alpha)``: the limit of weight 1 that row r alone, with coefficient 1,
would allow.  For large alpha a limit is the smallest of its rows' levels, as in progressive
filling, and no number overflows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.fairness.alpha_cone import ALPHA_IS_ONE, solve_cone
from doe_allocation.fairness.alpha_newton import RowLevels
from doe_allocation.fairness.linear_rules import MaximumSum
from doe_allocation.fairness.packing_program import FairnessError, Packing
from doe_allocation.fairness.progressive_filling import Filling, progressive_filling
from doe_allocation.fairness.rule import Filled
from security_check.arrays import FloatArray, IndexArray

# Sweeps over the rows from levels that are given; levels that need more were a bad start.
_SWEEPS_FROM_START = 4
# Largest alpha for the cone solver: beyond, prices of rows with higher levels vanish in rounding.
_CONE_UP_TO = 4.0
# An alpha below this is 0: a watt then counts the same for all limits, up to 1 %.
_SUM = 1e-3
# An alpha above this is infinite: a coefficient then changes a limit by less than 1 %.
_HARD = 1e3
# Levels below this (parts of the limits' unit) count as this: the logarithm of 0 has no value.
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class AlphaFairness:
    """The limits that maximise the sum of alpha-fair utilities.

    Parameters
    ----------
    lower, upper
        Shape (m,), the limits' own bounds.
    weight
        Shape (m,), > 0: a limit of weight w counts as w limits of weight 1 that share it.
    alpha
        >= 0: the larger, the more a watt counts for a small limit against a large one.
    """

    lower: FloatArray
    upper: FloatArray
    weight: FloatArray
    alpha: float

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits under rows ``A u <= b``.

        Limits that cannot rise at all, even from 0, do not count: their utility is a constant.

        Raises
        ------
        FairnessError
            When no point satisfies the conditions of an optimum as well as rounding allows.
        """
        if self.alpha < _SUM:
            return MaximumSum(self.lower, self.upper, self.weight).filled(A, b)
        zero = np.zeros(len(self.lower))
        if self.alpha > _HARD:
            return Filling(self.lower, self.upper, self.weight, zero).filled(A, b)
        packing = Packing.of(A, b, self.lower, self.upper)
        filling = Filling(packing.lower, packing.upper, self.weight, zero)
        fair = progressive_filling(packing.A, packing.b, filling)
        stuck = packing.frozen()
        moves = np.flatnonzero(~stuck)
        rows = np.flatnonzero((packing.A[:, moves] > 0.0).any(axis=1))
        u, price = packing.lower.copy(), np.zeros(len(packing.rows))
        rest = packing.b - packing.A @ np.where(stuck, packing.lower, 0.0)
        program = RowLevels(
            packing.A[np.ix_(rows, moves)],
            rest[rows],
            packing.lower[moves],
            packing.upper[moves],
            self.weight[moves],
            self.alpha,
        )
        u[moves], price[rows] = _solve(program, fair, rows, moves)
        u = packing.secured(u)
        return Filled(u * packing.scale, packing.bottlenecks(u, price))

    def above(self, lower: FloatArray) -> AlphaFairness:
        """Return the same rule from higher lower bounds."""
        return replace(self, lower=lower)

    def within(self, lower: FloatArray, upper: FloatArray) -> AlphaFairness:
        """Return the same rule between other bounds."""
        return replace(self, lower=lower, upper=upper)

    def value(self, u: FloatArray) -> float:
        """Return the sum of utilities."""
        level = np.maximum(u / self.weight, _NOTHING)
        if abs(self.alpha - 1.0) < ALPHA_IS_ONE:
            return float(self.weight @ np.log(level))
        power = 1.0 - self.alpha
        return float(self.weight @ level**power / power)


def _solve(
    program: RowLevels, fair: Filled, rows: IndexArray, moves: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Return limits and prices, from the levels of the max-min point or else a cone solver's.

    If rows hardly differ and alpha is small, levels are not determined to many digits; then the
    solution of the cone solver is taken as it is.
    """
    levels = np.full(len(rows), np.inf)
    for k, row in enumerate(rows):
        own = moves[fair.bottleneck[moves] == row]
        if len(own):
            levels[k] = np.log(float((fair.u[own] / program.weight.max()).max()))
    found = program.solved(levels, _SWEEPS_FROM_START)
    if found is None and program.alpha <= _CONE_UP_TO:
        cone = solve_cone(program, fair.u[moves])
        if cone is not None:
            found = program.solved(program.levels_of(cone[1]), _SWEEPS_FROM_START) or cone
    found = found or program.solved(levels)
    if found is None:
        raise FairnessError(
            f"alpha-fairness with alpha = {program.alpha:g}: no levels of the {len(rows)} rows "
            "satisfy the conditions of an optimum"
        )
    return found
