"""Envelopes of meshed networks with generators, and after outages, against every vertex."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meshed_networks import MeshedArea, meshed_area, worst_of

from security_check.checking.verdict import LimitChange
from security_check.errors import InsecureError
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits
from security_check.verification.adversary import attack

ROUNDED = 1e-6  # parts of a scale that limits rounded down to watts may leave
AREAS: dict[str, dict[str, Any]] = {
    "one slack": {"distributed_slack": False},
    "shared slack": {},
    "little reactive power": {"seed": 1, "q_mvar": 25.0},
    "little active power": {"seed": 2, "p_mw": (-30.0, 60.0)},
    "thin lines": {"seed": 3, "max_i_ka": 0.25},
    "lagging": {"seed": 4, "power_factor": 0.95},
    "interface": {"interface": InterfaceLimits(1.0, 1.04, 30_000_000, 40_000_000)},
}
OUTAGES: dict[str, dict[str, Any]] = {
    "lines and a generator": {"seed": 0, "outages": ("line:1", "line:4", "gen:0")},
    "other lines": {"seed": 3, "outages": ("line:0", "line:2", "line:5", "gen:1")},
    "one slack": {"seed": 0, "outages": ("line:1", "line:7"), "distributed_slack": False},
}


def lower_and_upper(area: MeshedArea) -> tuple[np.ndarray, np.ndarray]:
    return area.grid.capacity.lower_w(), area.grid.capacity.upper_w()


@pytest.mark.parametrize("name", AREAS)
def test_no_vertex_breaks_anything_and_something_binds(name):
    area = meshed_area(**AREAS[name])
    check = area.allocate()
    (worst,) = worst_of(area, check.limits_w).values()
    assert worst < 1e-9
    assert worst > -ROUNDED, "nothing binds: the envelopes are smaller than they could be"


@pytest.mark.parametrize("name", AREAS)
def test_no_limit_can_grow_by_a_thousandth_alone(name):
    """Max-min: every limit has a bottleneck, which any growth of that limit alone breaks."""
    area = meshed_area(**AREAS[name])
    check = area.allocate()
    _, upper = lower_and_upper(area)
    for k in np.flatnonzero(check.limits_w < upper):
        more = check.limits_w
        more[k] = int(more[k] * 1.001) + 1_000
        assert max(worst_of(area, more).values()) > 0.0


@pytest.mark.parametrize("name", OUTAGES)
class TestOutages:
    def test_no_vertex_breaks_anything_in_any_state(self, name):
        area = meshed_area(**OUTAGES[name])
        worst = worst_of(area, area.allocate().limits_w)
        assert list(worst) == ["", *(f"without {each}" for each in OUTAGES[name]["outages"])]
        assert max(worst.values()) < 1e-9
        assert max(worst.values()) > -ROUNDED

    def test_envelopes_without_them_are_larger_and_do_not_survive_them(self, name):
        area = meshed_area(**OUTAGES[name])
        alone = meshed_area(**{**OUTAGES[name], "outages": ()})
        small, large = area.allocate().limits_w, alone.allocate().limits_w
        assert np.min(small) < np.min(large)
        assert max(worst_of(area, large).values()) > 1e-3

    def test_one_outage_more_never_enlarges(self, name):
        """The smallest limits, in order, never grow with another outage."""
        settings = dict(OUTAGES[name])
        outages = settings.pop("outages")
        before = None
        for count in range(len(outages) + 1):
            now = np.sort(meshed_area(**settings, outages=outages[:count]).allocate().limits_w)
            if before is not None:
                changed = np.flatnonzero(np.abs(now - before) > 1e-6 * before.max())
                assert not len(changed) or now[changed[0]] < before[changed[0]]
            before = now

    def test_the_adversary_finds_nothing(self, name):
        area = meshed_area(**OUTAGES[name])
        check = area.allocate()
        rng = np.random.default_rng(0)
        finding = attack(check.robust_rows, check.limits_w, rng, samples=64, climbs=4)
        assert -1e-3 < finding.violation < 1e-9
        assert finding.element in {each.verdict.element for each in check.explanations()}

    def test_the_adversary_breaks_what_ignores_them(self, name):
        area = meshed_area(**OUTAGES[name])
        large = meshed_area(**{**OUTAGES[name], "outages": ()}).allocate().limits_w
        robust = area.grid.robust_rows(area.limits.interface)
        finding = attack(robust, large, np.random.default_rng(0), samples=64, climbs=4)
        assert finding.violation == pytest.approx(max(worst_of(area, large).values()), rel=1e-5)
        assert " without " in finding.element

    def test_bottlenecks_tell_the_outage(self, name):
        envelopes = meshed_area(**OUTAGES[name]).allocate().envelopes()
        reported = envelopes.injection_bottlenecks + envelopes.withdrawal_bottlenecks
        assert any(" without " in bottleneck for bottleneck in reported)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [AREAS["shared slack"], OUTAGES["other lines"]])
def test_trades_are_secure_in_every_state(settings):
    """What a check confirms survives brute force; what it refuses does not."""
    area = meshed_area(**settings)
    check = area.allocate()
    rng = np.random.default_rng(2)
    points = check.connection_points
    seen = set()
    for _ in range(40):
        seller, buyer = rng.permutation(len(points))[:2]
        direction = list(Direction)[rng.integers(2)]
        offset = 0 if direction is Direction.INJECTION else len(points)
        quantity = int(check.limits_w[offset + seller] * rng.uniform(0.05, 0.5))
        changes = [
            LimitChange(points[seller], direction, -quantity),
            LimitChange(points[buyer], direction, quantity),
        ]
        changed = check.limits_w
        changed[offset + seller] -= quantity
        changed[offset + buyer] += quantity
        worst = max(worst_of(area, changed).values())
        verdict = check.confirm(changes)
        assert verdict.secure == (worst <= 1e-9) or abs(worst) < 1e-6
        if verdict.secure:
            check.commit(changes)
        else:
            assert verdict.loading - 1.0 == pytest.approx(worst, abs=1e-6)
        seen.add(verdict.secure)
    assert seen == {True, False}


def test_a_schedule_beyond_a_generators_limit_is_reported():
    area = meshed_area(3, 1, p_mw=(-100.0, 25.0), distributed_slack=False)
    with pytest.raises(InsecureError, match=r"gen:1: .* 30,000,000 W, its limit is 25,000,000 W"):
        area.allocate()


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    customers=st.integers(3, 6),
    seed=st.integers(0, 10_000),
    max_i_ka=st.sampled_from([0.4, 0.6, 0.8]),
    q_mvar=st.sampled_from([60.0, 90.0, 150.0]),
    p_mw=st.sampled_from([(-100.0, 140.0), (-20.0, 60.0), (-300.0, 300.0)]),
    distributed_slack=st.booleans(),
    power_factor=st.sampled_from([1.0, 0.9]),
    outages=st.lists(
        st.sampled_from(["line:0", "line:1", "line:2", "line:3", "line:4", "gen:0"]),
        max_size=3,
        unique=True,
    ),
)
def test_no_vertex_breaks_random_areas(outages, **settings):
    area = meshed_area.__wrapped__(**settings, outages=tuple(outages))
    try:
        check = area.allocate()
    except InsecureError:
        lower, _ = lower_and_upper(area)
        assert max(worst_of(area, lower).values()) > 0.0
        return
    assert max(worst_of(area, check.limits_w).values()) < 1e-9
