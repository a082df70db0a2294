"""The files that go in and out: envelopes, results, verdicts; orders are beside it.

Every format is a strict pydantic model, the same for reading and writing, so that what one
command writes another reads back unchanged.  Times are UTC and written with a ``Z``; power is
whole watts; prices and amounts are exact decimal strings (``docs/formats.md``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import Field, ValidationError

from exchange.vocabulary.formatting import format_time
from gateway.formats.faults import InputFaults, repeated_entries, sentences, unreadable
from gateway.formats.records import Name, Record, Time, Watts
from security_check.checking.verdict import Verdict
from security_check.errors import Fault
from security_check.model.envelope import Envelope, EnvelopeSet
from security_check.operating_range.operating_point import OperatingPoint
from security_check.verification.certificate import SecurityCertificate
from security_check.verification.monotonicity import ProofStatus


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
    proof: SecurityCertificate | None = None,
) -> IntervalRecord:
    """Return the envelopes of one interval, and what is proved of them, in the form of the file."""
    binding = () if proof is None else proof.explanations
    return IntervalRecord(
        start=start,
        end=end,
        envelopes=[EnvelopeRecord.of(envelope) for envelope in envelopes],
        binding=[
            BindingRecord.of(
                found.verdict, found.operating_point, envelopes.connection_points, found.proof
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


class VertexPower(Record):
    """What one connection point does at a point of the envelopes; injection positive.

    ``reactive_var`` is what its power factor and its own choice give; what an inverter's response
    to the voltage adds is not part of it.
    """

    connection_point: str
    power_w: int
    reactive_var: int = 0


class DeviationRecord(Record):
    """How far what nobody knows exactly is off, in parts of its half-band or tolerance."""

    element: str
    deviation: float


class BindingRecord(Record):
    """An element at its limit: what it reaches, of what limit, and the worst vertex behind it."""

    element: str
    phase: str = ""
    value: float
    limit: float
    unit: str
    loading: float
    interface_voltage_pu: list[float]
    vertex: list[VertexPower]
    deviations: list[DeviationRecord] = Field(default_factory=list)
    proof: str
    detail: str

    @classmethod
    def of(
        cls,
        verdict: Verdict,
        operating_point: OperatingPoint,
        connection_points: Sequence[str],
        proof: str,
    ) -> BindingRecord:
        """Return what an element reaches, where, and what is proved of it, as files have it."""
        return cls(
            element=verdict.element,
            phase=phase_of(verdict.element),
            value=verdict.value,
            limit=verdict.limit,
            unit=verdict.unit,
            loading=verdict.loading,
            interface_voltage_pu=operating_point.source_pu.tolist(),
            vertex=vertex_of(operating_point, connection_points),
            deviations=deviations_of(operating_point),
            proof=proof,
            detail=verdict.worst_case,
        )


def phase_of(element: str) -> str:
    """Return the phase in an element's name, ``a`` of ``bus:4.a without line:3``; or nothing."""
    name, dot, phase = element.partition(" without ")[0].rpartition(".")
    return phase if dot and ":" in name else ""


def vertex_of(
    operating_point: OperatingPoint, connection_points: Sequence[str]
) -> list[VertexPower]:
    """Return what each connection point does, in the form of the files."""
    return [
        VertexPower(connection_point=point, power_w=round(power_w), reactive_var=round(var))
        for point, power_w, var in zip(
            connection_points,
            operating_point.power_w.tolist(),
            operating_point.reactive_var.tolist(),
            strict=True,
        )
    ]


def deviations_of(operating_point: OperatingPoint) -> list[DeviationRecord]:
    """Return what is off its forecast, and how far, in the form of the files."""
    return [
        DeviationRecord(element=element, deviation=deviation)
        for element, deviation in zip(
            operating_point.deviating, operating_point.deviation.tolist(), strict=True
        )
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
    def of(cls, proof: SecurityCertificate) -> ProofRecord:
        """Return what is proved in the form of the file."""
        return cls(
            secure=proof.secure,
            proved=proof.standing[ProofStatus.PROVED],
            proved_below_limit=proof.standing[ProofStatus.BELOW],
            proved_within_gap=proof.standing[ProofStatus.WITHIN],
            only_checked=proof.standing[ProofStatus.CHECKED],
            reason=proof.reason,
        )
