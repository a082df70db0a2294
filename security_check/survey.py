"""Where all rows stood when they were last looked at, and whether any can have come near since.

A trade moves two limits by little.  How much that moves any monitored quantity is bounded
rigorously, so that rows far from their limits need no power flow for many trades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.network import FloatArray
from security_check.packing import PackingRows
from security_check.robust_rows import RobustRows
from security_check.watch import Watched
from security_check.worst_points import first_of_equal

# Rows that may have come closer than this to their limits, in parts of their scale, are looked at
# again; those that are followed at a worse point already, only before they could exceed them.
_SPARE = 0.02
_SPARE_FOLLOWED = 1e-4


@dataclass(frozen=True, slots=True)
class Survey:
    """The values of all rows in one box of envelopes, apart from those that are followed.

    Parameters
    ----------
    u
        Shape (2 c,), the box.
    values
        Shape (R,), per unit of f: the largest value known of each row, or a bound of it, other
        than at the points at which the rows near their limits are followed trade by trade.
    spare
        Shape (R,), how near its limit each may come, in parts of its scale.
    """

    u: FloatArray
    values: FloatArray
    spare: FloatArray

    @classmethod
    def of(cls, bounds: FloatArray, seen: Watched, near: PackingRows, u: FloatArray) -> Survey:
        """Return the survey that bounds and power flows make.

        Parameters
        ----------
        bounds
            Shape (R,), rigorous bounds: those of rows that were not looked at count.
        seen
            What was looked at in the box u.
        near
            The rows that are followed.
        """
        values = bounds.copy()
        values[seen.rows] = -np.inf
        followed = np.column_stack([near.rows, near.points.keys(u)])
        looked_at = np.column_stack([seen.rows, seen.points.take(seen.place).keys(u)])
        _, group = first_of_equal(np.concatenate([followed, looked_at]))
        others = ~np.isin(group[len(followed) :], group[: len(followed)])
        np.maximum.at(values, seen.rows[others], seen.values[others])
        spare = np.full(len(values), _SPARE)
        spare[near.rows] = _SPARE_FOLLOWED
        return cls(u, values, spare)

    def outdated(self, robust: RobustRows, u: FloatArray) -> bool:
        """Return whether in another box some row may have come near its limit."""
        limits = robust.limits
        moved = robust.monitors.drift(robust.conditions, self.u, u, limits)
        # A row that is followed at all its points has nothing to drift, by however much.
        rows = robust.limited[self.values[robust.limited] > -np.inf]
        excess = robust.violation(rows, self.values[rows] + moved[rows])
        return bool((excess > -self.spare[rows]).any())
