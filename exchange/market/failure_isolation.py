"""A clearing that fails must not stop an interval: which order it fails with.

Without any order a program can be solved, with all it cannot: so there is a first with which it
cannot, and without that one the others go on trading.  The orders that trade under a condition come
last, because it is they that need the harder program, and within both kinds the newest.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.clearing.problem import ClearingError
from exchange.market.interval_market import IntervalMarket
from exchange.market.market_program import Legs
from exchange.vocabulary.orders import Order


def failing_order(markets: Sequence[IntervalMarket], joint_orders: Sequence[Legs]) -> Order | None:
    """Return the first order with which programs built from nothing fail.

    Where the program of each interval can be solved by itself, the failure lies in what joins
    them, or in the rows that an AC power flow has corrected meanwhile: then the newest joint
    order, or the newest order at all.  ``None`` where it is not for any order, because a program
    fails without one.  Costs two programs for each interval, and O(log orders) where one fails.

    Parameters
    ----------
    markets
        Of the intervals that were cleared together.
    joint_orders
        Those that join them, oldest first.
    """
    newest: list[Order] = []
    for market in markets:
        orders = sorted(market.open_orders(), key=lambda o: (o.conditional, o.order_id))
        if not _can_be_solved(market, orders):
            return _first_that_fails(market, orders)
        newest += orders
    if joint_orders:
        return joint_orders[-1][0]
    return max(newest, key=lambda order: order.order_id, default=None)


def _first_that_fails(market: IntervalMarket, orders: Sequence[Order]) -> Order | None:
    if _can_be_solved(market, orders[:-1]):
        return orders[-1]
    if not _can_be_solved(market, ()):
        return None
    solved, failed = 0, len(orders) - 1
    while failed - solved > 1:
        middle = (solved + failed) // 2
        if _can_be_solved(market, orders[:middle]):
            solved = middle
        else:
            failed = middle
    return orders[failed - 1]


def _can_be_solved(market: IntervalMarket, orders: Sequence[Order]) -> bool:
    try:
        market.program_of(orders).clearing.optimum()
    except ClearingError:
        return False
    return True
