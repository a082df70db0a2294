"""Lines of an orders file, turned into commands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from exchange.vocabulary.commands import AmendOrder, CancelOrder, Command, MassCancel, SubmitOrder
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import MarketRules
from gateway.orders_file import (
    AmendLine,
    BlockLine,
    CancelLine,
    LinkedLine,
    MassCancelLine,
    OrderLine,
    SubmitLine,
)
from gateway.unfit import UnfitError, price_in_ticks


def command_of(order: OrderLine, rules: MarketRules, intervals: Sequence[datetime]) -> Command:
    """Return what a line asks for.

    Parameters
    ----------
    order
        The line.
    rules
        For the tick.
    intervals
        Starts of all intervals there are; where there is one, a line may leave it out.

    Raises
    ------
    UnfitError
        When a price is between two ticks, or an interval is missing.
    """
    who = order.participant
    match order:
        case CancelLine():
            return CancelOrder(who, order.client_order_id)
        case MassCancelLine():
            return MassCancel(
                who, order.interval, order.connection_point, order.direction, order.side
            )
        case AmendLine():
            ticks = _ticks(order.price, rules)
            return AmendOrder(who, order.client_order_id, order.quantity_w, ticks)
        case BlockLine():
            return order.joint(who, order.client_order_id, _whole_ticks(order.price, rules))
        case LinkedLine():
            legs = tuple(
                leg.leg(_interval(leg.interval, intervals), _whole_ticks(leg.price, rules))
                for leg in order.legs
            )
            return order.joint(who, order.client_order_id, legs)
        case SubmitLine():
            return SubmitOrder(
                participant=who,
                client_order_id=order.client_order_id,
                connection_point=order.connection_point,
                direction=order.direction,
                side=order.side,
                quantity_w=order.quantity_w,
                limit_price_ticks=_ticks(order.price, rules),
                interval=_interval(order.interval, intervals),
                time_in_force=order.effective_time_in_force(),
                expires_at=order.expires_at,
                conditions=order.conditions(),
            )


def named_intervals(order: OrderLine) -> list[datetime]:
    """Return the intervals that a new order names."""
    match order:
        case SubmitLine():
            named = [order.interval]
        case BlockLine():
            named = list(order.intervals)
        case LinkedLine():
            named = [leg.interval for leg in order.legs]
        case _:
            named = []
    return [start for start in named if start is not None]


def named_points(order: OrderLine) -> list[str]:
    """Return the connection points that a new order names."""
    match order:
        case SubmitLine() | BlockLine():
            return [order.connection_point]
        case LinkedLine():
            return [leg.connection_point for leg in order.legs]
        case _:
            return []


def _ticks(price: str | None, rules: MarketRules) -> int | None:
    return None if price is None else _whole_ticks(price, rules)


def _whole_ticks(price: str, rules: MarketRules) -> int:
    try:
        return price_in_ticks(price, rules.tick)
    except UnfitError as unfit:
        raise UnfitError(str(unfit), RefusalReason.PRICE_INVALID) from None


def _interval(interval: datetime | None, intervals: Sequence[datetime]) -> datetime:
    if interval is not None:
        return interval
    if len(intervals) > 1:
        raise UnfitError(f"interval: it is missing, and the scenario has {len(intervals)}")
    return intervals[0]
