"""The limits that a rule chose under rows that are exact in the AC power flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness.rule import CAPACITY, Filled
from security_check.arrays import FloatArray, IndexArray
from security_check.worst_case.packing_rows import PackingRows


@dataclass(frozen=True, slots=True)
class AcAllocation:
    """The fair, AC-exact limits.

    Parameters
    ----------
    u
        Shape (2 c,), limits per unit, injection first.
    bottleneck
        Shape (2 c,), index of the monitored row that stopped each limit, or ``CAPACITY``.
    rows
        The rows near their limits at all the worst points found, exact at u.
    gap
        The largest part by which a limit may rise without lowering a smaller one: 0 where rows
        and rule agree; ``None`` where limits were settled on the secure side, and it is unknown.
    """

    u: FloatArray
    bottleneck: IndexArray
    rows: PackingRows
    gap: float | None

    @property
    def converged(self) -> bool:
        """Whether rows and rule agree."""
        return self.gap == 0.0


def bottleneck_rows(filled: Filled, packing: PackingRows) -> IndexArray:
    """Return the monitored row that stops each limit, or ``CAPACITY``, shape (2 c,)."""
    stopped = filled.bottleneck != CAPACITY
    rows = np.full(len(filled.u), CAPACITY, dtype=np.int64)
    rows[stopped] = packing.rows[filled.bottleneck[stopped]]
    return rows
