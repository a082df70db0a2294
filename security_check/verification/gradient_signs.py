"""Signs of the derivatives of monitored quantities, everywhere in a box of powers.

Let ``x`` be a row's phasor and ``d`` a direction of length one.  The function ``gradients`` of
:mod:`security_check.verification.enclosure` encloses the gradients of ``a = Re(conj(d) x)`` and
``b = Im(conj(d) x)`` over a box; with the values at the centre, the mean value theorem bounds a
and b.

**Magnitudes that stay away from zero** (voltages; currents, once the signs of powers are known).
The phase of x differs from that of d by at most ``atan(max|b| / min a)``, so

    grad |x| / cos(phase)  =  grad a + tan(phase) grad b

and its sign is known where ``|grad a|`` outweighs its radius and ``tan(phase) max|grad b|``.

**Currents that may pass through zero.**  Such a current has two maxima, one in each half plane
``a >= 0`` (export) and ``a <= 0`` (import), each a row of its own.  Let a grow with the powers
of the customers A at rates of at least ``gamma_i > 0`` (signs taken), b change at rates of at
most ``beta_i <= rho gamma_i``, and let ``a >= a1 > 0`` and ``|b| <= b1`` wherever A is at the
ends of its ranges that make a largest.  Going there from any point with ``a >= 0`` raises a by
some ``G <= a1'`` and changes b by at most ``rho G``, where ``a1' >= a1`` is the value of a
reached.  So ``|x|^2`` does not fall if ``G^2 (1 + rho^2) <= 2 G (a1' - rho |b|)``, and that holds
if

    rho^2 a1 + 2 rho b1  <=  a1

The largest current of the half plane then has A at those ends, for any powers of the others.

**Interface power** ``v0 a`` has the gradient ``v0 grad a``, plus a for the voltage v0; d is 1 for
active and a quarter turn ahead for reactive power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.monitoring.row_kinds import ALONG, OF_INTERFACE, SIGN, RowKind
from security_check.verification.enclosure import (
    Enclosure,
    Gradients,
    PortModel,
    directions,
    gradients,
    phasors,
)

_TURN = 0.5  # largest ratio of beta to gamma of a customer in A; others are left for a later face


@dataclass(frozen=True, slots=True)
class RowKinds:
    """Rows to be bounded, with f as in :mod:`security_check.monitoring.monitors`.

    Parameters
    ----------
    kind, phasor
        Shape (r,).
    axis
        Shape (r,), of length one: the direction of the half plane of a current row.
    """

    kind: IndexArray
    phasor: IndexArray
    axis: ComplexArray

    def take(self, rows: IndexArray | BoolArray) -> RowKinds:
        """Return the rows chosen."""
        return RowKinds(self.kind[rows], self.phasor[rows], self.axis[rows])

    @property
    def current(self) -> BoolArray:
        """Return which rows are currents, shape (r,)."""
        found: BoolArray = (self.kind == RowKind.CURRENT_EXPORT) | (
            self.kind == RowKind.CURRENT_IMPORT
        )
        return found

    @property
    def power(self) -> BoolArray:
        """Return which rows are powers at the interface, shape (r,)."""
        found: BoolArray = np.isin(self.kind, OF_INTERFACE)
        return found

    @property
    def carried(self) -> ComplexArray:
        """Return the direction in which the interface's current carries the power, shape (r,)."""
        found: ComplexArray = ALONG[self.kind].astype(np.complex128)
        return found

    @property
    def sense(self) -> FloatArray:
        """Return -1 where f is the negative of a magnitude or power, shape (r,)."""
        return SIGN[self.kind]

    def values(self, x: ComplexArray, interface_voltage: FloatArray) -> FloatArray:
        """Return f for phasors x, shape (r,)."""
        against = self.current & ((self.axis.conj() * x).real < 0.0)
        magnitude = np.where(against, -1.0, 1.0) * np.abs(x)
        power = (self.carried.conj() * x).real * interface_voltage
        size = np.where(self.power, power, magnitude)
        values: FloatArray = self.sense * size
        return values


