"""The files that go in and out: envelopes, results, verdicts; orders are beside it.

Every format is a strict pydantic model, the same for reading and writing, so that what one
command writes another reads back unchanged.  Times are UTC and written with a ``Z``; power is
whole watts; prices and amounts are exact decimal strings (``docs/formats.md``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.reasons import RefusalReason
from gateway.explanations import BindingRecord, DeviationRecord, ProofRecord, VertexPower
from gateway.input_faults import InputFaults, repeated_entries, sentences, unreadable
from gateway.market_messages import BookFigures, DirectionPrices
from gateway.records import Name, Record, Time, Watts
from gateway.whole_files import replacing
from security_check.errors import Fault
from security_check.model.envelope import Direction, Envelope, EnvelopeSet
from security_check.verification.certificate import Proof


class EnvelopeRecord(Record):
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


class IntervalRecord(Record):
    """The envelopes of one delivery interval ``[start, end)``, and what keeps them from more."""

    start: Time
    end: Time
    envelopes: list[EnvelopeRecord]
    binding: list[BindingRecord] = Field(default_factory=list)
    proof: ProofRecord | None = None


class EnvelopeFile(Record):
    """Envelopes, as ``allocate`` writes and ``verify`` reads them."""

    intervals: list[IntervalRecord]


class TradeRecord(Record):
    """``quantity_w`` of limit that moved from seller to buyer at ``price`` EUR per kW.

    Of a clearing of several orders it is a pair by price and time (:mod:`gateway.prints`).
    """

    buyer: str
    seller: str
    buy_connection_point: str
    sell_connection_point: str
    direction: Direction
    quantity_w: int
    price: str


class FillRecord(Record):
    """What one order traded in all; ``amount`` in EUR, positive where the participant pays."""

    participant: str
    client_order_id: str
    quantity_w: int
    amount: str


class RestingRecord(Record):
    """An order still in the book after the last line."""

    participant: str
    client_order_id: str
    remaining_w: int


class RefusalRecord(Record):
    """A line that was not carried out, why, and a sentence with the numbers."""

    line: int
    participant: str | None
    client_order_id: str | None
    reason: RefusalReason
    detail: str


class StatementRecord(Record):
    """One account for one interval, in EUR; with those of the DSO they add up to zero."""

    participant: str
    interval: Time
    bought_w: int
    sold_w: int
    paid: str
    received: str
    compensation: str = "0"
    penalties: str = "0"
    balance: str


class StatisticsRecord(BookFigures, Record):
    """What traded in one book, as in the public statistics."""


class LocalPricesRecord(Record):
    """The local prices of an interval before its gate, as in the public messages."""

    interval: Time
    directions: list[DirectionPrices]


class ResultFile(Record):
    """What ``simulate`` writes."""

    trades: list[TradeRecord]
    fills: list[FillRecord]
    resting: list[RestingRecord]
    refusals: list[RefusalRecord]
    envelopes: EnvelopeFile
    welfare: str
    statements: list[StatementRecord]
    statistics: list[StatisticsRecord] = Field(default_factory=list)
    local_prices: list[LocalPricesRecord] = Field(default_factory=list)


class VerdictRecord(Record):
    """The element nearest to, or farthest beyond, its limit, and the point that shows it.

    Where the power flow finds no solution at some point there is no value: ``element`` is
    ``"power_flow"`` and the numbers are ``null``.
    """

    secure: bool
    element: str
    phase: str
    value: float | None
    limit: float | None
    unit: str
    loading: float | None
    interface_voltage_pu: list[float]
    vertex: list[VertexPower]
    deviations: list[DeviationRecord]
    points_tried: int
    detail: str


class IntervalVerdict(VerdictRecord):
    """The verdict on one interval: every element at its limit or beyond, and whose limits it keeps.

    Envelopes that are not secure have no bottlenecks, and nothing is proved of them.
    """

    start: Time
    end: Time
    binding: list[BindingRecord]
    envelopes: list[EnvelopeRecord]
    proof: ProofRecord | None


class VerdictFile(VerdictRecord):
    """What ``verify`` writes: the worst of all intervals, then each interval."""

    intervals: list[IntervalVerdict]


def read_json_envelopes(path: Path) -> EnvelopeFile:
    """Return the envelopes in a JSON file.

    Raises
    ------
    InputFaults
        When the file cannot be read or is not of the format; all faults at once.
    """
    try:
        text = path.read_bytes()
        content = EnvelopeFile.model_validate_json(text)
    except OSError as error:
        raise unreadable(str(path), error) from None
    except ValidationError as error:
        raise InputFaults(str(path), sentences(error)) from None
    if repeated := repeated_entries(text):
        raise InputFaults(str(path), repeated)
    return content


def envelope_record(
    start: datetime,
    end: datetime,
    envelopes: EnvelopeSet,
    proof: Proof | None = None,
) -> IntervalRecord:
    """Return the envelopes of one interval, and what is proved of them, in the form of the file."""
    binding = () if proof is None else proof.explanations
    return IntervalRecord(
        start=start,
        end=end,
        envelopes=[EnvelopeRecord.of(envelope) for envelope in envelopes],
        binding=[
            BindingRecord.of(
                found.verdict, found.situation, envelopes.connection_points, found.proof
            )
            for found in binding
        ],
        proof=None if proof is None else ProofRecord.of(proof),
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


def write_json(path: Path, content: BaseModel) -> None:
    """Write a file whole or not at all: into a temporary file beside it, then renamed.

    Raises
    ------
    InputFaults
        When the place cannot be written to.
    """
    write_text(path, content.model_dump_json(indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, as :func:`write_json` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
