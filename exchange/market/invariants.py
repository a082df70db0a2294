"""The check that no profitable trade is left, by one program of all orders."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.market.confirmation import ConfirmationLoop, no_joint_orders
from exchange.market.interval_market import IntervalMarket
from exchange.market.market_program import Legs
from exchange.vocabulary.rules import ExchangeRate


def check_nothing_left(markets: Sequence[IntervalMarket], joint_orders: Sequence[Legs]) -> None:
    """Check that trades left in some intervals and joint orders gain less than a lot is worth.

    One program of all their orders is built from nothing on copies of the networks.  A lot is worth
    the difference of the best prices among fillable orders.  Smaller gains may appear when orders
    leave: whole lots can then fit the rows better than before.

    Raises
    ------
    AssertionError
        With the trades left.
    """
    found = _joined(markets, joint_orders).next_trade()
    if found is None:
        return
    rules = markets[0].rules
    weighted = rules.exchange_rate is ExchangeRate.NETWORK_WEIGHTED
    reserve = rules.reserve_price_ticks if weighted else 0
    gain = sum(each.order.worth(each.quantity_w, reserve) for each in found.executions)
    before = _joined(markets, joint_orders).program.clearing
    prices = _best_prices(before) + ([reserve] if weighted else [])
    assert gain <= rules.lot_w * (max(prices) - min(prices)), (
        f"{[market.interval for market in markets]}: {found} is left to trade"
    )


def _joined(markets: Sequence[IntervalMarket], joint_orders: Sequence[Legs]) -> ConfirmationLoop:
    """Return a confirmation loop over all intervals and joint orders, on copies."""
    copies = [market.copy() for market in markets]
    search = ConfirmationLoop(copies[0], no_joint_orders)
    search.join(joint_orders, copies)
    return search


def _best_prices(clearing: WelfareClearing) -> list[int]:
    """Return the highest bid and the lowest offer of fillable orders."""
    offers = [
        (order.sign_of(leg), order.price_of(leg), order.order_id)
        for order in (entry.order for entry in clearing.orders)
        for leg in order.legs
    ]
    found = []
    for side in (1, -1):
        prices = sorted(((s * p, number) for s, p, number in offers if s == side), reverse=True)
        best = next((price for price, number in prices if clearing.fits(number)), None)
        found += [] if best is None else [side * best]
    return found
