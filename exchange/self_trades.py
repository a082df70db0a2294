"""Self-trade prevention: which orders of its own participant an order meets, and who goes.

An order meets its own where it crosses it by price, whether or not the network would let the two
trade: so orders of one participant never rest crossed in one book.  The legs of a joint order make
up for each other, so they meet every order of the other side, at any price.
"""

from __future__ import annotations

from collections.abc import Iterator

from exchange.condition_checks import crosses
from exchange.orders import Order
from exchange.reasons import CancelReason
from exchange.record import Record
from exchange.session import Session
from exchange.state import State
from orderbook.order import SelfTradePrevention, Side


def own_crossed(order: Order, session: Session, state: State) -> Iterator[Order]:
    """Iterate over its participant's older orders that an order crosses.

    O(its participant's connection points), where none of them has orders of the other side.
    """
    side = order.side
    for position in state.positions_of(order.participant, session.start, order.direction):
        if not (position.reserved_w if order.side is Side.BUY else position.sought_w):
            continue
        for other in position.orders.values():
            if (
                other.side is not side
                and other.order_id < order.order_id
                and may_cross(order, other)
            ):
                yield other


def may_cross(order: Order, other: Order) -> bool:
    """Return whether two orders of one book and different sides may trade with each other."""
    if order.joint_id is not None or other.joint_id is not None:
        return True
    return crosses(order.side, order.limit_price_ticks, other.limit_price_ticks)


def first_own(order: Order, session: Session, state: State) -> Order | None:
    """Return the best of its participant's older orders that an order crosses, if any."""
    return min(own_crossed(order, session, state), key=_priority, default=None)


def comes_before(one: Order, other: Order) -> bool:
    """Return whether an order has priority over another of its side."""
    return _priority(one) < _priority(other)


def _priority(order: Order) -> tuple[int, int]:
    sign = -1 if order.side is Side.BUY else 1
    return sign * order.limit_price_ticks, order.order_id


def resolve(newer: Order, older: Order, record: Record) -> None:
    """Cancel one of two orders that met, or both, as the newer one asks."""
    mode = newer.conditions.self_trade_prevention
    if mode is not SelfTradePrevention.CANCEL_NEWEST:
        record.cancel(older, CancelReason.SELF_TRADE)
    if mode is not SelfTradePrevention.CANCEL_OLDEST:
        record.cancel(newer, CancelReason.SELF_TRADE)


def resolve_resting(session: Session, record: Record) -> None:
    """Resolve what met while nothing could trade, as if the orders had come one by one."""
    state = record.state
    for order in session.orders():
        while order.order_id in state.orders:
            own = first_own(order, session, state)
            if own is None:
                break
            resolve(order, own, record)
