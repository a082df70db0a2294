"""Random boxes of envelopes, and what is found of their worst points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from brute_force import of_rows, worst_values
from networks import Area

from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import RowProblem
from security_check.worst_case.search import WorstPointSearch


def random_box(area: Area, seed: int) -> np.ndarray:
    """Return limits around those allocated, some of them zero, in watts."""
    rng = np.random.default_rng(seed)
    limits_w = area.allocate().limits_w
    limits_w = limits_w * rng.uniform(0.3, 1.3, len(limits_w))
    limits_w[rng.random(len(limits_w)) < 0.1] = 0
    return limits_w.astype(np.int64)


def all_at_their_limits(area: Area, limits_w: np.ndarray) -> tuple[RobustRows, list]:
    """Return rows whose limits are the brute-force maxima themselves, so that all are near."""
    monitors = area.grid.monitors
    robust = area.grid.robust_rows(area.limits.interface)
    limits = robust.limits
    pairs = of_rows(monitors, worst_values(area.flow, area.limits, limits_w))
    limit = limits.limit.copy()
    for rows, value in pairs:
        limit[rows] = value
    scale = np.maximum(np.abs(limit), 1e-3)
    near = replace(limits, limit=limit, scale=scale)
    return RobustRows(RowProblem(monitors, near, robust.conditions)), pairs


def found_by(robust: RobustRows, u: np.ndarray) -> PackingRows:
    known, _ = robust.worst(robust.limited, robust.start_points(robust.limited), u)
    return PackingRows.joined(
        [known, WorstPointSearch(robust).find_new_worst_points(known, u, near=np.inf)]
    )
