"""Requests of participants, in messages and in files alike: the one set of rules for both.

:mod:`gateway.messages.requests` reads them from messages, whose topic names the participant;
:mod:`gateway.formats.orders_file` reads them from lines, which name participant and time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    Command,
    MassCancel,
    SubmitJoint,
    SubmitOrder,
)
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.faults import InvalidMessageError
from gateway.formats.identifiers import ClientId, PointId
from gateway.formats.prices import Price, price_in_ticks
from gateway.formats.records import SignedWatts, Time
from gateway.formats.strict_json import read_request
from orderbook.order import (
    UNCONDITIONAL,
    OrderConditions,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from security_check.model.envelope import Direction


class _OrderRequest(BaseModel):
    """Entries of all requests.

    A message's topic decides the participant: the message may repeat it, but not differ.
    ``time`` is the sender's clock, for its own records; in a file it is the time of the request.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    participant: str | None = None
    time: Time | None = None


class SubmitRequest(_OrderRequest):
    """Place an order.

    A limit order has a ``price``, in EUR per kW of limit for the interval; a market order has
    none, and is immediate or cancel unless it is fill or kill.
    """

    type: Literal["submit"]
    client_order_id: ClientId
    connection_point: PointId
    direction: Direction
    interval: Time | None = None
    side: Side
    quantity_w: SignedWatts
    order_type: Literal["limit", "market"] = "limit"
    price: Price | None = None
    time_in_force: TimeInForce | None = None
    expires_at: Time | None = None
    post_only: bool = False
    all_or_none: bool = False
    minimum_quantity_w: SignedWatts | None = None
    displayed_quantity_w: SignedWatts | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST

    @model_validator(mode="after")
    def _priced_by_type(self) -> SubmitRequest:
        if self.order_type == "market" and self.price is not None:
            raise ValueError("a market order has no price")
        if self.order_type == "limit" and self.price is None:
            raise ValueError("a limit order needs a price")
        return self

    def effective_time_in_force(self) -> TimeInForce:
        """Return the time in force: the given one, else the default of the order type."""
        if self.time_in_force is not None:
            return self.time_in_force
        if self.order_type == "market":
            return TimeInForce.IMMEDIATE_OR_CANCEL
        return TimeInForce.GOOD_TILL_CANCEL

    def conditions(self) -> OrderConditions:
        """Return the conditions in the exchange's form."""
        conditions = OrderConditions(
            post_only=self.post_only,
            self_trade_prevention=self.self_trade_prevention,
            all_or_none=self.all_or_none,
            minimum_w=self.minimum_quantity_w,
            displayed_w=self.displayed_quantity_w,
        )
        return UNCONDITIONAL if conditions == UNCONDITIONAL else conditions


class LinkedLeg(BaseModel):
    """One leg of a linked pair."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    connection_point: PointId
    direction: Direction
    interval: Time | None = None
    side: Side
    quantity_w: SignedWatts
    price: Price


class _JointRequest(_OrderRequest):
    """Entries of all joint orders."""

    client_order_id: ClientId
    expires_at: Time | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST


class BlockRequest(_JointRequest):
    """Place one order over several intervals: the same in each, or all or nothing."""

    type: Literal["block"]
    connection_point: PointId
    direction: Direction
    intervals: tuple[Time, ...]
    side: Side
    quantity_w: SignedWatts
    price: Price
    all_or_none: bool = False


class LinkedRequest(_JointRequest):
    """Place two orders of which one trades only with the other, both in full."""

    type: Literal["linked"]
    legs: tuple[LinkedLeg, LinkedLeg]


class _ChangeRequest(_OrderRequest):
    """Entries of the requests about orders that were placed before.

    A message must have an id of its own; a line of a file may leave it out.
    """

    request_id: ClientId | None = None


class CancelRequest(_ChangeRequest):
    """Take the rest of one's own order out of the book."""

    type: Literal["cancel"]
    client_order_id: ClientId


class AmendRequest(_ChangeRequest):
    """Change price, total quantity, or both, of one's own resting order."""

    type: Literal["amend"]
    client_order_id: ClientId
    quantity_w: SignedWatts | None = None
    price: Price | None = None


class MassCancelRequest(_ChangeRequest):
    """Cancel all of one's own orders, or those that match every entry given."""

    type: Literal["mass_cancel"]
    interval: Time | None = None
    connection_point: PointId | None = None
    direction: Direction | None = None
    side: Side | None = None

    @property
    def client_order_id(self) -> None:
        """A mass cancel is about many orders, so it names none."""
        return None


