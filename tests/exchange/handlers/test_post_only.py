"""Post-only orders that cross no order by price and yet would trade, in a set of three.

Row 0 is full with coefficients 1 at load:0, 2 at load:1 and 3 at load:2: limit that moves from
load:0 to load:1 needs headroom.  A sale of load:2 makes twice as much as it takes: half of what
load:1 buys at 9 may come from load:0 at 4, and half from load:2, even at 11.
"""

from __future__ import annotations

import json

import pytest
from failing_solver import give_up_where
from market import Market, only, refusal

from exchange.vocabulary.commands import AmendOrder
from exchange.vocabulary.events import AlarmRaised, MatchBlocked, OrderAccepted, Traded
from security_check.errors import PowerFlowError


@pytest.fixture
def market() -> Market:
    full = (1 + 2 + 3) * 5_000
    market = Market(points=4, capacity_w=10_000, rows=[([1, 2, 3, 0, *[0] * 4], full, full)])
    market.sell(0, "100@4")
    assert only(market.buy(1, "100@9"), MatchBlocked)
    return market


def test_an_order_that_would_make_a_blocked_pair_trade_is_refused_if_it_is_to_wait(market):
    reason, detail = refusal(market.sell(2, "200@11", post_only=True))
    assert reason == "would_cross"
    assert detail == (
        "post-only sell of 200 W at 0.0011 EUR per kW would trade at once, "
        "together with orders that cannot trade without it"
    )
    # Without the condition it trades indeed, and gets all that the other two leave over.
    trade = only(market.sell(2, "200@11"), Traded)
    assert [(fill.participant, fill.quantity_w, fill.amount) for fill in trade.fills] == [
        ("p0", 50, -50 * 4),
        ("p1", 100, 100 * 9),
        ("p2", 50, -(100 * 9 - 50 * 4)),
    ]


def test_a_post_only_order_that_completes_no_trade_rests(market):
    assert only(market.sell(2, "200@40", post_only=True), OrderAccepted)


def test_repricing_a_post_only_order_so_that_it_would_trade_is_refused(market):
    market.sell(2, "200@40", post_only=True, client_order_id="waits")
    reason, detail = refusal(market.amend(2, "waits", limit_price_ticks=11))
    assert reason == "would_cross"
    assert detail.startswith("post-only sell of 200 W at 0.0011 EUR per kW would trade at once")


def test_the_refusal_blames_no_network_where_it_is_a_condition_that_held_the_others_back():
    market = Market()
    market.sell(0, "100@4", all_or_none=True)
    market.buy(1, "60@9")
    reason, detail = refusal(market.buy(2, "40@3", post_only=True))
    assert (reason, "network" in detail) == ("would_cross", False)
    assert detail.startswith("post-only buy of 40 W at 0.0003 EUR per kW would trade at once")


def test_a_network_that_cannot_be_asked_refuses_no_post_only_order_and_crashes_nothing(market):
    exchange = market.exchange
    snapshot = json.loads(json.dumps(exchange.snapshot()))
    market.exchange = type(exchange).restore(snapshot, market.grid, market.rules, market.terms)
    market.grid.errors.append(PowerFlowError("no convergence"))
    events = market.buy(3, "10@3", post_only=True)
    assert [type(event) for event in events] == [AlarmRaised, OrderAccepted]


def test_where_the_clearing_fails_an_order_that_is_to_wait_is_refused(market, monkeypatch):
    """It might trade, and then it would take: no order that says post-only ever does."""
    market.sell(2, "200@40", post_only=True, client_order_id="waits")
    exchange, before = market.exchange, market.resting()
    new = market.order(2, "sell", 200, 11, post_only=True)
    cheaper = AmendOrder("p2", "r1", "waits", None, 11)
    with monkeypatch.context() as patch:
        given_up = give_up_where(patch, lambda _: True)
        for command in (new, cheaper):
            reason, detail = refusal(exchange.handle(command, market.now))
            assert reason == "would_cross"
            assert "200 W at 0.0011 EUR per kW would trade at once" in detail
    assert given_up
    assert market.resting() == before
    assert only(market.sell(3, "200@40", post_only=True), OrderAccepted)
