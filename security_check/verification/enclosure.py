"""Rigorous enclosures of voltages and gradients over whole boxes of powers.

The power flow at the ports (see :mod:`security_check.power_flow.implicit_zbus`) is

    v = w v0 + Z i,        i = conj(s) / conj(v)

Let the powers of customers and the interface voltage lie in a box, with ``s`` at most ``delta``
from the powers ``s_c`` of its centre, and let ``v_c`` be the solution there.  If a radius r obeys

    |w| h0 + |Z| (delta + |s_c| r / |v_c|) / (|v_c| - r)  <=  r  <  |v_c|               (1)

then the right-hand side of the power flow maps the discs ``|v - v_c| <= r`` into themselves for
every point of the box, so a solution lies in them (Brouwer); it is the only one there where
``T = |Z| diag(max |s| / (|v_c| - r)^2)`` has a spectral radius below one (Banach; the condition
of Wang, Bernstein, Le Boudec and Paolone 2018, "Explicit conditions on existence and uniqueness
of load-flow solutions in distribution networks", taken over a box), and it is smooth in the
powers.  The gradient of ``Re(G' i)`` has the multiplier ``mu = G - Z' conj(D mu)`` with
``D = conj(s)/conj(v)^2``.  Its distance from the multiplier of the centre obeys

    |mu - mu_c|  <=  |Z|' ( max|D - D_c| |mu_c| + max|D| |mu - mu_c| )                 (2)

so any y with ``y >= |Z|' (max|D - D_c| |mu_c| + max|D| y)`` bounds it, ``|Z|' max|D|`` being a
contraction.  Every bound is a supersolution that is verified.

Networks need not be radial or balanced: Z and w include shunts, transformer ratios, meshes and
several conductors.  Rounding errors are covered by much larger margins, not by directed rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.network import Network

# Steps that are not enough cost sharpness, never rigour: every bound is verified afterwards.
_ITERATIONS = 60  # of each fixed point at most
_SETTLED = 1e-13  # per unit: a voltage that changes by less has converged
_ROUNDING = 1e-12  # per unit: far above the rounding errors of sums of a thousand terms
_INFLATED = 1e-6  # part of a radius that is added, so that (1) holds strictly
_STILL = 1e-11  # per unit: a radius that grows by less has converged
_SHARPENED = 3  # applications of (2) to its own supersolution
_NO_DIRECTION = 1e-200  # per unit: a phasor this small is zero, far within rounding
_FILLED = 0.999  # largest factor of a contraction that counts as one


class PortModel:
    """The port model of a network, factorised once.

    Parameters
    ----------
    network
        n nodes, J ports, c connection points, m limited voltages, t terminals.

    Attributes
    ----------
    node_response, node_profile
        Shapes (n, J) and (n,): node voltages are ``node_response @ i + node_profile v0``.
    impedance, profile
        Shapes (J, J) and (J,): voltages across the ports are ``impedance @ i + profile v0``.
    response, fixed
        Shapes (Q, J) and (Q,), Q = m + t + 1: the monitored phasors are
        ``response @ i + fixed v0``: limited voltages, currents at terminals, and the interface's
        current (times v0, its real part is the power drawn from upstream).
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        held, nodes = network.interface.nodes, len(network.nodes)
        # All held magnitudes are the same here: the voltage v0.
        together: ComplexArray = network.interface.phasors.sum(axis=1)
        inside = np.delete(np.arange(nodes), held)
        incidence = network.ports.incidence
        factor = spla.splu(sp.csc_array(network.admittance[inside][:, inside]))
        source = network.admittance[inside][:, held] @ together
        reach = np.zeros((nodes, incidence.shape[1]), dtype=np.complex128)
        reach[inside] = factor.solve(incidence[inside].toarray().astype(np.complex128))
        no_load = np.zeros(nodes, dtype=np.complex128)
        no_load[held] = together
        no_load[inside] = -factor.solve(np.asarray(source, dtype=np.complex128))
        self.node_response: ComplexArray = reach
        self.node_profile: ComplexArray = no_load
        self.impedance: ComplexArray = np.ascontiguousarray(incidence.T @ reach)
        self.profile: ComplexArray = np.asarray(incidence.T @ no_load)
        drawing = sp.csr_array(together.conj()[None, :])
        drawn = drawing @ network.admittance[held]
        observed = sp.vstack([network.voltages.incidence, network.terminals.admittance, drawn])
        self.response: ComplexArray = np.asarray(observed @ reach)
        self.response[-1] -= (drawing @ incidence[held]).toarray()[0]
        self.fixed: ComplexArray = np.asarray(observed @ no_load)
        self.size = np.abs(self.impedance)
        self.response_size = np.abs(self.response)


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Voltages over B boxes; every array of shape (J, B) unless stated.

    Parameters
    ----------
    middle, half
        Shape (c + 1, B): centre and half width of every variable, the interface voltage last.
    passive_power_pu
        Shape (J,), complex power of elements that do not trade.
    voltage, radius
        Every voltage lies within ``radius`` of ``voltage``, the solution at the centre.
    current, current_radius
        Every injected current lies within ``current_radius`` of ``current``.
    weight, weight_radius
        ``D = conj(s)/conj(v)^2`` at the centre, and a bound of its distance from there.
    inverse_radius
        A bound of the distance of ``1/v`` from its centre.
    perron, contraction
        A positive y, and the q < 1, shape (B,), with ``|Z|' max|D| y <= q y``.
    closed
        Shape (B,): whether the enclosure is proved; where not, no other value is valid.
    """

    middle: FloatArray
    half: FloatArray
    passive_power_pu: ComplexArray
    voltage: ComplexArray
    radius: FloatArray
    current: ComplexArray
    current_radius: FloatArray
    weight: ComplexArray
    weight_radius: FloatArray
    inverse_radius: FloatArray
    perron: FloatArray
    contraction: FloatArray
    closed: BoolArray


@dataclass(frozen=True, slots=True)
class Gradients:
    """Enclosed gradients of ``Re(conj(direction) x)`` of r phasors x, each over its own box.

    Parameters
    ----------
    centre, radius
        Shape (r, c + 1): the derivative by each variable lies within ``radius`` of ``centre``
        everywhere in the box.
    """

    centre: FloatArray
    radius: FloatArray

    @property
    def largest(self) -> FloatArray:
        """Return the largest size of each derivative, shape (r, c + 1)."""
        largest: FloatArray = np.abs(self.centre) + self.radius
        return largest


def enclose(
    model: PortModel, passive_power_pu: ComplexArray, low: FloatArray, high: FloatArray
) -> Enclosure:
    """Enclose the voltages of every point of B boxes.

    Parameters
    ----------
    passive_power_pu
        Shape (J,), complex power of elements that do not trade.
    low, high
        Shape (c + 1, B): active power of every connection point, per unit, injection positive,
        and the interface voltage last.
    """
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    power = model.network.point_ports @ middle[:-1] + passive_power_pu[:, None]
    spread = model.network.ports_size @ half[:-1]
    with np.errstate(all="ignore"):  # a box that does not close gives nan, and `closed` says so
        voltage, residual = _centre(model, power, middle[-1])
        size = np.abs(voltage)
        strength = np.abs(power)
        moved = np.abs(model.profile)[:, None] * half[-1] + residual + _ROUNDING

        def mapped(radius: FloatArray) -> FloatArray:
            change = (spread + strength * radius / size) / (size - radius)
            image: FloatArray = np.where(radius < size, moved + model.size @ change, np.inf)
            return image

        radius = _smallest_radius(mapped, np.zeros_like(size))
        closed = (mapped(radius) <= radius).all(axis=0) & (radius < size).all(axis=0)
        lowest = size - radius
        current_radius = (spread + strength * radius / size) / lowest
        current = power.conj() / voltage.conj()
        inverse_square = 1.0 / lowest**2
        weight_radius = spread * inverse_square + strength * (inverse_square - 1.0 / size**2)
        perron, contraction = _contraction(model.size.T, (strength + spread) * inverse_square)
        closed &= contraction < _FILLED
        return Enclosure(
            middle=middle,
            half=half,
            passive_power_pu=passive_power_pu,
            voltage=voltage,
            radius=radius,
            current=current,
            current_radius=current_radius,
            weight=current / voltage.conj(),
            weight_radius=weight_radius,
            inverse_radius=radius / (size * lowest),
            perron=perron,
            contraction=contraction,
            closed=closed,
        )


def _centre(
    model: PortModel, power: ComplexArray, interface_voltage: FloatArray
) -> tuple[ComplexArray, FloatArray]:
    """Return the voltages at the centres and the residuals of the power flow there."""
    profile = model.profile[:, None] * interface_voltage
    voltage, conjugate = profile, power.conj()
    for _ in range(_ITERATIONS):
        following = profile + model.impedance @ (conjugate / voltage.conj())
        change = np.abs(following - voltage)
        voltage = following
        if change.max(initial=0.0) <= _SETTLED:
            break
    left = profile + model.impedance @ (conjugate / voltage.conj()) - voltage
    return voltage, np.abs(left)


def _smallest_radius(mapped: Callable[[FloatArray], FloatArray], radius: FloatArray) -> FloatArray:
    """Return the least fixed point of (1), a little inflated; it may diverge."""
    for _ in range(_ITERATIONS):
        following = mapped(radius)
        grown = np.where(np.isfinite(following), following - radius, 0.0).max(initial=0.0)
        radius = following
        if grown <= _STILL:
            break
    return radius * (1.0 + _INFLATED) + _ROUNDING


def _contraction(size: FloatArray, largest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return y > 0 and q with ``size diag(largest) y <= q y``, for each column of ``largest``."""
    ones = np.ones_like(largest)
    y = ones
    for _ in range(_SHARPENED):
        y = ones + size @ (largest * y)
    q: FloatArray = (size @ (largest * y) / y).max(axis=0, initial=0.0)
    return y, np.where(np.isfinite(q), q, np.inf)


