"""Random boxes of envelopes, and what is found of their worst points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from brute_force import of_rows, worst_values
from networks import Area

from security_check.monitoring.row_kinds import RowKind
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import RowProblem
from security_check.worst_case.search import WorstPointSearch

IDLE = 0.05  # a branch loaded to less is idle: what flows there has no side


def random_box(area: Area, seed: int) -> np.ndarray:
    """Return limits around those allocated, some of them zero, in watts."""
    rng = np.random.default_rng(seed)
    allocated_w = area.allocate().limits_w
    limits_w = allocated_w * rng.uniform(0.3, 1.3, len(allocated_w))
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


def check_worst_of_all_vertices(area: Area, limits_w: np.ndarray) -> tuple[RobustRows, PackingRows]:
    """Check that no row is found short of its worst vertex; return the rows and what was found.

    Currents of idle branches are left out.
    """
    network = area.flow.network
    u = limits_w / network.base_power_w
    robust, pairs = all_at_their_limits(area, limits_w)
    found = found_by(robust, u)
    values, scale = robust.values(found, u), robust.limits.scale
    for rows, brute in pairs:
        is_current = robust.monitors.kind[rows[0]] in (
            RowKind.CURRENT_EXPORT,
            RowKind.CURRENT_IMPORT,
        )
        if is_current and brute < IDLE * network.terminals.rating_pu.min():
            continue
        worst = values[np.isin(found.rows, rows)].max()
        short = (brute - worst) / scale[rows[0]]
        assert short < 1e-6, (robust.element(int(rows[0])), worst, brute)
    return robust, found
