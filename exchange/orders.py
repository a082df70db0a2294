"""An order as the exchange knows it: whose it is, and which limit it trades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orderbook.order import UNCONDITIONAL, Conditions, LimitOrder, TimeInForce
from security_check.envelope import Direction


@dataclass(slots=True)
class Order(LimitOrder):
    """An open order.

    ``quantity_w`` is its total in watts, executed part included; the rest is in the fields of
    :class:`exchange.events.OrderAccepted`.
    """

    participant: str
    client_order_id: str
    connection_point: str
    direction: Direction
    interval: datetime
    quantity_w: int
    time_in_force: TimeInForce
    expires_at: datetime | None
    conditions: Conditions = UNCONDITIONAL

    @property
    def executed_w(self) -> int:
        """How much has traded, in watts."""
        return self.quantity_w - self.remaining_w
