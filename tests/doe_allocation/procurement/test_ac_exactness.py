"""Iterated to AC exactness, against every vertex with an own power flow, and pandapower."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from procurement_cases import injected_w, problem_of, published_case, published_problem
from random_feeders import Feeder, random_case
from sampling import examples

from doe_allocation.procurement.choices import CurrentShape
from doe_allocation.procurement.procurement import ProcurementSettings, procure
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError

SEEDS = st.integers(0, 10_000)


def exact(case, within="box"):
    settings = ProcurementSettings(ac_exact=True)
    return procure(problem_of(case, within), settings, np.random.default_rng(0))


@settings(max_examples=examples(15))
@given(SEEDS, st.integers(2, 6))
def test_the_binding_limit_is_met_at_the_worst_vertex_and_nothing_is_above(seed, pods):
    case = random_case(seed, pods=pods)
    try:
        found = exact(case)
    except InsufficientFlexibilityError:
        assume(False)
    feeder, limit = Feeder(case), case["current_limit_a"]["1-2"]
    worst = feeder.worst_current_a(0, injected_w(problem_of(case), found.local.power))
    assert worst <= limit * (1.0 + 1e-9)
    if found.local.power.any():
        assert worst == pytest.approx(limit, rel=1e-7)
    finding = found.after.finding
    assert finding is not None
    assert finding.violation <= 0.0
    if finding.element == "branch:1-2":
        assert finding.value == pytest.approx(worst, rel=1e-8)


@settings(max_examples=examples(15))
@given(SEEDS)
@example(90)
def test_a_single_offer_activates_what_bisection_needs(seed):
    """Over all vertices, with the oracle's own AC power flow."""
    case = random_case(seed, pods=3)
    case["offers"] = case["offers"][:1]
    offer, limit = case["offers"][0], case["current_limit_a"]["1-2"]
    way = 1e3 if offer["direction"] == "upward" else -1e3
    feeder = Feeder(case)
    at = np.array([float(each["pod"] == offer["pod"]) for each in case["pods"]])

    def worst(kw):
        return feeder.worst_current_a(0, way * kw * at)

    low, high = 0.0, offer["to_kw"]
    assume(worst(0.0) > limit > worst(high))
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if worst(middle) > limit else (low, middle)
    found = exact(case)
    activated_kw = found.local.power[0] * problem_of(case).network.base_power_w / 1e3
    aimed_below_kw = 1e-7 * sum(abs(each["p_kw"]) for each in case["pods"])
    assert activated_kw == pytest.approx(high, abs=aimed_below_kw)


@settings(max_examples=examples(15))
@given(SEEDS)
def test_no_small_change_of_activations_is_cheaper_and_allowed(seed):
    """Local optimality: in 300 random directions, what is cheaper breaks the limit."""
    case = random_case(seed, pods=5)
    try:
        found = exact(case)
    except InsufficientFlexibilityError:
        assume(False)
    problem, feeder = problem_of(case), Feeder(case)
    limit = case["current_limit_a"]["1-2"]
    rng = np.random.default_rng(seed)
    for size in (1e-2, 1e-3):
        for step in rng.normal(size=(150, len(problem.offers))):
            moved = np.clip(found.local.power + size * step * problem.sizes, 0.0, problem.sizes)
            saved = float(problem.prices @ (found.local.power - moved))
            if saved > 1e-5 * float(problem.prices @ problem.sizes):
                worst = feeder.worst_current_a(0, injected_w(problem, moved))
                assert worst > limit * (1.0 - 1e-7)


@pytest.mark.parametrize("within", ["gamma=2.5", "ellipsoid", "ellipsoid=1.5"])
@pytest.mark.parametrize("case", ["2", "3"])
def test_other_sets_are_exact_too_and_no_draw_from_them_is_above(case, within):
    problem = published_problem(case, within)
    settings = ProcurementSettings(ac_exact=True)
    found = procure(problem, settings, np.random.default_rng(0))
    feeder, deviations = Feeder(published_case()), problem.forecast.deviations.set
    rng = np.random.default_rng(1)
    drawn = deviations.support(rng.normal(size=(3_000, 7))) * feeder.bands(case)
    worst = feeder.currents_a(injected_w(problem, found.local.power), drawn)[1].max()
    assert worst <= 117.0 * (1.0 + 1e-9)
    finding = found.after.finding
    assert finding is not None
    assert finding.violation <= 0.0
    if found.local.power.any():
        assert finding.value == pytest.approx(117.0, rel=1e-7)


@pytest.mark.parametrize("case", ["2", "3"])
def test_pandapower_finds_the_same_worst_current(case):
    """All loads at the end of their bands, after activation, in pandapower's own power flow."""
    content, problem = published_case(), published_problem(case)
    found = procure(problem, ProcurementSettings(ac_exact=True), np.random.default_rng(0))
    injected, bands = injected_w(problem, found.local.power), Feeder(content).bands(case)
    net = pp.create_empty_network(sn_mva=1.0)
    for bus in range(1, 13):
        pp.create_bus(net, 8.4, index=bus)
    pp.create_ext_grid(net, 1)
    for branch in content["branches"]:
        pp.create_line_from_parameters(
            net,
            branch["from"],
            branch["to"],
            1.0,
            branch["r_ohm"],
            branch["x_ohm"],
            branch["b_s"] / (2 * np.pi * 50.0) * 1e9,
            1.0,
        )
    for pod, more, band in zip(content["pods"], injected, bands, strict=True):
        p_kw = pod["p_kw"] * (1.0 + band) - more / 1e3
        q_kvar = pod["q_kvar"] * (1.0 + band) - more / 1e3 * pod["q_kvar"] / pod["p_kw"]
        pp.create_load(net, pod["bus"], p_kw / 1e3, q_kvar / 1e3)
    pp.runpp(net, tolerance_mva=1e-10)
    assert net.res_line.i_from_ka[1] * 1e3 == pytest.approx(117.0, rel=1e-7)
    assert found.after.ac_lowest.min() == pytest.approx(net.res_bus.vm_pu.min(), abs=1e-8)


def test_ac_exact_needs_less_than_planes_and_about_what_the_circle_does():
    problem = published_problem("2")
    rng = np.random.default_rng(0)
    costs = [
        procure(problem, settings, rng).local.power.sum() * 1e3
        for settings in (
            ProcurementSettings(),
            ProcurementSettings(ac_exact=True),
            ProcurementSettings(shape=CurrentShape.REFINED),
        )
    ]
    assert costs[0] > costs[1] > costs[2]
    assert costs[1] == pytest.approx(costs[2], rel=0.01)
