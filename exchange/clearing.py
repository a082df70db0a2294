"""Which orders trade how much, at what price: pairs, by price and time, as the network allows.

This module decides, and the engine makes events of what it decides; another way of clearing
replaces the two functions below and nothing else.  Both read books and holdings without
changing them.  What they return is already in force in the network they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from exchange.networks import Blocked, IntervalNetwork
from exchange.orders import Order
from orderbook.book import OrderBook
from orderbook.order import SelfTradePrevention, Side
from security_check.envelope import Direction
from security_check.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Match:
    """A trade that is secure: the older order's price, and the verdict that confirmed it."""

    buy: Order
    sell: Order
    quantity_w: int
    price_ticks: int
    taker_side: Side
    verdict: Verdict


@dataclass(slots=True)
class Clearing:
    """What a clearing decided.

    Attributes
    ----------
    matches
        Trades, in the order they happen.
    self_trades
        Orders that met one of their own participant's and are to be cancelled.
    blocked_w, block
        How many watts of crossing orders the network refused, and its first refusal.
    """

    matches: list[Match] = field(default_factory=list)
    self_trades: list[Order] = field(default_factory=list)
    blocked_w: int = 0
    block: Blocked | None = None
    _gone_w: dict[int, int] = field(default_factory=dict)

    def remaining_w(self, order: Order) -> int:
        """Return what is left of an order after what was decided so far."""
        return order.remaining_w - self._gone_w.get(order.order_id, 0)

    def _take(self, order: Order, quantity_w: int) -> None:
        self._gone_w[order.order_id] = self._gone_w.get(order.order_id, 0) + quantity_w

    def add_match(self, match: Match) -> None:
        """Add a trade."""
        self.matches.append(match)
        self._take(match.buy, match.quantity_w)
        self._take(match.sell, match.quantity_w)

    def add_block(self, refused_w: int, block: Blocked) -> None:
        """Note that the network refused a transfer, or a part of it."""
        self.blocked_w += refused_w
        self.block = self.block or block

    def add_self_trade(self, order: Order) -> None:
        """Note that the rest of an order is to be cancelled."""
        self.self_trades.append(order)
        self._take(order, self.remaining_w(order))


def clear_order(order: Order, book: OrderBook[Order], network: IntervalNetwork) -> Clearing:
    """Match an incoming order that is in the book already.

    It takes makers by price, then time.  A maker that the network blocks is passed over; since
    every trade may free headroom, the makers passed over are tried again until none trades.
    Costs O(makers crossed) for each round in which something traded.
    """
    clearing = Clearing()
    traded = True
    while traded and clearing.remaining_w(order):
        network.refresh()
        clearing.blocked_w, clearing.block = 0, None
        traded = _match(order, book, network, clearing) and clearing.block is not None
    return clearing


def clear_resting(
    books: Mapping[Direction, OrderBook[Order]], network: IntervalNetwork
) -> Clearing:
    """Match what rests crossed, once through; repeat while ``network.rescan_due``.

    Bids are taken by price and time, and each walks the asks it crosses by price and time.
    Orders that cross nothing are not looked at: O(1) where nothing is crossed, otherwise
    O(crossed bids + connection points with crossed bids * crossed asks).
    """
    clearing = Clearing()
    network.refresh()
    network.rescan_due = False
    for book in books.values():
        best_ask = book.best_price_ticks(Side.SELL)
        if best_ask is None or not book.is_crossed():
            continue
        # A bid that found no more to trade speaks for all later ones of its connection point:
        # they cross no other asks, and the network asks only who buys, not at what price.
        in_vain: set[str] = set()
        for bid in book.orders(Side.BUY, best_ask):
            if bid.connection_point in in_vain or not clearing.remaining_w(bid):
                continue
            _match(bid, book, network, clearing)
            if clearing.remaining_w(bid):
                in_vain.add(bid.connection_point)
    return clearing


def _match(
    order: Order, book: OrderBook[Order], network: IntervalNetwork, clearing: Clearing
) -> bool:
    """Walk an order once along the makers it crosses; return whether it traded."""
    traded = False
    for other in book.orders(order.side.opposite, order.limit_price_ticks):
        available_w = clearing.remaining_w(other)
        if not available_w:
            continue
        older, newer = (order, other) if order.order_id < other.order_id else (other, order)
        if other.participant == order.participant:
            _prevent_self_trade(older, newer, clearing)
        else:
            buy, sell = (order, other) if order.side is Side.BUY else (other, order)
            wanted_w = min(clearing.remaining_w(order), available_w)
            outcome = network.transfer(
                order.direction, sell.connection_point, buy.connection_point, wanted_w
            )
            if isinstance(outcome, Blocked):
                clearing.add_block(wanted_w, outcome)
                continue
            traded = True
            clearing.add_match(
                Match(
                    buy=buy,
                    sell=sell,
                    quantity_w=outcome.quantity_w,
                    price_ticks=older.limit_price_ticks,
                    taker_side=newer.side,
                    verdict=outcome.verdict,
                )
            )
            if outcome.quantity_w < wanted_w:
                element = outcome.verdict.element
                detail = (
                    f"{element} lets {outcome.quantity_w:,} W of {wanted_w:,} W of "
                    f"{order.direction} limit move from {sell.connection_point} "
                    f"to {buy.connection_point}"
                )
                clearing.add_block(wanted_w - outcome.quantity_w, Blocked(element, detail))
        if not clearing.remaining_w(order):
            break
    return traded


def _prevent_self_trade(older: Order, newer: Order, clearing: Clearing) -> None:
    """Take out one of two orders of the same participant, or both, as the newer one asks."""
    mode = newer.conditions.self_trade_prevention
    if mode is not SelfTradePrevention.CANCEL_NEWEST:
        clearing.add_self_trade(older)
    if mode is not SelfTradePrevention.CANCEL_OLDEST:
        clearing.add_self_trade(newer)
