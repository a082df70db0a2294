"""Allocate the envelopes of every interval of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from doe_allocation.allocation.grid import Grid
from doe_allocation.capacity import Capacity
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import IntervalRecord, envelope_record
from gateway.formats.faults import InputFaults
from gateway.scenario.scenario import Scenario
from security_check.errors import Fault, GridError

Step = Callable[[int], None]
"""Called with the number of intervals, networks or other steps that are done."""


def allocate_intervals(scenario: Scenario, step: Step) -> Iterator[tuple[IntervalRecord, Capacity]]:
    """Yield the fair and secure envelopes of every interval, with its capacities.

    Raises
    ------
    InputFaults
        At the end, when intervals have no secure envelopes; names all of them.
    """
    grid: Grid | None = None
    faults: list[Fault] = []
    terms = scenario.fairness
    deficit = np.zeros(2 * len(scenario.network.connection_points))
    for number, interval in enumerate(scenario.intervals):
        grid = scenario.grid_in(number, grid)
        try:
            if terms.coupling is not None:
                weights = terms.coupling.weights(terms.weights, deficit)
                grid = grid.with_fairness(terms.principle, weights)
            envelopes, proof = grid.prove(interval.interface_limits)
        except GridError as error:
            faults.append(Fault(f"interval {format_time(interval.start)}", str(error)))
        else:
            capacity = scenario.capacity_in(number)
            if terms.coupling is not None:
                granted_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
                asked_w = capacity.upper_w().astype(float)
                deficit = terms.coupling.after(deficit, granted_w, asked_w)
            yield envelope_record(interval.start, interval.end, envelopes, proof), capacity
        step(number + 1)
    if faults:
        raise InputFaults(scenario.source, faults)