@dataclass(frozen=True, slots=True)
class GradientSigns:
    """Bounds of r rows and signs of their derivatives over their boxes.

    Parameters
    ----------
    bound
        Shape (r,): f is nowhere larger (a current row's f, in its own half plane).
    rising, falling
        Shape (r, c + 1): f is largest with that variable at its upper, or its lower, end,
        for any values of the others.
    by_variable
        Shape (r, c + 1), the derivative of f at the centre, or for currents that may pass zero
        that of their part along the axis.
    gain
        Shape (r,): bound of the excess of f over its value at the vertex that ``by_variable``
        points to.
    """

    bound: FloatArray
    rising: BoolArray
    falling: BoolArray
    by_variable: FloatArray
    gain: FloatArray


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts a, along the direction, and b, across it, of r phasors over their boxes."""

    along: Gradients
    across: Gradients
    a: FloatArray
    b: FloatArray
    half: FloatArray

    @property
    def lowest(self) -> FloatArray:
        lowest: FloatArray = self.a - (self.along.largest * self.half).sum(axis=1)
        return lowest

    @property
    def highest(self) -> FloatArray:
        highest: FloatArray = self.a + (self.along.largest * self.half).sum(axis=1)
        return highest

    @property
    def aside(self) -> FloatArray:
        aside: FloatArray = np.abs(self.b) + (self.across.largest * self.half).sum(axis=1)
        return aside


def simple_bounds(
    model: PortModel, enclosure: Enclosure, rows: RowKinds, box: IndexArray
) -> FloatArray:
    """Return upper bounds of f by the triangle inequality, shape (r,): cheap but coarse."""
    x, radius = phasors(model, enclosure, rows.phasor, box)
    lower = np.maximum(np.abs(x) - radius, 0.0)
    magnitude = np.where(rows.kind == RowKind.VOLTAGE_MIN, -lower, np.abs(x) + radius)
    voltage, width = enclosure.middle[-1, box], enclosure.half[-1, box]
    power = rows.sense * (rows.carried.conj() * x).real + radius
    power = np.where(power > 0.0, power * (voltage + width), power * (voltage - width))
    return np.where(rows.power, power, magnitude)


def slopes(
    model: PortModel, enclosure: Enclosure, rows: RowKinds, box: IndexArray
) -> GradientSigns:
    """Bound rows and their derivatives over closed boxes.

    Parameters
    ----------
    enclosure
        Of B boxes.
    rows
        r rows.
    box
        Shape (r,), index of the box of each row.
    """
    x, radius = phasors(model, enclosure, rows.phasor, box)
    own = np.abs(x) > radius
    own_direction = directions(x)
    direction = np.where(rows.current & ~own, rows.axis, own_direction)
    direction = np.where(rows.power, rows.carried, direction)
    parts = _parts(model, enclosure, rows.phasor, box, x, direction)
    # Where no current of the box lies in the row's half plane, f is minus the magnitude.
    against = rows.current & ((rows.axis.conj() * x).real + radius < 0.0)
    found = _of_magnitudes(parts, np.where(against, -1.0, rows.sense))
    passing = np.flatnonzero(rows.current & ~own)
    _put(found, passing, _of_passing(_taken(parts, passing)))
    power = np.flatnonzero(rows.power)
    voltage = enclosure.middle[-1, box][power]
    _put(found, power, _of_powers(_taken(parts, power), rows.sense[power], voltage))
    return found


def _parts(
    model: PortModel,
    enclosure: Enclosure,
    phasor: IndexArray,
    box: IndexArray,
    x: ComplexArray,
    direction: ComplexArray,
) -> _Parts:
    twice = gradients(
        model,
        enclosure,
        np.concatenate([phasor, phasor]),
        np.concatenate([box, box]),
        np.concatenate([direction, 1j * direction]),
    )
    count = len(phasor)
    along = Gradients(twice.centre[:count], twice.radius[:count])
    across = Gradients(twice.centre[count:], twice.radius[count:])
    part = direction.conj() * x
    return _Parts(along, across, part.real, part.imag, enclosure.half[:, box].T)


def _taken(parts: _Parts, rows: IndexArray) -> _Parts:
    return _Parts(
        Gradients(parts.along.centre[rows], parts.along.radius[rows]),
        Gradients(parts.across.centre[rows], parts.across.radius[rows]),
        parts.a[rows],
        parts.b[rows],
        parts.half[rows],
    )


def _put(slopes: GradientSigns, where: IndexArray, found: GradientSigns) -> None:
    """Replace the rows at ``where``, in place; the arrays are this module's own."""
    slopes.bound[where] = found.bound
    slopes.rising[where] = found.rising
    slopes.falling[where] = found.falling
    slopes.by_variable[where] = found.by_variable
    slopes.gain[where] = found.gain


