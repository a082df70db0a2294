"""References for rules of fairness: linear programs by scipy, one limit or share at a time."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


def best(A, b, lower, upper, gain, more=None) -> float:
    """Return the largest ``gain @ u`` over the polytope; ``more`` are rows ``M u >= m`` beside."""
    if more is not None:
        A, b = np.vstack([A, -more[0]]), np.concatenate([b, -more[1]])
    bounds = list(zip(lower, upper, strict=True))
    found = linprog(-gain, A_ub=A, b_ub=b, bounds=bounds, method="highs")
    assert found.success, found.message
    assert found.fun is not None
    return -found.fun


def lexicographic_shares(A, b, lower, upper, share_of, weight) -> np.ndarray:
    """Return the lexicographic max-min shares: raise the level, fix whom nothing lets rise above.

    Whether a share can is asked of a program of its own, not read off duals.
    """
    count, m = share_of.shape
    fixed: dict[int, float] = {}
    with_level = np.hstack([A, np.zeros((len(A), 1))])
    while len(fixed) < count:
        open_ = [j for j in range(count) if j not in fixed]
        held = [np.append(share_of[j], 0.0) for j in fixed]
        behind = [np.append(share_of[j], -weight[j]) for j in open_]
        no_less = [fixed[j] - 1e-9 for j in fixed] + [0.0] * len(open_)
        level = best(
            with_level,
            b,
            np.append(lower, -1e3),
            np.append(upper, 1e3),
            np.append(np.zeros(m), 1.0),
            (np.array(held + behind), np.array(no_less)),
        )
        rows = np.array([share_of[j] for j in [*fixed, *open_]])
        least = np.array(
            [fixed[j] - 1e-9 for j in fixed] + [weight[j] * level - 1e-9 for j in open_]
        )
        most = {j: best(A, b, lower, upper, share_of[j], (rows, least)) for j in open_}
        gap = {j: most[j] - weight[j] * level for j in open_}
        smallest = min(gap.values())
        fixed |= {j: weight[j] * level for j in open_ if gap[j] <= max(1e-7, 1.01 * smallest)}
    return np.array([fixed[j] for j in range(count)])


def gap_to_optimum(A, b, lower, upper, gradient, u) -> float:
    """Return how much a concave value could still gain at most, in parts of ``gradient @ u``.

    The value lies below its tangent, and over the polytope a program says how high that reaches.
    """
    gradient = gradient / gradient.max()
    return (best(A, b, lower, upper, gradient) - gradient @ u) / max(gradient @ np.abs(u), 1e-12)
