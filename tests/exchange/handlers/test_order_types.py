"""Order types one by one, in pairs; the naive market must report the same of each.

Each participant owns one connection point, and the network never binds.  A story has

    ("accepted", order), ("refused", reason), ("traded", watts, price, buy order, sell order),
    ("amended", order before, order, watts left), ("refilled", order before, order, watts shown),
    ("cancelled", order, watts left, reason)

where the price of a pair is that of the one who did not set the clearing off.
"""

from __future__ import annotations

import pytest
from both_markets import Both
from naive_market import story_of

from exchange.handlers.fills import pairs_of
from exchange.vocabulary.events import Event, Traded


def in_pairs(events: list[Event]) -> list[tuple]:
    """Return a story whose trades are between two orders each."""
    found: list[tuple] = []
    for event in events:
        if isinstance(event, Traded):
            taker = {f.client_order_id for f in event.fills if f.order_id == event.taker_order_id}
            for buy, sell, quantity_w in pairs_of(event.fills):
                maker = sell if buy.client_order_id in taker else buy
                price = abs(maker.amount) / maker.quantity_w
                found.append(("traded", quantity_w, price, buy.order_id, sell.order_id))
        else:
            found += story_of([event])
    return found


class Trader:
    """Short ways to trade: ``buy(3, "10@5")`` is owner 3 buying 10 W at 5 ticks."""

    def __init__(self) -> None:
        self.market = Both()
        self.count = 0
        self.names: dict[int, str] = {}

    def buy(self, owner, at, time_in_force="GTC", **more):
        return self._submit(owner, "buy", at, time_in_force, **more)

    def sell(self, owner, at, time_in_force="GTC", **more):
        return self._submit(owner, "sell", at, time_in_force, **more)

    def block(self, owner, side, at, books, **more):
        quantity, price = (int(part) for part in at.split("@"))
        return self.joint(owner, [(book, side, quantity, price) for book in books], **more)

    def joint(self, owner, legs, all_or_none=True, **more):
        self.count += 1
        name = f"{owner}/{self.count}"
        story = in_pairs(
            self.market.submit_joint(owner, legs, name=name, all_or_none=all_or_none, **more)
        )
        self.names[story[0][1]] = name
        return story

    def amend(self, number, total=None, price=None):
        return in_pairs(self.market.amend(self.names[number], total, price))

    def cancel(self, number):
        return in_pairs(self.market.cancel(self.names[number]))

    def resting(self):
        return self.market.resting()

    def _submit(self, owner, side, at, time_in_force, **more):
        self.count += 1
        quantity, price = at.split("@")
        name = f"{owner}/{self.count}"
        story = in_pairs(
            self.market.submit(
                owner,
                side,
                int(quantity),
                None if price == "market" else int(price),
                time_in_force,
                name=name,
                **more,
            )
        )
        if story[0][0] == "accepted":
            self.names[story[0][1]] = name
        return story


@pytest.fixture
def market() -> Trader:
    return Trader()


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
    assert own_ask.resting() == [(2, 200, 10, 10), (3, 200, 10, 10)]


def test_with_cancel_oldest_the_new_order_goes_on(own_ask):
    assert own_ask.buy(0, "20@200", self_trade_prevention="cancel_oldest") == [
        ("accepted", 4),
        ("traded", 5, 100, 4, 1),
        ("cancelled", 2, 10, "self_trade"),
        ("traded", 10, 200, 4, 3),
    ]
    assert own_ask.resting() == [(4, 200, 5, 5)]


def test_with_cancel_both_none_of_them_stays(own_ask):
    assert own_ask.buy(0, "20@200", self_trade_prevention="cancel_both") == [
        ("accepted", 4),
        ("traded", 5, 100, 4, 1),
        ("cancelled", 2, 10, "self_trade"),
        ("cancelled", 4, 15, "self_trade"),
    ]
    assert own_ask.resting() == [(3, 200, 10, 10)]


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
    assert market.resting() == [(3, 40, 14, 14)]


def test_an_all_or_none_order_waits_until_all_of_it_is_there(market):
    market.sell(0, "6@5")
    assert market.buy(1, "10@5", all_or_none=True) == [("accepted", 2)]
    assert market.sell(2, "4@5") == [
        ("accepted", 3),
        ("traded", 6, 5, 2, 1),
        ("traded", 4, 5, 2, 3),
    ]


def test_an_all_or_none_order_is_passed_over_by_who_cannot_take_all_of_it(market):
    market.sell(0, "10@5", all_or_none=True)
    market.sell(1, "10@6")
    assert market.buy(2, "8@6") == [("accepted", 3), ("traded", 8, 6, 3, 2)]
    assert market.buy(3, "11@6") == [
        ("accepted", 4),
        ("traded", 10, 5, 4, 1),
        ("traded", 1, 6, 4, 2),
    ]


