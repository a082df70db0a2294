"""Bounds of flows, voltages and currents in radial networks, by the DistFlow equations.

Interval arithmetic on the equations of Baran and Wu (1989), which are exact for a tree; a batch of
trees at once.  Bounds start from the limits themselves: a contradiction means that no power flow
at the point keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.limits import InterfaceLimits, VoltageLimits

_SWEEPS = 3  # the third sweep moves bounds by parts in a million
_ROUNDING = 1e-7  # parts of a limit: a contradiction must be larger than rounding
_ROUNDING_W = 1e-3  # W, for limits of zero
_UNRATED = 1e6  # per unit: stands for the largest current of a branch without a rating


@dataclass(frozen=True, slots=True)
class ExtremePoint:
    """A point that envelopes contain: power drawn at the nodes, voltage and limits at the source.

    Parameters
    ----------
    consumption
        Shape (n,), complex, per unit.
    source_pu
        Voltage at the source.
    contract
        Limits of the power at the source.
    """

    consumption: ComplexArray
    source_pu: float
    contract: InterfaceLimits


@dataclass(frozen=True, slots=True)
class RadialTrees:
    """A batch of T radial configurations with n nodes; arrays (T, n) describe the branch above.

    ``below[t, a, j]`` is 1 if node j is a or below a.  The source is node 0; its branch has no
    impedance.  "Near" is the end of a branch at its own node, "upper" the end towards the source.
    """

    below: FloatArray
    r: FloatArray
    x: FloatArray
    rise: FloatArray  # product of squared transformer ratios from the source down to the node
    own_rise: FloatArray  # its last factor, if on the near side of the series impedance, else 1
    upper_rise: FloatArray  # the same for the upper side
    upper_node: IndexArray
    near_shunt: ComplexArray
    upper_shunt: ComplexArray
    near_rating: FloatArray
    upper_rating: FloatArray
    shunt: ComplexArray


def contradictions(
    trees: RadialTrees, point: ExtremePoint, limits: VoltageLimits, base_power_w: float
) -> BoolArray:
    """Return in which trees a point cannot be within its limits, shape (T,)."""
    source = point.source_pu**2
    # Squared voltages; the limits hold by supposition.
    low = np.full(trees.r.shape, limits.minimum_pu**2)
    high = np.full(trees.r.shape, limits.maximum_pu**2)
    low[:, 0] = high[:, 0] = source
    # The current through a series impedance differs from the monitored one by a shunt's.
    shunted = np.abs(trees.near_shunt) * np.sqrt(high / trees.own_rise)
    current = trees.near_rating * np.sqrt(trees.own_rise) + shunted
    most = np.where(trees.r + trees.x > 0.0, np.minimum(current, _UNRATED) ** 2, 0.0)
    least = np.zeros_like(most)
    wrong = np.zeros(len(low), dtype=bool)
    for _ in range(_SWEEPS):
        flow = _flows(trees, point, low, high, least, most)
        wrong |= _over(trees, point, flow, low, high, least, most, base_power_w)
        inner_low, inner_high = low / trees.own_rise, high / trees.own_rise
        least = np.maximum(least, flow.smallest**2 / inner_high)
        most = np.minimum(most, np.where(most > 0.0, flow.largest**2 / inner_low, 0.0))
        low_now, high_now = _voltages(trees, flow, source, least, most)
        low, high = np.maximum(low, low_now), np.minimum(high, high_now)
        wrong |= (low > high * (1.0 + _ROUNDING)).any(axis=1)
        high = np.maximum(high, low)  # where not wrong, the difference is rounding
    return wrong


def _flows(
    trees: RadialTrees,
    point: ExtremePoint,
    low: FloatArray,
    high: FloatArray,
    least: FloatArray,
    most: FloatArray,
) -> _FlowBounds:
    """Return bounds of the power through each series impedance at its node's end."""
    upper_low = np.take_along_axis(low, trees.upper_node, axis=1) * trees.upper_rise
    upper_high = np.take_along_axis(high, trees.upper_node, axis=1) * trees.upper_rise
    own = [
        _drawn(trees.shunt, low, high),
        _drawn(trees.near_shunt, low / trees.own_rise, high / trees.own_rise),
    ]
    passed = _drawn(trees.upper_shunt, upper_low, upper_high)
    bounds = []
    for side, current in ((0, least), (1, most)):
        drawn = point.consumption + own[0][side] + own[1][side]
        lost = passed[side] + (trees.r + 1j * trees.x) * current
        total = np.einsum("taj,tj->ta", trees.below, drawn + lost)
        bounds.append((total - lost, total, own[1][side]))
    return _FlowBounds(bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1], own[1])


