"""Values, gradients and second derivatives of monitored quantities over enclosed boxes.

A quantity is ``F = sigma Re(conj(y) x)`` with a phasor x: its square magnitude where y is x, and
the power at the interface where y is the interface voltage times a direction.  F is smooth, unlike
a magnitude that passes zero.  With ``I_k = conj(P_k)/conj(v) - D conj(S_k)`` and
``b_k = conj(S_k)/conj(v)``, the second derivatives of port currents are
``i_kl = -(I_k b_l + b_k I_l) - D conj(v_kl)``, so those of phasors are the effect of the first part
by the same linear map as any other current.  All are enclosed around their values at the centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.verification.enclosure import directions
from security_check.verification.solution_boxes import ProofModel, SolutionBoxes

_ROUNDING = 1e-11  # per unit, or part of a derivative


@dataclass(frozen=True, slots=True)
class Quantities:
    """Quantities whose largest values are sought; q of them.

    Parameters
    ----------
    phasor
        Shape (q,).
    sense
        Shape (q,): sigma, 1 or -1.
    power
        Shape (q,): whether it is a power at the interface rather than a square magnitude.
    along
        Shape (q,), complex: the direction of a power.
    """

    phasor: IndexArray
    sense: FloatArray
    power: BoolArray
    along: ComplexArray

    def take(self, chosen: IndexArray) -> Quantities:
        """Return the quantities chosen."""
        return Quantities(
            self.phasor[chosen], self.sense[chosen], self.power[chosen], self.along[chosen]
        )

    def level(self, f: FloatArray) -> FloatArray:
        """Return F for values f as the monitors have them: signed magnitudes, or powers."""
        found: FloatArray = np.where(self.power, f, np.sign(f) * f * f)
        return found

    def value(self, level: FloatArray) -> FloatArray:
        """Return f for F."""
        found: FloatArray = np.where(self.power, level, np.sign(level) * np.sqrt(np.abs(level)))
        return found


@dataclass(frozen=True, slots=True)
class Values:
    """F of q quantities over B boxes.

    Parameters
    ----------
    centre, bound
        Shape (B, q): F at the centres, and a bound of F over the boxes.
    phasor
        Shape (B, q), at the centres.
    by_variable
        Shape (B, q, n), derivatives of the phasors at the centres.
    remainder
        Shape (B, q), the largest distance of phasors from their linear parts.
    forward, backward
        Shape (B, q, J), the linear map from currents to phasors, with feedback.
    """

    centre: FloatArray
    bound: FloatArray
    phasor: ComplexArray
    by_variable: ComplexArray
    remainder: FloatArray
    forward: ComplexArray
    backward: ComplexArray

    def plain_bound(self, boxes: SolutionBoxes, rows: Quantities) -> FloatArray:
        """Return bounds of the largest magnitudes by the triangle inequality, ``inf`` of others."""
        size = np.abs(self.phasor) + (np.abs(self.by_variable) * boxes.half[:, None]).sum(axis=2)
        largest = (size + self.remainder + _ROUNDING) ** 2
        found: FloatArray = np.where(rows.power | (rows.sense < 0.0), np.inf, largest)
        return found


@dataclass(frozen=True, slots=True)
class Curvature:
    """Derivatives of F over boxes.

    Parameters
    ----------
    gradient, gradient_radius
        Shape (B, q, n): at the centre, and the largest distance from there.
    second, second_radius
        Shape (B, q, n, n), as above.
    bound
        Shape (B, q), of F.
    """

    gradient: FloatArray
    gradient_radius: FloatArray
    second: FloatArray
    second_radius: FloatArray
    bound: FloatArray


def values_over(model: ProofModel, boxes: SolutionBoxes, rows: Quantities) -> Values:
    """Return values, and bounds by first derivatives at the centres."""
    x, by_variable, remainder, forward, backward = _phasors(model, boxes, rows.phasor)
    half = boxes.half[:, None, :]
    voltage = boxes.centre[:, -1:]
    y = np.where(rows.power, voltage * rows.along, x)
    centre = rows.sense * (y.conj() * x).real
    unit = np.where(rows.power, rows.along, directions(x))
    turned = unit.conj()[..., None] * by_variable
    along = (np.abs(turned.real) * half).sum(axis=2)
    across = (np.abs(turned.imag) * half).sum(axis=2)
    size, slack = np.abs(x), remainder + _ROUNDING
    largest = (np.hypot(size + along, across) + slack) ** 2
    smallest = np.maximum(size - along - slack, 0.0) ** 2
    square = np.where(rows.sense > 0.0, largest, -smallest)
    part = rows.sense * (rows.along.conj() * x).real + along + slack
    ends = voltage + np.sign(part) * boxes.half[:, -1:]
    bound = np.where(rows.power, part * ends, square)
    return Values(centre, bound, x, by_variable, remainder, forward, backward)


def _phasors(
    model: ProofModel, boxes: SolutionBoxes, which: IndexArray
) -> tuple[ComplexArray, ComplexArray, FloatArray, ComplexArray, ComplexArray]:
    """Return phasors at the centres, their derivatives, remainders, and the map from currents."""
    response = model.response[which]
    current = boxes.weight * boxes.voltage.conj()
    x = current @ response.T + boxes.centre @ model.fixed[which].T
    by_variable = model.fixed[which] + response @ _current_slopes(model, boxes)
    fed_back = response[None] * boxes.weight[:, None, :]
    forward = response - fed_back @ boxes.backward.conj()
    backward = -fed_back @ boxes.forward.conj()
    reach = np.abs(forward) + np.abs(backward)
    remainder = (reach @ boxes.remainder[..., None])[..., 0]
    return x, by_variable, remainder, forward, backward


def _current_slopes(model: ProofModel, boxes: SolutionBoxes) -> ComplexArray:
    slopes: ComplexArray = model.power.conj() / boxes.voltage.conj()[..., None]
    slopes = slopes - boxes.weight[..., None] * boxes.sensitivity.conj()
    return slopes


@dataclass(frozen=True, slots=True)
class _Enclosed:
    """A complex function over boxes: value, first and second derivatives, each with a radius.

    Shapes (B, q), (B, q, n) and (B, q, n, n); centres are of the boxes' centres.
    """

    value: ComplexArray
    value_radius: FloatArray
    slope: ComplexArray
    slope_radius: FloatArray
    bent: ComplexArray
    bent_radius: FloatArray

    def replaced(self, where: BoolArray, other: _Enclosed) -> _Enclosed:
        """Return this function, of the quantities at ``where`` the other one."""
        first, second = where[:, None], where[:, None, None]
        return _Enclosed(
            np.where(where, other.value, self.value),
            np.where(where, other.value_radius, self.value_radius),
            np.where(first, other.slope, self.slope),
            np.where(first, other.slope_radius, self.slope_radius),
            np.where(second, other.bent, self.bent),
            np.where(second, other.bent_radius, self.bent_radius),
        )


def curvature_over(
    model: ProofModel, boxes: SolutionBoxes, rows: Quantities, at: Values
) -> Curvature:
    """Enclose first and second derivatives over closed boxes; bound F with both."""
    x, half = _enclosed_phasors(model, boxes, at), boxes.half
    y = x.replaced(rows.power, _interface_voltage(boxes, rows))
    sense = rows.sense[:, None]
    gradient = sense * (_re(y.slope, x.value[..., None]) + _re(y.value[..., None], x.slope))
    cross = _re(y.slope[..., :, None], x.slope[..., None, :])
    cross_radius = _far(
        y.slope[..., :, None],
        y.slope_radius[..., :, None],
        x.slope[..., None, :],
        x.slope_radius[..., None, :],
    )
    last = (..., None, None)
    curved = cross + np.swapaxes(cross, -1, -2)
    curved += _re(y.bent, x.value[last]) + _re(y.value[last], x.bent)
    spread = cross_radius + np.swapaxes(cross_radius, -1, -2)
    spread += _far(y.bent, y.bent_radius, x.value[last], x.value_radius[last])
    spread += _far(y.value[last], y.value_radius[last], x.bent, x.bent_radius)
    spread += _ROUNDING * (1.0 + np.abs(curved))
    curved = sense[..., None] * curved
    radius = ((np.abs(curved) + spread) * half[:, None, None, :]).sum(axis=3)
    radius += _ROUNDING * (1.0 + np.abs(gradient))
    excess = _quadratic_bound(gradient, curved, spread, half)
    excess += _ROUNDING * (1.0 + np.abs(at.centre))
    return Curvature(gradient, radius, curved, spread, np.minimum(at.bound, at.centre + excess))


def _re(a: ComplexArray, b: ComplexArray) -> FloatArray:
    return np.asarray((a.conj() * b).real)


def _far(
    a: ComplexArray, a_radius: FloatArray, b: ComplexArray, b_radius: FloatArray
) -> FloatArray:
    """Return the largest distance of products of two discs from that of their centres."""
    return np.asarray(np.abs(a) * b_radius + a_radius * (np.abs(b) + b_radius))


def _enclosed_phasors(model: ProofModel, boxes: SolutionBoxes, at: Values) -> _Enclosed:
    reach = np.abs(at.forward) + np.abs(at.backward)
    moved, second, spread = _second_currents(model, boxes)
    count = boxes.half.shape[1]
    flat = second.reshape(*second.shape[:2], count * count)
    shape = (*reach.shape[:2], count, count)
    bent: ComplexArray = at.forward @ flat + at.backward @ flat.conj()
    widths = (np.abs(at.by_variable) * boxes.half[:, None, :]).sum(axis=2)
    return _Enclosed(
        at.phasor,
        np.asarray(widths + at.remainder),
        at.by_variable,
        reach @ moved,
        bent.reshape(shape),
        (reach @ spread.reshape(flat.shape)).reshape(shape),
    )


def _interface_voltage(boxes: SolutionBoxes, rows: Quantities) -> _Enclosed:
    """Return the interface voltage along each quantity's direction: the last variable."""
    boxes_, count = boxes.half.shape
    size = (boxes_, len(rows.along), count)
    slope = np.zeros(size, dtype=np.complex128)
    slope[..., -1] = rows.along
    radius = np.repeat(boxes.half[:, -1:], len(rows.along), axis=1)
    flat, bent = np.zeros(size), np.zeros((*size, count))
    return _Enclosed(
        boxes.centre[:, -1:] * rows.along, radius, slope, flat, bent.astype(np.complex128), bent
    )


