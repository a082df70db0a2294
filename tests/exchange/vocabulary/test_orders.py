"""The life of an order: dates, amendments, cancels, and the price it trades at."""

from __future__ import annotations

from datetime import timedelta

import pytest
from market import GATE, SECOND, START, Market, all_of, only, trades

from exchange.vocabulary.commands import AdvanceTime, MassCancel
from exchange.vocabulary.events import (
    AnswerRepeated,
    GateClosed,
    MassCancelled,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    Refused,
    Traded,
)
from exchange.vocabulary.reasons import CancelReason, RefusalReason
from orderbook.order import Side
from security_check.model.envelope import Direction


@pytest.fixture
def market() -> Market:
    return Market(points=5, capacity_w=10_000)


def test_a_trade_moves_limit_and_money(market):
    market.sell(0, "1000@7", client_order_id="s")
    trade = only(market.buy(1, "400@9", client_order_id="b"), Traded)
    sale, purchase = trade.fills
    assert (sale.participant, sale.side, sale.quantity_w, sale.amount) == (
        *("p0", Side.SELL, 400),
        -2800,
    )
    assert (purchase.participant, purchase.side, purchase.quantity_w, purchase.amount) == (
        *("p1", Side.BUY, 400),
        2800,
    )
    assert (sale.limit_price_ticks, purchase.limit_price_ticks) == (7, 9)
    assert (trade.taker_order_id, trade.rent, trade.gain) == (2, 0, 800)
    assert (trade.binding_element, trade.loading) == ("interface", 1.0)
    assert (market.held_w(0), market.held_w(1)) == (4_600, 5_400)
    accounts = market.exchange.state.ledger.accounts(START)
    assert {name: account.balance for name, account in accounts.items()} == {
        "p0": 2800,
        "p1": -2800,
    }


def test_what_was_bought_can_be_sold(market):
    market.sell(0, "5000@7")
    market.buy(1, "5000@7")
    assert trades(market.sell(1, "10000@1")) == []
    assert market.resting() == ["#3 sell 10000@1"]


def test_a_good_till_date_order_expires_before_anything_else_happens(market):
    expires_at = market.now + timedelta(minutes=1)
    market.sell(0, "10@5", "GTD", expires_at=expires_at, client_order_id="a")
    assert market.do(AdvanceTime()) == []
    market.now = expires_at - SECOND
    events = market.buy(1, "10@5")
    assert [type(event) for event in events] == [OrderCancelled, OrderAccepted]
    assert events[0].reason is CancelReason.EXPIRED
    assert events[0].time == expires_at
    assert market.resting() == ["#2 buy 10@5"]


def test_a_good_till_date_order_trades_until_its_date(market):
    market.sell(0, "10@5", "GTD", expires_at=market.now + timedelta(minutes=1))
    assert trades(market.buy(1, "10@5")) == ["10@5 #1"]
    assert market.do(AdvanceTime(), after=timedelta(minutes=2)) == []


def test_time_never_runs_backwards(market):
    market.sell(0, "10@5")
    before = market.now
    events = market.exchange.handle(MassCancel("p0", "m1"), before - timedelta(hours=1))
    assert only(events, OrderCancelled).time == before
    with pytest.raises(ValueError, match="has no time zone"):
        market.exchange.handle(AdvanceTime(), before.replace(tzinfo=None))


@pytest.mark.parametrize("total", [4, 3])
def test_amended_to_no_more_than_has_traded_the_rest_is_cancelled(market, total):
    market.sell(0, "10@5", client_order_id="a")
    market.buy(1, "4@5")
    cancelled = only(market.amend(0, "a", total), OrderCancelled)
    assert (cancelled.remaining_w, cancelled.reason) == (6, CancelReason.REQUESTED)
    assert market.resting() == []


def test_an_amended_total_counts_what_has_traded(market):
    market.sell(0, "10@5", client_order_id="a")
    market.buy(1, "4@5")
    amended = only(market.amend(0, "a", 7), OrderAmended)
    assert (amended.quantity_w, amended.remaining_w, amended.order_id) == (7, 3, 1)
    raised = only(market.amend(0, "a", 20), OrderAmended)
    assert (raised.previous_order_id, raised.order_id, raised.remaining_w) == (1, 3, 16)
    assert market.resting() == ["#3 sell 16@5"]
    assert only(market.cancel(0, "a"), OrderCancelled).order_id == 3


