"""Matching of flexibility against brute force over all subsets of conditional requests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from linear_markets import Bookkeeping, LinearMarket, random_market
from scipy.optimize import LinearConstraint, milp

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.flex_order import FlexOrder, FlexOutcome
from exchange.flexibility.flexibility_market import FlexibilityMarket, PairwiseMarket
from exchange.flexibility.welfare_market import WelfareMarket

SEEDS = st.integers(0, 2**32 - 1)
ROUNDING_W = 1e-6
MARKETS = pytest.mark.parametrize("kind", [PairwiseMarket, WelfareMarket])


def note(books: Bookkeeping, orders: dict[int, FlexOrder], outcome: FlexOutcome) -> None:
    for each in outcome.matches:
        books.matched.append((orders[each.offer_id], orders[each.request_id], each.quantity_w))


def check_money(orders: dict[int, FlexOrder], outcome: FlexOutcome) -> None:
    """Nobody trades beyond a limit, what is paid is received, and watts agree with matches."""
    paid = sum(f.amount for f in outcome.fills if orders[f.order_id].is_request)
    received = sum(f.amount for f in outcome.fills if not orders[f.order_id].is_request)
    assert paid == received
    watts = dict.fromkeys(orders, 0)
    for fill in outcome.fills:
        order = orders[fill.order_id]
        worst = order.limit_price_ticks * fill.quantity_w
        assert fill.amount <= worst if order.is_request else fill.amount >= worst
        watts[fill.order_id] += fill.quantity_w
    for match in outcome.matches:
        watts[match.offer_id] -= match.quantity_w
        watts[match.request_id] -= match.quantity_w
        offer, request = orders[match.offer_id], orders[match.request_id]
        assert match.gain_ticks == request.limit_price_ticks - offer.limit_price_ticks
        assert offer.direction is request.direction
    assert not any(watts.values())


@MARKETS
@given(seed=SEEDS)
def test_every_subset_of_conditional_requests_stays_within_the_limits(
    kind: type[FlexibilityMarket], seed: int
) -> None:
    given_ = random_market(seed)
    market = kind(given_.network, {"": given_.set_point_w})
    orders = {each.order_id: each for each in given_.orders}
    books, given_w = Bookkeeping(given_, []), {k: o.remaining_w for k, o in orders.items()}
    for order in given_.orders:
        outcome = market.submit(order)
        check_money(orders, outcome)
        note(books, orders, outcome)
        assert books.excess_w() <= ROUNDING_W
        flows = books.flows_w()
        assert market.flows[""].largest_w == pytest.approx(flows.max(axis=0), abs=ROUNDING_W)
        assert market.flows[""].least_w == pytest.approx(flows.min(axis=0), abs=ROUNDING_W)
    for number, order in orders.items():
        matched = sum(q for o, r, q in books.matched if number in (o.order_id, r.order_id))
        assert order.remaining_w == given_w[number] - matched
        assert (number in market.book_of(order)) == (order.remaining_w > 0)


@given(SEEDS)
@example(39_483)
def test_a_pair_gets_all_that_fits_and_a_refused_one_nothing(seed: int) -> None:
    """One watt more of the last pair of an event breaks a limit, or an order has no more."""
    given_ = random_market(seed)
    market = PairwiseMarket(given_.network, {"": given_.set_point_w})
    orders = {each.order_id: each for each in given_.orders}
    books = Bookkeeping(given_, [])
    for order in given_.orders:
        outcome = market.submit(order)
        note(books, orders, outcome)
        pairs = [(orders[m.offer_id], orders[m.request_id]) for m in outcome.matches[-1:]]
        if not outcome.matches:  # a match may make room for a pair that was refused before it
            pairs += [(orders[r.offer_id], orders[r.request_id]) for r in outcome.refusals]
        for offer, request in pairs:
            if offer.remaining_w and request.remaining_w:
                more = Bookkeeping(given_, [*books.matched, (offer, request, 1)])
                assert more.excess_w(since=books) > ROUNDING_W


def attainable(given_: LinearMarket, *, whole: bool) -> float:
    """Return the most welfare over all orders: a variable a pair, a row a subset and branch.

    In whole watts it may be far less: where a branch has no room at all, only certain proportions
    of matches leave its flow as it is.
    """
    requests = [each for each in given_.orders if each.is_request]
    pairs = [
        (offer, request)
        for offer in given_.orders
        for request in requests
        if not offer.is_request and offer.direction is request.direction
    ]
    if not pairs:
        return 0.0
    network, rows, limits = given_.network, [], []
    before = network.ptdf @ given_.set_point_w
    conditional = [each for each in requests if each.conditional]
    change = np.array(
        [
            (1 if o.direction is FlexDirection.UPWARD else -1)
            * (network.ptdf[:, o.bus] - network.ptdf[:, r.bus])
            for o, r in pairs
        ]
    ).T
    for active in itertools.product([False, True], repeat=len(conditional)):
        on = {each.order_id for each, is_on in zip(conditional, active, strict=True) if is_on}
        there = np.array([not r.conditional or r.order_id in on for _, r in pairs])
        rows += [change * there, -change * there]
        limits += [np.maximum(network.upper_w, before) - before]
        limits += [before - np.minimum(network.lower_w, before)]
    for order in given_.orders:
        rows.append(np.array([[order in pair for pair in pairs]], dtype=float))
        limits.append(np.array([order.remaining_w], dtype=float))
    gain = [r.limit_price_ticks - o.limit_price_ticks for o, r in pairs]
    found = milp(
        -np.array(gain),
        integrality=np.full(len(pairs), int(whole)),
        constraints=LinearConstraint(np.vstack(rows), ub=np.concatenate(limits)),
        options={"mip_rel_gap": 0.0},
    )
    assert found.success
    return -float(found.fun or 0.0)


@given(SEEDS)
@example(1108)
@example(1165)
@example(106_404)
def test_the_matching_at_once_is_the_optimum(seed: int) -> None:
    given_ = random_market(seed, orders=10)
    best = attainable(given_, whole=False)
    best_whole = attainable(given_, whole=True)
    market = WelfareMarket(given_.network, {"": given_.set_point_w})
    orders = {each.order_id: each for each in given_.orders}
    found = market.match_at_once(given_.orders)
    books = Bookkeeping(given_, [])
    note(books, orders, FlexOutcome(matches=tuple(found)))
    assert books.excess_w() <= ROUNDING_W
    for older, younger in itertools.combinations(given_.orders, 2):
        equal = all(
            getattr(older, name) == getattr(younger, name)
            for name in ("side", "bus", "direction", "limit_price_ticks")
        )
        if equal and not older.conditional and not younger.conditional:
            untouched = not any(younger in pair[:2] for pair in books.matched)
            assert untouched or not older.remaining_w
    welfare = sum(each.gain_ticks * each.quantity_w for each in found)
    assert welfare == pytest.approx(best_whole, rel=1e-6, abs=1e-6)
    assert welfare <= best + 1e-6 * max(1.0, best)


@given(SEEDS)
def test_nothing_that_rests_can_gain_after_an_event(seed: int) -> None:
    given_ = random_market(seed, orders=9)
    market = WelfareMarket(given_.network, {"": given_.set_point_w})
    for order in given_.orders:
        market.submit(order)
        again = WelfareMarket(given_.network, {"": given_.set_point_w})
        again.flows, again.books = market.flows, market.books
        resting = [o for o in given_.orders if o.order_id in market.book_of(o)]
        if resting:
            assert again._match(resting[-1]).welfare == 0
