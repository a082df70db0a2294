"""Trades as far as the network carries them.

Four connection points of 10 kW hold 5 kW each; ``rows`` has a coefficient for each of their
injection and then withdrawal limits.  In a row that is full, a trade is blocked when its buyer's
coefficient is above its seller's, and relieves the row when it is below.
"""

from __future__ import annotations

import pytest
from market import START, Market, all_of, interface, only, trades

from exchange.events import AlarmRaised, CancelReason, MatchBlocked, OrderCancelled, Traded
from exchange.rules import MarketRules
from orderbook.order import Side
from security_check.envelope import Direction
from security_check.errors import PowerFlowError
from security_check.verdict import Verdict

UNIT_W = 5_000
"""What everyone holds: a row with coefficients that add up to c is full at c units."""


def a_market(*coefficients: int, headroom_w: int = 0, ac_headroom_w: int | None = None, **more):
    """A market with one row; it has been given more headroom than everyone's holdings need."""
    full = sum(coefficients) * UNIT_W
    row = [*coefficients, *[0] * (8 - len(coefficients))]
    ac = headroom_w if ac_headroom_w is None else ac_headroom_w
    return Market(points=4, capacity_w=10_000, rows=[(row, full + headroom_w, full + ac)], **more)


def test_a_maker_that_the_network_blocks_is_passed_over():
    market = a_market(1, 2, 2, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    events = market.buy(1, "100@7")
    assert trades(events) == ["100@6 #2"]
    blocked = only(events, MatchBlocked)
    assert (blocked.order_id, blocked.blocked_w, blocked.element) == (3, 100, "line:0")
    assert blocked.detail == (
        "line:0 leaves no lot of 1 W of injection limit to move from load:0 to load:1"
    )
    assert market.resting() == ["#1 sell 100@5"]


def test_orders_may_rest_crossed_when_the_network_blocks_them():
    market = a_market(1, 2, 2, 1)
    market.sell(0, "100@5")
    assert only(market.buy(1, "150@6"), MatchBlocked).blocked_w == 100
    assert market.resting() == ["#2 buy 150@6", "#1 sell 100@5"]


def test_a_trade_of_others_that_frees_headroom_sets_off_blocked_orders():
    market = a_market(1, 3, 2, 1)
    market.sell(0, "100@5")
    market.buy(1, "100@6")
    market.sell(2, "60@4")
    events = market.buy(3, "60@4", "IOC")
    # First the trade that relieves the row by 60 W, then as much of the blocked pair as that
    # allows; its buyer came later and pays the older sell order's price.
    assert trades(events) == ["60@4 #3", "30@5 #1"]
    assert [trade.taker_side for trade in all_of(events, Traded)] == [Side.BUY, Side.BUY]
    assert market.resting() == ["#2 buy 70@6", "#1 sell 70@5"]


def test_the_two_directions_share_the_rows():
    market = a_market(0, 1, 0, 0, 0, 1, 0, 0)
    market.sell(0, "100@5")
    market.buy(1, "100@6")
    market.sell(1, "70@1", direction=Direction.WITHDRAWAL)
    events = market.buy(2, "70@1", direction=Direction.WITHDRAWAL)
    found = [(trade.direction.value, trade.quantity_w) for trade in all_of(events, Traded)]
    assert found == [("withdrawal", 70), ("injection", 70)]


def test_a_match_is_limited_to_its_largest_secure_quantity():
    market = a_market(1, 2, 2, 1, headroom_w=5)
    market.update("u", interface(20_000 - 1))  # Leaves nothing for the fair filling to hand out.
    market.sell(0, "100@5")
    events = market.buy(1, "100@6")
    assert len(trades(events)) == 1
    traded_w = only(events, Traded).quantity_w
    assert 0 < traded_w < 100
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
    monkeypatch.setattr(market.grid.latest, "confirm", lambda c: asked.append(c) or verdict)
    market.sell(0, "100@5")
    events = market.buy(1, "100@6")
    assert trades(events) == []
    assert only(events, MatchBlocked).detail == (
        "injection limit from load:0 to load:1 is not secure: bus:4 reaches 1.12 p.u. "
        "of 1.1 p.u. (120.00 %)"
    )
    rounds = len(asked)
    assert 1 < rounds < 20
    market.sell(0, "100@5")
    assert len(asked) == rounds  # Nothing has changed, so nothing is asked again.


def test_a_check_that_fails_confirms_no_trade_and_raises_the_alarm():
    market = a_market(1, 1, 1, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    market.grid.latest.errors.append(PowerFlowError("no solution at bus:4"))
    events = market.buy(1, "100@6")
    assert trades(events) == ["100@6 #2"]
    alarm = only(events, AlarmRaised)
    assert alarm.detail == (
        "the check of injection limit from load:0 to load:1 failed: no solution at bus:4"
    )
    assert not alarm.halts_trading
    assert only(events, MatchBlocked).element == "power_flow"


def test_makers_passed_over_are_tried_again_once_another_has_freed_headroom():
    market = a_market(1, 2, 3, 1)
    market.sell(0, "100@5")
    market.sell(2, "100@6")
    events = market.buy(1, "200@6", "IOC")
    assert trades(events) == ["100@6 #2", "100@5 #1"]
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
    assert only(events, MatchBlocked).blocked_w == 50
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


def test_thousands_of_uncrossed_orders_are_not_looked_at_again(monkeypatch):
    market = Market(points=4, capacity_w=10**9)
    for price in range(100, 160):
        market.sell(0, f"1@{price}")
        market.buy(1, f"1@{price - 80}")
    asked = []
    largest = market.grid.latest.largest_secure_w
    monkeypatch.setattr(
        market.grid.latest, "largest_secure_w", lambda *a: asked.append(a) or largest(*a)
    )
    market.sell(2, "1@99")
    market.exchange.handle(market.order(3, "buy", 1, 99), market.now)
    assert len(asked) == 1
