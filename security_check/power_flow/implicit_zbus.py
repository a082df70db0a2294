"""Batch AC power flow by fixed point, and its exact gradients by the adjoint.

With the held voltages ``m`` given, the ports at which power enters (index J) obey

    v_J = w_J m + Z_JJ i_J,        i_J = conj(s_J) / conj(v_J)

where ``Z = inv(Y_LL)``, seen from the ports, and ``w = -Z Y_L0`` are the no-load profiles, one for
each held magnitude.  Every other quantity is linear in ``i_J`` and ``m``, so the iteration runs on
J only, on a whole batch of operating points (columns) at once (the "implicit Z-bus" method of the
literature).  Port powers come from :mod:`security_check.operating_range.conditions`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.model.inverter_response import InverterOutput
from security_check.model.network import Network
from security_check.power_flow.anderson import fixed_points
from security_check.power_flow.compensating_currents import CompensatingCurrents
from security_check.power_flow.near_collapse import solution_at, solved_with_conjugate
from security_check.power_flow.operating_points import OperatingPoints

TOLERANCE_PU = 1e-10
"""Largest change of a voltage, per unit, in the last iteration."""

MAX_ITERATIONS = 100
"""Iterations at most; a network that needs more is close to voltage collapse."""

_USUAL = 30  # iterations of a whole batch; the columns that need more go on by themselves
_DIVERGED = 1e3  # change, per unit or in parts of a gradient, of a column that does not contract
_ADJOINT = 1e-7  # largest change of a multiplier in the last iteration, in parts of the gradient


class PowerFlow:
    """The power flow of one network, factorised once.

    Parameters
    ----------
    network
        The network; n nodes, h held magnitudes.

    Attributes
    ----------
    impedance
        Shape (n, J): node voltages are ``no_load @ m + impedance @ i_J``.  The interface's
        rows are zero.
    no_load
        Shape (n, h), the voltages without any power, per unit of each held magnitude.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        n = len(network.nodes)
        held, phasors = network.interface.nodes, network.interface.phasors
        inside = np.delete(np.arange(n), held)
        incidence = network.ports.incidence
        factor = spla.splu(sp.csc_array(network.admittance[inside][:, inside]))
        source = network.admittance[inside][:, held] @ phasors
        self.impedance: ComplexArray = np.zeros((n, incidence.shape[1]), dtype=np.complex128)
        self.impedance[inside] = factor.solve(incidence[inside].toarray().astype(np.complex128))
        self.no_load: ComplexArray = np.zeros((n, phasors.shape[1]), dtype=np.complex128)
        self.no_load[held] = phasors
        self.no_load[inside] = -factor.solve(np.asarray(source, dtype=np.complex128))
        across = incidence.conj().T
        self._zjj = np.ascontiguousarray(across @ self.impedance)
        self._zjj_transposed = np.ascontiguousarray(self._zjj.T)
        self._wj: ComplexArray = np.asarray(across @ self.no_load)
        compensation = network.ports.compensation
        self.compensating = (
            None
            if compensation is None
            else CompensatingCurrents(compensation, self._zjj, self._wj)
        )

    @cached_property
    def port_distance(self) -> FloatArray:
        """The magnitudes of the impedances between ports, shape (J, J)."""
        distance: FloatArray = np.abs(self._zjj)
        return distance

    def no_load_voltage(self, source_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) voltages without any power, for (h, B) held magnitudes."""
        voltage: ComplexArray = self._wj @ source_pu
        return voltage

    def solve(
        self,
        power_pu: ComplexArray,
        source_pu: FloatArray,
        start: ComplexArray | None = None,
        tolerance_pu: float = TOLERANCE_PU,
    ) -> OperatingPoints:
        """Solve a batch of power flows.

        Parameters
        ----------
        power_pu
            Shape (J, B), complex power of each port, injection positive.
        source_pu
            Shape (h, B), magnitudes of the held voltages.
        start
            Shape (J, B), voltages to start from; the no-load profile where not given.
        tolerance_pu
            Largest change of a voltage in the last iteration.

        Raises
        ------
        PowerFlowError
            When a column does not converge; names how many and the worst node.
        """
        if self.network.inverters is not None:
            return self._solve_responding(power_pu, source_pu, start, tolerance_pu)
        conjugate = power_pu.conj()
        profile = self.no_load_voltage(source_pu)
        voltage = profile if start is None else start
        voltage, left = self._contracted(voltage, conjugate, profile, tolerance_pu, _USUAL)
        if len(left):
            voltage = self._near_collapse(voltage, conjugate, profile, tolerance_pu, left)
        return OperatingPoints(power_pu, source_pu, voltage, self._currents(conjugate, voltage))

    def _contracted(
        self,
        voltage: ComplexArray,
        conjugate: ComplexArray,
        profile: ComplexArray,
        tolerance_pu: float,
        iterations: int,
    ) -> tuple[ComplexArray, IndexArray]:
        """Iterate; return the voltages, and the columns that have not come to rest."""
        with np.errstate(all="ignore"):  # diverging columns are solved otherwise
            for _ in range(iterations):
                following = self._zjj @ self._currents(conjugate, voltage)
                following += profile
                change = np.abs(following - voltage).max(axis=0, initial=0.0)
                voltage = following
                still = ~(change <= tolerance_pu)
                if not (still & (change < _DIVERGED)).any():
                    break
        return voltage, np.flatnonzero(still)

    def _near_collapse(
        self,
        voltage: ComplexArray,
        conjugate: ComplexArray,
        profile: ComplexArray,
        tolerance_pu: float,
        left: IndexArray,
    ) -> ComplexArray:
        """Solve the columns that are left: by further iterations, then by Newton's method.

        Raises
        ------
        PowerFlowError
            When one has no solution.  Where impedances change Newton's method is not tried.
        """
        voltage = voltage.copy()
        begin = np.where(np.isfinite(voltage[:, left]), voltage[:, left], profile[:, left])
        voltage[:, left], still = self._contracted(
            begin, conjugate[:, left], profile[:, left], tolerance_pu, MAX_ITERATIONS
        )
        for column in left[still]:
            found = None
            if self.compensating is None:
                found = solution_at(
                    self._zjj, profile[:, column], conjugate[:, column], tolerance_pu
                )
            if found is None:
                raise self._not_converged(voltage, conjugate, profile)
            voltage[:, column] = found
        return voltage

    def _currents(self, conjugate: ComplexArray, voltage: ComplexArray) -> ComplexArray:
        """Return the currents of all ports, shape (J, B)."""
        if self.compensating is not None:
            return conjugate * self.per_power(voltage)  # kappa is real
        current: ComplexArray = conjugate / voltage.conj()
        return current

    def per_power(self, voltage: ComplexArray) -> ComplexArray:
        """Return the change of currents with each port's own input, shape (J, B).

        That is ``di / conj(ds)`` where power enters, and ``di / dkappa`` where impedances change.
        """
        if self.compensating is None:
            return 1.0 / voltage.conj()
        per_power = np.empty_like(voltage)
        ends = self.compensating.own.start
        per_power[:ends] = 1.0 / voltage[:ends].conj()
        per_power[ends:] = self.compensating.drawn(voltage)
        return per_power

    def _solve_responding(
        self,
        power_pu: ComplexArray,
        source_pu: FloatArray,
        start: ComplexArray | None,
        tolerance_pu: float,
    ) -> OperatingPoints:
        """Solve with inverters, whose response may be too strong for the plain iteration."""
        profile = self.no_load_voltage(source_pu)

        def step(voltage: ComplexArray, columns: IndexArray) -> ComplexArray:
            injected, _ = self._injected(power_pu[:, columns], voltage)
            following: ComplexArray = self._zjj @ (injected.conj() / voltage.conj())
            following += profile[:, columns]
            return following

        with np.errstate(all="ignore"):  # a diverging column is reported below
            begin = profile if start is None else start
            voltage, failed = fixed_points(step, begin, tolerance_pu, MAX_ITERATIONS)
        injected, _ = self._injected(power_pu, voltage)
        if len(failed):
            raise self._not_converged(voltage, injected.conj(), profile)
        return OperatingPoints(power_pu, source_pu, voltage, injected.conj() / voltage.conj())

    def _injected(
        self, power_pu: ComplexArray, voltage: ComplexArray
    ) -> tuple[ComplexArray, InverterOutput | None]:
        """Return the powers injected for the powers requested, and the inverters' output."""
        inverters = self.network.inverters
        if inverters is None:
            return power_pu, None
        answer = inverters.answer(power_pu[inverters.ports], np.abs(voltage[inverters.ports]))
        injected = power_pu.copy()
        injected[inverters.ports] = answer.power
        return injected, answer

    def _not_converged(
        self, voltage: ComplexArray, conjugate: ComplexArray, profile: ComplexArray
    ) -> PowerFlowError:
        with np.errstate(all="ignore"):
            step = np.abs(self._zjj @ self._currents(conjugate, voltage) + profile - voltage)
        step = np.where(np.isfinite(step), step, np.inf)
        port, _ = np.unravel_index(int(step.argmax()), step.shape)
        failed = int((step.max(axis=0) > TOLERANCE_PU).sum())
        return PowerFlowError(
            f"{failed} of {voltage.shape[1]} power flows did not converge in {MAX_ITERATIONS} "
            f"iterations; worst at {self.network.ports.names[port]}"
        )

    def _adjoint(
        self, gradient: ComplexArray, points: OperatingPoints, tolerance: float = _ADJOINT
    ) -> ComplexArray:
        """Solve ``mu = gradient - Z_JJ' conj(D mu)``, D = conj(s)/conj(v)^2, shape (J, B).

        A contraction wherever the power flow itself is one; elsewhere solved directly.
        """
        weight = self._weight(points).conj()
        multiplier = gradient
        scale = float(np.abs(gradient).max(initial=0.0)) or 1.0
        for _ in range(MAX_ITERATIONS):
            back = weight * multiplier.conj()
            if self.compensating is not None:
                own = self.compensating.own
                back[own] = -self.compensating.returned(points.power_pu, multiplier)
            following = gradient - self._zjj_transposed @ back
            change = np.abs(following - multiplier).max(axis=0, initial=0.0)
            multiplier = following
            if change.max(initial=0.0) <= tolerance * scale:
                return multiplier
            if not (change < _DIVERGED * scale).all():
                break
        if self.compensating is not None:
            raise self._no_gradient(gradient.shape[1])
        multiplier = multiplier.copy()
        for column in np.flatnonzero(~(change <= tolerance * scale)):
            multiplier[:, column] = solved_with_conjugate(
                self._zjj_transposed * weight[:, column], gradient[:, column]
            )
        return multiplier

    @staticmethod
    def _no_gradient(count: int) -> PowerFlowError:
        return PowerFlowError(
            f"the gradient of {count} functions did not converge in "
            f"{MAX_ITERATIONS} iterations: the network is close to voltage collapse"
        )

    def gradients(
        self, by_current: ComplexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]:
        """Return gradients of functions of the currents by the ports' powers and the source.

        Parameters
        ----------
        by_current
            Shape (J, B), one function per operating point, ``df = Re(by_current' di_J)``.
        points
            The B operating points.

        Returns
        -------
        by_port_power
            Shape (J, B), complex: its real part is the change per unit of active power of each
            port, its imaginary part that per unit of reactive power.
        by_source
            Shape (h, B), per unit of each held magnitude: the part that acts through ``i_J``.

        Raises
        ------
        PowerFlowError
            When the iteration does not converge.

        Notes
        -----
        The multiplier mu of the power flow equations gives ``df = Re(mu' (conj(ds)/conj(v) -
        D conj(w_J) dm))``.
        """
        if self.network.inverters is not None:
            return self._responding_gradients(by_current, points)
        multiplier = self._adjoint(by_current, points)
        by_port_power = multiplier * self.per_power(points.voltage)
        weight = self._weight(points)
        by_source: FloatArray = -(self._wj.conj().T @ (multiplier * weight)).real
        if self.compensating is not None:
            returned = self.compensating.returned(points.power_pu, multiplier)
            by_source += (self._wj[self.compensating.own].T @ returned).real
        return by_port_power, by_source

    def _responding_gradients(
        self, by_current: ComplexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]:
        """Return :meth:`gradients` with inverters.

        Their power changes by ``s' d|v|``, and ``d|v| = Re(e dv)`` with ``e = conj(v) / |v|``.  So
        ``di = r - D conj(dv) + h Re(e dv)`` with ``h = conj(s') / conj(v)``, and the multiplier
        obeys ``mu = gradient + Z_JJ' y`` with ``y = -conj(D mu) + e Re(h mu)``.
        """
        inverters = self.network.inverters
        _, answer = self._injected(points.power_pu, points.voltage)
        assert inverters is not None  # checked by the caller
        assert answer is not None
        conjugate = points.voltage.conj()
        weight = points.current / conjugate
        at = inverters.ports
        toward = conjugate[at] / np.abs(points.voltage[at])
        response = answer.by_voltage.conj() / conjugate[at]

        def through_voltage(multiplier: ComplexArray, columns: IndexArray) -> ComplexArray:
            acting: ComplexArray = -(weight[:, columns] * multiplier).conj()
            acting[at] += toward[:, columns] * (response[:, columns] * multiplier[at]).real
            return acting

        def step(multiplier: ComplexArray, columns: IndexArray) -> ComplexArray:
            acting = through_voltage(multiplier, columns)
            following: ComplexArray = by_current[:, columns] + self._zjj_transposed @ acting
            return following

        scale = float(np.abs(by_current).max(initial=0.0)) or 1.0
        # A residual weighs more here than where the plain iteration contracts.
        tolerance = 1e-2 * _ADJOINT * scale
        multiplier, failed = fixed_points(step, by_current, tolerance, MAX_ITERATIONS)
        if len(failed):
            raise self._no_gradient(len(failed))
        acting = through_voltage(multiplier, np.arange(multiplier.shape[1]))
        by_port_power = multiplier / conjugate
        by_port_power.real[at] *= answer.passes
        by_source: FloatArray = (self._wj.T @ acting).real
        return by_port_power, by_source

    def _weight(self, points: OperatingPoints) -> ComplexArray:
        """Return D where power enters, and 0 where impedances change, shape (J, B)."""
        if self.compensating is None:
            weight: ComplexArray = points.current / points.voltage.conj()
            return weight
        ends = self.compensating.own.start
        part = np.zeros_like(points.current)
        part[:ends] = points.current[:ends] / points.voltage[:ends].conj()
        return part

    def node_voltages(self, points: OperatingPoints) -> ComplexArray:
        """Return the complex voltages of all nodes, shape (n, B), per unit."""
        voltages: ComplexArray = self.impedance @ points.current
        voltages += self.no_load @ points.source_pu
        return voltages
