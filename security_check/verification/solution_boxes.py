"""Enclosures of the power flow over boxes of its variables, preconditioned at each box's centre.

The voltages across the ports obey ``v = W x + Z i`` with ``i = conj(s) / conj(v)`` and
``s = s0 + P x``, where x are the variables: powers of customers, reactive powers that they choose,
deviations, and the interface voltage last.  With the solution ``v_c`` at a box's centre,
``v = v_c + e``, ``D = conj(s) / conj(v)^2`` and ``d`` the change of x, exactly

    e + Z D_c conj(e) = (W + Z conj(P) / conj(v_c)) d + Z q                                (1)
    q = -conj(P d) conj(e) / (conj(v_c) conj(v)) + D_c conj(e)^2 / conj(v)

The left-hand side is inverted once: ``e = S d + M(q)`` with the sensitivities S and a map M that
is linear over the reals.  q is of second order, so that a radius r with

    |S| h + |M| r / (|v_c| - r) (|P| h / |v_c| + |D_c| r)  <=  r  <  |v_c|                  (2)

exists in much larger boxes than one of the plain fixed-point map.  Then (1) maps the discs
``|e| <= r`` into themselves for every point of the box (Brouwer; Krawczyk's operator in the form of
Rump), and where ``|M| max|D - D_c|`` has a spectral radius below one the solution there is the
only one, and smooth in x, since no Jacobian of the box is singular.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import halves
from security_check.verification.enclosure import PortModel

_NEWTON_STEPS = 30
_SETTLED = 1e-13  # per unit: a Newton step that is smaller has converged
_RESIDUAL = 1e-11  # per unit: a centre with a larger residual is no solution
_ITERATIONS = 60  # of the radius of (2) at most
_STILL = 1e-10  # part of a radius: growth below this has converged
_INFLATED = 1e-6  # part of a radius that is added, so that (2) holds strictly
_ROUNDING = 1e-12  # per unit: far above the rounding errors of sums of a thousand terms
_CONTRACTS = 0.999  # largest spectral radius that counts as below one
_LOADING_STEPS = 8  # of the way from no load to the first point


@dataclass(frozen=True, slots=True)
class ProofModel:
    """The equations and the range of n variables; J ports, Q phasors.

    Parameters
    ----------
    impedance
        Shape (J, J).
    power, standing
        Shapes (J, n) and (J,): port powers are ``standing + power @ x``.
    profile
        Shape (J, n): voltages without port currents are ``profile @ x``.
    response, fixed
        Shapes (Q, J) and (Q, n): phasors are ``response @ i + fixed @ x``; the last one is the
        interface's current.
    low, high
        Shape (n,).  The last variable is the interface voltage.
    """

    impedance: ComplexArray
    power: ComplexArray
    standing: ComplexArray
    profile: ComplexArray
    response: ComplexArray
    fixed: ComplexArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, model: PortModel, conditions: OperatingConditions, u: FloatArray) -> ProofModel:
        """Return the model of a box of envelopes, u of shape (2 c,), in an interval's conditions.

        Reactive powers chosen within a range and deviations are variables of their own, each
        between -1 and 1; of their set, the smallest box around it.
        """
        injection, withdrawal = halves(u)
        network = model.network
        chosen = network.port_shares[:, conditions.choosers].toarray()
        half = np.zeros(0)
        if network.reactive_freedom is not None:
            half = network.reactive_freedom.half[conditions.choosers]
        deviating = conditions.deviations.power_pu.toarray() * conditions.deviations.set.largest
        others = np.ones(chosen.shape[1] + deviating.shape[1])
        power = np.hstack(
            [
                network.point_ports.toarray(),
                1j * chosen * half,
                deviating,
                np.zeros((len(model.profile), 1)),
            ]
        )
        profile, fixed = np.zeros_like(power), np.zeros((len(model.fixed), power.shape[1]), complex)
        profile[:, -1], fixed[:, -1] = model.profile, model.fixed
        none = np.zeros(len(injection))
        return cls(
            impedance=model.impedance,
            power=power,
            standing=conditions.port_powers(none[:, None])[:, 0],
            profile=profile,
            response=model.response,
            fixed=fixed,
            low=np.concatenate([-withdrawal, -others, [conditions.band[0]]]),
            high=np.concatenate([injection, others, [conditions.band[1]]]),
        )

    def loading(self, x: FloatArray) -> ProofModel:
        """Return the model of the way from no load to the point x; its first variable is 0 to 1."""
        power = self.standing + self.power @ x
        profile = self.profile @ x
        nothing = np.zeros_like(power)
        return ProofModel(
            impedance=self.impedance,
            power=np.column_stack([power, nothing]),
            standing=nothing,
            profile=np.column_stack([nothing, profile]),
            response=self.response[:0],
            fixed=np.zeros((0, 2), dtype=np.complex128),
            low=np.array([0.0, 1.0]),
            high=np.array([1.0, 1.0]),
        )

    def start(self, x: FloatArray) -> ComplexArray:
        """Return the voltages (J,) at a point, reached from no load in small steps."""
        voltage: ComplexArray = (self.profile @ x)[None, :]
        way = self.loading(x)
        for part in np.linspace(0.0, 1.0, _LOADING_STEPS + 1)[1:]:
            voltage = solve(way, np.array([[part, 1.0]]), voltage)[0]
        found: ComplexArray = voltage[0]
        return found


@dataclass(frozen=True, slots=True)
class SolutionBoxes:
    """Enclosures over B boxes; shapes (B, ...), J ports, n variables.

    Parameters
    ----------
    centre, half
        Shape (B, n).
    voltage, radius
        Shape (B, J): every solution branch through the centre lies within ``radius``.
    sensitivity, sensitivity_radius
        Shape (B, J, n): of the voltages, at the centre and its largest distance from there.
    forward, backward
        Shape (B, J, J): ``M(q) = forward q + backward conj(q)``.
    weight, weight_radius
        Shape (B, J): D and its largest distance from the centre's.
    remainder
        Shape (B, J), the largest ``|q|``.
    inverse_radius
        Shape (B, J), the largest distance of ``1/v`` from the centre's.
    solved
        Shape (B,): whether the centre has a solution.
    closed
        Shape (B,): whether (2) is verified; where not, only centre and sensitivity are valid.
    """

    centre: FloatArray
    half: FloatArray
    voltage: ComplexArray
    radius: FloatArray
    sensitivity: ComplexArray
    sensitivity_radius: FloatArray
    forward: ComplexArray
    backward: ComplexArray
    weight: ComplexArray
    weight_radius: FloatArray
    remainder: FloatArray
    inverse_radius: FloatArray
    solved: BoolArray
    closed: BoolArray

    def holds(self, box: IndexArray, x: FloatArray, voltage: ComplexArray) -> BoolArray:
        """Return whether each point x lies in its box, and its voltages in the box's discs."""
        inside = (np.abs(x - self.centre[box]) <= self.half[box] * (1.0 + 1e-9)).all(axis=1)
        near = np.abs(voltage - self.voltage[box]) <= self.radius[box] + _ROUNDING
        found: BoolArray = inside & near.all(axis=1) & self.closed[box]
        return found


