"""The effects of the events of orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exchange.state.request_answers import RequestAnswer
from exchange.state.state import State
from exchange.vocabulary.events import (
    Event,
    JointOrderAccepted,
    MassCancelled,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderReduced,
    OrderRefilled,
    Traded,
)
from exchange.vocabulary.orders import Order
from orderbook.order import OrderConditions, TimeInForce


def accept(state: State, event: OrderAccepted) -> None:
    """Let an order rest."""
    state.controls.count_order(event.participant, event.time)
    order = order_of(event)
    state.add(order)
    state.answers.remember(
        order.participant, order.client_order_id, RequestAnswer(event, order.order_id)
    )


def accept_joint(state: State, event: JointOrderAccepted) -> None:
    """Let the legs of a joint order rest."""
    state.controls.count_order(event.participant, event.time, len(event.legs))
    dated = event.expires_at is not None
    for number, leg in enumerate(event.legs, start=event.order_id):
        state.add(
            Order(
                order_id=number,
                side=leg.side,
                limit_price_ticks=leg.limit_price_ticks,
                remaining_w=leg.quantity_w,
                participant=event.participant,
                client_order_id=event.client_order_id,
                connection_point=leg.connection_point,
                direction=leg.direction,
                interval=leg.interval,
                quantity_w=leg.quantity_w,
                time_in_force=TimeInForce.GOOD_TILL_DATE if dated else TimeInForce.GOOD_TILL_CANCEL,
                expires_at=event.expires_at,
                conditions=OrderConditions(
                    all_or_none=event.all_or_none,
                    self_trade_prevention=event.self_trade_prevention,
                ),
                joint_id=event.order_id,
                conditional=True,
            )
        )
    answer = RequestAnswer(event, event.order_id)
    state.answers.remember(event.participant, event.client_order_id, answer)


def refill(state: State, event: OrderRefilled) -> None:
    """Let an iceberg show its next part, behind all others at its price."""
    order = state.orders[event.previous_order_id]
    state.remove(order)
    _add_as(state, order, event.order_id)


def reduce(state: State, event: OrderReduced) -> None:
    """Reduce an order that its holding or capacity no longer covers; something is left of it."""
    order = state.orders[event.order_id]
    order.quantity_w -= event.reduced_by_w
    state.sessions[order.interval].reduce(order, event.reduced_by_w)


def _close_if_empty(state: State, order: Order) -> None:
    if not order.remaining_w:
        state.unindex(order)
        if order.joint_id not in state.joints:
            state.answers.finish(order.participant, order.client_order_id)


def trade(state: State, event: Traded) -> None:
    """Reduce the orders that trade, and move the watts between holdings."""
    for fill in event.fills:
        session, order = state.sessions[fill.interval], state.orders[fill.order_id]
        if fill.order_id == event.taker_order_id:
            session.reduce(order, fill.quantity_w)
        else:
            session.fill(order, fill.quantity_w)
        _close_if_empty(state, order)
        session.holdings.trade(event.trade_id, fill.direction, fill.connection_point, fill.change_w)
        if event.buy_back:
            session.note_bought_back(fill.direction, fill.quantity_w)
    state.next_trade_id = event.trade_id + 1


def cancel(state: State, event: OrderCancelled) -> None:
    """Take the rest of an order, or all legs of a joint order, out of the book."""
    _remember_change(state, event)
    if event.order_id in state.flexible_orders:
        state.remove_flexible(state.flexible_orders[event.order_id])
        state.answers.finish(event.participant, event.client_order_id, event.reason)
        return
    order = state.orders[event.order_id]
    for leg in list(state.joints.get(event.order_id, [order])):
        state.remove(leg)
    state.answers.finish(order.participant, order.client_order_id, event.reason)


def _remember_change(state: State, event: OrderAmended | OrderCancelled | MassCancelled) -> None:
    """Remember the answer to a request about orders that were placed before."""
    if event.answers is not None:
        state.answers.remember(event.participant, event.answers.request_id, RequestAnswer(event))


def amend(state: State, event: OrderAmended) -> None:
    """Change an order; unless only its quantity falls, it loses its time priority."""
    state.controls.count_order(event.participant, event.time)
    _remember_change(state, event)
    order = state.orders[event.previous_order_id]
    if event.order_id == event.previous_order_id:
        order.quantity_w = event.quantity_w
        state.sessions[order.interval].reduce(order, order.remaining_w - event.remaining_w)
        return
    state.remove(order)
    order.quantity_w = event.quantity_w
    order.remaining_w = event.remaining_w
    order.limit_price_ticks = event.limit_price_ticks
    _add_as(state, order, event.order_id)


def _add_as(state: State, order: Order, order_id: int) -> None:
    """Put an order behind all others at its price, under a new number."""
    order.order_id = order_id
    order.show_next()
    state.add(order)
    answer = state.answers.find(order.participant, order.client_order_id)
    assert answer is not None, "an open order's answer is never forgotten"
    answer.order_id = order.order_id


def order_of(event: OrderAccepted) -> Order:
    """Return the order that an event accepts."""
    terms = event.terms
    return Order(
        order_id=event.order_id,
        side=terms.side,
        limit_price_ticks=event.limit_price_ticks,
        remaining_w=terms.quantity_w,
        participant=event.participant,
        client_order_id=event.client_order_id,
        connection_point=terms.connection_point,
        direction=terms.direction,
        interval=terms.interval,
        quantity_w=terms.quantity_w,
        time_in_force=terms.time_in_force,
        expires_at=terms.expires_at,
        conditions=terms.conditions,
        peak_w=terms.conditions.displayed_w,
        conditional=terms.conditions.apply_at_once(terms.time_in_force),
    )


ORDER_EFFECTS: Mapping[type[Event], Callable[[State, Any], None]] = {
    OrderAccepted: accept,
    JointOrderAccepted: accept_joint,
    OrderAmended: amend,
    OrderRefilled: refill,
    OrderReduced: reduce,
    OrderCancelled: cancel,
    MassCancelled: _remember_change,
    Traded: trade,
}
"""What each event of orders changes in the state."""
