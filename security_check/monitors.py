"""What is monitored: voltages, branch currents and the interface's power, each as ``f <= limit``.

Every monitored quantity is a function of one phasor ``x = M i_J + m0 v0`` (a node voltage or a
branch current), so values and gradients of thousands of them are a few matrix products.

==========================  =======================  =========================
kind                        f                        limit
==========================  =======================  =========================
``VOLTAGE_MAX``             ``|v|``                  highest voltage, per unit
``VOLTAGE_MIN``             ``-|v|``                 minus the lowest voltage
``CURRENT_EXPORT``          ``|i|`` outwards         rating, per unit
``CURRENT_IMPORT``          ``|i|`` inwards          rating, per unit
``INTERFACE_INJECTION``     power to the upstream    the TSO's injection limit
``INTERFACE_WITHDRAWAL``    power from the upstream  the TSO's withdrawal limit
==========================  =======================  =========================

A current has two rows because its magnitude has two local maxima over a box of envelopes: one
where the customers behind it inject, one where they withdraw.  A row counts a current that flows
the other way as negative; one of the two always sees ``+|i|``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from security_check.limits import InterfaceLimits, VoltageLimits
from security_check.network import ComplexArray, FloatArray, IndexArray
from security_check.power_flow import OperatingPoints, PowerFlow


class Kind(IntEnum):
    """The kinds of rows; see the module's table."""

    VOLTAGE_MAX = 0
    VOLTAGE_MIN = 1
    CURRENT_EXPORT = 2
    CURRENT_IMPORT = 3
    INTERFACE_INJECTION = 4
    INTERFACE_WITHDRAWAL = 5


BoolArray = npt.NDArray[np.bool_]

# The sign with which the phasor's magnitude (or power) enters f.
_SIGN = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])

INTERFACE = "interface"

_SMALLEST_VOLTAGE_WAY = 0.01  # per unit; a limit at nominal voltage itself has no way to it
_IDLE = 0.05  # a branch loaded to less than this part of its rating counts as idle


@dataclass(frozen=True, slots=True)
class RowLimits:
    """Limits of all rows for one interval.

    Parameters
    ----------
    limit
        Shape (R,), per unit; ``inf`` where the contract sets none.
    scale
        Shape (R,), what violations and headroom are measured against: the limit, or for
        voltages the way from nominal (1 p.u.) to the limit.
    band
        The contracted voltage band at the interface, per unit.
    voltage_min_pu
        The lowest voltage any node may have: what currents are bounded with.
    """

    limit: FloatArray
    scale: FloatArray
    band: tuple[float, float]
    voltage_min_pu: float


