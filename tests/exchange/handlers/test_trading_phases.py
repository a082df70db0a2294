"""Calls and auctions: when orders wait, when they trade together, and at what price."""

from __future__ import annotations

from datetime import timedelta

import pytest
from market import GATE, OPENING, QUARTER, SECOND, START, Market, all_of, interface, only

from exchange.vocabulary.commands import (
    AdvanceTime,
    HaltTrading,
    OpenSession,
    ResumeTrading,
    SubmitJoint,
)
from exchange.vocabulary.events import (
    GateClosed,
    MatchBlocked,
    OrderCancelled,
    PhaseChanged,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.rules import MarketRules
from orderbook.order import Side
from security_check.model.envelope import Direction

HOUR = timedelta(hours=1)


def a_market(**rules) -> Market:
    return Market(points=4, capacity_w=10_000, rules=MarketRules(**rules))


def amounts(trade: Traded) -> list[tuple[str, int, int]]:
    return [(fill.participant, fill.quantity_w, fill.amount) for fill in trade.fills]


def test_without_auctions_trading_is_continuous_from_the_opening_to_the_gate():
    market = a_market()
    opened = only(market.events, SessionOpened)
    assert (opened.phase.value, opened.phase_until) == ("continuous", GATE)
    events = market.do(AdvanceTime(), after=GATE - OPENING)
    assert [type(event) for event in events] == [GateClosed]


def test_an_opening_auction_collects_orders_and_trades_them_at_one_price():
    market = a_market(opening_auction=HOUR)
    assert only(market.events, SessionOpened).phase.value == "call"
    market.sell(0, "100@4")
    market.sell(1, "100@6")
    market.buy(2, "100@9")
    events = market.buy(3, "50@8")
    assert not all_of(events, MatchBlocked), "waiting for an auction is not being blocked"
    assert not all_of(market.events, Traded)
    events = market.do(AdvanceTime(), after=HOUR)
    trade = only(events, Traded)
    assert trade.taker_order_id is None
    # 150 of 200 W offered at 6 trade with all that is sought: half a tick more or less would do,
    # but where one side has something left its price is the price.
    assert amounts(trade) == [
        ("p0", 100, -600),
        ("p1", 50, -300),
        ("p2", 100, 600),
        ("p3", 50, 300),
    ]
    phases = [(e.phase.value, e.until) for e in all_of(events, PhaseChanged)]
    assert phases == [("auction", OPENING + SECOND + HOUR), ("continuous", GATE)]
    # From now on orders trade when they come, makers at their own price.
    assert amounts(only(market.buy(2, "10@9"), Traded)) == [("p1", 10, -60), ("p2", 10, 60)]


def test_a_closing_auction_is_held_at_the_gate():
    market = a_market(closing_auction=HOUR)
    market.do(AdvanceTime(), after=GATE - OPENING - HOUR)
    market.sell(0, "100@4")
    market.buy(1, "100@4")
    assert not all_of(market.events, Traded)
    events = market.do(AdvanceTime(), after=HOUR)
    kinds = [type(event) for event in events]
    assert kinds.index(Traded) < kinds.index(GateClosed)
    assert amounts(only(events, Traded)) == [("p0", 100, -400), ("p1", 100, 400)]


def test_frequent_batches_clear_at_their_times_only():
    market = a_market(batch_every=timedelta(minutes=5))
    market.sell(0, "100@4")
    market.buy(1, "60@6")
    assert not all_of(market.events, Traded)
    events = market.do(AdvanceTime(), after=timedelta(minutes=5))
    assert [fill[:2] for fill in amounts(only(events, Traded))] == [("p0", 60), ("p1", 60)]
    market.buy(2, "40@4")
    assert len(all_of(market.events, Traded)) == 1
    # Auctions that the clock has missed are held as one.
    events = market.do(AdvanceTime(), after=timedelta(minutes=11))
    assert len(all_of(events, Traded)) == 1
    assert len([e for e in all_of(events, PhaseChanged) if e.phase.value == "auction"]) == 1


def test_immediate_orders_do_not_wait_for_an_auction():
    market = a_market(opening_auction=HOUR)
    market.sell(0, "100@4")
    cancelled = only(market.buy(1, "100@4", "IOC"), OrderCancelled)
    assert cancelled.reason.value == "immediate_or_cancel"


def test_ones_own_orders_that_crossed_in_a_call_are_resolved_in_the_auction():
    market = a_market(opening_auction=HOUR)
    market.sell(0, "100@4")
    market.buy(0, "100@5")
    market.buy(1, "30@5")
    events = market.do(AdvanceTime(), after=HOUR)
    assert only(events, OrderCancelled).order_id == 2
    assert [fill[:2] for fill in amounts(only(events, Traded))] == [("p0", 30), ("p1", 30)]


def test_an_auction_that_falls_into_a_halt_is_left_out():
    market = a_market(opening_auction=HOUR)
    market.sell(0, "100@4")
    market.buy(1, "100@5")
    market.do(HaltTrading("h1", START))
    assert not all_of(market.do(AdvanceTime(), after=HOUR), Traded)
    assert only(market.do(ResumeTrading("h2", START)), Traded).taker_order_id is None


def test_phases_survive_a_restart():
    market = a_market(opening_auction=HOUR)
    market.sell(0, "100@4")
    market.buy(1, "100@5")
    exchange = market.exchange
    restored = type(exchange).restore(exchange.snapshot(), market.grid, market.rules, market.terms)
    assert restored.digest() == exchange.digest()
    at = OPENING + 2 * HOUR
    assert all_of(restored.handle(AdvanceTime(), at), Traded)


@pytest.mark.parametrize(
    "rule", [{"opening_auction": -HOUR}, {"closing_auction": -HOUR}, {"batch_every": 0 * HOUR}]
)
def test_rules_that_make_no_sense_are_named(rule):
    (name,) = rule
    with pytest.raises(ValueError, match=name):
        MarketRules(**rule)


def test_joint_orders_trade_in_auctions_of_one_moment():
    market = a_market(batch_every=timedelta(minutes=5))
    later = START + QUARTER
    opened = OpenSession(later, later + QUARTER, GATE, interface(20_000, 20_000))
    market.do(opened, after=0 * SECOND)
    legs = [Leg("load:0", Direction.INJECTION, start, Side.BUY, 50, 6) for start in (START, later)]
    market.do(SubmitJoint("p0", "j", tuple(legs)))
    market.sell(1, "50@4")
    market.sell(2, "50@8", interval=later)
    events = market.do(AdvanceTime(), after=timedelta(minutes=5))
    fills = only(events, Traded).fills
    assert [(fill.participant, fill.quantity_w) for fill in fills] == [
        ("p0", 50),
        ("p0", 50),
        ("p1", 50),
        ("p2", 50),
    ]


def test_after_a_long_silence_auctions_that_were_missed_are_one():
    market = a_market(batch_every=SECOND)
    events = market.do(AdvanceTime(), after=2 * HOUR)
    assert [event.phase.value for event in all_of(events, PhaseChanged)] == ["auction", "call"]
