"""Joint orders and everything around them: network, gates, curtailment, restart."""

from __future__ import annotations

import json

import pytest
from linear_grid import LinearGrid
from market import GATE, QUARTER, START, Market, all_of, interface, only, trades

from exchange.clearing import work_budget
from exchange.engine import Exchange
from exchange.vocabulary.commands import (
    CloseGate,
    HaltTrading,
    MassCancel,
    OpenSession,
    ResumeTrading,
    SubmitJoint,
)
from exchange.vocabulary.events import (
    AlarmRaised,
    JointOrderAccepted,
    MatchBlocked,
    OrderCancelled,
    Traded,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason
from orderbook.order import Side
from security_check.errors import PowerFlowError
from security_check.model.envelope import Direction

LATER = START + QUARTER


def opened(**more) -> Market:
    """A market of four connection points of 10 kW with two open intervals."""
    market = Market(points=4, capacity_w=10_000, **more)
    market.do(OpenSession(LATER, LATER + QUARTER, GATE, interface(20_000, 20_000)))
    return market


@pytest.fixture
def market() -> Market:
    return opened()


def block(market, participant, side, quantity, price, *, whole=True, name="block"):
    legs = tuple(
        Leg(f"load:{participant}", Direction.INJECTION, start, Side(side), quantity, price)
        for start in (START, LATER)
    )
    return market.do(SubmitJoint(f"p{participant}", name, legs, whole))


def test_both_legs_trade_in_one_command_and_both_envelopes_move(market):
    market.sell(0, "100@5")
    market.sell(1, "100@6", interval=LATER)
    events = block(market, 2, "buy", 80, 7)
    assert {event.time for event in events} == {market.now}
    fills = only(events, Traded).fills
    assert [(f.interval, f.order_id, f.quantity_w) for f in fills] == [
        (START, 1, 80),
        (LATER, 2, 80),
        (START, 3, 80),
        (LATER, 4, 80),
    ]
    assert market.held_w(2) == 5_080
    assert market.exchange.envelopes(LATER)[2].injection_limit_w == 5_080
    assert market.exchange.state.answers.find("p2", "block").event == only(
        events, JointOrderAccepted
    )


def test_a_leg_that_the_network_blocks_holds_back_the_other():
    # Injection limits of load:1 may not grow: p1 cannot buy in either interval.
    market = opened(rows=[([0, 1, 0, 0, 0, 0, 0, 0], 5_000, 5_000)])
    market.sell(0, "100@5")
    market.sell(0, "100@5", interval=LATER)
    legs = (
        Leg("load:0", Direction.WITHDRAWAL, START, Side.SELL, 10, 1),
        Leg("load:0", Direction.INJECTION, LATER, Side.BUY, 10, 9),
    )
    market.buy(2, "10@2", direction=Direction.WITHDRAWAL)
    before = market.exchange.envelopes(START)
    assert trades(block(market, 1, "buy", 80, 7)) == []
    assert trades(market.do(SubmitJoint("p0", "own", legs))) == []
    assert market.exchange.envelopes(START) == before
    market.sell(3, "10@9", interval=LATER)
    assert len(all_of(market.events, Traded)) == 0
    market.do(MassCancel("p0", "m1", LATER))
    assert sorted(o.client_order_id for o in market.exchange.state.orders.values()) == [
        "a1",
        "a3",
        "a4",
        "block",
        "block",
    ]


def test_a_check_that_fails_in_one_interval_trades_in_none(market):
    market.sell(0, "100@5")
    market.sell(1, "100@6", interval=LATER)
    market.grid.latest.errors.append(PowerFlowError("no solution"))  # of the later interval
    events = block(market, 2, "buy", 80, 7)
    assert trades(events) == []
    assert market.held_w(2) == 5_000
    assert only(events, AlarmRaised).interval == LATER
    # With the next event it is asked again; the block is the newest that trades, so the taker.
    assert trades(market.sell(3, "1@9")) == ["80@5 #1", "80@6 #2"]


def test_a_part_of_a_block_is_as_large_as_its_smallest_leg_may_be():
    market = opened(rows=[([0, 0, 1, 0, 0, 0, 0, 0], 5_030, 5_030)])
    market.sell(0, "100@5")
    market.sell(1, "100@6", interval=LATER)
    events = block(market, 2, "buy", 80, 7, whole=False)
    assert trades(events) == ["30@5 #1", "30@6 #2"]
    assert not all_of(events, MatchBlocked)


def test_when_one_gate_closes_the_whole_order_goes(market):
    block(market, 2, "buy", 80, 7)
    events = market.do(CloseGate(START))
    cancelled = only(events, OrderCancelled)
    assert (cancelled.order_id, cancelled.reason) == (1, CancelReason.GATE_CLOSED)
    assert not market.exchange.state.orders


def test_a_mass_cancel_of_one_interval_takes_the_whole_order(market):
    block(market, 2, "buy", 80, 7)
    assert only(market.do(MassCancel("p2", "m1", LATER)), OrderCancelled).order_id == 1
    assert not market.exchange.state.orders


def test_an_order_of_which_a_leg_is_not_covered_any_more_goes(market):
    block(market, 2, "sell", 4_500, 7)
    events = market.update("u1", interface(16_000))
    cancelled = only(events, OrderCancelled)
    assert (cancelled.order_id, cancelled.reason) == (1, CancelReason.CURTAILED)
    assert not market.exchange.state.orders


def test_a_halt_of_one_interval_holds_back_both_legs(market):
    market.sell(0, "100@5")
    market.sell(1, "100@6", interval=LATER)
    market.do(HaltTrading("h1", LATER))
    assert trades(block(market, 2, "buy", 80, 7)) == []
    assert len(market.exchange.state.orders) == 4


def test_joint_orders_survive_a_replay_and_a_restart(market):
    market.sell(0, "100@5")
    block(market, 2, "buy", 80, 7, whole=False)
    market.sell(1, "30@6", interval=LATER)
    assert sorted(market.exchange.state.joints) == [2]
    grid = LinearGrid(market.grid.capacity_w)
    replayed = Exchange(grid, market.rules, market.terms)
    replayed.replay(market.events)
    snapshot = json.loads(json.dumps(market.exchange.snapshot()))
    restored = Exchange.restore(snapshot, grid, market.rules, market.terms)
    for again in (replayed, restored):
        assert again.digest() == market.exchange.digest()
        again.check_invariants()
    market.exchange = restored
    # Makers in two intervals: the block pays its limit in both, and the seller gets the rest.
    events = market.sell(3, "10@5", interval=LATER)
    assert trades(events) == ["10@7 #2", "10@7 #3", "10@5 #1"]
    (sale,) = (fill for fill in only(events, Traded).fills if fill.participant == "p3")
    assert sale.amount == 10 * (5 - 7 - 7)


def test_a_block_that_would_pay_for_a_trade_with_ones_own_order_is_stopped(market):
    """Neither leg crosses it by price, but together they would: 9 + 4 buys what costs 5 + 5."""
    market.buy(0, "10@4")
    market.buy(2, "10@9", interval=LATER)
    events = block(market, 0, "sell", 10, 5)
    assert only(events, OrderCancelled).reason is CancelReason.SELF_TRADE
    assert not all_of(events, Traded)


def test_an_order_does_not_trade_with_ones_own_block_through_another_interval(market):
    block(market, 0, "sell", 10, 5)
    market.sell(1, "3@4")
    market.buy(2, "10@9", interval=LATER)
    events = market.buy(0, "10@4")
    # It takes what others offer, and stops at its own block.
    assert [fill.participant for fill in only(events, Traded).fills] == ["p1", "p0"]
    cancelled = only(events, OrderCancelled)
    assert (cancelled.remaining_w, cancelled.reason) == (7, CancelReason.SELF_TRADE)


def test_a_block_that_a_halt_keeps_out_stays_out_when_others_are_set_aside(market):
    """Orders behind one's own are set aside while one trades ahead of it, and taken back."""
    market.buy(3, "10@5")
    market.buy(1, "10@5")
    market.do(HaltTrading("h1", LATER))
    block(market, 0, "buy", 10, 5, whole=False)
    events = market.sell(1, "20@5")
    assert trades(events) == ["10@5 #1"]
    assert only(events, OrderCancelled).reason is CancelReason.SELF_TRADE
    assert trades(market.sell(2, "10@5")) == ["10@5 #2"]


@pytest.fixture
def in_debt(market, monkeypatch) -> Market:
    """A market in which a block found no counterpart, and searches for others have to wait."""
    monkeypatch.setattr(work_budget, "JOINED", 1)
    monkeypatch.setattr(work_budget, "REGAINED", 2)
    market.sell(0, "100@5")
    assert not all_of(block(market, 2, "buy", 80, 7), Traded)
    assert not all_of(market.sell(1, "100@6", interval=LATER), Traded)
    return market


def test_a_block_that_took_much_effort_waits_until_events_have_paid_it_back(in_debt):
    asked = 0
    while not all_of(in_debt.events, Traded):
        asked += 1
        assert asked < 30
        in_debt.buy(3, "1@1", interval=LATER)
    assert asked > 1
    assert [fill.quantity_w for fill in only(in_debt.events, Traded).fills] == [80] * 4


def test_others_trade_meanwhile(in_debt):
    assert trades(in_debt.buy(3, "10@6", interval=LATER)) == ["10@6 #4"]


def test_what_no_single_order_sets_off_waits_for_nothing(in_debt):
    in_debt.do(HaltTrading("halt", START))
    assert all_of(in_debt.do(ResumeTrading("resume", START)), Traded)
