"""The events of the flexibility market.

Its orders are cancelled like all others, by :class:`exchange.vocabulary.events.OrderCancelled`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.vocabulary.events import Event
from exchange.vocabulary.flexibility import (
    BlockedPair,
    FlexibilityFill,
    FlexibilityMatch,
    FlexibilityTerms,
    OrderOwner,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexibilityAccepted(Event):
    """An offer or a request was accepted under a number, which is its time priority.

    ``bus`` is where it changes injection: that of an offer's connection point, or the request's.
    """

    order_id: int
    participant: str
    client_order_id: str
    terms: FlexibilityTerms
    bus: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexibilityMatched(Event):
    """Offers and requests of an interval were matched, or offers bought by the DSO.

    Parameters
    ----------
    trade_id
        Its number.
    interval
        Start of the interval.
    taker_order_id
        The incoming order; ``None`` for a purchase of the DSO.
    fills
        What each order matched, oldest order first; their amounts add up to zero, but for what the
        DSO pays.
    matches
        The pairs.  Those of a conditional request are activated with it, the others for certain.
    buy_back
        Whether the DSO bought offers to relieve the network, beside limits that it bought back
        (:mod:`exchange.handlers.buy_back`).  Then there are no pairs: what changes leaves, or comes
        in, at the interface.
    """

    trade_id: int
    interval: datetime
    taker_order_id: int | None
    fills: tuple[FlexibilityFill, ...]
    matches: tuple[FlexibilityMatch, ...] = ()
    buy_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexibilityBlocked(Event):
    """Pairs whose prices cross are not matched, or not any further: a branch is full.

    ``order_id`` is the incoming order, ``owners`` those of all orders of the pairs.
    """

    interval: datetime
    order_id: int
    pairs: tuple[BlockedPair, ...]
    owners: tuple[OrderOwner, ...]
