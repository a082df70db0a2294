"""Local prices prove that nothing is left to trade, and say which element makes them differ.

The proof is the dual one: what the rows and the orders are worth at these prices is no more than
what scipy, from nothing, finds is left to gain in fractions of lots.  Where that is nothing, no
order is better than its local price, and an element with a part in a price has no headroom.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from clearing_oracle import Oracle
from hypothesis import example, given, settings
from hypothesis import strategies as st
from market import GATE, QUARTER, START, Market, interface
from market_days import LOT_W, ONE_TO_ONE, SEEDS, Day, weighted
from presence import there
from trade_checks import program_of

from exchange.clearing.problem import NetworkRows
from exchange.engine import Exchange
from exchange.market.local_prices import PointPrice
from exchange.vocabulary.commands import (
    AdvanceTime,
    CancelOrder,
    HaltTrading,
    OpenSession,
    ResumeTrading,
    SubmitJoint,
)
from exchange.vocabulary.events import (
    Event,
    OrderAmended,
    OrderCancelled,
    Refused,
    Traded,
    TradingResumed,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.rules import ExchangeRate, MarketRules
from orderbook.order import Side
from security_check.model.envelope import Direction

INJECTION, WITHDRAWAL = Direction
HALF_A_TICK_LOT = 0.5 * LOT_W
LEFT = OrderCancelled | OrderAmended
# A clearing is followed by a program of what it leaves, under the rows as they are then.
SOLVED = Traded | TradingResumed
NOISE = 1e-3  # parts below a millionth of a tick are left out
RULES = pytest.mark.parametrize("rules", [ONE_TO_ONE, weighted(0), weighted(8)], ids=str)


def by_limit(prices: tuple[PointPrice, ...] | None) -> dict[tuple[str, Direction], PointPrice]:
    return {(price.connection_point, price.direction): price for price in there(prices)}


def ticks(market: Market) -> set[float]:
    """Return the prices of the first interval, which has some."""
    return {price.price_ticks for price in there(market.exchange.local_prices(START))}


def row_prices(day: Day, prices: dict[tuple[str, Direction], PointPrice]) -> np.ndarray:
    """Return eta of each row from the parts of one price, after comparing it with all others."""
    rows = day.market.grid.latest.linear_rows()
    limits = [(point, d) for d in Direction for point in day.market.grid.connection_points]
    eta = np.zeros(len(rows.headroom))
    for k in range(len(eta)):
        name = rows.element(k)
        columns = [c for c in np.flatnonzero(rows.A[k]) if limits[c] in prices]
        found = [
            sum(part.price_ticks for part in prices[limits[c]].parts if part.element == name)
            / rows.A[k, c]
            for c in columns
        ]
        if found:
            assert found == pytest.approx([found[0]] * len(found), abs=1e-5)
            eta[k] = found[0]
    return eta


def worth(day: Day, prices: dict[tuple[str, Direction], PointPrice]) -> float:
    """Return what rows and orders are worth at local prices: no set of trades gains more."""
    eta = row_prices(day, prices)
    of_rows = eta @ np.maximum(day.market.grid.latest.linear_rows().headroom, 0.0)
    of_orders = sum(
        order.remaining_w
        * max(
            (1 if order.side is Side.BUY else -1)
            * (
                order.limit_price_ticks
                - prices[order.connection_point, order.direction].price_ticks
            ),
            0.0,
        )
        for order in day.orders
    )
    return float(of_rows + of_orders)


class PriceDay(Day):
    """A random day without conditional orders, whose local prices are checked after each step.

    A program that has just been solved proves all that can be proved.  Its prices stand while
    nothing may trade, whatever leaves the book: what an order that has left could have traded in
    fractions still counts in them.  They prove less then, if no less than before, until the next
    program; orders worse than their local price and refusals need none.
    """

    def __init__(self, seed: int, rules: MarketRules):
        super().__init__(seed, rules, conditional=False, check=False)
        self.known = float("inf")
        self.after_leaving = False

    def go(self, events: int) -> PriceDay:
        for _ in range(events):
            seen = len(self.market.events)
            self.step()
            self.check_prices(self.market.events[seen:])
        return self

    def check_prices(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SOLVED):
                self.after_leaving = False
            elif isinstance(event, LEFT):
                self.after_leaving = True
        found = self.market.exchange.local_prices(START)
        if found is None:
            self.known = float("inf")
            return
        self.check_parts(found)
        worth_now, left = worth(self, by_limit(found)), self.left_to_gain()
        assert worth_now >= left - NOISE
        if worth_now > left + HALF_A_TICK_LOT + NOISE:
            assert self.after_leaving
            if all(isinstance(event, LEFT | Refused) for event in events):
                assert worth_now <= self.known + NOISE
            self.seen["after an order left"] += 1
        else:
            self.after_leaving = False
        self.known = worth_now
        self.seen["with parts" if any(price.parts for price in found) else "without"] += 1

    def check_parts(self, found: tuple[PointPrice, ...]) -> None:
        rules, points = self.market.rules, self.market.grid.connection_points
        quoted = {order.direction for order in self.orders}
        assert [(p.direction, p.connection_point) for p in found] == [
            (direction, point) for direction in Direction if direction in quoted for point in points
        ]
        for price in found:
            parts = [part.price_ticks for part in price.parts]
            assert all(part > 0 for part in parts)
            assert parts == sorted(parts, reverse=True)
            assert price.price_ticks == sum(parts, price.balance_ticks)
            assert len({part.element for part in price.parts}) == len(parts)
            if rules.exchange_rate is ExchangeRate.NETWORK_WEIGHTED:
                assert price.balance_ticks == rules.reserve_price_ticks
        for direction in quoted:
            assert len({p.balance_ticks for p in found if p.direction is direction}) == 1

    def left_to_gain(self) -> float:
        """Return what scipy, from nothing, can still gain in fractions of lots."""
        if not self.orders:
            return 0.0
        rules, rows = self.market.rules, self.market.grid.latest.linear_rows()
        room = NetworkRows.of_one(rows.A, np.maximum(rows.headroom, 0.0), 1.0)
        balanced = rules.exchange_rate is ExchangeRate.ONE_TO_ONE
        program = program_of(self.orders, self.market.grid.connection_points)
        reserve = None if balanced else rules.reserve_price_ticks
        return Oracle(program, room, LOT_W, reserve).linear()[1]


# Orders left whose part in a price stood on after what came next: a refusal, an order that rests.
@example(seed=87, events=40)
@example(seed=91, events=40)
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, events=st.just(18))
@RULES
def test_rows_and_orders_are_worth_what_is_left_to_gain(rules, seed, events):
    PriceDay(seed, rules).go(events)


@RULES
def test_rows_bind_on_such_days(rules):
    seen = sum((PriceDay(seed, rules).go(50).seen for seed in range(2, 5)), Counter())
    assert seen["with parts"] > 10
    assert seen["after an order left"] < (seen["with parts"] + seen["without"]) / 10


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_asking_changes_nothing(seed):
    days = [Day(seed, ONE_TO_ONE, conditional=False, check=False) for _ in range(2)]
    for _ in range(20):
        for day in days:
            day.step()
        days[0].market.exchange.local_prices(START)
    assert days[0].market.events == days[1].market.events
    first, second = (day.market.exchange.local_prices(START) for day in days)
    assert first == second


def test_a_full_line_makes_the_price_behind_it_higher():
    # Each point gets 100 W; load:0 alone is behind line:0, which is full then.
    market = Market(points=3, capacity_w=400, rows=[([1, 0, 0, 0, 0, 0], 100, 100)],
                    limits=interface(300, 300))  # fmt: skip
    market.sell(1, "50@3")
    market.buy(0, "50@10")
    prices = by_limit(market.exchange.local_prices(START))
    behind, before = prices["load:0", INJECTION], prices["load:1", INJECTION]
    assert before.parts == ()
    assert before.price_ticks == behind.balance_ticks <= 3
    assert [part.element for part in behind.parts] == ["line:0"]
    assert behind.price_ticks >= 10
    assert behind.price_ticks - before.price_ticks == pytest.approx(behind.parts[0].price_ticks)
    assert not any(direction is WITHDRAWAL for _, direction in prices)


def test_without_a_binding_element_all_pay_the_middle_of_the_quotes():
    market = Market(points=2)
    market.buy(0, "10@4")
    assert ticks(market) == {4.0}
    market.sell(1, "10@9")
    assert ticks(market) == {6.5}
    market.sell(1, "10@5", direction=WITHDRAWAL)
    prices = by_limit(market.exchange.local_prices(START))
    assert {key[1]: price.price_ticks for key, price in prices.items()} == {
        INJECTION: 6.5,
        WITHDRAWAL: 5.0,
    }
    market.cancel(0, "a1")
    prices = by_limit(market.exchange.local_prices(START))
    assert prices["load:0", INJECTION].price_ticks == 9.0


def test_where_nothing_is_in_the_book_there_is_no_price():
    market = Market(points=2)
    assert market.exchange.local_prices(START) is None
    assert market.exchange.local_prices(START + QUARTER) is None
    market.buy(0, "10@4")
    market.buy(1, "10@4", all_or_none=True)
    market.cancel(0, "a1")
    assert market.exchange.local_prices(START) == ()  # A condition is no public quote.


def test_prices_come_back_with_the_next_program_after_a_halt_a_restart_and_never_after_the_gate():
    market = Market(points=2)
    market.buy(0, "10@4")
    before = market.exchange.local_prices(START)
    market.do(HaltTrading("h1"))
    assert market.exchange.local_prices(START) is None
    market.do(ResumeTrading("r1"))
    assert market.exchange.local_prices(START) == before
    exchange = market.exchange
    market.exchange = Exchange.restore(exchange.snapshot(), market.grid, market.rules, market.terms)
    assert market.exchange.local_prices(START) is None
    market.sell(1, "10@9")
    exchange.replay([])
    assert ticks(market) == {6.5}
    market.do(AdvanceTime(), after=GATE - market.now)
    assert market.exchange.local_prices(START) is None


def test_intervals_that_a_block_joins_have_their_own_prices():
    later = START + QUARTER
    market = Market(points=3, capacity_w=400, rows=[([1, 0, 0, 0, 0, 0], 100, 100)],
                    limits=interface(300, 300), rules=MarketRules())  # fmt: skip
    market.do(OpenSession(later, later + QUARTER, GATE, interface(300, 300)))
    legs = tuple(Leg("load:2", INJECTION, start, Side.SELL, 10, 15) for start in (START, later))
    market.do(SubmitJoint("p2", "j", legs, False))
    market.buy(1, "10@5")
    market.sell(1, "50@3", interval=later)
    market.buy(0, "50@10", interval=later)
    first = by_limit(market.exchange.local_prices(START))
    second = by_limit(market.exchange.local_prices(later))
    assert {price.price_ticks for price in first.values()} == {5.0}
    assert [part.element for part in second["load:0", INJECTION].parts] == ["line:0"]
    assert second["load:1", INJECTION].parts == ()
    assert not any(price.parts for price in first.values())
    market.do(CancelOrder("p2", "r1", "j"))
    # A joint order is in no interval's program, so its leaving changes no price.
    assert by_limit(market.exchange.local_prices(START)) == first
    market.buy(0, "10@4")
    assert ticks(market) == {5.0}