def test_the_rest_of_an_immediate_order_may_be_what_an_all_or_none_order_lacks(market):
    market.sell(0, "6@5")
    market.buy(1, "10@5", all_or_none=True)
    assert market.sell(2, "5@4", "IOC") == [
        ("accepted", 3),
        ("traded", 5, 5, 2, 3),
        ("traded", 5, 5, 2, 1),
    ]
    assert market.resting() == [(1, 5, 1, 1)]


def test_an_all_or_none_order_that_is_made_smaller_may_trade_at_once(market):
    market.sell(0, "6@5")
    market.buy(1, "10@5", all_or_none=True)
    assert market.amend(2, total=6) == [("amended", 2, 2, 6), ("traded", 6, 5, 2, 1)]


def test_a_minimum_quantity_is_met_by_several_makers_together_or_not_at_all(market):
    market.sell(0, "3@5")
    market.sell(1, "4@5")
    assert market.buy(2, "20@5", minimum_w=8) == [("accepted", 3)]
    assert market.sell(3, "1@5") == [
        ("accepted", 4),
        ("traded", 3, 5, 3, 1),
        ("traded", 4, 5, 3, 2),
        ("traded", 1, 5, 3, 4),
    ]
    assert market.sell(3, "7@5") == [("accepted", 5)]
    assert market.resting() == [(3, 5, 12, 12), (5, 5, 7, 7)]


def test_less_than_the_minimum_trades_once_no_more_is_left(market):
    market.buy(0, "10@5", minimum_w=8)
    market.sell(1, "9@5")
    assert market.sell(2, "1@5") == [("accepted", 3), ("traded", 1, 5, 1, 3)]


def test_once_any_part_may_trade_an_order_with_a_minimum_has_its_place_by_time(market):
    market.buy(0, "10@5", minimum_w=8)
    market.buy(0, "3@5")
    assert market.sell(1, "9@5") == [("accepted", 3), ("traded", 9, 5, 1, 3)]
    assert market.sell(1, "2@5") == [
        ("accepted", 4),
        ("traded", 1, 5, 1, 4),
        ("traded", 1, 5, 2, 4),
    ]


def test_an_immediate_order_with_a_minimum_trades_that_much_or_nothing(market):
    market.sell(0, "7@5")
    assert market.buy(1, "10@5", "IOC", minimum_w=8) == [
        ("accepted", 2),
        ("cancelled", 2, 10, "immediate_or_cancel"),
    ]
    assert market.buy(1, "10@5", "IOC", minimum_w=7) == [
        ("accepted", 3),
        ("traded", 7, 5, 3, 1),
        ("cancelled", 3, 3, "immediate_or_cancel"),
    ]


def test_an_iceberg_shows_part_after_part_and_goes_behind_the_others_each_time(market):
    market.sell(0, "25@5", displayed_w=10)
    market.sell(1, "10@5")
    assert market.resting() == [(1, 5, 25, 10), (2, 5, 10, 10)]
    assert market.buy(2, "24@5") == [
        ("accepted", 3),
        ("traded", 14, 5, 3, 1),
        ("traded", 10, 5, 3, 2),
        ("refilled", 1, 4, 10),
    ]
    assert market.resting() == [(4, 5, 11, 10)]
    assert market.amend(1, total=22) == [("amended", 4, 4, 8)]
    assert market.resting() == [(4, 5, 8, 8)]


def test_an_incoming_iceberg_takes_with_all_it_has_and_shows_a_part_of_the_rest(market):
    market.sell(0, "15@5")
    assert market.buy(1, "40@5", displayed_w=10) == [("accepted", 2), ("traded", 15, 5, 2, 1)]
    assert market.resting() == [(2, 5, 25, 10)]


def test_a_fill_or_kill_order_counts_what_icebergs_hide(market):
    market.sell(0, "25@5", displayed_w=10)
    assert market.buy(1, "25@5", "FOK") == [
        ("accepted", 2),
        ("traded", 25, 5, 2, 1),
    ]


NOON, LATER = (0, "injection"), (1, "injection")


def test_a_block_trades_the_same_in_each_interval(market):
    market.sell(0, "10@5", book=NOON)
    market.sell(1, "6@4", book=LATER)
    assert market.block(2, "buy", "8@5", [NOON, LATER], all_or_none=False) == [
        ("accepted", 3),
        ("traded", 6, 5, 3, 1),
        ("traded", 6, 4, 4, 2),
    ]
    assert market.resting() == [(1, 5, 4, 4), (3, 5, 2, 2), (4, 5, 2, 2)]
    assert market.sell(1, "1@5", book=LATER) == [
        ("accepted", 5),
        ("traded", 1, 5, 3, 1),
        ("traded", 1, 5, 4, 5),
    ]


