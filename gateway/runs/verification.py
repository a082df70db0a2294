"""Attack envelopes of every interval, and say what is proved of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np

from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import (
    BindingRecord,
    EnvelopeFile,
    EnvelopeRecord,
    IntervalRecord,
    ProofRecord,
    deviations_of,
    envelope_set,
    vertex_of,
)
from gateway.formats.faults import InputFaults
from gateway.formats.verdict_file import IntervalVerdict, VerdictFile, VerdictRecord
from gateway.runs.allocation import Step
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.scenario import Scenario
from security_check.checking.verdict import Verdict
from security_check.errors import Fault, InsecureError, PowerFlowError
from security_check.model.element import POWER_FLOW, Element
from security_check.model.envelope import EnvelopeSet
from security_check.verification.adversary import Finding
from security_check.verification.certificate import SecurityCertificate

_TOLERANCE = 1e-6  # of a limit; what the power flow itself may be off


_AT_LIMIT = 2e-3  # parts of its scale that an element is from its limit, or less, to be named


_ONLY_FOUND = "found by the adversary"


_SAMPLES = 2048  # random corners for each interval, beside those that sensitivities point to


def match_envelopes(
    scenario: Scenario, given: EnvelopeFile, source: str
) -> list[tuple[IntervalRecord, int, EnvelopeSet]]:
    """Return each interval of an envelopes file with its number and its envelopes.

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
        faults.append(Fault("intervals", "there is none"))
    if scenario.anonymous and len(given.intervals) > 1:
        faults.append(
            Fault("intervals", f"the scenario has one, the file has {len(given.intervals)}")
        )
    for record in given.intervals:
        where = f"interval {format_time(record.start)}"
        number = 0 if scenario.anonymous else numbers.get(record.start)
        if number is None:
            faults.append(Fault(where, "the scenario has no interval that starts then"))
        if record.start in seen:
            faults.append(Fault(where, "it is there more than once"))
        seen.add(record.start)
        envelopes, wrong = envelope_set(record, scenario.network.connection_points)
        faults += wrong
        if number is not None and envelopes is not None:
            matched.append((record, number, envelopes))
    if faults:
        raise InputFaults(source, faults)
    return matched


def verify_intervals(
    scenario: Scenario,
    matched: list[tuple[IntervalRecord, int, EnvelopeSet]],
    seed: int,
    step: Step,
) -> VerdictFile:
    """Return the verdict of the adversary on envelopes: the worst point it finds in each.

    Raises
    ------
    GridError
        When the network has no power flow solution even without customers.
    """
    grid: NetworkGrid | IslandsGrid | None = None
    verdicts = []
    for done, (record, number, envelopes) in enumerate(matched, start=1):
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
    grid: NetworkGrid | IslandsGrid,
    record: IntervalRecord,
    interval: DeliveryInterval,
    envelopes: EnvelopeSet,
    seed: int,
) -> IntervalVerdict:
    """Return what the adversary finds, and what the security check says to the same envelopes.

    What either of them shows to be beyond its limit makes the envelopes insecure.
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
        # A point that no power flow can reach breaks the grid like one beyond a limit.
        return _unsolved(record, envelopes, error)
    verdict = _of_finding(found)
    points = grid.connection_points
    secure = verdict.secure and not refused
    return IntervalVerdict(
        start=record.start,
        end=record.end,
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
        envelopes=_kept(envelopes, proof),
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


def _unsolved(
    record: IntervalRecord, envelopes: EnvelopeSet, error: PowerFlowError
) -> IntervalVerdict:
    return IntervalVerdict(
        start=record.start,
        end=record.end,
        secure=False,
        element=POWER_FLOW,
        phase="",
        value=None,
        limit=None,
        unit="",
        loading=None,
        interface_voltage_pu=[],
        vertex=[],
        deviations=[],
        points_tried=0,
        detail=f"not secure: {error}",
        binding=[],
        envelopes=[],
        proof=None,
    )


def _binding(
    found: Finding, proof: SecurityCertificate | None, connection_points: Sequence[str]
) -> list[BindingRecord]:
    """Return the elements at their limits or beyond: what is proved, else what was found."""
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


def _kept(envelopes: EnvelopeSet, proof: SecurityCertificate | None) -> list[EnvelopeRecord]:
    """Return the envelopes, each limit with the element at its limit that keeps it, if one does.

    Of envelopes that are not secure nobody can say so.
    """
    if proof is None:
        return []
    full = {each.verdict.element for each in proof.explanations}

    def kept_by(element: str) -> str:
        return element if element in full else ""

    return [
        EnvelopeRecord.of(
            replace(
                envelope,
                injection_bottleneck=kept_by(envelope.injection_bottleneck),
                withdrawal_bottleneck=kept_by(envelope.withdrawal_bottleneck),
            )
        )
        for envelope in envelopes
    ]
