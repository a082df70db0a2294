"""The files that go in and out: envelopes, results, verdicts; orders are beside it.

Every format is a strict pydantic model, the same for reading and writing, so that what one
command writes another reads back unchanged.  Times are UTC and written with a ``Z``; power is
whole watts; prices and amounts are exact decimal strings (``docs/formats.md``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from exchange.events import RefusalReason
from exchange.wording import format_time
from gateway.input_faults import InputFaults, repeated_entries, sentences, unreadable, why
from security_check.envelope import Direction, Envelope, EnvelopeSet
from security_check.errors import Fault
from security_check.monotonicity import Standing
from security_check.proof import Proof
from security_check.situation import Situation
from security_check.verdict import Explanation

_FIRST_YEAR, _LAST_YEAR = 1970, 9998


def in_utc(moment: datetime) -> datetime:
    """Return a time of an input in UTC.

    Raises
    ------
    ValueError
        When it is so near the ends of the calendar that adding a gate or an interval could
        leave it.
    """
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"it should lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment.astimezone(UTC)


Time = Annotated[
    AwareDatetime, AfterValidator(in_utc), PlainSerializer(format_time, return_type=str)
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Watts = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """A part of a file: exact types, no entries but these, never changed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


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


class VertexPower(Record):
    """What one connection point does at a point of the envelopes: watts, injection positive."""

    connection_point: str
    power_w: int


class BindingRecord(Record):
    """An element at its limit: what it reaches, of what limit, and the worst vertex behind it."""

    element: str
    value: float
    limit: float
    unit: str
    loading: float
    interface_voltage_pu: list[float]
    vertex: list[VertexPower]
    proof: str
    detail: str

    @classmethod
    def of(cls, found: Explanation, connection_points: Sequence[str]) -> BindingRecord:
        """Return an explanation in the form of the file."""
        verdict, situation = found.verdict, found.situation
        return cls(
            element=verdict.element,
            value=verdict.value,
            limit=verdict.limit,
            unit=verdict.unit,
            loading=verdict.loading,
            interface_voltage_pu=situation.source_pu.tolist(),
            vertex=vertex_of(situation, connection_points),
            proof=found.proof,
            detail=verdict.worst_case,
        )


def vertex_of(situation: Situation, connection_points: Sequence[str]) -> list[VertexPower]:
    """Return what each connection point does, in the form of the files."""
    return [
        VertexPower(connection_point=point, power_w=round(power_w))
        for point, power_w in zip(connection_points, situation.power_w.tolist(), strict=True)
    ]


class ProofRecord(Record):
    """How many monitored rows are proved, below their limits, within a gap, or only checked."""

    secure: bool
    proved: int
    proved_below_limit: int
    proved_within_gap: int
    only_checked: int
    reason: str

    @classmethod
    def of(cls, proof: Proof) -> ProofRecord:
        """Return what is proved in the form of the file."""
        return cls(
            secure=proof.secure,
            proved=proof.standing[Standing.PROVED],
            proved_below_limit=proof.standing[Standing.BELOW],
            proved_within_gap=proof.standing[Standing.WITHIN],
            only_checked=proof.standing[Standing.CHECKED],
            reason=proof.reason,
        )


class IntervalRecord(Record):
    """The envelopes of one delivery interval ``[start, end)``, and what keeps them from more."""

    start: Time
    end: Time
    envelopes: list[EnvelopeRecord]
    binding: list[BindingRecord] = []
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
    """A participant's account for one interval, in EUR; balances add up to zero."""

    participant: str
    interval: Time
    bought_w: int
    sold_w: int
    paid: str
    received: str
    balance: str


class ResultFile(Record):
    """What ``simulate`` writes."""

    trades: list[TradeRecord]
    fills: list[FillRecord]
    resting: list[RestingRecord]
    refusals: list[RefusalRecord]
    envelopes: EnvelopeFile
    welfare: str
    statements: list[StatementRecord]


class VerdictRecord(Record):
    """The element nearest to, or farthest beyond, its limit, and the point that shows it.

    Where the power flow finds no solution at some point there is no value: ``element`` is
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


def read_envelopes(path: Path) -> EnvelopeFile:
    """Return the envelopes in a file.

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
        binding=[BindingRecord.of(found, envelopes.connection_points) for found in binding],
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
    text = content.model_dump_json(indent=2) + "\n"
    try:
        if path.is_dir():
            raise InputFaults(str(path), [Fault("file", "it cannot be written: it is a folder")])
        if path.exists() and not path.is_file():  # /dev/stdout and the like cannot be renamed onto
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path, text)
    except OSError as error:
        sentence = f"it cannot be written: {why(error)}"
        raise InputFaults(str(path), [Fault("file", sentence)]) from None


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # what stopped the writing may stop this, too
            temporary.unlink(missing_ok=True)
