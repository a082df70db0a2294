"""Allocate the envelopes of every interval of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from doe_allocation.allocation.grid import Grid
from doe_allocation.capacity import Capacity
from gateway.formats.envelope_file import IntervalRecord, envelope_record
from gateway.runs.unsecured import unsecured_record
from gateway.scenario.scenario import Scenario
from security_check.errors import GridError

Step = Callable[[int], None]
"""Called with the number of intervals, networks or other steps that are done."""


def allocate_intervals(scenario: Scenario, step: Step) -> Iterator[tuple[IntervalRecord, Capacity]]:
    """Yield the envelopes of every interval, with its capacities.

    Envelopes are fair and secure where the record's ``status`` is ``secure``.  An interval that
    cannot be secured is marked, and the others go on (:mod:`gateway.runs.unsecured`).  It adds
    nothing to the deficits of fairness over time: in it nothing was divided.
    """
    before: Grid | None = None
    terms = scenario.fairness
    deficit = np.zeros(2 * len(scenario.network.connection_points))
    for number, interval in enumerate(scenario.intervals):
        capacity = scenario.capacity_in(number)
        grid: Grid | None = None
        try:
            grid = scenario.grid_in(number, before)
            if terms.coupling is not None:
                weights = terms.coupling.weights(terms.weights, deficit)
                grid = grid.with_fairness(terms.principle, weights)
            rng = np.random.default_rng(number)
            envelopes, proof = grid.prove(interval.interface_limits, rng=rng)
        except GridError as error:
            yield unsecured_record(grid, interval, capacity, error), capacity
        else:
            if terms.coupling is not None:
                granted_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
                asked_w = capacity.upper_w().astype(float)
                deficit = terms.coupling.after(deficit, granted_w, asked_w)
            rule = str(terms.principle.rule)
            record = envelope_record(interval.start, interval.end, envelopes, proof, rule=rule)
            yield record, capacity
        before = grid or before
        step(number + 1)
