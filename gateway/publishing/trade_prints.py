"""A clearing as prints: pairs of a buyer and a seller, with a price.

A clearing settles orders, each with its own watts and its own payment: fills are what is booked.
The tape and lists of trades need a buyer, a seller and a price.  So buyers and sellers of a book
are paired by price and time.  A print has the price of the maker where one of the two is the taker,
else the average price per watt of the buyer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from exchange.handlers.fills import pairs_of
from exchange.vocabulary.events import Fill, Traded
from exchange.vocabulary.rules import OPERATOR, MarketRules
from orderbook.order import Side
from security_check.model.envelope import Direction

BookKey = tuple[datetime, Direction]
"""A book: its interval and its direction."""

_FINE = 1_000_000
"""Published prices are rounded to millionths of a tick."""


@dataclass(frozen=True, slots=True)
class TradePrint:
    """Watts of limit from a seller to a buyer, and their price in ticks.

    ``None`` is the system operator, which issues watts without a seller and retires watts without
    a buyer.
    """

    buy: Fill | None
    sell: Fill | None
    quantity_w: int
    price_ticks: Fraction

    @property
    def buyer(self) -> str:
        """Name of the buyer."""
        return OPERATOR if self.buy is None else self.buy.participant

    @property
    def seller(self) -> str:
        """Name of the seller."""
        return OPERATOR if self.sell is None else self.sell.participant


def average_ticks(fill: Fill) -> Fraction:
    """Return the average price of an order's fill, in ticks."""
    return Fraction(fill.amount, fill.change_w)


def mean_ticks(prints: Sequence[TradePrint]) -> Fraction:
    """Return the volume-weighted average price of prints, in ticks."""
    worth = sum((each.price_ticks * each.quantity_w for each in prints), Fraction(0))
    return worth / sum(each.quantity_w for each in prints)


def takers(trade: Traded) -> list[Fill]:
    """Return the fills of the taker of a clearing, all its legs; none in an auction."""
    first = next((f for f in trade.fills if f.order_id == trade.taker_order_id), None)
    if first is None:
        return []
    key = (first.participant, first.client_order_id)
    return [fill for fill in trade.fills if (fill.participant, fill.client_order_id) == key]


def prints_of(trade: Traded) -> dict[BookKey, list[TradePrint]]:
    """Return the prints of a clearing by book, best buyer and best seller first."""
    taking = {fill.order_id for fill in takers(trade)}
    found: dict[BookKey, list[TradePrint]] = {(f.interval, f.direction): [] for f in trade.fills}
    left_w = {fill.order_id: fill.quantity_w for fill in trade.fills}
    for buy, sell, quantity_w in pairs_of(trade.fills):
        maker_sells = buy.order_id in taking and sell.order_id not in taking
        priced = sell if maker_sells else buy
        one = TradePrint(buy, sell, quantity_w, average_ticks(priced))
        found[buy.interval, buy.direction].append(one)
        left_w[buy.order_id] -= quantity_w
        left_w[sell.order_id] -= quantity_w
    for fill in trade.fills:
        rest_w = left_w[fill.order_id]
        if rest_w:
            buys = fill.side is Side.BUY
            one = TradePrint(
                fill if buys else None, None if buys else fill, rest_w, average_ticks(fill)
            )
            found[fill.interval, fill.direction].append(one)
    return found


def price_text(price_ticks: Fraction, rules: MarketRules) -> str:
    """Return a price in EUR per kW as a decimal string, at least as long as the tick.

    An average that is not an exact decimal is rounded, half to even, to a millionth of a tick.
    """
    price = (rules.tick * round(price_ticks * _FINE)).scaleb(-6)
    in_ticks = price.quantize(rules.tick)
    return f"{in_ticks if in_ticks == price else price.normalize():f}"
