"""The best activation against other solvers, and properties of its cost."""

from __future__ import annotations

import copy
from itertools import pairwise

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from procurement_cases import problem_of
from random_feeders import Feeder, random_case
from sampling import examples

from doe_allocation.procurement.choices import CurrentShape, FlexDirection, Objective
from doe_allocation.procurement.procurement import ProcurementSettings, procure
from doe_allocation.procurement.quantities import QuantityKind
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError

SEEDS = st.integers(0, 10_000)


def procured(case, within="box", **settings):
    rng = np.random.default_rng(0)
    return procure(problem_of(case, within), ProcurementSettings(**settings), rng)


def cost(case, within="box", **settings):
    """Return the cost, infinite where offers are not enough."""
    try:
        found = procured(case, within, **settings)
    except InsufficientFlexibilityError:
        return np.inf
    return float(problem_of(case, within).prices @ found.local.power)


def optimum_over_all_vertices(case):
    """Return the least cost of an own cone program: the circle at every vertex of the box."""
    feeder = Feeder(case)
    nothing, vertices = np.zeros(len(feeder.load)), feeder.vertices()
    centre = feeder.linear(nothing, vertices)[1][0]
    offers = case["offers"]
    by_kw = []
    for offer in offers:
        way = 1e3 if offer["direction"] == "upward" else -1e3
        injected = np.array([way * (each["pod"] == offer["pod"]) for each in case["pods"]])
        one = feeder.linear(injected, nothing)[1][0, 0] - feeder.linear(nothing, nothing)[1][0, 0]
        by_kw.append(one)
    limit = case["current_limit_a"]["1-2"]
    x = cp.Variable(len(offers))
    slope = np.array(by_kw) / limit
    size = np.array([each["to_kw"] for each in offers])
    price = np.array([each["price_eur_per_kwh"] for each in offers])
    discs = [
        cp.norm(
            np.array([slope.real, slope.imag]) @ cp.multiply(size, x)
            + np.array([z.real, z.imag]) / limit
        )
        <= 1.0
        for z in centre
    ]
    program = cp.Problem(cp.Minimize((price * size) @ x), [*discs, x >= 0, x <= 1])
    program.solve(solver=cp.CLARABEL)
    return program.value if program.status == cp.OPTIMAL else np.inf


@settings(max_examples=examples(6))
@given(SEEDS)
@example(2544)
def test_cones_and_refined_planes_find_the_optimum_over_all_vertices(seed):
    case = random_case(seed)
    expected = optimum_over_all_vertices(case)
    scale = sum(each["to_kw"] * each["price_eur_per_kwh"] for each in case["offers"])
    for shape in (CurrentShape.CONES, CurrentShape.REFINED):
        found = cost(case, shape=shape)
        if np.isfinite(expected) and np.isfinite(found):
            assert found == pytest.approx(expected, abs=1e-5 * scale)
        else:  # whether there is any may be in doubt where there hardly is
            least = cost(case | {"current_limit_a": {"1-2": _limit(case) * 1.001}}, shape=shape)
            assert np.isfinite(least) or not np.isfinite(expected)
    assert cost(case, shape=CurrentShape.PLANES) >= expected - 1e-5 * scale


def _limit(case):
    return case["current_limit_a"]["1-2"]


@settings(max_examples=examples(4))
@given(SEEDS)
def test_more_planes_cost_no_more_and_their_cost_tends_to_that_of_the_circle(seed):
    case = random_case(seed)
    costs = [cost(case, planes=planes) for planes in (8, 16, 32, 64, 1024)]
    assume(np.isfinite(costs[0]))
    scale = sum(each["to_kw"] * each["price_eur_per_kwh"] for each in case["offers"])
    assert all(after <= before + 1e-7 * scale for before, after in pairwise(costs))
    circle = cost(case, shape=CurrentShape.REFINED)
    assert circle <= costs[-1] + 1e-7 * scale
    assert costs[-1] == pytest.approx(circle, abs=1e-3 * scale)


@settings(max_examples=examples(4))
@given(SEEDS, st.booleans())
def test_cost_rises_with_gamma_up_to_that_of_the_box(seed, ac_exact):
    case = random_case(seed)
    count = len(case["pods"])
    costs = [
        cost(case, f"gamma={gamma}", ac_exact=ac_exact)
        for gamma in np.linspace(0.0, count, 2 * count + 1)
    ]
    scale = sum(each["to_kw"] * each["price_eur_per_kwh"] for each in case["offers"])
    assert all(after >= before - 1e-6 * scale for before, after in pairwise(costs))
    box = cost(case, ac_exact=ac_exact)
    assert costs[-1] == box or costs[-1] == pytest.approx(box, abs=1e-6 * scale)
    certain = copy.deepcopy(case)
    certain["cases"]["a"] = {"flexible_percent": 0, "inflexible_percent": 0}
    none = cost(certain, ac_exact=ac_exact)
    assert costs[0] == none or costs[0] == pytest.approx(none, abs=1e-6 * scale)


@settings(max_examples=examples(6))
@given(SEEDS, st.booleans())
def test_an_ellipsoid_without_correlation_costs_no_more_than_the_box(seed, ac_exact):
    case = random_case(seed)
    scale = sum(each["to_kw"] * each["price_eur_per_kwh"] for each in case["offers"])
    round_set = cost(case, "ellipsoid", ac_exact=ac_exact)
    assert round_set <= cost(case, ac_exact=ac_exact) + 1e-6 * scale


