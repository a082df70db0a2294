"""The worst points of rows against every vertex of small networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from brute_force import measured, of_rows, worst_values
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL_AREAS, small_area
from random_boxes import all_at_their_limits, found_by, random_box
from sampling import examples

from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import Starts

NAMES = st.sampled_from(sorted(SMALL_AREAS))


@settings(deadline=None, max_examples=examples(60))
@given(name=NAMES, seed=st.integers(0, 10**6))
def test_the_worst_is_that_of_all_vertices(name, seed):
    """At least as bad as the worst vertex, and truly reached at the point named."""
    area = small_area(**SMALL_AREAS[name])
    limits_w = random_box(area, seed)
    u = limits_w / area.flow.network.base_power_w
    robust, pairs = all_at_their_limits(area, limits_w)
    found = found_by(robust, u)
    values = robust.values(found, u)
    scale = robust.limits.scale
    for rows, brute in pairs:
        own = np.isin(found.rows, rows)
        worst = values[own].max()
        short = (brute - worst) / scale[rows[0]]
        assert short < 1e-6, (robust.element(int(rows[0])), worst, brute)
    # A value above those of the vertices must come with a point of the box that reaches it.
    power = found.points.power(u)
    injection, withdrawal = np.split(u, 2)
    assert (power <= injection + 1e-12).all()
    assert (power >= -withdrawal - 1e-12).all()
    at = measured(area.flow, power.T, robust.conditions.ports(found.points, u)[1][0])
    ends = {"highest": at["voltage"], "lowest": at["voltage"], "current": at["current"]}
    ends |= {"injected": -at["drawn"], "withdrawn": at["drawn"]}
    there = of_rows(area.grid.monitors, ends)
    by_row = {int(row): value for rows, value in there for row in rows}
    for k, row in enumerate(found.rows):
        seen = by_row[int(row)][k]
        assert seen >= values[k] - 1e-6 * scale[row], robust.element(int(row))


@pytest.mark.parametrize("name", SMALL_AREAS)
def test_rows_are_exact_where_taken_and_tangent(name):
    """Moving one limit by little moves the row's maximum as its coefficient says."""
    area = small_area(**SMALL_AREAS[name])
    base_w = area.flow.network.base_power_w
    check = area.allocate()
    u = check.limits_w / base_w
    robust = check.robust_rows
    rows = check.rows
    assert (rows.A >= 0).all()
    anew = robust.exact(rows.rows, rows.points, u)
    np.testing.assert_allclose(robust.values(rows, u), robust.values(anew, u), rtol=0, atol=1e-7)
    values, _ = robust.problem.evaluate(anew.rows, anew.points, u)
    np.testing.assert_allclose(robust.values(anew, u), values, rtol=0, atol=1e-7)
    at_corner = ((rows.points.share == 0) | (rows.points.share == 1)).all(axis=1)
    assert at_corner.any()
    step = 20.0 / base_w
    for k in range(len(u)):
        more, less = u.copy(), u.copy()
        more[k] += step
        less[k] -= step
        ahead, behind = (
            robust.problem.evaluate(rows.rows, rows.points, x)[0] for x in (more, less)
        )
        slope = (ahead - behind) / (2 * step)
        error = np.abs(np.maximum(slope, 0) - anew.A[:, k])[at_corner]
        assert error.max() < 1e-4 * np.abs(anew.A).max()


@settings(deadline=None, max_examples=examples(60))
@given(name=NAMES, seed=st.integers(0, 10**6), size=st.floats(0.1, 1.6))
def test_no_bound_is_below_the_truth(name, seed, size):
    """Wherever the lowest voltages hold, as the bound demands; what is ruled out cannot bind."""
    area = small_area(**SMALL_AREAS[name])
    limits_w = (random_box(area, seed) * size).astype(np.int64)
    worst = worst_values(area.flow, area.limits, limits_w)
    robust = area.grid.robust_rows(area.limits.interface)
    limits = robust.limits
    if worst["lowest"].min() < limits.voltage_min_pu:
        limits = replace(limits, voltage_min_pu=float(worst["lowest"].min()))
    u = limits_w / area.flow.network.base_power_w
    bounds = area.grid.monitors.bounds(robust.conditions, u, limits)
    ruled_out = RobustRows(replace(robust.problem, limits=limits)).cannot_bind(u)
    for rows, brute in of_rows(area.grid.monitors, worst):
        assert (bounds[rows] >= brute - 1e-12).all()
        if ruled_out[rows].any():
            assert brute <= limits.limit[rows[0]] + 1e-12


def test_bounds_rule_something_out():
    """Else the test above would say nothing of them."""
    area = small_area(**SMALL_AREAS["voltages bind"])
    robust = area.grid.robust_rows(area.limits.interface)
    u = area.allocate().limits_w / area.flow.network.base_power_w
    assert 0 < robust.cannot_bind(u).sum() < len(robust.limited)


@pytest.mark.parametrize("name", SMALL_AREAS)
def test_lookouts_watch_every_limited_row(name):
    area = small_area(**SMALL_AREAS[name])
    robust = area.grid.robust_rows(area.limits.interface)
    starts = Starts(robust)
    rows = starts.watch.rows[starts.lookouts]
    assert set(rows.tolist()) == set(robust.limited.tolist())
    pointed = robust.start_points(rows).share
    places = starts.watch.column[starts.lookouts]
    np.testing.assert_array_equal(starts.watch.points.share[places], pointed)
    of_interface = [row for row in robust.limited if robust.element(int(row)) == "interface"]
    contract = area.limits.interface
    expected = sum(x is not None for x in (contract.injection_limit_w, contract.withdrawal_limit_w))
    assert len(of_interface) == expected


@settings(deadline=None, max_examples=examples(40))
@given(name=NAMES, seed=st.integers(0, 10**6), part=st.sampled_from([0.002, 0.02, 0.2]))
def test_nothing_moves_farther_than_its_drift(name, seed, part):
    """From one box to another, by brute force over the vertices of both."""
    area = small_area(**SMALL_AREAS[name])
    before = random_box(area, seed)
    rng = np.random.default_rng(seed)
    after = np.maximum((before * rng.uniform(1 - part, 1 + part, len(before))).astype(np.int64), 0)
    worst = [worst_values(area.flow, area.limits, limits_w) for limits_w in (before, after)]
    robust = area.grid.robust_rows(area.limits.interface)
    limits = robust.limits
    lowest = min(found["lowest"].min() for found in worst)
    if lowest < limits.voltage_min_pu:
        limits = replace(limits, voltage_min_pu=float(lowest))
    base_w = area.flow.network.base_power_w
    moved = area.grid.monitors.drift(robust.conditions, before / base_w, after / base_w, limits)
    pairs = [of_rows(area.grid.monitors, found) for found in worst]
    for (rows, first), (_, second) in zip(*pairs, strict=True):
        assert abs(first - second) <= moved[rows].max() + 1e-12


def test_drifts_are_small_where_moves_are():
    """Else the test above would say nothing of them."""
    area = small_area(**SMALL_AREAS["voltages bind"])
    robust = area.grid.robust_rows(area.limits.interface)
    u = area.allocate().limits_w / area.flow.network.base_power_w
    moved = area.grid.monitors.drift(robust.conditions, u, 1.001 * u, robust.limits)
    assert 0.0 < (moved[robust.limited] / robust.limits.scale[robust.limited]).max() < 0.01