def test_an_amended_order_keeps_its_date(market):
    expires_at = market.now + timedelta(minutes=1)
    market.sell(0, "10@5", "GTD", expires_at=expires_at, client_order_id="a")
    market.amend(0, "a", limit_price_ticks=6)
    events = market.do(AdvanceTime(), after=timedelta(minutes=2))
    assert only(events, OrderCancelled).order_id == 2


def test_an_amended_order_that_meets_its_own_is_cancelled():
    market = Market(points=3, capacity_w=10_000, owners=[0, 0, 2])
    market.sell(0, "10@5")
    market.buy(0, "10@4", point=1, client_order_id="b")
    events = market.amend(0, "b", limit_price_ticks=5)
    assert only(events, OrderCancelled).reason is CancelReason.SELF_TRADE
    assert market.resting() == ["#1 sell 10@5"]


def test_a_fill_or_kill_order_that_meets_its_own_trades_nothing():
    market = Market(points=3, capacity_w=10_000, owners=[0, 0, 2])
    market.sell(2, "10@4")
    market.sell(0, "10@5")
    events = market.buy(0, "20@5", "FOK", point=1)
    assert trades(events) == []
    assert only(events, OrderCancelled).reason is CancelReason.SELF_TRADE
    assert market.resting() == ["#1 sell 10@4", "#2 sell 10@5"]


def test_a_mass_cancel_takes_ones_own_orders_only(market):
    market.sell(0, "10@5")
    market.buy(0, "10@3", direction=Direction.WITHDRAWAL)
    market.sell(1, "10@5")
    events = market.do(MassCancel("p0", "m1"))
    cancelled = all_of(events, OrderCancelled)
    assert [event.order_id for event in cancelled] == [1, 2]
    assert {event.reason for event in cancelled} == {CancelReason.MASS_CANCEL}
    assert events[-1] == only(events, MassCancelled)
    assert (events[-1].answers.request_id, events[-1].orders) == ("m1", 2)
    assert market.resting() == ["#3 sell 10@5"]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"connection_point": "load:1"}, [1, 2, 4]),
        ({"direction": Direction.WITHDRAWAL}, [1, 3]),
        ({"side": Side.BUY}, [1, 4]),
        ({"side": Side.BUY, "connection_point": "load:0"}, [1, 3, 4]),
        ({"interval": START}, []),
    ],
    ids=str,
)
def test_a_mass_cancel_takes_what_matches_all_that_is_given(filters, left):
    market = Market(points=3, capacity_w=10_000, owners=[0, 0, 2])
    market.sell(0, "10@5")
    market.buy(0, "10@3", direction=Direction.WITHDRAWAL)
    market.buy(0, "10@3", point=1)
    market.sell(0, "10@5", direction=Direction.WITHDRAWAL)
    market.do(MassCancel("p0", "m1", **filters))
    assert sorted(market.exchange.state.orders) == left


def test_a_market_order_claims_no_more_than_it_may_and_is_answered_once():
    market = Market(points=3, capacity_w=10_000)
    market.sell(0, "100@7")
    accepted = only(market.buy(1, "40@market", "IOC", client_order_id="m"), OrderAccepted)
    assert (accepted.limit_price_ticks, accepted.terms.limit_price_ticks) == (7, None)
    assert only(market.buy(1, "40@market", "IOC", client_order_id="m"), AnswerRepeated)
    reused = only(market.buy(1, "40@7", "IOC", client_order_id="m"), Refused)
    assert reused.reason is RefusalReason.CLIENT_ORDER_ID_REUSED
    assert only(market.buy(1, "5000@market", "IOC"), Refused)


def test_the_gate_closes_when_it_is_due_whatever_is_asked(market):
    market.sell(0, "10@5")
    market.now = GATE - SECOND
    events = market.buy(1, "10@5")
    assert [type(event).__name__ for event in events] == [
        "OrderCancelled",
        "GateClosed",
        "Refused",
    ]
    assert only(events, GateClosed).time == GATE
    assert not all_of(events, Traded)
