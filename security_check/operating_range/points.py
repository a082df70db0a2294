"""Many points of a box of envelopes, with held voltages, reactive power and deviations.

The worst point of a row is usually a vertex: each customer at its injection or its withdrawal
limit.  Where losses in reactances bend a voltage, some customers may be inside their ranges: the
voltage of one feeder is highest when the others neither draw from nor feed the common transformer
(docs/adr/0001-worst-points.md).  So a point is kept as shares of the way between the limits, and
moves along when the box changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray, first_of_equal


@dataclass(frozen=True, slots=True)
class WorstPoints:
    """One point per row; r of them.

    Parameters
    ----------
    share
        Shape (r, c): 0 is a customer's withdrawal limit, 1 its injection limit.
    free
        Shape (r, k), the free coordinates: held voltages, reactive power and deviations (see
        :mod:`security_check.operating_range.conditions`).
    """

    share: FloatArray
    free: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[WorstPoints]) -> WorstPoints:
        """Return the points of all parts, in order."""
        return cls(
            np.concatenate([part.share for part in parts]),
            np.concatenate([part.free for part in parts]),
        )

    def take(self, rows: IndexArray | BoolArray) -> Self:
        """Return the points of the rows named."""
        return type(self)(self.share[rows], self.free[rows])

    def placed(self, where: IndexArray, found: WorstPoints) -> WorstPoints:
        """Return these points with those at ``where`` replaced by the ones found."""
        share, free = self.share.copy(), self.free.copy()
        share[where], free[where] = found.share, found.free
        return WorstPoints(share, free)

    def power(self, u: FloatArray) -> FloatArray:
        """Return the active powers in the box u = (injection, withdrawal), shape (r, c)."""
        injection, withdrawal = halves(u)
        power: FloatArray = self.share * (injection + withdrawal) - withdrawal
        return power

    def keys(self, u: FloatArray) -> FloatArray:
        """Return one line per row; equal lines are equal points of the box u.

        The share of a customer does not count where both its limits are zero.
        """
        injection, withdrawal = halves(u)
        return np.column_stack([self.share * ((injection + withdrawal) > 0), self.free])

    def distinct(self, u: FloatArray) -> tuple[IndexArray, IndexArray]:
        """Return one row for each different point of u, and the index of each row's among them."""
        return first_of_equal(self.keys(u))


def halves(u: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the injection and the withdrawal limits of ``u``, each of shape (c,)."""
    count = len(u) // 2
    return u[:count], u[count:]
