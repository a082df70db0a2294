"""Linear rows between the envelopes in force and envelopes that were refused."""

from __future__ import annotations

import numpy as np

from security_check.arrays import FloatArray
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows


def secants(
    robust: RobustRows, rows: PackingRows, held: FloatArray, refused: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return coefficients and headrooms of rows, right at both ends of a refused change.

    A quantity that bends down on the way has a tangent at the refused envelopes that lies above it
    at the envelopes in force: as if these were insecure.  Where it even ends level (an inverter
    feeds no more), the tangent would not exclude the change that was refused.  Such rows get the
    secant: the coefficients of the limits that were to rise are scaled until the row has its own
    value at both ends.

    Parameters
    ----------
    robust
        The rows of the interval; c connection points.
    rows
        r rows, exact at the refused envelopes.
    held, refused
        Shape (2 c,), per unit: the envelopes in force, which are secure, and those refused.

    Returns
    -------
    coefficients
        Shape (r, 2 c), not negative.
    headroom
        Shape (r,), at the envelopes in force.
    """
    A, headroom = rows.A.copy(), rows.b - rows.A @ held
    above = np.flatnonzero(headroom < 0.0)
    own = rows.take(above)
    limit = robust.limits.limit[own.rows]
    here = robust.problem.evaluate(own.rows, own.points, held)[0]
    change, rising = refused - held, np.maximum(refused - held, 0.0)
    # What the rising limits must add, so that the row goes from its value here to the one there.
    added = robust.values(own, refused) - here - A[above] @ (change - rising)
    tangent = A[above] @ rising
    steep = tangent > 0.0
    scaled = np.where(steep, added, 0.0) / np.where(steep, tangent, 1.0)
    A[above] = np.where(rising > 0.0, A[above] * np.maximum(scaled, 0.0)[:, None], A[above])
    even = np.maximum(added, 0.0) / max(float(rising.sum()), 1e-300)
    A[above] += np.where(steep, 0.0, even)[:, None] * (rising > 0.0)
    headroom[above] = limit - here
    return A, headroom
