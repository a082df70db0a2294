"""Verify the envelopes of every interval: let the adversary attack them, and prove them secure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from doe_allocation.allocation.grid import Grid
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import (
    BindingRecord,
    EnvelopeFile,
    EnvelopeRecord,
    IntervalRecord,
    IntervalStatus,
    ProofRecord,
    ViolationRecord,
    deviations_of,
    envelope_set,
    vertex_of,
)
from gateway.formats.faults import InputFaults
from gateway.formats.records import equal_attributes
from gateway.runs.allocation import Step
from gateway.runs.verdict_file import IntervalVerdict, VerdictFile, VerdictRecord
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.scenario import Scenario
from security_check.checking.verdict import Verdict
from security_check.errors import Fault, InsecureError, PowerFlowError
from security_check.model.element import POWER_FLOW, Element
from security_check.model.envelope import EnvelopeSet
from security_check.verification.adversary import Finding
from security_check.verification.certificate import SecurityCertificate

_TOLERANCE = 1e-6  # parts of a limit: the error of the power flow itself
_AT_LIMIT = 2e-3  # parts of a limit: an element this close to its limit is listed as binding
_ONLY_FOUND = "found by the adversary"  # in place of a kind of proof
_SAMPLES = 2048  # random vertices for each interval, beside those along the sensitivities

MatchedInterval = tuple[IntervalRecord, int, EnvelopeSet | None]
"""An interval of a file, its number in the scenario, and its envelopes if there are any."""


def match_envelopes(scenario: Scenario, given: EnvelopeFile, source: str) -> list[MatchedInterval]:
    """Return each interval of an envelopes file with its number in the scenario.

    Raises
    ------
    InputFaults
        With every envelope and interval that does not fit the scenario.
    """
    faults: list[Fault] = []
    matched = []
    seen = set()
    numbers = {interval.start: k for k, interval in enumerate(scenario.intervals)}
    if not given.intervals:
        faults.append(Fault("intervals", "the file has no interval"))
    if scenario.anonymous and len(given.intervals) > 1:
        faults.append(
            Fault("intervals", f"the scenario has 1, but the file has {len(given.intervals)}")
        )
    for record in given.intervals:
        where = f"interval {format_time(record.start)}"
        number = 0 if scenario.anonymous else numbers.get(record.start)
        if number is None:
            faults.append(Fault(where, "the scenario has no interval that starts at this time"))
        if record.start in seen:
            faults.append(Fault(where, "the file has it more than once"))
        seen.add(record.start)
        envelopes = None
        if record.status is not IntervalStatus.NONE:
            envelopes, wrong = envelope_set(record, scenario.network.connection_points)
            faults += wrong
        if number is not None:
            matched.append((record, number, envelopes))
    if faults:
        raise InputFaults(source, faults)
    return matched


def verify_intervals(
    scenario: Scenario,
    matched: list[MatchedInterval],
    seed: int,
    step: Step,
) -> VerdictFile:
    """Return the verdict on the envelopes: the worst point of all intervals, and of each.

    An interval without envelopes is not secure: devices at their fallbacks may break a limit.

    Raises
    ------
    GridError
        When the network has no power flow solution without customers.
    """
    grid: Grid | None = None
    verdicts = []
    for done, (record, number, envelopes) in enumerate(matched, start=1):
        if envelopes is None:
            verdicts.append(_without_envelopes(record))
        else:
            grid, interval = scenario.grid_in(number, grid), scenario.intervals[number]
            verdicts.append(_verdict(grid, record, interval, envelopes, seed))
        step(done)
    insecure = [verdict for verdict in verdicts if not verdict.secure]
    worst = max(
        insecure or verdicts,
        key=lambda verdict: inf if verdict.loading is None else verdict.loading,
    )
    return VerdictFile(
        **{name: getattr(worst, name) for name in VerdictRecord.model_fields},
        intervals=verdicts,
    )


def _verdict(
    grid: Grid,
    record: IntervalRecord,
    interval: DeliveryInterval,
    envelopes: EnvelopeSet,
    seed: int,
) -> IntervalVerdict:
    """Return the verdict of the adversary and of the security check on the same envelopes.

    The envelopes are insecure if either of them finds a violation.
    """
    limits = interval.interface_limits
    limits_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
    rng = np.random.default_rng(seed)
    proof: SecurityCertificate | None = None
    refused = ""
    try:
        found = grid.attack(limits, limits_w, rng, samples=_SAMPLES)
        try:
            envelopes, proof = grid.prove(limits, envelopes)
        except InsecureError as error:
            if error.violation > _TOLERANCE and found.violation <= _TOLERANCE:
                refused = error.detail
    except PowerFlowError as error:
        # A point without a power flow solution is insecure, like one beyond a limit.
        return _without_point(record, POWER_FLOW, f"not secure: {error}")
    verdict = _of_finding(found)
    points = grid.connection_points
    secure = verdict.secure and not refused
    return IntervalVerdict(
        start=record.start,
        end=record.end,
        status=record.status,
        secure=secure,
        element=found.element,
        phase=Element.parse(found.element).phase,
        value=found.value,
        limit=found.limit,
        unit=found.unit,
        loading=verdict.loading,
        interface_voltage_pu=found.operating_point.source_pu.tolist(),
        vertex=vertex_of(found.operating_point, points),
        deviations=deviations_of(found.operating_point),
        points_tried=found.points_tried,
        detail=refused or str(verdict),
        binding=_binding(found, proof, points),
        envelopes=_limited(envelopes, proof),
        proof=None if proof is None else ProofRecord.of(proof),
    )


def _of_finding(found: Finding) -> Verdict:
    return Verdict(
        found.violation <= _TOLERANCE,
        found.element,
        found.value,
        found.limit,
        found.unit,
        1.0 + found.violation,
        str(found.operating_point),
        found.nominal_v,
    )


def _without_envelopes(record: IntervalRecord) -> IntervalVerdict:
    """Return the verdict on an interval that has no envelopes: the file says why."""
    first = record.violations[0] if record.violations else None
    verdict = _without_point(
        record, "" if first is None else first.element, f"not secure: {record.sentence}"
    )
    if first is None:
        return verdict
    return verdict.model_copy(update=equal_attributes(ViolationRecord, first))


def _without_point(record: IntervalRecord, element: str, detail: str) -> IntervalVerdict:
    return IntervalVerdict(
        start=record.start,
        end=record.end,
        status=record.status,
        secure=False,
        element=element,
        phase="",
        value=None,
        limit=None,
        unit="",
        loading=None,
        interface_voltage_pu=[],
        vertex=[],
        deviations=[],
        points_tried=0,
        detail=detail,
        binding=[],
        envelopes=[],
        proof=None,
    )


def _binding(
    found: Finding, proof: SecurityCertificate | None, connection_points: Sequence[str]
) -> list[BindingRecord]:
    """Return the elements at or beyond their limits, by the proof or else by the adversary."""
    if proof is not None:
        return [
            BindingRecord.of(each.verdict, each.operating_point, connection_points, each.proof)
            for each in proof.explanations
        ]
    return [
        BindingRecord.of(_of_finding(each), each.operating_point, connection_points, _ONLY_FOUND)
        for each in (found, *found.others)
        if each.violation > -_AT_LIMIT
    ]


def _limited(envelopes: EnvelopeSet, proof: SecurityCertificate | None) -> list[EnvelopeRecord]:
    """Return the envelopes, with the element that limits each of them, if it is at its own limit.

    Without a proof (the envelopes are not secure) the list is empty.
    """
    if proof is None:
        return []
    full = {each.verdict.element for each in proof.explanations}

    def limited_by(element: str) -> str:
        return element if element in full else ""

    return [
        EnvelopeRecord.from_fields(
            replace(
                envelope,
                injection_bottleneck=limited_by(envelope.injection_bottleneck),
                withdrawal_bottleneck=limited_by(envelope.withdrawal_bottleneck),
            )
        )
        for envelope in envelopes
    ]
