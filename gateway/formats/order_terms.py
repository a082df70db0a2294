"""What an order may say of its price, time and conditions, in messages and in files alike."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from exchange.vocabulary.commands import SubmitJoint
from exchange.vocabulary.orders import Leg
from gateway.formats.records import Time
from orderbook.order import (
    UNCONDITIONAL,
    OrderConditions,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from security_check.model.envelope import Direction

# At most 12 digits on each side of the point: finite, no exponent, and nothing overflows.
Price = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$")]
# Ids are compared, never interpreted; this only keeps what is echoed short and printable: no
# control characters, nothing that turns the direction of writing, no other line ends.
PointId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\p{C}\p{Zl}\p{Zp}]+$")]
Watts = Annotated[int, Field(ge=-(10**12), le=10**12)]


class OrderTermsFields(BaseModel):
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
    def _priced_by_type(self) -> OrderTermsFields:
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

    def conditions(self) -> OrderConditions:
        """Return the conditions as the exchange takes them."""
        conditions = OrderConditions(
            post_only=self.post_only,
            self_trade_prevention=self.self_trade_prevention,
            all_or_none=self.all_or_none,
            minimum_w=self.minimum_quantity_w,
            displayed_w=self.displayed_quantity_w,
        )
        return UNCONDITIONAL if conditions == UNCONDITIONAL else conditions


class LegTerms(BaseModel):
    """One leg of a linked pair."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    connection_point: PointId
    direction: Direction
    interval: Time | None = None
    side: Side
    quantity_w: Watts
    price: Price

    def leg(self, interval: datetime, limit_price_ticks: int) -> Leg:
        """Return the leg as the exchange takes it."""
        return Leg(
            self.connection_point,
            self.direction,
            interval,
            self.side,
            self.quantity_w,
            limit_price_ticks,
        )


class JointTerms(BaseModel):
    """What all joint orders may say."""

    expires_at: Time | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST


class BlockTerms(JointTerms):
    """One order over several intervals: the same in each, or all or nothing."""

    connection_point: PointId
    direction: Direction
    intervals: tuple[Time, ...]
    side: Side
    quantity_w: Watts
    price: Price
    all_or_none: bool = False

    def joint(self, participant: str, client_order_id: str, price_ticks: int) -> SubmitJoint:
        """Return the command it asks for."""
        legs = tuple(
            Leg(
                self.connection_point,
                self.direction,
                interval,
                self.side,
                self.quantity_w,
                price_ticks,
            )
            for interval in self.intervals
        )
        return SubmitJoint(
            participant,
            client_order_id,
            legs,
            self.all_or_none,
            self.expires_at,
            self.self_trade_prevention,
        )


class LinkedTerms(JointTerms):
    """Two orders of which one trades only with the other, both in full."""

    legs: tuple[LegTerms, LegTerms]

    def joint(self, participant: str, client_order_id: str, legs: tuple[Leg, ...]) -> SubmitJoint:
        """Return the command it asks for."""
        return SubmitJoint(
            participant,
            client_order_id,
            legs,
            True,
            self.expires_at,
            self.self_trade_prevention,
        )
