"""The quantities and prices of all orders ever submitted, collected from events."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from exchange.state.state import State
from exchange.vocabulary.events import (
    Event,
    JointOrderAccepted,
    OrderAccepted,
    OrderAmended,
    OrderRefilled,
    Traded,
)
from exchange.vocabulary.orders import Order


@dataclass(slots=True)
class _SubmittedOrder:
    """An order, or all legs of a joint one, as submitted, and the watts traded."""

    legs: list[Order]
    executed_w: int = 0

    def set_quantity(self, quantity_w: int) -> None:
        for leg in self.legs:
            leg.quantity_w = leg.remaining_w = quantity_w


class SubmittedOrders:
    """All submitted orders.

    Each accepted order counts with its whole quantity, also if it was cancelled later.  Of an
    amended order, the traded part counts at its price then, and the rest as amended.
    """

    def __init__(self) -> None:
        self._orders: list[_SubmittedOrder] = []
        self._by_number: dict[int, _SubmittedOrder] = {}

    def follow(self, event: Event, state: State) -> None:
        """Follow an event, which the state has applied or is about to apply.

        The state must have applied acceptances and amendments, because it holds the orders' terms.
        """
        match event:
            case OrderAccepted():
                self._add([state.orders[event.order_id]])
            case JointOrderAccepted():
                self._add(state.joints[event.order_id])
            case OrderRefilled():
                self._by_number[event.order_id] = self._by_number[event.previous_order_id]
            case OrderAmended():
                self._amend(event, state)
            case Traded():
                for fill in event.fills:
                    self._by_number[fill.order_id].executed_w += fill.quantity_w

    def _add(self, orders: list[Order]) -> None:
        submitted = _SubmittedOrder([copy.copy(order) for order in orders])
        self._orders.append(submitted)
        for order in orders:
            self._by_number[order.order_id] = submitted

    def _amend(self, event: OrderAmended, state: State) -> None:
        submitted = self._by_number[event.previous_order_id]
        if event.order_id == event.previous_order_id:
            submitted.set_quantity(submitted.executed_w + event.remaining_w)
            return
        submitted.set_quantity(submitted.executed_w)
        self._add([state.orders[event.order_id]])
        self._orders[-1].set_quantity(event.remaining_w)

    def legs(self) -> list[list[Order]]:
        """Return submitted orders, oldest first: each an order, or all legs of a joint order."""
        asked = [submitted.legs for submitted in self._orders if submitted.legs[0].remaining_w]
        return sorted(asked, key=lambda legs: legs[0].order_id)
