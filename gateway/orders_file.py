"""Files of orders: JSON lines, each an order or the reason why it is none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from exchange.vocabulary.reasons import RefusalReason
from gateway.input_faults import repeated_entries, sentences, unreadable
from gateway.order_terms import BlockTerms, LinkedTerms, OrderTerms, Price
from gateway.records import Name, Record, Time
from orderbook.order import Side
from security_check.model.envelope import Direction

MAX_LINE_BYTES = 10_000
"""Longest line of an orders file that is looked at; no order comes near."""


class SubmitLine(Record, OrderTerms):
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
