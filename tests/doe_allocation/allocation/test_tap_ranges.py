"""Envelopes that hold with taps anywhere in a range, against every position by brute force."""

from __future__ import annotations

import functools
from functools import partial
from typing import Any, Literal

import numpy as np
import pandapower as pp
import pytest
from pandapower_oracle import solve_exactly
from phase_networks import phase_net, violation
from sampling import some
from stressed_checks import SECURE, of_each, published, trades
from stressed_networks import StressedCase, stressed_case
from tap_oracle import PositionAttack, Ranges, with_positions

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.errors import GridError, InsecureError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.importers.pandapower_taps import tap_positions
from security_check.importers.tap_ranges import TappedSource, states_in_ranges
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviation_sets import source_vertices

Net = Any


def tapped_case(seed: int) -> tuple[StressedCase, Ranges]:
    """Return a stressed case of up to four customers with one or two tap changers in ranges."""
    rng = np.random.default_rng([seed, 7])
    for k in range(100):
        case = stressed_case(1000 * seed + k, 2, 4)
        if len(case.net.trafo):
            break
    net = case.net
    net.trafo["tap_step_percent"] = float(rng.choice([0.5, 1.5]))
    net.trafo["tap_pos"] = int(rng.integers(-1, 2))
    if rng.random() < 0.6:
        second = net.trafo.iloc[[0]].copy()
        second.index = [1]
        second["tap_side"] = str(rng.choice(["hv", "lv"]))
        second["tap_step_percent"] = float(rng.choice([0.3, 0.8]))
        if rng.random() < 0.5:  # beside the first, so that currents circulate
            second["tap_pos"] = net.trafo.tap_pos.iloc[0]
        else:  # behind it, for the last customer
            far = int(net.load.bus.iloc[-1])
            own = pp.create_bus(net, float(net.bus.vn_kv[far]))
            second[["hv_bus", "lv_bus"]] = [far, own]
            second["vn_hv_kv"] = second["vn_lv_kv"] = float(net.bus.vn_kv[far])
            second["shift_degree"] = 0.0
            net.load.loc[net.load.index[-1], "bus"] = own
        for column in second:  # a frame without mixed types
            net.trafo.loc[1, column] = second[column].iloc[0]
        net.trafo = net.trafo.astype(second.dtypes.to_dict())
    ranges = {}
    for index, at in net.trafo.tap_pos.items():
        low = int(np.clip(at - rng.integers(0, 3), -5, 5))
        ranges[f"trafo:{index}"] = (low, min(low + int(rng.integers(1, 3)), 5))
    return case, ranges


def grid_of(case: StressedCase, taps: Any) -> NetworkGrid:
    def read(positions):
        found = network_from_pandapower(case.net, taps=positions, power_factor=case.power_factor)
        return found, ()

    network, states = states_in_ranges(taps, TappedSource(read, partial(tap_positions, case.net)))
    points = network.connection_points
    capacity = Capacity.same(points, case.capacity_w, case.capacity_w)
    return NetworkGrid(network, case.voltage, capacity, states=states)


def confirm_by_pandapower(case: StressedCase, limits_w: np.ndarray, attack: PositionAttack) -> None:
    """Compare the oracle's worst point with pandapower's own power flow there."""
    found, positions = attack.worst_of(limits_w)
    net = with_positions(case.net, positions)
    up, down = np.split(limits_w, 2)
    power_w = found.share * (up + down) - down
    ratio = np.tan(np.arccos([case.power_factor[f"load:{k}"] for k in net.load.index]))
    net.load["p_mw"], net.load["q_mvar"] = -power_w / 1e6, -power_w * ratio / 1e6
    net.ext_grid["vm_pu"] = found.source_pu
    solve_exactly(net)
    inner = net.res_bus.vm_pu.drop(net.ext_grid.bus)
    loading = max([0.0, *net.res_line.loading_percent, *net.res_trafo.loading_percent])
    beyond = max(
        inner.max() - case.voltage.maximum_pu,
        case.voltage.minimum_pu - inner.min(),
        loading / 100.0 - 1.0,
    )
    assert beyond <= SECURE
    if not found.what.startswith("interface"):
        assert beyond == pytest.approx(found.violation, abs=1e-6)


def check_case(seed: int) -> bool:
    """Check one case; return whether anything was published and less than the capacity."""
    case, ranges = tapped_case(seed)
    attack = PositionAttack(case, ranges)
    grid = grid_of(case, {name: list(ends) for name, ends in ranges.items()})
    check = published(case, grid, attack)
    if check is None:
        return False
    confirm_by_pandapower(case, check.limits_w, attack)
    bound = bool((check.limits_w < case.capacity_w).any())
    if bound:  # something is at its limit in some state
        assert attack.worst(check.limits_w).violation > -1e-4
    trades(check, attack, seed)
    check.check_invariants()
    return bound


@pytest.mark.parametrize("seed", range(8))
def test_nothing_breaks_at_any_combination_of_positions(seed: int) -> None:
    check_case(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(100, 180, 16), 3))
