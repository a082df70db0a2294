"""Self-trade prevention: which orders of its own participant an order meets, and who goes.

An order meets its own where it crosses it by price, whether or not the network would let the two
trade: so orders of one participant never rest crossed in one book.  The legs of a joint order make
up for each other, so they meet every order of the other side, at any price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush

from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction


def own_crossed(order: Order, session: Session, state: State) -> Iterator[Order]:
    """Iterate over its participant's older orders that an order crosses.

    O(its participant's connection points), and O(1) for each.
    """
    for position in state.positions_of(order.participant, session.start, order.direction):
        yield from position.crossed_by(order)


def first_own(order: Order, session: Session, state: State) -> Order | None:
    """Return the best of its participant's older orders that an order crosses, if any.

    O(its participant's connection points).
    """
    best = [
        first
        for position in state.positions_of(order.participant, session.start, order.direction)
        for first in position.first_crossed_by(order)
    ]
    return min(best, key=lambda own: own.priority, default=None)


def resolve(newer: Order, older: Order, record: EventRecorder) -> None:
    """Cancel one of two orders that met, or both, as the newer one asks."""
    mode = newer.conditions.self_trade_prevention
    if mode is not SelfTradePrevention.CANCEL_NEWEST:
        record.cancel(older, CancelReason.SELF_TRADE)
    if mode is not SelfTradePrevention.CANCEL_OLDEST:
        record.cancel(newer, CancelReason.SELF_TRADE)


def resolve_resting(session: Session, record: EventRecorder) -> None:
    """Resolve what met while nothing could trade, as if the orders had come one by one.

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
            resolve(order, own, record)


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

    Of orders that are alike the best is crossed, or none.  Those that are gone leave their heaps.
    """
    best = []
    for is_joint in (False, True):
        heap = older.get((order.participant, order.direction, order.side.opposite, is_joint), [])
        while heap and heap[0][1].order_id not in orders:
            heappop(heap)
        if heap and order.may_cross(heap[0][1]):
            best.append(heap[0])
    return min(best)[1] if best else None
