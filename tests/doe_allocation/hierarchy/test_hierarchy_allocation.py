"""Allocation over several levels: secure at each, and together in one joined AC model.

The joined net is solved by pandapower, whose power flow knows of no boundary.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from hierarchies import Joined, Owned, corner, joined, medium_voltage, owned, power_out, run
from hypothesis import given, settings
from hypothesis import strategies as st
from meshed_networks import ring
from networks import feeder, simbench_net
from phase_networks import phase_net
from presence import there

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.hierarchy.allocation import (
    HierarchyAllocation,
    OperatorResult,
    allocate_hierarchy,
)
from doe_allocation.hierarchy.operators import Child, Operator, graph_faults
from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits

BAND = (0.97, 1.04)
CONTRACT = InterfaceLimits(0.99, 1.03)
TIGHT = InterfaceLimits(0.99, 1.03, 130_000, 330_000)
KEY = tuple[str, str]


def two_levels(customers: int = 4, seed: int = 0, band: tuple[float, float] = BAND) -> Owned:
    """Return a medium-voltage feeder with three low-voltage networks and a customer of its own."""
    below = [owned(f"lv{k}", feeder(customers, seed + k)) for k in range(3)]
    return owned(
        "mv",
        medium_voltage(4, seed, km=8.0),
        {f"load:{k}": (each, band) for k, each in enumerate(below)},
        capacity_w=400_000,
        limits=VoltageLimits(0.95, 1.05),
    )


WIDE = (0.93, 1.06)


def three_levels(seed: int = 0, outages: tuple[str, ...] = ()) -> Owned:
    """Return a meshed high-voltage network with two of :func:`two_levels` and other customers."""
    high = ring(4, seed)
    regions = {}
    for k in range(2):
        below = two_levels(3, seed + 10 * k)
        names = {
            point: (replace_name(each, f"{each.operator.name} of {k}"), WIDE)
            for point, each in below.children.items()
        }
        net = medium_voltage(4, seed + k, km=8.0)
        regions[f"load:{k}"] = (
            owned(f"mv{k}", net, names, capacity_w=400_000, limits=VoltageLimits(0.92, 1.08)),
            (0.97, 1.04),
        )
    capacity = {f"load:{k}": 2_000_000 if k < 2 else 60_000_000 for k in range(4)}
    return owned(
        "hv",
        high,
        regions,
        capacity_w=capacity,
        limits=VoltageLimits(0.92, 1.08),
        meshed=True,
        outages=outages,
    )


def replace_name(each: Owned, name: str) -> Owned:
    return Owned(replace(each.operator, name=name), each.net, each.children)


@functools.cache
def allocated(contract: InterfaceLimits = CONTRACT) -> tuple[Owned, HierarchyAllocation]:
    root = two_levels()
    return root, allocate_hierarchy(root.operator, contract)


def attacked(result: OperatorResult, seed: int = 0) -> float:
    assert result.check is not None, result.operator
    rng = np.random.default_rng(seed)
    return result.grid.attack(result.contract, result.check.limits_w, rng).violation


def stopped_above(each: OperatorResult) -> bool:
    """Return whether an operator was granted less withdrawal than it can use."""
    assert each.statement is not None
    return there(each.contract.withdrawal_limit_w) < each.statement.most_withdrawal_w


def corners(
    result: HierarchyAllocation, count: int, rng: np.random.Generator
) -> list[dict[KEY, bool]]:
    """Return all-inject, all-withdraw, each operator's customers against all others, and random."""
    keys = list(result.customers)
    chosen = [dict.fromkeys(keys, True), dict.fromkeys(keys, False)]
    for name in dict.fromkeys(name for name, _ in keys):
        chosen += [{key: (key[0] == name) == side for key in keys} for side in (True, False)]
    chosen += [dict(zip(keys, rng.random(len(keys)) < 0.5, strict=True)) for _ in range(count)]
    return chosen


