"""That nothing is left to trade, by one program of everything; for tests and troubled times."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.clearing import Market
from exchange.market_program import Legs
from exchange.program import ExchangeRate
from exchange.search import Search, nobody


def check_nothing_left(markets: Sequence[Market], joint_orders: Sequence[Legs]) -> None:
    """Check that no lot's worth is left to gain in some intervals with joint orders.

    By one program of all their orders, whatever prices say of them, built from nothing on copies
    of the networks.  A lot is worth what it gains between the best prices of all these orders.
    Less than that may appear when orders leave: whole lots can then fit rows better than before.

    Raises
    ------
    AssertionError
        With what is left.
    """
    copies = [market.copy() for market in markets]
    search = Search(copies[0], nobody)
    search.join(joint_orders, copies)
    found = search.next_trade()
    if found is None:
        return
    rules = copies[0].rules
    weighted = rules.exchange_rate is ExchangeRate.NETWORK_WEIGHTED
    reserve = rules.reserve_price_ticks if weighted else 0
    gain = sum(each.order.worth(each.quantity_w, reserve) for each in found.executions)
    orders = [entry.order for entry in search.program.clearing.orders]
    prices = [order.price_of(leg) for order in orders for leg in order.legs]
    prices += [reserve] if weighted else []
    assert gain <= rules.lot_w * (max(prices) - min(prices)), (
        f"{[market.interval for market in markets]}: {found} is left to trade"
    )