def _of_derivatives(centre: FloatArray, radius: FloatArray, half: FloatArray) -> GradientSigns:
    """Return signs from derivatives within ``radius`` of ``centre``; the bound is infinite."""
    against = np.maximum(radius - np.abs(centre), 0.0)
    free = half > 0.0
    return GradientSigns(
        bound=np.full(len(centre), np.inf),
        rising=free & (centre > radius),
        falling=free & (centre < -radius),
        by_variable=centre,
        gain=(against * 2.0 * half).sum(axis=1),
    )


def _of_magnitudes(parts: _Parts, sense: FloatArray) -> GradientSigns:
    """Return signs of ``sense |x|``; none where x may pass zero."""
    lowest, aside = parts.lowest, parts.aside
    away = lowest > 0.0
    tangent = np.where(away, aside / np.where(away, lowest, 1.0), 0.0)
    radius = parts.along.radius + tangent[:, None] * parts.across.largest
    found = _of_derivatives(sense[:, None] * parts.along.centre, radius, parts.half)
    mean = sense * np.hypot(parts.a, parts.b)
    mean = mean + ((np.abs(parts.along.centre) + radius) * parts.half).sum(axis=1)
    outer = np.hypot(np.maximum(parts.highest, -lowest), aside)
    coarse = np.where(sense > 0.0, outer, -np.maximum(lowest, 0.0))
    bound = np.where(away, np.minimum(mean, coarse), coarse)
    known = away[:, None]
    gain = np.where(away, found.gain, np.inf)
    return GradientSigns(
        bound, found.rising & known, found.falling & known, found.by_variable, gain
    )


def _of_passing(parts: _Parts) -> GradientSigns:
    """Return signs of currents that may pass zero, each in the half plane of its axis."""
    centre, half = parts.along.centre, parts.half
    gamma = np.abs(centre) - parts.along.radius
    beta = parts.across.largest
    strong = (half > 0.0) & (gamma > 0.0) & (beta <= _TURN * gamma)
    ratio = np.where(strong, beta / np.where(strong, gamma, 1.0), 0.0).max(axis=1, initial=0.0)
    reached = parts.a + (np.where(strong, gamma, -parts.along.largest) * half).sum(axis=1)
    aside = parts.aside
    holds = (reached > 0.0) & (ratio**2 * reached + 2.0 * ratio * aside <= reached)
    strong &= holds[:, None]
    bound = np.hypot(np.maximum(parts.highest, 0.0), aside)
    open_ = np.full(len(bound), np.inf)
    return GradientSigns(bound, strong & (centre > 0.0), strong & (centre < 0.0), centre, open_)


def _of_powers(parts: _Parts, sense: FloatArray, voltage: FloatArray) -> GradientSigns:
    """Return signs of ``sense v0 a``."""
    width = parts.half[:, -1:]
    centre = sense[:, None] * voltage[:, None] * parts.along.centre
    radius = voltage[:, None] * parts.along.radius + width * parts.along.largest
    centre[:, -1] += sense * parts.a
    radius[:, -1] += np.maximum(parts.highest - parts.a, parts.a - parts.lowest)
    found = _of_derivatives(centre, radius, parts.half)
    mean = sense * voltage * parts.a + ((np.abs(centre) + radius) * parts.half).sum(axis=1)
    return GradientSigns(mean, found.rising, found.falling, found.by_variable, found.gain)