def check_joined(whole: Joined, result: HierarchyAllocation, injects: dict, root_pu: float) -> None:
    """Assert every limit of every level in the joined net at one corner."""
    net = run(whole, corner(result, injects), root_pu)
    assert net.res_line.loading_percent.max() <= 100.0 + 1e-4
    for trafo in ("hv", "lv"):
        kv = net.bus.vn_kv.loc[net.trafo[f"{trafo}_bus"]].to_numpy()
        rated_ka = net.trafo.sn_mva.to_numpy() / (np.sqrt(3.0) * kv)
        assert (net.res_trafo[f"i_{trafo}_ka"].to_numpy() <= rated_ka * (1.0 + 1e-6)).all()
    for boundary in whole.boundaries:
        contract = result.results[boundary.operator].contract
        voltage = net.res_bus.vm_pu.at[boundary.parent_bus]
        assert contract.voltage_min_pu - 1e-7 <= voltage <= contract.voltage_max_pu + 1e-7
        out = power_out(net, boundary)
        assert -there(contract.withdrawal_limit_w) - 0.5 <= out.real
        assert out.real <= there(contract.injection_limit_w) + 0.5
        assert there(contract.reactive_min_var) - 0.5 <= out.imag
        assert out.imag <= there(contract.reactive_max_var) + 0.5


def check_voltages(whole: Joined, levels: dict[float, tuple[float, float]]) -> None:
    for kv, (low, high) in levels.items():
        voltage = whole.net.res_bus.vm_pu[whole.net.bus.vn_kv == kv]
        assert low - 1e-7 <= voltage.min(), kv
        assert voltage.max() <= high + 1e-7, kv


