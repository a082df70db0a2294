"""Lexicographic max-min over the width of each envelope: ``g_i + w_i``.

A width has two parts, so that rows can stop one part while the other goes on rising: progressive
filling does not apply, a sequence of linear programs does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.fairness import Filled
from doe_allocation.packing_program import Packing, lexicographic
from security_check.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class WidthFilling:
    """The lexicographic max-min point of ``(g_i + w_i) / weight_i``.

    Widths leave open how they are divided; of all divisions, the one that is the lexicographic
    max-min of the limits is taken.

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
        """Return the same from higher lower bounds."""
        return replace(self, lower=lower)
