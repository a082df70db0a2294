"""The fair and secure envelopes: progressive filling of robust rows, made AC-exact.

Rows are linear only near the envelopes at which they were taken, and the envelopes follow from
the rows: so fill, take the rows again at the result (AC power flow and exact gradient at each
row's own worst vertex), and fill again.  This is Newton's method; a handful of rounds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from doe_allocation.fairness import CAPACITY, Filled, Filling, progressive_filling
from security_check.errors import InsecureError, PowerFlowError
from security_check.network import FloatArray, IndexArray
from security_check.packing import PackingRows
from security_check.robust_rows import SECURE, RobustRows

_ROUNDS = 200
_PATIENCE = 12  # rounds before old rows are kept
_MEMORY = 8  # rounds for which they are kept
_CLOSE = 0.5  # a row filled to more than this is worked on from the start
_STILL = 1e-9  # largest change of a limit between rounds, relative to the largest limit
_ROUGH = 1e-4  # the same, while rows are still being found


@dataclass(frozen=True, slots=True)
class Fill:
    """The fair, AC-exact limits.

    Parameters
    ----------
    u
        Shape (2 c,), limits per unit, injection first.
    bottleneck
        Shape (2 c,), index of the monitored row that stopped each limit, or ``CAPACITY``.
    rows
        The packing rows that were worked on, exact at u.
    rounds
        How many times the rows were taken.
    """

    u: FloatArray
    bottleneck: IndexArray
    rows: PackingRows
    rounds: int


def fill_securely(robust: RobustRows, filling: Filling) -> Fill:
    """Return the max-min limits under every robust row, exact in the AC power flow.

    Parameters
    ----------
    robust
        The network's rows under one interval's limits; c connection points.
    filling
        Bounds, weights and offsets of the 2 c limits, per unit.

    Raises
    ------
    InsecureError
        When the lower bounds themselves break a row; names the element and the numbers.
    PowerFlowError
        When a power flow does not converge, or the rounds do not settle.
    """
    # Rows taken anew replace the old ones, and mostly settle in a handful of rounds.  Where the
    # worst points of several rows swing with the limits, the filling can go round in circles;
    # then the rows of the last rounds stay beside the new ones until it comes to rest.
    lower = filling.lower
    packing = _rows_at_lower_bounds(robust, lower)
    filled = progressive_filling(packing.A, packing.b, filling)
    settled = _STILL
    memory: deque[PackingRows] = deque(maxlen=_MEMORY)
    for rounds in range(1, _ROUNDS + 1):
        packing, reached = _retake(robust, packing, filled.u, lower)
        if rounds > _PATIENCE:
            memory.append(packing.take(_near(packing, reached, lower)))
        held = PackingRows.joined([packing, *memory])
        filled = progressive_filling(held.A, held.b, filling)
        u = filled.u
        moved = float(np.abs(u - reached).max(initial=0.0))
        moved /= max(float(reached.max(initial=0.0)), 1e-12)
        if moved > settled:
            continue
        fresh = robust.challenge(packing.take(_near(packing, u, lower)), u)
        if (robust.excess(fresh, u) > SECURE).any():
            packing = PackingRows.joined([packing, fresh])
            filled = progressive_filling(packing.A, packing.b, filling)
            settled = _ROUGH  # where one row was missed others may be: look before polishing
        elif moved <= _STILL:
            known = PackingRows.joined([packing, fresh])
            return Fill(u, _bottleneck_rows(filled, held), known, rounds)
    raise PowerFlowError(f"the envelopes did not settle in {_ROUNDS} rounds of AC correction")


def _rows_at_lower_bounds(robust: RobustRows, lower: FloatArray) -> PackingRows:
    """Return all rows, exact at the lower bounds, which must themselves be secure."""
    packing, values = robust.worst(robust.limited, robust.start_points(robust.limited), lower)
    violation = robust.violation(packing.rows, values)
    worst = int(violation.argmax())
    if violation[worst] > SECURE:
        row = int(packing.rows[worst])
        value, limit, unit = robust.monitors.describe(row, float(values[worst]), robust.limits)
        raise InsecureError(
            robust.element(row),
            f"with every limit at its lower bound it already reaches {value:.6g} {unit}, "
            f"its limit is {limit:.6g} {unit}",
        )
    return packing


def _near(packing: PackingRows, u: FloatArray, lower: FloatArray) -> IndexArray:
    """Return the rows of whose room between the lower bounds and the limit u uses a good part."""
    room = packing.b - packing.A @ lower
    used = packing.A @ (u - lower)
    return np.flatnonzero(used >= _CLOSE * room)


def _retake(
    robust: RobustRows, packing: PackingRows, u: FloatArray, lower: FloatArray
) -> tuple[PackingRows, FloatArray]:
    """Take the rows near their limits again at u, and return where that was.

    A first, linear filling may overshoot into voltage collapse; then the rows are taken half-way
    to the lower bounds, and know better.
    """
    near = _near(packing, u, lower)
    chosen = packing.take(near)
    for halving in range(11):
        try:
            worst, _ = robust.worst(chosen.rows, chosen.points, u)
        except PowerFlowError:
            if halving == 10:
                raise
            u = 0.5 * (u + lower)
            continue
        break
    taken = packing.placed(near, worst)
    return taken.take(taken.distinct(u)), u


def _bottleneck_rows(filled: Filled, packing: PackingRows) -> IndexArray:
    stopped = filled.bottleneck != CAPACITY
    rows = np.full(len(filled.u), CAPACITY, dtype=np.int64)
    rows[stopped] = packing.rows[filled.bottleneck[stopped]]
    return rows
