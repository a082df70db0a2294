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
    def conditional(self) -> bool:
        """Whether it trades only as much at once as it asks for, and so may be passed over."""
        return self.conditions.apply_at_once(self.time_in_force)

    @property
    def required_w(self) -> int:
        """The least that trades at once, in watts; 0 where any lot will do."""
        if self.conditions.minimum_w is not None:
            return min(self.conditions.minimum_w, self.remaining_w)
        return self.remaining_w if self.conditional else 0

    def may_be_cut_by(self, cut_w: int) -> bool:
        """Return whether its conditions still make sense with a quantity lower by ``cut_w``."""
        if self.conditions.all_or_none:
            return False
        return self.quantity_w - cut_w >= (self.conditions.minimum_w or 0)

    @property
    def executed_w(self) -> int:
        """How much has traded, in watts."""
        return self.quantity_w - self.remaining_w