def test_an_all_or_none_block_waits_until_each_interval_has_all_of_it(market):
    market.sell(0, "10@5", book=NOON)
    market.sell(1, "6@4", book=LATER)
    assert market.block(2, "buy", "8@5", [NOON, LATER], all_or_none=True) == [("accepted", 3)]
    assert market.sell(1, "2@5", book=LATER) == [
        ("accepted", 5),
        ("traded", 8, 5, 3, 1),
        ("traded", 6, 5, 4, 2),
        ("traded", 2, 5, 4, 5),
    ]
    assert market.resting() == [(1, 5, 2, 2)]


def test_a_block_meets_a_block(market):
    market.block(0, "sell", "10@5", [NOON, LATER], all_or_none=True)
    assert market.block(1, "buy", "10@6", [LATER, NOON], all_or_none=True) == [
        ("accepted", 3),
        ("traded", 10, 5, 4, 1),
        ("traded", 10, 5, 3, 2),
    ]
    assert market.resting() == []


def test_a_block_is_not_torn_by_one_that_needs_less(market):
    market.block(0, "sell", "10@5", [NOON, LATER], all_or_none=True)
    market.sell(1, "4@6", book=LATER)
    market.sell(1, "4@6", book=NOON)
    assert market.block(2, "buy", "4@6", [NOON, LATER], all_or_none=True) == [
        ("accepted", 5),
        ("traded", 4, 6, 6, 3),
        ("traded", 4, 6, 5, 4),
    ]
    assert [number for number, *_ in market.resting()] == [1, 2]


def test_no_order_trades_with_a_single_leg(market):
    market.block(0, "sell", "10@5", [NOON, LATER], all_or_none=False)
    assert market.buy(1, "10@9", "IOC", book=NOON) == [
        ("accepted", 3),
        ("cancelled", 3, 10, "immediate_or_cancel"),
    ]
    assert market.buy(1, "3@9", book=NOON) == [("accepted", 4)]
    assert market.buy(2, "10@9", "IOC", book=LATER) == [
        ("accepted", 5),
        ("traded", 3, 9, 4, 1),
        ("traded", 3, 5, 5, 2),
        ("cancelled", 5, 7, "immediate_or_cancel"),
    ]


def test_one_of_a_linked_pair_trades_only_with_the_other(market):
    market.buy(0, "5@9", book=(0, "injection"))
    pair = [((0, "injection"), "sell", 5, 8), ((0, "withdrawal"), "buy", 7, 3)]
    assert market.joint(1, pair) == [("accepted", 2)]
    assert market.sell(2, "6@3", book=(0, "withdrawal")) == [("accepted", 4)]
    assert market.sell(3, "1@2", book=(0, "withdrawal")) == [
        ("accepted", 5),
        ("traded", 5, 9, 1, 2),
        ("traded", 1, 3, 3, 5),
        ("traded", 6, 3, 3, 4),
    ]


def test_a_joint_order_is_cancelled_and_expires_as_a_whole_and_is_not_amended(market):
    market.block(0, "sell", "10@5", [NOON, LATER], all_or_none=True)
    assert market.amend(1, total=5) == [("refused", "conditions_invalid")]
    assert market.cancel(1) == [("cancelled", 1, 10, "requested")]
    assert market.resting() == []
    market.block(0, "sell", "10@5", [NOON, LATER], all_or_none=True, expires_in=2)
    market.buy(1, "1@1")
    assert market.buy(1, "1@2") == [("cancelled", 3, 10, "expired"), ("accepted", 6)]


def test_a_joint_order_that_meets_its_own_is_cancelled_as_a_whole(market):
    market.sell(0, "10@5", book=NOON)
    market.sell(1, "10@5", book=LATER)
    assert market.block(0, "buy", "10@5", [LATER, NOON], all_or_none=True) == [
        ("accepted", 3),
        ("cancelled", 3, 10, "self_trade"),
    ]
    assert market.block(
        *(0, "buy", "10@5", [LATER, NOON]),
        all_or_none=True,
        self_trade_prevention="cancel_oldest",
    ) == [("accepted", 5), ("cancelled", 1, 10, "self_trade")]


def test_a_joint_order_does_not_make_a_post_only_order_cross(market):
    market.block(0, "sell", "10@5", [NOON, LATER], all_or_none=True)
    assert market.buy(1, "10@6", post_only=True) == [("accepted", 3)]
