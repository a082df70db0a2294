"""Blocked matches: which element keeps an order from trades that it crosses."""

from __future__ import annotations

from exchange.handlers.self_trade_prevention import own_crossed
from exchange.market.interval_markets import IntervalMarkets
from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.vocabulary.events import MatchBlocked
from exchange.vocabulary.orders import Order
from orderbook.order import Side
from security_check.model.element import POWER_FLOW

_HALTED = "trading in the interval is halted until new interface limits are in force"
_SUSPENDED = "trading is halted until the market operator resumes it"


def note_blocked_match(
    order: Order,
    session: Session,
    markets: IntervalMarkets,
    record: EventRecorder,
    *,
    may_trade: bool,
) -> None:
    """Record what the network, or a halt, refuses of an incoming order that crosses others.

    Parameters
    ----------
    order
        What is left of the order, in its book already.
    session
        The interval it trades.
    markets
        Know the network of the interval.
    record
        Collects the events.
    may_trade
        Whether a clearing has been tried; ``False`` while trading is halted.
    """
    book = session.books[order.direction]
    if not book.crossing_w(order.side, order.limit_price_ticks, 1):
        return
    # An order never trades with orders of its own participant, so these do not count.
    own = own_crossed(order, session, record.state)
    own_w = sum(each.remaining_w for each in own if not each.conditional)
    crossing_w = book.crossing_w(order.side, order.limit_price_ticks, order.remaining_w + own_w)
    crossing_w = min(crossing_w - own_w, order.remaining_w)
    if not crossing_w or crossing_w < order.required_w:
        return
    if may_trade:
        element, detail = _why_blocked(order, session, markets, record)
    elif session.halted:
        element, detail = "interface", _HALTED
    else:
        element, detail = "operator", _SUSPENDED
    record.add(
        MatchBlocked(
            sequence=record.next_sequence,
            time=record.now,
            order_id=order.order_id,
            participant=order.participant,
            client_order_id=order.client_order_id,
            blocked_w=crossing_w,
            element=element,
            detail=detail,
        )
    )


def _why_blocked(
    order: Order, session: Session, markets: IntervalMarkets, record: EventRecorder
) -> tuple[str, str]:
    """Return the element that keeps an order from its best maker, and a sentence."""
    lot_w = record.state.rules.lot_w
    book = session.books[order.direction]
    maker = next(book.orders(order.side.opposite, order.limit_price_ticks))
    buy, sell = (order, maker) if order.side is Side.BUY else (maker, order)
    wanted_w = min(order.remaining_w, maker.remaining_w)
    least_w = max(lot_w, min(order.required_w, wanted_w))
    network = markets.network(session.start, record)
    if network is None:
        return POWER_FLOW, "the network could not be asked"
    found_w, element = network.largest_secure_w(
        order.direction, sell.connection_point, buy.connection_point, wanted_w
    )
    moved = (
        f"{order.direction} limit to move from {sell.connection_point} to {buy.connection_point}"
    )
    if found_w >= least_w:
        return POWER_FLOW, (
            f"no clearing in whole lots that the AC power flow confirms gains from "
            f"{least_w:,} W of {moved}"
        )
    least = "lot" if least_w == lot_w else "part"
    worst_case = network.explain(element)
    return element, (
        f"{element} leaves no {least} of {least_w:,} W of {moved}{worst_case and ': ' + worst_case}"
    )
