"""What clients of a market know, as tables: orders, positions, books, limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import zip_longest
from typing import Any

from rich.table import Table
from rich.text import Text

from gateway.client.mirrors.books import Book
from gateway.client.mirrors.own_orders import OwnOrder
from gateway.client.mirrors.own_positions import HeldLimits
from gateway.client.mirrors.point_envelopes import LimitsNow, LimitSource
from gateway.messages.area_state import SessionMessage
from gateway.messages.flexibility import (
    FlexibilityAcceptedReport,
    FlexibilityMatchedReport,
    OpenFlexibility,
)
from gateway.messages.market_data import PriceMessage
from gateway.messages.participant_reports import TradedReport
from gateway.terminal.console import new_table
from orderbook.order import Side

_LEVELS = 10


def clock(moment: datetime) -> str:
    """Return a time of an interval for people, in UTC."""
    return f"{moment:%d %b %H:%M}"


def _or(table: Table, nothing: str) -> Table:
    """Return a table; one without rows says so."""
    if not table.row_count:
        table.add_row(Text(nothing, style="dim"))
    return table


def orders_table(orders: Iterable[OwnOrder]) -> Table:
    """Return own orders, a row for each leg."""
    table = new_table("", ("order", "side", "at", "limit", "interval"), ("W", "left", "EUR/kW"))
    for order in orders:
        for leg in order.legs:
            table.add_row(
                str(leg.order_id),
                leg.side.value,
                Text(leg.connection_point),
                leg.direction.value,
                clock(leg.interval),
                f"{leg.quantity_w:,}",
                f"{leg.remaining_w:,}",
                f"{leg.price:f}",
            )
    return _or(table, "no open order")


def positions_table(positions: Iterable[HeldLimits]) -> Table:
    """Return the limits held, by interval and connection point."""
    table = new_table("", ("interval", "at"), ("injection W", "withdrawal W"))
    for each in sorted(positions, key=lambda held: (held.interval, held.connection_point)):
        table.add_row(
            clock(each.interval),
            Text(each.connection_point),
            f"{each.injection_limit_w:,}",
            f"{each.withdrawal_limit_w:,}",
        )
    return _or(table, "no limits held")


def book_table(book: Book) -> Table:
    """Return the best levels of a book: bids left, offers right."""
    table = new_table(
        f"{book.direction.value}, {clock(book.interval)} UTC", (), ("bid W", "bid", "offer", "W")
    )
    for bid, offer in zip_longest(book.bids[:_LEVELS], book.offers[:_LEVELS]):
        table.add_row(
            "" if bid is None else f"{bid.quantity_w:,}",
            "" if bid is None else f"{bid.price:f}",
            "" if offer is None else f"{offer.price:f}",
            "" if offer is None else f"{offer.quantity_w:,}",
        )
    return _or(table, "no order")


def limits_table(limits: Mapping[str, LimitsNow]) -> Table:
    """Return the limits that hold now, and why."""
    table = new_table("", ("at", "because"), ("injection W", "withdrawal W"))
    for point, each in sorted(limits.items()):
        is_envelope = each.source is LimitSource.ENVELOPE
        why = "envelope" if is_envelope else f"fallback: {each.source.value}"
        table.add_row(
            Text(point), why, f"{each.injection_limit_w:,}", f"{each.withdrawal_limit_w:,}"
        )
    return _or(table, "no connection point")


def statement_table(statement: Mapping[str, Any]) -> Table:
    """Return an account: what is settled, and what has no statement yet."""
    table = new_table("", ("account", "interval"), ("bought W", "sold W", "EUR"))
    for entry in statement["entries"]:
        interval = clock(datetime.fromisoformat(entry["interval"]))
        sums = f"{entry['bought_w']:,}", f"{entry['sold_w']:,}", entry["balance"]
        table.add_row(Text(entry["account"]), interval, *sums)
    for account in statement["accounts"]:
        table.add_row(Text(account["account"]), "balance", "", "", account["balance"])
    return _or(table, "nothing booked")


def prices_table(prices: PriceMessage) -> Table:
    """Return the local prices of an interval, and the elements behind them."""
    table = new_table(f"local prices, {clock(prices.interval)} UTC", ("limit", "at", "because of"))
    table.add_column("EUR/kW", justify="right")
    for side in prices.directions:
        table.add_row(side.direction.value, "elsewhere", "", side.balance_price)
        for place in side.connection_points[:_LEVELS]:
            because = ", ".join(part.element for part in place.parts)
            point = Text(place.connection_point)
            table.add_row(side.direction.value, point, Text(because), place.price)
    return table


def order_line(order: OwnOrder) -> str:
    """Return an order in a sentence."""
    what = ", ".join(
        f"{leg.side.value} {leg.quantity_w:,} W of {leg.connection_point} {leg.direction.value} "
        f"at {leg.price:f}, {clock(leg.interval)}"
        for leg in order.legs
    )
    became = order.state.value if order.reason is None else f"{order.state.value}, {order.reason}"
    return f"order {order.order_id}: {what}: {became}, {order.remaining_w:,} W left"


def fill_line(fill: TradedReport) -> str:
    """Return a fill in a sentence."""
    done = "bought" if fill.side == "buy" else "sold"
    return (
        f"order {fill.order_id} {done} {fill.quantity_w:,} W at {fill.price} EUR/kW, "
        f"{fill.amount} EUR"
    )


def flexibility_table(orders: Iterable[OpenFlexibility]) -> Table:
    """Return own open offers and requests."""
    table = new_table("", ("order", "", "at", "way", "interval"), ("W", "left", "EUR/kW"))
    for each in orders:
        table.add_row(
            str(each.order_id),
            _kind(each),
            Text(each.connection_point or each.bus),
            each.direction.value,
            clock(each.interval),
            f"{each.quantity_w:,}",
            f"{each.remaining_w:,}",
            each.price,
        )
    return _or(table, "no open offer or request")


def _kind(order: OpenFlexibility | FlexibilityAcceptedReport) -> str:
    kind = "offer" if order.side is Side.SELL else "request"
    return f"conditional {kind}" if order.conditional else kind


def flexibility_line(order: FlexibilityAcceptedReport) -> str:
    """Return an offer or a request in a sentence."""
    return (
        f"order {order.order_id}: {_kind(order)} of {order.quantity_w:,} W {order.direction} at "
        f"{order.connection_point or order.bus} for {order.price}, {clock(order.interval)}"
    )


def match_line(match: FlexibilityMatchedReport) -> str:
    """Return what an offer or a request was matched in a sentence."""
    return (
        f"order {match.order_id} matched {match.quantity_w:,} W {match.direction} at "
        f"{match.price} EUR/kW, {match.amount} EUR"
    )


def session_line(session: SessionMessage) -> str:
    """Return the state of the market in a line."""
    phases = ", ".join(f"{clock(each.start)} {each.phase}" for each in session.intervals)
    alarm = ""
    if session.last_alarm is not None:
        alarm = f"; alarm at {session.last_alarm.time:%H:%M:%S}: {session.last_alarm.kind.value}"
    return f"exchange {session.status}: {phases or 'no interval'}{alarm}"
