"""A mirror of a participant's own orders, kept by its reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from exchange.vocabulary.reasons import CancelReason
from gateway.messages.participant_reports import (
    AcceptedReport,
    AmendedReport,
    CancelledReport,
    JointAcceptedReport,
    JointLeg,
    ReducedReport,
    RefilledReport,
    Report,
    TradedReport,
)
from orderbook.order import Side
from security_check.model.envelope import Direction

_MOST_CLOSED = 1_000  # orders that are kept after their end


class OrderState(StrEnum):
    """What has become of an order."""

    OPEN = "open"
    TRADED = "traded"
    """All of it has traded."""
    CANCELLED = "cancelled"
    """The rest was cancelled; ``reason`` says why."""
    ENDED = "ended"
    """It is not open, and the exchange no longer knows how it ended."""


@dataclass(frozen=True, slots=True)
class OrderLeg:
    """What an order asks for in one book: power in watts, the limit price in EUR per kW."""

    order_id: int
    connection_point: str
    direction: Direction
    interval: datetime
    side: Side
    quantity_w: int
    remaining_w: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """An order as its owner knows it: one leg, or those of a block or a linked pair.

    Parameters
    ----------
    client_order_id
        The owner's id of it.
    legs
        What it asks for, and what is left of that.
    state, reason
        Whether it is open, and why not.
    """

    client_order_id: str
    legs: tuple[OrderLeg, ...]
    state: OrderState = OrderState.OPEN
    reason: CancelReason | None = None

    def ended(self, outcome: dict[str, Any]) -> OwnOrder:
        """Return the order as one that has ended unheard.

        Parameters
        ----------
        outcome
            What the answer to a query about requests says of it.  Where its rest was cancelled,
            what had traded before is not known.
        """
        if outcome["ended"] is not None:
            reason = CancelReason(outcome["ended"])
            return replace(self, state=OrderState.CANCELLED, reason=reason)
        if outcome["outcome"] == "unknown":
            return replace(self, state=OrderState.ENDED)
        legs = tuple(replace(leg, remaining_w=0) for leg in self.legs)
        return replace(self, legs=legs, state=OrderState.TRADED)

    @property
    def is_open(self) -> bool:
        """Whether it can still trade."""
        return self.state is OrderState.OPEN

    @property
    def order_id(self) -> int:
        """The exchange's number, of a joint order that of its first leg."""
        return self.legs[0].order_id

    @property
    def quantity_w(self) -> int:
        """Watts asked for, over all legs, the executed part included."""
        return sum(leg.quantity_w for leg in self.legs)

    @property
    def remaining_w(self) -> int:
        """Watts that have not traded, over all legs."""
        return sum(leg.remaining_w for leg in self.legs)

    @property
    def executed_w(self) -> int:
        """Watts that have traded, over all legs."""
        return self.quantity_w - self.remaining_w