class TestTwoLevels:
    @pytest.mark.parametrize("contract", [CONTRACT, TIGHT], ids=["free", "limited"])
    def test_each_level_is_secure_on_its_own(self, contract: InterfaceLimits) -> None:
        _, result = allocated(contract)
        assert not result.unmet
        assert list(result.results) == ["mv", "lv0", "lv1", "lv2"]
        for each in result.results.values():
            assert attacked(each) <= 1e-6, each.operator
        granted = {e.connection_point: e for e in result.results["mv"].envelopes}
        for point, child in result.results["mv"].children.items():
            below = result.results[child]
            assert below.contract.injection_limit_w == granted[point].injection_limit_w
            assert below.contract.withdrawal_limit_w == granted[point].withdrawal_limit_w
            assert (below.parent, below.point) == ("mv", point)

    @pytest.mark.parametrize("contract", [CONTRACT, TIGHT], ids=["free", "limited"])
    def test_all_levels_are_secure_together(self, contract: InterfaceLimits) -> None:
        root, result = allocated(contract)
        whole = joined(root)
        rng = np.random.default_rng(1)
        for injects in corners(result, 12, rng):
            for root_pu in (0.99, 1.03):
                check_joined(whole, result, injects, root_pu)
                check_voltages(whole, {20.0: (0.95, 1.05), 0.4: (0.9, 1.1)})

    def test_something_binds_and_every_customer_gets_something(self) -> None:
        """Where the interface is limited, max-min reaches the customers of all levels."""
        _, free = allocated(CONTRACT)
        _, result = allocated(TIGHT)
        for k in range(2):
            least = min(limits[k] for limits in result.customers.values())
            assert least > 0
            assert sum(x[k] for x in result.customers.values()) < sum(
                x[k] for x in free.customers.values()
            )
        assert "interface" in result.results["mv"].envelopes.injection_bottlenecks
        # Who is stopped by the common interface has the same, wherever connected, but for losses.
        shares = [
            e.withdrawal_limit_w
            for each in result.results.values()
            for e in each.envelopes
            if e.connection_point not in each.children
            and e.withdrawal_bottleneck == "interface"
            and (not each.parent or stopped_above(each))
        ]
        assert len(shares) == 9
        assert max(shares) <= 1.01 * min(shares)

    def test_fairness_reaches_customers_whose_neighbours_are_stopped_early(self) -> None:
        """Half of one network's customers have small capacities; the others are like all others.

        The oracle is one allocation on the joined network, in which no operator is below another.
        """
        small = {"load:0": 2_000, "load:1": 3_000, "load:2": 20_000, "load:3": 20_000}
        below = [owned("a", feeder(4, 1), capacity_w=small), owned("b", feeder(4, 2))]
        root = owned(
            "mv",
            medium_voltage(3, 1, passive=False),
            {f"load:{k}": (each, BAND) for k, each in enumerate(below)},
            capacity_w={"load:0": 90_000, "load:1": 90_000, "load:2": 20_000},
        )
        contract = replace(CONTRACT, injection_limit_w=50_000, withdrawal_limit_w=120_000)
        result = allocate_hierarchy(root.operator, contract)
        whole = joined(root)
        network = network_from_pandapower(whole.net, passive="as-given")
        places = {f"load:{load}": key for key, load in whole.customers.items()}
        keys = [places[point] for point in network.connection_points]
        most = np.array([small[p] if name == "a" else 20_000 for name, p in keys])
        flat = NetworkGrid(
            network,
            VoltageLimits(0.9, 1.1),
            Capacity(network.connection_points, most, most, 0 * most, 0 * most),
        )
        ours = np.array([result.customers[key] for key in keys]).T
        theirs = flat.allocate(contract).limits_w.reshape(2, -1)
        for mine, best in zip(ours, theirs, strict=True):
            assert mine.min() <= 1.001 * best.min() + 1
            np.testing.assert_allclose(np.sort(mine), np.sort(best), rtol=0.02)
        assert ours[0].max() < 0.5 * 20_000
        assert ours[1].max() < 20_000
        assert {2_000, 3_000} <= set(ours[0].tolist())

    def test_an_envelope_beyond_what_was_granted_breaks_the_joined_net(self) -> None:
        """The check of the joined net can fail: twice the power breaks a contract or limit."""
        root, result = allocated(TIGHT)
        whole = joined(root)
        injecting = dict.fromkeys(result.customers, True)
        twice = {key: 2.0 * value for key, value in corner(result, injecting).items()}
        net = run(whole, twice, 1.03)
        fed_w = -1e6 * net.res_ext_grid.p_mw.sum()
        assert fed_w > 1.2 * there(TIGHT.injection_limit_w)
        with pytest.raises(AssertionError):
            check_joined(
                whole,
                HierarchyAllocation(
                    {
                        name: replace(
                            each,
                            envelopes=type(each.envelopes)(
                                each.envelopes.connection_points,
                                2 * each.envelopes.injection_w,
                                2 * each.envelopes.withdrawal_w,
                            ),
                        )
                        for name, each in result.results.items()
                    },
                    (),
                ),
                injecting,
                1.03,
            )


@pytest.mark.slow
class TestThreeLevels:
    def test_a_meshed_network_above_two_levels(self) -> None:
        root = three_levels()
        contract = InterfaceLimits(1.0, 1.04)
        result = allocate_hierarchy(root.operator, contract)
        assert not result.unmet
        assert len(result.results) == 9
        for each in result.results.values():
            assert attacked(each) <= 1e-6, each.operator
        assert result.results["hv"].grid.network.generators is not None
        whole = joined(root)
        rng = np.random.default_rng(2)
        for injects in corners(result, 6, rng):
            for root_pu in (1.0, 1.04):
                check_joined(whole, result, injects, root_pu)
                check_voltages(whole, {110.0: (0.92, 1.08), 20.0: (0.92, 1.08), 0.4: (0.9, 1.1)})

    def test_promises_hold_after_every_outage_above(self) -> None:
        root = three_levels(outages=("line:1", "line:4"))
        result = allocate_hierarchy(root.operator, InterfaceLimits(1.0, 1.04))
        assert not result.unmet
        assert attacked(result.results["hv"]) <= 1e-6
        whole = joined(root)
        before = {"line:1": 1, "line:4": 4}
        for out in (None, *before.values()):
            whole.net.line["in_service"] = True
            if out is not None:
                whole.net.line.loc[out, "in_service"] = False
            for injects in corners(result, 2, np.random.default_rng(3)):
                check_joined(whole, result, injects, 1.04)
                check_voltages(whole, {110.0: (0.92, 1.08), 20.0: (0.92, 1.08), 0.4: (0.9, 1.1)})


