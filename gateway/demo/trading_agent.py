"""The agent that trades for a customer of the demo.

An agent knows its customer's need, envelope and orders.  It buys missing limit and sells spare
limit.  At first it bids below its true value and offers above it; later it raises open bids to the
true value.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

from gateway.demo.customers import Customer
from orderbook.order import Side
from security_check.model.envelope import Direction

_HOURS = 0.25
_MARGIN = 1.10  # needs are forecasts: keep a tenth more than expected
_SMALLEST_W = 500  # less than this is not worth an order
_DAYLIGHT = range(5 * 4, 20 * 4)  # quarter-hours
_OVERSLEEPS = 0.003  # share of quarter-hours in which an agent misses the gate


@dataclass(frozen=True, slots=True)
class WantedOrder:
    """An order that an agent wants to place; ``price`` in EUR per kW for the interval."""

    direction: Direction
    side: Side
    quantity_w: int
    price: Decimal


class Agent:
    """Decides on the orders of one customer.

    Parameters
    ----------
    customer
        The customer.
    tick, lot_w
        The market's price and quantity steps.
    fallback_w
        By direction: sales cannot go below it.
    capacity_w
        Of the connection, in each direction.
    seed
        Of its random choices.
    """

    def __init__(
        self,
        customer: Customer,
        tick: Decimal,
        lot_w: int,
        fallback_w: dict[Direction, int],
        capacity_w: dict[Direction, int],
        seed: int,
    ) -> None:
        self.customer = customer
        self._tick = tick
        self._lot_w = lot_w
        self._fallback_w = fallback_w
        self._capacity_w = capacity_w
        self._draw = random.Random(f"{seed}/{customer.participant}")

    def look(self, direction: Direction, quarter: int, held_w: int) -> WantedOrder | None:
        """Return the order for one limit of a quarter-hour, of which ``held_w`` are held."""
        wanted_w = int(self.customer.need_w(direction, quarter) * _MARGIN)
        caution = self._draw.uniform(0.45, 0.8)
        if wanted_w > held_w:
            room_w = self._capacity_w[direction] - held_w
            quantity_w = min(self._lots(wanted_w - held_w, up=True), self._lots(room_w))
            price = caution * self.customer.value_eur_per_kwh
            side = Side.BUY
        else:
            spare_w = held_w - max(wanted_w, self._fallback_w[direction])
            # Agents offer a part only, because their forecast may be wrong.
            quantity_w = self._lots(int(spare_w * self._draw.uniform(0.5, 0.95)))
            price = self.customer.reserve_eur_per_kwh / caution
            side = Side.SELL
        dark = direction is Direction.INJECTION and quarter not in _DAYLIGHT
        if quantity_w < _SMALLEST_W or (side is Side.SELL and dark):
            return None  # injection limit has no buyers at night
        return WantedOrder(direction, side, quantity_w, self._price(price))

    def oversleeps(self) -> bool:
        """Return whether the agent misses a gate, which happens now and then."""
        return self._draw.random() < _OVERSLEEPS

    def second_look(self, side: Side) -> Decimal:
        """Return the true value of open orders, in EUR per kW for the interval."""
        true = (
            self.customer.value_eur_per_kwh
            if side is Side.BUY
            else self.customer.reserve_eur_per_kwh
        )
        return self._price(true)

    def _price(self, eur_per_kwh: float) -> Decimal:
        # EUR per kWh times the hours of the interval is EUR per kW of limit for the interval.
        ticks = round(eur_per_kwh * _HOURS / float(self._tick))
        return max(ticks, 1) * self._tick

    def _lots(self, quantity_w: int, *, up: bool = False) -> int:
        lots = -(-quantity_w // self._lot_w) if up else quantity_w // self._lot_w
        return lots * self._lot_w
