"""Fixed points of batches, accelerated, for maps that are not contractions.

Anderson's acceleration (D. G. Anderson, Iterative Procedures for Nonlinear Integral Equations,
Journal of the ACM 12, 1965; type II of Fang and Saad, 2009) takes, of the last few steps, the
combination whose residuals cancel best.  On linear maps it is GMRES, so it also converges where
the plain iteration diverges.  Each column of a batch is accelerated on its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from security_check.arrays import ComplexArray, FloatArray, IndexArray

_MEMORY = 6  # earlier steps that are combined
_RIDGE = 1e-13  # parts of the largest squared change: keeps equal steps from a singular system


def fixed_points(
    step: Callable[[ComplexArray, IndexArray], ComplexArray],
    start: ComplexArray,
    tolerance: float,
    iterations: int,
) -> tuple[ComplexArray, IndexArray]:
    """Return x with ``step(x) = x`` for each column, and the columns for which none was found.

    Parameters
    ----------
    step
        The map, of (J, b) values in the columns named, shape (b,), of the batch.
    start
        Shape (J, B).
    tolerance
        Largest ``|step(x) - x|`` of a column that counts as found.
    iterations
        Largest number of steps.
    """
    found = start.copy()
    on = np.arange(start.shape[1])
    x = start.copy()
    history: list[tuple[ComplexArray, ComplexArray]] = []
    for _ in range(iterations):
        following = step(x, on)
        residual = following - x
        found[:, on] = following
        left = ~(np.abs(residual).max(axis=0, initial=0.0) <= tolerance)
        if not left.any():
            return found, on[:0]
        on, x, residual = on[left], x[:, left], residual[:, left]
        history = [(a[:, left], b[:, left]) for a, b in history]
        history = [*history[-_MEMORY:], (x, residual)]
        x = x + residual
        if len(history) > 1:
            x = x - _combination(history)
    return found, on


def _combination(history: list[tuple[ComplexArray, ComplexArray]]) -> ComplexArray:
    """Return the combination of the last steps that corrects the plain step."""
    points = np.stack([point for point, _ in history])
    residuals = np.stack([residual for _, residual in history])
    moved, changed = np.diff(points, axis=0), np.diff(residuals, axis=0)
    last = residuals[-1]
    parts = np.concatenate([changed.real, changed.imag], axis=1)
    gram: FloatArray = np.einsum("ajb,cjb->bac", parts, parts)
    right: FloatArray = np.einsum("ajb,jb->ba", parts, np.concatenate([last.real, last.imag]))
    size = np.einsum("baa->ba", gram)
    ridge = _RIDGE * size.max(axis=1, keepdims=True) + 1e-300
    size += ridge
    weights = np.linalg.solve(gram, right[:, :, None])[:, :, 0]
    combined: ComplexArray = np.einsum("ajb,ba->jb", moved + changed, weights)
    return combined
