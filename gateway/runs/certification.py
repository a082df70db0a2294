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
from security_check.verification.proof_document import (
    FORMAT,
    Document,
    envelopes_of,
    parts_of,
    sealed,
    without_proof,
)

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
        envelopes: Document = {}
        parts: list[Document] = []
        if record.envelopes:
            grid = scenario.grid_in(number, grid)
            limits = scenario.intervals[number].interface_limits
            envelopes, parts = _proved(grid, limits, record)
        intervals.append(
            {
                "start": format_time(record.start),
                "end": format_time(record.end),
                "status": str(record.status),
                "reason": record.reason,
                "envelopes": envelopes,
                "parts": parts,
            }
        )
        step(done)
    return sealed({"format": FORMAT, "area": scenario.area, "intervals": intervals})


def _proved(
    grid: Grid, limits: InterfaceLimits, record: IntervalRecord
) -> tuple[Document, list[Document]]:
    """Return envelopes, and the proof of each electrically separate network in each state."""
    given = {each.connection_point: each for each in record.envelopes}

    def limits_w(points: tuple[str, ...]) -> IntArray:
        own = [given[point] for point in points]
        both = [each.injection_limit_w for each in own], [each.withdrawal_limit_w for each in own]
        return np.concatenate(both).astype(np.int64)

    envelopes = envelopes_of(grid.connection_points, limits_w(grid.connection_points))
    if isinstance(grid, NetworkGrid):
        robust = grid.robust_rows(limits)
        return envelopes, parts_of(robust, limits_w(grid.connection_points))
    assert isinstance(grid, IslandsGrid)
    found = [
        own
        for part in grid.parts
        for own in parts_of(part.robust_rows(limits), limits_w(part.connection_points))
    ]
    if limits.limits_power:
        found = [without_proof(own, _SHARED) for own in found]
    return envelopes, found
