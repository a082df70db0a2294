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
        watched = np.flatnonzero(network.voltage_monitored)
        terminals = network.terminals
        source = network.admittance[[network.interface_node], :]
        currents = sp.vstack([terminals.admittance, source])
        of_currents = np.asarray(currents @ power_flow.impedance)
        self.response: ComplexArray = np.vstack([power_flow.impedance[watched], of_currents])
        self.fixed: ComplexArray = np.concatenate(
            [power_flow.no_load[watched], currents @ power_flow.no_load]
        )
        buses, ends = len(watched), len(terminals.elements)
        voltage, current = np.arange(buses), buses + np.arange(ends)
        interface = buses + ends
        self.phasor: IndexArray = np.concatenate(
            [voltage, voltage, current, current, [interface, interface]]
        )
        self.kind: IndexArray = np.repeat(np.arange(6), [buses, buses, ends, ends, 1, 1])
        names = tuple(network.nodes[i] for i in watched)
        self.elements: tuple[str, ...] = (
            names + names + terminals.elements + terminals.elements + (INTERFACE, INTERFACE)
        )
        self.sides: tuple[str, ...] = (
            ("",) * (2 * buses) + terminals.sides + terminals.sides + ("", "")
        )
        self._is_current = (self.kind == Kind.CURRENT_EXPORT) | (self.kind == Kind.CURRENT_IMPORT)
        idle = np.concatenate([np.zeros(buses), _IDLE * terminals.rating_pu, np.zeros(1)])
        self._idle: FloatArray = np.where(self._is_current, idle[self.phasor], 0.0)
        at_interface = (power_flow.point_node < 0).astype(np.float64)
        self._direct = at_interface
        self._passive_at_interface = float(
            network.passive_injection_pu[network.interface_node].real
        )

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

    def values(self, rows: IndexArray, points: OperatingPoints, power_pu: FloatArray) -> FloatArray:
        """Return f of each row at its own operating point.

        Parameters
        ----------
        rows
            Shape (r,).
        points
            r operating points, one per row.
        power_pu
            Shape (c, r), the active powers of the connection points there.
        """
        phasor = self._phasors(rows, points)
        return self._values(rows, phasor, points.interface_voltage_pu, power_pu)

    def values_at(
        self,
        rows: IndexArray,
        place: IndexArray,
        points: OperatingPoints,
        power_pu: FloatArray,
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
        power_pu
            Shape (c, B), the active powers of the connection points there.
        """
        which = self.phasor[rows]
        voltage = points.interface_voltage_pu[place]
        phasors = (self.response[which] @ points.current)[np.arange(len(rows)), place]
        phasors += self.fixed[which] * voltage
        return self._values(rows, phasors, voltage, power_pu[:, place])

    def all_values(self, points: OperatingPoints, power_pu: FloatArray) -> FloatArray:
        """Return f of every row at every one of B operating points, shape (R, B)."""
        phasors = self.response @ points.current
        phasors += self.fixed[:, None] * points.interface_voltage_pu
        values = np.empty((len(self), phasors.shape[1]))
        rows = np.arange(len(self))
        for column in range(phasors.shape[1]):
            values[:, column] = self._values(
                rows,
                phasors[self.phasor, column],
                points.interface_voltage_pu[column],
                power_pu[:, column, None],
            )
        return values

    def _values(
        self,
        rows: IndexArray,
        phasor: ComplexArray,
        interface_voltage: FloatArray,
        power_pu: FloatArray,
    ) -> FloatArray:
        kind = self.kind[rows]
        size = np.abs(phasor) * self._way(rows, phasor)
        of_power = kind >= Kind.INTERFACE_INJECTION
        if of_power.any():
            drawn = interface_voltage * phasor.real
            local = self._direct @ power_pu + self._passive_at_interface
            size = np.where(of_power, drawn - local, size)
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
        by_power[of_power] -= _SIGN[kind[of_power], None] * self._direct[None, :]
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
        node = np.arange(len(self.response))
        profile = self.power_flow.no_load[self.power_flow.nodes][strongest]
        response = self.response[node, strongest] / profile.conj()
        size = np.abs(response)
        return np.where(size > 0, response / np.maximum(size, 1e-300), 1.0)

    def acts_strongly(self, rows: IndexArray) -> BoolArray:
        """Return who acts on each row at least half as strongly as anyone, shape (r, c)."""
        size = self._magnitudes[self.phasor[rows]]
        strong = size >= 0.5 * size.max(axis=1, keepdims=True, initial=0.0)
        node = self.power_flow.point_node
        acts: BoolArray = strong[:, np.maximum(node, 0)] & (node >= 0)
        return acts

    @cached_property
    def _magnitudes(self) -> FloatArray:
        return np.abs(self.response)

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
        flow = self.power_flow
        apparent = largest_power_pu * np.sqrt(1.0 + flow.network.reactive_ratio**2)
        inside = flow.point_node >= 0
        size = np.abs(flow.network.passive_injection_pu[flow.nodes])
        size += np.bincount(
            flow.point_node[inside], weights=apparent[inside], minlength=len(flow.nodes)
        )
        reach = self._magnitudes @ (size / limits.voltage_min_pu)
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
