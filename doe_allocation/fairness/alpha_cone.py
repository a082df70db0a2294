"""Alpha-fairness as a cone program (cvxpy, Clarabel): accurate to about six digits."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from security_check.arrays import FloatArray

if TYPE_CHECKING:
    from doe_allocation.fairness.alpha_newton import RowLevels

ALPHA_IS_ONE = 1e-9
"""Largest distance of an alpha from 1 at which the utility is the logarithm."""


def solve_cone(program: RowLevels, typical: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Return limits and the prices of rows at the optimum, to about six digits.

    ``None`` where the solver finds none.

    Parameters
    ----------
    program
        The program to solve; alpha > 0.
    typical
        Shape (m,), > 0: units of the limits, of the optimum's order of magnitude.

    Notes
    -----
    With ``u = typical x`` and gains relative to the largest, the program is
    ``max gain' t`` with ``t <= x^(1 - alpha)`` in power cones for alpha < 1, ``t <= log x`` in
    exponential cones for alpha = 1, and ``t >= x^(1 - alpha)`` with a minus beyond.
    """
    import cvxpy as cp  # takes a second to import

    alpha = program.alpha
    gain = program.weight * (typical / program.weight) ** (1.0 - alpha)
    unit = float(gain.max())
    gain = gain / unit
    x, t = cp.Variable(len(gain)), cp.Variable(len(gain))
    ones = np.ones(len(gain))
    if abs(alpha - 1.0) < ALPHA_IS_ONE:
        cones = [cp.ExpCone(t, ones, x)]
        worth = gain @ t
    elif alpha < 1.0:
        cones = [cp.PowCone3D(x, ones, t, 1.0 - alpha)]
        worth = gain @ t / (1.0 - alpha)
    else:
        cones = [cp.PowCone3D(t, x, ones, 1.0 / alpha)]
        worth = -(gain @ t) / (alpha - 1.0)
    rows: list[Any] = [(program.A * typical) @ x <= program.b]
    bounds: list[Any] = [x >= program.lower / typical, x <= program.upper / typical]
    problem = cp.Problem(cp.Maximize(worth), rows + bounds + cones)
    try:
        with warnings.catch_warnings():
            # Inaccurate prices are a good enough start.
            warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
            problem.solve(solver=cp.CLARABEL)  # type: ignore[no-untyped-call]  # cvxpy's has no types
    except cp.SolverError:
        return None
    if problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        return None
    limits = np.asarray(x.value, dtype=float) * typical
    return limits, np.maximum(np.asarray(rows[0].dual_value, dtype=float), 0.0) * unit
