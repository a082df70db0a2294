"""Messages of the flexibility market: requests, reports, and what is public of it.

Cancels, mass cancels and refusals are those of all orders.  Prices are EUR per kW for the interval,
amounts EUR, both exact decimal strings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from doe_allocation.procurement.choices import FlexDirection
from exchange.vocabulary.commands import SubmitFlexibility
from exchange.vocabulary.flexibility import FlexibilityTerms
from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.identifiers import ClientId, PointId
from gateway.formats.order_terms import traded_interval
from gateway.formats.prices import Price, price_in_ticks
from gateway.formats.records import SignedWatts, Time
from gateway.messages.outgoing import OutgoingMessage
from gateway.messages.participant_reports import Report
from orderbook.order import Side


class _FlexibilityRequest(BaseModel):
    """Entries of both: the topic decides the participant, and ``time`` is the sender's clock."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    participant: str | None = None
    time: Time | None = None
    client_order_id: ClientId
    direction: FlexDirection
    interval: Time | None = None
    quantity_w: SignedWatts
    price: Price


class OfferFlexibility(_FlexibilityRequest):
    """Offer that the resource behind a connection point changes its power, at a least price."""

    type: Literal["offer_flexibility"]
    connection_point: PointId


class RequestFlexibility(_FlexibilityRequest):
    """Request that a resource changes its power for a bus, at a highest price.

    A ``conditional`` request may be activated or not, always with all offers matched to it.
    """

    type: Literal["request_flexibility"]
    bus: PointId
    conditional: bool = False


FlexibilityRequest = OfferFlexibility | RequestFlexibility


def flexibility_command(
    request: FlexibilityRequest,
    participant: str,
    tick: Decimal,
    intervals: Collection[datetime],
) -> SubmitFlexibility:
    """Return the command that a participant asks for.

    Parameters
    ----------
    request, participant
        The request and its sender.
    tick
        The price step, in EUR per kW.
    intervals
        Starts of the intervals that can be traded; where there is one, it need not be named.

    Raises
    ------
    InvalidMessageError
        When the price is not a multiple of the tick, or the interval must be named and is not.
    """
    offers = isinstance(request, OfferFlexibility)
    terms = FlexibilityTerms(
        Side.SELL if offers else Side.BUY,
        request.connection_point if isinstance(request, OfferFlexibility) else request.bus,
        request.direction,
        traded_interval(request.interval, intervals),
        request.quantity_w,
        price_in_ticks(request.price, tick, RefusalReason.PRICE_INVALID),
        isinstance(request, RequestFlexibility) and request.conditional,
    )
    return SubmitFlexibility(participant, request.client_order_id, terms)


def flexibility_entries(
    terms: FlexibilityTerms, bus: str, price: Callable[[int], str]
) -> dict[str, Any]:
    """Return the terms of an order as messages have them."""
    return {
        "side": terms.side,
        "connection_point": terms.place if terms.side is Side.SELL else None,
        "bus": bus,
        "direction": terms.direction,
        "interval": terms.interval,
        "quantity_w": terms.quantity_w,
        "price": price(terms.limit_price_ticks),
        "conditional": terms.conditional,
    }


class FlexibilityAcceptedReport(Report):
    """An offer or a request was accepted; ``bus`` is where it changes injection.

    An offer has the side ``sell`` and a ``connection_point``, a request ``buy`` and none.
    """

    type: Literal["flexibility_accepted"] = "flexibility_accepted"
    request: Literal["submit"] = "submit"
    request_id: str
    client_order_id: str
    order_id: int
    side: Side
    connection_point: str | None
    bus: str
    direction: FlexDirection
    interval: Time
    quantity_w: int
    price: str
    conditional: bool
    repeated: bool = False


class FlexibilityMatchedReport(Report):
    """What one order was matched at once; ``amount`` is positive where the participant pays.

    ``price`` is the average, ``amount / quantity_w``.
    """

    type: Literal["flexibility_matched"] = "flexibility_matched"
    trade_id: int
    client_order_id: str
    order_id: int
    side: Side
    direction: FlexDirection
    interval: Time
    quantity_w: int
    price: str
    amount: str


class FlexibilityBlockedReport(Report):
    """An order crosses others, but branches are full for (all of) these matches."""

    type: Literal["flexibility_blocked"] = "flexibility_blocked"
    client_order_id: str
    order_id: int
    interval: Time
    elements: tuple[str, ...]


class OpenFlexibility(OutgoingMessage):
    """An open order for flexibility; the keys are those of the report of its acceptance."""

    type: Literal["flexibility_accepted"] = "flexibility_accepted"
    client_order_id: str
    order_id: int
    side: Side
    connection_point: str | None
    bus: str
    direction: FlexDirection
    interval: Time
    quantity_w: int
    remaining_w: int
    price: str
    conditional: bool


class FlexibilityTradeMessage(OutgoingMessage):
    """Matches of one direction made at once, on the public tape, without identities.

    ``price`` is the average that requests paid.
    """

    trade_id: int
    time: Time
    interval: Time
    direction: FlexDirection
    quantity_w: int
    price: str


class FlexibilityLevel(OutgoingMessage):
    """The quantity that rests on one side at one bus and price, with or without a condition."""

    side: Side
    direction: FlexDirection
    bus: str
    price: str
    quantity_w: int
    conditional: bool


class FlexibilityBookMessage(OutgoingMessage):
    """All that rests in an interval; ``sequence`` is the number of its last event."""

    interval: Time
    sequence: int
    levels: tuple[FlexibilityLevel, ...]
