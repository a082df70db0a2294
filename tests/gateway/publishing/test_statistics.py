"""Statistics of books where rows bind: they add up to what the clearings say."""

from __future__ import annotations

import pytest
from market import all_of
from market_days import ONE_TO_ONE, Day, weighted

from exchange.vocabulary.events import Traded
from gateway.publishing.statistics import BookStatistics, statistics_of
from gateway.runs.simulation import welfare


@pytest.mark.parametrize("rules", [ONE_TO_ONE, weighted(0), weighted(8)], ids=str)
def test_rent_welfare_and_watts_of_books_add_up_to_those_of_clearings(rules):
    rent = 0
    for seed in range(3):
        day = Day(seed, rules, conditional=True, check=False).go(80)
        trades = all_of(day.market.events, Traded)
        books = statistics_of(day.market.events, rules).values()
        assert sum(book.rent for book in books) == sum(trade.rent for trade in trades)
        assert sum(book.welfare for book in books) == welfare(trades, rules)
        issued_w = sum(fill.change_w for trade in trades for fill in trade.fills)
        assert sum(book.bought_w - book.sold_w for book in books) == issued_w
        for book in books:
            assert book.low_ticks <= book.average_ticks <= book.high_ticks
            assert book.low_ticks <= min(book.open_ticks, book.close_ticks)
            assert max(book.open_ticks, book.close_ticks) <= book.high_ticks
            assert book.volume_w >= max(book.bought_w, book.sold_w) > 0
            assert BookStatistics.from_data(book.as_data()) == book
        rent += sum(trade.rent for trade in trades)
    assert rent > 0
