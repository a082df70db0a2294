"""Fair envelopes on real networks: figures known before, tightness, and the adversary.

The adversary shares the AC power flow with the allocation and nothing else of it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from others_warnings import others_warnings_ignored

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.progressive_filling import Filling, progressive_filling
from security_check.checking.check import SecurityCheck
from security_check.errors import InsecureError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.operating_range.points import WorstPoints
from security_check.verification.adversary import attack
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows

SEMIURBAN = "1-LV-semiurb4--0-sw"
BAND = InterfaceLimits(0.98, 1.04)
TIGHT = 1e-4  # parts of the limit: a binding element is at least this close to it
ABOVE = 1e-4  # parts of the limit that nothing exceeds: 100.01 %
ABOVE_PU = 1e-5  # and voltages

slow = pytest.mark.slow


@cache
def network(code: str, power_factor: float = 1.0) -> Network:
    """Return a simbench network whose loads are the connection points."""
    with others_warnings_ignored():
        import simbench

        net = simbench.get_simbench_net(code)
    return network_from_pandapower(net, power_factor=power_factor)


def grid(
    code: str,
    capacity_w: int,
    *,
    power_factor: float = 1.0,
    buses: VoltageLimits | None = None,
) -> NetworkGrid:
    area = network(code, power_factor)
    capacity = Capacity.same(area.connection_points, capacity_w, capacity_w)
    return NetworkGrid(area, buses or VoltageLimits(0.90, 1.10), capacity)


def assert_secure(check: SecurityCheck, seed: int, samples: int = 2000, climbs: int = 30) -> None:
    """Let the adversary look for a point that breaks something."""
    rng = np.random.default_rng(seed)
    found = attack(check.robust_rows, check.limits_w, rng, samples=samples, climbs=climbs)
    assert found.violation <= ABOVE, f"{found.element} at {found.value}, limit {found.limit}"
    if found.element.startswith("bus"):
        assert abs(found.value - found.limit) <= ABOVE_PU or found.violation <= 0.0


def assert_tight(check: SecurityCheck) -> None:
    """The fullest element is at its limit, but for the rounding of limits to whole watts."""
    whole_watts = 1.0 / check.limits_w[check.limits_w > 0].min()
    assert check.verdict.secure
    assert check.verdict.loading == pytest.approx(1.0, abs=max(TIGHT, whole_watts))


@pytest.fixture(scope="module")
def semiurban() -> SecurityCheck:
    return grid(SEMIURBAN, 30_000).allocate(BAND)


class TestFiguresKnownBefore:
    """The reference of the design: one LV network, 30 kW each way."""

    def test_injection(self, semiurban):
        injection = semiurban.envelopes().injection_w
        assert injection.min() == pytest.approx(6907, rel=1e-3)
        assert injection.mean() == pytest.approx(9783, rel=1e-3)
        assert injection.max() == pytest.approx(15329, rel=1e-3)

    def test_withdrawal_is_the_same_for_every_customer(self, semiurban):
        withdrawal = semiurban.envelopes().withdrawal_w
        assert withdrawal.min() == pytest.approx(6621, rel=1e-3)
        assert withdrawal.max() == withdrawal.min()

    def test_every_limit_below_capacity_names_its_bottleneck(self, semiurban):
        envelopes = semiurban.envelopes()
        names = envelopes.injection_bottlenecks + envelopes.withdrawal_bottlenecks
        assert all(name.startswith(("bus:", "line:", "trafo:")) for name in names)

    def test_raising_any_limit_fills_its_bottleneck_beyond_the_limit(self, semiurban):
        rows, headroom = semiurban.rows, semiurban.headroom
        scale = semiurban.robust_rows.limits.scale[rows.rows]
        full = headroom <= TIGHT * scale
        assert (rows.A[full].max(axis=0) > 0.0).all()

    def test_directions_treated_apart_are_broken_by_the_adversary(self):
        area = grid(SEMIURBAN, 30_000)
        robust = area.robust_rows(BAND)
        injection = corner_limits(robust, share=1.0, capacity_w=30_000)
        withdrawal = corner_limits(robust, share=0.0, capacity_w=30_000)
        assert injection.min() == pytest.approx(6959, rel=1e-3)
        found = attack(robust, np.concatenate([injection, withdrawal]), np.random.default_rng(0))
        assert found.violation > 1e-3


def corner_limits(robust: RobustRows, share: float, capacity_w: int) -> np.ndarray:
    """Return max-min limits of one direction, secure only where every customer takes that side."""
    count = robust.points
    base_w = robust.monitors.power_flow.network.base_power_w
    mine = np.arange(2 * count) // count == (0 if share else 1)
    upper = np.where(mine, capacity_w / base_w, 0.0)
    filling = Filling(np.zeros(2 * count), upper, np.ones(2 * count), np.zeros(2 * count))
    rows = np.concatenate([robust.limited, robust.limited])
    ends = np.repeat([-1.0, 1.0], len(robust.limited))
    corner = WorstPoints(np.full((len(rows), count), share), ends[:, None])
    u = np.zeros(2 * count)
    for _ in range(8):
        packing: PackingRows = robust.exact(rows, corner, u)
        u = progressive_filling(packing.A, packing.b, filling).u
    return np.floor(u[mine] * base_w).astype(np.int64)


LOW_VOLTAGE = [
    "1-LV-rural1--0-sw",
    "1-LV-rural2--0-sw",
    "1-LV-rural3--0-sw",
    "1-LV-semiurb4--0-sw",
    "1-LV-semiurb5--0-sw",
    "1-LV-urban6--0-sw",
]
MEDIUM_VOLTAGE = [
    "1-MV-rural--0-sw",
    "1-MV-semiurb--0-sw",
    "1-MV-urban--0-sw",
    "1-MV-comm--0-sw",
]


class TestTightAndSecure:
    @pytest.mark.slow
    @pytest.mark.parametrize("code", LOW_VOLTAGE)
    def test_low_voltage(self, code):
        check = grid(code, 30_000).allocate(BAND)
        assert_tight(check)
        assert_secure(check, seed=1, samples=500, climbs=12)

    @slow
    @pytest.mark.parametrize("power_factor", [1.0, 0.95])
    @pytest.mark.parametrize("code", LOW_VOLTAGE)
    def test_low_voltage_at_a_power_factor_with_tight_buses(self, code, power_factor):
        buses = VoltageLimits(0.95, 1.05)
        check = grid(code, 30_000, power_factor=power_factor, buses=buses).allocate(BAND)
        assert_tight(check)
        assert_secure(check, seed=2)

    @slow
    @pytest.mark.parametrize("power_factor", [1.0, 0.95])
    @pytest.mark.parametrize("code", MEDIUM_VOLTAGE)
    def test_medium_voltage(self, code, power_factor):
        check = grid(code, 3_000_000, power_factor=power_factor).allocate(BAND)
        assert_tight(check)
        for seed in (3, 4):
            assert_secure(check, seed)

    @slow
    @pytest.mark.parametrize("capacity_w", [300_000, 1_000_000, 10_000_000])
    def test_where_losses_let_worst_points_lie_inside(self, capacity_w):
        check = grid("1-MV-rural--0-sw", capacity_w).allocate(BAND)
        assert_tight(check)
        assert_secure(check, seed=5)

    @slow
    @pytest.mark.parametrize(
        ("band", "buses"),
        [
            (InterfaceLimits(0.99, 1.02), VoltageLimits(0.90, 1.10)),
            (BAND, VoltageLimits(0.95, 1.05)),
        ],
    )
    def test_other_voltages(self, band, buses):
        check = grid("1-MV-rural--0-sw", 3_000_000, buses=buses).allocate(band)
        assert_tight(check)
        assert_secure(check, seed=6)


class TestInterface:
    def test_limits_of_the_contract_bind(self):
        contract = InterfaceLimits(0.98, 1.04, 100_000, 120_000)
        check = grid(SEMIURBAN, 30_000).allocate(contract)
        envelopes = check.envelopes()
        assert set(envelopes.injection_bottlenecks) == {"interface"}
        assert set(envelopes.withdrawal_bottlenecks) == {"interface"}
        assert_tight(check)
        assert_secure(check, seed=7, samples=200, climbs=6)

    @pytest.mark.slow
    def test_a_contract_that_does_not_bind_beside_tight_voltages(self):
        """Here only the interface voltage turns on the way to some worst points."""
        tight = VoltageLimits(0.95, 1.05)
        area = grid(SEMIURBAN, 30_000, power_factor=0.95, buses=tight)
        check = area.allocate(InterfaceLimits(0.98, 1.03, injection_limit_w=200_000))
        assert_tight(check)
        assert_secure(check, seed=8, samples=200, climbs=6)

    def test_losses_count_towards_the_contract(self):
        contract = InterfaceLimits(0.98, 1.04, withdrawal_limit_w=120_000)
        envelopes = grid(SEMIURBAN, 30_000).allocate(contract).envelopes()
        assert 100_000 < envelopes.withdrawal_w.sum() < 120_000

    def test_a_limit_of_zero_leaves_what_the_transformer_draws_by_itself(self):
        contract = InterfaceLimits(0.98, 1.04, injection_limit_w=0)
        envelopes = grid(SEMIURBAN, 30_000).allocate(contract).envelopes()
        assert 0 < envelopes.injection_w.sum() < 2_000
        assert envelopes.withdrawal_w.min() == pytest.approx(6621, rel=1e-3)


class TestBounds:
    @pytest.mark.slow
    def test_no_limit_is_below_the_fallback_or_above_capacity(self):
        area = network(SEMIURBAN)
        count = len(area.connection_points)
        fallback = np.where(np.arange(count) == 3, 9_000, 1_500)
        all_points = np.full(count, 30_000)
        capacity = Capacity(area.connection_points, all_points, all_points, fallback, fallback)
        check = NetworkGrid(area, VoltageLimits(0.90, 1.10), capacity).allocate(BAND)
        envelopes = check.envelopes()
        assert (envelopes.injection_w >= fallback).all()
        assert (envelopes.withdrawal_w >= fallback).all()
        assert (envelopes.injection_w <= 30_000).all()
        assert_tight(check)

    def test_capacity_is_the_bottleneck_where_the_network_has_room(self):
        envelopes = grid(SEMIURBAN, 1_000).allocate(BAND).envelopes()
        assert (envelopes.injection_w == 1_000).all()
        assert set(envelopes.withdrawal_bottlenecks) == {"capacity"}

    def test_an_insecure_fallback_names_the_element_and_the_numbers(self):
        area = network(SEMIURBAN)
        all_points = np.full(len(area.connection_points), 12_000)
        capacity = Capacity(area.connection_points, all_points, all_points, all_points, all_points)
        with pytest.raises(InsecureError, match=r"its limit is [\d.]+ A") as raised:
            NetworkGrid(area, VoltageLimits(0.90, 1.10), capacity).allocate(BAND)
        assert raised.value.element.startswith(("line:", "trafo:"))

    def test_weights_set_the_pace(self):
        area = network(SEMIURBAN)
        count = len(area.connection_points)
        weights = np.ones(2 * count)
        weights[count] = 2.0
        capacity = Capacity.same(area.connection_points, 30_000, 30_000)
        heavy = NetworkGrid(area, VoltageLimits(0.90, 1.10), capacity, weights)
        withdrawal = heavy.allocate(BAND).envelopes().withdrawal_w
        assert withdrawal[0] == pytest.approx(2 * withdrawal[1:].min(), rel=1e-3)
