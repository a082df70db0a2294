"""The adversary of a linear network: looks for a point of the envelopes that breaks a limit.

It uses the flows of points, and not the rows that it attacks.  It tries every corner of the box of
few connection points, else random ones, points inside, all injecting, all withdrawing, and for
each branch and way of flow the corner to which the branch's own factors point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from doe_allocation.allocation.linear.flow_rows import FlowRows
from doe_allocation.allocation.linear.operation import LinearOperation, without_voltages
from security_check.arrays import FloatArray
from security_check.model.limits import InterfaceLimits
from security_check.operating_range.points import WorstPoints
from security_check.verification.adversary import Finding

_FEW = 9  # connection points of which every corner of the box is tried
_CHUNK = 256  # points at once, which bounds the memory
_NAMED = 12  # elements that a finding names


def attack(
    operation: LinearOperation,
    limits: InterfaceLimits,
    limits_w: FloatArray,
    rng: np.random.Generator,
    samples: int,
) -> Finding:
    """Return the worst point that is found in the box of envelopes, shape (2 c,), watts.

    Raises
    ------
    InsecureError
        When the contract does not allow a reactive power of zero.
    """
    named = FlowRows.of(operation, limits)  # names, limits and scales of the quantities
    injection, withdrawal = np.split(np.asarray(limits_w, dtype=float), 2)
    kept = [way for way in (1.0, -1.0) if _limit(limits, way) is not None]
    worst = np.full(len(named.elements), -np.inf)
    shares = np.zeros((len(worst), len(injection)))
    tried = 0
    for share in _shares(operation, rng, samples):
        power_w = share * injection - (1.0 - share) * withdrawal
        flows, exchanged = operation.flows_w(power_w), operation.exchanged_w(power_w)
        ends = (flows + operation.above_w, flows - operation.below_w)
        values = np.hstack([*ends, *(way * exchanged[:, None] for way in kept)])
        beyond = named.sign * (values - named.limit_w) / named.scale_w
        first = beyond.argmax(axis=0)
        found = beyond[first, np.arange(len(worst))]
        rises = found > worst
        worst[rises], shares[rises] = found[rises], share[first[rises]]
        tried += len(share)

    def finding(row: int) -> Finding:
        share = shares[row]
        beyond = float(worst[row])
        value = named.limit_w[row] + named.sign[row] * beyond * named.scale_w[row]
        return Finding(
            element=named.elements[row],
            value=float(value),
            limit=float(named.limit_w[row]),
            unit="W",
            violation=beyond,
            operating_point=without_voltages(share * injection - (1.0 - share) * withdrawal),
            points_tried=tried,
            row=row,
            point=WorstPoints(share[None], np.zeros((1, 0))),
        )

    order = np.argsort(-worst, kind="stable")[:_NAMED].tolist()
    first, *others = (finding(row) for row in order)
    return replace(first, others=tuple(others))


def _limit(limits: InterfaceLimits, way: float) -> int | None:
    return limits.injection_limit_w if way > 0.0 else limits.withdrawal_limit_w


def _shares(
    operation: LinearOperation, rng: np.random.Generator, samples: int
) -> Iterator[FloatArray]:
    """Yield points, shape (k, c): 0 is a withdrawal limit, 1 an injection limit."""
    count = len(operation.connection_points)
    yield np.array([np.ones(count), np.zeros(count)])
    if count <= _FEW:
        yield (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(float)
    for first in range(0, samples, _CHUNK):
        size = min(_CHUNK, samples - first)
        yield rng.integers(0, 2, (size, count)).astype(float)
        yield rng.random((1 + size // 8, count))
    factors = operation.flow_per_watt
    for first in range(0, len(factors), _CHUNK):
        own = factors[first : first + _CHUNK]
        yield (own > 0.0).astype(float)
        yield (own < 0.0).astype(float)
