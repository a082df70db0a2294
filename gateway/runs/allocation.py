"""Allocate the envelopes of every interval of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from doe_allocation.allocation.grid import Grid
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.principles import Rule
from gateway.formats.envelope_file import IntervalRecord, IntervalStatus, envelope_record
from gateway.runs.unsecured import unsecured_record
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.scenario import Scenario
from security_check.arrays import FloatArray
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
        except GridError as error:
            record = unsecured_record(None, interval, capacity, error)
        else:
            record = allocated_record(grid, interval, capacity, terms.principle.rule, number)
            if terms.coupling is not None and record.status is IntervalStatus.SECURE:
                asked_w = capacity.upper_w().astype(float)
                deficit = terms.coupling.after(deficit, limits_of(record), asked_w)
        yield record, capacity
        before = grid or before
        step(number + 1)


def allocated_record(
    grid: Grid, interval: DeliveryInterval, capacity: Capacity, rule: Rule, seed: int
) -> IntervalRecord:
    """Return the fair envelopes of an interval, or the record of one that cannot be secured.

    Parameters
    ----------
    grid
        The grid in the interval.
    interval
        Its times, and the contract at the interface.
    capacity
        Of the connection points in the interval, with their fallbacks.
    rule
        The name of the rule of fairness by which the grid divides.
    seed
        Of the random points of the adversary that attacks what is not proved.
    """
    try:
        rng = np.random.default_rng(seed)
        envelopes, proof = grid.prove(interval.interface_limits, rng=rng)
    except GridError as error:
        return unsecured_record(grid, interval, capacity, error)
    return envelope_record(interval.start, interval.end, envelopes, proof, rule=str(rule))


def limits_of(record: IntervalRecord) -> FloatArray:
    """Return the limits that an interval publishes, shape (2 c,), watts, injection first."""
    injection_w = [each.injection_limit_w for each in record.envelopes]
    withdrawal_w = [each.withdrawal_limit_w for each in record.envelopes]
    return np.array(injection_w + withdrawal_w, dtype=float)
