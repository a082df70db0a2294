"""What ``allocate`` and ``verify`` do."""

from __future__ import annotations

from collections.abc import Callable

from gateway.files import (
    EnvelopeFile,
    InputFaults,
    IntervalRecord,
    envelope_record,
    envelope_set,
    format_time,
)
from gateway.scenario import Scenario
from gateway.scenario_intervals import Interval
from security_check.envelope import EnvelopeSet
from security_check.errors import Fault, GridError

Step = Callable[[int], None]


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
            envelopes = grid.allocate(interval.interface_limits).envelopes()
        except GridError as error:
            faults.append(Fault(f"interval {format_time(interval.start)}", str(error)))
        else:
            records.append(envelope_record(interval.start, interval.end, envelopes))
        step(done)
    if faults:
        raise InputFaults(scenario.area, faults)
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
