"""What offers cannot do: against a programme of scipy's, and what is missing offered in AC."""

from __future__ import annotations

import numpy as np
import pytest
from coordination_cases import random_problem
from coordination_networks import OFFERS, model
from coordination_oracle import delivered_by
from hypothesis import example, given, settings
from hypothesis import strategies as st
from presence import there
from sampling import examples
from scipy.optimize import linprog

from doe_allocation.coordination.ac_model import AcModel
from doe_allocation.coordination.coordination import Scheme, coordinate
from doe_allocation.coordination.problem import TSO, Linearised, Offer
from doe_allocation.coordination.shortfall import SERVED_MW, Customers, shortfall
from doe_allocation.procurement.choices import FlexDirection

SEEDS = st.integers(0, 10**6)


def random_customers(problem: Linearised, seed: int) -> Customers:
    """Return customers that move the rows of their own operator, and the TSO's by interfaces."""
    rng = np.random.default_rng(seed)
    rows, m = problem.rows, len(problem.market.areas)
    area = np.array([TSO, *range(m), *range(m)])
    A = np.where(
        rows.area[:, None] == area[None, :], rng.normal(size=(len(rows.area), len(area))), 0.0
    )
    by_active = np.where(area[None, :] == np.arange(m)[:, None], rng.uniform(0.9, 1.1), 0.0)
    places = [(problem.market.owner(int(each)), f"c{k}") for k, each in enumerate(area)]
    count = len(rows.area)
    return Customers(places, area, A, by_active, 50.0, np.ones(count), ["A"] * count)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([1.0, 40.0]))
def test_the_least_excess_and_the_least_that_is_missing_are_those_of_another_solver(
    seed: int, need_mw: float
) -> None:
    problem = random_problem(seed, need_mw=need_mw)
    customers, rows = random_customers(problem, seed), problem.rows
    found = shortfall(problem, customers)
    r, o, c = len(rows.area), len(problem.market.offers), len(customers.places)
    high, low = rows.high - rows.value, rows.value - rows.low
    give = np.hstack([-np.eye(r), np.zeros((r, r))]), np.hstack([np.zeros((r, r)), -np.eye(r)])
    need = delivered_by(problem)
    own = (customers.area == TSO) + customers.by_active.sum(axis=0)
    sizes = [(0.0, size) for size in problem.market.sizes]

    def solved(cost, extra, need_extra, bounds):
        A = np.vstack(
            [
                np.hstack([rows.A, extra[0]]),
                np.hstack([-rows.A, extra[1]]),
                -np.concatenate([need, need_extra]),
            ]
        )
        b = np.concatenate([high, low, [-need_mw]])
        kept = np.isfinite(b)
        return linprog(cost, A_ub=A[kept], b_ub=b[kept], bounds=sizes + bounds)

    none, one = np.zeros((r, 1)), np.ones(1)
    best = solved(
        np.concatenate([np.zeros(o), one, np.full(2 * r, 1e6)]),
        [np.hstack([none, each]) for each in give],
        np.concatenate([one, np.zeros(2 * r)]),
        [(0.0, None)] * (1 + 2 * r),
    ).x
    excess = best[o + 1 :].sum()
    stated = sum(abs(each.value - each.limit) for each in found.exceeded)
    assert stated == pytest.approx(excess, abs=1e-4)
    if excess < 1e-9:
        assert found.unserved_mw == pytest.approx(best[o], abs=1e-5)
    if found.enough:
        assert not found.missing
        return
    more = solved(
        np.concatenate([np.zeros(o), np.ones(2 * c)]),
        [np.hstack([customers.A, -customers.A]), np.hstack([-customers.A, customers.A])],
        np.concatenate([own, -own]),
        [(0.0, None)] * (2 * c),
    )
    total = sum(each.power_mw for each in found.missing)
    if more.fun is None:
        assert not found.missing
        assert "no power of customers" in str(found)
    else:
        assert total == pytest.approx(more.fun, rel=1e-5, abs=1e-5)


def offered(missing, part: float) -> tuple[Offer, ...]:
    """Return what is missing as offers, a part of it."""
    return tuple(
        Offer(
            f"missing {k}", "new", each.operator, each.connection_point, each.direction,
            round(part * each.power_mw * 1e6), 99.0,
        )
        for k, each in enumerate(missing)
    )  # fmt: skip


