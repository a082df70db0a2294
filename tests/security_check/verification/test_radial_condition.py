"""The condition for radial networks: against exact gradients of the power flow."""

from __future__ import annotations

import numpy as np
import pytest
from brute_force import solve, vertices
from european_feeder import european_net
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import menagerie, simbench_network
from presence import there
from proof_areas import AREAS, ENDS, Area, customer_slopes, line_of_two, of_network, random_box
from sampling import examples

from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.monitoring.row_kinds import RowKind
from security_check.verification.enclosure import Enclosure, enclose
from security_check.verification.radial_condition import rising_voltages, voltage_effects


def enclosed(where: Area, u: np.ndarray) -> Enclosure:
    injection, withdrawal = np.split(u, 2)
    low, high = np.append(-withdrawal, ENDS[0]), np.append(injection, ENDS[1])
    passive = where.network.ports.passive_power_pu
    return enclose(where.model, passive, low[:, None], high[:, None])


def voltage_gradients(where: Area, power: np.ndarray, voltage: np.ndarray) -> np.ndarray:
    """Return exact derivatives of all voltages at points (c, B), shape (B, m, c + 1)."""
    monitors = where.monitors
    rows = np.flatnonzero(monitors.kind == RowKind.VOLTAGE_MAX)
    solved = solve(monitors.power_flow, power, voltage)
    count = power.shape[1]
    every = solved.take(np.repeat(np.arange(count), len(rows)))
    by_port, by_source = monitors.gradients(np.tile(rows, count), every)
    by_power = customer_slopes(where.network, by_port)
    return np.column_stack([by_power, by_source[0]]).reshape(count, len(rows), -1)


def tree_areas() -> dict[str, Area]:
    codes = ["1-LV-rural1--0-sw", "1-LV-semiurb4--0-sw", "1-MV-rural--0-sw"]
    return {code: of_network(simbench_network(code)) for code in codes}


def assert_exact(where: Area, power: np.ndarray, interface_voltage: float) -> None:
    """At a single point, the recursion must give the exact derivatives of the power flow."""
    at = np.append(power, interface_voltage)[:, None]
    tree = there(where.tree)
    effects = voltage_effects(
        tree, enclose(where.model, where.network.ports.passive_power_pu, at, at)
    )
    for low, high in (effects.direct, effects.feedback):
        assert low == pytest.approx(high, abs=1e-6)
    system = np.eye(len(tree.parent)) - effects.feedback[0]
    by_square = np.linalg.solve(system, effects.direct[0])
    exact = voltage_gradients(where, power[:, None], np.array([interface_voltage]))[0]
    flow = where.monitors.power_flow
    points = solve(flow, power[:, None], np.array([interface_voltage]))
    size = np.abs(flow.node_voltages(points)[tree.order, 0])
    profile = np.abs(where.model.node_profile[tree.order])
    scale = profile / np.abs(tree.voltage_fixed)
    ours = by_square * (scale**2 / (2.0 * size))[:, None]
    ours[:, -1] *= 2.0 * interface_voltage  # from d(v0^2)
    picked = where.network.voltages.incidence.indices
    position = np.argsort(tree.order)
    assert ours[position[picked]] == pytest.approx(exact, rel=1e-5, abs=1e-6)


class TestTheRecursion:
    @given(where=AREAS, seed=st.integers(0, 10_000))
    @settings(max_examples=examples(40), deadline=None)
    def test_it_is_exact_at_a_point(self, where, seed):
        assume(where.tree is not None)
        rng = np.random.default_rng(seed)
        count = len(where.network.connection_points)
        power = rng.uniform(-6e3, 6e3, count) / where.network.base_power_w
        assert_exact(where, power, rng.uniform(*ENDS))

    @pytest.mark.parametrize("name", sorted(tree_areas()))
    def test_it_is_exact_on_real_networks(self, name):
        where = tree_areas()[name]
        rng = np.random.default_rng(2)
        count = len(where.network.connection_points)
        largest_w = 1e5 if "MV" in name else 4e3
        power = rng.uniform(-largest_w, largest_w, count) / where.network.base_power_w
        assert_exact(where, power, 1.01)


class TestSoundness:
    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.sampled_from([1, 5, 15, 40, 80]))
    @settings(max_examples=examples(60), deadline=None)
    def test_no_voltage_falls_with_what_is_said_to_raise_all(self, where, seed, size):
        assume(where.tree is not None)
        u = random_box(where, seed, size)
        box = enclosed(where, u)
        assume(box.closed[0])
        rising = rising_voltages(there(where.tree), box)
        rng = np.random.default_rng(seed)
        corners = vertices(u, 1.0)
        inside = -np.split(u, 2)[1][:, None] + rng.random((len(u) // 2, 30)) * np.add(
            *np.split(u, 2)
        ).reshape(-1, 1)
        power = np.concatenate([corners, corners, inside], axis=1)
        voltage = np.concatenate([np.repeat(ENDS, corners.shape[1]), rng.uniform(*ENDS, 30)])
        slowest = voltage_gradients(where, power, voltage).min(axis=(0, 1))
        assert (slowest[rising] >= -1e-9).all()

    def test_a_reactance_without_resistance_is_refused(self):
        where = line_of_two(1e-4, 0.3)
        box = enclosed(where, where.box(np.full(2, 20e3), np.full(2, 20e3)))
        assert box.closed[0]
        assert rising_voltages(there(where.tree), box).tolist() == [False, False, True]

    def test_it_holds_for_low_voltage_at_usual_envelopes(self):
        where = tree_areas()["1-LV-semiurb4--0-sw"]
        all_points = np.full(len(where.network.connection_points), 7e3)
        assert rising_voltages(
            there(where.tree), enclosed(where, where.box(all_points, all_points))
        ).all()

    def test_it_fails_for_medium_voltage_at_large_ones(self):
        where = tree_areas()["1-MV-rural--0-sw"]
        all_points = np.full(len(where.network.connection_points), 3e5)
        rising = rising_voltages(
            there(where.tree), enclosed(where, where.box(all_points, all_points))
        )
        assert not rising[:-1].any()


class TestWhatIsNoTree:
    def test_meshed_networks(self):
        assert of_network(network_from_pandapower(menagerie())).tree is None

    def test_several_conductors(self):
        assert of_network(phases_from_pandapower(european_net())).tree is None
