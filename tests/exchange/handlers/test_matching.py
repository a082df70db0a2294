"""Trades as far as the network carries them.

Four connection points of 10 kW hold 5 kW each; ``rows`` has a coefficient for each of their
injection and then withdrawal limits.  In a row that is full, a trade is blocked when its buyer's
coefficient is above its seller's, and relieves the row when it is below.
"""

from __future__ import annotations

import pytest
from linear_grid import LinearSecurity
from market import START, Market, all_of, interface, only, trades

from exchange.clearing.problem import ClearingError
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.vocabulary.commands import AmendOrder, CancelOrder
from exchange.vocabulary.events import AlarmRaised, MatchBlocked, OrderCancelled, Traded
from exchange.vocabulary.reasons import AlarmKind, CancelReason
from exchange.vocabulary.rules import MarketRules
from security_check.checking.verdict import Verdict
from security_check.errors import PowerFlowError
from security_check.model.envelope import Direction

UNIT_W = 5_000
"""What each point holds: a row with coefficients that add up to c is full at c units."""


def a_market(*coefficients: int, headroom_w: int = 0, ac_headroom_w: int | None = None, **more):
    """A market with one row; it has been given more headroom than all holdings need."""
    full = sum(coefficients) * UNIT_W
    row = [*coefficients, *[0] * (8 - len(coefficients))]
    ac = headroom_w if ac_headroom_w is None else ac_headroom_w
    return Market(points=4, capacity_w=10_000, rows=[(row, full + headroom_w, full + ac)], **more)


