"""The baseline: continuous price-time matching of pairs, limited by the network.

A market without welfare clearing: an incoming order meets the makers that it crosses by price and
time; a pair that the network blocks is skipped.  With strategies that quote again in every round,
the market ends when no pair can trade.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.strategies import Quote, View
from agents.trading_rounds import Place

from exchange.vocabulary.network_port import SecurityState
from orderbook.order import Side
from security_check.checking.verdict import LimitChange
from security_check.model.envelope import Direction

CONFIRMATION_ROUNDS = 8


@dataclass(slots=True)
class Resting:
    """The rest of an order; older orders have lower numbers."""

    number: int
    place: Place
    side: Side
    price_ticks: int
    left_w: int


class PairwiseMarket:
    """A venue for :mod:`agents.trading_rounds` that matches pairs.

    Parameters
    ----------
    security
        The limits in force; trades change them.
    capacity_w
        Of every connection point in each direction; fallbacks are zero.
    lot_w
        Quantities are multiples of it.

    Attributes
    ----------
    trades
        Number of pairs that have traded.
    """

    def __init__(self, security: SecurityState, capacity_w: int, lot_w: int) -> None:
        self.trades = 0
        self._security = security
        self._capacity_w = capacity_w
        self._lot_w = lot_w
        self._number = 0
        self._orders: dict[tuple[Direction, Side], list[Resting]] = {
            (direction, side): [] for direction in Direction for side in Side
        }
        envelopes = security.envelopes()
        self.held_w: dict[Place, int] = {}
        for i, point in enumerate(envelopes.connection_points):
            self.held_w[Place(Direction.INJECTION, point)] = int(envelopes.injection_w[i])
            self.held_w[Place(Direction.WITHDRAWAL, point)] = int(envelopes.withdrawal_w[i])
        self._blocked: set[tuple[Direction, str, str]] = set()

    def withdraw(self, place: Place) -> None:
        for side in Side:
            book = self._orders[place.direction, side]
            book[:] = [order for order in book if order.place != place]

    def view(self, place: Place) -> View:
        held_w = self.held_w[place]
        sold_w, bought_w = (
            sum(o.left_w for o in self._orders[place.direction, side] if o.place == place)
            for side in (Side.SELL, Side.BUY)
        )
        return View(held_w, held_w - sold_w, self._capacity_w - held_w - bought_w, self._lot_w)

    def quote(self, place: Place, quote: Quote) -> bool:
        self._number += 1
        order = Resting(self._number, place, quote.side, quote.price_ticks, quote.quantity_w)
        before = self.trades
        while self._meet(order):
            pass
        if order.left_w:
            sign = -1 if order.side is Side.BUY else 1
            book = self._orders[place.direction, order.side]
            book.append(order)
            book.sort(key=lambda o: (sign * o.price_ticks, o.number))
        return self.trades > before

    def _meet(self, order: Resting) -> bool:
        """Walk once along the makers; return whether to walk again, after a trade with a rest."""
        traded = False
        book = self._orders[order.place.direction, order.side.opposite]
        for maker in list(book):
            buy, sell = (order, maker) if order.side is Side.BUY else (maker, order)
            if buy.price_ticks < sell.price_ticks or not order.left_w:
                break
            quantity_w = self._transfer(sell.place, buy.place, min(order.left_w, maker.left_w))
            for each in (order, maker):
                each.left_w -= quantity_w
            traded |= quantity_w > 0
        book[:] = [maker for maker in book if maker.left_w]
        return traded and order.left_w > 0

    def _transfer(self, seller: Place, buyer: Place, wanted_w: int) -> int:
        """Transfer the secure quantity, at least a lot; return it."""
        direction, sold, bought = seller.direction, seller.connection_point, buyer.connection_point
        pair = (direction, sold, bought)
        if pair in self._blocked:
            return 0
        for _ in range(CONFIRMATION_ROUNDS):
            secure_w, _ = self._security.largest_secure_w(direction, sold, bought, wanted_w)
            wanted_w = min(secure_w, wanted_w) // self._lot_w * self._lot_w
            if not wanted_w:
                break
            changes = (
                LimitChange(sold, direction, -wanted_w),
                LimitChange(bought, direction, wanted_w),
            )
            if self._security.confirm(changes).secure:
                self._security.commit(changes)
                self.held_w[seller] -= wanted_w
                self.held_w[buyer] += wanted_w
                self.trades += 1
                self._blocked.clear()  # a trade may free headroom for other pairs
                return wanted_w
        self._blocked.add(pair)
        return 0
