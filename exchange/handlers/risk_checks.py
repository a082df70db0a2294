"""Checks of orders against the controls of the market operator: kill switch, collar, limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exchange.state.state import State
from exchange.vocabulary.formatting import amount_text, price_text
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import Refusal, RefusalReason
from exchange.vocabulary.rules import RiskLimits
from orderbook.order import Side
from security_check.model.envelope import Direction

RATE_WINDOW = timedelta(minutes=1)
"""The time over which the rate of orders is counted."""


@dataclass(frozen=True, slots=True)
class OrderExposure:
    """What the risk checks need of an order, new or amended, or of a leg.

    ``open_w`` is the quantity that it may still trade, ``amended`` the order that it replaces.
    """

    participant: str
    interval: datetime
    direction: Direction
    side: Side
    quantity_w: int
    open_w: int
    limit_price_ticks: int
    amended: Order | None = None


def check_risk(exposures: Sequence[OrderExposure], state: State, now: datetime) -> Refusal | None:
    """Refuse an order, or the legs of a joint order, that a control forbids.

    O(connection points of the participant * intervals), less where credit is not limited.
    """
    participant = exposures[0].participant  # All legs have one.
    refusal = check_kill_switch(participant, state)
    if refusal is not None:
        return refusal
    limits = state.controls.limits_of(participant)
    for each in exposures:
        refusal = (
            check_collar(each.limit_price_ticks, state)
            or check_size(participant, each.quantity_w, limits)
            or _check_position(each, limits, state)
        )
        if refusal is not None:
            return refusal
    rate = check_rate(participant, len(exposures), limits, state, now)
    return rate or _check_cost(exposures, limits, state)


def check_kill_switch(participant: str, state: State) -> Refusal | None:
    """Refuse orders of a participant whose kill switch, or that of the market, is engaged."""
    if not state.controls.is_killed(participant):
        return None
    whose = "of the market" if state.controls.market_killed else f"of {participant}"
    return Refusal(
        RefusalReason.KILL_SWITCH, f"the kill switch {whose} is engaged: no orders are taken"
    )


def check_collar(limit_price_ticks: int, state: State) -> Refusal | None:
    """Refuse limit prices outside the price collar."""
    collar = state.controls.collar
    if collar.contains(limit_price_ticks):
        return None
    bounds = [
        f"{word} {price_text(bound, state.rules)}"
        for word, bound in (("from", collar.min_price_ticks), ("to", collar.max_price_ticks))
        if bound is not None
    ]
    return Refusal(
        RefusalReason.OUTSIDE_COLLAR,
        f"limit price of {price_text(limit_price_ticks, state.rules)} is outside the "
        f"price collar {' '.join(bounds)}",
    )


def check_size(participant: str, quantity_w: int, limits: RiskLimits) -> Refusal | None:
    """Refuse quantities above the largest of one order."""
    if limits.max_quantity_w is None or quantity_w <= limits.max_quantity_w:
        return None
    return Refusal(
        RefusalReason.ORDER_TOO_LARGE,
        f"quantity of {quantity_w:,} W exceeds the {limits.max_quantity_w:,} W that one "
        f"order of {participant} may have",
    )


def check_rate(
    participant: str, legs_count: int, limits: RiskLimits, state: State, now: datetime
) -> Refusal | None:
    """Refuse orders above the rate; each leg of a joint order counts as an order."""
    most = limits.orders_per_minute
    if most is None:
        return None
    recent = state.controls.recent_orders(participant, now - RATE_WINDOW)
    if recent + legs_count <= most:
        return None
    legs = f", and this one counts {legs_count}, one for each leg" if legs_count > 1 else ""
    return Refusal(
        RefusalReason.TOO_FREQUENT,
        f"{participant} has placed or amended {recent} orders in the last minute{legs}, "
        f"at most {most} are allowed",
    )


def _check_position(exposure: OrderExposure, limits: RiskLimits, state: State) -> Refusal | None:
    """Refuse an order that could take net purchases or sales of an interval beyond the limit."""
    if limits.position_w is None:
        return None
    positions = state.positions_of(exposure.participant, exposure.interval, exposure.direction)
    sign = 1 if exposure.side is Side.BUY else -1
    traded_w = sign * sum(position.net_bought_w for position in positions)
    open_w = sum(
        position.sought_w if exposure.side is Side.BUY else position.reserved_w
        for position in positions
    )
    if exposure.amended is not None:
        open_w -= exposure.amended.remaining_w
    if traded_w + open_w + exposure.open_w <= limits.position_w:
        return None
    done = "bought" if exposure.side is Side.BUY else "sold"
    return Refusal(
        RefusalReason.EXCEEDS_POSITION,
        f"{exposure.side} of {exposure.open_w:,} W exceeds the position limit of "
        f"{limits.position_w:,} W of {exposure.participant}: {traded_w:,} W net are {done} and "
        f"{open_w:,} W are in open {exposure.side} orders",
    )


def _check_cost(
    exposures: Sequence[OrderExposure], limits: RiskLimits, state: State
) -> Refusal | None:
    bought = [each for each in exposures if each.side is Side.BUY]
    if not bought:
        return None
    cost = sum(each.open_w * each.limit_price_ticks for each in bought)
    return check_credit(bought[0].participant, cost, limits, state, bought[0].amended)


def check_credit(
    participant: str,
    cost: int,
    limits: RiskLimits,
    state: State,
    amended: Order | None = None,
) -> Refusal | None:
    """Refuse purchases that could take the participant's debt beyond the limit.

    ``cost`` is in tick-watts, ``amended`` the open order that the purchase replaces.
    """
    if limits.credit is None:
        return None
    owed = -state.ledger.balance(participant)
    committed = sum(
        position.sought_amount
        for interval in state.sessions
        for direction in Direction
        for position in state.positions_of(participant, interval, direction)
    )
    requests = state.flexible_orders_of(participant, side=Side.BUY)
    committed += sum(each.remaining_w * each.limit_price_ticks for each in requests)
    if amended is not None:
        committed -= amended.remaining_w * amended.limit_price_ticks
    if owed + committed + cost <= limits.credit:
        return None
    needed, limit = amount_text(cost, state.rules), amount_text(limits.credit, state.rules)
    return Refusal(
        RefusalReason.INSUFFICIENT_CREDIT,
        f"buy for up to {needed} exceeds the credit limit of {limit} of {participant}, of "
        f"which {amount_text(owed, state.rules)} are owed and "
        f"{amount_text(committed, state.rules)} are in open buy orders",
    )
