"""What became of one order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from doe_exchange.order_lines import Price
from exchange.engine import Exchange
from exchange.vocabulary.events import (
    Event,
    Fill,
    MatchBlocked,
    OrderCancelled,
    OrderReduced,
    Refused,
    Traded,
)
from exchange.vocabulary.orders import Order as OpenOrder
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import MarketRules
from gateway.formats.order_terms import BlockRequest, LinkedRequest, SubmitRequest

NewOrder = SubmitRequest | BlockRequest | LinkedRequest
OwnEvent = Fill | MatchBlocked | OrderCancelled | OrderReduced


Change = Callable[["Order", Mapping[str, Any], datetime | str | None], None]


class OrderStatus(StrEnum):
    """Where an order stands."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """An order that was sent to a market; its properties follow what happens to it.

    Parameters
    ----------
    participant
        The participant that sent it.
    request
        What was asked, as an orders file has it.
    refusal
        The exchange's answer where it refused the order.
    """

    participant: str
    request: NewOrder
    refusal: Refused | None
    _log: OrderLog

    @property
    def client_order_id(self) -> str:
        """Its id, unique among the participant's orders."""
        return self.request.client_order_id

    @property
    def status(self) -> OrderStatus:
        """Open, filled, cancelled (the rest of it) or refused."""
        if self.refusal is not None:
            return OrderStatus.REFUSED
        if self._log.open_orders(self):
            return OrderStatus.OPEN
        left = any(isinstance(event, OrderCancelled) for event in self._log.own_events(self))
        return OrderStatus.CANCELLED if left else OrderStatus.FILLED

    @property
    def fills(self) -> tuple[Fill, ...]:
        """What it traded, clearing by clearing; all legs of a joint order."""
        return tuple(event for event in self._log.own_events(self) if isinstance(event, Fill))

    @property
    def filled_w(self) -> int:
        """How much has traded, in watts, all legs together."""
        return sum(fill.quantity_w for fill in self.fills)

    @property
    def remaining_w(self) -> int:
        """How much may still trade, in watts, all legs together; 0 where it is not open."""
        return sum(order.remaining_w for order in self._log.open_orders(self))

    @property
    def amount_eur(self) -> Decimal:
        """What it pays for its trades, exact; negative where it receives."""
        return self._log.rules.amount_in_eur(sum(fill.amount for fill in self.fills))

    @property
    def average_price(self) -> float | None:
        """EUR per kW over all its trades; ``None`` before the first."""
        change_w = sum(fill.change_w for fill in self.fills)
        if not change_w:
            return None
        ticks = Fraction(sum(fill.amount for fill in self.fills), change_w)
        return float(ticks * Fraction(self._log.rules.tick))

    @property
    def reason(self) -> RefusalReason | None:
        """Why it was refused; ``None`` where it was not."""
        return None if self.refusal is None else self.refusal.reason

    @property
    def detail(self) -> str:
        """A sentence on why it was refused, cancelled, or could not trade; else empty."""
        if self.refusal is not None:
            return self.refusal.detail
        for event in reversed(self._log.own_events(self)):
            match event:
                case OrderCancelled():
                    return f"its rest of {event.remaining_w:,} W was cancelled: {event.reason}"
                case OrderReduced():
                    return f"curtailment lowered it by {event.reduced_by_w:,} W"
                case MatchBlocked() if self.status is OrderStatus.OPEN:
                    return event.detail
        return ""

    def cancel(self, at: datetime | str | None = None) -> None:
        """Take the rest of it out of the book.

        Raises
        ------
        InputFaults
            When the exchange refuses that, for example because the order has traded in full.
        """
        self._log.change(self, {"type": "cancel"}, at)

    def amend(
        self,
        *,
        quantity_w: int | None = None,
        price: Price | None = None,
        at: datetime | str | None = None,
    ) -> None:
        """Change price, total quantity (the traded part included), or both.

        Lowering only the quantity keeps time priority; every other change loses it.

        Raises
        ------
        InputFaults
            When the exchange refuses that.
        InvalidMessageError
            When a value has the wrong type, or the price lies between two ticks.
        """
        change = {"type": "amend", "quantity_w": quantity_w, "price": price}
        self._log.change(self, change, at)

    def __repr__(self) -> str:
        said = f"{self.participant} {self.client_order_id}: {self.what}; {self.status}"
        if self.filled_w:
            said += f", {self.filled_w:,} W traded"
            if self.average_price is not None:
                said += f" at {self.average_price:.6g} EUR per kW"
        return f"<Order {said}{f' ({self.detail})' if self.detail else ''}>"

    @property
    def what(self) -> str:
        """What was asked, in words."""
        match self.request:
            case SubmitRequest() as order:
                price = "at market" if order.price is None else f"at {order.price} EUR per kW"
                quantity = f"{order.side} {order.quantity_w:,} W {order.direction}"
                return f"{quantity} of {order.connection_point} {price}"
            case BlockRequest() as order:
                quantity = f"{order.side} {order.quantity_w:,} W {order.direction}"
                where = f"of {order.connection_point} in {len(order.intervals)} intervals"
                return f"{quantity} {where} at {order.price} EUR per kW"
            case LinkedRequest() as order:
                legs = (
                    f"{leg.side} {leg.quantity_w:,} W {leg.direction} of {leg.connection_point}"
                    for leg in order.legs
                )
                return "only together: " + " and ".join(legs)


class OrderLog:
    """What happens to the orders of a market.

    Parameters
    ----------
    exchange
        Knows what is open.
    change
        Sends what an owner asks about an order: entries of an orders file, and when.
    """

    def __init__(self, exchange: Exchange, change: Change) -> None:
        self.exchange = exchange
        self.change = change
        self._own: dict[tuple[str, str], list[OwnEvent]] = {}

    @property
    def rules(self) -> MarketRules:
        """The market's rules, for its tick."""
        return self.exchange.state.rules

    def follow(self, events: Iterable[Event]) -> None:
        """Note what happens to orders."""
        for event in events:
            match event:
                case Traded():
                    for fill in event.fills:
                        self._note(fill)
                case MatchBlocked() | OrderCancelled() | OrderReduced():
                    self._note(event)

    def _note(self, event: OwnEvent) -> None:
        key = (event.participant, event.client_order_id)
        self._own.setdefault(key, []).append(event)

    def order(self, participant: str, request: NewOrder, events: Iterable[Event]) -> Order:
        """Return an order that was sent; ``events`` are the exchange's answer."""
        refused = [event for event in events if isinstance(event, Refused)]
        if not refused:  # the id may have been sent, and refused, before
            found = self.exchange.state.answers.find(participant, request.client_order_id)
            first = None if found is None else found.event
            refused = [first] if isinstance(first, Refused) else []
        return Order(participant, request, refused[0] if refused else None, self)

    def open_orders(self, order: Order) -> list[OpenOrder]:
        """Return what is open of an order, one entry for each leg."""
        mine = self.exchange.state.orders_of(order.participant)
        return [each for each in mine if each.client_order_id == order.client_order_id]

    def own_events(self, order: Order) -> Sequence[OwnEvent]:
        """Return what happened to an order, oldest first."""
        return self._own.get((order.participant, order.client_order_id), ())
