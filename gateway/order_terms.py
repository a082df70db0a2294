"""What an order may say of its price, time and conditions, in messages and in files alike."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from gateway.files import Time
from orderbook.order import (
    UNCONDITIONAL,
    Conditions,
    SelfTradePrevention,
    TimeInForce,
)

# At most 12 digits on each side of the point: finite, no exponent, and nothing overflows.
Price = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$")]
Watts = Annotated[int, Field(ge=-(10**12), le=10**12)]


class OrderTerms(BaseModel):
    """Price, time in force and conditions of an order.

    A limit order has a ``price``, in EUR per kW of limit for the interval; a market order has
    none, and is immediate or cancel unless it is fill or kill.
    """

    order_type: Literal["limit", "market"] = "limit"
    price: Price | None = None
    time_in_force: TimeInForce | None = None
    expires_at: Time | None = None
    post_only: bool = False
    all_or_none: bool = False
    minimum_quantity_w: Watts | None = None
    displayed_quantity_w: Watts | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST

    @model_validator(mode="after")
    def _priced_by_type(self) -> OrderTerms:
        if self.order_type == "market" and self.price is not None:
            raise ValueError("a market order has no price")
        if self.order_type == "limit" and self.price is None:
            raise ValueError("a limit order needs a price")
        return self

    def effective_time_in_force(self) -> TimeInForce:
        """Return the time in force, where none is given that which suits the type."""
        if self.time_in_force is not None:
            return self.time_in_force
        if self.order_type == "market":
            return TimeInForce.IMMEDIATE_OR_CANCEL
        return TimeInForce.GOOD_TILL_CANCEL

    def conditions(self) -> Conditions:
        """Return the conditions as the exchange takes them."""
        conditions = Conditions(
            post_only=self.post_only,
            self_trade_prevention=self.self_trade_prevention,
            all_or_none=self.all_or_none,
            minimum_w=self.minimum_quantity_w,
            displayed_w=self.displayed_quantity_w,
        )
        return UNCONDITIONAL if conditions == UNCONDITIONAL else conditions
