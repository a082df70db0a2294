"""Ratings belong to the equipment: our per cent of the rating is pandapower's loading."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from brute_force import solve
from networks import feeder
from others_warnings import others_warnings_ignored
from pandapower.convert_format import convert_trafo_pst_logic
from pandapower_oracle import (
    loading_percent,
    our_loading_percent,
    our_results,
    run_pandapower,
    voltages,
)
from phase_networks import phase_net, run_phases
from random_nets import random_net

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.power_flow.implicit_zbus import PowerFlow

Net = Any
SEEDS = range(12)


def run_both(net: Net, seed: int, largest: float = 1.0) -> tuple[Any, Net, np.ndarray]:
    """Return our network, the net solved by pandapower, and our node voltages, at one point.

    pandapower's own conversion of old nets completes the taps of its net.
    """
    network = network_from_pandapower(net)
    rng = np.random.default_rng(seed)
    power = 1e6 * net.load.p_mw.to_numpy() * rng.uniform(-largest, largest, len(net.load))
    typed = copy.deepcopy(net)
    with others_warnings_ignored():
        convert_trafo_pst_logic(typed)
    solved = run_pandapower(typed, network, power, 1.01, "none")
    found, _ = our_results(PowerFlow(network), power[:, None], np.array([1.01]))
    return network, solved, found[:, 0]


@pytest.mark.parametrize("untyped", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_of_random_transformers_and_lines(seed: int, untyped: bool) -> None:
    net = random_net(seed, untyped=untyped)
    network, solved, voltage = run_both(net, seed)
    named = [i for i, node in enumerate(network.nodes) if node.startswith("bus:")]
    theirs = voltages(solved, network)
    np.testing.assert_allclose(voltage[named], theirs[named], rtol=0, atol=1e-8)
    percent = our_loading_percent(network, voltage)
    assert set(percent) == {
        f"{table}:{i}" for table in ("line", "trafo", "trafo3w") for i in net[table].index
    }
    expected = loading_percent(solved, list(percent))
    np.testing.assert_allclose(list(percent.values()), expected, rtol=0, atol=1e-6)
    assert max(percent.values()) > 1.0, "the powers are too small to compare anything"
    meshed = our_loading_percent(meshed_network_from_pandapower(net), voltage)
    np.testing.assert_allclose(list(meshed.values()), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_stated_loadings_and_switches_limit_too(seed: int) -> None:
    """The largest part of any limit is pandapower's, whichever of them is nearest."""
    net = random_net(seed, limited=True)
    network, solved, voltage = run_both(net, seed)
    percent = our_loading_percent(network, voltage)
    for element, size in percent.items():
        table, index = element.split(":")
        stated = net[table].max_loading_percent.at[int(index)]
        part = 1.0 if np.isnan(stated) else stated / 100.0
        limits = [float(loading_percent(solved, [element])[0]) / part]
        kind = {"line": "l", "trafo": "t", "trafo3w": "t3"}[table]
        at = net.switch[(net.switch.element == int(index)) & (net.switch.et == kind)]
        limits += solved.res_switch.loading_percent[at.index].tolist()
        assert size == pytest.approx(max(limits), abs=1e-5)


def test_open_switches_limit_nothing() -> None:
    net = feeder(4, 1)
    rated = network_from_pandapower(net).terminals.rating_pu
    pp.create_switch(net, int(net.line.to_bus.iloc[-1]), int(net.line.index[-1]), "l", False)
    net.switch["in_ka"] = 1e-6
    net.load = net.load[net.load.bus != net.line.to_bus.iloc[-1]]
    network = network_from_pandapower(net)
    assert (network.terminals.rating_pu > 0.5 * rated.min()).all()


def off_nominal(*, hv_kv: float = 21.0, lv_kv: float = 0.42) -> Net:
    """Return a 0.25 MVA transformer of other rated voltages than its buses, and a customer."""
    net = pp.create_empty_network()
    upper, head = pp.create_bus(net, 20.0), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, upper, s_sc_max_mva=1e4, rx_max=0.1, r0x0_max=0.1, x0x_max=1.0)
    pp.create_transformer_from_parameters(
        net, upper, head, sn_mva=0.25, vn_hv_kv=hv_kv, vn_lv_kv=lv_kv, vkr_percent=1.0,
        vk_percent=4.0, pfe_kw=0.0, i0_percent=0.0, vector_group="Dyn", vk0_percent=4.0,
        vkr0_percent=1.0, mag0_percent=100.0, mag0_rx=0.0, si0_hv_partial=0.9,
    )  # fmt: skip
    return net


