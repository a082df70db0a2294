"""Properties of all schemes on random markets, against the joint programme of an oracle."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from coordination_cases import random_problem
from coordination_oracle import cost_of, least_cost, least_cost_at
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from presence import there

from doe_allocation.coordination.area import (
    all_offers,
    cost_curve,
    own_need,
    safe_boundaries,
    validated_limits,
)
from doe_allocation.coordination.coordination import SCHEMES, WITH_PRIORITY, Scheme
from doe_allocation.coordination.plan import Priority
from doe_allocation.coordination.problem import Linearised, Portfolio
from doe_allocation.coordination.settlement import activated, awards, balances

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=25, deadline=None)
NEARLY = 1e-6  # part of a cost: roundings of the solvers


def cost(problem: Linearised, scheme: Scheme, priority: Priority = Priority.COMMON) -> float:
    return cost_of(problem, SCHEMES[scheme](problem, priority).activated)


@FEW
@given(SEEDS)
def test_common_is_the_optimum_and_the_exchange_of_prices_finds_it(seed: int) -> None:
    problem = random_problem(seed)
    best = least_cost(problem)
    room = NEARLY * max(abs(best), 100.0)
    assert cost(problem, Scheme.COMMON) == pytest.approx(best, abs=room)
    assert cost(problem, Scheme.COMMON_DECENTRALISED) == pytest.approx(best, abs=10.0 * room)


@FEW
@given(SEEDS)
def test_no_scheme_costs_less_than_common(seed: int) -> None:
    problem = random_problem(seed)
    best = least_cost(problem)
    for scheme in SCHEMES:
        orders = Priority if scheme in WITH_PRIORITY else (Priority.COMMON,)
        for order in orders:
            assert cost(problem, scheme, order) >= best - NEARLY * max(abs(best), 100.0)


@FEW
@given(SEEDS, st.floats(0.0, 8.0), st.floats(0.0, 8.0))
def test_raising_a_need_never_lowers_cost(seed: int, first: float, second: float) -> None:
    low, high = sorted((first, second))
    small, large = (random_problem(seed, need_mw=each) for each in (low, high))
    for scheme in (
        Scheme.COMMON,
        Scheme.COMMON_DECENTRALISED,
        Scheme.LOCAL,
        Scheme.SHARED_BALANCING,
    ):
        before = cost(small, scheme)
        assert cost(large, scheme) >= before - 10.0 * NEARLY * max(abs(before), 100.0)


@FEW
@given(SEEDS, st.floats(0.0, 1.0))
def test_a_linear_market_is_the_same_around_any_operating_point(seed: int, part: float) -> None:
    problem = random_problem(seed)
    at = part * problem.market.sizes
    moved = replace(
        problem,
        at=at,
        rows=replace(problem.rows, value=problem.rows.value + problem.rows.A @ at),
        active=problem.active + problem.by_active @ at,
        reactive=problem.reactive + problem.by_reactive @ at,
    )
    blind = {
        Scheme.CENTRALISED,
        Scheme.DSO_MANAGED,
        Scheme.HYBRID,
    }  # they learn from what is measured
    for scheme in set(SCHEMES) - blind:
        plan = SCHEMES[scheme](moved, Priority.COMMON)
        expected = cost(problem, scheme)
        room = 1e-5 * max(abs(expected), 100.0)
        assert cost_of(problem, plan.activated) == pytest.approx(expected, abs=room), scheme


@FEW
@given(SEEDS)
def test_peers_never_worsen_a_limit(seed: int) -> None:
    problem = random_problem(seed)
    parties = (Portfolio("one", 2_500_000, 95.0), Portfolio("two", 900_000, 60.0))
    problem = replace(problem, market=replace(problem.market, portfolios=parties))
    plan, rows = SCHEMES[Scheme.DISTRIBUTED](problem, Priority.COMMON), problem.rows
    value = rows.value + rows.A @ plan.activated
    assert (value <= np.maximum(rows.high, rows.value) + 1e-6).all()
    assert (value >= np.minimum(rows.low, rows.value) - 1e-6).all()


@FEW
@given(SEEDS)
def test_money_sums_to_zero_and_no_watt_is_sold_twice(seed: int) -> None:
    problem = random_problem(seed)
    parties = (Portfolio("one", 1_500_000, 70.0), Portfolio("two", 900_000, 40.0))
    problem = replace(problem, market=replace(problem.market, portfolios=parties))
    offers = problem.market.offers
    for scheme in SCHEMES:
        plan = SCHEMES[scheme](problem, Priority.COMMON)
        assert all((power >= -1e-7).all() for power in plan.bought.values())
        made = awards(offers, plan.bought)
        for offer in offers:
            sold = [each.power_w for each in made if each.offer is offer]
            assert all(power > 0 for power in sold)
            assert sum(sold) <= offer.power_w
        np.testing.assert_allclose(activated(offers, made), plan.activated, atol=2e-6)
        assert sum(balances(made).values()) == 0


@FEW
@given(SEEDS)
def test_hybrid_activates_at_least_as_much_as_dso_managed(seed: int) -> None:
    problem = random_problem(seed, need_mw=30.0, tso_rows=0)
    power = {}
    for scheme in (Scheme.HYBRID, Scheme.DSO_MANAGED):
        plan = SCHEMES[scheme](problem, Priority.COMMON)
        power[scheme] = float(problem.market.change.real @ plan.bought["tso"])
    assert power[Scheme.HYBRID] >= power[Scheme.DSO_MANAGED] - 1e-5


@FEW
@given(SEEDS)
def test_a_cost_curve_is_the_least_cost_at_every_power(seed: int) -> None:
    problem = random_problem(seed)
    assume((problem.market.area == 0).any())
    curve = cost_curve(problem, 0, all_offers(problem))
    power = np.array([each.active for each in curve])
    price = np.array([each.cost for each in curve])
    assert (np.diff(power) >= -1e-8).all()
    if least_cost_at(problem, 0, float(power[0])) == np.inf:
        return  # limits that no activation keeps
    for active in np.linspace(power[0], power[-1], 7)[1:-1].tolist():
        expected = least_cost_at(problem, 0, active)
        assert np.interp(active, power, price) == pytest.approx(expected, rel=1e-5, abs=1e-3)
    assert least_cost_at(problem, 0, float(power[0]) - 1e-3) == np.inf
    assert least_cost_at(problem, 0, float(power[-1]) + 1e-3) == np.inf


@FEW
@given(SEEDS)
def test_whatever_is_activated_within_safe_boundaries_is_secure(seed: int) -> None:
    problem = random_problem(seed)
    market, rows = problem.market, problem.rows
    floor = own_need(problem, 0).activated
    safe = safe_boundaries(problem, 0, floor)
    low, high = validated_limits(problem, 0, floor)
    places = np.flatnonzero(market.area == 0)
    own = rows.area == 0
    for corner in itertools.product((0.0, 1.0), repeat=len(places)):
        power = floor.copy()
        power[places] += np.array(corner) * safe[places]
        value = (rows.value + rows.A @ power)[own]
        assert (value <= high[own] + 1e-6).all()
        assert (value >= low[own] - 1e-6).all()


@FEW
@given(SEEDS)
def test_a_redispatch_keeps_the_power_that_was_agreed(seed: int) -> None:
    problem = random_problem(seed)
    plan = SCHEMES[Scheme.TWO_STAGE](problem, Priority.COMMON)
    out = np.concatenate([problem.by_active, problem.by_reactive]) @ plan.activated
    start = np.concatenate([problem.active, problem.reactive])
    np.testing.assert_allclose(start + out, there(plan.targets), atol=5e-6)