def test_a_maker_that_the_network_blocks_is_passed_over():
    market = a_market(1, 2, 2, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    events = market.buy(1, "150@7")
    assert trades(events) == ["100@6 #2"]
    blocked = only(events, MatchBlocked)
    assert (blocked.order_id, blocked.blocked_w, blocked.element) == (3, 50, "line:0")
    assert blocked.detail == (
        "line:0 leaves no lot of 1 W of injection limit to move from load:0 to load:1"
    )
    assert market.resting() == ["#3 buy 50@7", "#1 sell 100@5"]


def test_an_order_filled_behind_a_blocked_maker_is_not_blocked():
    market = a_market(1, 2, 2, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    events = market.buy(1, "100@7")
    assert trades(events) == ["100@6 #2"]
    assert not all_of(events, MatchBlocked)


def test_orders_may_rest_crossed_when_the_network_blocks_them():
    market = a_market(1, 2, 2, 1)
    market.sell(0, "100@5")
    assert only(market.buy(1, "150@6"), MatchBlocked).blocked_w == 100
    assert market.resting() == ["#2 buy 150@6", "#1 sell 100@5"]


def test_three_trade_together_where_no_pair_may():
    market = a_market(1, 3, 2, 1)
    market.sell(0, "100@5")
    market.buy(1, "100@6")
    assert trades(market.sell(2, "60@4")) == []
    events = market.buy(3, "60@4", "IOC")
    # With 30 W the newcomer relieves the row by as much as the dear purchase of 30 W loads it:
    # a gain of 60.  Pairs by price and time would have moved more watts for half of that.
    assert trades(events) == ["30@6 #2", "60@4 #3"]
    traded = only(events, Traded)
    assert (traded.gain, traded.taker_order_id) == (60, 4)
    (taker,) = (fill for fill in traded.fills if fill.order_id == 4)
    # Makers at their own limits, and the newcomer gets the difference: it pays 1 tick less a watt.
    assert (taker.quantity_w, taker.amount) == (30, 60 * 4 - 30 * 6)
    assert only(events, OrderCancelled).remaining_w == 30
    assert market.resting() == ["#2 buy 70@6", "#1 sell 100@5"]


def test_the_two_directions_share_the_rows():
    market = a_market(0, 1, 0, 0, 0, 1, 0, 0)
    market.sell(0, "100@5")
    market.buy(1, "100@6")
    market.sell(1, "70@1", direction=Direction.WITHDRAWAL)
    events = market.buy(2, "70@1", direction=Direction.WITHDRAWAL)
    found = [(f.order_id, f.direction.value, f.quantity_w) for f in only(events, Traded).fills]
    assert found == [
        (1, "injection", 70),
        (2, "injection", 70),
        (3, "withdrawal", 70),
        (4, "withdrawal", 70),
    ]


def test_a_match_is_limited_to_its_largest_secure_quantity():
    market = a_market(1, 2, 2, 1, headroom_w=5)
    market.update("u", interface(20_000 - 1))  # Leaves nothing for the fair filling to hand out.
    market.sell(0, "100@5")
    events = market.buy(1, "100@6")
    assert len(trades(events)) == 1
    traded_w = only(events, Traded).fills[0].quantity_w
    assert 0 < traded_w < 100
    # To the last watt: another one would not be secure.
    assert market.grid.latest.linear_rows().headroom[0] == 0
    assert only(events, MatchBlocked).blocked_w == 100 - traded_w


def test_quantities_are_whole_lots():
    market = a_market(1, 2, 2, 1, headroom_w=5, rules=MarketRules(lot_w=4))
    market.sell(0, "100@5")
    assert trades(market.buy(1, "100@6")) == ["4@5 #1"]


def test_what_the_power_flow_refuses_is_looked_for_again():
    market = a_market(1, 2, 2, 1, headroom_w=5, ac_headroom_w=3)
    market.sell(0, "100@5")
    events = market.buy(1, "100@6")
    assert trades(events) == ["3@5 #1"]
    assert only(events, MatchBlocked).blocked_w == 97


def test_what_the_power_flow_refuses_for_ever_does_not_trade(monkeypatch):
    market = a_market(1, 1, 1, 1)
    verdict = Verdict(False, "bus:4", 1.12, 1.1, "p.u.", 1.2)
    asked = []

    def refuse(_, changes):
        asked.append(changes)
        return verdict

    monkeypatch.setattr(LinearSecurity, "confirm", refuse)
    market.sell(0, "100@5")
    envelopes = market.exchange.envelopes(START)
    events = market.exchange.handle(market.order(1, "buy", 100, 6), market.now)
    assert trades(events) == []
    assert only(events, MatchBlocked).detail == (
        "no clearing in whole lots that the AC power flow confirms gains from 1 W of "
        "injection limit to move from load:0 to load:1"
    )
    assert market.exchange.envelopes(START) == envelopes
    rounds = len(asked)
    assert 1 < rounds < 20
    market.exchange.handle(AmendOrder("p1", "r1", "a2", 60, None), market.now)
    market.exchange.handle(CancelOrder("p1", "r2", "a2"), market.now)
    assert len(asked) == rounds  # Less of an order makes nothing secure, so nothing is asked.


def test_a_check_that_fails_confirms_no_trade_and_raises_the_alarm():
    market = a_market(1, 1, 1, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    market.grid.latest.errors.append(PowerFlowError("no solution at bus:4"))
    events = market.buy(1, "100@6")
    assert trades(events) == []
    alarm = only(events, AlarmRaised)
    assert (alarm.kind, alarm.interval) == (AlarmKind.POWER_FLOW_FAILED, START)
    assert alarm.detail == "the check of a clearing failed: no solution at bus:4"
    assert not alarm.halts_trading
    assert only(events, MatchBlocked).element == "power_flow"
    # The next event asks again; what trades then is what would have traded before.
    assert trades(market.buy(3, "1@1")) == ["100@5 #1"]


def test_a_program_that_cannot_be_solved_trades_nothing_and_raises_the_alarm(monkeypatch):
    market = a_market(1, 2, 2, 1, headroom_w=5)
    market.sell(0, "100@5")
    with monkeypatch.context() as patch:

        def fails(*_):
            raise ClearingError("the solver stopped after 9 iterations")

        patch.setattr(WelfareClearing, "optimum", fails)
        events = market.buy(1, "100@6")
    assert trades(events) == []
    alarm = only(events, AlarmRaised)
    assert (alarm.kind, alarm.halts_trading) == (AlarmKind.CLEARING_FAILED, False)
    assert alarm.detail == "the clearing failed: the solver stopped after 9 iterations"
    assert trades(market.buy(3, "1@1")) == ["5@5 #1"]


def test_a_maker_that_loads_a_row_trades_with_one_that_relieves_it():
    market = a_market(1, 2, 3, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    events = market.buy(1, "200@6", "IOC")
    assert trades(events) == ["100@5 #1", "100@6 #2"]
    assert len(all_of(events, Traded)) == 1
    assert not all_of(events, MatchBlocked)
    assert not all_of(events, OrderCancelled)


def test_a_fill_or_kill_order_that_the_network_cannot_fill_leaves_no_trace():
    market = a_market(1, 2, 2, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    envelopes = market.exchange.envelopes(START)
    events = market.buy(1, "150@7", "FOK")
    assert trades(events) == []
    assert only(events, OrderCancelled).reason is CancelReason.FILL_OR_KILL
    blocked = only(events, MatchBlocked)
    assert (blocked.blocked_w, blocked.element) == (150, "line:0")
    assert market.exchange.envelopes(START) == envelopes
    assert trades(market.buy(1, "100@7", "FOK")) == ["100@6 #2"]


def test_a_fill_or_kill_order_without_enough_makers_asks_the_network_nothing(monkeypatch):
    market = a_market(1, 1, 1, 1)
    market.sell(0, "100@5")
    monkeypatch.setattr(market.grid.latest, "copy", lambda: pytest.fail("asked the network"))
    command = market.order(1, "buy", 101, 9, "FOK")
    events = market.exchange.handle(command, market.now)
    assert only(events, OrderCancelled).reason is CancelReason.FILL_OR_KILL


def test_behind_a_blocked_maker_ones_own_order_still_stops_the_order():
    market = a_market(1, 2, 2, 2, owners=[0, 1, 1, 3])
    market.sell(0, "100@5")
    market.sell(1, "100@6", point=2)
    market.sell(3, "100@7")
    events = market.buy(1, "100@7")
    assert trades(events) == []
    assert only(events, OrderCancelled).reason is CancelReason.SELF_TRADE


def test_the_power_flow_confirms_a_trade_once_and_orders_that_rest_never(monkeypatch):
    market = Market(points=4, capacity_w=10**9)
    for price in range(100, 160):
        market.sell(0, f"1@{price}")
        market.buy(1, f"1@{price - 80}")
    asked = []
    confirm = market.grid.latest.confirm

    def noted(changes):
        asked.append(changes)
        return confirm(changes)

    monkeypatch.setattr(market.grid.latest, "confirm", noted)
    market.sell(2, "1@99")
    market.buy(3, "1@98")
    assert not asked
    market.exchange.handle(market.order(3, "buy", 1, 99), market.now)
    assert len(asked) == 1
