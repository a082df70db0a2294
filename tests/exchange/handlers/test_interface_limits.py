"""New limits at the interface while an interval trades."""

from __future__ import annotations

import pytest
from market import START, Market, all_of, interface, only, refusal, trades

from exchange.vocabulary.events import (
    AlarmRaised,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    MatchBlocked,
    OrderCancelled,
    OrderReduced,
    Refused,
    Traded,
)
from exchange.vocabulary.reasons import AlarmKind, CancelReason
from exchange.vocabulary.rules import MarketRules
from security_check.errors import InsecureError, PowerFlowError
from security_check.model.envelope import Direction

INSECURE = InsecureError("line:3", "reaches 120 A of 100 A")


@pytest.fixture
def market() -> Market:
    """Four connection points of 10 kW that hold 5 kW each."""
    return Market(points=4, capacity_w=10_000)


def test_lower_limits_curtail_holdings_with_the_element(market):
    events = market.update("u1", interface(16_000, 20_000))
    assert events[0] == only(events, InterfaceLimitsUpdated)
    curtailed = all_of(events, HoldingCurtailed)
    assert [event.connection_point for event in curtailed] == [f"load:{i}" for i in range(4)]
    assert {(e.from_w, e.to_w, e.element) for e in curtailed} == {(5_000, 4_000, "interface")}
    assert {event.direction for event in curtailed} == {Direction.INJECTION}
    assert market.held_w(0) == 4_000
    assert market.exchange.state.sessions[START].interface_limits == interface(16_000, 20_000)


def test_higher_limits_raise_holdings(market):
    events = market.update("u1", interface(24_000, 20_000))
    raised = all_of(events, HoldingRaised)
    assert {(e.from_w, e.to_w, e.element) for e in raised} == {(5_000, 6_000, "interface")}
    assert len(raised) == 4


def test_limits_that_change_nothing_are_put_on_record(market):
    assert [type(e) for e in market.update("u1", interface(20_000, 20_000))] == [
        InterfaceLimitsUpdated
    ]


def test_sell_orders_that_are_not_covered_any_more_shrink_newest_first(market):
    for quantity in (2_500, 1_500, 800):
        market.sell(0, f"{quantity}@9")
    events = market.update("u1", interface(12_000, 20_000))
    cancelled = only(events, OrderCancelled)
    assert (cancelled.order_id, cancelled.remaining_w) == (3, 800)
    assert cancelled.reason is CancelReason.CURTAILED
    reduced = only(events, OrderReduced)
    assert (reduced.order_id, reduced.reduced_by_w, reduced.remaining_w) == (2, 1_000, 500)
    assert market.resting() == ["#1 sell 2500@9", "#2 sell 500@9"]


def test_an_order_that_could_not_trade_as_asked_any_more_is_cancelled(market):
    market.sell(0, "2000@9", client_order_id="all", all_or_none=True)
    market.sell(1, "2500@9", client_order_id="some", minimum_w=1_500)
    market.sell(2, "2500@9", client_order_id="most", minimum_w=1_501)
    market.sell(0, "2500@9")
    market.sell(1, "2500@9")
    market.sell(2, "2500@9")
    market.sell(3, "4500@9", client_order_id="ice", displayed_w=1_000)
    # Each point is cut by 1,000 W more than the newest order of each can bear.
    events = market.update("u1", interface(6_000))
    cancelled = {e.client_order_id: e.reason for e in all_of(events, OrderCancelled)}
    assert {k: v for k, v in cancelled.items() if k in ("all", "some", "most", "ice")} == {
        "all": CancelReason.CURTAILED,
        "most": CancelReason.CURTAILED,
    }
    reduced = {e.client_order_id: e.remaining_w for e in all_of(events, OrderReduced)}
    assert reduced == {"some": 1_500, "ice": 1_500}
    (ice,) = (o for o in market.exchange.state.orders.values() if o.client_order_id == "ice")
    assert ice.displayed_w == 1_000


def test_buy_orders_that_would_go_beyond_capacity_shrink_newest_first(market):
    market.buy(0, "4000@1", client_order_id="a")
    market.buy(0, "1000@1")
    events = market.update("u1", interface(26_000, 20_000))
    assert only(events, OrderCancelled).order_id == 2
    assert only(events, OrderReduced).remaining_w == 3_500
    # What was taken off is taken off the order's total.
    assert refusal(market.amend(0, "a", 3_500))[0] == "nothing_to_amend"


def test_orders_shrink_by_whole_lots():
    market = Market(points=4, capacity_w=10_000, rules=MarketRules(lot_w=1_000))
    market.sell(0, "5000@9")
    only(market.update("u1", interface(18_000, 20_000)), OrderReduced)
    assert market.resting() == ["#1 sell 4000@9"]


