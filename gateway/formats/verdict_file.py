"""The file that ``verify`` writes: the worst point of each interval, and what is proved."""

from __future__ import annotations

from gateway.formats.envelope_file import (
    BindingRecord,
    DeviationRecord,
    EnvelopeRecord,
    ProofRecord,
    VertexPower,
)
from gateway.formats.records import Record, Time


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
