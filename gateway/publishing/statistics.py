"""Statistics of a book: prices from open to close, volume, welfare, congestion rent.

Prices are those of prints (:mod:`gateway.publishing.trade_prints`), as on the tape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from exchange.vocabulary.events import Event, Traded
from exchange.vocabulary.formatting import format_eur
from exchange.vocabulary.rules import MarketRules
from gateway.publishing.trade_prints import BookKey, TradePrint, mean_ticks, price_text, prints_of
from orderbook.order import Side


@dataclass(frozen=True, slots=True)
class BookStatistics:
    """The clearings of one book: an interval and a direction.  Prices in ticks.

    Parameters
    ----------
    clearings
        Number of clearings in which the book traded.
    open_ticks, close_ticks
        The average price of the first clearing and of the last.
    high_ticks, low_ticks
        The highest and the lowest price of a print.
    volume_w
        Watts traded.
    turnover
        Volume times price, in tick-watts; over the volume, the average price.
    bought_w, sold_w
        Watts that participants bought and sold; the system operator issued, retired or bought back
        the difference.
    welfare
        Buyers' limit prices less sellers', and less the reserve price of watts issued, in
        tick-watts; buy-backs that relieve the network count as 0.
    rent
        Payments of buyers less those to sellers and for the reserve price, in tick-watts.  Over all
        books of a clearing it is its congestion rent, >= 0; in one book it can be negative, where
        its trades relieve an element that the trades of another book load.
    """

    clearings: int
    open_ticks: Fraction
    high_ticks: Fraction
    low_ticks: Fraction
    close_ticks: Fraction
    volume_w: int
    turnover: Fraction
    bought_w: int
    sold_w: int
    welfare: int
    rent: int

    @property
    def average_ticks(self) -> Fraction:
        """The volume-weighted average price, in ticks."""
        return self.turnover / self.volume_w

    def followed_by(self, later: BookStatistics) -> BookStatistics:
        """Return the statistics of these clearings and of later ones together."""
        return BookStatistics(
            clearings=self.clearings + later.clearings,
            open_ticks=self.open_ticks,
            high_ticks=max(self.high_ticks, later.high_ticks),
            low_ticks=min(self.low_ticks, later.low_ticks),
            close_ticks=later.close_ticks,
            volume_w=self.volume_w + later.volume_w,
            turnover=self.turnover + later.turnover,
            bought_w=self.bought_w + later.bought_w,
            sold_w=self.sold_w + later.sold_w,
            welfare=self.welfare + later.welfare,
            rent=self.rent + later.rent,
        )

    def as_data(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        data = {name: getattr(self, name) for name in self.__slots__}
        return {k: str(v) if isinstance(v, Fraction) else v for k, v in data.items()}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> BookStatistics:
        """Return the statistics of which :meth:`as_data` returned the data."""
        values: dict[str, Any] = {
            name: Fraction(value) if isinstance(value, str) else value
            for name, value in data.items()
        }
        return cls(**values)


def statistics_of(events: Iterable[Event], rules: MarketRules) -> dict[BookKey, BookStatistics]:
    """Return the statistics of all books that traded, in the order of their first trades."""
    found: dict[BookKey, BookStatistics] = {}
    for event in events:
        if isinstance(event, Traded):
            for book, prints in prints_of(event).items():
                one = _of_clearing(event, book, prints, rules.reserve_price_ticks)
                found[book] = found[book].followed_by(one) if book in found else one
    return found


def _of_clearing(
    trade: Traded, book: BookKey, prints: Sequence[TradePrint], reserve_ticks: int
) -> BookStatistics:
    fills = [fill for fill in trade.fills if (fill.interval, fill.direction) == book]
    bought_w = sum(fill.quantity_w for fill in fills if fill.side is Side.BUY)
    sold_w = sum(fill.quantity_w for fill in fills if fill.side is Side.SELL)
    at_reserve = reserve_ticks * (bought_w - sold_w)
    mean = mean_ticks(prints)
    volume_w = sum(each.quantity_w for each in prints)
    return BookStatistics(
        clearings=1,
        open_ticks=mean,
        high_ticks=max(each.price_ticks for each in prints),
        low_ticks=min(each.price_ticks for each in prints),
        close_ticks=mean,
        volume_w=volume_w,
        turnover=mean * volume_w,
        bought_w=bought_w,
        sold_w=sold_w,
        welfare=0 if trade.buy_back else sum(fill.gain for fill in fills) - at_reserve,
        rent=0 if trade.buy_back else sum(fill.amount for fill in fills) - at_reserve,
    )


def figures(statistics: BookStatistics, rules: MarketRules) -> dict[str, Any]:
    """Return the statistics of a book as entries of messages: EUR per kW, and EUR."""
    names = ("open", "high", "low", "close", "average")
    prices = {f"{n}_price": price_text(getattr(statistics, f"{n}_ticks"), rules) for n in names}
    return {
        "clearings": statistics.clearings,
        **prices,
        "volume_w": statistics.volume_w,
        "bought_w": statistics.bought_w,
        "sold_w": statistics.sold_w,
        "welfare": format_eur(rules.amount_in_eur(statistics.welfare)),
        "congestion_rent": format_eur(rules.amount_in_eur(statistics.rent)),
    }