def test_new_headroom_sets_off_orders_that_were_blocked():
    row = ([1, 2, 2, 1, 0, 0, 0, 0], 30_000, 30_000)
    market = Market(points=4, capacity_w=10_000, rows=[row])
    market.sell(0, "100@5")
    market.buy(1, "100@6")
    assert len(market.resting()) == 2
    # The interface curtails each point to 4 kW, which leaves the row 6,000 W.
    events = market.update("u1", interface(16_000, 20_000))
    # No order is the taker, so both trade at one price: any between the limits balances 100 W.
    assert trades(events) == ["100@5 #2", "100@5 #1"]
    traded = only(events, Traded)
    assert (traded.taker_order_id, traded.rent) == (None, 0)
    assert [fill.amount for fill in traded.fills] == [-550, 550]
    assert market.resting() == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (INSECURE, AlarmKind.INSECURE),
        (PowerFlowError("no solution at bus:4"), AlarmKind.POWER_FLOW_FAILED),
    ],
)
def test_limits_that_cannot_be_made_secure_halt_the_interval(market, error, kind):
    market.grid.errors.append(error)
    events = market.update("u1", interface(1, 1))
    refused, alarm = events
    assert isinstance(refused, Refused)
    assert (refused.participant, refused.request_id) == ("tso", "u1")
    assert (refused.reason.value, refused.detail) == (kind.value, str(error))
    assert isinstance(alarm, AlarmRaised)
    assert (alarm.kind, alarm.interval, alarm.halts_trading) == (kind, START, True)
    assert market.held_w(0) == 5_000


def test_while_an_interval_is_halted_orders_rest_and_nothing_trades(market):
    market.grid.errors.append(INSECURE)
    market.update("u1", interface(1, 1))
    market.sell(0, "100@5", client_order_id="s")
    blocked = only(market.buy(1, "60@5"), MatchBlocked)
    assert (blocked.blocked_w, blocked.element) == (60, "interface")
    assert blocked.detail == (
        "trading in the interval is halted until new interface limits are in force"
    )
    for time_in_force in ("IOC", "FOK"):
        events = market.buy(2, "10@5", time_in_force)
        assert trades(events) == []
        assert only(events, OrderCancelled).remaining_w == 10
    market.amend(0, "s", limit_price_ticks=4)
    assert market.resting() == ["#2 buy 60@5", "#5 sell 100@4"]
    # Once limits are secure again, what rests crossed trades, at the price of who is not filled.
    assert trades(market.update("u2", interface(20_000, 20_000))) == ["60@4 #2", "60@4 #5"]
    assert market.resting() == ["#5 sell 40@4"]


def test_orders_of_one_participant_that_crossed_in_a_halt_do_not_trade():
    market = Market(points=4, capacity_w=10_000, owners=[0, 0, 2, 2])
    market.grid.errors.append(INSECURE)
    market.update("u1", interface(1, 1))
    market.sell(0, "100@5")
    market.buy(0, "100@5", point=1)
    market.buy(2, "100@3", point=2)
    market.sell(2, "100@3", point=3)
    events = market.update("u2", interface(20_000, 20_000))
    # As if they had come one by one: each meets its own, and the newer one goes.
    assert trades(events) == []
    cancelled = [(e.order_id, e.reason) for e in all_of(events, OrderCancelled)]
    assert cancelled == [(2, CancelReason.SELF_TRADE), (4, CancelReason.SELF_TRADE)]
    assert market.resting() == ["#3 buy 100@3", "#1 sell 100@5"]


def test_the_newer_of_ones_own_crossing_orders_is_cancelled_after_a_halt():
    market = Market(points=3, capacity_w=10_000, owners=[0, 0, 2])
    market.grid.errors.append(INSECURE)
    market.update("u1", interface(1, 1))
    market.buy(0, "100@5", point=1)
    market.sell(0, "100@5")
    events = market.update("u2", interface(15_000, 15_000))
    cancelled = only(events, OrderCancelled)
    assert (cancelled.order_id, cancelled.reason) == (2, CancelReason.SELF_TRADE)


def test_limits_below_the_fallback_are_not_taken():
    market = Market(points=4, capacity_w=10_000, fallback_w=500)
    events = market.update("u1", interface(1_999, 20_000))
    reason, detail = refusal(events)
    assert reason == "insecure"
    assert detail.endswith(
        "injection limit of 499 W is not within the fallback limit of 500 W "
        "and the capacity of 10,000 W"
    )
    assert only(events, AlarmRaised).halts_trading
    assert market.held_w(0) == 5_000


def test_a_halt_outlives_a_restart(market):
    market.grid.errors.append(INSECURE)
    market.update("u1", interface(1, 1))
    market.sell(0, "100@5")
    snapshot = market.exchange.snapshot()
    market.exchange = type(market.exchange).restore(
        snapshot, market.grid, market.rules, market.terms
    )
    assert trades(market.buy(1, "100@5")) == []
    assert trades(market.update("u2", interface(20_000, 20_000))) == ["100@5 #2", "100@5 #1"]
