"""Where the solver fails for good, the order it fails with goes and the others go on trading."""

from __future__ import annotations

from typing import Any

import pytest
from failing_solver import give_up_where
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from market import Market, all_of, only, trades

from exchange.clearing.conditional import branch_and_bound
from exchange.clearing.problem import ClearingError
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.state.invariants import check_state
from exchange.vocabulary.commands import HaltTrading, ResumeTrading
from exchange.vocabulary.events import AlarmRaised, Event, OrderCancelled, Traded
from exchange.vocabulary.reasons import AlarmKind, CancelReason
from security_check.errors import PowerFlowError

POINTS = 8
POISON_TICKS = {"buy": 1_601, "sell": 701}
"""Prices at which the stand-in gives up; at no scale they are like the prices between them."""


@st.composite
def poisoned(draw: st.DrawFn) -> tuple[list[tuple], list[dict[str, Any]], set[int]]:
    """Return rows that bind, an order of each participant, and the places of the poisonous ones."""
    rows = []
    for _ in range(2):
        row = draw(st.lists(st.integers(0, 3), min_size=POINTS, max_size=POINTS))
        bound = sum(row) * 500 + draw(st.integers(0, 60))
        rows.append((row + [0] * POINTS, bound, bound - draw(st.integers(0, 20))))
    poison = draw(st.sets(st.integers(0, POINTS - 1), min_size=1, max_size=3))
    orders = []
    for participant in range(POINTS):
        side = draw(st.sampled_from(["buy", "sell"]))
        price = POISON_TICKS[side] if participant in poison else draw(st.integers(800, 1_400))
        quantity_w = draw(st.integers(5, 60))
        order = {"participant": participant, "side": side, "quantity_w": quantity_w}
        if draw(st.integers(0, 2)) == 0:
            order["minimum_w"] = draw(st.integers(1, quantity_w))
        orders.append(order | {"limit_price_ticks": price})
    return rows, orders, poison


def auction(rows: list[tuple], orders: list[dict[str, Any]]) -> tuple[Market, list[Event]]:
    """Return a market in which orders came while trading was halted, and its auction's events.

    Nothing is cleared by a check of invariants, in which the solver may give up, too.
    """
    market = Market(points=POINTS, capacity_w=1_000, rows=rows)
    market.exchange.handle(HaltTrading("h"), market.now)
    for order in orders:
        market.exchange.handle(market.order(**order), market.now)
    return market, market.exchange.handle(ResumeTrading("r"), market.now)


@given(poisoned())
@settings(max_examples=25, deadline=None)
def test_an_auction_loses_an_order_where_the_solver_gives_up_and_goes_on(case):
    """Which one it blames depends on with whom the poisonous order would trade first."""
    rows, orders, _ = case
    with pytest.MonkeyPatch.context() as patch:
        given_up = give_up_where(
            patch, lambda attempt: any(map(attempt.has, POISON_TICKS.values()))
        )
        market, events = auction(rows, orders)
    assert bool(all_of(events, OrderCancelled)) is bool(given_up)
    assert_named(events, orders)
    check_state(market.exchange.state)
    later = market.exchange.handle(market.order(0, "buy", 1, 0), market.now)
    assert not all_of(later, AlarmRaised), "what follows finds a market that works"


@given(poisoned())
@settings(max_examples=25, deadline=None)
def test_where_no_mixed_program_is_solved_few_orders_go_and_each_is_named(case):
    """Mostly those that need whole lots; but a counterparty may be blamed in their place."""
    rows, orders, _ = case
    plain = [order for order in orders if "minimum_w" not in order]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branch_and_bound, "MOST", 0)
        given_up = give_up_where(patch, lambda attempt: attempt.mixed)
        auction(rows, plain)
        assume(not given_up)  # Whole lots need none.
        market, events = auction(rows, orders)
    assert len(all_of(events, OrderCancelled)) <= POINTS // 2
    assert_named(events, orders)
    market.exchange.check_invariants()