def _over(
    trees: RadialTrees,
    point: ExtremePoint,
    flow: _FlowBounds,
    low: FloatArray,
    high: FloatArray,
    least: FloatArray,
    most: FloatArray,
    base_power_w: float,
) -> BoolArray:
    """Return where a current or the power at the source certainly exceeds its limit."""
    near = _smallest(flow.low - flow.near_shunt[0], flow.high - flow.near_shunt[1])
    upper = _smallest(flow.sent_low, flow.sent_high)
    upper_high = np.take_along_axis(high, trees.upper_node, axis=1)
    one = 1.0 + _ROUNDING
    over = near > trees.near_rating * np.sqrt(high) * one
    over |= upper > trees.upper_rating * np.sqrt(upper_high) * one
    over[:, 0] = False
    wrong: BoolArray = np.asarray(over.any(axis=1))
    # At the source all sums meet.
    limit = point.contract.withdrawal_limit_w
    if limit is not None:
        wrong |= flow.sent_low[:, 0].real * base_power_w > limit * one + _ROUNDING_W
    limit = point.contract.injection_limit_w
    if limit is not None:
        wrong |= -flow.sent_high[:, 0].real * base_power_w > limit * one + _ROUNDING_W
    return wrong


def _voltages(
    trees: RadialTrees, flow: _FlowBounds, source: float, least: FloatArray, most: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return bounds of squared voltages from the drops along the way to the source."""
    size = trees.r**2 + trees.x**2
    bounds = []
    for power, current in ((flow.high, most), (flow.low, least)):
        drop = 2.0 * (trees.r * power.real + trees.x * power.imag) + size * current
        part = trees.own_rise * drop / trees.rise
        bounds.append(trees.rise * (source - np.einsum("taj,ta->tj", trees.below, part)))
    return bounds[0], bounds[1]


@dataclass(frozen=True, slots=True)
class _FlowBounds:
    """Bounds of powers downward: at the near end of each impedance, and at its upper end."""

    low: ComplexArray
    high: ComplexArray
    sent_low: ComplexArray
    sent_high: ComplexArray
    near_shunt: tuple[ComplexArray, ComplexArray]

    @property
    def smallest(self) -> FloatArray:
        return _smallest(self.low, self.high)

    @property
    def largest(self) -> FloatArray:
        real = np.maximum(np.abs(self.low.real), np.abs(self.high.real))
        imaginary = np.maximum(np.abs(self.low.imag), np.abs(self.high.imag))
        return np.hypot(real, imaginary)


def _smallest(low: ComplexArray, high: ComplexArray) -> FloatArray:
    """Return the smallest magnitude in rectangles of complex numbers."""
    real = np.maximum(0.0, np.maximum(low.real, -high.real))
    imaginary = np.maximum(0.0, np.maximum(low.imag, -high.imag))
    return np.hypot(real, imaginary)


def _drawn(
    shunt: ComplexArray, low: FloatArray, high: FloatArray
) -> tuple[ComplexArray, ComplexArray]:
    """Return bounds of ``conj(shunt) v^2`` for squared voltages between two."""
    power = shunt.conj()
    grows, follows = power.real >= 0.0, power.imag >= 0.0
    least = np.where(grows, low, high) * power.real + 1j * (
        np.where(follows, low, high) * power.imag
    )
    most = np.where(grows, high, low) * power.real + 1j * (
        np.where(follows, high, low) * power.imag
    )
    return least, most
