"""The file that ``verify`` writes: the worst point of each interval, and the proof."""

from __future__ import annotations

from gateway.formats.envelope_file import (
    BindingRecord,
    DeviationRecord,
    EnvelopeRecord,
    IntervalStatus,
    ProofRecord,
    VertexPower,
)
from gateway.formats.records import Record, Time


class VerdictRecord(Record):
    """The element nearest to, or farthest beyond, its limit, and the worst point of it.

    Where the power flow has no solution at some point there is no value: ``element`` is
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
    """The verdict on one interval: elements at their limit or beyond, and bottlenecks.

    Insecure envelopes have neither bottlenecks nor a proof.  ``status`` is that of the envelopes
    file.
    """

    start: Time
    end: Time
    status: IntervalStatus
    binding: list[BindingRecord]
    envelopes: list[EnvelopeRecord]
    proof: ProofRecord | None


class VerdictFile(VerdictRecord):
    """The worst verdict of all intervals, then that of each interval."""

    intervals: list[IntervalVerdict]
