"""What ``allocate`` and ``verify`` do."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np

from doe_allocation.joint_grid import JointGrid
from doe_allocation.network_grid import NetworkGrid
from exchange.wording import format_time
from gateway.files import (
    EnvelopeFile,
    IntervalRecord,
    IntervalVerdict,
    VerdictFile,
    envelope_record,
    envelope_set,
    vertex_of,
)
from gateway.input_faults import InputFaults
from gateway.scenario import Scenario
from gateway.scenario_intervals import Interval
from security_check.adversary import Finding
from security_check.envelope import EnvelopeSet
from security_check.errors import Fault, GridError, PowerFlowError
from security_check.verdict import Verdict

Step = Callable[[int], None]

_TOLERANCE = 1e-6  # of a limit; what the power flow itself may be off
_SAMPLES = 2048  # random corners for each interval, beside those that sensitivities point to


def allocate_intervals(scenario: Scenario, step: Step) -> EnvelopeFile:
    """Return the fair and secure envelopes of every interval.

    Raises
    ------
    InputFaults
        When an interval has no secure envelopes at all; names every such interval.
    """
    grid = scenario.grid()
    records: list[IntervalRecord] = []
    faults: list[Fault] = []
    for done, interval in enumerate(scenario.intervals, start=1):
        try:
            check = grid.allocate(interval.interface_limits)
        except GridError as error:
            faults.append(Fault(f"interval {format_time(interval.start)}", str(error)))
        else:
            envelopes, binding = check.envelopes(), check.explanations()
            records.append(envelope_record(interval.start, interval.end, envelopes, binding))
        step(done)
    if faults:
        raise InputFaults(scenario.source, faults)
    return EnvelopeFile(intervals=records)


def match_envelopes(
    scenario: Scenario, given: EnvelopeFile, source: str
) -> list[tuple[IntervalRecord, Interval, EnvelopeSet]]:
    """Return each interval of an envelopes file with its contract and its envelopes.

    Raises
    ------
    InputFaults
        With every envelope and interval that does not fit the scenario.
    """
    faults: list[Fault] = []
    matched = []
    seen = set()
    if not given.intervals:
        faults.append(Fault("intervals", "there is none"))
    if scenario.anonymous and len(given.intervals) > 1:
        faults.append(
            Fault("intervals", f"the scenario has one, the file has {len(given.intervals)}")
        )
    for record in given.intervals:
        where = f"interval {format_time(record.start)}"
        interval = (
            scenario.intervals[0] if scenario.anonymous else scenario.interval_at(record.start)
        )
        if interval is None:
            faults.append(Fault(where, "the scenario has no interval that starts then"))
        if record.start in seen:
            faults.append(Fault(where, "it is there more than once"))
        seen.add(record.start)
        envelopes, wrong = envelope_set(record, scenario.network.connection_points)
        faults += wrong
        if interval is not None and envelopes is not None:
            matched.append((record, interval, envelopes))
    if faults:
        raise InputFaults(source, faults)
    return matched


def verify_intervals(
    scenario: Scenario,
    matched: list[tuple[IntervalRecord, Interval, EnvelopeSet]],
    seed: int,
    step: Step,
) -> VerdictFile:
    """Return the verdict of the adversary on envelopes: the worst point it finds in each.

    Raises
    ------
    GridError
        When the network has no power flow solution even without customers.
    """
    grid = scenario.grid()
    verdicts = []
    for done, (record, interval, envelopes) in enumerate(matched, start=1):
        verdicts.append(_verdict(grid, record, interval, envelopes, seed))
        step(done)
    worst = max(verdicts, key=lambda verdict: inf if verdict.loading is None else verdict.loading)
    insecure = [verdict for verdict in verdicts if not verdict.secure]
    if insecure and worst.secure:  # voltages and currents load differently; insecure comes first
        worst = insecure[0]
    return VerdictFile(
        **worst.model_dump(exclude={"start", "end", "vertex"}),
        vertex=worst.vertex,
        intervals=verdicts,
    )


def _verdict(
    grid: NetworkGrid | JointGrid,
    record: IntervalRecord,
    interval: Interval,
    envelopes: EnvelopeSet,
    seed: int,
) -> IntervalVerdict:
    limits_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
    rng = np.random.default_rng(seed)
    try:
        found = grid.attack(interval.interface_limits, limits_w, rng, samples=_SAMPLES)
    except PowerFlowError as error:
        # A point that no power flow can reach breaks the grid like one beyond a limit.
        return IntervalVerdict(
            start=record.start,
            end=record.end,
            secure=False,
            element="power_flow",
            value=None,
            limit=None,
            unit="",
            loading=None,
            interface_voltage_pu=None,
            vertex=[],
            points_tried=0,
            detail=f"not secure: {error}",
        )
    secure = found.violation <= _TOLERANCE
    loading = _loading(found)
    sentence = Verdict(
        secure,
        found.element,
        found.value,
        found.limit,
        found.unit,
        loading,
        str(found.situation),
    )
    return IntervalVerdict(
        start=record.start,
        end=record.end,
        secure=secure,
        element=found.element,
        value=found.value,
        limit=found.limit,
        unit=found.unit,
        loading=loading,
        interface_voltage_pu=found.situation.interface_voltage_pu,
        vertex=vertex_of(found.situation, grid.connection_points),
        points_tried=found.points_tried,
        detail=str(sentence),
    )


def _loading(found: Finding) -> float:
    """Return how full the element is; for a voltage, the part of the way from nominal."""
    if found.unit == "p.u.":
        return (found.value - 1.0) / (found.limit - 1.0)
    return found.value / found.limit if found.limit else inf