def worst_percent(net: Net, build: Any, band: tuple[float, float]) -> float:
    """Return the transformer's largest loading at the published limits, by pandapower."""
    network = build(net)
    capacity = Capacity.same(network.connection_points, 1_000_000, 1_000_000)
    grid = NetworkGrid(network, VoltageLimits(0.8, 1.2), capacity)
    injection, withdrawal = grid.allocate(InterfaceLimits(*band)).limits_w.tolist()
    found = []
    for power_w in (injection, -withdrawal):
        for source_pu in band:
            solved = run_pandapower(net, network, np.array([power_w]), source_pu, "none")
            found.append(loading_percent(solved, ["trafo:0"])[0])
    return max(found)


@pytest.mark.parametrize(("hv_kv", "lv_kv"), [(21.0, 0.42), (20.0, 0.42), (19.0, 0.4), (20, 0.38)])
@pytest.mark.parametrize("build", [network_from_pandapower, meshed_network_from_pandapower])
def test_envelopes_fill_the_transformer_and_no_more(hv_kv: float, lv_kv: float, build: Any) -> None:
    net = off_nominal(hv_kv=hv_kv, lv_kv=lv_kv)
    pp.create_load(net, 1, p_mw=0.1)
    percent = worst_percent(net, build, (0.98, 1.02))
    assert 99.99 < percent <= 100.0 + 1e-6


def test_envelopes_on_phases_fill_the_transformer_and_no_more() -> None:
    net = off_nominal()
    end = pp.create_bus(net, 0.4)
    pp.create_line_from_parameters(
        net, 1, end, 0.01, 0.1, 0.08, 0, 9.0, r0_ohm_per_km=0.1, x0_ohm_per_km=0.08, c0_nf_per_km=0
    )
    pp.create_asymmetric_load(net, end, p_a_mw=0.01, p_b_mw=0.01, p_c_mw=0.01)
    network = phases_from_pandapower(net)
    capacity = Capacity.same(network.connection_points, 1_000_000, 1_000_000)
    grid = NetworkGrid(network, VoltageLimits(0.8, 1.2), capacity)
    injection, withdrawal = grid.allocate(InterfaceLimits(0.98, 1.02)).limits_w.tolist()
    found = []
    for power_w in (injection, -withdrawal):
        for source_pu in (0.98, 1.02):
            run_phases(net, network, np.array([power_w]), source_pu)
            found.append(net.res_trafo_3ph.loading_percent.at[0])
    assert 99.9 < max(found) <= 100.0 + 1e-3  # pandapower's three-phase run stops early


@pytest.mark.parametrize("seed", range(3))
def test_of_random_phases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = phase_net(4, seed)
    net.trafo["vn_hv_kv"], net.trafo["vn_lv_kv"] = rng.uniform(19, 21), rng.uniform(0.38, 0.42)
    net.trafo["parallel"], net.trafo["df"] = int(rng.integers(1, 3)), 0.9
    net.trafo["vector_group"] = str(rng.choice(["Dyn", "YNyn"]))
    net.trafo["tap_side"], net.trafo["tap_neutral"] = str(rng.choice(["hv", "lv"])), 0.0
    net.trafo["tap_pos"], net.trafo["tap_step_percent"] = float(rng.integers(-2, 3)), 2.5
    net.trafo["tap_step_degree"], net.trafo["tap_changer_type"] = 0.0, None
    net.line["df"], net.line["parallel"] = rng.uniform(0.6, 1.0, len(net.line)), 2
    network = phases_from_pandapower(net)
    power_w = rng.uniform(-6e3, 6e3, len(network.connection_points))
    flow = PowerFlow(network)
    points = solve(flow, power_w[:, None] / network.base_power_w, np.array([1.01]))
    percent = our_loading_percent(network, flow.node_voltages(points)[:, 0])
    with others_warnings_ignored():
        convert_trafo_pst_logic(net)
    run_phases(net, network, power_w, 1.01)
    expected = loading_percent(net, list(percent))
    # pandapower's three-phase run stops early, so it is less exact than its balanced one.
    np.testing.assert_allclose(list(percent.values()), expected, rtol=0, atol=2e-4)
