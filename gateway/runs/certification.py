"""The certificate of the envelopes of a scenario, for others to check (docs/certificate.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from doe_allocation.allocation.grid import Grid
from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import IntervalRecord
from gateway.runs.allocation import Step
from gateway.scenario.scenario import Scenario
from security_check.arrays import IntArray
from security_check.model.limits import InterfaceLimits
from security_check.verification.proof_document import FORMAT, Document, parts_of, sealed, unproved

_SHARED = "power limits at an interface that several separate networks share are not covered"


def certificate_of(scenario: Scenario, records: Sequence[IntervalRecord], step: Step) -> str:
    """Return the text of the certificate of envelopes that were allocated.

    Raises
    ------
    PowerFlowError
        When a network has no power flow solution without customers.
    """
    numbers = {interval.start: k for k, interval in enumerate(scenario.intervals)}
    grid: Grid | None = None
    intervals: list[Document] = []
    for done, record in enumerate(records, start=1):
        number = numbers[record.start]
        grid = scenario.grid_in(number, grid)
        limits = scenario.intervals[number].interface_limits
        intervals.append(
            {
                "start": format_time(record.start),
                "end": format_time(record.end),
                "parts": _parts(grid, limits, record),
            }
        )
        step(done)
    return sealed({"format": FORMAT, "area": scenario.area, "intervals": intervals})


def _parts(grid: Grid, limits: InterfaceLimits, record: IntervalRecord) -> list[Document]:
    """Return the proof of each electrically separate network, in each of its states."""
    given = {each.connection_point: each for each in record.envelopes}

    def limits_w(points: tuple[str, ...]) -> IntArray:
        own = [given[point] for point in points]
        both = [each.injection_limit_w for each in own], [each.withdrawal_limit_w for each in own]
        return np.concatenate(both).astype(np.int64)

    if isinstance(grid, NetworkGrid):
        return parts_of(grid.robust_rows(limits), limits_w(grid.connection_points))
    assert isinstance(grid, IslandsGrid)
    found = []
    for part in grid.parts:
        for own in parts_of(part.robust_rows(limits), limits_w(part.connection_points)):
            shared = unproved(own["envelopes"], _SHARED, len(own["rows"]))
            found.append(shared if limits.limits_power else own)
    return found