@pytest.mark.slow
def test_simbench_networks_hold_together() -> None:
    """A medium-voltage network with 96 loads, at two of which whole low-voltage networks are."""

    def scaled(code: str) -> Any:
        net = simbench_net(code)
        net.sgen.scaling = 0.1  # at full power they leave customers nothing
        return net

    below = [owned(code, scaled(code)) for code in ("1-LV-rural1--0-sw", "1-LV-semiurb4--0-sw")]
    root = owned(
        "mv",
        scaled("1-MV-rural--0-sw"),
        {"load:3": (below[0], (0.95, 1.05)), "load:40": (below[1], (0.95, 1.05))},
        capacity_w=500_000,
        limits=VoltageLimits(0.92, 1.08),
    )
    contract = InterfaceLimits(1.0, 1.03, 20_000_000, 20_000_000)
    result = allocate_hierarchy(root.operator, contract)
    assert not result.unmet
    assert len(result.customers) == 94 + len(below[0].net.load) + len(below[1].net.load)
    for each in result.results.values():
        assert attacked(each) <= 1e-6, each.operator
    whole = joined(root)
    for injects in corners(result, 4, np.random.default_rng(0)):
        for root_pu in (1.0, 1.03):
            check_joined(whole, result, injects, root_pu)
            check_voltages(whole, {20.0: (0.92, 1.08), 0.4: (0.9, 1.1)})


class TestDirections:
    @settings(deadline=None, max_examples=8)
    @given(part=st.floats(0.3, 0.9))
    def test_a_lower_limit_above_lowers_the_sum_below(self, part: float) -> None:
        root, free = allocated(TIGHT)
        limits = replace(
            TIGHT,
            injection_limit_w=int(part * there(TIGHT.injection_limit_w)),
            withdrawal_limit_w=int(330_000 - (1 - part) * 150_000),
        )
        result = allocate_hierarchy(root.operator, limits)
        assert not result.unmet
        for name, each in result.results.items():
            before = free.results[name].customers
            for k in range(2):
                mine = sum(x[k] for x in each.customers.values())
                assert mine <= sum(x[k] for x in before.values()) * (1 + 1e-5) + 3, name

    @settings(deadline=None, max_examples=20)
    @given(
        rise=st.floats(0.0, 0.02),
        fall=st.floats(0.0, 0.02),
    )
    def test_a_wider_band_leaves_the_child_no_more(self, rise: float, fall: float) -> None:
        """What a child can use for every voltage of a band it can use in every part of it."""
        narrow, wide = (0.985, 1.02), (0.985 - fall, 1.02 + rise)
        child = allocated()[0].operator.children["load:0"].operator
        sums = []
        for band in (narrow, wide):
            alone = allocate_hierarchy(child, InterfaceLimits(*band))
            assert not alone.unmet
            smallest = [min(x[k] for x in alone.customers.values()) for k in range(2)]
            sums.append(smallest)
        assert (np.array(sums[1]) <= np.array(sums[0]) * (1 + 1e-6) + 1).all()


def with_child(root: Operator, point: str, child: Child) -> Operator:
    return replace(root, children={**root.children, point: child})