@given(poisoned())
@settings(max_examples=25, deadline=None)
def test_exactly_the_orders_that_fail_go_and_the_others_trade_as_if_they_had_never_come(case):
    rows, orders, poison = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WelfareClearing, "optimum", failing_with(*(1 + place for place in poison)))
        market, events = auction(rows, orders)
    assert {gone.order_id - 1 for gone in all_of(events, OrderCancelled)} == poison
    assert_named(events, orders)
    market.exchange.check_invariants()
    others = [order for order in orders if order["participant"] not in poison]
    assert fills(events) == fills(auction(rows, others)[1])


def assert_named(events: list[Event], orders: list[dict[str, Any]]) -> None:
    """Check that an alarm without a halt names each order that was cancelled."""
    cancelled, alarms = all_of(events, OrderCancelled), all_of(events, AlarmRaised)
    for alarm, gone in zip(alarms, cancelled, strict=True):
        assert (alarm.kind, alarm.halts_trading) == (AlarmKind.CLEARING_FAILED, False)
        assert gone.reason is CancelReason.CLEARING_FAILED
        placed = orders[gone.order_id - 1]
        assert f"order {gone.order_id} of {gone.participant} ({placed['side']} of " in alarm.detail
        assert f"{placed['limit_price_ticks']:,} ticks" in alarm.detail


def fills(events: list[Event]) -> list[tuple[str, int, int]]:
    """Return who traded how much, and paid what."""
    return [
        (fill.participant, fill.quantity_w, fill.amount)
        for event in all_of(events, Traded)
        for fill in event.fills
    ]


def three_asks() -> Market:
    market = Market()
    for participant in range(3):
        market.sell(participant, f"100@{5 + participant}")
    return market


def failing_with(*numbers: int):
    """Return an optimum that fails where the program has one of certain orders."""
    optimum = WelfareClearing.optimum

    def fails(clearing: WelfareClearing):
        for number in numbers:
            if number in clearing.orders:
                raise ClearingError(f"order {number} is in it")
        return optimum(clearing)

    return fails


def test_the_order_that_has_just_come_goes_and_the_next_one_trades(monkeypatch):
    market = three_asks()
    with monkeypatch.context() as patch:
        patch.setattr(WelfareClearing, "optimum", failing_with(4))
        events = market.buy(3, "50@9")
        assert [type(event) for event in events[1:]] == [AlarmRaised, OrderCancelled]
        assert only(events, OrderCancelled).order_id == 4
        assert only(events, AlarmRaised).detail == (
            "the clearing failed: order 4 is in it; order 4 of p3 (buy of 50 W at 9 ticks) is "
            "cancelled, so that other orders can trade"
        )
        assert trades(market.buy(4, "50@9")) == ["50@5 #1"]


def test_of_many_that_rested_the_one_is_found(monkeypatch):
    market = three_asks()
    market.do(HaltTrading("h"))
    for participant in range(3, 9):
        market.buy(participant, "50@9")
    with monkeypatch.context() as patch:
        patch.setattr(WelfareClearing, "optimum", failing_with(6))
        events = market.do(ResumeTrading("r"))
    assert only(events, OrderCancelled).order_id == 6
    assert sum(fill.quantity_w for e in all_of(events, Traded) for fill in e.fills) == 500


def test_a_failure_of_the_warm_solver_alone_changes_nothing(monkeypatch):
    market = three_asks()
    optimum = WelfareClearing.optimum
    astray: list[WelfareClearing] = []

    def fails_where_it_is_warm(clearing: WelfareClearing):
        astray[:] = astray or [clearing]
        if clearing is astray[0]:
            raise ClearingError("astray")
        return optimum(clearing)

    monkeypatch.setattr(WelfareClearing, "optimum", fails_where_it_is_warm)
    events = market.buy(3, "50@9")
    assert trades(events) == ["50@5 #1"]
    assert not all_of(events, AlarmRaised)
    assert astray


def test_the_same_alarm_is_raised_once_while_nothing_changes():
    market = three_asks()
    security = market.grid.latest

    def fails() -> list[AlarmRaised]:
        security.errors.append(PowerFlowError("no solution at bus:4"))
        events = market.exchange.handle(market.order(4, "buy", 10, 9), market.now)
        security.errors.clear()
        assert not trades(events)
        return all_of(events, AlarmRaised)

    assert len(fails()) == 1
    assert not fails()
    assert trades(market.buy(5, "1@1"))  # It works again; a new failure is news.
    market.sell(0, "100@5")
    assert len(fails()) == 1