def _second_currents(
    model: ProofModel, boxes: SolutionBoxes
) -> tuple[FloatArray, ComplexArray, FloatArray]:
    """Return the enclosed derivatives of the ports' currents.

    Returns
    -------
    moved
        Shape (B, J, n), of the first derivatives from the centre, before feedback at the centre.
    second
        Shape (B, J, n, n), the direct part of the second derivatives at the centres.
    spread
        Shape (B, J, n, n), their largest distance from there, with what the change of D adds.
    """
    ports = len(model.impedance)
    inverse_radius, weight_radius = boxes.inverse_radius, boxes.weight_radius
    size = np.abs(boxes.voltage)
    sensitivity, radius = boxes.sensitivity, boxes.sensitivity_radius
    moved = np.abs(model.power)[None] * inverse_radius[..., None]
    moved += weight_radius[..., None] * (np.abs(sensitivity) + radius)
    slope = _current_slopes(model, boxes)
    slope_radius = moved + np.abs(boxes.weight)[..., None] * radius
    along = sensitivity.conj() / boxes.voltage.conj()[..., None]
    along_radius = radius * (1.0 / size + inverse_radius)[..., None]
    along_radius += np.abs(sensitivity) * inverse_radius[..., None]
    half = slope[..., :, None] * along[..., None, :]
    half_radius = np.abs(slope)[..., :, None] * along_radius[..., None, :]
    half_radius += slope_radius[..., :, None] * (np.abs(along) + along_radius)[..., None, :]
    second = -(half + np.swapaxes(half, -1, -2))
    second_radius = half_radius + np.swapaxes(half_radius, -1, -2)
    reach = np.abs(boxes.forward) + np.abs(boxes.backward)
    largest = (np.abs(second) + second_radius).reshape(*second.shape[:2], -1)
    contraction = reach * weight_radius[:, None, :]
    contraction[~boxes.closed] = 0.0
    bent = np.linalg.solve(np.eye(ports) - contraction, reach @ largest)
    second_radius += (weight_radius[..., None] * bent).reshape(second.shape)
    return moved, second, second_radius


def _quadratic_bound(
    gradient: FloatArray, second: FloatArray, radius: FloatArray, half: FloatArray
) -> FloatArray:
    """Return the largest rise from the centre by a quadratic with an enclosed Hessian, (B, q)."""
    width = half[:, None, :]
    upper = np.einsum("bqkk->bqk", second) + np.einsum("bqkk->bqk", radius)
    size = np.abs(gradient)
    whole = size * width + 0.5 * upper * width**2
    inside = (upper < 0.0) & (size < -upper * width)
    single = np.where(inside, 0.5 * size**2 / np.where(inside, -upper, 1.0), whole)
    pairs = np.abs(second) + radius
    pairs = pairs * width[..., :, None] * width[..., None, :]
    together = pairs.sum(axis=(2, 3)) - np.einsum("bqkk->bq", pairs)
    found: FloatArray = single.sum(axis=2) + 0.5 * together
    return found
