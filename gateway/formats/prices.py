"""Messages that cannot become commands, and what makes a price or an id fit."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from exchange.vocabulary.reasons import RefusalReason

ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:\-]{1,64}$")]


class InvalidMessageError(Exception):
    """A message is not fit to become a command; the text is a sentence for its sender."""

    def __init__(self, detail: str, reason: RefusalReason = RefusalReason.MALFORMED) -> None:
        super().__init__(detail)
        self.reason = reason


def price_in_ticks(price: str, tick: Decimal) -> int:
    """Return a price in EUR per kW as a whole number of ticks.

    Raises
    ------
    InvalidMessageError
        When it lies between two.
    """
    ticks = Decimal(price) / tick
    if ticks != ticks.to_integral_value():
        raise InvalidMessageError(
            f"price {price} is not a multiple of the tick of {tick} EUR per kW"
        )
    return int(ticks)


def amount_in_tick_watts(amount: str, tick: Decimal) -> int:
    """Return an amount in EUR as a whole number of tick-watts.

    Raises
    ------
    InvalidMessageError
        When it lies between two.
    """
    tick_watts = Decimal(amount) * 1000 / tick
    if tick_watts != tick_watts.to_integral_value():
        raise InvalidMessageError(f"amount {amount} is not a multiple of {tick / 1000:f} EUR")
    return int(tick_watts)
