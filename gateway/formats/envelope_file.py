"""The envelopes file, and the records that results and verdicts share with it.

The same strict records read and write, so that a command reads unchanged what another has
written.  Times are UTC and written with a ``Z``; power is
whole watts; prices and amounts are exact decimal strings (``docs/formats``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from doe_allocation.fairness.principles import Rule
from exchange.vocabulary.formatting import format_time
from gateway.formats.faults import InputFaults, repeated_entries, sentences, unreadable
from gateway.formats.records import Finite, Name, Record, Time, Watts
from security_check.checking.verdict import Verdict
from security_check.errors import Fault, Violation
from security_check.model.element import Element
from security_check.model.envelope import EnvelopeSet
from security_check.operating_range.operating_point import OperatingPoint
from security_check.verification.certificate import SecurityCertificate
from security_check.verification.monotonicity import ProofStatus

_REACHED = 1e-5  # largest gap that counts as none: the tolerance of worst points
_WITHIN = re.compile(r"within ([0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?) %")

NOT_REACHED = "not reached"
"""How an interval's limits stand to its rule of fairness where this is not known."""


def fairness_gap(reached: str) -> float | None:
    """Return the gap to the rule of fairness that a file states, as a part; 0 at the rule itself.

    ``None`` where it is not known (:data:`NOT_REACHED`, or nothing is stated).
    """
    if found := _WITHIN.fullmatch(reached):
        return float(found[1]) / 100.0
    return None if reached in ("", NOT_REACHED) else 0.0


def stated_fairness(text: str) -> str:
    """Return what a file states on the fairness of an interval.

    Raises
    ------
    ValueError
        When it is none of the words of the format.
    """
    if text not in ("", NOT_REACHED, *Rule) and not _WITHIN.fullmatch(text):
        raise ValueError(f"it should be {', '.join(Rule)}, within 0.04 % (say) or {NOT_REACHED}")
    return text


FairnessReached = Annotated[str, AfterValidator(stated_fairness)]
"""A rule's name where limits are those that it chooses, else how far they are from them."""


class EnvelopeRecord(Record):
    """The limits of one connection point; magnitudes in watts."""

    connection_point: Name
    injection_limit_w: Watts
    withdrawal_limit_w: Watts
    injection_bottleneck: str = ""
    withdrawal_bottleneck: str = ""


class IntervalStatus(StrEnum):
    """What is published for an interval."""

    SECURE = "secure"
    FALLBACK = "fallback"
    NONE = "none"


class ViolationRecord(Record):
    """An element over its limit: what it reaches, and the limit."""

    element: str
    phase: str = ""
    value: Finite
    limit: Finite
    unit: str

    @classmethod
    def of(cls, violation: Violation) -> ViolationRecord:
        """Return the record of an element over its limit."""
        return cls.from_fields(violation, phase=Element.parse(violation.element).phase)


class IntervalRecord(Record):
    """The envelopes of one delivery interval ``[start, end)``, and the elements that limit them.

    An interval that could not be secured has its fallback envelopes where these are secure, and
    no envelopes otherwise; ``reason`` and ``violations`` say why.
    """

    start: Time
    end: Time
    status: IntervalStatus = IntervalStatus.SECURE
    reason: str = ""
    violations: list[ViolationRecord] = Field(default_factory=list)
    fairness: FairnessReached = ""
    envelopes: list[EnvelopeRecord]
    binding: list[BindingRecord] = Field(default_factory=list)
    proof: ProofRecord | None = None

    @model_validator(mode="after")
    def _none_publishes_nothing(self) -> Self:
        if self.status is IntervalStatus.NONE and (self.envelopes or self.binding or self.proof):
            raise ValueError('its status is "none", so it should have no envelopes and no proof')
        return self

    @property
    def sentence(self) -> str:
        """One sentence on an interval that could not be secured; empty for a secure one."""
        return unsecured_sentence(self.status, self.reason)


def unsecured_sentence(status: IntervalStatus, reason: str) -> str:
    """Return what is published of an interval that is not secured, and why; else nothing."""
    published = {
        IntervalStatus.SECURE: "",
        IntervalStatus.FALLBACK: "the fallback envelopes, which are secure, are published",
        IntervalStatus.NONE: "nothing is published",
    }[status]
    return published and f"{published}: {reason or 'it could not be secured'}"


