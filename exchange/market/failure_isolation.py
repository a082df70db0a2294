"""Failure isolation: find the order with which a clearing fails, so that the others can trade.

A program without orders can be solved, the program of all orders cannot: so there is a first order
with which it fails.  Conditional orders are added last, because they need the harder program; plain
and conditional orders are added oldest first.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.clearing.problem import ClearingError
from exchange.market.interval_market import IntervalMarket
from exchange.market.market_program import Legs
from exchange.vocabulary.orders import Order


def failing_order(markets: Sequence[IntervalMarket], joint_orders: Sequence[Legs]) -> Order | None:
    """Return the first order with which programs built from nothing fail.

    If the program of each interval can be solved by itself, the joint orders or the rows corrected
    by AC power flow make it fail: then the newest joint order is returned, or the newest order.
    ``None`` if a program fails without any order.  Costs two programs for each interval, and
    O(log orders) programs where one fails.

    Parameters
    ----------
    markets
        Of the intervals that were cleared together.
    joint_orders
        The joint orders that connect them, oldest first.
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