class TestUnmetContracts:
    def test_a_child_that_cannot_live_within_its_band_is_reported_and_siblings_go_on(self) -> None:
        root, whole = allocated(CONTRACT)
        strict = replace(
            root.operator.children["load:1"].operator, voltage_limits=VoltageLimits(0.99, 1.01)
        )
        graph = with_child(root.operator, "load:1", Child(strict, BAND))
        result = allocate_hierarchy(graph, CONTRACT)
        (unmet,) = result.unmet
        assert (unmet.parent, unmet.child, unmet.point) == ("mv", "lv1", "load:1")
        assert unmet.side == "child"
        reported = str(unmet)
        assert reported.startswith("mv load:1 / lv1: lv1 cannot keep the contract with mv")
        assert "its limit is" in reported
        assert unmet.element.startswith("bus:")
        assert result.results["lv1"].check is None
        assert sum(map(sum, result.results["lv1"].customers.values())) == 0
        for name in ("mv", "lv0", "lv2"):
            assert attacked(result.results[name]) <= 1e-6
            # A sibling that takes no part leaves the others no less.
            mine, before = result.results[name].customers, whole.results[name].customers
            assert min(x[0] for x in mine.values()) >= min(x[0] for x in before.values()) - 1

    def test_a_promise_that_cannot_be_kept_is_reported_and_siblings_go_on(self) -> None:
        root, _ = allocated(CONTRACT)
        child = root.operator.children["load:2"].operator
        graph = with_child(root.operator, "load:2", Child(child, (1.0, 1.001)))
        result = allocate_hierarchy(graph, CONTRACT)
        (unmet,) = result.unmet
        assert (unmet.parent, unmet.child, unmet.side) == ("mv", "lv2", "parent")
        assert "mv cannot keep its promise to lv2" in str(unmet)
        least = there(result.results["lv2"].statement)
        contract = result.results["lv2"].contract
        assert contract.injection_limit_w == least.least_injection_w
        assert contract.withdrawal_limit_w == least.least_withdrawal_w
        for name in ("mv", "lv0", "lv1"):
            assert attacked(result.results[name]) <= 1e-6
        # No envelope is secure in a band that no operator keeps.
        assert result.results["lv2"].check is None
        assert set(result.results["lv2"].customers.values()) == {(0, 0)}

    def test_customers_below_a_broken_promise_have_no_more_than_the_fallback(self) -> None:
        """Generation that does not trade leaves room to withdraw, in a band that is not kept."""
        net = feeder(3, 0)
        pp.create_sgen(net, int(net.load.bus.iloc[0]), p_mw=0.01)
        root = owned(
            "mv", medium_voltage(2, 0), {"load:0": (owned("lv", net, fallback_w=200), (1.0, 1.001))}
        )
        result = allocate_hierarchy(root.operator, CONTRACT)
        assert [(each.child, each.side) for each in result.unmet] == [("lv", "parent")]
        assert result.results["lv"].check is None
        assert set(result.results["lv"].customers.values()) == {(200, 200)}

    def test_customers_below_a_range_that_is_not_kept_have_no_more_than_the_fallback(self) -> None:
        """The same room to withdraw, in the band agreed on, under a range that is not kept."""
        net = feeder(3, 0)
        pp.create_sgen(net, int(net.load.bus.iloc[0]), p_mw=0.01)
        root = owned(
            "mv", medium_voltage(2, 0), {"load:0": (owned("lv", net, fallback_w=200), BAND)}
        ).operator
        below = root.children["load:0"]
        kept = allocate_hierarchy(root, CONTRACT)
        assert not kept.unmet
        assert min(kept.results["lv"].customers.values()) > (200, 200)
        graph = with_child(root, "load:0", replace(below, reactive_var=(5_000, 6_000)))
        result = allocate_hierarchy(graph, CONTRACT)
        (unmet,) = result.unmet
        assert (unmet.child, unmet.side, unmet.element) == ("lv", "child", "interface")
        assert "var, its limit is 5,000 var" in unmet.detail
        lower = result.results["lv"]
        assert lower.check is None
        assert set(lower.customers.values()) == {(200, 200)}
        # What the parent counts with is what crosses then.
        fallback_w = lower.grid.capacity.lower_w()
        rng = np.random.default_rng(0)
        assert lower.grid.attack(lower.contract, fallback_w, rng).violation <= 1e-6
        assert attacked(result.results["mv"]) <= 1e-6

    def test_a_stated_reactive_range_is_kept_or_refused(self) -> None:
        root, _ = allocated(CONTRACT)
        child = root.operator.children["load:0"].operator
        kept = allocate_hierarchy(
            with_child(root.operator, "load:0", Child(child, BAND, (-1_500, 500))), CONTRACT
        )
        assert not kept.unmet
        contract = kept.results["lv0"].contract
        assert (contract.reactive_min_var, contract.reactive_max_var) == (-1_500, 500)
        assert attacked(kept.results["lv0"]) <= 1e-6
        free = allocated(CONTRACT)[1].results["lv0"]
        assert there(free.contract.reactive_min_var) < -1_500  # so the range stated costs something
        assert kept.results["lv0"].envelopes.injection_w.sum() < free.envelopes.injection_w.sum()
        refused = allocate_hierarchy(
            with_child(root.operator, "load:0", Child(child, BAND, (500, 600))), CONTRACT
        )
        (unmet,) = refused.unmet
        assert (unmet.child, unmet.side, unmet.element) == ("lv0", "child", "interface")
        assert "var, its limit is 500 var" in unmet.detail
        # The parent counts with what is exchanged in fact.
        real = refused.results["lv0"].contract
        assert there(real.reactive_min_var) < 0 < there(real.reactive_max_var) < 500

    def test_a_child_at_the_interface_of_its_parent_has_the_band_of_that(self) -> None:
        net = feeder(3, 1)
        point = f"load:{pp.create_load(net, int(net.ext_grid.bus.iloc[0]), p_mw=0.1)}"
        root = owned("a", net, {point: (owned("b", feeder(3, 2)), (0.98, 1.03))})
        for band, unmet in (((0.99, 1.02), 0), ((0.97, 1.02), 1), ((0.99, 1.05), 1)):
            result = allocate_hierarchy(root.operator, InterfaceLimits(*band))
            assert len(result.unmet) == unmet
            if unmet:
                reported = str(result.unmet[0])
                assert reported.startswith(
                    f"a {point} / b: a cannot keep its promise to b: interface"
                )
                assert f"from {band[0]:g} to {band[1]:g} p.u." in reported
                assert "not inside 0.98 to 1.03 p.u." in reported
            assert attacked(result.results["a"]) <= 1e-6

    def test_an_interface_that_carries_too_little_is_reported(self) -> None:
        net = feeder(3, 0)
        pp.create_sgen(net, int(net.load.bus.iloc[0]), p_mw=-0.006, q_mvar=0.0)
        below = owned("lv0", net)
        root = owned(
            "mv",
            medium_voltage(2, 0),
            {"load:0": (below, BAND)},
            capacity_w={"load:0": 5_000, "load:1": 50_000},
        )
        result = allocate_hierarchy(root.operator, CONTRACT)
        (unmet,) = result.unmet
        assert unmet.side == "parent"
        assert "it must withdraw 6," in str(unmet)
        assert "its capacity is 5,000 W" in str(unmet)
        assert result.results["lv0"].check is not None

    def test_without_a_way_out_every_boundary_is_reported(self) -> None:
        root, _ = allocated(CONTRACT)
        result = allocate_hierarchy(root.operator, replace(CONTRACT, withdrawal_limit_w=1_000))
        assert [(u.parent, u.child, u.side) for u in result.unmet] == [
            ("upstream", "mv", "child"),
            ("mv", "lv0", "parent"),
            ("mv", "lv1", "parent"),
            ("mv", "lv2", "parent"),
        ]
        for each in result.unmet:
            assert "1,000 W" in str(each)