class OwnOrders:
    """The open orders of a participant by its own ids, and the last ones that have ended."""

    def __init__(self) -> None:
        self._open: dict[str, OwnOrder] = {}
        self._closed: dict[str, OwnOrder] = {}
        # Reports up to these numbers are already in what is known of an order.
        self._known_to: dict[str, int] = {}

    @property
    def open(self) -> Mapping[str, OwnOrder]:
        """The open orders, oldest first."""
        return MappingProxyType(self._open)

    def find(self, client_order_id: str) -> OwnOrder | None:
        """Return an order, open or ended."""
        return self._open.get(client_order_id) or self._closed.get(client_order_id)

    def rebuild(self, entries: Iterable[tuple[dict[str, Any], int]]) -> list[OwnOrder]:
        """Take over all open orders from answers of the exchange.

        Parameters
        ----------
        entries
            Each with the number of the newest report that it includes.

        Returns
        -------
        The orders that were open as far as was known, and are no more; see :meth:`end`.
        """
        before = dict(self._open)
        self._open.clear()
        self._known_to.clear()
        for entry, known_to in entries:
            order = _of_entry(entry)
            self._open[order.client_order_id] = order
            self._known_to[order.client_order_id] = known_to
        return [order for key, order in before.items() if key not in self._open]

    def end(self, order: OwnOrder) -> None:
        """Keep an order that has ended unheard."""
        self._closed[order.client_order_id] = order
        if len(self._closed) > _MOST_CLOSED:
            del self._closed[next(iter(self._closed))]

    def apply(self, report: Report) -> None:
        """Take a report, in the order of their numbers."""
        if getattr(report, "repeated", False):
            return  # what it says may be long over
        key = getattr(report, "client_order_id", None)
        if key is None or report.sequence <= self._known_to.get(key, 0):
            return
        match report:
            case AcceptedReport() | JointAcceptedReport():
                self._closed.pop(key, None)
                self._open[key] = accepted_order(report)
            case AmendedReport() | RefilledReport() | ReducedReport():
                self._change(key, report)
            case CancelledReport() if (order := self._open.get(key)) is not None:
                legs = order.legs
                if len(legs) == 1:
                    legs = (replace(legs[0], remaining_w=report.remaining_w),)
                self._close(replace(order, legs=legs), OrderState.CANCELLED, report.reason)
            case TradedReport():
                self._trade(key, report)

    def _change(self, key: str, report: AmendedReport | RefilledReport | ReducedReport) -> None:
        order = self._open.get(key)
        if order is None:
            return
        place = _place_of(order, report.order_id)
        leg = replace(order.legs[place], order_id=report.order_id, remaining_w=report.remaining_w)
        match report:
            case AmendedReport():
                leg = replace(leg, quantity_w=report.quantity_w, price=Decimal(report.price))
            case ReducedReport():
                leg = replace(leg, quantity_w=leg.quantity_w - report.reduced_by_w)
        self._put(order, place, leg, OrderState.CANCELLED, CancelReason.CURTAILED)

    def _trade(self, key: str, report: TradedReport) -> None:
        order = self._open.get(key)
        if order is None:
            return
        place = _place_of(order, report.order_id)
        leg = order.legs[place]
        leg = replace(leg, remaining_w=leg.remaining_w - report.quantity_w)
        self._put(order, place, leg, OrderState.TRADED, None)

    def _put(
        self,
        order: OwnOrder,
        place: int,
        leg: OrderLeg,
        state: OrderState,
        reason: CancelReason | None,
    ) -> None:
        """Replace a leg; where nothing is left of the order, it ends in the state."""
        legs = (*order.legs[:place], leg, *order.legs[place + 1 :])
        order = replace(order, legs=legs)
        self._open[order.client_order_id] = order
        if not order.remaining_w:
            self._close(order, state, reason)

    def _close(self, order: OwnOrder, state: OrderState, reason: CancelReason | None) -> None:
        key = order.client_order_id
        del self._open[key]
        self._known_to.pop(key, None)
        self.end(replace(order, state=state, reason=reason))


def _place_of(order: OwnOrder, order_id: int) -> int:
    """Return which leg has the number; an order of one leg may have got a new number."""
    numbers = [leg.order_id for leg in order.legs]
    return 0 if len(numbers) == 1 else numbers.index(order_id)


def accepted_order(report: AcceptedReport | JointAcceptedReport) -> OwnOrder:
    """Return an order as it was accepted."""
    legs = report.legs if isinstance(report, JointAcceptedReport) else (report,)
    return OwnOrder(report.client_order_id, tuple(_leg(each, each.quantity_w) for each in legs))


def _leg(source: AcceptedReport | JointLeg, remaining_w: int) -> OrderLeg:
    return OrderLeg(
        source.order_id,
        source.connection_point,
        source.direction,
        source.interval,
        source.side,
        source.quantity_w,
        remaining_w,
        Decimal(source.price),
    )


def _of_entry(entry: dict[str, Any]) -> OwnOrder:
    """Return an order as an answer to a query says it."""
    legs = entry["legs"] if entry["type"] == "joint_accepted" else [entry]
    return OwnOrder(
        entry["client_order_id"],
        tuple(
            OrderLeg(
                leg["order_id"],
                leg["connection_point"],
                Direction(leg["direction"]),
                datetime.fromisoformat(leg["interval"]),
                Side(leg["side"]),
                leg["quantity_w"],
                leg["remaining_w"],
                Decimal(leg["price"]),
            )
            for leg in legs
        ),
    )
