"""Flexibility in the exchange: the rules, what is asked for, the open order, and what trades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from doe_allocation.procurement.choices import FlexDirection
from orderbook.order import Side
from security_check.model.envelope import Direction


class Matching(StrEnum):
    """How orders for flexibility are matched."""

    WELFARE = "welfare"
    PAIRWISE = "pairwise"


@dataclass(frozen=True, slots=True)
class FlexibilityRules:
    """The rules of a flexibility market beside the market of limits.

    Parameters
    ----------
    requesters
        Who may request: participants, and others that own no connection point.
    matching
        How orders are matched.
    max_orders, max_orders_each
        The most orders that may rest in an interval, and the most of one participant: each makes
        matching slower.
    """

    requesters: tuple[str, ...]
    matching: Matching = Matching.WELFARE
    max_orders: int = 200
    max_orders_each: int = 50


def relieved_by(direction: FlexDirection) -> Direction:
    """Return the direction of limits that flexibility of a direction relieves like a buy-back."""
    return Direction.INJECTION if direction is FlexDirection.DOWNWARD else Direction.WITHDRAWAL


@dataclass(frozen=True, slots=True)
class FlexibilityTerms:
    """What a participant asks for with one order for flexibility.

    Parameters
    ----------
    side
        An offer sells, a request buys.
    place
        Of an offer the connection point whose resource changes its power; of a request the bus from
        which a match upward moves injection to the offer's bus, or to which a match downward does.
    direction
        Which way the resource of an offer changes its power.
    interval
        Start of the interval.
    quantity_w
        The quantity, in watts.
    limit_price_ticks
        The least price of an offer, the highest of a request.
    conditional
        Of a request: it may be activated or not, always together with all offers matched to it.
    """

    side: Side
    place: str
    direction: FlexDirection
    interval: datetime
    quantity_w: int
    limit_price_ticks: int
    conditional: bool = False

    @property
    def moves(self) -> int:
        """The change of injection at its own bus for each watt matched: 1 or -1."""
        rises = self.direction is FlexDirection.UPWARD
        return 1 if rises is (self.side is Side.SELL) else -1


@dataclass(slots=True)
class FlexibilityOrder:
    """An open order for flexibility; ``remaining_w`` is what is left to match, at ``bus``."""

    order_id: int
    participant: str
    client_order_id: str
    terms: FlexibilityTerms
    bus: str
    remaining_w: int

    @property
    def interval(self) -> datetime:
        """Start of its interval."""
        return self.terms.interval

    @property
    def limit_price_ticks(self) -> int:
        """Its limit price."""
        return self.terms.limit_price_ticks


@dataclass(frozen=True, slots=True)
class FlexibilityFill:
    """What one order matched at once.

    ``amount`` is paid by the order, in tick-watts; where it is negative, the order receives money.
    """

    order_id: int
    participant: str
    client_order_id: str
    side: Side
    place: str
    direction: FlexDirection
    quantity_w: int
    amount: int


@dataclass(frozen=True, slots=True)
class FlexibilityMatch:
    """Watts of an offer matched to a request."""

    offer_id: int
    request_id: int
    quantity_w: int


@dataclass(frozen=True, slots=True)
class BlockedPair:
    """An offer and a request whose prices cross, and the branch that is full first for them."""

    offer_id: int
    request_id: int
    element: str


@dataclass(frozen=True, slots=True)
class OrderOwner:
    """An order, and whose it is."""

    order_id: int
    participant: str
    client_order_id: str
