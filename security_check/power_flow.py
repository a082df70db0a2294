"""Batch AC power flow by fixed point, and its exact gradients by the adjoint.

With the interface voltage ``v0`` given, the ports at which power enters (index J) obey

    v_J = w_J v0 + Z_JJ i_J,        i_J = conj(s_J) / conj(v_J)

where ``Z = inv(Y_LL)``, seen from the ports, and ``w = -Z Y_L0`` is the no-load profile.  Every
other quantity is linear in ``i_J``, so the iteration runs on J only, on a whole batch of operating
points (columns) at once (the "implicit Z-bus" method of the literature).
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
        Shape (J, B), complex powers injected at the ports.
    interface_voltage_pu
        Shape (B,), magnitude; its angle is zero.
    voltage
        Shape (J, B), complex voltages across the ports.
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
    impedance
        Shape (n, J): node voltages are ``no_load * v0 + impedance @ i_J``.  The interface's
        rows are zero.
    no_load
        Shape (n,), the voltages without any power, per unit of ``v0``.
    point_ports
        Shape (J, c), complex: port powers are ``point_ports @ p``, p being the active powers of
        the connection points.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        n = len(network.nodes)
        held = network.interface.nodes
        inside = np.delete(np.arange(n), held)
        incidence = network.ports.incidence
        factor = spla.splu(sp.csc_array(network.admittance[inside][:, inside]))
        source = network.admittance[inside][:, held] @ network.interface.phasors
        self.impedance: ComplexArray = np.zeros((n, incidence.shape[1]), dtype=np.complex128)
        self.impedance[inside] = factor.solve(incidence[inside].toarray().astype(np.complex128))
        self.no_load: ComplexArray = np.zeros(n, dtype=np.complex128)
        self.no_load[held] = network.interface.phasors
        self.no_load[inside] = -factor.solve(np.asarray(source, dtype=np.complex128))
        across = incidence.T
        self._zjj = np.ascontiguousarray(across @ self.impedance)
        self._zjj_transposed = np.ascontiguousarray(self._zjj.T)
        self._wj: ComplexArray = np.asarray(across @ self.no_load)
        self.point_ports = sp.csr_array(
            network.port_shares * (1.0 + 1j * network.reactive_ratio)[None, :]
        )
        self._ports_point = sp.csr_array(self.point_ports.conj().T)

    def port_powers(self, power_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) port powers for (c, B) active powers of connection points."""
        powers: ComplexArray = self.point_ports @ power_pu
        powers += self.network.ports.passive_power_pu[:, None]
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
        powers = self.port_powers(power_pu)
        conjugate = powers.conj()
        profile = self.no_load_voltage(interface_voltage_pu)
        voltage = profile if start is None else start
        change = np.inf
        with np.errstate(all="ignore"):  # what is no number is told below, once
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
        port, _ = np.unravel_index(int(step.argmax()), step.shape)
        failed = int((step.max(axis=0) > TOLERANCE_PU).sum())
        return PowerFlowError(
            f"{failed} of {voltage.shape[1]} power flows did not converge in {MAX_ITERATIONS} "
            f"iterations; worst at {self.network.ports.names[port]}"
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
        per_port = multiplier / points.voltage.conj()
        by_power = np.asarray(self._ports_point @ per_port).real.T
        weight = points.current / points.voltage.conj()
        by_voltage = -(multiplier * weight * self._wj.conj()[:, None]).real.sum(axis=0)
        return by_power, by_voltage

    def node_voltages(self, points: OperatingPoints) -> ComplexArray:
        """Return the complex voltages of all nodes, shape (n, B), per unit."""
        voltages: ComplexArray = self.impedance @ points.current
        voltages += self.no_load[:, None] * points.interface_voltage_pu[None, :]
        return voltages
