"""A mirror of a book's public depth: snapshots, and the changes between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.client.mirrors.reading import read_as
from gateway.messages.market_data import BookMessage
from orderbook.order import Side
from security_check.model.envelope import Direction


@dataclass(frozen=True, slots=True)
class PriceLevel:
    """All that is displayed at one price: EUR per kW, watts."""

    price: Decimal
    quantity_w: int


class Book:
    """The depth of one book.

    Parameters
    ----------
    direction, interval
        Which limit it trades.

    Examples
    --------
    >>> noon = datetime.fromisoformat("2026-07-01T12:00:00Z")
    >>> book = Book(Direction.INJECTION, noon)
    >>> about = {"direction": "injection", "interval": "2026-07-01T12:00:00Z"}
    >>> best = {"side": "sell", "price": "0.05", "quantity_w": 900}
    >>> whole = {"type": "snapshot", "sequence": 4, "previous": None, "levels": [best]}
    >>> book.take(about | whole)
    >>> less = best | {"quantity_w": 300}
    >>> book.take(about | {"type": "delta", "sequence": 9, "previous": 4, "levels": [less]})
    >>> book.offers
    (PriceLevel(price=Decimal('0.05'), quantity_w=300),)
    """

    def __init__(self, direction: Direction, interval: datetime) -> None:
        self.direction = direction
        self.interval = interval
        self._levels: dict[tuple[Side, Decimal], int] = {}
        self.sequence: int | None = None
        """Of the last change; ``None`` while the book is not known, after a change was missed."""

    @property
    def bids(self) -> tuple[PriceLevel, ...]:
        """What is bid, the highest price first."""
        return self._side(Side.BUY)[::-1]

    @property
    def offers(self) -> tuple[PriceLevel, ...]:
        """What is offered, the lowest price first."""
        return self._side(Side.SELL)

    def _side(self, wanted: Side) -> tuple[PriceLevel, ...]:
        levels = ((price, each) for (side, price), each in self._levels.items() if side is wanted)
        return tuple(PriceLevel(price, quantity_w) for price, quantity_w in sorted(levels))

    def take(self, content: dict[str, Any]) -> None:
        """Take a message on the book's topic.

        Raises
        ------
        ValueError
            When it is not such a message.
        """
        message = read_as(BookMessage, content)
        if message.type == "snapshot":
            if self.sequence is not None and message.sequence < self.sequence:
                return
            self._levels.clear()
        elif self.sequence is None or message.sequence <= self.sequence:
            return  # what it changes is not known, or is known already
        elif message.previous is None or message.previous > self.sequence:
            self.sequence = None  # the next snapshot has everything
            return
        self.sequence = message.sequence
        for level in message.levels:
            key = level.side, Decimal(level.price)
            if level.quantity_w:
                self._levels[key] = level.quantity_w
            else:
                self._levels.pop(key, None)
