"""Agents: one that quotes by its value cannot lose, and the same seed gives the same quotes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from agents.strategies import (
    LimitValue,
    MarginalValueQuoting,
    MarketMaker,
    Quote,
    Strategy,
    View,
    ZeroIntelligence,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from orderbook.order import Side

VALUES = st.builds(LimitValue, st.floats(0, 1e6), st.floats(0, 50))


@st.composite
def views(draw: st.DrawFn) -> View:
    lot_w = draw(st.sampled_from([1, 7, 100]))
    capacity_w = draw(st.integers(0, 30_000))
    held_w = draw(st.integers(0, capacity_w))
    fallback_w = draw(st.integers(0, held_w))
    return View(held_w, held_w - fallback_w, capacity_w - held_w, lot_w)


def worth(value: LimitValue, limit_w: int) -> float:
    """The sum of what the watts are worth, each at its middle: exact where value is a line."""
    kink = value.first_ticks / value.slope_ticks_per_w if value.slope_ticks_per_w else math.inf
    return math.fsum(value.marginal(w + 0.5) for w in range(int(min(limit_w, kink)))) + (
        value.marginal(int(kink)) * (kink - int(kink)) / 2 if kink < limit_w else 0.0
    )


@given(VALUES, st.integers(0, 3_000))
def test_total_is_the_sum_of_the_watts(value: LimitValue, limit_w: int) -> None:
    assert value.total(limit_w) == pytest.approx(worth(value, limit_w), rel=1e-6, abs=1e-3)


@pytest.mark.parametrize("figures", [(-1.0, 0.0), (1.0, -1.0), (math.inf, 1.0), (1.0, math.nan)])
def test_values_are_finite_and_not_negative(figures: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"it must be finite and >= 0"):
        LimitValue(*figures)


def gain_of(value: LimitValue, view: View, quote: Quote, traded_w: int) -> float:
    """What a participant gains when so much of its quote trades at the quote's price."""
    change_w = traded_w if quote.side is Side.BUY else -traded_w
    return (
        value.total(view.held_w + change_w)
        - value.total(view.held_w)
        - quote.price_ticks * change_w
    )


def check(strategy: Strategy, value: LimitValue, view: View) -> list[Quote]:
    """No quote is more than is allowed, none can lose in whole or part, and none meet."""
    quotes = strategy.quotes(view)
    for quote in quotes:
        allowed_w = view.buyable_w if quote.side is Side.BUY else view.sellable_w
        assert 0 < quote.quantity_w <= allowed_w
        assert quote.quantity_w % view.lot_w == 0
        assert quote.price_ticks >= 0
        for traded_w in np.linspace(1, quote.quantity_w, 7).astype(int).tolist():
            tolerance = 1e-9 * (1 + value.total(view.held_w + quote.quantity_w))
            assert gain_of(value, view, quote, traded_w) >= -tolerance
    bids = [quote.price_ticks for quote in quotes if quote.side is Side.BUY]
    asks = [quote.price_ticks for quote in quotes if quote.side is Side.SELL]
    assert all(bid < ask for bid in bids for ask in asks)
    return quotes


@given(VALUES, views(), st.lists(st.integers(1, 5_000), min_size=1, max_size=4))
def test_marginal_value_quotes_never_lose(value: LimitValue, view: View, steps: list[int]) -> None:
    strategy = MarginalValueQuoting(value, steps)
    for step_w in steps:
        assert strategy.step_w == step_w
        for quote in check(strategy, value, view):
            assert quote.quantity_w <= max(step_w, view.lot_w)
        last = strategy.step_w
        refined = strategy.refine()
    assert not refined
    assert strategy.step_w == last