def test_of_many_networks(first: int) -> None:
    bound = of_each(range(first, first + 16), check_case)
    assert np.mean(bound) > 0.2


@functools.cache
def usual_case() -> tuple[StressedCase, Ranges]:
    """Return a case in which every position of two tap changers leaves room for envelopes."""
    for seed in range(40):
        case, ranges = tapped_case(seed)
        if len(ranges) == 2:
            try:
                check = grid_of(case, ranges).allocate(case.interface)
            except GridError:
                continue
            if (check.limits_w > 0).all() and (check.limits_w < case.capacity_w).any():
                return case, ranges
    raise AssertionError


def test_a_range_of_one_position_is_that_position() -> None:
    case, ranges = usual_case()
    for at in (ranges["trafo:0"][0], ranges["trafo:0"][1]):
        one, stated = (grid_of(case, {"trafo:0": each}) for each in ([at, at], at))
        found = [grid.prove(case.interface)[0] for grid in (one, stated)]
        for name in ("injection_w", "withdrawal_w", "injection_bottlenecks"):
            np.testing.assert_array_equal(*(getattr(each, name) for each in found))


def test_a_wider_range_never_gives_more() -> None:
    case, ranges = usual_case()
    (first, (low, high)), (second, ends) = ranges.items()
    narrow: NetworkGrid | None = None
    least = np.inf
    for taps in (
        {first: [low, low], second: ends[0]},
        {first: [low, high], second: ends[0]},
        ranges,
    ):
        grid = grid_of(case, taps)
        check = grid.allocate(case.interface)
        level = check.limits_w.min()
        assert level <= least + 1
        if narrow is not None:  # what holds in more states holds in fewer
            assert narrow.resume(case.interface, check.envelopes()).verdict.secure
        narrow, least = grid, level


def test_elements_are_named_with_the_positions_that_differ() -> None:
    case, ranges = usual_case()
    grid = grid_of(case, ranges)
    usual = {
        name: min(max(int(case.net.trafo.tap_pos[k]), ends[0]), ends[1])
        for k, (name, ends) in enumerate(ranges.items())
    }
    expected = {""}
    for low in range(ranges["trafo:0"][0], ranges["trafo:0"][1] + 1):
        for high in range(ranges["trafo:1"][0], ranges["trafo:1"][1] + 1):
            at = {"trafo:0": low, "trafo:1": high}
            moved = [f"{name} at {at[name]}" for name in at if at[name] != usual[name]]
            expected.add(f" with {' and '.join(moved)}" if moved else "")
    names = {name for name in grid.monitors.elements if name.startswith("interface")}
    assert names == {f"interface{state}" for state in expected}
    base = with_positions(case.net, usual)
    alone = network_from_pandapower(base, power_factor=case.power_factor)
    assert abs(grid.network.admittance - alone.admittance).max() < 1e-12


def test_what_is_proved_of_all_states_holds_at_every_vertex() -> None:
    secure = 0
    for seed in range(4):
        case, ranges = tapped_case(seed)
        try:
            envelopes, proof = grid_of(case, ranges).prove(
                case.interface, rng=np.random.default_rng(0)
            )
        except InsecureError:
            continue
        assert proof.secure or proof.points_tried
        secure += proof.secure
        limits_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
        assert PositionAttack(case, ranges).worst(limits_w).violation <= SECURE
    assert secure


@pytest.mark.parametrize("held", ["source", "phases"])
def test_unbalance_is_limited_at_every_position(held: Literal["source", "phases"]) -> None:
    net = phase_net(3, 4)
    net.trafo["tap_side"], net.trafo["tap_changer_type"] = "hv", "Ratio"
    net.trafo["tap_neutral"], net.trafo["tap_pos"] = 0.0, 0.0
    net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = 2.5, 0.0

    def read(positions):
        return phases_from_pandapower(net, held=held, taps=positions), ()

    source = TappedSource(read, partial(tap_positions, net))
    network, states = states_in_ranges({"trafo:0": [-1, 1]}, source)
    unbalance = 0.01 if held == "phases" else None
    contract = InterfaceLimits(0.99, 1.01, unbalance_pu=unbalance)
    voltage = VoltageLimits(0.9, 1.1, 0.02)
    capacity = Capacity.same(network.connection_points, 30_000, 30_000)
    check = NetworkGrid(network, voltage, capacity, states=states).allocate(contract)
    corners = source_vertices(contract, network.held)
    every = [network, *(each.network for each in states)]
    worst = [violation(PowerFlow(n), voltage, contract, check.limits_w, corners) for n in every]
    assert len(worst) == 3
    assert max(worst) <= SECURE
    assert max(worst) > -1e-3
    usual = NetworkGrid(network, voltage, capacity).allocate(contract).limits_w
    assert max(violation(PowerFlow(n), voltage, contract, usual, corners) for n in every) > 1e-3
