"""What became of one order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from exchange.vocabulary.events import Fill, MatchBlocked, OrderCancelled, OrderReduced, Refused
from exchange.vocabulary.orders import Order as OpenOrder
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import MarketRules
from gateway.formats.orders_file import BlockLine, LinkedLine, SubmitLine

Price = str | Decimal | float
"""EUR per kW of limit for the interval; a float counts as it is printed."""

NewOrder = SubmitLine | BlockLine | LinkedLine
OwnEvent = Fill | MatchBlocked | OrderCancelled | OrderReduced


class OrderStatus(StrEnum):
    """Where an order stands."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Desk:
    """What an order asks its market.

    Parameters
    ----------
    rules
        For tick and lot.
    open_orders
        Returns the open orders of an order's participant and client order id, one for each leg.
    own_events
        Returns what happened to it so far.
    cancel, amend
        Carry out what an owner asks.
    """

    rules: MarketRules
    open_orders: Callable[[Order], Sequence[OpenOrder]]
    own_events: Callable[[Order], Sequence[OwnEvent]]
    cancel: Callable[[Order, datetime | str | None], None]
    amend: Callable[[Order, int | None, Price | None, datetime | str | None], None]


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """An order that was sent to a market; its properties follow what happens to it.

    Parameters
    ----------
    request
        What was asked, as an orders file has it.
    refusal
        The exchange's answer where it refused the order.
    """

    request: NewOrder
    refusal: Refused | None
    _desk: Desk = field(repr=False)

    @property
    def participant(self) -> str:
        """Whose it is."""
        return self.request.participant

    @property
    def client_order_id(self) -> str:
        """Its id, unique among the participant's orders."""
        return self.request.client_order_id

    @property
    def status(self) -> OrderStatus:
        """Open, filled, cancelled (the rest of it) or refused."""
        if self.refusal is not None:
            return OrderStatus.REFUSED
        if self._desk.open_orders(self):
            return OrderStatus.OPEN
        left = any(isinstance(event, OrderCancelled) for event in self._desk.own_events(self))
        return OrderStatus.CANCELLED if left else OrderStatus.FILLED

    @property
    def fills(self) -> tuple[Fill, ...]:
        """What it traded, clearing by clearing; all legs of a joint order."""
        return tuple(event for event in self._desk.own_events(self) if isinstance(event, Fill))

    @property
    def filled_w(self) -> int:
        """How much has traded, in watts, all legs together."""
        return sum(fill.quantity_w for fill in self.fills)

    @property
    def remaining_w(self) -> int:
        """How much may still trade, in watts, all legs together; 0 where it is not open."""
        return sum(order.remaining_w for order in self._desk.open_orders(self))

    @property
    def amount_eur(self) -> Decimal:
        """What it pays for its trades, exact; negative where it receives."""
        return self._desk.rules.amount_in_eur(sum(fill.amount for fill in self.fills))

    @property
    def average_price(self) -> float | None:
        """EUR per kW over all its trades; ``None`` before the first."""
        change_w = sum(fill.change_w for fill in self.fills)
        if not change_w:
            return None
        ticks = Fraction(sum(fill.amount for fill in self.fills), change_w)
        return float(ticks * Fraction(self._desk.rules.tick))

    @property
    def reason(self) -> RefusalReason | None:
        """Why it was refused; ``None`` where it was not."""
        return None if self.refusal is None else self.refusal.reason

    @property
    def detail(self) -> str:
        """A sentence on why it was refused, cancelled, or could not trade; else empty."""
        if self.refusal is not None:
            return self.refusal.detail
        for event in reversed(self._desk.own_events(self)):
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
            When the exchange refuses that, for example because it is not open.
        """
        self._desk.cancel(self, at)

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
        """
        self._desk.amend(self, quantity_w, price, at)

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
            case SubmitLine() as order:
                price = "at market" if order.price is None else f"at {order.price} EUR per kW"
                quantity = f"{order.side} {order.quantity_w:,} W {order.direction}"
                return f"{quantity} of {order.connection_point} {price}"
            case BlockLine() as order:
                quantity = f"{order.side} {order.quantity_w:,} W {order.direction}"
                where = f"of {order.connection_point} in {len(order.intervals)} intervals"
                return f"{quantity} {where} at {order.price} EUR per kW"
            case LinkedLine() as order:
                legs = (
                    f"{leg.side} {leg.quantity_w:,} W {leg.direction} of {leg.connection_point}"
                    for leg in order.legs
                )
                return "only together: " + " and ".join(legs)