@settings(max_examples=examples(6))
@given(SEEDS, st.floats(0.5, 0.999), st.sampled_from(["planes", "refined", "ac"]))
def test_a_tighter_limit_never_lowers_cost(seed, part, how):
    case = random_case(seed)
    chosen = {"ac_exact": True} if how == "ac" else {"shape": CurrentShape(how)}
    tighter = case | {"current_limit_a": {"1-2": _limit(case) * part}}
    scale = sum(each["to_kw"] * each["price_eur_per_kwh"] for each in case["offers"])
    assert cost(tighter, **chosen) >= cost(case, **chosen) - 1e-6 * scale


@settings(max_examples=examples(6))
@given(SEEDS)
def test_a_shadow_price_is_what_a_little_more_of_the_limit_saves(seed):
    case = random_case(seed)
    base = cost(case)
    assume(np.isfinite(base) and base > 0.0)
    found = procured(case)
    (number,) = (k for k, q in enumerate(found.quantities) if q.kind is QuantityKind.CURRENT)
    per_a = found.local.worth[number] / found.quantities[number].unit_size
    step = 1e-6 * _limit(case)
    sides = [
        (cost(case | {"current_limit_a": {"1-2": _limit(case) + sign * step}}) - base)
        / (sign * step)
        for sign in (1.0, -1.0)
    ]
    low, high = sorted(-side for side in sides)
    assert low - 1e-3 * per_a - 1e-9 <= per_a <= high + 1e-3 * per_a + 1e-9


def test_lowest_and_highest_voltages_are_kept_at_every_vertex():
    """Behind a resistive line a load needs relief for voltage, a generator the opposite."""
    for kw, direction, limits in (
        (60.0, "upward", {"voltage_min_pu": 0.95}),
        (-60.0, "downward", {"voltage_max_pu": 1.04}),
    ):
        case = {
            "base_voltage_v_line_to_line": 400.0,
            "slack_bus": 1,
            "branches": [{"id": "1-2", "from": 1, "to": 2, "r_ohm": 0.13, "x_ohm": 0.04}],
            "pods": [
                {"pod": 1, "bus": 2, "p_kw": kw, "q_kvar": 0.1 * kw, "flexible": True},
                {"pod": 2, "bus": 2, "p_kw": 5.0, "q_kvar": 1.0},
            ],
            "offers": [{"pod": 1, "direction": direction, "to_kw": 60.0, "price_eur_per_kwh": 0.3}],
            "voltage_min_pu": 0.8,
            "voltage_max_pu": 1.2,
            "cases": {"a": {"flexible_percent": 10, "inflexible_percent": 20}},
        } | limits
        feeder, problem = Feeder(case), problem_of(case)
        for chosen in ({}, {"shape": CurrentShape.CONES}, {"ac_exact": True}):
            found = procured(case, **chosen)
            injected = problem.change @ found.local.power * problem.network.base_power_w
            volt = np.abs(feeder.voltages(injected, feeder.vertices()))[1] / feeder.volts
            assert 0.0 < found.local.power[0] < problem.sizes[0]
            exact = 1e-8 if "ac_exact" in chosen else 5e-3
            if kw > 0.0:
                assert volt.min() == pytest.approx(0.95, abs=exact)
            else:
                assert volt.max() == pytest.approx(1.04, abs=exact)
            (bound,) = (k for k, worth in enumerate(found.local.worth) if worth)
            assert found.quantities[bound].element == "bus:2"


@settings(max_examples=examples(6))
@given(SEEDS, st.sampled_from([Objective.UPWARD, Objective.DOWNWARD]), st.booleans())
@example(256, Objective.DOWNWARD, True)
def test_flexibility_for_the_tso_is_beside_the_local_need_and_keeps_all_limits(
    seed, objective, ac_exact
):
    case = random_case(seed)
    for each in case["pods"]:
        way = "downward" if each["p_kw"] > 0 else "upward"
        case["offers"].append(
            {"pod": each["pod"], "direction": way, "to_kw": abs(each["p_kw"]),
             "price_eur_per_kwh": 1.0}
        )  # fmt: skip
        each["flexible"] = True
    alone = cost(case, ac_exact=ac_exact)
    assume(np.isfinite(alone))
    found = procured(case, objective=objective, ac_exact=ac_exact)
    problem = problem_of(case)
    assert problem.prices @ found.local.power == pytest.approx(alone, rel=1e-6, abs=1e-6)
    assert found.tso is not None
    assert (found.tso.power >= -1e-9).all()
    assert (found.total <= problem.sizes + 1e-9).all()
    wrong = [o.direction is not FlexDirection(objective.value) for o in problem.offers]
    assert not found.tso.power[np.array(wrong)].any()
    feeder = Feeder(case)
    for power in (found.local.power, found.total, 0.5 * (found.local.power + found.total)):
        injected = problem.change @ power * problem.network.base_power_w
        worst = feeder.worst_current_a(0, injected)
        assert worst <= _limit(case) * (1.0 + (1e-8 if ac_exact else 0.02))
    tight = np.flatnonzero(found.tso.worth)
    open_ = found.total < problem.sizes - 1e-6
    assert len(tight) or not (open_ & ~np.array(wrong)).any()


@pytest.mark.parametrize("shape", list(CurrentShape))
def test_free_offers_activate_no_more_than_is_needed(shape):
    """With prices of zero the least power is taken, and its limit is named."""
    case = random_case(11)
    case["offers"] = [each | {"price_eur_per_kwh": 0.0} for each in case["offers"]]
    feeder = Feeder(case)
    certain = feeder.worst_current_a(0, np.zeros(len(feeder.load)))
    case["current_limit_a"]["1-2"] = 0.97 * certain
    found, priced = procured(case, shape=shape), copy.deepcopy(case)
    priced["offers"] = [each | {"price_eur_per_kwh": 1.0} for each in case["offers"]]
    other = procured(priced, shape=shape)
    assert found.local.power == pytest.approx(other.local.power, abs=1e-5)
    assert found.local.worth.any()
