"""That nothing is left to trade, by one program of everything; for tests and troubled times."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.clearing import Market
from exchange.market_program import Legs
from exchange.payments import Execution
from exchange.program import ExchangeRate
from exchange.rules import MarketRules
from exchange.search import Search, nobody


def check_nothing_left(markets: Sequence[Market], joint_orders: Sequence[Legs]) -> None:
    """Check that no lot's worth is left to gain in some intervals with joint orders.

    By one program of all their orders, whatever prices say of them, built from nothing on copies
    of the networks.  Less than a lot's worth may appear when orders leave: whole lots can then fit
    rows better than before.

    Raises
    ------
    AssertionError
        With what is left.
    """
    copies = [market.copy() for market in markets]
    search = Search(copies[0], nobody)
    search.join(joint_orders, copies)
    found = search.next_trade()
    assert found is None or _is_less_than_a_lot(found.executions, copies[0].rules), (
        f"{[market.interval for market in markets]}: {found} is left to trade"
    )


def _is_less_than_a_lot(executions: Sequence[Execution], rules: MarketRules) -> bool:
    """Return whether trades gain no more than a lot does between their best prices."""
    weighted = rules.exchange_rate is ExchangeRate.NETWORK_WEIGHTED
    reserve = rules.reserve_price_ticks if weighted else 0
    orders = [each.order for each in executions]
    prices = [order.price_of(leg) for order in orders for leg in order.legs]
    spread = max(prices) - min(prices)
    if weighted:
        spread = max(*prices, reserve) - min(*prices, reserve)
    gain = sum(each.order.worth(each.quantity_w, reserve) for each in executions)
    return gain <= rules.lot_w * spread
