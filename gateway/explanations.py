"""Why limits are no larger, in the form of the files: elements at their limits, worst points."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from gateway.records import Record
from security_check.checking.verdict import Verdict
from security_check.operating_range.operating_point import Situation
from security_check.verification.certificate import Proof
from security_check.verification.monotonicity import Standing


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
        cls, verdict: Verdict, situation: Situation, connection_points: Sequence[str], proof: str
    ) -> BindingRecord:
        """Return what an element reaches, where, and what is proved of it, as files have it."""
        return cls(
            element=verdict.element,
            phase=phase_of(verdict.element),
            value=verdict.value,
            limit=verdict.limit,
            unit=verdict.unit,
            loading=verdict.loading,
            interface_voltage_pu=situation.source_pu.tolist(),
            vertex=vertex_of(situation, connection_points),
            deviations=deviations_of(situation),
            proof=proof,
            detail=verdict.worst_case,
        )


def phase_of(element: str) -> str:
    """Return the phase in an element's name, ``a`` of ``bus:4.a without line:3``; or nothing."""
    name, dot, phase = element.partition(" without ")[0].rpartition(".")
    return phase if dot and ":" in name else ""


def vertex_of(situation: Situation, connection_points: Sequence[str]) -> list[VertexPower]:
    """Return what each connection point does, in the form of the files."""
    return [
        VertexPower(connection_point=point, power_w=round(power_w), reactive_var=round(var))
        for point, power_w, var in zip(
            connection_points,
            situation.power_w.tolist(),
            situation.reactive_var.tolist(),
            strict=True,
        )
    ]


def deviations_of(situation: Situation) -> list[DeviationRecord]:
    """Return what is off its forecast, and how far, in the form of the files."""
    return [
        DeviationRecord(element=element, deviation=deviation)
        for element, deviation in zip(
            situation.deviating, situation.deviation.tolist(), strict=True
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
