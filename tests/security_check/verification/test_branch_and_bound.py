"""Branch and bound: no bound below what any power flow reaches, and breaches that are real.

The oracle is brute force with the project's fixed-point power flow, which shares nothing with the
Newton steps, enclosures and derivatives that are tested.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from brute_force import vertices
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from presence import there
from proof_areas import AREAS, ENDS, Area, area, line_of_two, random_box, wild_area
from sampling import examples, some
from stressed_lines import stressed_network
from test_monotonicity import found_by_search

from security_check.errors import InsecureError, NetworkFaults, PowerFlowError
from security_check.model.limits import VoltageLimits
from security_check.model.network_elements import ReactiveFreedom
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.points import WorstPoints
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviation_sets import BoxSet
from security_check.uncertainty.deviations import Deviations
from security_check.verification.certificate import Prover
from security_check.verification.enclosure import PortModel
from security_check.verification.monotonicity import ProofStatus, prove_monotone, row_kinds
from security_check.verification.row_curvature import curvature_over, values_over
from security_check.verification.solution_boxes import ProofModel, enclose_boxes
from security_check.verification.solution_cover import COLLAPSE, cover_box
from security_check.verification.splitting import SplitProof, by_splitting, split_rows

ROUNDING = 1e-9


def limits_near(where: Area, found: np.ndarray, rng: np.random.Generator) -> RowLimits:
    """Return limits around the values found: some below, most above, by little or much."""
    size = 1.0 + np.abs(found)
    change = rng.choice([-1.0, 1.0, 1.0, 1.0], len(found)) * 10.0 ** rng.uniform(-7, -1, len(found))
    return RowLimits(found + change * size, size, 0.9)


def split_of(where: Area, u: np.ndarray, limits: RowLimits) -> SplitProof:
    rows = np.arange(len(row_kinds(where.model).kind))
    return split_rows(where.model, where.conditions, u, limits, rows)


def assert_sound(where: Area, u: np.ndarray, seed: int) -> int:
    """Assert that bounds hold and breaches are real; return the number of rows bounded."""
    try:
        found = found_by_search(where, u, seed)
    except PowerFlowError:
        return 0  # near collapse: the test of collapse
    rng = np.random.default_rng(seed)
    limits = limits_near(where, found, rng)
    split = split_of(where, u, limits)
    if split.bounds is None:
        return 0
    bounds, rows = split.bounds, split.rows
    slack = ROUNDING * (1.0 + np.abs(found[rows]))
    assert (found[rows] <= bounds.bound + slack).all()
    points = np.flatnonzero(np.isfinite(bounds.value))
    x = bounds.point[points]
    reached = where.values(x[:, :-1].T, x[:, -1])[rows[points], np.arange(len(points))]
    assert reached == pytest.approx(bounds.value[points], abs=1e-8)
    assert (x >= split.model.low - ROUNDING).all()
    assert (x <= split.model.high + ROUNDING).all()
    limit = split.targets.limit
    assert (bounds.value[bounds.breached] > limit[bounds.breached]).all()
    # Nothing beyond its limit, by more than rounding, goes for secure.
    beyond = found[rows] > limit + 2e-6 * split.targets.scale
    assert not (beyond & (bounds.bound <= limit)).any()
    return int(np.isfinite(bounds.bound).sum())


class TestBounds:
    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.sampled_from([2, 15, 60, 150, 400]))
    @settings(max_examples=examples(25), deadline=None)
    def test_search_beats_no_bound(self, where, seed, size):
        assert_sound(where, random_box(where, seed, size), seed)

    @pytest.mark.parametrize("seed", range(6))
    def test_search_beats_no_bound_where_signs_turn(self, seed):
        try:
            where = wild_area(seed)
        except NetworkFaults:
            return  # without customers it has no power flow
        bounded = [assert_sound(where, random_box(where, seed, size), seed) for size in (4, 12, 40)]
        assert max(bounded) > 0

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("start", some(range(24, 324, 25), 6))
    def test_search_beats_no_bound_where_signs_turn_at_length(self, start):
        for seed in range(start, start + 25):
            try:
                where = wild_area(seed)
            except NetworkFaults:
                continue
            for size in (2, 5, 12, 25, 40, 80):
                assert_sound(where, random_box(where, seed, size), seed)

    @given(where=AREAS, seed=st.integers(0, 10_000), size=st.sampled_from([5, 40, 150]))
    @settings(max_examples=examples(40), deadline=None)
    def test_voltages_and_derivatives_are_inside(self, where, seed, size):
        """Against differences of the fixed-point power flow, all over the box."""
        u = random_box(where, seed, size)
        model = ProofModel.of(where.model, where.conditions, u)
        cover = cover_box(model, 9)
        assume(cover.root.boxes is not None)
        boxes = there(cover.root.boxes)
        kinds = row_kinds(where.model)
        split = split_of(
            where, u, RowLimits(np.full(len(kinds.kind), 9.0), np.ones(len(kinds.kind)), 0.9)
        )
        rows = split.quantities
        at = values_over(model, boxes, rows)
        curved = curvature_over(model, boxes, rows, at)
        rng = np.random.default_rng(seed)
        share = rng.random((20, len(model.low))).round(rng.integers(0, 2))
        x = model.low + share * (model.high - model.low)
        point = enclose_boxes(model, x, x, np.repeat(boxes.voltage, 20, axis=0))
        assert (np.abs(point.voltage - boxes.voltage) <= boxes.radius + ROUNDING).all()
        values = where.values(x[:, :-1].T, x[:, -1])[split.rows]
        exact = values_over(model, point, rows)
        level = rows.level(values.T)
        assert exact.centre == pytest.approx(level, abs=1e-8)
        slack = ROUNDING * (1.0 + np.abs(level))
        assert (level <= curved.bound + slack).all()
        within = curvature_over(model, point, rows, exact)
        for one, far, other in (
            (curved.gradient, curved.gradient_radius, within.gradient),
            (curved.second, curved.second_radius, within.second),
        ):
            assert (np.abs(other - one) <= far + 1e-8 * (1.0 + np.abs(other))).all()
        step = 1e-5
        for k in range(len(model.low)):
            sides = []
            for way in (step, -step):
                moved = x.copy()
                moved[:, k] += way
                sides.append(rows.level(where.values(moved[:, :-1].T, moved[:, -1])[split.rows].T))
            slope = (sides[0] - sides[1]) / (2.0 * step)
            assert within.gradient[:, :, k] == pytest.approx(slope, abs=1e-4, rel=1e-4)


class TestInteriorMaxima:
    def test_a_worst_point_inside_is_bounded_by_its_tangent(self):
        """A common reactance: voltages behind it are highest where the powers cancel."""
        where = line_of_two(1e-4, 0.3)
        limits_w = np.array([20e3, 60e3])
        u = where.box(limits_w, limits_w)
        found = found_by_search(where, u, 0, climbed=len(row_kinds(where.model).kind))
        limits = RowLimits(found + 1e-5, np.ones(len(found)), 0.9)
        split = split_of(where, u, limits)
        assert split.bounds is not None
        assert (split.bounds.bound <= limits.limit[split.rows] + ROUNDING).all()
        steps = [step for root in split.bounds.roots for step in every_step(root)]
        assert {"fixed", "ends", "peak"} <= {step.kind for step in steps}


def every_step(node):
    for step in node.steps:
        yield step
        for part in step.parts:
            yield from every_step(part)


class TestCollapse:
    @given(where=AREAS, seed=st.integers(0, 10_000))
    @settings(max_examples=examples(20), deadline=None)
    def test_a_box_with_a_vertex_without_power_flow_is_not_covered(self, where, seed):
        u = random_box(where, seed, 2_000)
        corners = vertices(u, 1.0)
        try:
            where.values(corners, np.full(corners.shape[1], ENDS[0]))
        except PowerFlowError:
            # The fixed-point power flow may fail where solutions exist, but no box that holds
            # powers far beyond collapse can be covered.
            model = ProofModel.of(where.model, where.conditions, 20.0 * u)
            assert cover_box(model, 400).reason

    def test_it_is_said(self):
        where = line_of_two(0.1, 0.3)
        u = where.box(np.full(2, 5e3), np.full(2, 5e6))
        model = ProofModel.of(where.model, where.conditions, u)
        assert cover_box(model, 4_000).reason == COLLAPSE


class TestStressedNetworks:
    """The aim: all rows of nearly all networks of up to seven customers."""

    @pytest.mark.slow
    def test_all_rows_are_proved(self):
        proved, before, total = 0, 0, 0
        for seed in range(40):
            case = stressed_network(seed)
            check = case.grid.allocate(case.limits)
            certificate = Prover().prove(check)
            robust = check.robust_rows
            u = check.limits_w / case.grid.network.base_power_w
            first = prove_monotone(
                PortModel(case.grid.network), robust.conditions, u, robust.limits.limit
            )
            before += bool(first.secure[robust.limited].all())
            proved += certificate.secure
            total += 1
        assert total >= 35
        assert proved >= 0.95 * total
        assert before <= 0.5 * total  # the networks are such that splitting is needed

    def test_a_breach_is_refused_with_the_point(self):
        case = stressed_network(1)
        check = case.grid.allocate(case.limits)
        wider = VoltageLimits(
            case.grid.voltage_limits.minimum_pu + 0.02, case.grid.voltage_limits.maximum_pu - 0.02
        )
        tighter = check.robust_rows.monitors.row_limits(wider, case.limits)
        object.__setattr__(check.robust_rows, "limits", tighter)
        with pytest.raises(InsecureError, match=r"it reaches .* \(limit .*\) with load:0 at .* W"):
            Prover().prove(check)

    def test_statuses_are_honest(self):
        case = stressed_network(0)
        check = case.grid.allocate(case.limits)
        certificate = Prover().prove(check)
        assert certificate.secure
        assert certificate.standing[ProofStatus.CHECKED] == 0
        assert certificate.standing[ProofStatus.WITHIN] == 0
        assert certificate.reason == ""


class TestFurtherVariables:
    """Reactive power chosen within a range, and deviations of passive powers."""

    @pytest.mark.parametrize("seed", range(6))
    def test_no_point_beats_a_bound(self, seed):
        where = area(3, seed, bool(seed % 2), 0.95, 0.1)
        rng = np.random.default_rng(seed)
        count, ports = len(where.network.connection_points), len(where.network.ports.names)
        half = rng.uniform(0.0, 0.1, count) * rng.integers(0, 2, count)
        freedom = ReactiveFreedom(np.zeros(count), rng.uniform(-0.02, 0.02, count), half)
        network = replace(where.network, reactive_freedom=freedom)
        spread = rng.normal(0.0, 0.03, (ports, 2)) + 1j * rng.normal(0.0, 0.03, (ports, 2))
        deviations = Deviations(BoxSet(2), sp.csr_array(spread))
        conditions = replace(where.conditions, network=network, deviations=deviations)
        u = random_box(where, seed, 15)
        points = WorstPoints(
            rng.random((800, count)).round(rng.integers(0, 2)),
            np.sign(rng.uniform(-1.0, 1.0, (800, conditions.free))),
        )
        flow = PowerFlow(network)
        found = Monitors(flow).all_values(flow.solve(*conditions.ports(points, u)))
        kinds = row_kinds(PortModel(network))
        found = found[: len(kinds.kind)].max(axis=1)
        # A current counts negative against its row's direction: its magnitude is in either row.
        for row in np.flatnonzero(kinds.current):
            same = kinds.current & (kinds.phasor == kinds.phasor[row])
            found[row] = found[same].max()
        limits = RowLimits(found + 0.01, np.ones(len(found)), 0.9)
        model = PortModel(network)
        split = split_rows(model, conditions, u, limits, np.arange(len(found)))
        assert split.bounds is not None
        assert (found[split.rows] <= split.bounds.bound + ROUNDING).all()
        proof = prove_monotone(model, conditions, u, limits.limit)
        assert not proof.secure.any()
        proof, _ = by_splitting(proof, model, conditions, u, limits)
        beyond = proof.value > limits.limit  # by a power flow that 800 random points missed
        assert (proof.secure | beyond).mean() > 0.9
        assert proof.secure.mean() > 0.5
