"""A limit of power that separate parts share holds with each part at a voltage of its own.

The oracle takes the parts one by one: the largest power of each, over all vertices and the whole
band, adds up, because nothing in one part acts on another.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from meshed_networks import ring
from networks import feeder
from pandapower_oracle import run_pandapower
from phase_networks import phase_net
from sampling import some

from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.errors import InsecureError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.importers.pandapower_taps import tap_positions
from security_check.importers.tap_ranges import TappedSource, states_in_ranges
from security_check.model.islands import Island, held_apart, islands_of, source_groups
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.verification.monotonicity import ProofStatus
from security_check.verification.proof_document import parts_of

BAND = (0.92, 1.08)
VOLTAGES = VoltageLimits(0.85, 1.15)
OF_POWER = (RowKind.INTERFACE_INJECTION, RowKind.INTERFACE_WITHDRAWAL)


def town(parts: int, seed: int) -> Any:
    """Return feeders with two customers each, some with iron losses, others with generation.

    Iron losses rise with the voltage, losses of currents fall: so the parts' worst voltages differ.
    """
    rng = np.random.default_rng(seed)
    net = feeder(2, seed)
    for k in range(1, parts):
        own = feeder(2, seed + k)
        net = pp.toolbox.merge_nets(net, own, validate=False, net2_reindex_log_level=None)
    for trafo in net.trafo.index:
        if rng.random() < 0.5:
            net.trafo.loc[trafo, ["pfe_kw", "i0_percent"]] = [rng.uniform(1.0, 4.0), 5.0]
    for load in net.load.index:
        if rng.random() < 0.5:
            pp.create_sgen(net, net.load.bus.at[load], p_mw=rng.choice([-0.008, 0.012]))
    return net


def grid_of(part: Island) -> NetworkGrid:
    points = part.network.connection_points
    return NetworkGrid(part.network, VOLTAGES, Capacity.same(points, 25_000, 25_000, 500, 500))


def contract_of(parts: int, reactive: bool = False) -> InterfaceLimits:
    if reactive:
        return InterfaceLimits(*BAND, reactive_min_var=-9_000 * parts, reactive_max_var=0)
    return InterfaceLimits(*BAND, 15_000 * parts, 16_000 * parts)


def largest_powers(
    network: Network, limits_w: np.ndarray, kinds: tuple[RowKind, ...] = OF_POWER
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest powers of the interface, in watts: each part at its worst, and together.

    Together is with one voltage for all parts.
    """
    voltages = np.linspace(*BAND, 161)
    by_voltage = np.zeros((len(kinds), len(voltages)))
    apart = np.zeros(len(kinds))
    for part in islands_of(network):
        monitors = Monitors(PowerFlow(part.network))
        own = limits_w.reshape(2, -1)[:, part.points]
        sides = np.array(list(itertools.product((0, 1), repeat=len(part.points))))
        power = np.where(sides, own[0], -own[1]) / network.base_power_w
        rows = np.array([int(np.flatnonzero(monitors.kind == kind)[0]) for kind in kinds])
        ports = part.network.point_ports @ power.T + part.network.ports.passive_power_pu[:, None]
        found = np.empty_like(by_voltage)
        for k, voltage in enumerate(voltages):
            held = np.full((1, len(power)), voltage)
            values = monitors.all_values(monitors.power_flow.solve(ports, held), rows)
            found[:, k] = values.max(axis=1)
        by_voltage += found
        apart += found.max(axis=1)
    base = network.base_power_w
    return apart * base, by_voltage.max(axis=1) * base


SEEDS = [
    (2, 21),
    (4, 7),
    (8, 14),  # more parts than their corners are combined
    *(
        pytest.param(parts, seed, marks=pytest.mark.slow)
        for parts in (2, 3, 4, 8)
        for seed in some(range(30, 50), 10)
    ),
]


