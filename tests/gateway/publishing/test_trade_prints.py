"""Clearings as prints: against the fills they are made of, which are the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from exchange.vocabulary.events import Fill, Traded
from exchange.vocabulary.rules import MarketRules
from gateway.publishing.trade_prints import average_ticks, mean_ticks, price_text, prints_of, takers
from orderbook.order import Side
from security_check.model.envelope import Direction

START = datetime(2030, 6, 1, 12, tzinfo=UTC)
BOOKS = list(product((START, START + timedelta(minutes=15)), Direction))
FILL = st.builds(
    lambda book, number, **more: Fill(
        participant=f"p{number}",
        client_order_id=f"c{number}",
        connection_point=f"load:{number}",
        interval=book[0],
        direction=book[1],
        **more,
    ),
    book=st.sampled_from(BOOKS),
    number=st.integers(0, 3),
    order_id=st.just(0),
    side=st.sampled_from(Side),
    quantity_w=st.integers(1, 50),
    limit_price_ticks=st.integers(-5, 5),
    amount=st.integers(-300, 300),
)


@st.composite
def trades(draw: st.DrawFn) -> Traded:
    """Draw any clearing: sides need not balance, a taker may have legs in several books."""
    fills = draw(st.lists(FILL, min_size=1, max_size=10))
    numbered = tuple(
        Fill(**{name: getattr(fill, name) for name in Fill.__slots__} | {"order_id": number})
        for number, fill in enumerate(fills, start=1)
    )
    return Traded(
        sequence=1,
        time=START,
        trade_id=1,
        fills=numbered,
        taker_order_id=draw(st.none() | st.integers(1, len(fills))),
        rent=0,
        tier="linear",
        binding_element="line:1",
        loading=1.0,
    )


@given(trades())
def test_every_watt_is_printed_once_between_those_who_traded_it(trade: Traded) -> None:
    books = prints_of(trade)
    assert set(books) == {(fill.interval, fill.direction) for fill in trade.fills}
    for fill in trade.fills:
        prints = books[fill.interval, fill.direction]
        mine = [each for each in prints if fill in (each.buy, each.sell)]
        assert sum(each.quantity_w for each in mine) == fill.quantity_w
        for each in mine:
            assert fill.participant == (each.buyer if fill is each.buy else each.seller)
    for prints in books.values():
        alone = [each for each in prints if None in (each.buy, each.sell)]
        assert len({each.buy is None for each in alone}) <= 1, "it both issues and retires"
        assert all("operator" in (each.buyer, each.seller) for each in alone)


@given(trades())
def test_a_print_has_the_price_of_its_maker(trade: Traded) -> None:
    mine = {fill.order_id for fill in takers(trade)}
    assert (trade.taker_order_id in mine) is (trade.taker_order_id is not None)
    for prints in prints_of(trade).values():
        for each in prints:
            fills = [fill for fill in (each.buy, each.sell) if fill is not None]
            makers = [fill for fill in fills if fill.order_id not in mine]
            reported = makers[0] if len(makers) == 1 else fills[0]
            assert each.price_ticks * reported.quantity_w == reported.amount * (
                1 if reported.side is Side.BUY else -1
            )
        prices = [each.price_ticks for each in prints]
        assert min(prices) <= mean_ticks(prints) <= max(prices)


def test_who_sweeps_the_book_prints_at_every_price_it_met() -> None:
    def fill(order_id: int, side: Side, quantity_w: int, amount: int) -> Fill:
        return Fill(
            order_id=order_id,
            participant=f"p{order_id}",
            client_order_id="c",
            connection_point=f"load:{order_id}",
            direction=Direction.INJECTION,
            interval=START,
            side=side,
            quantity_w=quantity_w,
            limit_price_ticks=abs(amount) // quantity_w,
            amount=amount,
        )

    fills = (
        fill(1, Side.SELL, 500, -500 * 400),
        fill(2, Side.SELL, 1000, -1000 * 430),
        fill(3, Side.BUY, 1500, 500 * 400 + 1000 * 430),
    )
    trade = Traded(
        sequence=1,
        time=START,
        trade_id=7,
        fills=fills,
        taker_order_id=3,
        rent=0,
        tier="merit_order",
        binding_element="line:1",
        loading=1.0,
    )
    (prints,) = prints_of(trade).values()
    found = [(each.quantity_w, each.price_ticks) for each in prints]
    assert found == [(500, Fraction(400)), (1000, Fraction(430))]
    assert price_text(mean_ticks(prints), MarketRules()) == "0.0420"
    assert price_text(average_ticks(fills[2]), MarketRules()) == "0.0420"


@given(
    st.fractions(-(10**9), 10**9, max_denominator=10**6),
    st.sampled_from(["0.0001", "0.0005", "1", "0.25", "0.000000001"]),
)
def test_prices_are_exact_where_a_millionth_of_a_tick_is_enough(
    price_ticks: Fraction, tick: str
) -> None:
    rules = MarketRules(tick=Decimal(tick))
    text = price_text(price_ticks, rules)
    exact, reported = price_ticks * Fraction(tick), Fraction(text)
    assert abs(reported - exact) <= Fraction(tick) / 2_000_000
    if (price_ticks * 1_000_000).denominator == 1:
        assert reported == exact
    decimals, of_tick = len(text.partition(".")[2]), len(tick.partition(".")[2])
    assert decimals >= of_tick
    assert decimals == of_tick or not text.endswith("0")
