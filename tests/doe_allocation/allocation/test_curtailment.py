"""Curtailment policies: who gives way, and no more than the network asks for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BAND, feeder, simbench_network

from doe_allocation.allocation.curtailment import Curtailment, CurtailmentPolicy
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import EnvelopeSet
from security_check.model.limits import InterfaceLimits, VoltageLimits

TOLERANCE = 1e-9


@st.composite
def cases(draw):
    """Rows, the room they leave, the fallback, and what limits hold by when it came."""
    m, rows = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    layers = draw(st.integers(1, 4))
    numbers = st.integers(0, 9)
    A = np.array([[draw(numbers) for _ in range(m)] for _ in range(rows)], dtype=float)
    acquired = np.array([[draw(numbers) for _ in range(m)] for _ in range(layers)])
    held = acquired.sum(axis=0)
    fallback = np.array([draw(st.integers(0, int(h))) for h in held])
    b = np.array(
        [a @ fallback + draw(st.floats(0, 1.2)) * (a @ (held - fallback)) for a in A], dtype=float
    )
    return A, b, fallback, held, acquired


def cut(policy: CurtailmentPolicy, case) -> np.ndarray:
    A, b, fallback, held, acquired = case
    rule = Curtailment(policy, acquired).rule(fallback, held, np.ones(len(held)), 1.0)
    return rule.filled(A, b).u


@given(case=cases(), policy=st.sampled_from(list(CurtailmentPolicy)))
def test_what_is_left_is_secure_and_everything_that_is_cut_had_to_be(case, policy):
    A, b, fallback, held, _ = case
    u = cut(policy, case)
    assert np.all(A @ u <= b + TOLERANCE * (1 + np.abs(b)))
    assert np.all(u >= fallback - TOLERANCE)
    assert np.all(u <= held + TOLERANCE)
    full = A @ u >= b - 1e-7 * (1 + np.abs(b))
    for i in np.flatnonzero(u < held - 1e-7):
        assert np.any(full & (A[:, i] > 0)), f"limit {i} was cut to {u[i]} of {held[i]} in vain"


@given(case=cases())
def test_pro_rata_leaves_the_same_part_to_all_limits_of_a_row_that_no_other_limit_fills(case):
    A, b, fallback, held, _ = case
    u = cut(CurtailmentPolicy.PRO_RATA, case)
    above = held - fallback
    part = np.divide(u - fallback, above, out=np.zeros(len(u)), where=above > 0)
    full = A @ u >= b - 1e-7 * (1 + np.abs(b))
    for i in np.flatnonzero((part < 1 - 1e-6) & (above > 0)):
        # The bottleneck of a limit is a full row in which no limit keeps a larger part.
        rows = np.flatnonzero(full & (A[:, i] > 0))
        assert any(part[A[k] > 0].max() <= part[i] + 1e-6 for k in rows)


@given(case=cases())
def test_max_min_cuts_the_largest_first(case):
    A, b, _, held, _ = case
    u = cut(CurtailmentPolicy.MAX_MIN, case)
    full = A @ u >= b - 1e-7 * (1 + np.abs(b))
    fallback = case[2]
    for i in np.flatnonzero((u < held - 1e-6) & (u > fallback + 1e-6)):
        rows = np.flatnonzero(full & (A[:, i] > 0))
        others = [np.flatnonzero((A[k] > 0) & (u > fallback + 1e-6)) for k in rows]
        assert any(u[mine].max(initial=0.0) <= u[i] + 1e-6 for mine in others)


@given(case=cases())
def test_last_in_first_out_takes_nothing_old_while_something_newer_could_give_way(case):
    A, b, fallback, held, acquired = case
    u = cut(CurtailmentPolicy.LAST_IN_FIRST_OUT, case)
    reached = np.cumsum(acquired, axis=0)
    # What is kept of each limit are its oldest watts; of which layer is the newest of them?
    kept = np.clip(u - (reached - acquired), 0, acquired)
    protected = np.clip(fallback - (reached - acquired), 0, acquired)
    full = A @ u >= b - 1e-7 * (1 + np.abs(b))
    for i in np.flatnonzero(u < held - 1e-6):
        lost = int(np.flatnonzero(kept[:, i] < acquired[:, i] - 1e-6)[0])
        rows = np.flatnonzero(full & (A[:, i] > 0))
        newer = [((kept - protected)[lost + 1 :] * (A[k] > 0)).max(initial=0.0) for k in rows]
        assert min(newer) <= 1e-6, f"limit {i} lost of layer {lost}, newer ones kept {newer}"


def test_last_in_first_out_wants_to_know_what_came_when():
    held = np.array([5, 3])
    for acquired in (None, np.array([[5, 2]])):
        policy = Curtailment(CurtailmentPolicy.LAST_IN_FIRST_OUT, acquired)
        with pytest.raises(ValueError, match="adds up to the limits held"):
            policy.rule(np.zeros(2, dtype=np.int64), held, np.ones(2), 1.0)


@settings(deadline=None)
@given(
    acquired=st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=1, max_size=6),
    limits=st.lists(st.integers(0, 120), min_size=3, max_size=3),
)
def test_what_is_above_a_limit_is_lost_newest_first(acquired, limits):
    policy = Curtailment(CurtailmentPolicy.LAST_IN_FIRST_OUT, np.array(acquired))
    left = [row.copy() for row in np.array(acquired)]
    for i, limit in enumerate(limits):  # one watt after the other, from the newest layer
        while sum(layer[i] for layer in left) > limit:
            newest = max(k for k, layer in enumerate(left) if layer[i] > 0)
            left[newest][i] -= 1
    np.testing.assert_array_equal(policy.at_most(np.array(limits)).acquired_w, left)


@pytest.mark.parametrize("policy", list(CurtailmentPolicy))
def test_no_limit_exceeds_a_capacity_that_was_lowered(policy):
    network = network_from_pandapower(feeder(4, 1))
    points = network.connection_points
    grid = NetworkGrid(network, VoltageLimits(0.92, 1.08), Capacity.same(points, 5_000, 5_000))
    held = EnvelopeSet(points, np.full(4, 20_000), np.full(4, 3_000))
    acquired = np.array([[4_000] * 4 + [1_000] * 4, [16_000] * 4 + [2_000] * 4])
    for limits in (BAND, InterfaceLimits(0.98, 1.04, 12_000, 8_000)):
        envelopes = grid.reallocate(limits, held, Curtailment(policy, acquired)).envelopes()
        assert envelopes.injection_w.max() <= 5_000
        assert envelopes.withdrawal_w.max() <= 5_000


@pytest.mark.parametrize("policy", list(CurtailmentPolicy))
def test_on_a_real_feeder_curtailed_envelopes_are_secure_and_differ_by_policy(policy):
    network = simbench_network("1-LV-semiurb4--0-sw")
    count = len(network.connection_points)
    capacity = Capacity.same(network.connection_points, 30_000, 30_000)
    grid = NetworkGrid(network, VoltageLimits(0.9, 1.1), capacity)
    band = InterfaceLimits(0.98, 1.04)
    start = grid.allocate(band).limits_w
    # Three that hold the least have bought from three that hold the most, one after the other.
    order = np.argsort(start[:count], kind="stable")
    acquired = [start.copy()]
    for buyer, seller in zip(order[:3], order[-3:], strict=True):
        moved = np.zeros_like(start)
        acquired[0][seller] -= 300
        moved[buyer] = 300
        acquired.append(moved)
    held_w = np.sum(acquired, axis=0)
    tight = InterfaceLimits(0.98, 1.05)
    held = EnvelopeSet(
        network.connection_points, held_w[:count], held_w[count:], [""] * count, [""] * count
    )
    check = grid.reallocate(tight, held, Curtailment(policy, np.array(acquired)))
    after = check.limits_w
    lost = held_w[:count] - after[:count]
    assert lost.max() > 0
    finding = grid.attack(tight, after, np.random.default_rng(1))
    assert finding.violation < 1e-7
    if policy is CurtailmentPolicy.LAST_IN_FIRST_OUT:
        # The last purchases that load what binds are lost before an allocation is touched.
        assert lost[order[2]] >= 300
