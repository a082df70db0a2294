"""One set of tests for both books, and a random walk on which they must agree."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from naive_book import NaiveBook

import orderbook.book
from orderbook.book import DepthLevel, OrderBook
from orderbook.order import LimitOrder, Side

Book = OrderBook[LimitOrder] | NaiveBook[LimitOrder]


def order(number: int, side: str, at: str) -> LimitOrder:
    quantity, price = at.split("@")
    return LimitOrder(number, Side(side), int(price), int(quantity))


class BookContract:
    """What every order book does."""

    @pytest.fixture
    def book(self) -> Book:
        raise NotImplementedError

    @pytest.fixture
    def filled(self, book: Book) -> Book:
        for number, (side, at) in enumerate(
            [
                ("sell", "10@52"),
                ("sell", "20@51"),
                ("sell", "30@51"),
                ("buy", "40@49"),
                ("buy", "50@50"),
                ("buy", "60@49"),
            ],
            start=1,
        ):
            book.add(order(number, side, at))
        return book

    def test_an_empty_book_has_nothing_to_offer(self, book):
        assert len(book) == 0
        assert book.best(Side.BUY) is None
        assert book.best_price_ticks(Side.SELL) is None
        assert book.worst_price_ticks(Side.SELL) is None
        assert list(book.orders(Side.SELL)) == []
        assert book.depth(Side.BUY) == []

    def test_the_best_price_comes_first_and_the_older_order_before_the_newer(self, filled):
        assert [o.order_id for o in filled.orders(Side.SELL)] == [2, 3, 1]
        assert [o.order_id for o in filled.orders(Side.BUY)] == [5, 4, 6]
        assert filled.best(Side.SELL).order_id == 2
        assert filled.best_price_ticks(Side.BUY) == 50
        assert filled.worst_price_ticks(Side.BUY) == 49
        assert filled.worst_price_ticks(Side.SELL) == 52

    def test_a_walk_stops_where_the_other_side_would_not_trade(self, filled):
        assert [o.order_id for o in filled.orders(Side.SELL, 51)] == [2, 3]
        assert [o.order_id for o in filled.orders(Side.BUY, 50)] == [5]
        assert list(filled.orders(Side.SELL, 50)) == []

    def test_what_crosses_is_counted_up_to_what_is_wanted(self, filled):
        assert filled.crossing_w(Side.BUY, 51, 1000) == 50
        assert filled.crossing_w(Side.BUY, 52, 55) == 55
        assert filled.crossing_w(Side.SELL, 51, 55) == 0

    def test_depth_adds_up_each_price(self, filled):
        assert filled.depth(Side.SELL) == [DepthLevel(51, 50, 2), DepthLevel(52, 10, 1)]
        assert filled.depth(Side.BUY, levels=1) == [DepthLevel(50, 50, 1)]

    def test_levels_are_walked_from_a_price_on(self, filled):
        assert list(filled.levels(Side.SELL)) == filled.depth(Side.SELL)
        assert list(filled.levels(Side.SELL, 52)) == [DepthLevel(52, 10, 1)]
        assert [level.limit_price_ticks for level in filled.levels(Side.BUY, 51)] == [50, 49]
        assert [level.limit_price_ticks for level in filled.levels(Side.BUY, 49)] == [49]
        assert list(filled.levels(Side.BUY, 48)) == []

    def test_a_cancelled_order_is_gone_and_an_empty_level_with_it(self, filled):
        assert filled.cancel(5).remaining_w == 50
        assert 5 not in filled
        assert filled.depth(Side.BUY) == [DepthLevel(49, 100, 2)]
        with pytest.raises(KeyError):
            filled.cancel(5)

    def test_a_reduced_order_keeps_its_place_and_leaves_at_zero(self, filled):
        assert filled.reduce(2, 5).remaining_w == 15
        assert filled.best(Side.SELL).order_id == 2
        assert filled.depth(Side.SELL, 1) == [DepthLevel(51, 45, 2)]
        assert filled.reduce(2, 15).remaining_w == 0
        assert filled.best(Side.SELL).order_id == 3
        assert len(filled) == 5

    @pytest.mark.parametrize("by_w", [0, -1, 21])
    def test_an_order_cannot_fall_by_more_than_it_has(self, filled, by_w):
        with pytest.raises(ValueError, match="cannot fall by"):
            filled.reduce(2, by_w)
        assert filled[2].remaining_w == 20

    def test_orders_that_cross_may_rest(self, filled):
        assert filled.best_price_ticks(Side.BUY) < filled.best_price_ticks(Side.SELL)
        filled.add(order(7, "buy", "5@51"))
        assert filled.best_price_ticks(Side.BUY) >= filled.best_price_ticks(Side.SELL)

    def test_negative_prices_are_in_order_too(self, book):
        for number, at in enumerate(["1@-5", "1@0", "1@-7"], start=1):
            book.add(order(number, "sell", at))
        assert [level.limit_price_ticks for level in book.depth(Side.SELL)] == [-7, -5, 0]
        assert book.crossing_w(Side.BUY, -5, 10) == 2

    def test_numbers_must_rise_and_something_must_remain(self, filled):
        for wrong in (order(6, "buy", "1@1"), order(7, "buy", "0@1")):
            with pytest.raises(ValueError, match="order"):
                filled.add(wrong)
        assert len(filled) == 6

    @pytest.fixture
    def iceberg(self, book: Book) -> Book:
        """An iceberg of 25 W that shows 10 W, and 5 W behind it at the same price."""
        book.add(LimitOrder(1, Side.SELL, 50, 25, peak_w=10))
        book.add(order(2, "sell", "5@50"))
        return book

    def test_an_iceberg_shows_a_part_and_all_of_it_can_be_crossed(self, iceberg):
        assert iceberg.depth(Side.SELL) == [DepthLevel(50, 15, 2)]
        assert iceberg.crossing_w(Side.BUY, 50, 100) == 30

    def test_a_filled_iceberg_loses_what_it_shows_and_comes_back_behind_the_others(self, iceberg):
        assert iceberg.fill(1, 4).shown_w == 6
        assert iceberg.depth(Side.SELL) == [DepthLevel(50, 11, 2)]
        spent = iceberg.fill(1, 6)
        assert (spent.shown_w, spent.remaining_w) == (0, 15)
        spent = iceberg.cancel(1)
        spent.order_id = 3
        iceberg.add(spent)
        assert [(o.order_id, o.displayed_w) for o in iceberg.orders(Side.SELL)] == [(2, 5), (3, 10)]
        assert iceberg.depth(Side.SELL) == [DepthLevel(50, 15, 2)]

    def test_a_fill_may_go_beyond_what_an_iceberg_shows(self, iceberg):
        assert iceberg.fill(1, 12).remaining_w == 13
        assert iceberg[1].shown_w == 0
        assert iceberg.crossing_w(Side.BUY, 50, 100) == 18
        iceberg.fill(1, 13)
        assert 1 not in iceberg

    def test_a_reduced_iceberg_loses_what_it_hides_first(self, iceberg):
        assert iceberg.reduce(1, 14).shown_w == 10
        assert iceberg.reduce(1, 3).shown_w == 8
        assert iceberg.depth(Side.SELL) == [DepthLevel(50, 13, 2)]

    @pytest.fixture(autouse=True)
    def _invariants_hold_afterwards(self, book):
        yield
        book.check_invariants()


class TestOrderBook(BookContract):
    @pytest.fixture
    def book(self) -> Book:
        return OrderBook()

    def test_its_example_runs(self):
        assert doctest.testmod(orderbook.book).failed == 0


class TestNaiveBook(BookContract):
    @pytest.fixture
    def book(self) -> Book:
        return NaiveBook()


class BooksAgree(RuleBasedStateMachine):
    """Drives both books with the same random orders and compares all they tell."""

    def __init__(self) -> None:
        super().__init__()
        self.fast: OrderBook[LimitOrder] = OrderBook()
        self.naive: NaiveBook[LimitOrder] = NaiveBook()
        self.numbers: list[int] = []
        self.last = 0

    @rule(
        side=st.sampled_from(Side),
        price=st.integers(-3, 3),
        quantity=st.integers(1, 9),
        skip=st.integers(1, 3),
        peak=st.none() | st.integers(1, 9),
    )
    def add(self, side, price, quantity, skip, peak):
        self.last += skip
        for book in (self.fast, self.naive):
            book.add(LimitOrder(self.last, side, price, quantity, peak_w=peak))
        self.numbers.append(self.last)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def cancel(self, data):
        number = data.draw(st.sampled_from(self.numbers))
        assert self.fast.cancel(number) == self.naive.cancel(number)
        self.numbers.remove(number)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def reduce(self, data):
        number = data.draw(st.sampled_from(self.numbers))
        by_w = data.draw(st.integers(1, self.naive[number].remaining_w))
        assert self.fast.reduce(number, by_w) == self.naive.reduce(number, by_w)
        if number not in self.naive:
            self.numbers.remove(number)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def fill(self, data):
        number = data.draw(st.sampled_from(self.numbers))
        by_w = data.draw(st.integers(1, self.naive[number].remaining_w))
        assert self.fast.fill(number, by_w) == self.naive.fill(number, by_w)
        if number not in self.naive:
            self.numbers.remove(number)
        elif self.naive[number].shown_w == 0:
            self.last += 1
            for book in (self.fast, self.naive):
                spent = book.cancel(number)
                spent.order_id = self.last
                book.add(spent)
            self.numbers.remove(number)
            self.numbers.append(self.last)

    @rule(side=st.sampled_from(Side), price=st.integers(-4, 4), up_to=st.integers(1, 30))
    def look(self, side, price, up_to):
        assert list(self.fast.orders(side, price)) == list(self.naive.orders(side, price))
        crossing = self.naive.crossing_w(side, price, up_to)
        assert self.fast.crossing_w(side, price, up_to) == crossing

    @invariant()
    def they_agree(self):
        self.fast.check_invariants()
        self.naive.check_invariants()
        assert len(self.fast) == len(self.naive)
        for side in Side:
            assert list(self.fast.orders(side)) == list(self.naive.orders(side))
            assert self.fast.depth(side) == self.naive.depth(side)
            for first in (None, *(level.limit_price_ticks + 1 for level in self.naive.depth(side))):
                found = list(self.fast.levels(side, first))
                assert found == list(self.naive.levels(side, first))
            assert self.fast.best(side) == self.naive.best(side)
            assert self.fast.best_price_ticks(side) == self.naive.best_price_ticks(side)
            assert self.fast.worst_price_ticks(side) == self.naive.worst_price_ticks(side)


BooksAgree.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBooksAgree = BooksAgree.TestCase
