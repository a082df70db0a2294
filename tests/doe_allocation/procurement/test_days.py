"""Intervals whose offers are coupled, against all patterns of on and off, and an own power flow."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from day_cases import feeders, interval, random_day
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sampling import examples
from scipy.optimize import linprog

from doe_allocation.procurement.choices import CurrentShape, Objective
from doe_allocation.procurement.procurement import (
    Procured,
    ProcurementSettings,
    procure,
    procure_together,
)
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError
from gateway.flexibility.case_loading import SetChoice
from gateway.flexibility.day_loading import LoadedDay, read_day

SEEDS = st.integers(0, 10_000)


def loaded(case) -> LoadedDay:
    return read_day(json.dumps(case).encode(), "day")


def together(case, **how):
    day = loaded(case)
    rng = np.random.default_rng(0)
    problems = day.problems("a", SetChoice())
    return day, procure_together(problems, day.coupling, ProcurementSettings(**how), rng)


def patterns(terms, count):
    """Return which patterns of on and off the terms allow, by walking over runs of each."""
    minutes = 30
    shortest = -(-terms.get("shortest_minutes", 1) // minutes)
    longest = terms.get("longest_minutes", minutes * count) // minutes
    rest = -(-terms.get("rest_minutes", 1) // minutes)
    found = []
    for on in itertools.product((False, True), repeat=count):
        runs = [(value, len(list(group))) for value, group in itertools.groupby(on)]
        fine = all(shortest <= length <= longest for value, length in runs if value)
        inner = runs[1:-1]
        fine &= all(length >= rest for value, length in inner if not value)
        if fine:
            found.append(on)
    return found


def planes_rows(feeder, case, by_offer):
    """Return rows of 32 planes over all vertices for the limited current: A x <= b, x in kW."""
    limit = case["current_limit_a"]["1-2"]
    nothing = np.zeros(len(feeder.load))
    base = feeder.linear(nothing, feeder.vertices())[1][0]
    zero = feeder.linear(nothing, nothing)[1][0, 0]
    slope = [feeder.linear(1e3 * each, nothing)[1][0, 0] - zero for each in by_offer]
    angles = 2.0 * np.pi / 32 * (np.arange(32) + 0.5)
    along = np.exp(-1j * angles)
    room = limit * np.cos(np.pi / 32) - (along[:, None] * base[None, :]).real.max(axis=1)
    return (along[:, None] * np.array(slope)[None, :]).real, room


def least_cost_over_all_patterns(case):
    """Return the least cost of the day in EUR, a linear programme for every pattern."""
    count, offers = case["intervals"]["count"], case["offers"]
    physics, parts = feeders(case), [interval(case, t) for t in range(count)]
    by_offer = [
        (1.0 if each["direction"] == "upward" else -1.0)
        * np.array([float(pod["pod"] == each["pod"]) for pod in case["pods"]])
        for each in offers
    ]
    n = len(offers)
    A, b = [], []
    for t in range(count):
        rows, room = planes_rows(physics[t], parts[t], by_offer)
        wide = np.zeros((len(rows), n * count))
        wide[:, t * n : (t + 1) * n] = rows
        A.append(wide)
        b.append(room)
    for k, terms in enumerate(case["terms"]):
        own = np.zeros((count, n * count))
        own[np.arange(count), np.arange(count) * n + k] = 1.0
        if "energy_kwh" in terms:
            A.append(0.5 * own.sum(axis=0)[None, :])
            b.append(np.array([terms["energy_kwh"]]))
        if "ramp_kw" in terms:
            change = own.copy()
            change[1:] -= own[:-1]
            A += [change, -change]
            b += [np.full(count, terms["ramp_kw"])] * 2
    cost = 0.5 * np.array([p["price_eur_per_kwh"] for part in parts for p in part["offers"]])
    size = np.array([p["to_kw"] for part in parts for p in part["offers"]])
    best = np.inf
    for chosen in itertools.product(*(patterns(terms, count) for terms in case["terms"])):
        on = np.array(chosen).T.ravel()
        least = np.tile([terms.get("least_kw", 0.0) for terms in case["terms"]], count)
        if (on & (least > size)).any():
            continue
        bounds = list(zip(np.where(on, least, 0.0), np.where(on, size, 0.0), strict=True))
        found = linprog(cost, A_ub=np.concatenate(A), b_ub=np.concatenate(b), bounds=bounds)
        if found.fun is not None:
            best = min(best, found.fun)
    return best


def cost_eur(day, found):
    problems = day.problems("a", SetChoice())
    return 0.5 * sum(
        float(problem.prices @ each.local.power)
        for problem, each in zip(problems, found, strict=True)
    )


@settings(max_examples=examples(8))
@given(SEEDS)
def test_a_day_costs_what_the_best_pattern_of_on_and_off_costs(seed):
    case = random_day(seed)
    day, found = together(case)
    expected = least_cost_over_all_patterns(case)
    scale = sum(max(each["to_kw"]) for each in case["offers"])
    if not all(isinstance(each, Procured) for each in found):
        assert expected == np.inf
        assert any(isinstance(each, InsufficientFlexibilityError) for each in found)
    else:
        assert cost_eur(day, found) == pytest.approx(expected, abs=1e-6 * scale)


def activated_kw(day, found, *, total=False):
    """Return what is activated, shape (intervals, offers); also with the TSO's part."""
    unit = day.parts[0].network.base_power_w / 1e3
    return np.array([each.total if total else each.local.power for each in found]) * unit


