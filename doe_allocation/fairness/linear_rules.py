"""Rules that linear programs solve: max-min over the widths of envelopes, and the maximum sum.

The width of an envelope is ``g_i + w_i``.  It has two parts, and rows can stop one part while the
other goes on rising: progressive filling does not apply, a sequence of linear programs does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.fairness.packing_program import (
    FairnessError,
    Packing,
    PackingProgram,
    lexicographic,
)
from doe_allocation.fairness.rule import Filled
from security_check.arrays import FloatArray

# A price below this part of a watt's gain is rounding: ten times the solver's tolerance.
_FREE = 1e-8


@dataclass(frozen=True, slots=True)
class WidthFilling:
    """The lexicographic max-min point of ``(g_i + w_i) / weight_i``.

    Of all divisions of the widths into limits, the lexicographic max-min of the limits is taken.

    Parameters
    ----------
    lower, upper
        Shape (2 c,), the limits' own bounds, injection first.
    weight
        Shape (c,), > 0.
    """

    lower: FloatArray
    upper: FloatArray
    weight: FloatArray

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits under rows ``A u <= b``; up to 3 c linear programs."""
        packing = Packing.of(A, b, self.lower, self.upper)
        m = len(self.lower)
        one = np.eye(m // 2)
        widths = np.hstack([one, one])
        first = lexicographic(packing, widths, self.weight)
        held = (widths, first.shares)
        second = lexicographic(packing, np.eye(m), np.ones(m), held)
        price = np.hstack([first.price, first.price])
        u = packing.secured(second.u, max(first.give, second.give))
        return Filled(u * packing.scale, packing.bottlenecks(u, price))

    def above(self, lower: FloatArray) -> WidthFilling:
        """Return the same rule from higher lower bounds."""
        return replace(self, lower=lower)


@dataclass(frozen=True, slots=True)
class MaximumSum:
    """The limits with the largest sum; of several such points, the lexicographic max-min one.

    Parameters
    ----------
    lower, upper
        Shape (m,), the limits' own bounds.
    weight
        Shape (m,), > 0, for the choice among optima; the sum itself has no weights.
    """

    lower: FloatArray
    upper: FloatArray
    weight: FloatArray

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits under rows ``A u <= b``: one linear program where it has one optimum.

        If it has several, all of them have the same limits at their bounds and the same rows full
        (those with a price, by complementary slackness), and a sequence of programs divides the
        rest.
        """
        packing = Packing.of(A, b, self.lower, self.upper)
        m = len(self.lower)
        program = PackingProgram(packing)
        program.set_gain(np.ones(m))
        best = program.solve()
        worth = np.maximum(best.worth, 0.0)
        u = packing.secured(best.values)
        settled = np.abs(best.reduced) > _FREE
        if np.count_nonzero(~settled) > np.count_nonzero(worth > _FREE):
            at_bound = replace(
                packing,
                lower=np.where(settled, u, packing.lower),
                upper=np.where(settled, u, packing.upper),
            )
            free = np.flatnonzero(~settled)
            held = (np.ones((1, m)), np.array([u.sum()]))
            # A face too thin for the solver's tolerance is a point: the vertex stands.
            with suppress(FairnessError):
                found = lexicographic(at_bound, np.eye(m)[free], self.weight[free], held)
                u = packing.secured(found.u, found.give)
        return Filled(u * packing.scale, packing.bottlenecks(u, worth))

    def above(self, lower: FloatArray) -> MaximumSum:
        """Return the same rule from higher lower bounds."""
        return replace(self, lower=lower)

    def value(self, u: FloatArray) -> float:
        """Return the sum."""
        return float(u.sum())

    def within(self, lower: FloatArray, upper: FloatArray) -> MaximumSum:
        """Return the same rule between other bounds."""
        return replace(self, lower=lower, upper=upper)
