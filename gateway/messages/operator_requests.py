"""Messages of the market operator and the meter operator, and their commands."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from exchange.vocabulary.commands import (
    ControlCommand,
    HaltTrading,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SubmitReading,
)
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import EVERY_PARTICIPANT, BuyBack, PriceCollar, RiskLimits
from gateway.formats.faults import InvalidMessageError
from gateway.formats.identifiers import ClientId, PointId
from gateway.formats.prices import Price, amount_in_tick_watts, price_in_ticks
from gateway.formats.records import SignedWatts, Time
from security_check.model.envelope import Direction

Participant = Annotated[str, Field(min_length=1, max_length=128)]
Count = Annotated[int, Field(ge=0, le=10**6)]


class _ControlMessage(BaseModel):
    """Entries of every control: the operator's own key, and the sender's clock."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    control_id: ClientId
    time: Time | None = None


class PriceCollarMessage(_ControlMessage):
    """Set the lowest and highest limit price, in EUR per kW; a missing bound is none."""

    type: Literal["price_collar"]
    min_price: Price | None = None
    max_price: Price | None = None


class RiskLimitsMessage(_ControlMessage):
    """Set limits of a participant, or (``"*"``) of all without limits of their own.

    ``credit`` is in EUR; a missing entry is no limit.
    """

    type: Literal["risk_limits"]
    participant: Participant
    max_quantity_w: SignedWatts | None = None
    orders_per_minute: Count | None = None
    position_w: SignedWatts | None = None
    credit: Price | None = None


class KillSwitchMessage(_ControlMessage):
    """Cancel all orders of a participant, or (``"*"``) of all, and refuse new ones; or release."""

    type: Literal["kill_switch"]
    participant: Participant
    engaged: bool


class HaltMessage(_ControlMessage):
    """Halt trading in one interval, or in all intervals."""

    type: Literal["halt"]
    interval: Time | None = None


class ResumeMessage(_ControlMessage):
    """End a halt of the same extent."""

    type: Literal["resume"]
    interval: Time | None = None


class BuyBackMessage(_ControlMessage):
    """Buy sell orders back before curtailing, up to ``price`` in EUR per kW; 0 W ends it."""

    type: Literal["buy_back"]
    interval: Time
    direction: Direction
    quantity_w: SignedWatts
    price: Price


ControlMessage = (
    PriceCollarMessage
    | RiskLimitsMessage
    | KillSwitchMessage
    | HaltMessage
    | ResumeMessage
    | BuyBackMessage
)
CONTROL: TypeAdapter[ControlMessage] = TypeAdapter(
    Annotated[ControlMessage, Field(discriminator="type")]
)


def control_command(message: ControlMessage, tick: Decimal) -> ControlCommand:
    """Return the command of a control message.

    Raises
    ------
    InvalidMessageError
        When a price or an amount is not a multiple of the tick.
    """

    def ticks(price: str | None) -> int | None:
        return None if price is None else price_in_ticks(price, tick)

    interval: datetime | None
    match message:
        case PriceCollarMessage():
            collar = PriceCollar(ticks(message.min_price), ticks(message.max_price))
            return SetPriceCollar(message.control_id, collar)
        case RiskLimitsMessage():
            limits = RiskLimits(
                max_quantity_w=message.max_quantity_w,
                orders_per_minute=message.orders_per_minute,
                position_w=message.position_w,
                credit=None
                if message.credit is None
                else amount_in_tick_watts(message.credit, tick),
            )
            return SetRiskLimits(message.control_id, _whom(message), limits)
        case KillSwitchMessage():
            return SetKillSwitch(message.control_id, _whom(message), message.engaged)
        case HaltMessage(interval=interval):
            return HaltTrading(message.control_id, interval)
        case ResumeMessage(interval=interval):
            return ResumeTrading(message.control_id, interval)
        case BuyBackMessage():
            wanted = BuyBack(message.quantity_w, price_in_ticks(message.price, tick))
            return SetBuyBack(message.control_id, message.interval, message.direction, wanted)


def _whom(message: RiskLimitsMessage | KillSwitchMessage) -> str | None:
    """Return the participant of a control, ``None`` for all; a message must say that it is all."""
    return None if message.participant == EVERY_PARTICIPANT else message.participant


class MeterMessage(BaseModel):
    """Mean power metered over one interval, in whole watts; one that is missing is 0.

    The topic decides the connection point: a message may repeat it, but not differ.
    ``time`` is the sender's clock, for its own records.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    reading_id: ClientId
    interval: Time
    connection_point: PointId | None = None
    injection_w: SignedWatts | None = None
    withdrawal_w: SignedWatts | None = None
    time: Time | None = None

    @model_validator(mode="after")
    def _has_power(self) -> MeterMessage:
        if self.injection_w is None and self.withdrawal_w is None:
            raise ValueError("a reading needs injection_w or withdrawal_w")
        return self


METER: TypeAdapter[MeterMessage] = TypeAdapter(MeterMessage)


def meter_command(message: MeterMessage, connection_point: str) -> SubmitReading:
    """Return the command of a reading.

    Raises
    ------
    InvalidMessageError
        When the message names another connection point than its topic.
    """
    if message.connection_point not in (None, connection_point):
        raise InvalidMessageError(
            f"this is the topic of {connection_point}, and the message names another connection "
            "point",
            RefusalReason.UNAUTHORISED,
        )
    return SubmitReading(
        reading_id=message.reading_id,
        interval=message.interval,
        connection_point=connection_point,
        injection_w=message.injection_w or 0,
        withdrawal_w=message.withdrawal_w or 0,
    )