def phasors(
    model: PortModel, enclosure: Enclosure, phasor: IndexArray, box: IndexArray
) -> tuple[ComplexArray, FloatArray]:
    """Return discs that hold r monitored phasors over their boxes: centres and radii, shape (r,).

    Parameters
    ----------
    phasor, box
        Shape (r,), indices of the phasor and of the box.
    """
    values: ComplexArray = np.einsum("rj,jr->r", model.response[phasor], enclosure.current[:, box])
    values += model.fixed[phasor] * enclosure.middle[-1, box]
    radius: FloatArray = np.einsum(
        "rj,jr->r", model.response_size[phasor], enclosure.current_radius[:, box]
    )
    radius += np.abs(model.fixed[phasor]) * enclosure.half[-1, box] + _ROUNDING
    return values, radius


def directions(phasor: ComplexArray) -> ComplexArray:
    """Return phasors of length one in the direction of others; 1 for those that are zero.

    A direction of length zero would make every derivative along it vanish.
    """
    size = np.abs(phasor)
    known = size > _NO_DIRECTION
    found: ComplexArray = np.where(known, phasor / np.where(known, size, 1.0), 1.0)
    return found


def gradients(
    model: PortModel,
    enclosure: Enclosure,
    phasor: IndexArray,
    box: IndexArray,
    direction: ComplexArray,
) -> Gradients:
    """Enclose the gradients of ``Re(conj(direction) x)`` over closed boxes.

    Parameters
    ----------
    phasor, box
        Shape (r,), indices of the phasor and of the box.
    direction
        Shape (r,), of length one.
    """
    weight, weight_radius = enclosure.weight[:, box], enclosure.weight_radius[:, box]
    largest = np.abs(weight) + weight_radius
    size = np.abs(enclosure.voltage[:, box])
    turned = direction.conj()
    gradient = np.ascontiguousarray((turned[:, None] * model.response[phasor]).T)
    multiplier, residual = _multiplier(model, gradient, weight)
    strength = np.abs(multiplier)
    source = model.size.T @ (weight_radius * strength) + residual
    perron, q = enclosure.perron[:, box], enclosure.contraction[box]
    # A supersolution of (2) stays one when (2) is applied to it, and gets sharper.
    error = perron * ((source / perron).max(axis=0, initial=0.0) / (1.0 - q))
    for _ in range(_SHARPENED):
        error = source + model.size.T @ (largest * error)
    inverse_radius = enclosure.inverse_radius[:, box]
    by_port = multiplier / enclosure.voltage[:, box].conj()
    by_power = np.asarray(model.network.ports_point @ by_port).real
    by_port_radius = error * (1.0 / size + inverse_radius) + strength * inverse_radius
    by_power_radius = np.asarray(model.network.ports_size.T @ by_port_radius)
    profile = model.profile[:, None]
    by_voltage = (turned * model.fixed[phasor]).real
    by_voltage = by_voltage - (multiplier * weight * profile.conj()).real.sum(axis=0)
    by_voltage_radius = (np.abs(profile) * (strength * weight_radius + error * largest)).sum(axis=0)
    centre = np.vstack([by_power, by_voltage]).T
    radius = np.vstack([by_power_radius, by_voltage_radius]).T
    return Gradients(centre, radius + _ROUNDING * (1.0 + np.abs(centre)))


def _multiplier(
    model: PortModel, gradient: ComplexArray, weight: ComplexArray
) -> tuple[ComplexArray, FloatArray]:
    """Return multipliers at the centres, and the residuals of their equations."""
    transposed = model.impedance.T
    conjugate = weight.conj()
    multiplier = gradient
    scale = np.abs(gradient).max(initial=0.0)
    for _ in range(_ITERATIONS):
        following = gradient - transposed @ (conjugate * multiplier.conj())
        change = np.abs(following - multiplier).max(initial=0.0)
        multiplier = following
        if change <= 1e-9 * scale:
            break
    left = gradient - transposed @ (conjugate * multiplier.conj()) - multiplier
    return multiplier, np.abs(left)