@pytest.mark.parametrize(("parts", "seed"), SEEDS)
def test_a_shared_limit_holds_whatever_the_voltage_of_each_part(parts: int, seed: int) -> None:
    net = town(parts, seed)
    network = network_from_pandapower(net, passive="as-given")
    grid, contract = IslandsGrid(network, grid_of), contract_of(parts)
    if net.sgen.p_mw.sum() * 1e6 > 10_000 * parts:  # more than the contract allows to inject
        contract = InterfaceLimits(*BAND, 40_000 * parts, 16_000 * parts)
    check = grid.allocate(contract)
    apart, together = largest_powers(network, check.limits_w)
    allowed = np.array([contract.injection_limit_w, contract.withdrawal_limit_w])
    assert (apart <= allowed * (1 + 1e-6)).all()
    assert (apart / allowed).max() > 0.9997  # one of the two binds
    if (parts, seed) in SEEDS:  # with one voltage for all, these would be exceeded
        assert (apart - together).max() > 10.0
    raised = check.limits_w * 101 // 100
    found = grid.attack(contract, raised, np.random.default_rng(0), samples=64)
    apart, _ = largest_powers(network, raised)
    assert 1 + found.violation == pytest.approx((apart / allowed).max(), abs=2e-6)


def test_a_shared_limit_holds_at_every_tap_position() -> None:
    net = town(2, 21)
    net.trafo["tap_side"], net.trafo["tap_changer_type"] = "hv", "Ratio"
    net.trafo["tap_neutral"], net.trafo["tap_pos"] = 0.0, 0.0
    net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = 2.0, 0.0

    def read(positions):
        return network_from_pandapower(net, passive="as-given", taps=positions), ()

    first, second = (f"trafo:{k}" for k in net.trafo.index)
    ranges = {first: [-1, 1], second: [0, 1]}
    source = TappedSource(read, lambda names: tap_positions(net, names))
    network, states = states_in_ranges(ranges, source)
    capacity = Capacity.same(network.connection_points, 25_000, 25_000, 500, 500)
    grid, contract = NetworkGrid(network, VOLTAGES, capacity, states=states), contract_of(2)
    check = grid.allocate(contract)
    allowed = np.array([contract.injection_limit_w, contract.withdrawal_limit_w])
    every = [network, *(each.network for each in states)]
    worst = [largest_powers(each, check.limits_w)[0] / allowed for each in every]
    assert len(worst) == 6
    assert np.max(worst) <= 1 + 1e-6
    assert np.max(worst) > 0.9997
    usual = NetworkGrid(network, VOLTAGES, capacity).allocate(contract)
    assert max((largest_powers(e, usual.limits_w)[0] / allowed).max() for e in every) > 1 + 1e-5
    (part,) = {each["reason"] for each in parts_of(check.robust_rows, check.limits_w)}
    assert "separate parts share" in part
    _, proof = grid.prove(contract, rng=np.random.default_rng(0))
    assert "separate parts share" in proof.reason
    assert proof.points_tried


@pytest.mark.parametrize("seed", [3, 8])
def test_a_shared_reactive_range_holds_whatever_the_voltage_of_each_part(seed: int) -> None:
    network = network_from_pandapower(town(3, seed), passive="as-given", power_factor=0.9)
    grid, contract = IslandsGrid(network, grid_of), contract_of(3, reactive=True)
    check = grid.allocate(contract)
    kinds = (RowKind.INTERFACE_REACTIVE_MAX, RowKind.INTERFACE_REACTIVE_MIN)
    (most, least), _ = largest_powers(network, check.limits_w, kinds)
    assert most <= 1.0
    assert least <= 27_000 * (1 + 1e-6)


