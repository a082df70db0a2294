"""Files of orders: one JSON request a line.

The rules are those of :mod:`gateway.formats.order_terms`.  A line must name its time and its
participant; a message over MQTT need not.  A line need not give a cancel, an amendment or a mass
cancel an id; a message must.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.faults import InvalidMessageError, unreadable
from gateway.formats.identifiers import is_identifier
from gateway.formats.order_terms import (
    BlockRequest,
    LinkedRequest,
    OrderRequest,
    SubmitRequest,
    read_order,
)
from gateway.formats.strict_json import entries_of, id_of


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A line with a request of a participant in it."""

    number: int
    time: datetime
    participant: str
    request: OrderRequest

    @property
    def usual_id(self) -> str:
        """The id of its request, if that has none; its blank keeps it apart from all given ids."""
        return f"line {self.number}"

    @property
    def client_order_id(self) -> str | None:
        """The participant's own key; ``None`` in a mass cancel."""
        return self.request.client_order_id


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line without a request, and the reason; ``None`` where it names no sender or key."""

    number: int
    participant: str | None
    client_order_id: str | None
    reason: RefusalReason
    detail: str


def read_orders(path: Path) -> list[OrderLine | RefusedLine]:
    """Return the lines of an orders file without blank ones.

    A faulty line is not a fault of the file: it becomes a refusal with its number.

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
        read_order_line(number, line) for number, line in enumerate(lines, start=1) if line.strip()
    ]


def read_order_line(number: int, line: bytes) -> OrderLine | RefusedLine:
    """Return the request in one line of an orders file, or its refusal."""
    try:
        request = read_order(line, required=("time", "participant"))
        assert request.time is not None
        assert request.participant is not None
        if not is_identifier(request.participant):
            raise InvalidMessageError(f"participant: {request.participant!r} is not an identifier")
    except InvalidMessageError as refusal:
        entries = entries_of(line)
        name = entries.get("participant")
        participant = name if isinstance(name, str) and is_identifier(name) else None
        key = id_of(entries, "client_order_id")
        return RefusedLine(number, participant, key, refusal.reason, str(refusal))
    return OrderLine(number, request.time, request.participant, request)


def named_intervals(request: OrderRequest) -> list[datetime]:
    """Return the intervals that a new order names."""
    match request:
        case SubmitRequest():
            named = [request.interval]
        case BlockRequest():
            named = list(request.intervals)
        case LinkedRequest():
            named = [leg.interval for leg in request.legs]
        case _:
            named = []
    return [start for start in named if start is not None]


def named_points(request: OrderRequest) -> list[str]:
    """Return the connection points that a new order names."""
    match request:
        case SubmitRequest() | BlockRequest():
            return [request.connection_point]
        case LinkedRequest():
            return [leg.connection_point for leg in request.legs]
        case _:
            return []
