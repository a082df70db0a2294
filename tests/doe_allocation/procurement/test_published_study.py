"""The published 12-bus study: its deviations, activations and currents, within 0.1 %."""

from __future__ import annotations

import numpy as np
import pytest
from procurement_cases import injected_w, published_case, published_problem
from random_feeders import Feeder
from scipy.optimize import linprog

from doe_allocation.procurement.choices import CurrentShape
from doe_allocation.procurement.procurement import Procured, ProcurementSettings, procure
from doe_allocation.procurement.quantities import QuantityKind

CASE = published_case()
PUBLISHED = CASE["published"]
WITHIN = 1e-3
BUSES, BRANCHES = 11, 11
LIMITED = 1  # branch 2-3
BASE_A = 1e6 / (np.sqrt(3.0) * 8400.0)


def procured(case: str, **settings: object) -> Procured:
    rng = np.random.default_rng(0)
    return procure(published_problem(case), ProcurementSettings(**settings), rng)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ["1", "2"])
def test_deviations_of_currents_are_the_published_ones(case):
    found = procured(case)
    for name, (real, imaginary) in PUBLISHED["robust_current_deviation_a"][case].items():
        branch = next(k for k, each in enumerate(CASE["branches"]) if each["id"] == name)
        ours = np.array(found.model.deviations(BUSES + branch)) * BASE_A
        assert ours[0] == pytest.approx(abs(real), rel=WITHIN)
        assert ours[1] == pytest.approx(abs(imaginary), rel=WITHIN)


def test_base_currents_and_voltages_are_the_published_ones():
    found = procured("1")
    for name, pair in PUBLISHED["base_current_a"].items():
        branch = next(k for k, each in enumerate(CASE["branches"]) if each["id"] == name)
        ours = complex(found.before.expected[BUSES + branch]) * BASE_A
        assert abs(ours - complex(*pair)) < 6e-4
    ours = np.abs(found.before.expected[:BUSES])
    assert ours == pytest.approx(PUBLISHED["base_voltage_pu"][1:], abs=1e-4)


@pytest.mark.parametrize("case", ["1", "2"])
def test_activations_and_currents_after_them_are_the_published_ones(case):
    found = procured(case)
    problem = published_problem(case)
    activated = dict(zip(("4", "6", "9"), found.local.power * 1e3, strict=True))
    for bus, published in PUBLISHED["activated_upward_kw"][case].items():
        assert activated[bus] == pytest.approx(published, rel=WITHIN, abs=1e-6)
    robust = found.after.bound[BUSES + LIMITED] * BASE_A
    assert robust == pytest.approx(PUBLISHED["robust_current_2_3_after_a"][case], rel=WITHIN)
    feeder = Feeder(CASE)
    ac = feeder.worst_current_a(LIMITED, injected_w(problem, found.local.power), case)
    assert ac == pytest.approx(PUBLISHED["ac_power_flow_current_2_3_after_a"][case], rel=WITHIN)
    assert found.after.ac_worst[BUSES + LIMITED] * BASE_A == pytest.approx(ac, rel=1e-9)
    assert found.after.finding is not None
    assert found.after.finding.value == pytest.approx(ac, rel=1e-9)


@pytest.mark.parametrize("case", ["1", "2", "3"])
def test_another_solver_on_another_model_finds_the_same(case):
    """scipy on the oracle's dense matrices: 32 planes over all 128 vertices, one row each."""
    feeder = Feeder(CASE)
    flexible = [k for k, each in enumerate(CASE["pods"]) if each["flexible"]]
    nothing, step_w = np.zeros(len(CASE["pods"])), 1e3
    base = feeder.linear(nothing, feeder.vertices(case))[1][LIMITED]
    unit = np.eye(len(nothing)) * step_w
    by_kw = np.array(
        [
            feeder.linear(unit[k], nothing)[1][LIMITED, 0]
            - feeder.linear(nothing, nothing)[1][LIMITED, 0]
            for k in flexible
        ]
    )
    t = 2.0 * np.pi / 32
    n = np.arange(1, 33)
    a = np.sin((n - 1) * t) - np.sin(n * t)
    b = np.cos(n * t) - np.cos((n - 1) * t)
    c = np.cos(n * t) * np.sin((n - 1) * t) - np.cos((n - 1) * t) * np.sin(n * t)
    rows, most = [], []
    for plane in range(32):
        along = (a[plane] * base.real + b[plane] * base.imag) / c[plane]
        rows.append((a[plane] * by_kw.real + b[plane] * by_kw.imag) / c[plane])
        most.append(117.0 - along.max())
    sizes = [(0.0, CASE["pods"][k]["p_kw"]) for k in flexible]
    best = linprog(np.ones(3), A_ub=np.array(rows), b_ub=np.array(most), bounds=sizes)
    assert best.status == 0
    assert procured(case).local.power * 1e3 == pytest.approx(best.x, rel=1e-6, abs=1e-5)


