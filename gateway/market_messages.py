"""What goes out on what has traded, and at which local prices more can."""

from __future__ import annotations

from pydantic import BaseModel

from gateway.outgoing import Out
from gateway.records import Time
from security_check.envelope import Direction


class BookFigures(BaseModel):
    """What has traded in one book: prices in EUR per kW, money in EUR.

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


class StatisticsMessage(BookFigures, Out):
    """What has traded in one book so far; ``time`` is that of the last clearing."""

    time: Time


class PricePart(Out):
    """What a binding element adds to a local price."""

    element: str
    price: str


class LocalPrice(Out):
    """The local price of one limit: the balance price and its parts added up, exactly."""

    connection_point: str
    price: str
    parts: tuple[PricePart, ...]


class DirectionPrices(Out):
    """Local prices in one direction.

    Only those connection points are listed whose price has parts; at all others it is the
    ``balance_price``.
    """

    direction: Direction
    balance_price: str
    connection_points: tuple[LocalPrice, ...]


class PriceMessage(Out):
    """The local prices of an interval after an event; a direction without orders has none."""

    interval: Time
    event: int
    time: Time
    directions: tuple[DirectionPrices, ...]
