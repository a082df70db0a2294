"""Electrically separate parts: allocated and checked apart, the same as together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks
import pytest
from networks import feeder
from others_warnings import others_warnings_ignored

from doe_allocation.allocation.islands_check import IslandsCheck
from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.verdict import LimitChange
from security_check.errors import InsecureError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import Direction
from security_check.model.islands import Island, islands_of
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network

BAND = InterfaceLimits(0.98, 1.04)
VOLTAGES = VoltageLimits(0.92, 1.08)
CUSTOMERS = (5, 4, 6)


def grid_of(part: Island) -> NetworkGrid:
    points = part.network.connection_points
    return NetworkGrid(part.network, VOLTAGES, Capacity.same(points, 25_000, 25_000, 500, 500))


@pytest.fixture(scope="module")
def town() -> Any:
    """Three feeders, each with an external grid of its own, on one map."""
    net = feeder(CUSTOMERS[0], 1)
    for seed, customers in ((2, CUSTOMERS[1]), (4, CUSTOMERS[2])):
        net = pp.toolbox.merge_nets(
            net, feeder(customers, seed, max_i_ka=0.06), validate=False, net2_reindex_log_level=None
        )
    return net


@pytest.fixture(scope="module")
def network(town: Any) -> Network:
    return network_from_pandapower(town)


@pytest.fixture(scope="module")
def grid(network: Network) -> IslandsGrid:
    return IslandsGrid(network, grid_of)


@pytest.fixture
def check(grid: IslandsGrid) -> IslandsCheck:
    found = grid.allocate(BAND)
    assert isinstance(found, IslandsCheck)
    return found


def test_no_change_is_answered_as_what_is_in_force(check: IslandsCheck) -> None:
    verdict = check.confirm([])
    assert verdict.secure
    assert verdict.element == check.verdict.element
    before = check.limits_w
    check.commit([])
    np.testing.assert_array_equal(check.limits_w, before)


def test_parts_hold_everything_once(network: Network) -> None:
    parts = islands_of(network)
    assert [len(part.points) for part in parts] == list(CUSTOMERS)
    np.testing.assert_array_equal(np.concatenate([p.points for p in parts]), np.arange(15))
    for what in ("voltages", "terminals"):
        found = [e for part in parts for e in getattr(part.network, what).elements]
        assert sorted(found) == sorted(getattr(network, what).elements)
    names = [name for part in parts for name in part.network.ports.names]
    assert sorted(names) == sorted(network.ports.names)


def test_a_network_of_one_part_is_whole() -> None:
    network = network_from_pandapower(feeder(4))
    (part,) = islands_of(network)
    assert part.network is network


def test_envelopes_are_those_of_the_whole(grid: IslandsGrid, check: IslandsCheck) -> None:
    whole = grid_of(Island(grid.network, np.arange(15))).allocate(BAND)
    assert np.abs(check.limits_w - whole.limits_w).max() <= 1
    assert check.envelopes().injection_bottlenecks == whole.envelopes().injection_bottlenecks
    assert check.verdict.loading == pytest.approx(whole.verdict.loading, abs=1e-6)


def test_limits_of_the_interfaces_power_count_for_all_parts_together(grid: IslandsGrid) -> None:
    contract = InterfaceLimits(0.98, 1.04, 60_000, 50_000)
    limited = grid.allocate(contract)
    losses_w = 2_000
    assert 60_000 <= limited.envelopes().injection_w.sum() <= 60_000 + losses_w
    assert "interface" in limited.envelopes().injection_bottlenecks
    found = grid.attack(contract, limited.limits_w, np.random.default_rng(0), samples=64)
    assert found.violation <= 1e-9


def test_a_trade_between_parts_loads_only_the_buyers(check: IslandsCheck) -> None:
    seller, buyer = check.connection_points[0], check.connection_points[-1]
    wanted_w, _ = check.largest_secure_w(Direction.INJECTION, seller, buyer, 400)
    changes = [
        LimitChange(seller, Direction.INJECTION, -wanted_w),
        LimitChange(buyer, Direction.INJECTION, wanted_w),
    ]
    first, *others, last = check.checks
    before = [other.limits_w for other in others]
    assert check.confirm(changes).secure
    check.commit(changes)
    assert first.limits_w[0] == check.limits_w[0]
    assert last.limits_w[5] == check.limits_w[14]
    for other, limits_w in zip(others, before, strict=True):
        np.testing.assert_array_equal(other.limits_w, limits_w)


def test_nothing_is_in_force_where_one_part_refuses(check: IslandsCheck) -> None:
    before = check.limits_w
    changes = [
        LimitChange(check.connection_points[0], Direction.INJECTION, -100),
        LimitChange(check.connection_points[14], Direction.INJECTION, 20_000),
    ]
    verdict = check.confirm(changes)
    assert not verdict.secure
    with pytest.raises(InsecureError, match=verdict.element):
        check.commit(changes)
    np.testing.assert_array_equal(check.limits_w, before)


def test_a_copy_is_independent(check: IslandsCheck) -> None:
    before = check.limits_w
    check.copy().commit([LimitChange(check.connection_points[3], Direction.WITHDRAWAL, -50)])
    np.testing.assert_array_equal(check.limits_w, before)


def test_resumes_and_reallocates_what_was_held(grid: IslandsGrid, check: IslandsCheck) -> None:
    held = check.envelopes()
    assert grid.resume(BAND, held).envelopes() == held
    tighter = grid.reallocate(InterfaceLimits(0.97, 1.06), held)
    assert tighter.envelopes().injection_w.sum() < held.injection_w.sum()


def test_the_adversary_finds_a_limit_raised_in_any_part(
    grid: IslandsGrid, check: IslandsCheck
) -> None:
    rng = np.random.default_rng(0)
    assert grid.attack(BAND, check.limits_w, rng, samples=64).violation <= 1e-9
    raised = check.limits_w
    raised[14] += 2_000
    found = grid.attack(BAND, raised, rng, samples=64)
    assert found.violation > 1e-3
    assert (found.operating_point.power_w[:9] == 0).all()
    assert (found.operating_point.power_w[9:] != 0).any()


@pytest.mark.slow
def test_a_town_of_fifteen_hundred_customers_withstands_the_adversary() -> None:
    with others_warnings_ignored():
        net = pandapower.networks.lv_schutterwald()
    network = network_from_pandapower(net)
    assert len(network.connection_points) == 1506

    def make(part: Island) -> NetworkGrid:
        points = part.network.connection_points
        return NetworkGrid(part.network, VoltageLimits(), Capacity.same(points, 30_000, 30_000))

    grid = IslandsGrid(network, make)
    check = grid.allocate(BAND)
    found = grid.attack(BAND, check.limits_w, np.random.default_rng(0), samples=32, climbs=2)
    assert found.violation <= 1e-4
    assert check.verdict.loading > 0.9999