def test_the_polygon_gives_away_half_an_ampere():
    found = procured("2")
    assert found.given_away is not None
    (number,) = (k for k, q in enumerate(found.quantities) if q.kind is QuantityKind.CURRENT)
    assert found.given_away.by_quantity[number] * BASE_A == pytest.approx(0.5, abs=0.06)
    circle = procured("2", shape=CurrentShape.REFINED)
    assert found.given_away.power == pytest.approx(circle.local.power, abs=1e-12)
    assert circle.local.power.sum() < found.local.power.sum()


@pytest.mark.parametrize("ac_exact", [False, True])
@pytest.mark.parametrize("case", ["2", "3"])
def test_activation_rises_with_gamma_to_that_of_the_box_and_an_ellipsoid_needs_less(case, ac_exact):
    def activated(within):
        settings = ProcurementSettings(ac_exact=ac_exact)
        problem = published_problem(case, within)
        return procure(problem, settings, np.random.default_rng(0)).local.power.sum()

    budgets = [activated(f"gamma={gamma}") for gamma in (0, 2, 3.5, 5, 7)]
    assert budgets == sorted(budgets)
    assert budgets[0] == 0.0
    assert budgets[-1] == pytest.approx(activated("box"), rel=1e-6)
    assert activated("ellipsoid") <= budgets[-1]


@pytest.mark.parametrize("case", ["1", "2", "3"])
def test_iterated_to_ac_exactness_the_adversary_finds_the_limit_and_nothing_above(case):
    found = procured(case, ac_exact=True)
    finding = found.after.finding
    assert finding is not None
    if case != "1":
        assert f"{100 * (1 + finding.violation):.4f}" == "100.0000"
    assert finding.violation <= 0.0
    feeder, problem = Feeder(CASE), published_problem(case)
    ac = feeder.worst_current_a(LIMITED, injected_w(problem, found.local.power), case)
    assert ac <= 117.0 * (1.0 + 1e-9)
    assert ac == pytest.approx(finding.value, rel=1e-9)


@pytest.mark.parametrize(
    "points", [2_000, pytest.param(20_000, marks=pytest.mark.slow)], ids=["few", "all"]
)
@pytest.mark.parametrize("case", ["1", "2", "3"])
def test_no_draw_exceeds_the_robust_bound_by_more_than_the_linearisation_error(case, points):
    found, feeder = procured(case), Feeder(CASE)
    rng = np.random.default_rng(int(case))
    inside = rng.uniform(-1.0, 1.0, (points, len(feeder.load))) * feeder.bands(case)
    inside[: points // 4] = np.sign(inside[: points // 4]) * feeder.bands(case)
    injected = injected_w(published_problem(case), found.local.power)
    drawn = feeder.currents_a(injected, inside).max(axis=1)
    state, at = found.after, slice(BUSES, BUSES + BRANCHES)
    allowed = (state.bound[at] + np.maximum(state.error[at], 0.0)) * BASE_A
    rounding_a = 1e-6  # where only charging current flows, searches stop at less than this
    assert (drawn <= allowed + rounding_a).all()
    assert (drawn <= state.ac_worst[at] * BASE_A + rounding_a).all()
    assert state.error[at].max() * BASE_A < 0.03