def _inverse(
    model: ProofModel, weight: ComplexArray
) -> tuple[ComplexArray, ComplexArray, ComplexArray, ComplexArray]:
    """Return the inverse of ``e + Z D conj(e)``, and M, each as factors of y and conj(y)."""
    coupling = model.impedance[None] * weight[:, None, :]
    eye = np.eye(len(model.impedance))
    own: ComplexArray = np.asarray(np.linalg.inv(eye - coupling @ coupling.conj()), complex)
    other: ComplexArray = -own @ coupling
    forward: ComplexArray = own @ model.impedance
    backward: ComplexArray = other @ model.impedance.conj()
    return own, other, forward, backward


def solve(model: ProofModel, x: FloatArray, start: ComplexArray) -> tuple[ComplexArray, FloatArray]:
    """Return the voltages (B, J) at points x (B, n) by Newton's method, and their residuals."""
    profile = x @ model.profile.T
    conjugate = (model.standing + x @ model.power.T).conj()
    voltage = start
    with np.errstate(all="ignore"):  # a column without a solution is seen by its residual
        for _ in range(_NEWTON_STEPS):
            left = profile + (conjugate / voltage.conj()) @ model.impedance.T - voltage
            step = _newton_step(model, conjugate / voltage.conj() ** 2, left)
            voltage = voltage + step
            if not np.abs(step).max(initial=0.0) > _SETTLED:
                break
        left = np.abs(profile + (conjugate / voltage.conj()) @ model.impedance.T - voltage)
    return voltage, np.where(np.isfinite(left), left, np.inf)


def _newton_step(model: ProofModel, weight: ComplexArray, left: ComplexArray) -> ComplexArray:
    coupling = model.impedance[None] * weight[:, None, :]
    right = left - (coupling @ left.conj()[..., None])[..., 0]
    bad = ~np.isfinite(coupling).all(axis=(1, 2)) | ~np.isfinite(right).all(axis=1)
    coupling[bad], right[bad] = 0.0, np.nan
    matrix = np.eye(len(model.impedance)) - coupling @ coupling.conj()
    try:
        found = np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0], np.complex128)
    except np.linalg.LinAlgError:  # one of the batch is singular: none of it moves
        found = np.full_like(left, np.nan)
    return found


