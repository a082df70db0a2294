"""Trades under forecasts that may be wrong, each checked against every vertex of box and set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from brute_force import of_rows, violation, worst_values
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import examples
from trade_moves import random_trades, trade
from uncertain_networks import AREAS, SETS, extreme_points, uncertain_area

from security_check.checking.verdict import LimitChange
from security_check.model.envelope import Direction
from security_check.uncertainty.deviation_sets import EllipsoidSet
from security_check.verification.adversary import attack
from security_check.worst_case.robust_rows import RobustRows

ROUNDING = 2e-9  # the check takes 1e-9 for rounding, the reference has its own


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("name", AREAS)
def test_envelopes_stay_secure_trade_by_trade(name: str, kind: str) -> None:
    area, deviations = uncertain_area(**AREAS[name]), SETS[kind]
    check = area.with_set(deviations).allocate(area.limits.interface)
    more = area.half_band_pu @ extreme_points(deviations).T
    rng, traded = np.random.default_rng(4), 0
    for direction, seller, buyer, wanted_w in random_trades(check, 9, seed=5):
        if trade(check, direction, seller, buyer, wanted_w):
            traded += 1
            check.check_invariants()
            assert violation(area.flow, area.limits, check.limits_w, more) <= ROUNDING
            if traded % 3 == 1:
                found = attack(check.robust_rows, check.limits_w, rng, samples=32, climbs=4)
                assert found.violation <= ROUNDING, found.element
    assert traded > 2


@settings(deadline=None, max_examples=examples(100))
@given(
    name=st.sampled_from(sorted(AREAS)),
    kind=st.sampled_from(sorted(SETS)),
    seed=st.integers(0, 10**6),
)
def test_a_verdict_is_that_of_every_vertex(name: str, kind: str, seed: int) -> None:
    """Any joint change of limits, near what is secure; of an ellipsoid samples break limits."""
    area, deviations = uncertain_area(**AREAS[name]), SETS[kind]
    check = area.with_set(deviations).allocate(area.limits.interface)
    more = area.half_band_pu @ extreme_points(deviations).T
    rng = np.random.default_rng(seed)
    wanted = rng.choice([-1, 0, 0, 1], 2 * len(check.connection_points))
    size_w = int(10 ** rng.uniform(0.0, 3.5))
    new_w = np.clip(check.limits_w + wanted * size_w, 500, 25_000)
    each = [
        LimitChange(point, direction, int(new - old))
        for direction, part, own in zip(
            Direction, np.split(new_w, 2), np.split(check.limits_w, 2), strict=True
        )
        for point, new, old in zip(check.connection_points, part, own, strict=True)
        if new != old
    ]
    worst = violation(area.flow, area.limits, new_w, more)
    secure = check.confirm(each).secure
    if worst > ROUNDING:
        assert not secure
    elif worst < -1e-5 and not isinstance(deviations, EllipsoidSet):
        assert secure


@settings(deadline=None, max_examples=examples(80))
@given(
    name=st.sampled_from(sorted(AREAS)),
    kind=st.sampled_from(sorted(SETS)),
    seed=st.integers(0, 10**6),
    size=st.floats(0.1, 1.6),
)
def test_no_bound_is_below_the_truth(name: str, kind: str, seed: int, size: float) -> None:
    """The bound of each row holds with every deviation of the set, wherever voltages hold."""
    area, deviations = uncertain_area(**AREAS[name]), SETS[kind]
    rng = np.random.default_rng(seed)
    limits_w = (size * rng.uniform(0.0, 15_000, 2 * len(area.grid.connection_points))).astype(int)
    more = area.half_band_pu @ extreme_points(deviations).T
    worst = worst_values(area.flow, area.limits, limits_w, more)
    robust = area.with_set(deviations).robust_rows(area.limits.interface)
    limits = robust.limits
    if worst["lowest"].min() < limits.voltage_min_pu:
        limits = replace(limits, voltage_min_pu=float(worst["lowest"].min()))
    u = limits_w / area.flow.network.base_power_w
    bounds = robust.monitors.bounds(robust.conditions, u, limits)
    ruled_out = RobustRows(replace(robust.problem, limits=limits)).cannot_bind(u)
    for rows, brute in of_rows(robust.monitors, worst):
        assert (bounds[rows] >= brute - 1e-12).all()
        if ruled_out[rows].any():
            assert brute <= limits.limit[rows[0]] + 1e-12


@settings(deadline=None, max_examples=examples(40))
@given(
    name=st.sampled_from(sorted(AREAS)),
    kind=st.sampled_from(sorted(SETS)),
    seed=st.integers(0, 10**6),
)
def test_no_row_changes_by_more_than_the_bound_of_its_drift(
    name: str, kind: str, seed: int
) -> None:
    area, deviations = uncertain_area(**AREAS[name]), SETS[kind]
    rng = np.random.default_rng(seed)
    count = 2 * len(area.grid.connection_points)
    before_w = rng.uniform(0.0, 12_000, count).astype(int)
    after_w = (before_w + rng.choice([0, 0, 800, -800, 4_000], count)).clip(0)
    more = area.half_band_pu @ extreme_points(deviations).T
    first, second = (
        worst_values(area.flow, area.limits, each, more) for each in (before_w, after_w)
    )
    robust = area.with_set(deviations).robust_rows(area.limits.interface)
    limits = robust.limits
    lowest = min(first["lowest"].min(), second["lowest"].min())
    if lowest < limits.voltage_min_pu:
        limits = replace(limits, voltage_min_pu=float(lowest))
    before, after = (each / area.flow.network.base_power_w for each in (before_w, after_w))
    drift = robust.monitors.drift(robust.conditions, before, after, limits)
    pairs = zip(of_rows(robust.monitors, first), of_rows(robust.monitors, second), strict=True)
    for (rows, was), (_, now) in pairs:
        assert (np.abs(now - was) <= drift[rows] + 1e-12).all()
