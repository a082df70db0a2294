"""Requests as messages: what Python says, in the words of ``docs/formats``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from exchange.vocabulary.formatting import format_time
from orderbook.order import SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction

Price = Decimal | str
"""EUR per kW of limit for the interval, exact: a text or a ``Decimal``."""

Moment = datetime | str
"""A time with an offset, or its text."""


class Conditions(TypedDict, total=False):
    """What an order may ask for beyond quantity and price; see ``docs/formats/orders.md``."""

    time_in_force: TimeInForce | str
    expires_at: Moment
    post_only: bool
    all_or_none: bool
    minimum_quantity_w: int
    displayed_quantity_w: int
    self_trade_prevention: SelfTradePrevention | str


class JointConditions(TypedDict, total=False):
    """What a block or a linked pair may ask for."""

    expires_at: Moment
    self_trade_prevention: SelfTradePrevention | str


@dataclass(frozen=True, slots=True)
class LegTerms:
    """One leg of a linked pair: which limit, how many watts, the limit price in EUR per kW."""

    connection_point: str
    direction: Direction | str
    side: Side | str
    quantity_w: int
    price: Price
    interval: Moment | None = None


def request_of(kind: str | None, **entries: Any) -> dict[str, Any]:
    """Return a request; entries that are ``None`` are left out.

    Raises
    ------
    TypeError
        When a price is a float, which is rarely the number that was meant.
    ValueError
        When a time has no offset.
    """
    given = {name: _value(name, value) for name, value in entries.items() if value is not None}
    return given if kind is None else {"type": kind} | given


def _value(name: str, value: Any) -> Any:
    match value:
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"{name}: {value} has no offset")
            return format_time(value)
        case float() if name in ("price", "min_price", "max_price", "credit"):
            raise TypeError(f"{name}: {value!r} is a float; write Decimal or str")
        case Decimal():
            return f"{value:f}"
        case LegTerms():
            return request_of(
                None,
                connection_point=value.connection_point,
                direction=value.direction,
                side=value.side,
                quantity_w=value.quantity_w,
                price=value.price,
                interval=value.interval,
            )
        case list() | tuple():
            return [_value(name, each) for each in value]
    return value