@given(VALUES, views(), st.integers(1, 4_000))
def test_marginal_value_quotes_are_as_good_as_they_can_be(
    value: LimitValue, view: View, step_w: int
) -> None:
    """A tick more in a bid, or less in an ask, and the last watt would lose."""
    for quote in MarginalValueQuoting(value, [step_w]).quotes(view):
        if quote.side is Side.BUY:
            last_w, worse = view.held_w + quote.quantity_w, quote.price_ticks + 1
            assert worse > value.marginal(last_w)
        else:
            last_w, better = view.held_w - quote.quantity_w, quote.price_ticks - 1
            its_own_bid = value.marginal(view.held_w)  # at most
            assert better < value.marginal(last_w) or better <= its_own_bid


@given(VALUES, views(), st.integers(1, 5_000), st.integers(0, 10**6), st.integers(0, 99))
def test_zero_intelligence_keeps_within_its_budget(
    value: LimitValue, view: View, most_w: int, most_ticks: int, seed: int
) -> None:
    one, same = (ZeroIntelligence(value, most_w, most_ticks, seed) for _ in range(2))
    for _ in range(20):
        quotes = check(one, value, view)
        assert quotes == same.quotes(view)
        for quote in quotes:
            assert quote.side is Side.BUY or quote.price_ticks <= most_ticks


def test_zero_intelligence_draws_from_all_it_may() -> None:
    value, view = LimitValue(1_000, 0.0), View(5_000, 5_000, 5_000, 1)
    strategy = ZeroIntelligence(value, 100, 2_000, "p1")
    quotes = [quote for _ in range(4_000) for quote in strategy.quotes(view)]
    for side, low, high in ((Side.BUY, 0, 1_000), (Side.SELL, 1_000, 2_000)):
        prices = np.array([quote.price_ticks for quote in quotes if quote.side is side])
        # Deciles of a uniform distribution; 2,000 draws stray from them by some per cent.
        expected = np.linspace(low, high, 11)[1:-1]
        assert np.abs(np.quantile(prices, np.linspace(0.1, 0.9, 9)) - expected).max() < 60
    assert {quote.quantity_w for quote in quotes} == set(range(1, 101))


@given(
    views(),
    st.integers(1, 500),
    st.floats(0, 2),
    st.floats(0, 10_000),
    st.integers(0, 3_000),
)
def test_market_maker_leans_against_what_it_holds(
    view: View, half: int, skew: float, price: float, more_w: int
) -> None:
    assume(view.buyable_w >= more_w)
    maker = MarketMaker(500, half, skew, start_ticks=1, target_w=view.held_w)
    at = View(view.held_w, view.sellable_w, view.buyable_w, view.lot_w, price)
    later = View(
        view.held_w + more_w, view.sellable_w + more_w, view.buyable_w - more_w, view.lot_w, price
    )
    before, after = ({quote.side: quote for quote in maker.quotes(each)} for each in (at, later))
    for quotes in (before, after):
        if len(quotes) == 2:
            assert quotes[Side.BUY].price_ticks < quotes[Side.SELL].price_ticks
    for side in before.keys() & after.keys():
        assert after[side].price_ticks <= before[side].price_ticks
    if Side.SELL in before:
        assert before[Side.SELL].price_ticks == math.ceil(price + half)
    if Side.BUY in before:
        assert before[Side.BUY].price_ticks == math.floor(price - half)


def test_market_maker_starts_at_its_reference_and_takes_what_it_holds_as_target() -> None:
    maker = MarketMaker(500, 10, 1.0, start_ticks=400)
    assert maker.quotes(View(2_000, 2_000, 2_000, 100)) == [
        Quote(Side.BUY, 500, 390),
        Quote(Side.SELL, 500, 410),
    ]
    assert maker.quotes(View(2_100, 2_100, 1_900, 100)) == [
        Quote(Side.BUY, 500, 290),
        Quote(Side.SELL, 500, 310),
    ]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"steps_w are \[\]"):
        MarginalValueQuoting(LimitValue(1, 1), [])
    with pytest.raises(ValueError, match=r"steps_w are \[5, 0\]"):
        MarginalValueQuoting(LimitValue(1, 1), [5, 0])
    with pytest.raises(ValueError, match="half-spread of 0 ticks"):
        MarketMaker(100, 0, 0.0, 1)
