"""Self-trade prevention: where an order meets orders of its own participant, one is cancelled.

An order meets an own order that it crosses by price, whether or not the network would let the two
trade.  So orders of one participant never rest crossed in one book.  The legs of a joint order
compensate each other's prices, so they meet every order of the other side, at any price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush

from exchange.handlers.trade_execution import TradeExecution
from exchange.market.interval_markets import IntervalMarkets
from exchange.market.market_program import Legs
from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction


def meet_own_orders(
    legs: Legs, markets: IntervalMarkets, execution: TradeExecution, record: EventRecorder
) -> bool:
    """Resolve where an incoming order meets its own; return whether it may go on to trade.

    Before it meets an own order it trades with the orders that have priority over that one.  An
    immediate order with a least quantity (FOK, or a minimum) that would cancel older own orders
    trades with other participants only, because it might cancel them and then not trade.
    """
    order, state = legs[0], record.state
    for leg in legs:
        session = state.sessions[leg.interval]
        while (own := first_own_crossed(leg, session, state)) is not None:
            if len(legs) == 1:
                spares_own = (
                    order.time_in_force.is_immediate
                    and order.required_w > 0
                    and order.conditions.self_trade_prevention is SelfTradePrevention.CANCEL_OLDEST
                )
                if spares_own:
                    may_meet = partial(_is_not_own, order)
                    search = partial(markets.trade_among, order.interval, may_meet, record)
                    execution.trade_one(search, order, record)
                    return False
                _trade_ahead_of(own, order, markets, execution, record)
                if order.order_id not in state.orders:
                    return False
            resolve_self_trade(order, own, record)
            if order.order_id not in state.orders:
                return False
    return True


def _trade_ahead_of(
    own: Order,
    order: Order,
    markets: IntervalMarkets,
    execution: TradeExecution,
    record: EventRecorder,
) -> None:
    """Let an order trade with those that have priority over one of its own participant.

    The other orders that it crosses are suspended meanwhile.  Where no order trades under a
    condition, the order's limit price is lowered to that of its own one instead, and only orders
    at that price are suspended: O(orders at that price).
    """
    state, session = record.state, record.state.sessions[order.interval]
    if next(session.makers(order), None) is own:
        return
    market = markets.market(order.interval, record)
    if market is None:
        return
    reach = order if state.conditional else replace(order, limit_price_ticks=own.limit_price_ticks)
    behind = [maker for maker in session.makers(reach) if maker.priority >= own.priority]
    # A joint order may be met without being crossed: then it alone is suspended.
    suspended = markets.suspend([_legs_of(maker, state) for maker in behind or [own]])
    market.limit(order, reach.limit_price_ticks)
    search = partial(markets.next_trade, order.interval, record)
    execution.trade_one(search, order, record)
    if order.order_id in state.orders:
        market.limit(order, order.limit_price_ticks)
    markets.restore(suspended)


def _legs_of(order: Order, state: State) -> Legs:
    return [order] if order.joint_id is None else state.joints[order.joint_id]


def _is_not_own(order: Order, other: Order) -> bool:
    """Return whether an order may meet another one without trading with its own participant."""
    return (
        other.participant != order.participant
        or other.side is order.side
        or other.direction is not order.direction
        or other.interval != order.interval
    )


def own_crossed(order: Order, session: Session, state: State) -> Iterator[Order]:
    """Iterate over its participant's older orders that an order crosses.

    O(its participant's connection points), and O(1) for each.
    """
    for position in state.positions_of(order.participant, session.start, order.direction):
        yield from position.crossed_by(order)


def first_own_crossed(order: Order, session: Session, state: State) -> Order | None:
    """Return the best of its participant's older orders that an order crosses, if any.

    O(its participant's connection points).
    """
    best = [
        first
        for position in state.positions_of(order.participant, session.start, order.direction)
        for first in position.first_crossed_by(order)
    ]
    return min(best, key=lambda own: own.priority, default=None)


def resolve_self_trade(newer: Order, older: Order, record: EventRecorder) -> None:
    """Cancel one of two orders of one participant that met, or both, as the newer one asks."""
    mode = newer.conditions.self_trade_prevention
    if mode is not SelfTradePrevention.CANCEL_NEWEST:
        record.cancel(older, CancelReason.SELF_TRADE)
    if mode is not SelfTradePrevention.CANCEL_OLDEST:
        record.cancel(newer, CancelReason.SELF_TRADE)


def resolve_resting_orders(session: Session, record: EventRecorder) -> None:
    """Resolve what met while no order could trade, as if the orders had come one by one.

    O(n log n) in the orders of the session.
    """
    orders = record.state.orders
    older: dict[_Group, list[tuple[tuple[int, int], Order]]] = {}
    for order in session.orders():
        while order.order_id in orders:
            own = _best_older(order, older, orders)
            if own is None:
                heappush(older.setdefault(_group(order), []), (order.priority, order))
                break
            resolve_self_trade(order, own, record)


_Group = tuple[str, Direction, Side, bool]
"""A participant's orders of one side of a book, joint ones apart from others."""


def _group(order: Order) -> _Group:
    return order.participant, order.direction, order.side, order.joint_id is not None


def _best_older(
    order: Order,
    older: Mapping[_Group, list[tuple[tuple[int, int], Order]]],
    orders: Mapping[int, Order],
) -> Order | None:
    """Return the best open one of its participant's older orders that an order crosses.

    Where the best order of a group is not crossed, none of the group is.  Orders that are no
    longer open are removed from the heaps.
    """
    best = []
    for is_joint in (False, True):
        heap = older.get((order.participant, order.direction, order.side.opposite, is_joint), [])
        while heap and heap[0][1].order_id not in orders:
            heappop(heap)
        if heap and order.may_cross(heap[0][1]):
            best.append(heap[0])
    return min(best)[1] if best else None