class TestBadGraphs:
    def test_every_fault_names_both_ends(self) -> None:
        root, _ = allocated(CONTRACT)
        child = root.operator.children["load:0"].operator
        children = {
            "load:0": Child(child, (1.04, 0.97)),
            "load:1": Child(child, BAND),
            "load:9": Child(replace(child, name="lv9"), BAND, (5, -5)),
            "load:3": Child(replace(child, name="mv"), BAND),
        }
        with pytest.raises(NetworkFaults) as caught:
            allocate_hierarchy(replace(root.operator, children=children), CONTRACT)
        reported = [str(fault) for fault in caught.value.faults]
        assert any(t.startswith("mv / lv0: the band 1.04 to 0.97 p.u.") for t in reported)
        assert any(t.startswith("mv / lv0: lv0 is also at mv / lv0") for t in reported)
        assert any("at load:9, but mv has no such connection point" in t for t in reported)
        assert any("reactive power from 5 to -5 var" in t for t in reported)
        assert any(t.startswith("mv / mv: mv is also at upstream / mv") for t in reported)

    def test_nominal_voltages_must_be_the_same(self) -> None:
        low = owned("lv0", feeder(2, 0)).operator
        net = medium_voltage(2, 0)
        net.bus.loc[net.bus.vn_kv == 20.0, "vn_kv"] = 10.0
        net.trafo["vn_lv_kv"] = 10.0
        root = owned("mv", net).operator
        with pytest.raises(NetworkFaults, match=r"mv / lv0: nominal voltages differ: 10,000 V at"):
            allocate_hierarchy(replace(root, children={"load:0": Child(low, BAND)}), CONTRACT)

    @pytest.mark.parametrize("meshed", [False, True], ids=["radial", "meshed"])
    def test_a_child_has_one_interface(self, meshed: bool) -> None:
        net = feeder(3, 0)
        pp.create_ext_grid(net, int(net.line.to_bus.iloc[-1]))
        net.line.loc[net.line.index[-1], "in_service"] = meshed  # else each grid feeds its own part
        upper = owned("mv", medium_voltage(2, 0)).operator
        capacity = owned("lv", feeder(3, 0)).operator.capacity
        read = meshed_network_from_pandapower if meshed else network_from_pandapower
        lower = Operator("lv", read(net), VoltageLimits(0.9, 1.1), capacity)
        nodes = lower.network.interface.nodes
        first, second = (lower.network.nodes[i] for i in nodes)
        graph = replace(upper, children={"load:0": Child(lower, BAND)})
        with pytest.raises(NetworkFaults) as caught:
            allocate_hierarchy(graph, CONTRACT)
        (reported,) = map(str, caught.value.faults)
        assert reported.startswith(
            f"mv / lv: the voltage of lv is held at 2 buses ({first}, {second})"
        )
        assert "so it must have one interface" in reported

    def test_three_phases_of_one_bus_are_one_interface(self) -> None:
        lower = phases_from_pandapower(phase_net(3), held="phases")
        points = lower.connection_points
        most, none = np.full(len(points), 1_000), np.zeros(len(points), dtype=np.int64)
        own = Operator(
            "lv", lower, VoltageLimits(0.9, 1.1), Capacity(points, most, most, none, none)
        )
        assert lower.held == len(lower.interface.nodes) == 3
        upper = owned("mv", medium_voltage(2, 0)).operator
        faults = graph_faults(replace(upper, children={"load:0": Child(own, BAND)}))
        assert not [fault for fault in faults if "one interface" in fault.detail]

    def test_who_is_below_takes_no_part_in_the_balance(self) -> None:
        upper = owned("mv", medium_voltage(2, 0)).operator
        lower = owned("lv", ring(4, 0), meshed=True).operator
        assert lower.network.generators is not None
        assert lower.network.generators.shares_imbalance
        graph = replace(upper, children={"load:0": Child(lower, BAND)})
        reported = [str(fault) for fault in graph_faults(graph)]
        assert any(
            each.startswith("mv / lv: generators of lv share its imbalance") for each in reported
        )

    def test_a_cycle_is_found(self) -> None:
        children: dict[str, Child] = {}
        root = replace(owned("mv", medium_voltage(2, 0)).operator, children=children)
        children["load:0"] = Child(root, BAND)
        with pytest.raises(
            NetworkFaults, match="mv / mv: mv is also at upstream / mv: its network"
        ):
            allocate_hierarchy(root, CONTRACT)
