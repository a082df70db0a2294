"""Admission: whether an order is accepted, or the reason and the sentence of its refusal."""

from __future__ import annotations

from datetime import datetime

from exchange.handlers.condition_checks import (
    check_conditional_places,
    check_conditions,
    check_legs,
    check_part,
    check_post_only,
)
from exchange.handlers.holding_checks import check_holding
from exchange.handlers.risk_checks import OrderExposure, check_risk
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.commands import AmendOrder, SubmitJoint, SubmitOrder
from exchange.vocabulary.formatting import format_time, price_text
from exchange.vocabulary.orders import Leg, Order, OrderTerms
from exchange.vocabulary.reasons import Refusal, RefusalReason
from exchange.vocabulary.rules import ExchangeRate, MarketRules
from orderbook.order import Side, TimeInForce


def check_submission(command: SubmitOrder, state: State, now: datetime) -> Refusal | None:
    """Return why an order may not be placed, ``None`` where it may.

    O(1) for an accepted order while no control of the market operator is set.
    """
    terms = command.terms
    refusal = check_place(command.participant, terms.connection_point, terms.interval, state)
    if refusal is not None:
        return refusal
    session = state.sessions[terms.interval]
    refusal = (
        check_quantity(terms.quantity_w, state.rules)
        or check_conditions(terms, state.rules)
        or _check_places(command.participant, terms, session, state.rules)
        or _check_price_of(terms, session, state.rules)
        or _check_expiry(terms.time_in_force, terms.expires_at, session.gate_closes_at, now)
        or check_holding(
            terms.side,
            terms.quantity_w,
            session.holdings.position(terms.direction, terms.connection_point),
        )
    )
    if refusal is not None or not state.controls.concern_orders:
        return refusal
    exposure = OrderExposure(
        command.participant,
        terms.interval,
        terms.direction,
        terms.side,
        terms.quantity_w,
        terms.quantity_w,
        effective_limit_price_ticks(terms, state),
    )
    return check_risk([exposure], state, now)


def _check_places(
    participant: str, terms: OrderTerms, session: Session, rules: MarketRules
) -> Refusal | None:
    if terms.time_in_force.is_immediate:
        return None
    if not terms.conditions.apply_at_once(terms.time_in_force):
        return None
    return check_conditional_places(participant, session, rules)


def check_joint(command: SubmitJoint, state: State, now: datetime) -> Refusal | None:
    """Return why a joint order may not be placed, ``None`` where it may.

    Each leg is checked like an order.
    """
    refusal = check_legs(command)
    for leg in command.legs:
        refusal = refusal or _check_leg(command.participant, leg, state)
    if refusal is None and command.expires_at is not None:
        first_gate = min(state.sessions[leg.interval].gate_closes_at for leg in command.legs)
        good_till_date = TimeInForce.GOOD_TILL_DATE
        refusal = _check_expiry(good_till_date, command.expires_at, first_gate, now)
    if refusal is not None or not state.controls.concern_orders:
        return refusal
    exposures = [
        OrderExposure(
            command.participant,
            leg.interval,
            leg.direction,
            leg.side,
            leg.quantity_w,
            leg.quantity_w,
            leg.limit_price_ticks,
        )
        for leg in command.legs
    ]
    return check_risk(exposures, state, now)


def _check_leg(participant: str, leg: Leg, state: State) -> Refusal | None:
    return (
        check_place(participant, leg.connection_point, leg.interval, state)
        or check_quantity(leg.quantity_w, state.rules)
        or check_conditional_places(participant, state.sessions[leg.interval], state.rules)
        or check_price(leg.limit_price_ticks, state.rules)
        or check_holding(
            leg.side,
            leg.quantity_w,
            state.sessions[leg.interval].holdings.position(leg.direction, leg.connection_point),
        )
    )


def check_amendment(
    command: AmendOrder, order: Order, state: State, now: datetime
) -> Refusal | None:
    """Return why an open order may not be amended, ``None`` where it may.

    O(1) for an accepted amendment while no control of the market operator is set.
    """
    quantity_w, limit_price_ticks = amended_terms(command, order)
    if order.joint_id is not None:
        return Refusal(
            RefusalReason.CONDITIONS_INVALID,
            f"joint order {order.joint_id} cannot be amended: cancel it and place another",
        )
    if (quantity_w, limit_price_ticks) == (order.quantity_w, order.limit_price_ticks):
        return Refusal(
            RefusalReason.NOTHING_TO_AMEND,
            f"order {order.order_id} already has {quantity_w:,} W "
            f"at a limit price of {price_text(limit_price_ticks, state.rules)}",
        )
    session = state.sessions[order.interval]
    position = session.holdings.position(order.direction, order.connection_point)
    refusal = (
        check_quantity(quantity_w, state.rules)
        or check_part("minimum", order.conditions.minimum_w, quantity_w, state.rules)
        or check_price(limit_price_ticks, state.rules)
        or check_post_only(
            order.conditions,
            order.side,
            limit_price_ticks,
            session.books[order.direction],
            state.rules,
        )
        or check_holding(order.side, quantity_w - order.executed_w, position, amended=order)
    )
    if refusal is not None or not state.controls.concern_orders:
        return refusal
    exposure = OrderExposure(
        order.participant,
        order.interval,
        order.direction,
        order.side,
        quantity_w,
        quantity_w - order.executed_w,
        limit_price_ticks,
        amended=order,
    )
    return check_risk([exposure], state, now)


