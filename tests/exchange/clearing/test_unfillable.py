"""An order of which not even one lot fits must not keep the headroom from those that fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clearing_oracle import Oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from market import Market, all_of, only
from program_run import Run
from random_programs import LOT_W as STEP_W

from exchange.clearing.problem import ProgramOrder
from exchange.vocabulary.events import Event, Traded
from exchange.vocabulary.rules import MarketRules
from orderbook.order import Side

LOT_W = 100


def wanted() -> Market:
    """Row 0 has 29 lots of headroom; a lot takes 30 at load:0 and 1 at load:1."""
    full = 31 * 50 * LOT_W + 29 * LOT_W
    market = Market(
        points=3,
        capacity_w=100 * LOT_W,
        rows=[([30, 1, 0, *[0] * 3], full, full)],
        rules=MarketRules(lot_w=LOT_W),
    )
    market.sell(2, "3000@90")
    return market


def test_twenty_lots_fit():
    assert all_of(wanted().buy(1, "2000@100"), Traded)


def test_a_dear_lot_that_does_not_fit_blocks_no_other_order():
    market = wanted()
    market.buy(0, "100@1000000")
    assert all_of(market.buy(1, "2000@100"), Traded)


def test_nor_where_its_owner_sells_beside_it_at_a_price_that_no_buyer_pays():
    market = wanted()
    market.sell(0, "100@1000000")
    market.buy(0, "100@999999")
    assert all_of(market.buy(1, "2000@100"), Traded)


FAR, RELIEF, NEAR, SELLER, HONEST = range(5)


def crowded(*, attacked: bool) -> list[Event]:
    """Return what a sale leads to where a dear bid asks for a full row, and a pair could free it.

    The row is full; a lot at FAR takes ten of it, one at RELIEF one.  RELIEF would sell to NEAR at
    a loss, which gains only if FAR gets more than the fraction that there is room for then.
    """
    full = 11 * 50 * LOT_W
    market = Market(
        points=6,
        capacity_w=100 * LOT_W,
        rows=[([10, 1, *[0] * 10], full, full)],
        rules=MarketRules(lot_w=LOT_W),
    )
    market.buy(HONEST, "1000@100")
    if attacked:
        market.sell(RELIEF, "800@150")
        market.buy(NEAR, "800@20")
        market.buy(FAR, "100@1000000")
    return market.sell(SELLER, "1100@1")


def test_no_order_trades_at_a_loss_for_a_fraction_that_is_rounded_away():
    received = {
        attacked: [
            (fill.participant, fill.quantity_w, fill.amount)
            for fill in only(crowded(attacked=attacked), Traded).fills
        ]
        for attacked in (False, True)
    }
    honest = (f"p{HONEST}", 1_000, 100_000)
    assert set(received[False]) == {honest, (f"p{SELLER}", 1_000, -100_000)}
    near = (f"p{NEAR}", 100, 2_000)  # Buys the rest of what is sold, at its own price.
    assert set(received[True]) == {honest, near, (f"p{SELLER}", 1_100, -102_000)}


class DearRun(Run):
    """A random market day in which one order in six has a price that no other comes near."""

    def order(self, number: int) -> ProgramOrder:
        order = super().order(number)
        if self.rng.random() >= 1 / 6:
            return order
        dear = int(self.rng.choice([10**3, 10**4, 10**6]))
        price = dear if order.side is Side.BUY else -dear
        leg = replace(order.legs[0], quantity_w=int(self.rng.integers(1, 3)) * STEP_W)
        return replace(order, limit_price_ticks=price, legs=(leg,), minimum_w=0)

    def most_left(self, left: Oracle) -> float:
        prices = [order.limit_price_ticks for order in left.orders if fits(order, left)]
        prices += [] if self.case.reserve is None else [self.case.reserve]
        # A lot; or, where whole lots of worse orders fit the rows better, more than one.
        return 2 * STEP_W * (max(prices, default=0) - min(prices, default=0))


def fits(order: ProgramOrder, left: Oracle) -> bool:
    """Return whether scipy finds room for a lot at the limit of an order and on its side."""
    same = [o.legs[0].column == order.legs[0].column and o.side is order.side for o in left.orders]
    return left.linear(value=np.array(same, dtype=float))[1] >= STEP_W * (1 - 1e-6)


@pytest.mark.slow
@given(seed=st.integers(0, 10**6))
@settings(max_examples=18, deadline=None)
def test_nothing_is_left_to_orders_that_fit(seed: int) -> None:
    DearRun(seed, screening=True, conditional=0.0, oracle=True).go(25)


@pytest.mark.parametrize("conditional", [0.0, 0.1])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
@pytest.mark.slow
def test_the_price_screen_changes_nothing_for_dear_orders_either(
    conditional: float, seed: int
) -> None:
    compare(conditional, seed)


def test_after_a_trade_that_a_dear_order_was_in_the_way_of_more_may_trade() -> None:
    compare(0.0, 16562)


def compare(conditional: float, seed: int) -> None:
    """Compare a market day with the price screen and one in which each event is cleared."""
    screened = DearRun(seed, screening=True, conditional=conditional, oracle=False)
    solved = DearRun(seed, screening=False, conditional=conditional, oracle=False)
    screened.go(30)
    solved.go(30)
    assert screened.steps == solved.steps
