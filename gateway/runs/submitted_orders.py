"""Everything that the orders of a market asked for, collected from its events."""

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
    """An order, or all legs of a joint one, with what they asked for; and what of it traded."""

    legs: list[Order]
    executed_w: int = 0

    def ask_for(self, quantity_w: int) -> None:
        for leg in self.legs:
            leg.quantity_w = leg.remaining_w = quantity_w


class SubmittedOrders:
    """What all orders asked for.

    Each accepted order counts with its whole quantity, whether it was cancelled later or not.  Of
    an amended one, what had traded counts at the price it had then, and the rest as amended.
    """

    def __init__(self) -> None:
        self._wishes: list[_SubmittedOrder] = []
        self._by_number: dict[int, _SubmittedOrder] = {}

    def follow(self, event: Event, state: State) -> None:
        """Take up an event, which the state is just about to apply or has applied already.

        It must have applied those by which orders come: their terms are read there.
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
        wish = _SubmittedOrder([copy.copy(order) for order in orders])
        self._wishes.append(wish)
        for order in orders:
            self._by_number[order.order_id] = wish

    def _amend(self, event: OrderAmended, state: State) -> None:
        wish = self._by_number[event.previous_order_id]
        if event.order_id == event.previous_order_id:
            wish.ask_for(wish.executed_w + event.remaining_w)
            return
        wish.ask_for(wish.executed_w)
        self._add([state.orders[event.order_id]])
        self._wishes[-1].ask_for(event.remaining_w)

    def legs(self) -> list[list[Order]]:
        """Return what was asked for, oldest first: an order each, or all legs of a joint one."""
        asked = [wish.legs for wish in self._wishes if wish.legs[0].remaining_w]
        return sorted(asked, key=lambda legs: legs[0].order_id)
