"""The interval that cannot be secured: its fallback envelopes where they are secure, else nothing.

One such interval does not take the others of a day with it (:mod:`gateway.runs.allocation`,
:mod:`gateway.runs.simulation`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from doe_allocation.allocation.grid import Grid
from doe_allocation.capacity import Capacity
from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import (
    IntervalRecord,
    IntervalStatus,
    ViolationRecord,
    envelope_record,
)
from gateway.scenario.intervals import DeliveryInterval
from security_check.errors import Fault, GridError, InsecureError, Violation
from security_check.model.envelope import EnvelopeSet
from security_check.verification.certificate import SecurityCertificate

_TOLERANCE = 1e-6  # parts of a limit: the error of the power flow itself


def unsecured_record(
    grid: Grid | None, interval: DeliveryInterval, capacity: Capacity, why: GridError
) -> IntervalRecord:
    """Return the record of an interval whose envelopes could not be secured.

    Parameters
    ----------
    grid
        The grid in the interval; ``None`` where it could not be made.
    interval
        Its times, and the contract at the interface.
    capacity
        Of the connection points in the interval, with their fallbacks.
    why
        The error that the allocation ended with.
    """
    found: tuple[EnvelopeSet, SecurityCertificate] | None = None
    violations = _violations(why)
    if grid is not None:
        try:
            found = _secure_fallback(grid, interval, capacity)
        except GridError as error:
            violations = _violations(error) or violations
    if found is None:
        return IntervalRecord(
            start=interval.start,
            end=interval.end,
            status=IntervalStatus.NONE,
            reason=str(why),
            violations=[ViolationRecord.of(each) for each in violations],
            envelopes=[],
        )
    return envelope_record(
        interval.start,
        interval.end,
        *found,
        status=IntervalStatus.FALLBACK,
        reason=str(why),
        violations=violations,
    )


def _violations(error: GridError) -> tuple[Violation, ...]:
    return error.violations if isinstance(error, InsecureError) else ()


def _secure_fallback(
    grid: Grid, interval: DeliveryInterval, capacity: Capacity
) -> tuple[EnvelopeSet, SecurityCertificate]:
    """Return the fallback envelopes and their certificate.

    Raises
    ------
    GridError
        When the security check does not confirm them, or the adversary refutes them.
    """
    fallback = EnvelopeSet(
        capacity.connection_points, capacity.fallback_injection_w, capacity.fallback_withdrawal_w
    )
    limits = interval.interface_limits
    envelopes, proof = grid.prove(limits, fallback)
    worst = grid.attack(limits, capacity.lower_w(), np.random.default_rng(0))
    if worst.violation > _TOLERANCE:
        found = Violation(worst.element, worst.value, worst.limit, worst.unit)
        raise InsecureError(
            worst.element, f"{found}, {worst.operating_point}", worst.violation, [found]
        )
    return envelopes, proof


def unsecured_faults(intervals: Iterable[IntervalRecord]) -> list[Fault]:
    """Return a sentence for each interval that could not be secured."""
    return [
        Fault(f"interval {format_time(each.start)}", each.sentence)
        for each in intervals
        if each.status is not IntervalStatus.SECURE
    ]
