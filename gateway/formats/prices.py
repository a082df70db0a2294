"""Prices and amounts of money as decimal strings, and as whole numbers of the market's units."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.faults import InvalidMessageError

# At most 12 digits on each side of the point: finite, no exponent, and nothing overflows.
Price = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$")]
"""A price in EUR per kW of limit for the interval, or an amount in EUR."""


def price_in_ticks(
    price: str, tick: Decimal, reason: RefusalReason = RefusalReason.MALFORMED
) -> int:
    """Return a price in EUR per kW as a whole number of ticks.

    Raises
    ------
    InvalidMessageError
        When the price is not a multiple of the tick; with this ``reason``.
    """
    ticks = Decimal(price) / tick
    if ticks != ticks.to_integral_value():
        raise InvalidMessageError(
            f"price {price} is not a multiple of the tick of {tick} EUR per kW", reason
        )
    return int(ticks)


def amount_in_tick_watts(amount: str, tick: Decimal) -> int:
    """Return an amount in EUR as a whole number of tick-watts.

    Raises
    ------
    InvalidMessageError
        When the amount is not a multiple of a tick-watt.
    """
    tick_watts = Decimal(amount) * 1000 / tick
    if tick_watts != tick_watts.to_integral_value():
        raise InvalidMessageError(f"amount {amount} is not a multiple of {tick / 1000:f} EUR")
    return int(tick_watts)