OrderRequest = (
    SubmitRequest | BlockRequest | LinkedRequest | CancelRequest | AmendRequest | MassCancelRequest
)
_ORDER: TypeAdapter[OrderRequest] = TypeAdapter(
    Annotated[OrderRequest, Field(discriminator="type")]
)


def read_order(text: bytes, required: Sequence[str] = ()) -> OrderRequest:
    """Return the request of a participant in a message or a line.

    Parameters
    ----------
    text
        The message or line.
    required
        Entries that a message may leave out and this line may not.

    Raises
    ------
    InvalidMessageError
        When it is too large, or is no such request.
    """
    return read_request(_ORDER, text, required)


def order_command(
    request: OrderRequest,
    participant: str,
    tick: Decimal,
    intervals: Collection[datetime],
    usual_id: str | None = None,
) -> Command:
    """Return the command that a participant asks for.

    Parameters
    ----------
    request, participant
        The request and its sender.
    tick
        The price step, in EUR per kW.
    intervals
        Starts of the intervals that can be traded; where there is one, it need not be named.
    usual_id
        The id of a cancel, amendment or mass cancel that has none; ``None`` where it must have one.

    Raises
    ------
    InvalidMessageError
        When a price is not a multiple of the tick, or an id or an interval must be named and is
        not.
    """
    if isinstance(request, CancelRequest | AmendRequest | MassCancelRequest):
        return _change_command(request, participant, tick, usual_id)
    match request:
        case SubmitRequest():
            return SubmitOrder(
                participant, request.client_order_id, _terms(request, tick, intervals)
            )
        case BlockRequest() | LinkedRequest():
            return SubmitJoint(
                participant=participant,
                client_order_id=request.client_order_id,
                legs=_legs(request, tick, intervals),
                all_or_none=isinstance(request, LinkedRequest) or request.all_or_none,
                expires_at=request.expires_at,
                self_trade_prevention=request.self_trade_prevention,
            )


def _change_command(
    request: CancelRequest | AmendRequest | MassCancelRequest,
    participant: str,
    tick: Decimal,
    usual_id: str | None,
) -> Command:
    request_id = request.request_id or usual_id
    if request_id is None:
        raise InvalidMessageError("request_id: it is missing")
    match request:
        case CancelRequest():
            return CancelOrder(participant, request_id, request.client_order_id)
        case AmendRequest():
            return AmendOrder(
                participant,
                request_id,
                request.client_order_id,
                request.quantity_w,
                None if request.price is None else _ticks(request.price, tick),
            )
        case MassCancelRequest():
            return MassCancel(
                participant,
                request_id,
                request.interval,
                request.connection_point,
                request.direction,
                request.side,
            )


def names_intervals(request: OrderRequest) -> bool:
    """Return whether a request names every interval that it is about."""
    match request:
        case SubmitRequest():
            return request.interval is not None
        case LinkedRequest():
            return all(leg.interval is not None for leg in request.legs)
    return True


def _terms(request: SubmitRequest, tick: Decimal, intervals: Collection[datetime]) -> OrderTerms:
    return OrderTerms(
        connection_point=request.connection_point,
        direction=request.direction,
        interval=traded_interval(request.interval, intervals),
        side=request.side,
        quantity_w=request.quantity_w,
        limit_price_ticks=None if request.price is None else _ticks(request.price, tick),
        time_in_force=request.effective_time_in_force(),
        expires_at=request.expires_at,
        conditions=request.conditions(),
    )


def traded_interval(interval: datetime | None, intervals: Collection[datetime]) -> datetime:
    """Return the interval that a request names, or the only one that can be traded.

    Raises
    ------
    InvalidMessageError
        When the request names none, and not exactly one can be traded.
    """
    if interval is not None:
        return interval
    if len(intervals) != 1:
        raise InvalidMessageError(
            f"interval: it is missing, and {len(intervals)} intervals are open for trading",
            for_now=True,
        )
    return next(iter(intervals))


def _legs(
    request: BlockRequest | LinkedRequest, tick: Decimal, intervals: Collection[datetime]
) -> tuple[Leg, ...]:
    if isinstance(request, BlockRequest):
        return tuple(_leg(request, start, tick) for start in request.intervals)
    return tuple(
        _leg(each, traded_interval(each.interval, intervals), tick) for each in request.legs
    )


def _leg(terms: BlockRequest | LinkedLeg, interval: datetime, tick: Decimal) -> Leg:
    return Leg(
        terms.connection_point,
        terms.direction,
        interval,
        terms.side,
        terms.quantity_w,
        _ticks(terms.price, tick),
    )


def _ticks(price: str, tick: Decimal) -> int:
    return price_in_ticks(price, tick, RefusalReason.PRICE_INVALID)