def enclose_boxes(
    model: ProofModel, low: FloatArray, high: FloatArray, start: ComplexArray
) -> SolutionBoxes:
    """Enclose the power flow over B boxes, from voltages (B, J) near those at their centres."""
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    voltage, residual = solve(model, centre, start)
    solved: BoolArray = np.asarray((residual <= _RESIDUAL).all(axis=1))
    voltage = np.where(solved[:, None], voltage, 1.0)
    residual = np.where(solved[:, None], residual, 0.0)
    power = model.standing + centre @ model.power.T
    weight: ComplexArray = np.where(solved[:, None], power.conj() / voltage.conj() ** 2, 0.0)
    own, other, forward, backward = _inverse(model, weight)
    direct = model.profile[None]
    direct = direct + model.impedance @ (model.power.conj()[None] / voltage.conj()[:, :, None])
    sensitivity: ComplexArray = own @ direct + other @ direct.conj()
    size, spread = np.abs(voltage), half @ np.abs(model.power).T
    reach = np.abs(forward) + np.abs(backward)
    left = ((np.abs(own) + np.abs(other)) @ residual[..., None])[..., 0]
    linear = (np.abs(sensitivity) @ half[..., None])[..., 0] + left + _ROUNDING

    def remainder(radius: FloatArray) -> FloatArray:
        lowest = np.where(radius < size, size - radius, np.nan)
        return np.asarray(radius / lowest * (spread / size + np.abs(weight) * radius))

    def mapped(radius: FloatArray) -> FloatArray:
        image: FloatArray = linear + (reach @ remainder(radius)[..., None])[..., 0]
        return np.where(np.isfinite(image), image, np.inf)

    with np.errstate(all="ignore"):  # a box that does not close gives nan, and `closed` says so
        radius = _smallest_radius(mapped, linear, ~solved)
        closed = solved & (mapped(radius) <= radius).all(axis=1) & (radius < size).all(axis=1)
        radius = np.where(closed[:, None], radius, 0.0)
        inverse_square = 1.0 / (size - radius) ** 2
        weight_radius: FloatArray = spread * inverse_square
        weight_radius += np.abs(power) * (inverse_square - 1.0 / size**2)
        closed = np.asarray(closed & _contracts(reach * weight_radius[:, None, :]))
        inverse_radius = radius / (size * (size - radius))
    moved = np.abs(model.power)[None] * inverse_radius[..., None]
    moved += weight_radius[..., None] * np.abs(sensitivity)
    return SolutionBoxes(
        centre=centre,
        half=half,
        voltage=voltage,
        radius=radius,
        sensitivity=sensitivity,
        sensitivity_radius=_fed_back(reach, weight_radius, closed, reach @ moved),
        forward=forward,
        backward=backward,
        weight=weight,
        weight_radius=weight_radius,
        remainder=np.where(closed[:, None], remainder(radius), 0.0),
        inverse_radius=inverse_radius,
        solved=solved,
        closed=closed,
    )


def _fed_back(
    reach: FloatArray, weight_radius: FloatArray, closed: BoolArray, source: FloatArray
) -> FloatArray:
    """Return the largest y with ``y <= source + |M| max|D - D_c| y``, shape (B, J, n)."""
    contraction = np.where(closed[:, None, None], reach * weight_radius[:, None, :], 0.0)
    found = np.linalg.solve(np.eye(contraction.shape[1]) - contraction, source)
    return np.asarray(found * (1.0 + _INFLATED) + _ROUNDING)


def _smallest_radius(
    mapped: Callable[[FloatArray], FloatArray], radius: FloatArray, given_up: BoolArray
) -> FloatArray:
    """Return the least fixed point of (2), a little inflated; it may diverge."""
    for _ in range(_ITERATIONS):
        following = mapped(radius)
        growing = (following > radius * (1.0 + _STILL)) & np.isfinite(following)
        radius = following
        if not (growing & ~given_up[:, None]).any():
            break
    return radius * (1.0 + _INFLATED) + _ROUNDING


def _contracts(matrix: FloatArray) -> BoolArray:
    """Return which nonnegative matrices have a spectral radius below one, shape (B,)."""
    finite: BoolArray = np.asarray(np.isfinite(matrix).all(axis=(1, 2)))
    y = np.ones((*matrix.shape[:2], 1))
    checked = np.where(finite[:, None, None], matrix, 0.0)
    for _ in range(20):
        y = 1.0 + checked @ y
        y /= y.max(axis=1, keepdims=True)
    ratio: FloatArray = (checked @ y / y).max(axis=(1, 2), initial=0.0)
    return np.asarray(finite & (ratio < _CONTRACTS))
