"""Behaviour that other venues' own tests expect of an order book, on a network that never binds.

Notation: ``quantity@price``, ``#n`` the order in sequence of arrival.
"""

from __future__ import annotations

import pytest
from market import Market, all_of, only, trades

from exchange.vocabulary.events import OrderAmended, OrderCancelled, Traded
from exchange.vocabulary.reasons import CancelReason
from orderbook.order import Side


def test_a_bid_takes_the_best_asks_at_their_prices_and_its_rest_waits():
    market = Market()
    market.sell(0, "1000@10000")
    market.sell(1, "500@8000")
    market.sell(2, "200@5000")
    assert trades(market.buy(3, "1000@8000")) == ["200@5000 #3", "500@8000 #2"]
    assert market.resting() == ["#4 buy 300@8000", "#1 sell 1000@10000"]


def test_at_one_price_the_older_ask_trades_first():
    market = Market()
    market.sell(0, "1000@10000")
    market.sell(1, "300@5000")
    market.sell(2, "300@5000")
    market.sell(3, "200@2000")
    assert trades(market.buy(4, "500@5000")) == ["200@2000 #4", "300@5000 #2"]
    assert market.resting() == ["#3 sell 300@5000", "#1 sell 1000@10000"]


@pytest.fixture
def three_sided() -> Market:
    market = Market()
    market.sell(1, "100@81600")
    market.sell(2, "50@81599")
    market.sell(3, "25@81599")
    market.buy(4, "40@81593")
    market.buy(5, "20@81590")
    market.buy(6, "1@81590")
    market.sell(7, "28@201000")
    market.sell(8, "32@201000")
    market.sell(9, "10@200954")
    return market


def test_an_immediate_or_cancel_sale_walks_down_the_bids(three_sided):
    events = three_sided.sell(10, "41@81590", "IOC")
    assert trades(events) == ["40@81593 #4", "1@81590 #5"]
    assert not all_of(events, OrderCancelled)


def test_a_good_till_cancel_purchase_takes_a_level_and_rests(three_sided):
    assert trades(three_sided.buy(10, "77@81599")) == ["50@81599 #2", "25@81599 #3"]
    assert three_sided.resting()[0] == "#10 buy 2@81599"


def test_a_resting_bid_that_is_repriced_through_the_ask_trades(three_sided):
    assert trades(three_sided.buy(10, "20@81200", client_order_id="b")) == []
    events = three_sided.amend(10, "b", limit_price_ticks=81602)
    assert trades(events) == ["20@81599 #2"]
    assert only(events, OrderAmended).previous_order_id == 10


@pytest.fixture
def three_asks() -> Market:
    market = Market()
    for participant, price in enumerate((1250, 1251, 1252)):
        market.sell(participant, f"100@{price}")
    return market


def test_the_rest_of_an_immediate_or_cancel_order_is_cancelled(three_asks):
    events = three_asks.buy(3, "300@1250", "IOC")
    assert trades(events) == ["100@1250 #1"]
    cancelled = only(events, OrderCancelled)
    assert (cancelled.remaining_w, cancelled.reason) == (200, CancelReason.IMMEDIATE_OR_CANCEL)
    assert three_asks.resting() == ["#2 sell 100@1251", "#3 sell 100@1252"]


def test_a_fill_or_kill_order_trades_all_or_nothing(three_asks):
    before = three_asks.resting()
    events = three_asks.buy(3, "300@1250", "FOK")
    assert trades(events) == []
    assert only(events, OrderCancelled).reason is CancelReason.FILL_OR_KILL
    assert three_asks.resting() == before
    filled = three_asks.buy(3, "300@1252", "FOK")
    assert trades(filled) == ["100@1250 #1", "100@1251 #2", "100@1252 #3"]


@pytest.mark.parametrize(
    ("amendments", "first"),
    [
        ([{"limit_price_ticks": 6}, {"limit_price_ticks": 5}], "b"),
        ([{"quantity_w": 60}], "a"),
        ([{"quantity_w": 140}], "b"),
    ],
    ids=["repriced away and back", "quantity lowered", "quantity raised"],
)
def test_time_priority_survives_a_lower_quantity_only(amendments, first):
    market = Market()
    market.sell(0, "100@5", client_order_id="a")
    market.sell(1, "100@5", client_order_id="b")
    for amendment in amendments:
        market.amend(0, "a", **amendment)
    (sale,) = (f for f in only(market.buy(2, "10@5"), Traded).fills if f.side is Side.SELL)
    assert sale.client_order_id == first


def test_a_partly_filled_order_that_is_repriced_trades_its_rest_only():
    market = Market()
    market.sell(0, "10@50", client_order_id="a")
    market.buy(1, "4@50")
    market.buy(2, "20@40")
    assert trades(market.amend(0, "a", limit_price_ticks=40)) == ["6@40 #3"]
    assert market.resting() == ["#3 buy 14@40"]


def test_a_bid_of_one_and_a_half_asks_takes_the_first_and_half_the_second():
    market = Market()
    market.sell(0, "10@5")
    market.sell(1, "10@5")
    assert trades(market.buy(2, "15@5")) == ["10@5 #1", "5@5 #2"]
    assert market.resting() == ["#2 sell 5@5"]


def test_an_order_that_meets_one_of_its_own_is_cancelled():
    market = Market(owners=[0, 1, 0, *range(3, 12)])
    market.sell(1, "5@100")
    market.sell(0, "10@200")
    events = market.buy(0, "20@200", point=2)
    assert trades(events) == ["5@100 #1"]
    cancelled = only(events, OrderCancelled)
    assert (cancelled.remaining_w, cancelled.reason) == (15, CancelReason.SELF_TRADE)
    assert market.resting() == ["#2 sell 10@200"]