class Monitors:
    """The monitored quantities of one network; R rows over Q phasors.

    Attributes
    ----------
    kind, phasor
        Shape (R,), kind and phasor of each row.
    response, fixed
        Shapes (Q, J) and (Q,): phasors are ``response @ i_J + fixed * v0``.
    elements
        Shape (R,), for example ``"bus:4"``, ``"line:12"``, ``"interface"``.
    """

    def __init__(self, power_flow: PowerFlow) -> None:
        self.power_flow = power_flow
        network = power_flow.network
        voltages, terminals, source = network.voltages, network.terminals, network.interface
        held = sp.csr_array(source.phasors.conj()[None, :])
        drawn = held @ network.admittance[source.nodes]
        entering = held @ network.ports.incidence[source.nodes]
        observed = sp.vstack([voltages.incidence, terminals.admittance, drawn])
        self.response: ComplexArray = np.asarray(observed @ power_flow.impedance)
        self.response[-1] -= entering.toarray()[0]
        self.fixed: ComplexArray = np.asarray(observed @ power_flow.no_load)
        buses, ends = len(voltages.elements), len(terminals.elements)
        voltage, current = np.arange(buses), buses + np.arange(ends)
        interface = buses + ends
        self.phasor: IndexArray = np.concatenate(
            [voltage, voltage, current, current, [interface, interface]]
        )
        self.kind: IndexArray = np.repeat(np.arange(6), [buses, buses, ends, ends, 1, 1])
        self.elements: tuple[str, ...] = (
            voltages.elements
            + voltages.elements
            + terminals.elements
            + terminals.elements
            + (INTERFACE, INTERFACE)
        )
        self.sides: tuple[str, ...] = (
            ("",) * (2 * buses) + terminals.sides + terminals.sides + ("", "")
        )
        self._is_current = (self.kind == Kind.CURRENT_EXPORT) | (self.kind == Kind.CURRENT_IMPORT)
        idle = np.concatenate([np.zeros(buses), _IDLE * terminals.rating_pu, np.zeros(1)])
        self._idle: FloatArray = np.where(self._is_current, idle[self.phasor], 0.0)

    def __len__(self) -> int:
        return len(self.kind)

    def row_limits(self, voltage: VoltageLimits, interface: InterfaceLimits) -> RowLimits:
        """Return the limits of all rows under a voltage band for buses and a contract."""
        terminals = self.power_flow.network.terminals
        base = self.power_flow.network.base_power_w
        buses = int((self.kind == Kind.VOLTAGE_MAX).sum())
        contract = [
            np.inf if limit is None else limit / base
            for limit in (interface.injection_limit_w, interface.withdrawal_limit_w)
        ]
        limit = np.concatenate(
            [
                np.full(buses, voltage.maximum_pu),
                np.full(buses, -voltage.minimum_pu),
                terminals.rating_pu,
                terminals.rating_pu,
                contract,
            ]
        )
        voltage_way = np.maximum(np.abs(limit - _SIGN[self.kind]), _SMALLEST_VOLTAGE_WAY)
        scale = np.where(self.kind <= Kind.VOLTAGE_MIN, voltage_way, np.abs(limit))
        smallest_power_w = 1e3  # an interface limit of zero is measured against one kilowatt
        scale = np.maximum(scale, np.where(self.kind >= 4, smallest_power_w / base, 0.0))
        band = (interface.voltage_min_pu, interface.voltage_max_pu)
        return RowLimits(limit, scale, band, voltage.minimum_pu)

    def values(self, rows: IndexArray, points: OperatingPoints) -> FloatArray:
        """Return f of each row at its own operating point.

        Parameters
        ----------
        rows
            Shape (r,).
        points
            r operating points, one per row.
        """
        phasor = self._phasors(rows, points)
        return self._values(rows, phasor, points.interface_voltage_pu)

    def values_at(
        self,
        rows: IndexArray,
        place: IndexArray,
        points: OperatingPoints,
    ) -> FloatArray:
        """Return f of each row at one of few operating points.

        Parameters
        ----------
        rows
            Shape (r,).
        place
            Shape (r,), the operating point of each row.
        points
            B operating points.
        """
        which = self.phasor[rows]
        voltage = points.interface_voltage_pu[place]
        phasors = (self.response[which] @ points.current)[np.arange(len(rows)), place]
        phasors += self.fixed[which] * voltage
        return self._values(rows, phasors, voltage)

    def all_values(self, points: OperatingPoints) -> FloatArray:
        """Return f of every row at every one of B operating points, shape (R, B)."""
        phasors = self.response @ points.current
        phasors += self.fixed[:, None] * points.interface_voltage_pu
        size = np.abs(phasors)
        outwards = (phasors * self.export_direction.conj()[:, None]).real >= 0.0
        signed = np.where(outwards, size, -size)
        power = phasors[-1].real * points.interface_voltage_pu
        buses = int((self.kind == Kind.VOLTAGE_MAX).sum())
        return np.concatenate(
            [size[:buses], -size[:buses], signed[buses:-1], -signed[buses:-1], [-power, power]]
        )

    def _values(
        self,
        rows: IndexArray,
        phasor: ComplexArray,
        interface_voltage: FloatArray | np.float64,
    ) -> FloatArray:
        kind = self.kind[rows]
        size = np.abs(phasor) * self._way(rows, phasor)
        size = np.where(kind >= Kind.INTERFACE_INJECTION, interface_voltage * phasor.real, size)
        values: FloatArray = _SIGN[kind] * size
        return values

    def _orientation(self, rows: IndexArray) -> ComplexArray:
        """Return the direction in which each current row counts, of length 1."""
        reverse = np.where(self.kind[rows] == Kind.CURRENT_IMPORT, -1.0, 1.0)
        directions: ComplexArray = reverse * self.export_direction[self.phasor[rows]]
        return directions

    def _way(self, rows: IndexArray, phasor: ComplexArray) -> FloatArray:
        """Return -1 for current rows whose current flows the other way, else 1."""
        against = (phasor * self._orientation(rows).conj()).real < 0.0
        return np.where(against & self._is_current[rows], -1.0, 1.0)

    def _phasors(self, rows: IndexArray, points: OperatingPoints) -> ComplexArray:
        which = self.phasor[rows]
        phasors: ComplexArray = np.einsum("rj,jr->r", self.response[which], points.current)
        phasors += self.fixed[which] * points.interface_voltage_pu
        return phasors

    def gradients(self, rows: IndexArray, points: OperatingPoints) -> tuple[FloatArray, FloatArray]:
        """Return the exact gradient of f of each row at its own operating point.

        Parameters
        ----------
        rows
            Shape (r,).
        points
            r operating points, one per row.

        Returns
        -------
        by_power
            Shape (r, c), per unit of active power of each connection point.
        by_interface_voltage
            Shape (r,).
        """
        which, kind = self.phasor[rows], self.kind[rows]
        phasor = self._phasors(rows, points)
        phase = self._phases(rows, phasor, points.interface_voltage_pu)
        multiplier = self.power_flow.adjoint((phase[:, None] * self.response[which]).T, points)
        by_power, by_voltage = self.power_flow.sensitivities(multiplier, points)
        by_voltage += (phase * self.fixed[which]).real
        of_power = kind >= Kind.INTERFACE_INJECTION
        by_voltage += np.where(of_power, _SIGN[kind] * phasor.real, 0.0)
        return by_power, by_voltage

    def _phases(
        self, rows: IndexArray, phasor: ComplexArray, interface_voltage: FloatArray
    ) -> ComplexArray:
        """Return the factor with which a change of the phasor enters f, ``df = Re(phase dx)``.

        What flows in an idle branch is charging and magnetising current; its direction says
        nothing, and the row's own is taken.
        """
        kind = self.kind[rows]
        size = np.abs(phasor)
        own = size < self._idle[rows]
        phase = np.where(
            own,
            self._orientation(rows).conj(),
            self._way(rows, phasor) * phasor.conj() / np.maximum(size, 1e-300),
        )
        of_power = kind >= Kind.INTERFACE_INJECTION
        phases: ComplexArray = _SIGN[kind] * np.where(of_power, interface_voltage, phase)
        return phases

    @cached_property
    def export_direction(self) -> ComplexArray:
        """Return the direction of each phasor's response to injection, shape (Q,), length 1."""
        if not self.response.shape[1]:
            return np.ones(len(self.response), dtype=np.complex128)
        strongest = np.abs(self.response).argmax(axis=1)
        profile = self.power_flow.no_load_voltage(np.ones(1))[strongest, 0]
        response = self.response[np.arange(len(self.response)), strongest] / profile.conj()
        size = np.abs(response)
        return np.where(size > 0, response / np.maximum(size, 1e-300), 1.0)

    def acts_strongly(self, rows: IndexArray) -> BoolArray:
        """Return who acts on each row at least half as strongly as anyone, shape (r, c)."""
        size = self._reach[self.phasor[rows]]
        acts: BoolArray = size >= 0.5 * size.max(axis=1, keepdims=True, initial=0.0)
        return acts

    @cached_property
    def _reach(self) -> FloatArray:
        """How strongly one unit of power of each connection point acts on each phasor, (Q, c)."""
        reach: FloatArray = np.abs(self.response) @ abs(self.power_flow.point_ports)
        return reach

    @cached_property
    def _passive_reach(self) -> FloatArray:
        """The same for all that does not trade, shape (Q,)."""
        passive = np.abs(self.power_flow.network.ports.passive_power_pu)
        reach: FloatArray = np.abs(self.response) @ passive
        return reach

    def bounds(self, largest_power_pu: FloatArray, limits: RowLimits) -> FloatArray:
        """Return an upper bound of every row's f over a whole box of envelopes, shape (R,).

        By the triangle inequality: no node's current exceeds its largest power over the lowest
        voltage allowed.  Rigorous wherever the lowest-voltage rows hold, and cheap; a row whose
        bound is below its limit needs no power flow.  Interface rows are not bounded (``inf``).

        Parameters
        ----------
        largest_power_pu
            Shape (c,), the larger of the two limits of each connection point.
        """
        reach = self._reach @ largest_power_pu + self._passive_reach
        reach = reach / limits.voltage_min_pu
        low, high = limits.band
        offset = np.abs(self.fixed)
        by_phasor = np.stack([offset * high + reach, reach - offset * low])
        bounds = by_phasor[(self.kind == Kind.VOLTAGE_MIN).astype(np.int64), self.phasor]
        return np.where(self.kind >= Kind.INTERFACE_INJECTION, np.inf, bounds)

    def describe(self, row: int, value: float, limits: RowLimits) -> tuple[float, float, str]:
        """Return value, limit and their unit as people know them."""
        network = self.power_flow.network
        limit = float(limits.limit[row])
        kind = Kind(self.kind[row])
        if kind is Kind.VOLTAGE_MIN:
            return -value, -limit, "p.u."
        if kind is Kind.VOLTAGE_MAX:
            return value, limit, "p.u."
        if kind in (Kind.CURRENT_EXPORT, Kind.CURRENT_IMPORT):
            buses = int((self.kind == Kind.VOLTAGE_MAX).sum())
            base = float(network.terminals.base_current_a[self.phasor[row] - buses])
            return value * base, limit * base, "A"
        return value * network.base_power_w, limit * network.base_power_w, "W"

    @cached_property
    def no_load_gradients(self) -> tuple[FloatArray, FloatArray]:
        """Return all rows' gradients with every customer idle, at nominal interface voltage.

        By power of each connection point, shape (R, c), and by interface voltage, shape (R,).
        """
        flow = self.power_flow
        idle = flow.solve(np.zeros((len(flow.network.connection_points), 1)), np.ones(1))
        return self.gradients(np.arange(len(self)), idle.take(np.zeros(len(self), dtype=np.int64)))
