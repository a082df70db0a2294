"""Orders in the exchange: what is asked for, a leg of a joint order, and the open order.

Also the request about an order, as the event that answers it names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orderbook.order import UNCONDITIONAL, LimitOrder, OrderConditions, Side, TimeInForce
from security_check.model.envelope import Direction


@dataclass(frozen=True, slots=True)
class Leg:
    """One part of a joint order: which limit it trades, how much, and at which limit price."""

    connection_point: str
    direction: Direction
    interval: datetime
    side: Side
    quantity_w: int
    limit_price_ticks: int


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What a participant asks for with one order.

    Parameters
    ----------
    connection_point, direction, interval
        Which limit the order trades; the interval is named by its start.
    side
        Whether the order buys or sells limit.
    quantity_w
        The quantity, in watts.
    limit_price_ticks
        The worst price at which the order trades; ``None`` for a market order, which takes what
        rests and never rests itself: it is immediate or cancel, or fill or kill.
    time_in_force
        How long the order may wait.
    expires_at
        When a good-till-date order expires; ``None`` for all others.
    conditions
        What the order asks for beyond that.
    """

    connection_point: str
    direction: Direction
    interval: datetime
    side: Side
    quantity_w: int
    limit_price_ticks: int | None
    time_in_force: TimeInForce = TimeInForce.GOOD_TILL_CANCEL
    expires_at: datetime | None = None
    conditions: OrderConditions = UNCONDITIONAL


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """The request about an order, or several, that an event answers.

    ``request`` is its kind (``"cancel"``, ``"amend"``, ``"mass_cancel"``), ``request_id`` the
    participant's id of it, ``content`` a digest of it.
    """

    request: str
    request_id: str
    content: str


@dataclass(slots=True)
class Order(LimitOrder):
    """An open order, or one leg of a joint order.

    ``quantity_w`` is its total in watts, with the part that has traded; ``joint_id`` is the number
    of the first leg of the joint order it belongs to, if any.  A ``conditional`` order trades only
    if its condition is met, so clearing may pass it over.  The other fields are those of
    :class:`OrderTerms`.  They are not embedded, because quantity and limit price change, and
    clearing reads them most.
    """

    participant: str
    client_order_id: str
    connection_point: str
    direction: Direction
    interval: datetime
    quantity_w: int
    time_in_force: TimeInForce
    expires_at: datetime | None
    conditions: OrderConditions = UNCONDITIONAL
    joint_id: int | None = None
    conditional: bool = False

    @property
    def priority(self) -> tuple[int, int]:
        """The key by which the orders of a side are sorted: price, then time."""
        sign = -1 if self.side is Side.BUY else 1
        return sign * self.limit_price_ticks, self.order_id

    def may_cross(self, other: Order) -> bool:
        """Return whether it may trade with an order of the other side of its book.

        Legs of a joint order compensate each other's prices, so they trade at any price.
        """
        if self.joint_id is not None or other.joint_id is not None:
            return True
        return self.priority[0] + other.priority[0] <= 0

    @property
    def required_w(self) -> int:
        """The least quantity that trades at once, in watts; 0 where one lot is enough."""
        if not self.conditional:
            return 0
        if self.conditions.all_or_none or self.time_in_force is TimeInForce.FILL_OR_KILL:
            return self.remaining_w
        return min(self.conditions.minimum_w or 0, self.remaining_w)

    def may_be_cut_by(self, cut_w: int) -> bool:
        """Return whether its conditions can still be met with a quantity lower by ``cut_w``."""
        if self.conditions.all_or_none or self.joint_id is not None:
            return False
        return self.quantity_w - cut_w >= (self.conditions.minimum_w or 0)

    @property
    def executed_w(self) -> int:
        """The part that has traded, in watts."""
        return self.quantity_w - self.remaining_w
