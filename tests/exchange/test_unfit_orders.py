"""An order of which not even one lot fits must not keep the headroom from those that fit."""

from __future__ import annotations

from market import Market, all_of

from exchange.events import Traded
from exchange.rules import MarketRules

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


def test_a_dear_lot_that_does_not_fit_holds_up_nobody():
    market = wanted()
    market.buy(0, "100@1000000")
    assert all_of(market.buy(1, "2000@100"), Traded)
