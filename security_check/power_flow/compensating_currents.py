"""Currents at further ports that stand for a change of impedances within their tolerance."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.model.network import Network
from security_check.model.network_elements import Compensation


class CompensatingCurrents:
    """The compensating ports of one network in its power flow; J ports in all, C of them.

    Parameters
    ----------
    compensation
        The ports, and their admittance.
    response
        Shape (J, J), the ports' voltages per unit of their currents.
    no_load
        Shape (J, h), the ports' voltages without currents.
    """

    def __init__(
        self, compensation: Compensation, response: ComplexArray, no_load: ComplexArray
    ) -> None:
        self.own = slice(compensation.first, None)
        self._admittance = compensation.admittance
        self._transposed = sp.csr_array(compensation.admittance.T)
        drawn = np.asarray(self._admittance @ response[self.own])
        self._by_power: ComplexArray = drawn[:, : compensation.first]
        self._by_own = np.abs(drawn[:, self.own])
        self._idle = np.abs(np.asarray(self._admittance @ no_load[self.own])).sum(axis=1)

    def drawn(self, voltage: ComplexArray) -> ComplexArray:
        """Return the currents per unit of kappa, shape (C, B), for (J, B) port voltages."""
        return np.asarray(self._admittance @ voltage[self.own])

    def returned(self, kappa: ComplexArray, multiplier: ComplexArray) -> ComplexArray:
        """Return the part of the adjoint through the compensating ports, shape (C, B)."""
        return np.asarray(self._transposed @ (kappa[self.own].real * multiplier[self.own]))

    def drawn_by(self, current: ComplexArray) -> ComplexArray:
        """Return the currents per unit of kappa that (J, B) currents of power cause, (C, B)."""
        drawn: ComplexArray = self._by_power @ current[: self.own.start]
        return drawn

    def bounded(self, largest: FloatArray, held_pu: float) -> FloatArray:
        """Return upper bounds of all currents, shape (J,).

        ``|i_C| <= kappa |Y (w m + Z_CJ i_J + Z_CC i_C)|``, solved for ``|i_C|`` by the Neumann
        series of the ports' effect on each other, where that is a contraction; else infinite.

        Parameters
        ----------
        largest
            Shape (J,), bounds of currents, and of kappa at the compensating ports.
        held_pu
            The highest held voltage.
        """
        kappa = largest[self.own]
        alone = kappa * (np.abs(self._by_power) @ largest[: self.own.start] + self._idle * held_pu)
        each_other = kappa[:, None] * self._by_own
        bounds = largest.copy()
        if np.abs(np.linalg.eigvals(each_other)).max(initial=0.0) >= 1.0:
            bounds[self.own] = np.inf
        else:
            bounds[self.own] = np.linalg.solve(np.eye(len(kappa)) - each_other, alone)
        return bounds


def ports_of_power(network: Network) -> IndexArray:
    """Return the ports at which power enters: all but the compensating ones."""
    compensation = network.ports.compensation
    count = len(network.ports.names) if compensation is None else compensation.first
    return np.arange(count)


def put_first(
    own: CompensatingCurrents,
    network: Network,
    nominal: ComplexArray,
    by_current: ComplexArray,
    by_port: ComplexArray,
) -> None:
    """Set the gradients by impedances at compensating ports, in place, as under load.

    Without load impedances have hardly any effect.  So this is the derivative by kappa with every
    customer exchanging one unit of power, in the direction that raises each quantity.

    Parameters
    ----------
    own, network
        The compensating ports, and their network; J ports.
    nominal
        Shape (J,), port voltages without load.
    by_current, by_port
        Shapes (J, R), gradients by the ports' currents, and by their powers; the latter changed.
    """
    asked = np.sign(np.asarray(network.ports_point @ by_port).real)
    current = np.asarray(network.point_ports @ asked).conj()
    powers = ports_of_power(network)
    current[powers] /= nominal.conj()[powers, None]
    by_port[own.own] = by_current[own.own] * own.drawn_by(current)