@settings(max_examples=examples(8))
@given(SEEDS, st.sampled_from(["planes", "refined", "exact"]), st.sampled_from(list(Objective)))
def test_terms_hold_and_limits_hold_at_every_vertex(seed, how, objective):
    case = random_day(seed, 5)
    chosen = {"ac_exact": True} if how == "exact" else {"shape": CurrentShape(how)}
    day, found = together(case, objective=objective, **chosen)
    assume(all(isinstance(each, Procured) for each in found))
    for total in (False, True):
        power = activated_kw(day, found, total=total)
        for k, terms in enumerate(case["terms"]):
            assert_terms(power[:, k], terms, max(case["offers"][k]["to_kw"]))
        limit = case["current_limit_a"]["1-2"]
        worst = []
        for feeder, own in zip(feeders(case), power, strict=True):
            injected = np.zeros(len(case["pods"]))
            for offer, kw in zip(case["offers"], own, strict=True):
                sign = 1e3 if offer["direction"] == "upward" else -1e3
                injected[offer["pod"] - 1] += sign * kw
            worst.append(feeder.worst_current_a(0, injected))
        assert max(worst) <= limit * (1 + (1e-9 if how == "exact" else 0.03))


def assert_terms(own, terms, size):
    """Check what a resource activates over intervals of half an hour."""
    assert 0.5 * own.sum() <= terms.get("energy_kwh", np.inf) * (1 + 1e-7)
    change = np.abs(np.diff(own, prepend=0.0))
    assert change.max() <= terms.get("ramp_kw", np.inf) * (1 + 1e-7)
    on = own > 1e-7 * size
    assert (own[on] >= terms.get("least_kw", 0.0) * (1 - 1e-7)).all()
    if terms.get("least_kw"):
        assert tuple(on) in patterns(terms, len(own))


@settings(max_examples=examples(5))
@given(SEEDS, st.booleans())
def test_terms_that_never_bind_change_nothing(seed, ac_exact):
    case = random_day(seed, 3, terms=False)
    case["terms"] = [
        {"pod": each["pod"], "direction": each["direction"], "energy_kwh": 1e8, "ramp_kw": 1e8,
         "longest_minutes": 90, "rest_minutes": 30}
        for each in case["offers"]
    ]  # fmt: skip
    day, found = together(case, ac_exact=ac_exact)
    for problem, each in zip(day.problems("a", SetChoice()), found, strict=True):
        settings = ProcurementSettings(ac_exact=ac_exact)
        if isinstance(each, InsufficientFlexibilityError):
            with pytest.raises(InsufficientFlexibilityError, match=each.element):
                procure(problem, settings, np.random.default_rng(0))
        elif each is not None:
            alone = procure(problem, settings, np.random.default_rng(0))
            rounding = 1e-6 * float(problem.sizes.max())
            assert each.local.power == pytest.approx(alone.local.power, abs=rounding)
            assert each.local.worth == pytest.approx(alone.local.worth, rel=1e-4, abs=1e-6)


@settings(max_examples=examples(6))
@given(SEEDS, st.booleans())
@example(132, False)
def test_an_energy_that_is_too_small_names_intervals_and_what_is_missing_relieves(seed, ac_exact):
    case = random_day(seed, 4, terms=False)
    day, found = together(case, ac_exact=ac_exact)
    assume(all(isinstance(each, Procured) for each in found))
    used = activated_kw(day, found).sum(axis=0) * 0.5
    assume(used.sum() > 1e-3 * max(each["to_kw"][0] for each in case["offers"]))
    case["terms"] = [
        {"pod": each["pod"], "direction": each["direction"], "energy_kwh": float(0.1 * used.sum())}
        for each in case["offers"]
    ]
    day, short = together(case, ac_exact=ac_exact)
    assume(not all(isinstance(each, Procured) for each in short))
    assert any(isinstance(each, InsufficientFlexibilityError) for each in short)
    limit, unit = case["current_limit_a"]["1-2"], day.parts[0].network.base_power_w
    sign = {"upward": 1.0, "downward": -1.0}
    for feeder, problem, error in zip(
        feeders(case), day.problems("a", SetChoice()), short, strict=True
    ):
        if error is None:
            continue
        assert error.element == "branch:1-2"
        assert error.missing or "in other intervals" in str(error)
        injected = problem.change @ error.activation * unit
        before = feeder.worst_current_a(0, injected)
        assert before > limit * (1.0 - 0.02)
        for each in error.missing:
            place = int(each.resource.partition(":")[2]) - 1
            injected[place] += sign[each.direction.value] * each.power_w
        if error.missing:
            assert feeder.worst_current_a(0, injected) < before
    errors = [each for each in short if isinstance(each, InsufficientFlexibilityError)]
    assert any(each.missing for each in errors)
