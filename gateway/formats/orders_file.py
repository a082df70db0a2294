"""Files of orders: JSON lines, each an order or the reason why it is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from exchange.vocabulary.commands import AmendOrder, CancelOrder, Command, MassCancel, SubmitOrder
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import MarketRules
from gateway.formats.faults import repeated_entries, sentences, unreadable
from gateway.formats.order_terms import BlockTerms, LinkedTerms, OrderTermsFields, Price
from gateway.formats.prices import InvalidMessageError, price_in_ticks
from gateway.formats.records import Name, Record, Time
from orderbook.order import Side
from security_check.model.envelope import Direction

MAX_LINE_BYTES = 10_000
"""Longest line of an orders file that is looked at; no order comes near."""


class SubmitLine(Record, OrderTermsFields):
    """An order."""

    type: Literal["submit"]
    time: Time
    participant: Name
    client_order_id: Name
    connection_point: Name
    direction: Direction
    interval: Time | None = None
    side: Side
    quantity_w: int


class BlockLine(Record, BlockTerms):
    """One order over several intervals."""

    type: Literal["block"]
    time: Time
    participant: Name
    client_order_id: Name


class LinkedLine(Record, LinkedTerms):
    """Two orders of which one trades only with the other."""

    type: Literal["linked"]
    time: Time
    participant: Name
    client_order_id: Name


class CancelLine(Record):
    """Take the rest of one's own order out of the book."""

    type: Literal["cancel"]
    time: Time
    participant: Name
    client_order_id: Name


class AmendLine(Record):
    """Change price, total quantity, or both, of one's own resting order."""

    type: Literal["amend"]
    time: Time
    participant: Name
    client_order_id: Name
    quantity_w: int | None = None
    price: Price | None = None


class MassCancelLine(Record):
    """Cancel all of one's own orders, or those that match all that is given."""

    type: Literal["mass_cancel"]
    time: Time
    participant: Name
    interval: Time | None = None
    connection_point: Name | None = None
    direction: Direction | None = None
    side: Side | None = None

    @property
    def client_order_id(self) -> None:
        """It is about many orders, so it names none."""
        return None


OrderLine = SubmitLine | BlockLine | LinkedLine | CancelLine | AmendLine | MassCancelLine
_ORDER_LINE: TypeAdapter[OrderLine] = TypeAdapter(Annotated[OrderLine, Field(discriminator="type")])


@dataclass(frozen=True, slots=True)
class OrderText:
    """One line of an orders file: what it says, or why it says nothing."""

    number: int
    order: OrderLine | None
    participant: str | None = None
    client_order_id: str | None = None
    reason: RefusalReason = RefusalReason.MALFORMED
    fault: str = ""


def read_orders(path: Path) -> list[OrderText]:
    """Return the lines of an orders file, blank ones left out, faulty ones marked.

    A line that is no order is not the file's fault: it becomes a refusal with its number.

    Raises
    ------
    InputFaults
        When the file itself cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise unreadable(str(path), error) from None
    return [
        parse_order_line(number, line) for number, line in enumerate(lines, start=1) if line.strip()
    ]


def parse_order_line(number: int, line: bytes) -> OrderText:
    """Return what one line of an orders file says, or a sentence on why it says nothing."""
    if len(line) > MAX_LINE_BYTES:
        detail = f"the line has {len(line):,} bytes; an order has at most {MAX_LINE_BYTES:,}"
        return OrderText(number, None, reason=RefusalReason.TOO_LARGE, fault=detail)
    try:
        order = _ORDER_LINE.validate_json(line)
    except ValidationError as error:
        participant, client_order_id = _identity(line)
        detail = "; ".join(str(fault) for fault in sentences(error))
        return OrderText(number, None, participant, client_order_id, fault=detail)
    if repeated := repeated_entries(line):
        detail = "; ".join(str(fault) for fault in repeated)
        return OrderText(number, None, order.participant, order.client_order_id, fault=detail)
    return OrderText(number, order, order.participant, order.client_order_id)


def _identity(line: bytes) -> tuple[str | None, str | None]:
    """Return who sent a faulty line and under which id, as far as it says so."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None, None
    if not isinstance(content, dict):
        return None, None
    found = (content.get("participant"), content.get("client_order_id"))
    participant, client_order_id = (x if isinstance(x, str) else None for x in found)
    return participant, client_order_id


def command_of(order: OrderLine, rules: MarketRules, intervals: Sequence[datetime]) -> Command:
    """Return what a line asks for.

    Parameters
    ----------
    order
        The line.
    rules
        For the tick.
    intervals
        Starts of all intervals there are; where there is one, a line may leave it out.

    Raises
    ------
    InvalidMessageError
        When a price is between two ticks, or an interval is missing.
    """
    who = order.participant
    match order:
        case CancelLine():
            return CancelOrder(who, order.client_order_id)
        case MassCancelLine():
            return MassCancel(
                who, order.interval, order.connection_point, order.direction, order.side
            )
        case AmendLine():
            ticks = _ticks(order.price, rules)
            return AmendOrder(who, order.client_order_id, order.quantity_w, ticks)
        case BlockLine():
            return order.joint(who, order.client_order_id, _whole_ticks(order.price, rules))
        case LinkedLine():
            legs = tuple(
                leg.leg(_interval(leg.interval, intervals), _whole_ticks(leg.price, rules))
                for leg in order.legs
            )
            return order.joint(who, order.client_order_id, legs)
        case SubmitLine():
            return SubmitOrder(
                participant=who,
                client_order_id=order.client_order_id,
                terms=OrderTerms(
                    connection_point=order.connection_point,
                    direction=order.direction,
                    side=order.side,
                    quantity_w=order.quantity_w,
                    limit_price_ticks=_ticks(order.price, rules),
                    interval=_interval(order.interval, intervals),
                    time_in_force=order.effective_time_in_force(),
                    expires_at=order.expires_at,
                    conditions=order.conditions(),
                ),
            )


def named_intervals(order: OrderLine) -> list[datetime]:
    """Return the intervals that a new order names."""
    match order:
        case SubmitLine():
            named = [order.interval]
        case BlockLine():
            named = list(order.intervals)
        case LinkedLine():
            named = [leg.interval for leg in order.legs]
        case _:
            named = []
    return [start for start in named if start is not None]


def named_points(order: OrderLine) -> list[str]:
    """Return the connection points that a new order names."""
    match order:
        case SubmitLine() | BlockLine():
            return [order.connection_point]
        case LinkedLine():
            return [leg.connection_point for leg in order.legs]
        case _:
            return []


def _ticks(price: str | None, rules: MarketRules) -> int | None:
    return None if price is None else _whole_ticks(price, rules)


def _whole_ticks(price: str, rules: MarketRules) -> int:
    try:
        return price_in_ticks(price, rules.tick)
    except InvalidMessageError as unfit:
        raise InvalidMessageError(str(unfit), RefusalReason.PRICE_INVALID) from None


def _interval(interval: datetime | None, intervals: Sequence[datetime]) -> datetime:
    if interval is not None:
        return interval
    if len(intervals) > 1:
        raise InvalidMessageError(f"interval: it is missing, and the scenario has {len(intervals)}")
    return intervals[0]
