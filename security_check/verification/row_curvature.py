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
    unit = np.where(rows.power, rows.along, x / np.maximum(np.abs(x), 1e-300))
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


def curvature_over(
    model: ProofModel, boxes: SolutionBoxes, rows: Quantities, at: Values
) -> Curvature:
    """Enclose first and second derivatives over closed boxes; bound F with both."""
    half = boxes.half
    reach = np.abs(at.forward) + np.abs(at.backward)
    moved, second, second_radius, feedback = _second_currents(model, boxes)
    count = half.shape[1]
    flat = second.reshape(*second.shape[:2], count * count)
    bent = (at.forward @ flat + at.backward @ flat.conj()).reshape(*reach.shape[:2], count, count)
    spread = (second_radius + feedback).reshape(flat.shape)
    bent_radius = (reach @ spread).reshape(bent.shape)
    slope, slope_radius = at.by_variable, reach @ moved
    x = at.phasor
    x_radius = (np.abs(slope) * half[:, None, :]).sum(axis=2) + at.remainder
    power = rows.power[None, :, None]
    end = np.zeros(count)
    end[-1] = 1.0
    y = np.where(rows.power, boxes.centre[:, -1:] * rows.along, x)
    y_radius = np.where(rows.power, half[:, -1:], x_radius)
    y_slope = np.where(power, rows.along[:, None] * end, slope)
    y_slope_radius = np.where(power, 0.0, slope_radius)
    y_bent = np.where(power[..., None], 0.0, bent)
    y_bent_radius = np.where(power[..., None], 0.0, bent_radius)
    sense = rows.sense[None, :, None]

    def products(a: ComplexArray, b: ComplexArray) -> FloatArray:
        return np.asarray((a.conj() * b).real)

    def distance(a: ComplexArray, ar: FloatArray, b: ComplexArray, br: FloatArray) -> FloatArray:
        return np.asarray(np.abs(a) * br + ar * (np.abs(b) + br))

    x1, y1, x1r, y1r = x[..., None], y[..., None], x_radius[..., None], y_radius[..., None]
    gradient = sense * (products(y_slope, x1) + products(y1, slope))
    cross = products(y_slope[..., :, None], slope[..., None, :])
    cross_radius = distance(
        y_slope[..., :, None],
        y_slope_radius[..., :, None],
        slope[..., None, :],
        slope_radius[..., None, :],
    )
    x2, y2, x2r, y2r = x1[..., None], y1[..., None], x1r[..., None], y1r[..., None]
    curved = cross + np.swapaxes(cross, -1, -2) + products(y_bent, x2) + products(y2, bent)
    curved_radius = cross_radius + np.swapaxes(cross_radius, -1, -2)
    curved_radius += distance(y_bent, y_bent_radius, x2, x2r)
    curved_radius += distance(y2, y2r, bent, bent_radius)
    curved_radius += _ROUNDING * (1.0 + np.abs(curved))
    curved = sense[..., None] * curved
    by_second = ((np.abs(curved) + curved_radius) * half[:, None, None, :]).sum(axis=3)
    gradient_radius = by_second + _ROUNDING * (1.0 + np.abs(gradient))
    excess = _quadratic_bound(gradient, curved, curved_radius, half)
    excess += _ROUNDING * (1.0 + np.abs(at.centre))
    bound = np.minimum(at.bound, at.centre + excess)
    return Curvature(gradient, gradient_radius, curved, curved_radius, bound)


def _second_currents(
    model: ProofModel, boxes: SolutionBoxes
) -> tuple[FloatArray, ComplexArray, FloatArray, FloatArray]:
    """Return the enclosed derivatives of the ports' currents.

    Returns
    -------
    moved
        Shape (B, J, n), of the first derivatives from the centre, before feedback at the centre.
    second, second_radius
        Shape (B, J, n, n), the direct part of the second derivatives.
    feedback
        Shape (B, J, n, n), the largest part that comes from the change of D.
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
    feedback = (weight_radius[..., None] * bent).reshape(second.shape)
    return moved, second, second_radius, feedback


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
