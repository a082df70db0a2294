"""The files that go in and out: envelopes, orders, results, verdicts.

Every format is a strict pydantic model, the same for reading and writing, so that what one
command writes another reads back unchanged.  Times are UTC and written with a ``Z``; power is
whole watts; prices and amounts are exact decimal strings (``docs/formats.md``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)

from exchange.events import RefusalReason
from orderbook.order import Side, TimeInForce
from security_check.envelope import Direction, Envelope, EnvelopeSet
from security_check.errors import Fault

MAX_LINE_BYTES = 10_000
"""Longest line of an orders file that is looked at; no order comes near."""


class InputFaults(Exception):  # noqa: N818  # it reports faults, plural, as NetworkFaults does
    """An input has faults; ``faults`` holds all of them, ``source`` says which input."""

    def __init__(self, source: str, faults: Iterable[Fault]) -> None:
        self.source = source
        self.faults = tuple(faults)
        super().__init__("; ".join(str(fault) for fault in self.faults))


def format_time(moment: datetime) -> str:
    """Return ISO 8601 in UTC with a ``Z``, for example ``2016-05-02T12:15:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


Time = Annotated[
    AwareDatetime,
    AfterValidator(lambda moment: moment.astimezone(UTC)),
    PlainSerializer(format_time, return_type=str),
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Watts = Annotated[int, Field(ge=0)]
# At most 12 digits on each side of the point: no price needs more, and none overflows.
Price = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$")]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class EnvelopeRecord(_Record):
    """The limits of one connection point; magnitudes in watts."""

    connection_point: Name
    injection_limit_w: Watts
    withdrawal_limit_w: Watts
    injection_bottleneck: str = ""
    withdrawal_bottleneck: str = ""

    @classmethod
    def of(cls, envelope: Envelope) -> EnvelopeRecord:
        """Return an envelope in the form of the file."""
        return cls(
            connection_point=envelope.connection_point,
            injection_limit_w=envelope.injection_limit_w,
            withdrawal_limit_w=envelope.withdrawal_limit_w,
            injection_bottleneck=envelope.injection_bottleneck,
            withdrawal_bottleneck=envelope.withdrawal_bottleneck,
        )


class IntervalRecord(_Record):
    """The envelopes of one delivery interval ``[start, end)``."""

    start: Time
    end: Time
    envelopes: list[EnvelopeRecord]


class EnvelopeFile(_Record):
    """Envelopes, as ``allocate`` writes and ``verify`` reads them."""

    intervals: list[IntervalRecord]


class SubmitLine(_Record):
    """A limit order; ``price`` in EUR per kW of limit for the interval."""

    type: Literal["submit"]
    time: Time
    participant: Name
    client_order_id: Name
    connection_point: Name
    direction: Direction
    interval: Time | None = None
    side: Side
    quantity_w: int
    price: Price
    time_in_force: TimeInForce = TimeInForce.GOOD_TILL_CANCEL
    expires_at: Time | None = None


class CancelLine(_Record):
    """Take the rest of one's own order out of the book."""

    type: Literal["cancel"]
    time: Time
    participant: Name
    client_order_id: Name


class AmendLine(_Record):
    """Change price, total quantity, or both, of one's own resting order."""

    type: Literal["amend"]
    time: Time
    participant: Name
    client_order_id: Name
    quantity_w: int | None = None
    price: Price | None = None


OrderLine = Annotated[SubmitLine | CancelLine | AmendLine, Field(discriminator="type")]
_ORDER_LINE: TypeAdapter[SubmitLine | CancelLine | AmendLine] = TypeAdapter(OrderLine)


class TradeRecord(_Record):
    """``quantity_w`` of limit that moved from seller to buyer at ``price`` EUR per kW."""

    buyer: str
    seller: str
    buy_connection_point: str
    sell_connection_point: str
    direction: Direction
    quantity_w: int
    price: str


class FillRecord(_Record):
    """What one order traded in all; ``amount`` in EUR, positive where the participant pays."""

    participant: str
    client_order_id: str
    quantity_w: int
    amount: str


class RestingRecord(_Record):
    """An order still in the book after the last line."""

    participant: str
    client_order_id: str
    remaining_w: int


class RefusalRecord(_Record):
    """A line that was not carried out, why, and a sentence with the numbers."""

    line: int
    participant: str | None
    client_order_id: str | None
    reason: RefusalReason
    detail: str


class StatementRecord(_Record):
    """A participant's account for one interval, in EUR; balances add up to zero."""

    participant: str
    interval: Time
    bought_w: int
    sold_w: int
    paid: str
    received: str
    balance: str


class ResultFile(_Record):
    """What ``simulate`` writes."""

    trades: list[TradeRecord]
    fills: list[FillRecord]
    resting: list[RestingRecord]
    refusals: list[RefusalRecord]
    envelopes: EnvelopeFile
    welfare: str
    statements: list[StatementRecord]


class VertexPower(_Record):
    """What one connection point does at a vertex: watts, injection positive."""

    connection_point: str
    power_w: int


class VerdictRecord(_Record):
    """The element nearest to, or farthest beyond, its limit, and the vertex that shows it.

    Where the power flow finds no solution at some vertex there is no value: ``element`` is
    ``"power_flow"`` and the numbers are ``null``.
    """

    secure: bool
    element: str
    value: float | None
    limit: float | None
    unit: str
    loading: float | None
    interface_voltage_pu: float | None
    vertex: list[VertexPower]
    points_tried: int
    detail: str


class IntervalVerdict(VerdictRecord):
    """The verdict on one interval."""

    start: Time
    end: Time


class VerdictFile(VerdictRecord):
    """What ``verify`` writes: the worst of all intervals, then each interval."""

    intervals: list[IntervalVerdict]


@dataclass(frozen=True, slots=True)
class OrderText:
    """One line of an orders file: what it says, or why it says nothing."""

    number: int
    order: SubmitLine | CancelLine | AmendLine | None
    participant: str | None = None
    client_order_id: str | None = None
    reason: RefusalReason = RefusalReason.MALFORMED
    fault: str = ""


def read_envelopes(path: Path) -> EnvelopeFile:
    """Return the envelopes in a file.

    Raises
    ------
    InputFaults
        When the file cannot be read or is not of the format; all faults at once.
    """
    try:
        return EnvelopeFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputFaults(str(path), [Fault("file", _why_unreadable(error))]) from None
    except ValidationError as error:
        raise InputFaults(str(path), sentences(error)) from None


def envelope_record(start: datetime, end: datetime, envelopes: EnvelopeSet) -> IntervalRecord:
    """Return the envelopes of one interval in the form of the file."""
    return IntervalRecord(
        start=start, end=end, envelopes=[EnvelopeRecord.of(envelope) for envelope in envelopes]
    )


def envelope_set(
    record: IntervalRecord, connection_points: Sequence[str]
) -> tuple[EnvelopeSet | None, list[Fault]]:
    """Return the envelopes of one interval in the network's order, or what is wrong with them.

    Every connection point of the network must be named exactly once, and nothing else.
    """
    named = [envelope.connection_point for envelope in record.envelopes]
    given = dict(zip(named, record.envelopes, strict=True))
    known = set(connection_points)
    where = f"in the interval that starts {format_time(record.start)}"
    faults = [
        Fault(point, f"{where} it has an envelope, but the network has no such connection point")
        for point in given
        if point not in known
    ]
    faults += [
        Fault(point, f"{where} it has {named.count(point)} envelopes instead of one")
        for point in given
        if named.count(point) > 1
    ]
    faults += [
        Fault(point, f"{where} it has no envelope")
        for point in connection_points
        if point not in given
    ]
    if faults:
        return None, faults
    ordered = [given[point] for point in connection_points]
    return EnvelopeSet(
        connection_points,
        [envelope.injection_limit_w for envelope in ordered],
        [envelope.withdrawal_limit_w for envelope in ordered],
        [envelope.injection_bottleneck for envelope in ordered],
        [envelope.withdrawal_bottleneck for envelope in ordered],
    ), []


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
        raise InputFaults(str(path), [Fault("file", _why_unreadable(error))]) from None
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


def sentences(error: ValidationError, prefix: str = "") -> Iterator[Fault]:
    """Yield one fault for each thing that pydantic found, named by its place in the input."""
    for problem in error.errors(include_url=False):
        kind, message = problem["type"], problem["msg"]
        # The names of union members are pydantic's business, not the reader's.
        place = [str(part) for part in problem["loc"] if part not in ("submit", "cancel", "amend")]
        where = ".".join([prefix, *place] if prefix else place) or "content"
        if kind == "extra_forbidden":
            detail = "there is no such entry"
        elif kind == "missing":
            detail = "it is missing"
        elif kind == "json_invalid":
            detail = f"it is not JSON: {message.removeprefix('Invalid JSON: ')}"
        else:
            sentence = message.replace("Input should", "it should").removeprefix("Value error, ")
            detail = f"{sentence}, found {_shown(problem['input'])}"
        yield Fault(where, detail)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _why_unreadable(error: OSError) -> str:
    return f"it cannot be read: {(error.strerror or str(error)).lower()}"


def write_json(path: Path, content: BaseModel) -> None:
    """Write a file whole or not at all: into a temporary file beside it, then renamed.

    Raises
    ------
    InputFaults
        When the place cannot be written to.
    """
    text = content.model_dump_json(indent=2) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists() and not path.is_file():  # /dev/stdout and the like cannot be renamed onto
            path.write_text(text, encoding="utf-8")
            return
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputFaults(str(path), [Fault("file", f"it cannot be written: {reason}")]) from None
    finally:
        temporary.unlink(missing_ok=True)
