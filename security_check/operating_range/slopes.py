"""Slopes of monitored quantities by the coordinates of a point, and where they lead.

The power flow gives gradients by port power and by held voltage.  :func:`slopes_of` turns them into
slopes by the coordinates of a point; the other functions follow such slopes: to the vertex that
they point to, to first-order gains, and to the coefficients of packing rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import WorstPoints, halves

# Part of the largest slope of a row: a smaller one is rounding (float64 is precise to 2e-16).
_FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class Slopes:
    """The slopes of r quantities by the coordinates of their points.

    Parameters
    ----------
    by_power
        Shape (r, c), per unit of active power, the fixed ratio's reactive power included.
    by_free
        Shape (r, k), by the coordinates of ``WorstPoints.free``, in their order; but by reactive
        power itself, per unit, rather than by its share.
    """

    by_power: FloatArray
    by_free: FloatArray

    def take(self, rows: IndexArray | BoolArray) -> Slopes:
        """Return the slopes of the rows named."""
        return Slopes(self.by_power[rows], self.by_free[rows])


def flat(slopes: FloatArray) -> BoolArray:
    """Return which slopes of each row, shape (r, n), are zero but for rounding."""
    size = np.abs(slopes)
    small: BoolArray = size <= _FLAT * size.max(axis=1, keepdims=True, initial=0.0)
    return small


def slopes_of(
    conditions: OperatingConditions, by_port: ComplexArray, by_source: FloatArray
) -> Slopes:
    """Return slopes from gradients of r quantities, by the chain rule.

    Parameters
    ----------
    by_port
        Shape (J, r), by port power: the real part by active, the imaginary by reactive power.
    by_source
        Shape (h, r), by held voltage.
    """
    network, deviations = conditions.network, conditions.deviations
    by_power = np.asarray(network.ports_point @ by_port).real.T
    parts = [conditions.half_band * by_source.T]
    if len(conditions.choosers):
        parts.append((network.port_shares[:, conditions.choosers].T @ by_port.imag).T)
    if deviations.set.count:
        parts.append(np.asarray(conditions.deviations_ports @ by_port).real.T)
    return Slopes(by_power, np.concatenate(parts, axis=1))


def vertex_along_gradient(
    conditions: OperatingConditions, points: WorstPoints, slopes: Slopes, u: FloatArray
) -> WorstPoints:
    """Return the points that the slopes lead to; a flat direction stays as it is."""
    rises = rising(conditions, slopes, u)
    share = np.where(flat(rises), points.share, rises > 0)
    return WorstPoints(share, _free_along(conditions, points.free, slopes.by_free))


def points_along(conditions: OperatingConditions, share: FloatArray, slopes: Slopes) -> WorstPoints:
    """Return points of the shares given whose free coordinates go where the slopes lead."""
    free = np.zeros((len(share), conditions.free))
    free[:, : conditions.held] = conditions.corners[conditions.ends[0]]
    return WorstPoints(share, _free_along(conditions, free, slopes.by_free))


def rising(conditions: OperatingConditions, slopes: Slopes, u: FloatArray) -> FloatArray:
    """Return how much more f is at the injection than at the withdrawal limit, shape (r, c).

    To first order, and per unit of the customer's range.  That is the slope itself but for
    power-factor cones: with these, both sides allow reactive power that suits the row.
    """
    if not conditions.has_cones:
        return slopes.by_power
    injection, withdrawal = halves(u)
    rising = slopes.by_power.copy()
    at = conditions.choosers
    reach = conditions.cone * np.abs(conditions.parts(slopes.by_free)[1])
    up = injection[at] * (slopes.by_power[:, at] + reach)
    down = withdrawal[at] * (reach - slopes.by_power[:, at])
    width = injection[at] + withdrawal[at]
    rising[:, at] = (up - down) / np.where(width > 0.0, width, 1.0)
    return rising


def _free_along(
    conditions: OperatingConditions, free: FloatArray, by_free: FloatArray
) -> FloatArray:
    """Return the free coordinates, shape (r, k), moved to where their slopes lead."""
    band_place, reactive_share, deviation = conditions.parts(free)
    by_band, by_reactive, by_deviation = conditions.parts(by_free)
    parts = [conditions.places_along(band_place, by_band)]
    if reactive_share.shape[1]:
        parts.append(np.where(by_reactive == 0.0, reactive_share, np.sign(by_reactive)))
    if deviation.shape[1]:
        parts.append(conditions.deviations.set.support(by_deviation))
    return np.concatenate(parts, axis=1)


def gain(
    conditions: OperatingConditions,
    points: WorstPoints,
    slopes: Slopes,
    to: WorstPoints,
    u: FloatArray,
) -> FloatArray:
    """Return the gain of f on the way from points to others, to first order, shape (r,)."""
    before, after = points.power(u), to.power(u)
    gain: FloatArray = (slopes.by_power * (after - before)).sum(axis=1)
    way = to.free - points.free
    if len(conditions.choosers):
        way[:, conditions.choosing] = conditions.chosen_reactive(
            to, after
        ) - conditions.chosen_reactive(points, before)
    gain += (slopes.by_free * way).sum(axis=1)
    return gain


def coefficients(
    conditions: OperatingConditions, points: WorstPoints, slopes: Slopes
) -> FloatArray:
    """Return packing coefficients by u, shape (r, 2 c), >= 0.

    A limit counts on the side its point takes, where the quantity rises with it; customers
    strictly inside their ranges count on both sides.
    """
    up, down = slopes.by_power, -slopes.by_power
    if conditions.has_cones:
        reactive_share = conditions.parts(points.free)[1]
        by_reactive = conditions.parts(slopes.by_free)[1]
        reach = np.zeros_like(up)
        reach[:, conditions.choosers] = conditions.cone * reactive_share * by_reactive
        up, down = up + reach, down + reach
    share = points.share
    return np.hstack(
        [
            np.where(share > 0.0, np.maximum(up, 0.0), 0.0),
            np.where(share < 1.0, np.maximum(down, 0.0), 0.0),
        ]
    )
