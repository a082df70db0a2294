"""Order types one by one: the exchange and the naive market must tell the same story.

Stories are in the words of :mod:`naive_market`.  Everybody owns one connection point, and the
network never binds.
"""

from __future__ import annotations

from typing import Any

import pytest
from market import Market
from naive_market import NaiveMarket, told


class FastMarket:
    """The exchange, driven like the naive market."""

    def __init__(self) -> None:
        self.market = Market()

    def submit(self, owner, side, quantity, price, time_in_force="GTC", *, name, **conditions):
        return told(
            self.market.submit(
                owner, side, quantity, price, time_in_force, client_order_id=name, **conditions
            )
        )

    def amend(self, name, total, price):
        return told(self.market.amend(self._owner(name), name, total, price))

    def cancel(self, name):
        return told(self.market.cancel(self._owner(name), name))

    def resting(self):
        orders = self.market.exchange.state.orders.values()
        return sorted((o.order_id, o.limit_price_ticks, o.remaining_w) for o in orders)

    def _owner(self, name: str) -> int:
        return int(name.split("/")[0])


class Trader:
    """Short ways to trade: ``buy(3, "10@5")`` is owner 3 buying 10 W at 5 ticks."""

    def __init__(self, market: Any) -> None:
        self.market = market
        self.count = 0

    def buy(self, owner, at, time_in_force="GTC", **more):
        return self._submit(owner, "buy", at, time_in_force, **more)

    def sell(self, owner, at, time_in_force="GTC", **more):
        return self._submit(owner, "sell", at, time_in_force, **more)

    def amend(self, number, total=None, price=None):
        return self.market.amend(self.names[number], total, price)

    def cancel(self, number):
        return self.market.cancel(self.names[number])

    def resting(self):
        return self.market.resting()

    names: dict[int, str]

    def _submit(self, owner, side, at, time_in_force, **more):
        self.count += 1
        quantity, price = at.split("@")
        name = f"{owner}/{self.count}"
        story = self.market.submit(
            owner,
            side,
            int(quantity),
            None if price == "market" else int(price),
            time_in_force,
            name=name,
            **more,
        )
        if story[0][0] == "accepted":
            self.__dict__.setdefault("names", {})[story[0][1]] = name
        return story


@pytest.fixture(params=[NaiveMarket, FastMarket], ids=["naive", "fast"])
def market(request) -> Trader:
    return Trader(request.param())


@pytest.fixture
def three_asks(market) -> Trader:
    for owner, price in enumerate((1250, 1251, 1252)):
        market.sell(owner, f"100@{price}")
    return market


def test_a_market_order_takes_what_rests_at_any_price_and_its_rest_is_cancelled(three_asks):
    assert three_asks.buy(3, "350@market", "IOC") == [
        ("accepted", 4),
        ("traded", 100, 1250, 4, 1),
        ("traded", 100, 1251, 4, 2),
        ("traded", 100, 1252, 4, 3),
        ("cancelled", 4, 50, "immediate_or_cancel"),
    ]
    assert three_asks.resting() == []


def test_a_market_order_may_be_fill_or_kill(three_asks):
    assert three_asks.buy(3, "301@market", "FOK") == [
        ("accepted", 4),
        ("cancelled", 4, 301, "fill_or_kill"),
    ]
    assert three_asks.buy(3, "101@market", "FOK") == [
        ("accepted", 5),
        ("traded", 100, 1250, 5, 1),
        ("traded", 1, 1251, 5, 2),
    ]


def test_a_market_order_into_an_empty_book_is_cancelled(market):
    market.sell(0, "10@5")
    assert market.sell(1, "10@market", "IOC") == [
        ("accepted", 2),
        ("cancelled", 2, 10, "immediate_or_cancel"),
    ]


@pytest.mark.parametrize("price", [1250, 1251])
def test_a_post_only_bid_at_or_through_the_best_ask_would_cross(three_asks, price):
    assert three_asks.buy(3, f"10@{price}", post_only=True) == [("refused", "would_cross")]
    assert len(three_asks.resting()) == 3


def test_a_post_only_bid_below_the_best_ask_waits_and_stays_below(three_asks):
    assert three_asks.buy(3, "10@1249", post_only=True) == [("accepted", 4)]
    assert three_asks.amend(4, price=1250) == [("refused", "would_cross")]
    assert three_asks.sell(5, "4@1249") == [("accepted", 5), ("traded", 4, 1249, 4, 5)]


@pytest.fixture
def own_ask(market) -> Trader:
    """Another's ask of 5 at 100, and one's own of 10 at 200, then another's of 10 at 200."""
    market.sell(1, "5@100")
    market.sell(0, "10@200")
    market.sell(2, "10@200")
    return market


def test_of_two_orders_of_ones_own_the_newest_is_cancelled_unless_said_otherwise(own_ask):
    assert own_ask.buy(0, "20@200") == [
        ("accepted", 4),
        ("traded", 5, 100, 4, 1),
        ("cancelled", 4, 15, "self_trade"),
    ]
    assert own_ask.resting() == [(2, 200, 10), (3, 200, 10)]


def test_with_cancel_oldest_the_new_order_goes_on(own_ask):
    assert own_ask.buy(0, "20@200", self_trade_prevention="cancel_oldest") == [
        ("accepted", 4),
        ("traded", 5, 100, 4, 1),
        ("traded", 10, 200, 4, 3),
        ("cancelled", 2, 10, "self_trade"),
    ]
    assert own_ask.resting() == [(4, 200, 5)]


def test_with_cancel_both_none_of_them_stays(own_ask):
    assert own_ask.buy(0, "20@200", self_trade_prevention="cancel_both") == [
        ("accepted", 4),
        ("traded", 5, 100, 4, 1),
        ("cancelled", 2, 10, "self_trade"),
        ("cancelled", 4, 15, "self_trade"),
    ]
    assert own_ask.resting() == [(3, 200, 10)]


def test_the_mode_of_the_newer_order_counts(market):
    market.sell(0, "10@200", self_trade_prevention="cancel_both")
    assert market.buy(0, "10@200") == [("accepted", 2), ("cancelled", 2, 10, "self_trade")]


def test_an_unfilled_fill_or_kill_order_cancels_no_order_it_met(own_ask):
    assert own_ask.buy(0, "20@200", "FOK", self_trade_prevention="cancel_oldest") == [
        ("accepted", 4),
        ("cancelled", 4, 20, "fill_or_kill"),
    ]
    assert own_ask.buy(0, "15@200", "FOK", self_trade_prevention="cancel_oldest") == [
        ("accepted", 5),
        ("traded", 5, 100, 5, 1),
        ("traded", 10, 200, 5, 3),
        ("cancelled", 2, 10, "self_trade"),
    ]


def test_amending_keeps_time_priority_only_where_nothing_but_the_quantity_falls(market):
    market.sell(0, "100@5")
    market.sell(1, "100@5")
    assert market.amend(1, total=60) == [("amended", 1, 1, 60)]
    assert market.amend(2, total=140) == [("amended", 2, 3, 140)]
    assert market.buy(2, "70@5") == [
        ("accepted", 4),
        ("traded", 60, 5, 4, 1),
        ("traded", 10, 5, 4, 3),
    ]


def test_a_repriced_order_trades_what_is_left_of_it(market):
    market.sell(0, "10@50")
    market.buy(1, "4@50")
    market.buy(2, "20@40")
    assert market.amend(1, price=40) == [("amended", 1, 4, 6), ("traded", 6, 40, 3, 4)]
    assert market.resting() == [(3, 40, 14)]
