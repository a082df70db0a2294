"""Batch AC power flow by fixed point, and its exact gradients by the adjoint.

With the interface voltage ``v0`` given, the nodes that carry power (index J) obey

    v_J = w_J v0 + Z_JJ i_J,        i_J = conj(s_J) / conj(v_J)

where ``Z = inv(Y_LL)`` and ``w = -Z Y_L0`` is the no-load profile.  Every other quantity is
linear in ``i_J``, so the iteration runs on J only, on a whole batch of operating points (columns)
at once (security.md section 2; the "implicit Z-bus" method of the literature).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from security_check.errors import PowerFlowError
from security_check.network import ComplexArray, FloatArray, IndexArray, Network

TOLERANCE_PU = 1e-10
MAX_ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """A batch of solved operating points; B of them.

    Parameters
    ----------
    power_pu
        Shape (J, B), complex injections at the nodes that carry power.
    interface_voltage_pu
        Shape (B,), magnitude; its angle is zero.
    voltage
        Shape (J, B), complex node voltages.
    current
        Shape (J, B), complex injected currents.
    """

    power_pu: ComplexArray
    interface_voltage_pu: FloatArray
    voltage: ComplexArray
    current: ComplexArray

    def take(self, columns: IndexArray) -> Self:
        """Return the points named by ``columns``, in that order; a column may repeat."""
        return type(self)(
            self.power_pu[:, columns],
            self.interface_voltage_pu[columns],
            self.voltage[:, columns],
            self.current[:, columns],
        )

    def joined(self, other: Self) -> Self:
        """Return these points and others."""
        return type(self)(
            np.concatenate([self.power_pu, other.power_pu], axis=1),
            np.concatenate([self.interface_voltage_pu, other.interface_voltage_pu]),
            np.concatenate([self.voltage, other.voltage], axis=1),
            np.concatenate([self.current, other.current], axis=1),
        )


class PowerFlow:
    """The power flow of one network, factorised once.

    Parameters
    ----------
    network
        The network; n nodes, c connection points.

    Attributes
    ----------
    nodes
        Shape (J,), the nodes that carry power, as indices into the network's nodes.
    impedance
        Shape (n, J): node voltages are ``no_load * v0 + impedance @ i_J``.  The interface's
        row is zero.
    no_load
        Shape (n,), the voltage profile without any power, per unit of ``v0``.
    point_node
        Shape (c,), position of each connection point's node in ``nodes``; -1 at the interface,
        where power has no effect on the network inside.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        n, interface = len(network.nodes), network.interface_node
        inside = np.delete(np.arange(n), interface)
        carries = np.zeros(n, dtype=bool)
        carries[network.connection_nodes] = True
        carries[network.passive_injection_pu != 0] = True
        carries[interface] = False
        self.nodes: IndexArray = np.flatnonzero(carries)
        position = np.full(n, -1)
        position[self.nodes] = np.arange(len(self.nodes))
        self.point_node: IndexArray = position[network.connection_nodes]
        factor = spla.splu(sp.csc_array(network.admittance[inside][:, inside]))
        column = network.admittance[inside][:, [interface]].toarray()
        unit = np.zeros((n, len(self.nodes)), dtype=np.complex128)
        unit[self.nodes, np.arange(len(self.nodes))] = 1.0
        self.impedance: ComplexArray = np.zeros((n, len(self.nodes)), dtype=np.complex128)
        self.impedance[inside] = factor.solve(unit[inside])
        self.no_load: ComplexArray = np.ones(n, dtype=np.complex128)
        self.no_load[inside] = -factor.solve(column.astype(np.complex128))[:, 0]
        self._zjj = np.ascontiguousarray(self.impedance[self.nodes])
        self._zjj_transposed = np.ascontiguousarray(self._zjj.T)
        self._wj = self.no_load[self.nodes]
        self._passive = network.passive_injection_pu[self.nodes]
        self._incidence = self._point_incidence()

    def _point_incidence(self) -> sp.csr_array:
        """Return the (J, c) map from active powers of connection points to node powers."""
        points = np.flatnonzero(self.point_node >= 0)
        values = 1.0 + 1j * self.network.reactive_ratio[points]
        shape = (len(self.nodes), len(self.network.connection_points))
        return sp.csr_array((values, (self.point_node[points], points)), shape=shape)

    def node_powers(self, power_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) node powers for (c, B) active powers of connection points."""
        powers: ComplexArray = self._incidence @ power_pu + self._passive[:, None]
        return powers

    def no_load_voltage(self, interface_voltage_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) voltages without any power, for (B,) interface voltages."""
        voltage: ComplexArray = self._wj[:, None] * interface_voltage_pu
        return voltage

    def solve(
        self,
        power_pu: FloatArray,
        interface_voltage_pu: FloatArray,
        start: ComplexArray | None = None,
        tolerance_pu: float = TOLERANCE_PU,
    ) -> OperatingPoints:
        """Solve a batch of power flows.

        Parameters
        ----------
        power_pu
            Shape (c, B), active power of each connection point, injection positive.
        interface_voltage_pu
            Shape (B,).
        start
            Shape (J, B), voltages to start from; the no-load profile where not given.
        tolerance_pu
            Largest change of a voltage in the last iteration.

        Raises
        ------
        PowerFlowError
            When a column does not converge; names how many and the worst node.
        """
        powers = self.node_powers(power_pu)
        conjugate = powers.conj()
        profile = self.no_load_voltage(interface_voltage_pu)
        voltage = profile if start is None else start
        change = np.inf
        for _ in range(MAX_ITERATIONS):
            current = conjugate / voltage.conj()
            following = self._zjj @ current
            following += profile
            change = float(np.abs(following - voltage).max(initial=0.0))
            voltage = following
            if change <= tolerance_pu or not change < 1e3:
                break
        if not change <= tolerance_pu:
            raise self._not_converged(voltage, conjugate, profile)
        return OperatingPoints(powers, interface_voltage_pu, voltage, conjugate / voltage.conj())

    def _not_converged(
        self, voltage: ComplexArray, conjugate: ComplexArray, profile: ComplexArray
    ) -> PowerFlowError:
        with np.errstate(all="ignore"):
            step = np.abs(self._zjj @ (conjugate / voltage.conj()) + profile - voltage)
        step = np.where(np.isfinite(step), step, np.inf)
        node, _ = np.unravel_index(int(step.argmax()), step.shape)
        failed = int((step.max(axis=0) > TOLERANCE_PU).sum())
        return PowerFlowError(
            f"{failed} of {voltage.shape[1]} power flows did not converge in {MAX_ITERATIONS} "
            f"iterations; worst at {self.network.nodes[self.nodes[node]]}"
        )

    def adjoint(
        self, gradient: ComplexArray, points: OperatingPoints, tolerance: float = 1e-9
    ) -> ComplexArray:
        """Return the multipliers of the power flow equations for functions of ``i_J``.

        For a function with differential ``df = Re(gradient' di)``, ``di`` being the change of
        the currents ``i_J``, the multiplier mu gives ``df = Re(mu' (conj(ds)/conj(v) - D conj(w_J)
        dv0))`` with ``D = conj(s)/conj(v)^2``.  It solves ``mu = gradient - Z_JJ' conj(D mu)``,
        a contraction wherever the power flow itself is one.

        Parameters
        ----------
        gradient
            Shape (J, B), one function per operating point.
        points
            The B operating points.
        tolerance
            Largest change in the last iteration, relative to the largest entry.

        Raises
        ------
        PowerFlowError
            When the iteration does not converge.
        """
        weight = (points.current / points.voltage.conj()).conj()
        multiplier = gradient
        scale = float(np.abs(gradient).max(initial=0.0)) or 1.0
        for _ in range(MAX_ITERATIONS):
            following = gradient - self._zjj_transposed @ (weight * multiplier.conj())
            change = float(np.abs(following - multiplier).max(initial=0.0))
            multiplier = following
            if change <= tolerance * scale:
                return multiplier
        raise PowerFlowError(
            f"the gradient of {gradient.shape[1]} functions did not converge in "
            f"{MAX_ITERATIONS} iterations: the network is close to voltage collapse"
        )

    def sensitivities(
        self, multiplier: ComplexArray, points: OperatingPoints
    ) -> tuple[FloatArray, FloatArray]:
        """Return the change of each function per unit of active power and of ``v0``.

        Parameters
        ----------
        multiplier
            Shape (J, B), from :meth:`adjoint`.

        Returns
        -------
        by_power
            Shape (B, c).
        by_interface_voltage
            Shape (B,): the part that acts through ``i_J``.
        """
        ratio = self.network.reactive_ratio
        per_node = multiplier / points.voltage.conj()
        inside = self.point_node >= 0
        by_power = np.zeros((multiplier.shape[1], len(ratio)))
        chosen = per_node[self.point_node[inside]]
        by_power[:, inside] = (chosen.real + ratio[inside, None] * chosen.imag).T
        weight = points.current / points.voltage.conj()
        by_voltage = -(multiplier * weight * self._wj.conj()[:, None]).real.sum(axis=0)
        return by_power, by_voltage

    def node_voltages(self, points: OperatingPoints) -> ComplexArray:
        """Return the complex voltages of all nodes, shape (n, B), per unit."""
        voltages: ComplexArray = self.impedance @ points.current
        voltages += self.no_load[:, None] * points.interface_voltage_pu[None, :]
        return voltages
