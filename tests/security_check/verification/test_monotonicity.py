"""Proofs of worst vertices: nothing found by any means may ever be worse than what is proved.

What is found comes from the power flow and the monitors, which share nothing with the proofs
but the network.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from brute_force import solve, vertices
from european_feeder import european_net
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from networks import BAND, simbench_network
from proof_areas import AREAS, ENDS, Area, customer_slopes, line_of_two, random_box, wild_area
from sampling import examples, some

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.check import SecurityCheck
from security_check.errors import NetworkFaults, PowerFlowError
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.limits import VoltageLimits
from security_check.model.network_elements import ReactiveFreedom
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.conditions import OperatingConditions
from security_check.uncertainty.deviation_sets import BoxSet
from security_check.uncertainty.deviations import Deviations
from security_check.verification.enclosure import Gradients, PortModel, enclose, gradients
from security_check.verification.gradient_signs import _of_passing, _Parts
from security_check.verification.monotonicity import (
    OPEN,
    MonotonicityProof,
    ProofStatus,
    prove_monotone,
)
from security_check.verification.radial_condition import radial_tree

ROUNDING = 1e-9
STEPS = (0.5, 0.1, 0.02)


def proved_bounds(monitors: Monitors, proof: MonotonicityProof) -> np.ndarray:
    """Return the proved bounds, of currents for both rows together."""
    bound = proof.bound.copy()
    export = np.flatnonzero(monitors.kind == RowKind.CURRENT_EXPORT)
    imported = np.flatnonzero(monitors.kind == RowKind.CURRENT_IMPORT)
    bound[export] = bound[imported] = np.maximum(bound[export], bound[imported])
    return bound


def found_by_search(where: Area, u: np.ndarray, seed: int, climbed: int = 4) -> np.ndarray:
    """Return the largest value of each row at any vertex, inside, or after local search, (R,)."""
    rng = np.random.default_rng(seed)
    corners = vertices(u, 1.0)
    inside = corners[:, :1] * 0.0 + np.split(-u, 2)[1][:, None]
    inside = inside + rng.random((len(u) // 2, 200)) * np.add(*np.split(u, 2))[:, None]
    power = np.concatenate([corners, corners, inside], axis=1)
    voltage = np.concatenate([np.repeat(ENDS, corners.shape[1]), rng.uniform(*ENDS, 200)])
    best = where.values(power, voltage)
    largest = best.max(axis=1)
    for row in rng.permutation(len(largest))[:climbed]:
        start = int(best[row].argmax())
        reached = climb(where, u, row, np.append(power[:, start], voltage[start]))
        start = int(rng.integers(power.shape[1]))
        again = climb(where, u, row, np.append(power[:, start], voltage[start]))
        largest[row] = max(largest[row], reached, again)
    return largest


def climb(where: Area, u: np.ndarray, row: int, at: np.ndarray) -> float:
    """Return the value that coordinate ascent with shrinking steps ends at."""
    injection, withdrawal = np.split(u, 2)
    low, high = np.append(-withdrawal, ENDS[0]), np.append(injection, ENDS[1])
    now = -np.inf
    for step in STEPS:
        for _ in range(12):
            moves = np.concatenate([np.eye(len(at)), -np.eye(len(at)), np.zeros((1, len(at)))])
            trial = np.clip(at + step * moves * (high - low), low, high)
            reached = where.values(trial[:, :-1].T, trial[:, -1])[row]
            if reached.max() <= now + 1e-13:
                break
            now, at = float(reached.max()), trial[reached.argmax()]
    return now


def bounds_hold(where: Area, u: np.ndarray, seed: int) -> MonotonicityProof:
    """Assert that search beats no bound and no proved vertex; return the proof."""
    proof = prove_monotone(where.model, where.conditions, u, tree=where.tree)
    if proof.reason:
        return proof
    found = found_by_search(where, u, seed)  # a power flow that fails would raise here
    bound = proved_bounds(where.monitors, proof)
    assert (found <= bound + ROUNDING * (1.0 + np.abs(bound))).all()
    return proof


def everything_holds(seed: int, sizes: list[int]) -> None:
    """Assert bounds with and without the condition for trees, in boxes of several sizes."""
    try:
        where = wild_area(seed)
    except NetworkFaults:
        return  # without customers it has no power flow
    for size in sizes:
        u = random_box(where, seed, size)
        proof = prove_monotone(where.model, where.conditions, u)
        if proof.reason:
            continue
        found = found_by_search(where, u, seed, climbed=len(proof.bound))
        for tree in (None, where.tree):
            proof = prove_monotone(where.model, where.conditions, u, tree=tree)
            bound = proved_bounds(where.monitors, proof)
            assert (found <= bound + ROUNDING * (1.0 + np.abs(bound))).all()


class TestSoundness:
    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.sampled_from([1, 5, 15, 40, 80, 200]))
    @settings(max_examples=examples(30), deadline=None)
    def test_search_beats_no_bound(self, where, seed, size):
        bounds_hold(where, random_box(where, seed, size), seed)

    @pytest.mark.parametrize("seed", range(24))
    def test_search_beats_no_bound_where_signs_turn(self, seed):
        everything_holds(seed, [4, 12, 40])

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("start", some(range(24, 324, 25), 6))
    def test_search_beats_no_bound_where_signs_turn_at_length(self, start):
        for seed in range(start, start + 25):
            everything_holds(seed, [2, 5, 12, 25, 40, 80])

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.floats(0.5, 500.0))
    @settings(max_examples=examples(300), deadline=None)
    def test_search_beats_no_bound_at_length(self, where, seed, size):
        bounds_hold(where, random_box(where, seed, size), seed)

    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.sampled_from([2, 10, 40]))
    @settings(max_examples=examples(30), deadline=None)
    def test_a_proved_value_is_what_the_power_flow_has_at_the_vertex(self, where, seed, size):
        u = random_box(where, seed, size)
        proof = prove_monotone(where.model, where.conditions, u, tree=where.tree)
        known = np.flatnonzero(np.isfinite(proof.value))
        assume(known.size)
        injection, withdrawal = np.split(u, 2)
        low, high = np.append(-withdrawal, ENDS[0]), np.append(injection, ENDS[1])
        at = low + proof.sides[known] * (high - low)
        values = where.values(at[:, :-1].T, at[:, -1])[known, np.arange(len(known))]
        current = np.isin(
            where.monitors.kind[known], [RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT]
        )
        expected = np.where(current, np.abs(proof.value[known]), proof.value[known])
        assert values == pytest.approx(expected, abs=1e-8)
        proved = np.array(proof.standing) == ProofStatus.PROVED
        assert proof.gap[proved] == pytest.approx(0.0, abs=0.0)

    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.sampled_from([2, 10, 40]))
    @settings(max_examples=examples(20), deadline=None)
    def test_rows_below_their_limits_are_found_below_them(self, where, seed, size):
        u = random_box(where, seed, size)
        try:
            found = found_by_search(where, u, seed)
        except PowerFlowError:
            reject()  # beyond collapse nothing is claimed: the test below
        rng = np.random.default_rng(seed)
        limit = found + rng.uniform(-0.02, 0.05, len(found)) * (1.0 + np.abs(found))
        proof = prove_monotone(where.model, where.conditions, u, limit, where.tree)
        kind = where.monitors.kind
        export, imported = (np.flatnonzero(kind == k) for k in (2, 3))
        secure = proof.secure.copy()
        secure[export] = secure[imported] = (
            secure[export] & secure[imported] & (limit[export] == limit[imported])
        )
        assert (found[secure] <= limit[secure] + 2e-9 * (1.0 + np.abs(limit[secure]))).all()

    @given(where=AREAS, seed=st.integers(0, 10_000))
    @settings(max_examples=examples(30), deadline=None)
    def test_where_a_vertex_has_no_power_flow_nothing_is_claimed(self, where, seed):
        u = random_box(where, seed, 2_000)
        corners = vertices(u, 1.0)
        try:
            where.values(corners, np.full(corners.shape[1], ENDS[0]))
        except PowerFlowError:
            proof = prove_monotone(where.model, where.conditions, u, tree=where.tree)
            assert set(proof.standing) == {ProofStatus.CHECKED}
            assert not proof.secure.any()
            assert proof.reason == OPEN
            assert np.isinf(proof.bound).all()


class TestEnclosures:
    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.sampled_from([2, 20, 60, 150]))
    @settings(max_examples=examples(60), deadline=None)
    def test_voltages_and_gradients_are_inside(self, where, seed, size):
        u = random_box(where, seed, size)
        injection, withdrawal = np.split(u, 2)
        low, high = np.append(-withdrawal, ENDS[0]), np.append(injection, ENDS[1])
        box = enclose(
            where.model, where.network.ports.passive_power_pu, low[:, None], high[:, None]
        )
        assume(box.closed[0])
        rng = np.random.default_rng(seed)
        share = rng.random((len(low), 40)).round(rng.integers(0, 2))
        at = low[:, None] + share * (high - low)[:, None]
        flow = where.monitors.power_flow
        points = solve(flow, at[:-1], at[-1])
        assert (np.abs(points.voltage - box.voltage) <= box.radius + ROUNDING).all()
        assert (np.abs(points.current - box.current) <= box.current_radius + ROUNDING).all()
        weight = points.current / points.voltage.conj()
        assert (np.abs(weight - box.weight) <= box.weight_radius + ROUNDING).all()
        phasor = rng.integers(len(where.model.response), size=40)
        direction = np.exp(1j * rng.uniform(0.0, 6.3, 40))
        none = np.zeros(40, dtype=np.int64)
        enclosed = gradients(where.model, box, phasor, none, direction)
        gradient = (direction.conj()[:, None] * where.model.response[phasor]).T
        by_port, by_source = flow.gradients(gradient, points)
        by_power = customer_slopes(where.network, by_port)
        by_voltage = by_source[0] + (direction.conj() * where.model.fixed[phasor]).real
        exact = np.column_stack([by_power, by_voltage])
        slack = 1e-8 * (1.0 + np.abs(exact))
        assert (np.abs(exact - enclosed.centre) <= enclosed.radius + slack).all()


def highest_voltages(where: Area, proof: MonotonicityProof) -> list[ProofStatus]:
    rows = np.flatnonzero(where.monitors.kind == RowKind.VOLTAGE_MAX)
    return [proof.standing[row] for row in rows]


class TestCurrentsThatPassZero:
    """The condition of slopes.py, on phasors that are linear in the powers."""

    @given(seed=st.integers(0, 100_000))
    @settings(max_examples=examples(300), deadline=None)
    def test_going_to_the_ends_named_never_lowers_the_current(self, seed):
        rng = np.random.default_rng(seed)
        turn = rng.uniform(-0.6, 0.6, 4) * rng.choice([0.2, 1.0])
        effect = rng.uniform(0.2, 1.0, 4) * np.exp(1j * turn) * rng.choice([-1.0, 1.0], 4)
        half = rng.uniform(0.0, 1.0, 4)
        offset = complex(*rng.normal(0.0, [0.3, rng.choice([0.0, 0.5, 2.0])]))
        none = np.zeros((1, 4))
        along, across = Gradients(effect.real[None], none), Gradients(effect.imag[None], none)
        real, imag = np.array([offset.real]), np.array([offset.imag])
        found = _of_passing(_Parts(along, across, real, imag, half[None]))
        power = rng.uniform(-1.0, 1.0, (2_000, 4)) * half
        corners = rng.random(power.shape) < 0.5
        power = np.where(corners, np.sign(power) * half, power)
        power = power[(offset + power @ effect).real >= 0.0]
        there = np.where(found.rising, half, np.where(found.falling, -half, power))
        before, after = np.abs(offset + power @ effect), np.abs(offset + there @ effect)
        assert (after >= before - ROUNDING).all()
        assert (before <= found.bound[0] + ROUNDING).all()


class TestWhatIsNotCovered:
    """Nothing is proved where more may move than powers and one interface voltage."""

    def assert_only_checked(self, where: Area, conditions: OperatingConditions) -> None:
        u = random_box(where, 1, 2)
        limit = np.full(len(where.monitors), 10.0)
        proof = prove_monotone(where.model, conditions, u, limit, where.tree)
        assert set(proof.standing) == {ProofStatus.CHECKED}
        assert not proof.secure.any()
        assert proof.reason.startswith("proofs do not cover")

    def test_deviations(self):
        where = line_of_two(0.3, 0.1)
        spread = sp.csr_array(np.ones((len(where.network.ports.names), 1), dtype=complex))
        self.assert_only_checked(
            where, replace(where.conditions, deviations=Deviations(BoxSet(1), spread))
        )

    def test_phases_that_move_apart(self):
        where = line_of_two(0.3, 0.1)
        corners = np.array([[1.0, 1.02, 1.0], [1.0, 1.0, 1.02]])
        self.assert_only_checked(where, replace(where.conditions, source_corners=corners))

    def test_free_reactive_power(self):
        where = line_of_two(0.3, 0.1)
        some = np.full(2, 0.1)
        network = replace(where.network, reactive_freedom=ReactiveFreedom(some, 0 * some, some))
        self.assert_only_checked(where, replace(where.conditions, network=network))


class TestWhereMonotonicityBreaks:
    """A common reactance without resistance: its reactive losses grow with the square of the flow.

    So the voltages behind it are highest where the customers' powers cancel.
    """

    def test_it_is_not_claimed(self):
        where = line_of_two(1e-4, 0.3)
        limits_w = np.array([20e3, 60e3])  # the larger can balance the smaller from within
        u = where.box(limits_w, limits_w)
        proof = bounds_hold(where, u, 0)
        assert ProofStatus.PROVED not in highest_voltages(where, proof)
        rows = np.flatnonzero(where.monitors.kind == RowKind.VOLTAGE_MAX)
        corners = np.tile(vertices(u, 1.0), 2)
        at_corners = where.values(corners, np.repeat(ENDS, 4))[rows].max(axis=1)
        anywhere = found_by_search(where, u, 0)[rows]
        # The oracle has teeth: the worst point is no vertex, so a claim would have been wrong.
        assert (anywhere > at_corners + 1e-4).any()
        assert (proof.gap[rows] > 1e-4).all()

    def test_with_resistance_it_holds_and_is_claimed(self):
        where = line_of_two(0.3, 0.1)
        proof = bounds_hold(where, where.box(np.full(2, 10e3), np.full(2, 10e3)), 0)
        assert set(highest_voltages(where, proof)) == {ProofStatus.PROVED}

    def test_it_is_lost_as_the_box_grows(self):
        """The signs are those of no load in small boxes, and turn in large ones."""
        where = line_of_two(0.02, 0.3)
        rows = np.flatnonzero(where.monitors.kind == RowKind.VOLTAGE_MAX)
        claimed = []
        for size in (0.2e3, 1e3, 5e3, 20e3, 50e3):
            proof = bounds_hold(where, where.box(np.full(2, size), np.full(2, size)), 0)
            claimed.append(sum(proof.standing[row] is ProofStatus.PROVED for row in rows))
        assert claimed[0] == len(rows)
        assert claimed[-1] == 0
        assert claimed == sorted(claimed, reverse=True)


@functools.cache
def allocated(code: str, capacity_w: int) -> SecurityCheck:
    network = simbench_network(code)
    capacity = Capacity.same(network.connection_points, capacity_w, capacity_w)
    return NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity).allocate(BAND)


def proof_of(check: SecurityCheck) -> MonotonicityProof:
    """Return the proof of envelopes in force; prints what it could prove."""
    robust = check.robust_rows
    network = robust.monitors.power_flow.network
    u, limits = check.limits_w / network.base_power_w, robust.limits
    model = PortModel(network)
    proof = prove_monotone(model, robust.conditions, u, limits.limit, radial_tree(model))
    counts = ", ".join(f"{count} {standing}" for standing, count in proof.count().items() if count)
    print(f"{network.name}: {counts}; {proof.secure.mean():.1%} of rows proved secure")
    return proof


class TestPublishedEnvelopes:
    @pytest.mark.parametrize(
        "code", ["1-LV-rural1--0-sw", "1-LV-semiurb4--0-sw", "1-LV-rural3--0-sw"]
    )
    def test_low_voltage_is_proved_secure_in_every_row(self, code):
        check = allocated(code, 30_000)
        proof = proof_of(check)
        assert proof.secure.all()
        # The binding rows sit at their limits, so that no bound above their vertex would do.
        values = check.robust_rows.values(check.rows, check.limits_w / network_base(check))
        full = check.rows.take(check.headroom < 1e-4 * check.robust_rows.limits.scale[rows(check)])
        assert full.rows.size
        assert {proof.standing[row] for row in full.rows} == {ProofStatus.PROVED}
        proved = np.array([proof.standing[row] is ProofStatus.PROVED for row in rows(check)])
        assert (values[proved] <= proof.bound[rows(check)][proved] + ROUNDING).all()
        own = proof.value[full.rows]
        assert own == pytest.approx(values[np.isin(rows(check), full.rows)], abs=1e-9)

    @pytest.mark.slow
    def test_medium_voltage_is_bounded_but_not_proved(self):
        """Its worst points lie inside the box: transformers of almost pure reactance."""
        check = allocated("1-MV-rural--0-sw", 300_000)
        proof = proof_of(check)
        assert np.isfinite(proof.bound).all()
        assert proof.secure.mean() > 0.9
        u = check.limits_w / network_base(check)
        values = check.robust_rows.values(check.rows, u)
        assert (values <= proof.bound[rows(check)] + ROUNDING).all()
        assert not proof.secure[rows(check)].all()

    def test_limits_raised_above_the_secure_ones_are_not_proved_secure(self):
        check = allocated("1-LV-semiurb4--0-sw", 30_000)
        robust = check.robust_rows
        network = robust.monitors.power_flow.network
        u: np.ndarray = 1.001 * check.limits_w / network.base_power_w
        proof = prove_monotone(PortModel(network), robust.conditions, u, robust.limits.limit)
        assert not proof.secure.all()

    def test_an_unbalanced_feeder_is_proved_secure_in_every_row(self):
        """The European low-voltage test feeder: 907 buses, 55 single-phase customers."""
        network = phases_from_pandapower(european_net())
        capacity = Capacity.same(network.connection_points, 30_000, 30_000)
        check = NetworkGrid(network, VoltageLimits(), capacity).allocate(BAND)
        proof = proof_of(check)
        assert proof.secure.all()
        assert {proof.standing[row] for row in rows(check)} == {ProofStatus.PROVED}
        values = check.robust_rows.values(check.rows, check.limits_w / network_base(check))
        assert proof.value[rows(check)] == pytest.approx(values, abs=1e-9)


def rows(check: SecurityCheck) -> np.ndarray:
    return check.rows.rows


def network_base(check: SecurityCheck) -> float:
    return check.robust_rows.monitors.power_flow.network.base_power_w
