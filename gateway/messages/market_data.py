"""Public messages on the books: depth, the tape, statistics, and local prices."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from gateway.formats.records import Time
from gateway.messages.outgoing import OutgoingMessage
from orderbook.order import Side
from security_check.model.envelope import Direction


class BookLevel(OutgoingMessage):
    """The quantity displayed at one price; a ``quantity_w`` of 0 removes the level.

    The hidden part of icebergs is not in it, nor are orders that trade under a condition only.
    """

    side: Side
    price: str
    quantity_w: int


class BookMessage(OutgoingMessage):
    """A whole book (``snapshot``, retained), or its changed levels (``delta``).

    ``sequence`` is the number of the event that changed the book last.  A delta may be
    applied to a book whose sequence is ``previous`` or more; snapshots have none.
    """

    type: Literal["snapshot", "delta"]
    direction: Direction
    interval: Time
    sequence: int
    previous: int | None
    levels: tuple[BookLevel, ...]


class TradeMessage(OutgoingMessage):
    """Trades of one book in one clearing, on the public tape, without identities.

    Prices are those of the pairs of buyers and sellers (:mod:`gateway.publishing.trade_prints`):
    the average weighted by volume, the lowest and the highest.  ``taker_side`` is the side of the
    taker in this book; ``null`` in an auction, and where the taker is in other books.
    """

    trade_id: int
    time: Time
    interval: Time
    direction: Direction
    quantity_w: int
    price: str
    low_price: str
    high_price: str
    taker_side: Side | None


class BookFigures(BaseModel):
    """Trades of one book in figures: prices in EUR per kW, money in EUR.

    Prices are those of the tape: open and close are the averages of the first and the last
    clearing.
    """

    interval: Time
    direction: Direction
    clearings: int
    open_price: str
    high_price: str
    low_price: str
    close_price: str
    average_price: str
    volume_w: int
    bought_w: int
    sold_w: int
    welfare: str
    congestion_rent: str


class StatisticsMessage(BookFigures, OutgoingMessage):
    """Trades of one book so far in figures; ``time`` is that of the last clearing."""

    time: Time


class PricePartMessage(OutgoingMessage):
    """The part of a local price that a binding element adds."""

    element: str
    price: str


class LocalPrice(OutgoingMessage):
    """The local price of one limit: exactly the sum of the balance price and its parts."""

    connection_point: str
    price: str
    parts: tuple[PricePartMessage, ...]


class DirectionPrices(OutgoingMessage):
    """Local prices in one direction.

    Connection points whose price has no parts are not listed; theirs is the ``balance_price``.
    """

    direction: Direction
    balance_price: str
    connection_points: tuple[LocalPrice, ...]


class PriceMessage(OutgoingMessage):
    """The local prices of an interval after an event; a direction without orders has none."""

    interval: Time
    event: int
    time: Time
    directions: tuple[DirectionPrices, ...]