class EnvelopeFile(Record):
    """The file that ``allocate`` writes and ``verify`` reads."""

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
    status: IntervalStatus = IntervalStatus.SECURE,
    reason: str = "",
    violations: Sequence[Violation] = (),
    rule: str = "",
) -> IntervalRecord:
    """Return the envelopes of one interval, and their proof, as a record.

    ``rule`` is the name of the rule of fairness by which they were allocated, if they were.
    """
    binding = () if proof is None else proof.explanations
    return IntervalRecord(
        start=start,
        end=end,
        status=status,
        reason=reason,
        violations=[ViolationRecord.of(each) for each in violations],
        fairness=rule and fairness_reached(rule, envelopes.fairness_gap),
        envelopes=[EnvelopeRecord.from_fields(envelope) for envelope in envelopes],
        binding=[
            BindingRecord.of(
                found.verdict, found.operating_point, envelopes.connection_points, found.proof
            )
            for found in binding
        ],
        proof=None if proof is None else ProofRecord.of(proof),
    )


def fairness_reached(rule: str, gap: float | None) -> str:
    """Return the rule's name where envelopes are those that it chooses, else how far they are.

    ``gap`` as in :class:`~security_check.model.envelope.EnvelopeSet`: ``within 0.04 %``, or
    ``not reached`` where it is unknown.
    """
    if gap is None:
        return NOT_REACHED
    return rule if gap <= _REACHED else f"within {100.0 * gap:.2g} %"


def envelope_set(
    record: IntervalRecord, connection_points: Sequence[str]
) -> tuple[EnvelopeSet | None, list[Fault]]:
    """Return the envelopes of one interval in the network's order, or their faults.

    The record must name every connection point of the network exactly once, and no other.
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
    """Power of one connection point at a point of the envelopes; injection positive.

    ``reactive_var`` follows from its power factor and its own choice; it is without the reactive
    power that an inverter's response to the voltage adds.
    """

    connection_point: str
    power_w: int
    reactive_var: int = 0


class DeviationRecord(Record):
    """Deviation of an uncertain quantity, in parts of its half-band or tolerance."""

    element: str
    deviation: Finite


class BindingRecord(Record):
    """An element at its limit: its value, the limit, and the worst vertex."""

    element: str
    phase: str = ""
    value: Finite
    limit: Finite
    unit: str
    loading: Finite
    interface_voltage_pu: list[Finite]
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
        """Return the record of an element at its limit, with its worst point and proof."""
        return cls.from_fields(
            verdict,
            phase=Element.parse(verdict.element).phase,
            interface_voltage_pu=operating_point.source_pu.tolist(),
            vertex=vertex_of(operating_point, connection_points),
            deviations=deviations_of(operating_point),
            proof=proof,
            detail=verdict.worst_case,
        )


def vertex_of(
    operating_point: OperatingPoint, connection_points: Sequence[str]
) -> list[VertexPower]:
    """Return the power of each connection point as records."""
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
    """Return the deviations of uncertain quantities as records."""
    return [
        DeviationRecord(element=element, deviation=deviation)
        for element, deviation in zip(
            operating_point.deviating, operating_point.deviation.tolist(), strict=True
        )
    ]


class ProofRecord(Record):
    """Numbers of monitored rows proved, proved below a limit, within a gap, or only checked.

    ``points_tried`` counts the power flows of an adversary that did not refute what is not proved.
    """

    secure: bool
    proved: int
    proved_below_limit: int
    proved_within_gap: int
    only_checked: int
    reason: str
    points_tried: int = 0

    @classmethod
    def of(cls, proof: SecurityCertificate) -> ProofRecord:
        """Return a certificate as a record."""
        return cls.from_fields(
            proof,
            proved=proof.standing[ProofStatus.PROVED],
            proved_below_limit=proof.standing[ProofStatus.BELOW],
            proved_within_gap=proof.standing[ProofStatus.WITHIN],
            only_checked=proof.standing[ProofStatus.CHECKED],
        )
