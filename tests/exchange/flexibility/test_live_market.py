"""The flexibility market of the exchange: as the market of a file, and secure with envelopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from flexible_market import START, FlexibleExchange, chain, made, offer, request
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import examples
from structure import LEFT_OUT, UNORDERED, attributes, differences

from exchange.flexibility.flexibility_market import FlexibilityMarket, PairwiseMarket
from exchange.flexibility.welfare_market import WelfareMarket
from exchange.vocabulary.commands import CloseGate, SubmitOrder, UpdateInterfaceLimits
from exchange.vocabulary.events import OrderCancelled, Traded
from exchange.vocabulary.flexibility import Matching
from exchange.vocabulary.flexibility_events import (
    FlexibilityAccepted,
    FlexibilityBlocked,
    FlexibilityMatched,
)
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.reasons import Phase
from exchange.vocabulary.settlement_events import StatementIssued
from orderbook.order import Side
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

SEEDS = st.integers(0, 2**32 - 1)
MATCHINGS = st.sampled_from(list(Matching))
FILE_MARKETS: dict[Matching, type[FlexibilityMarket]] = {
    Matching.WELFARE: WelfareMarket,
    Matching.PAIRWISE: PairwiseMarket,
}
SECURE_W = 1e-3


@given(SEEDS, MATCHINGS)
@example(17_211, Matching.PAIRWISE)
@example(46_144, Matching.PAIRWISE)
def test_the_exchange_matches_event_by_event_as_the_market_of_a_file(
    seed: int, matching: Matching
) -> None:
    """Offers, requests and cancels in any order; without envelopes both are one market."""
    live = made(seed, matching)
    market = live.market
    file = FILE_MARKETS[matching](market.network, {"": market.set_point_w})
    rng = np.random.default_rng(seed)
    arrived = []
    for order in market.orders:
        own = replace(order)
        events = live.submit(order)
        assert isinstance(events[0], FlexibilityAccepted)
        assert events[0].order_id == order.order_id
        outcome = file.submit(own)
        arrived.append(own)
        matched = [e for e in events if isinstance(e, FlexibilityMatched)]
        blocked = [e for e in events if isinstance(e, FlexibilityBlocked)]
        assert len(events) == 1 + len(matched) + len(blocked)
        assert [(m.offer_id, m.request_id, m.quantity_w) for e in matched for m in e.matches] == [
            (m.offer_id, m.request_id, m.quantity_w) for m in outcome.matches
        ]
        paid: dict[int, int] = {}
        for each in outcome.fills:
            sign = 1 if arrived[each.order_id - 1].is_request else -1
            paid[each.order_id] = paid.get(each.order_id, 0) + sign * each.amount
        assert {f.order_id: f.amount for e in matched for f in e.fills} == paid
        # Of two branches that are full alike, rounding decides which one is named.
        assert [(p.offer_id, p.request_id) for e in blocked for p in e.pairs] == list(
            dict.fromkeys((p.offer_id, p.request_id) for p in outcome.refusals)
        )
        open_w = {n: o.remaining_w for n, o in live.flexibility().orders.items()}
        assert open_w == {o.order_id: o.remaining_w for o in arrived if o in _resting(file)}
        live.exchange.check_invariants()
        assert live.excess_w() <= SECURE_W
        resting = [o for o in arrived if o in _resting(file)]
        if resting and rng.random() < 0.25:
            gone = resting[int(rng.integers(len(resting)))]
            file.cancel(gone)
            (cancelled,) = live.cancel(gone)
            assert isinstance(cancelled, OrderCancelled)
            assert cancelled.remaining_w == gone.remaining_w


def _resting(market: FlexibilityMarket) -> list[object]:
    return [o for book in market.books.values() for side in Side for o in book.orders(side)]


def _limit_order(rng: np.random.Generator, live: FlexibleExchange, number: int) -> SubmitOrder:
    """Return an order for limit: much is bought where much is offered, at random points."""
    point = int(rng.integers(len(live.points)))
    side = Side.BUY if rng.random() < 0.5 else Side.SELL
    terms = OrderTerms(
        f"load:{point}",
        Direction.INJECTION if rng.random() < 0.5 else Direction.WITHDRAWAL,
        START,
        side,
        int(rng.integers(1, 12)),
        int(rng.integers(5, 9)) + (4 if side is Side.BUY else 0),
    )
    return SubmitOrder(f"p{point}", f"limit{number}", terms)


def _day(seed: int, matching: Matching, *, restores: bool) -> FlexibleExchange:
    """Run a random day in which envelopes and flexibility compete for the same branches."""
    rng = np.random.default_rng(seed)
    live = made(seed, matching, orders=14, capacity_w=int(rng.integers(0, 20)))
    for order in live.market.orders:
        live.submit(order)
        if rng.random() < 0.7:
            live.send(_limit_order(rng, live, order.order_id))
        if rng.random() < 0.1:
            limit_w = int(rng.integers(0, 300))
            limits = InterfaceLimits(0.98, 1.04, limit_w, limit_w)
            live.send(UpdateInterfaceLimits(f"u{order.order_id}", START, limits))
        if restores and order.order_id % 4 == 0:
            live.exchange = live.restored()
        live.exchange.check_invariants()
        if not live.exchange.state.sessions[START].halted:
            assert live.excess_w() <= SECURE_W
    live.send(CloseGate(START))
    live.exchange.check_invariants()
    return live


@settings(max_examples=examples(40))
@given(SEEDS, MATCHINGS)
def test_no_point_of_the_envelopes_in_no_subset_of_requests_breaks_a_limit(
    seed: int, matching: Matching
) -> None:
    live = _day(seed, matching, restores=False)
    statements = [e for e in live.events if isinstance(e, StatementIssued)]
    assert sum(each.flexibility for each in statements) == 0
    assert sum(each.balance for each in statements) == 0
    fills = [f for e in live.events if isinstance(e, FlexibilityMatched) for f in e.fills]
    booked = {each.participant: each.flexibility for each in statements}
    for name in {each.participant for each in fills}:
        assert booked[name] == -sum(f.amount for f in fills if f.participant == name)
    assert sum(fill.amount for fill in fills) == 0
    assert not live.exchange.state.flexible_orders


def test_days_come_to_what_they_are_about() -> None:
    """Envelopes trade after matches, matches follow trades, and each blocks the other."""
    met = set()
    for seed in range(16):
        live = _day(seed, Matching(("welfare", "pairwise")[seed % 2]), restores=False)
        kinds = [type(event).__name__ for event in live.events]
        if FlexibilityMatched.__name__ in kinds:
            first = kinds.index("FlexibilityMatched")
            met |= set(kinds) | {f"{kind} after" for kind in kinds[first:]}
    assert {"FlexibilityBlocked", "Traded after", "InterfaceLimitsUpdated after"} <= met
    assert {"HoldingCurtailed after", "Refused"} <= met


@settings(max_examples=examples(20))
@given(SEEDS, MATCHINGS)
def test_a_restored_exchange_goes_on_as_the_one_it_was_restored_from(
    seed: int, matching: Matching
) -> None:
    first = _day(seed, matching, restores=False)
    second = _day(seed, matching, restores=True)
    assert first.events == second.events
    assert first.exchange.digest() == second.exchange.digest()


@settings(max_examples=examples(40))
@given(SEEDS, MATCHINGS)
def test_restored_and_replayed_states_are_the_same_in_every_part(
    seed: int, matching: Matching
) -> None:
    live = made(seed, matching, orders=10, capacity_w=5)
    for order in live.market.orders:
        live.submit(order)
        replayed = live.empty()
        replayed.replay(live.events)
        for other in (live.restored(), replayed):
            found = differences(live.exchange.state, other.state, UNORDERED, LEFT_OUT)
            assert found == []
            assert other.digest() == live.exchange.digest()


def _matched() -> FlexibleExchange:
    """Return an exchange with a firm match, a conditional one, and an order that rests."""
    live = chain(1000.0)
    live.submit(request(1, 50, 9))
    live.submit(request(2, 50, 8, conditional=True))
    live.submit(offer(3, 80, 5))
    return live


def test_a_restored_state_has_every_part_of_the_flexibility_market() -> None:
    live = _matched()
    twin = live.restored().state
    order = next(iter(live.flexibility().orders.values()))
    for each in (live.flexibility(), order):
        for name in attributes(each):
            kept = getattr(each, name)
            setattr(each, name, "changed")
            assert differences(live.exchange.state, twin, UNORDERED, LEFT_OUT) != [], name
            setattr(each, name, kept)


def _overload(live: FlexibleExchange) -> None:
    live.flexibility().firm_w.update(n0=-5000, n1=5000)


def _overload_when_activated(live: FlexibleExchange) -> None:
    live.flexibility().conditional_w[2] = {"n0": -5000, "n1": 5000}


def _make_power(live: FlexibleExchange) -> None:
    live.flexibility().firm_w["n1"] += 1


def _forget_a_match(live: FlexibleExchange) -> None:
    live.flexibility().matched_w.popitem()


def _forget_an_order(live: FlexibleExchange) -> None:
    live.exchange.state.flexible_orders.clear()


def _leave_nothing(live: FlexibleExchange) -> None:
    next(iter(live.flexibility().orders.values())).remaining_w = 0


def _forget_an_answer(live: FlexibleExchange) -> None:
    live.exchange.state.answers._answers["dso"].clear()


def _pay_nobody(live: FlexibleExchange) -> None:
    live.exchange.state.ledger._accounts[START]["dso"].flexibility -= 1


@pytest.mark.parametrize(
    "tamper",
    [
        _overload,
        _overload_when_activated,
        _make_power,
        _forget_a_match,
        _forget_an_order,
        _leave_nothing,
        _forget_an_answer,
        _pay_nobody,
    ],
)
def test_tampering_is_found(tamper: Callable[[FlexibleExchange], None]) -> None:
    live = _matched()
    live.exchange.check_invariants()
    tamper(live)
    with pytest.raises(AssertionError):
        live.exchange.check_invariants()


def _move_limit(live: FlexibleExchange, seller: int, buyer: int, name: str) -> int:
    """Move up to 50 W of injection limit between the two customers; return how much moved."""
    sells = OrderTerms(f"load:{seller}", Direction.INJECTION, START, Side.SELL, 50, 5)
    buys = replace(sells, connection_point=f"load:{buyer}", side=Side.BUY)
    live.send(SubmitOrder(f"p{seller}", f"{name}-sells", sells))
    events = live.send(SubmitOrder(f"p{buyer}", f"{name}-buys", buys))
    live.exchange.check_invariants()
    return sum(e.fills[0].quantity_w for e in events if isinstance(e, Traded))


def _shared_branch(matching: Matching = Matching.WELFARE) -> FlexibleExchange:
    """Return an exchange with 80 W of limit behind a branch of 150 W."""
    limits = InterfaceLimits(0.98, 1.04, 160, 100)
    live = chain(150.0, capacity_w=1000, limits=limits, matching=matching)
    assert [each.injection_limit_w for each in live.exchange.envelopes(START)] == [80, 80]
    return live


def _match(live: FlexibleExchange) -> int:
    live.submit(request(1, 50, 9))
    events = live.submit(offer(2, 50, 5))
    live.exchange.check_invariants()
    return sum(e.fills[0].quantity_w for e in events if isinstance(e, FlexibilityMatched))


def test_what_a_match_uses_of_a_branch_no_trade_of_limits_uses_again() -> None:
    """50 W more of limit trade there, or 50 W match; the other gets the 20 W that are left."""
    first, second = _shared_branch(), _shared_branch()
    assert (_move_limit(first, 0, 1, "there"), _match(first)) == (50, 20)
    assert (_match(second), _move_limit(second, 0, 1, "there")) == (50, 20)
    assert first.excess_w() <= SECURE_W
    assert second.excess_w() <= SECURE_W


@pytest.mark.parametrize("matching", list(Matching))
def test_orders_for_which_a_trade_of_limits_makes_room_match_with_the_next_one(
    matching: Matching,
) -> None:
    """Where that one has no part, the younger of the two has the rest of the money."""
    live = _shared_branch(matching)
    _move_limit(live, 0, 1, "there")
    assert _match(live) == 20
    assert _move_limit(live, 1, 0, "back") == 50
    events = live.submit(offer(3, 10, 100))
    if matching is Matching.PAIRWISE:  # resting pairs wait for a match that moves injection
        assert len(events) == 1
        events = live.submit(offer(4, 1, 9))
    (matched,) = [each for each in events if isinstance(each, FlexibilityMatched)]
    amounts = {fill.client_order_id: fill.amount for fill in matched.fills}
    assert sum(amounts.values()) == 0
    assert amounts["o2"] == -9 * (30 if matching is Matching.WELFARE else 29)
    live.exchange.check_invariants()


def test_flexibility_matches_in_calls_too() -> None:
    live = chain(100.0, opening_auction=timedelta(minutes=30))
    assert live.exchange.state.sessions[START].phase is Phase.CALL
    live.submit(request(1, 50, 9))
    assert isinstance(live.submit(offer(2, 50, 5))[1], FlexibilityMatched)