def amended_terms(command: AmendOrder, order: Order) -> tuple[int, int]:
    """Return the total quantity in watts and the limit price in ticks of the amended order."""
    return (
        order.quantity_w if command.quantity_w is None else command.quantity_w,
        order.limit_price_ticks if command.limit_price_ticks is None else command.limit_price_ticks,
    )


def check_interval(interval: datetime, state: State) -> Refusal | None:
    """Refuse intervals that were never opened, or whose gate has closed."""
    session = state.sessions.get(interval)
    if session is None:
        return Refusal(
            RefusalReason.UNKNOWN_INTERVAL, f"no session is open for {format_time(interval)}"
        )
    if session.closed_at is not None:
        # The event may be later than the gate: the clock acts before the next command.
        closed_at = min(session.closed_at, session.gate_closes_at)
        return Refusal(
            RefusalReason.GATE_CLOSED,
            f"the gate of {format_time(interval)} closed at {format_time(closed_at)}",
        )
    return None


def check_place(
    participant: str, connection_point: str, interval: datetime, state: State
) -> Refusal | None:
    """Refuse connection points that are unknown or another's, and intervals that do not trade."""
    terms = state.terms.get(connection_point)
    if terms is None:
        return Refusal(
            RefusalReason.UNKNOWN_CONNECTION_POINT,
            f"there is no connection point {connection_point}",
        )
    if terms.participant != participant:
        return Refusal(
            RefusalReason.NOT_OWNER,
            f"connection point {connection_point} does not belong to {participant}",
        )
    return check_interval(interval, state)


def check_quantity(quantity_w: int, rules: MarketRules) -> Refusal | None:
    """Refuse quantities that are not positive, too large, or not whole lots."""
    if quantity_w <= 0:
        return Refusal(
            RefusalReason.QUANTITY_INVALID, f"quantity of {quantity_w:,} W is not positive"
        )
    if rules.max_quantity_w is not None and quantity_w > rules.max_quantity_w:
        return Refusal(
            RefusalReason.ORDER_TOO_LARGE,
            f"quantity of {quantity_w:,} W exceeds the {rules.max_quantity_w:,} W "
            f"that one order may have",
        )
    if quantity_w % rules.lot_w:
        return Refusal(
            RefusalReason.OFF_LOT,
            f"quantity of {quantity_w:,} W is not a multiple of the lot of {rules.lot_w:,} W",
        )
    return None


def check_price(limit_price_ticks: int, rules: MarketRules) -> Refusal | None:
    """Refuse prices below zero or above the highest; at zero, limit is sold for nothing."""
    if limit_price_ticks < 0:
        return Refusal(
            RefusalReason.PRICE_INVALID,
            f"limit price of {price_text(limit_price_ticks, rules)} is negative",
        )
    if limit_price_ticks > rules.max_price_ticks:
        return Refusal(
            RefusalReason.PRICE_INVALID,
            f"limit price of {price_text(limit_price_ticks, rules)} is above "
            f"{price_text(rules.max_price_ticks, rules)}, the highest of this market",
        )
    return None


def effective_limit_price_ticks(terms: OrderTerms, state: State) -> int:
    """Return the limit price of an order; for a market order, the worst price in the books.

    O(1).  Where no order rests on the other side, a market order gets a price at which it does
    not trade.
    """
    if terms.limit_price_ticks is not None:
        return terms.limit_price_ticks
    session = state.sessions[terms.interval]
    found = [
        price_ticks
        for books in (session.books, session.conditional)
        if (price_ticks := books[terms.direction].worst_price_ticks(terms.side.opposite))
        is not None
    ]
    buys = terms.side is Side.BUY
    if state.rules.exchange_rate is ExchangeRate.ONE_TO_ONE:
        return (max if buys else min)(found, default=0)
    # The DSO issues watts at its reserve price and retires them below it, so it counts as an order
    # at that price; a market order does not sell to it.
    reserve_ticks = state.rules.reserve_price_ticks
    return max([*found, reserve_ticks]) if buys else max(min(found, default=0), reserve_ticks + 1)


def _check_price_of(terms: OrderTerms, session: Session, rules: MarketRules) -> Refusal | None:
    if terms.limit_price_ticks is None:
        return None
    return check_price(terms.limit_price_ticks, rules) or check_post_only(
        terms.conditions,
        terms.side,
        terms.limit_price_ticks,
        session.books[terms.direction],
        rules,
    )


def _check_expiry(
    time_in_force: TimeInForce,
    expires_at: datetime | None,
    gate_closes_at: datetime,
    now: datetime,
) -> Refusal | None:
    if time_in_force is not TimeInForce.GOOD_TILL_DATE:
        if expires_at is None:
            return None
        return Refusal(
            RefusalReason.EXPIRY_INVALID,
            f"{time_in_force} orders have no expiry, but {format_time(expires_at)} is given",
        )
    if expires_at is None:
        return Refusal(
            RefusalReason.EXPIRY_INVALID,
            f"GTD orders need an expiry, up to gate closure at {format_time(gate_closes_at)}",
        )
    if not now < expires_at <= gate_closes_at:
        return Refusal(
            RefusalReason.EXPIRY_INVALID,
            f"expiry at {format_time(expires_at)} is not after {format_time(now)} "
            f"and up to gate closure at {format_time(gate_closes_at)}",
        )
    return None
