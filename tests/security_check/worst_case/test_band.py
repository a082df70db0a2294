"""Worst points inside the contracted voltage band, against a fine grid of interface voltages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from brute_force import complex_vertices, measured
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import INVERTER_AREAS, REACTIVE_AREAS, SMALL_AREAS, Area, small_area
from phase_networks import at_phases, phase_network, vertices
from random_boxes import all_at_their_limits, found_by, random_box
from sampling import examples

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.check import SecurityCheck
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.monitoring.row_kinds import RowKind
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.verification.adversary import attack
from security_check.worst_case.robust_rows import RobustRows

FINE = 64
AREAS = SMALL_AREAS | REACTIVE_AREAS | INVERTER_AREAS
INSIDE = ("small transformer", 16)  # where most is fed upstream inside the band, see below
PHASES = InterfaceLimits(0.94, 1.08, 20_000, 20_000, unbalance_pu=0.01)


def exchanged(area: Area, limits_w: np.ndarray, voltages: int) -> np.ndarray:
    """Return the most fed upstream and drawn, at each of so many voltages of the band, (2, n)."""
    power = complex_vertices(area.flow.network, limits_w)
    drawn = [
        measured(area.flow, power, np.full(power.shape[1], held))["drawn"]
        for held in np.linspace(*area.limits.band, voltages)
    ]
    return np.array([[-each.min() for each in drawn], [each.max() for each in drawn]])


@settings(deadline=None, max_examples=examples(40))
@given(name=st.sampled_from(sorted(AREAS)), seed=st.integers(0, 10**6))
def test_the_power_of_the_interface_is_worst_where_a_fine_grid_finds_it(name, seed):
    area = small_area(**AREAS[name])
    limits_w = random_box(area, seed)
    robust, _ = all_at_their_limits(area, limits_w)
    found = found_by(robust, u := limits_w / area.flow.network.base_power_w)
    values = robust.values(found, u)
    everywhere = exchanged(area, limits_w, FINE + 1).max(axis=1)
    kinds = (RowKind.INTERFACE_INJECTION, RowKind.INTERFACE_WITHDRAWAL)
    for kind, brute in zip(kinds, everywhere, strict=True):
        (row,) = np.flatnonzero(robust.monitors.kind == kind)
        worst = values[found.rows == row].max()
        assert brute - worst < 1e-6 * robust.limits.scale[row], (kind, worst, brute)


def test_it_is_worst_inside_the_band_for_some():
    """Else the test above would say nothing of the inside."""
    name, seed = INSIDE
    area = small_area(**AREAS[name])
    fed = exchanged(area, random_box(area, seed), FINE + 1)[0]
    assert fed.max() > max(fed[0], fed[-1]) * (1.0 + 1e-5)


def limited_inside() -> tuple[Area, np.ndarray]:
    """Return an area whose contract the given limits break inside the band, and nowhere else."""
    name, seed = INSIDE
    area = small_area(**AREAS[name])
    limits_w = random_box(area, seed)
    fed = exchanged(area, limits_w, FINE + 1)[0] * area.flow.network.base_power_w
    most_w = int(np.ceil(max(fed[0], fed[-1])))
    assert most_w < fed.max()
    held = area.limits.band
    return small_area(**AREAS[name], interface=InterfaceLimits(*held, most_w)), limits_w


def test_the_adversary_breaks_a_contract_inside_the_band():
    area, limits_w = limited_inside()
    robust = area.grid.robust_rows(area.limits.interface)
    others = robust.monitors.kind != RowKind.INTERFACE_INJECTION
    limit = np.where(others, np.inf, robust.limits.limit)
    alone = replace(robust.limits, limit=limit)
    robust = RobustRows(replace(robust.problem, limits=alone))
    found = attack(robust, limits_w, np.random.default_rng(0), samples=64, climbs=2)
    low, high = area.limits.band
    assert found.violation > 1e-6
    assert low < found.operating_point.interface_voltage_pu < high
    most = exchanged(area, limits_w, FINE + 1)[0].max() * area.flow.network.base_power_w
    assert found.value == pytest.approx(most, rel=1e-7)


@pytest.mark.parametrize("part", [0.2, 0.6])
@pytest.mark.parametrize("name", ["small transformer", "lagging", "interface"])
def test_limits_filled_to_the_watt_are_confirmed_anew(name, part):
    """And a grid finds nothing above the contract that they fill."""
    base = {k: v for k, v in AREAS[name].items() if k != "interface"}
    free = small_area(**base)
    most_w = int(part * exchanged(free, free.allocate().limits_w, 2)[0].max() * 1e5)
    area = small_area(**base, interface=InterfaceLimits(0.96, 1.06, most_w, most_w))
    check = area.allocate()
    assert check.verdict.loading > 0.999
    anew = SecurityCheck(area.grid.search(area.limits.interface), check.limits_w)
    assert anew.verdict.secure
    fed = exchanged(area, check.limits_w, FINE + 1) * area.flow.network.base_power_w
    assert fed.max() <= most_w * (1.0 + 1e-9)


@settings(deadline=None, max_examples=examples(25))
@given(name=st.sampled_from(["bus 0", "bus 2", "bus 5", "neutral 0"]), seed=st.integers(0, 10**6))
def test_the_power_of_phases_is_worst_where_a_grid_finds_it(name, seed):
    """Every phase's voltage is held on its own, within a bound of their unbalance."""
    network = phase_network(name)
    customers = network.connection_points
    rng = np.random.default_rng(seed)
    capacity = Capacity.same(customers, 9_000, 9_000)
    robust = NetworkGrid(network, VoltageLimits(0.7, 1.3), capacity).robust_rows(PHASES)
    limits_w = rng.integers(0, 3_000, 2 * len(customers))
    u = limits_w / network.base_power_w
    flow, corners = PowerFlow(network), robust.conditions.source_corners
    mixed = rng.dirichlet(np.full(len(corners), 0.3), 400) @ corners
    middle = corners.min() + np.linspace(0.0, 1.0, FINE + 1)[:, None] * np.ptp(corners)
    held = np.concatenate([corners, mixed, np.repeat(middle, network.held, axis=1)])
    power = vertices(limits_w, network.base_power_w)
    points = flow.solve(
        np.repeat(at_phases(network, power), len(held), axis=1),
        np.tile(held, (power.shape[1], 1)).T,
    )
    kinds = (RowKind.INTERFACE_INJECTION, RowKind.INTERFACE_WITHDRAWAL)
    rows = np.flatnonzero(np.isin(robust.monitors.kind, kinds))
    brute = robust.monitors.all_values(points, rows).max(axis=1)
    limit, scale = robust.limits.limit.copy(), robust.limits.scale.copy()
    limit[rows], scale[rows] = brute, np.maximum(np.abs(brute), 1e-3)
    limits = replace(robust.limits, limit=limit, scale=scale)
    robust = RobustRows(replace(robust.problem, limits=limits))
    found = found_by(robust, u)
    values = robust.values(found, u)
    for row, most in zip(rows, brute, strict=True):
        worst = values[found.rows == row].max()
        assert most - worst < 1e-6 * robust.limits.scale[row], (row, worst, most)