@pytest.mark.parametrize("kept", [OFFERS[:1], OFFERS[4:]])
def test_what_is_missing_is_enough_in_ac_and_less_is_not(kept: tuple[Offer, ...]) -> None:
    result = coordinate(model(kept), Scheme.COMMON)
    assert result.overloads or result.unserved_mw > 1e-3
    short = there(result.shortfall)
    assert not short.enough
    assert short.missing
    exceeded = {each.element for each in result.overloads}
    assert {each.element for each in short.exceeded} <= exceeded
    more = coordinate(model((*kept, *offered(short.missing, 1.05))), Scheme.COMMON)
    assert not more.overloads
    assert more.unserved_mw <= 1e-4
    assert more.shortfall is None
    less = coordinate(model((*kept, *offered(short.missing, 0.9))), Scheme.COMMON)
    assert less.overloads or less.unserved_mw > 1e-4


def test_a_sentence_names_the_line_the_numbers_and_the_place() -> None:
    result = coordinate(model(OFFERS[:1]), Scheme.LOCAL)
    text = str(there(result.shortfall))
    assert "middle line:0" in text
    assert "cannot be relieved: with the best use of all offers it is at" in text
    assert "MW more downward at load:0 of middle" in text


def test_where_another_scheme_would_do_the_offers_are_enough() -> None:
    for scheme in (Scheme.CENTRALISED, Scheme.LOCAL_ONLY, Scheme.DISTRIBUTED):
        short = there(coordinate(model(), scheme).shortfall)
        assert short.enough, scheme
        assert "left by the scheme" in str(short)
    assert coordinate(model(), Scheme.COMMON).shortfall is None


def test_customers_are_the_derivatives_of_the_power_flow() -> None:
    ac = model()
    point = ac.point(0.3 * ac.market.sizes)
    problem, customers = ac.linearised(point, everything=True), ac.customers(point)
    for k, (offer, change) in enumerate(zip(OFFERS, ac.market.change, strict=True)):
        if offer.reactive:
            continue
        at = customers.places.index((offer.operator, offer.connection_point))
        sign = float(change.real)
        np.testing.assert_allclose(sign * customers.A[:, at], problem.rows.A[:, k], atol=1e-9)
        np.testing.assert_allclose(
            sign * customers.by_active[:, at], problem.by_active[:, k], atol=1e-9
        )
    assert len(customers.places) == len(set(customers.places))
    assert {operator for operator, _ in customers.places} == {"top", "middle", "left", "right"}


POINTS = (
    ("top", "load:0", 12_000_000),
    ("middle", "load:0", 2_000_000),
    ("left", "load:0", 20_000),
    ("left", "load:1", 20_000),
    ("right", "load:0", 9_000),
    ("right", "load:1", 9_000),
)


def random_market(seed: int) -> AcModel:
    """Return the hierarchy with random powers and offers, free, negative and equal prices too."""
    rng = np.random.default_rng(seed)
    offers = []
    for k in range(int(rng.integers(1, 8))):
        operator, point, most = POINTS[int(rng.integers(len(POINTS)))]
        way = FlexDirection.UPWARD if rng.random() < 0.5 else FlexDirection.DOWNWARD
        price = float(rng.choice([-20.0, 0.0, 5.0, 30.0, 30.0, 70.0, 90.0]))
        size, reactive = int(rng.integers(1, most)), bool(rng.random() < 0.3)
        offers.append(Offer(f"o{k}", f"p{k % 3}", operator, point, way, size, price, reactive))
    power = (
        ("top", float(rng.choice([-3e6, 0.0, 5e6]))),
        ("middle", float(rng.uniform(-7e6, 7e6))),
        ("left", float(rng.uniform(-40e3, 40e3))),
        ("right", float(rng.uniform(-40e3, 70e3))),
    )
    return model(tuple(offers), float(rng.uniform(1.0, 1.03)), None, power)


@settings(max_examples=examples(5), deadline=None)
@given(SEEDS)
@example(4)
def test_every_scheme_has_an_outcome_and_what_remains_has_a_sentence(seed: int) -> None:
    ac = random_market(seed)
    for scheme in (Scheme.TWO_STAGE, Scheme.COMMON):
        result = coordinate(ac, scheme)
        assert sum(result.balances.values()) == 0
        left = bool(result.overloads) or result.unserved_mw > SERVED_MW
        assert (result.shortfall is not None) == left
        if result.shortfall is None:
            continue
        exceeded = {each.element: each for each in result.shortfall.exceeded}
        for over in result.overloads:
            if over.element in exceeded:  # no use of the offers is better, to first order
                best = exceeded[over.element]
                assert best.unit == over.unit
                assert best.limit == pytest.approx(over.limit, rel=1e-9)
        for element in exceeded:
            assert element.split()[0] in str(result.shortfall)