def test_pandapower_has_the_power_at_the_point_that_is_named() -> None:
    net = town(2, 21)
    network = network_from_pandapower(net, passive="as-given")
    grid, contract = IslandsGrid(network, grid_of), contract_of(2)
    limits_w = grid.allocate(contract).limits_w
    found = grid.attack(contract, limits_w * 102 // 100, np.random.default_rng(0), samples=64)
    assert found.element == "interface"
    point = found.operating_point
    np.testing.assert_allclose(point.source_pu, [0.92, 1.08])
    solved = copy.deepcopy(net)
    solved.ext_grid["vm_pu"] = point.source_pu
    solved.load[["p_mw", "q_mvar"]] = np.column_stack([-point.power_w, 0 * point.power_w]) / 1e6
    pp.runpp(solved, calculate_voltage_angles=True, tolerance_mva=1e-9, numba=False)
    sent_w = 1e6 * float(solved.res_ext_grid.p_mw.sum())
    assert sent_w == pytest.approx(abs(found.value), rel=1e-6)
    same = run_pandapower(net, network, point.power_w, 1.08, "as-given")
    assert 1e6 * float(same.res_ext_grid.p_mw.sum()) < sent_w - 20


def test_limits_of_power_come_and_go_from_interval_to_interval() -> None:
    network = network_from_pandapower(town(3, 28), passive="as-given")
    free, contract = InterfaceLimits(*BAND), contract_of(3)
    for grid in (IslandsGrid(network, grid_of), grid_of(Island(network, np.arange(6)))):
        first = [grid.allocate(limits).limits_w for limits in (free, contract, free, contract)]
        assert np.abs(first[0] - first[2]).max() <= 1
        assert np.abs(first[1] - first[3]).max() <= 1
        assert first[1].sum() < first[0].sum()
        held = grid.allocate(free).envelopes()
        reduced = grid.reallocate(contract, held)
        apart, _ = largest_powers(network, reduced.limits_w)
        assert apart[0] <= 45_000 * (1 + 1e-6)


def test_rows_of_one_part_are_proved_and_the_shared_ones_are_not() -> None:
    network = network_from_pandapower(town(3, 28), passive="as-given")
    grid = IslandsGrid(network, grid_of)
    envelopes, proof = grid.prove(contract_of(3))
    assert not proof.secure
    assert proof.standing[ProofStatus.CHECKED] == 2
    assert proof.reason == "proofs do not cover a limit of power that separate parts share"
    shared = [each for each in proof.explanations if each.verdict.element == "interface"]
    assert {each.proof for each in shared} == {f"only checked: {proof.reason}"}
    assert len(shared[0].operating_point.source_pu) == 3
    _, free = grid.prove(InterfaceLimits(*BAND), envelopes)
    assert free.secure


def test_phases_of_each_part_are_held_on_their_own() -> None:
    net = pp.toolbox.merge_nets(
        phase_net(2, 0), phase_net(2, 1), validate=False, net2_reindex_log_level=None
    )
    network = phases_from_pandapower(net, held="phases")
    groups = source_groups(network)
    assert sorted(groups.values()) == [0, 0, 0, 1, 1, 1]
    apart = held_apart(network, groups)
    assert (network.held, apart.held) == (3, 6)
    np.testing.assert_allclose(
        apart.interface.phasors.reshape(6, 2, 3).sum(axis=1), network.interface.phasors
    )
    grid = grid_of(Island(network, np.arange(len(network.connection_points))))
    contract = InterfaceLimits(*BAND, 20_000, 20_000, unbalance_pu=0.01)
    check = grid.allocate(contract)
    found = grid.attack(contract, check.limits_w, np.random.default_rng(0), samples=64)
    assert found.violation <= 1e-6
    held = found.operating_point.source_pu.reshape(2, 3)
    assert (np.abs(held - held.mean(axis=1, keepdims=True)) <= 0.01 + 1e-9).all()


def test_sources_that_the_network_joins_are_one_group() -> None:
    net = ring(4, 0)
    pp.create_ext_grid(net, net.load.bus.iloc[1], vm_pu=1.02)
    network = meshed_network_from_pandapower(net)
    assert len(network.interface.nodes) == 2
    assert set(source_groups(network).values()) == {0}


def test_generators_in_separate_parts_under_a_shared_limit_are_refused() -> None:
    net = pp.toolbox.merge_nets(ring(2, 0), ring(2, 1), validate=False, net2_reindex_log_level=None)
    network = meshed_network_from_pandapower(net)
    points = network.connection_points
    grid = NetworkGrid(network, VOLTAGES, Capacity.same(points, 1_000, 1_000))
    with pytest.raises(InsecureError, match="separate parts, each at a voltage of its own"):
        grid.allocate(InterfaceLimits(0.99, 1.01, injection_limit_w=10**9))
