"""Where the solver fails for good, the order it fails with goes and the others go on trading."""

from __future__ import annotations

import pytest
from market import Market, all_of, only, trades
from wild_market import wild_market

from exchange.clearing.problem import ClearingError
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.state.invariants import check_state
from exchange.vocabulary.commands import HaltTrading, ResumeTrading
from exchange.vocabulary.events import AlarmRaised, OrderCancelled, Traded
from exchange.vocabulary.reasons import AlarmKind, CancelReason
from security_check.errors import PowerFlowError


@pytest.mark.parametrize("seed", [74, 157, 194, 364])
def test_an_auction_that_cannot_be_solved_loses_one_order_and_goes_on(seed, monkeypatch):
    market, orders = wild_market(seed, monkeypatch)
    exchange = market.exchange
    exchange.handle(HaltTrading("h"), market.now)
    for order in orders:
        exchange.handle(market.order(**order), market.now)
    events = exchange.handle(ResumeTrading("r"), market.now)
    cancelled = all_of(events, OrderCancelled)
    alarms = all_of(events, AlarmRaised)
    assert 1 <= len(cancelled) == len(alarms) <= 2
    for alarm, gone in zip(alarms, cancelled, strict=True):
        assert (alarm.kind, alarm.halts_trading) == (AlarmKind.CLEARING_FAILED, False)
        assert gone.reason is CancelReason.CLEARING_FAILED
        placed = orders[gone.order_id - 1]
        assert f"order {gone.order_id} of {gone.participant} ({placed['side']} of " in alarm.detail
        assert f"{placed['limit_price_ticks']:,} ticks" in alarm.detail
        assert "minimum_w" in placed  # It has a condition: these need the harder program.
    assert all_of(events, Traded)
    check_state(exchange.state)
    # What follows finds a market that works.
    later = exchange.handle(market.order(0, "buy", 1, 0), market.now)
    assert not all_of(later, AlarmRaised)


def three_asks() -> Market:
    market = Market()
    for participant in range(3):
        market.sell(participant, f"100@{5 + participant}")
    return market


def failing_with(number: int):
    """Return an optimum that fails where the program has a certain order."""
    optimum = WelfareClearing.optimum

    def fails(clearing: WelfareClearing):
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
    optimum, failures = WelfareClearing.optimum, [ClearingError("astray")]

    def fails_once(clearing: WelfareClearing):
        if failures:
            raise failures.pop()
        return optimum(clearing)

    monkeypatch.setattr(WelfareClearing, "optimum", fails_once)
    events = market.buy(3, "50@9")
    assert trades(events) == ["50@5 #1"]
    assert not all_of(events, AlarmRaised)


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
