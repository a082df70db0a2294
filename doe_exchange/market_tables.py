"""The tables of a market: orders, trades, books, local prices, statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from doe_exchange.orders import Order
from doe_exchange.tables import TIME, Table
from exchange.market.local_prices import PointPrice
from exchange.vocabulary.events import Event, Traded
from exchange.vocabulary.orders import Order as OpenOrder
from exchange.vocabulary.rules import MarketRules
from exchange.vocabulary.settlement_events import StatementIssued
from gateway.formats.statements_file import figures_in_eur
from gateway.publishing.trade_prints import prints_of
from orderbook.book import OrderBook
from orderbook.order import Side

_MONEY = ("paid", "received", "compensation", "penalties", "flexibility", "balance")

_ORDERS = {
    "time": TIME,
    "participant": "string",
    "client_order_id": "string",
    "order": "string",
    "status": "string",
    "filled_w": "int64",
    "remaining_w": "int64",
    "amount_eur": "float64",
    "detail": "string",
}
_TRADES = {
    "time": TIME,
    "trade_id": "int64",
    "interval": TIME,
    "direction": "string",
    "buyer": "string",
    "seller": "string",
    "buy_connection_point": "string",
    "sell_connection_point": "string",
    "quantity_w": "int64",
    "price_eur_per_kw": "float64",
}
_BOOK = {
    "side": "string",
    "price_eur_per_kw": "float64",
    "quantity_w": "int64",
    "orders": "int64",
}
_PRICES = {
    "connection_point": "string",
    "direction": "string",
    "price_eur_per_kw": "float64",
    "balance_price_eur_per_kw": "float64",
    "element": "string",
}
_STATEMENTS = {
    "interval": TIME,
    "participant": "string",
    "bought_w": "int64",
    "sold_w": "int64",
    **{f"{name}_eur": "float64" for name in _MONEY},
}


def orders_table(orders: Iterable[Order]) -> Table:
    """Return what became of orders; an amount is what is paid, negative where it is received."""
    rows = (
        (
            order.request.time,
            order.participant,
            order.client_order_id,
            order.what,
            order.status.value,
            order.filled_w,
            order.remaining_w,
            float(order.amount_eur),
            order.detail,
        )
        for order in orders
    )
    return Table("Orders", _ORDERS, rows)


def trades_table(clearings: Iterable[Traded], rules: MarketRules) -> Table:
    """Return the prints of clearings."""
    return Table("Trades", _TRADES, (row for each in clearings for row in _prints(each, rules)))


def _prints(clearing: Traded, rules: MarketRules) -> Iterator[tuple[Any, ...]]:
    for (start, direction), prints in prints_of(clearing).items():
        for each in prints:
            yield (
                clearing.time,
                clearing.trade_id,
                start,
                direction.value,
                each.buyer,
                each.seller,
                "" if each.buy is None else each.buy.connection_point,
                "" if each.sell is None else each.sell.connection_point,
                each.quantity_w,
                float(each.price_ticks) * float(rules.tick),
            )


def book_table(title: str, book: OrderBook[OpenOrder], rules: MarketRules) -> Table:
    """Return the price levels of a book: asks, then bids, each from the highest price."""
    levels = [(Side.SELL, each) for each in reversed(book.depth(Side.SELL))]
    levels += [(Side.BUY, each) for each in book.depth(Side.BUY)]
    rows = (
        (
            side.value,
            float(rules.price_in_eur_per_kw(each.limit_price_ticks)),
            each.quantity_w,
            each.orders,
        )
        for side, each in levels
    )
    return Table(title, _BOOK, rows)


def prices_table(title: str, prices: Iterable[PointPrice], rules: MarketRules) -> Table:
    """Return local prices, each with the element that adds the most to it."""
    tick = float(rules.tick)
    rows = (
        (
            each.connection_point,
            each.direction.value,
            tick * each.price_ticks,
            tick * each.balance_ticks,
            each.parts[0].element if each.parts else "",
        )
        for each in prices
    )
    return Table(title, _PRICES, rows)


def statements_table(events: Iterable[Event], rules: MarketRules) -> Table:
    """Return the statements of account among events, in EUR."""
    rows = (
        (
            event.interval,
            event.participant,
            event.bought_w,
            event.sold_w,
            *(float(figures[name]) for name in _MONEY),
        )
        for event in events
        if isinstance(event, StatementIssued)
        for figures in [figures_in_eur(event, rules)]
    )
    return Table("Statements", _STATEMENTS, rows)
