"""The monitored quantities: voltages, branch currents, unbalance and the interface's power.

Each is a row ``f <= limit``, a function of one phasor ``x = M i_J + m0 m`` (a node voltage, a
branch current, a sequence voltage) or of two or three, so the values and gradients of thousands of
rows are a few matrix products.

==========================  ==========================  ===================================
kind                        f                           limit
==========================  ==========================  ===================================
``VOLTAGE_MAX``             ``|v|``                     highest voltage, per unit
``VOLTAGE_MIN``             ``-|v|``                    minus the lowest voltage
``CURRENT_EXPORT``          ``|i|`` outwards            rating, per unit
``CURRENT_IMPORT``          ``|i|`` inwards             rating, per unit
``INTERFACE_INJECTION``     power to the upstream       the TSO's injection limit
``INTERFACE_WITHDRAWAL``    power from the upstream     the TSO's withdrawal limit
``INTERFACE_REACTIVE_MAX``  reactive power upstream     the contract's largest
``INTERFACE_REACTIVE_MIN``  minus the same              minus the contract's smallest
``UNBALANCE``               ``|v_2| / |v_1|``           largest voltage unbalance
==========================  ==========================  ===================================

The limits of generators (``REACTIVE_MAX`` to ``POWER_MIN``) are rows of their own, in
:mod:`security_check.monitoring.generator_rows`.

A current has two rows because its magnitude has two local maxima over a box of envelopes: one
where the customers behind it inject, one where they withdraw.  A row counts a current that flows
the other way as negative; for one of the two f is always ``+|i|``.  For the same reason the
negative sequence voltage has a row in each of twelve directions, and so has a current in which
customers of different phases meet (:mod:`security_check.monitoring.directions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.monitoring import directions
from security_check.monitoring.phasors import entering, phasors
from security_check.monitoring.row_bounds import RowReach
from security_check.monitoring.row_kinds import (
    ALONG,
    OF_INTERFACE,
    SIGN,
    RowKind,
    RowTable,
    rows_of,
)
from security_check.monitoring.row_limits import RowLimits, row_limits
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.compensating_currents import ports_of_power, put_first
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.power_flow.operating_points import OperatingPoints
from security_check.uncertainty.deviations import Deviations

_IDLE = 0.05  # part of its rating: a branch with less current counts as idle
_AT_ONCE = 128  # rows whose responses are gathered at once, so that they fit into the cache
_BALANCED = 1e-3  # per unit: a bus with less negative sequence voltage counts as balanced


@dataclass(frozen=True, slots=True)
class _Differential:
    """How f of r rows changes: ``df = Re(by_current' di_J) + by_source' dm``."""

    by_current: ComplexArray
    by_source: FloatArray


class Monitors:
    """The monitored quantities of one network; R rows over Q phasors.

    Attributes
    ----------
    kind, phasor
        Shape (R,), kind and phasor of each row; of the interface's rows, the first of h.
    response, fixed
        Shapes (Q, J) and (Q, h): phasors are ``response @ i_J + fixed @ m``.
    elements
        Shape (R,), for example ``"bus:4"``, ``"line:12"``, ``"interface"``.
    """

    def __init__(self, power_flow: PowerFlow) -> None:
        self.power_flow = power_flow
        network = power_flow.network
        buses, ends = len(network.voltages.elements), len(network.terminals.elements)
        self._interface = slice(buses + ends, buses + ends + network.held)
        observed = sp.vstack([*phasors(network)])
        self.response: ComplexArray = np.asarray(observed @ power_flow.impedance)
        self.response[self._interface] -= entering(network)
        compensation = network.ports.compensation
        if compensation is not None:  # its currents flow through the branch itself
            own = self.response[buses : buses + ends]
            own[:, compensation.first :] -= compensation.at_terminals.toarray()
        self.fixed: ComplexArray = np.asarray(observed @ power_flow.no_load)
        current = buses + np.arange(ends)
        powers = ports_of_power(network)
        response, nominal = self.response[:, powers], self._nominal[powers]
        self._strongest = directions.strongest(response, nominal)
        table = rows_of(network, directions.crossed(response[current], nominal))
        self.kind: IndexArray = table.kind
        self.phasor: IndexArray = table.phasor
        self.elements: tuple[str, ...] = table.elements
        self.sides: tuple[str, ...] = table.sides
        self._further: IndexArray = table.further
        kind = self.kind
        self._is_current = (kind == RowKind.CURRENT_EXPORT) | (kind == RowKind.CURRENT_IMPORT)
        self._of_interface = np.isin(kind, OF_INTERFACE)
        self._turn: ComplexArray = SIGN[kind] * ALONG[kind].conj()
        self._of_sequences = kind == RowKind.UNBALANCE
        self._directed = self._is_current | self._of_sequences
        self._orientation = self._orientations()
        idle = np.full(len(self.response), _BALANCED)
        idle[current] = _IDLE * network.terminals.rating_pu
        self._idle: FloatArray = np.where(self._directed, idle[self.phasor], 0.0)
        self._reach = RowReach(
            power_flow, self.kind, self.phasor, self.response, self.fixed, self._interface
        )

    def __len__(self) -> int:
        return len(self.kind)

    def row_limits(self, voltage: VoltageLimits, interface: InterfaceLimits) -> RowLimits:
        """Return the limits of all rows; see ``row_limits``."""
        table = RowTable(self.kind, self.phasor, self.elements, self.sides, self._further)
        return row_limits(self.power_flow.network, table, voltage, interface)

    # -- values ---------------------------------------------------------------------------------

    def values(self, rows: IndexArray, points: OperatingPoints) -> FloatArray:
        """Return f of each row at its own operating point.

        Parameters
        ----------
        rows
            Shape (r,).
        points
            r operating points, one per row.
        """
        phasor = self._phasors(self.phasor[rows], points)
        values = SIGN[self.kind[rows]] * np.abs(phasor) * self._way(rows, phasor)
        at = np.flatnonzero(self._of_interface[rows])
        if len(at):
            values[at] = (self._turn[rows[at]] * self._drawn(points.take(at))).real
        at = np.flatnonzero(self._of_sequences[rows])
        if len(at):
            values[at] /= np.abs(self._phasors(self.phasor[rows[at]] - 1, points.take(at)))
        return values

    def values_at(
        self, rows: IndexArray, column: IndexArray, points: OperatingPoints
    ) -> FloatArray:
        """Return f of each row at the operating point in its ``column``.

        Parameters
        ----------
        rows, column
            Shape (r,).
        points
            B operating points.
        """
        which = self.phasor[rows]
        current = np.ascontiguousarray(points.current.T)
        phasor = np.empty(len(rows), dtype=np.complex128)
        for begin in range(0, len(rows), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            np.einsum(
                "rj,rj->r", self.response[which[part]], current[column[part]], out=phasor[part]
            )
        phasor += (self.fixed[which] * points.source_pu.T[column]).sum(axis=1)
        values: FloatArray = SIGN[self.kind[rows]] * np.abs(phasor) * self._way(rows, phasor)
        at = np.flatnonzero(self._of_interface[rows] | self._of_sequences[rows])
        if len(at):
            values[at] = self.values(rows[at], points.take(column[at]))
        return values

    def all_values(self, points: OperatingPoints, rows: IndexArray | None = None) -> FloatArray:
        """Return f of every row, or of those named, at every one of B points, shape (r, B)."""
        rows = np.arange(len(self)) if rows is None else rows
        kind, orientation = self.kind[rows], self._orientation[rows].conj()[:, None]
        own = self._phasors_everywhere(self.phasor[rows], points)
        against = ((own * orientation).real < 0.0) & self._directed[rows, None]
        size = np.abs(own)
        values: FloatArray = np.where(against, -size, size) * SIGN[kind][:, None]
        at = np.flatnonzero(self._of_interface[rows])
        if len(at):
            values[at] = (self._turn[rows[at]][:, None] * self._drawn(points)).real
        at = np.flatnonzero(self._of_sequences[rows])
        values[at] /= np.abs(self._phasors_everywhere(self.phasor[rows[at]] - 1, points))
        return values

    def _phasors_everywhere(self, which: IndexArray, points: OperatingPoints) -> ComplexArray:
        """Return the phasors named at all B points, shape (len(which), B)."""
        once, position = np.unique(which, return_inverse=True)
        phasors: ComplexArray = self.response[once] @ points.current
        phasors += self.fixed[once] @ points.source_pu
        return phasors[position]

    def _phasors(self, which: IndexArray, points: OperatingPoints) -> ComplexArray:
        phasors: ComplexArray = np.einsum("rj,jr->r", self.response[which], points.current)
        phasors += (self.fixed[which] * points.source_pu.T).sum(axis=1)
        return phasors

    def _interface_phasors(self, points: OperatingPoints) -> ComplexArray:
        phasors: ComplexArray = self.response[self._interface] @ points.current
        phasors += self.fixed[self._interface] @ points.source_pu
        return phasors

    def _drawn(self, points: OperatingPoints) -> ComplexArray:
        """Return the conjugate of the power drawn from upstream, shape (B,)."""
        drawn: ComplexArray = (self._interface_phasors(points) * points.source_pu).sum(axis=0)
        return drawn

    def _way(self, rows: IndexArray, phasor: ComplexArray) -> FloatArray:
        """Return -1 for directed rows whose phasor points the other way, else 1."""
        against = (phasor * self._orientation[rows].conj()).real < 0.0
        way: FloatArray = np.where(against & self._directed[rows], -1.0, 1.0)
        return way

    # -- gradients ------------------------------------------------------------------------------

    def gradients(
        self, rows: IndexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]:
        """Return the exact gradient of f of each row at its own operating point.

        Parameters
        ----------
        rows
            Shape (r,).
        points
            r operating points, one per row.

        Returns
        -------
        by_port_power
            Shape (J, r), complex: by active and, in its imaginary part, by reactive power.
        by_source
            Shape (h, r), by each held magnitude.
        """
        change = self._differential(rows, points)
        by_port, by_source = self.power_flow.gradients(change.by_current, points)
        return by_port, by_source + change.by_source

    def _differential(
        self, rows: IndexArray, points: OperatingPoints, loaded: bool = True
    ) -> _Differential:
        which = self.phasor[rows]
        phasor = self._phasors(which, points)
        phase = self._phases(rows, phasor, loaded)
        by_current = (phase[:, None] * self.response[which]).T
        by_source = (phase[:, None] * self.fixed[which]).real.T
        at = np.flatnonzero(self._of_interface[rows])
        if len(at):
            own = points.take(at)
            turn = self._turn[rows[at]]
            held = turn * own.source_pu
            by_current[:, at] = self.response[self._interface].T @ held
            by_source[:, at] = (self.fixed[self._interface].T @ held).real
            by_source[:, at] += (turn * self._interface_phasors(own)).real
        at = np.flatnonzero(self._of_sequences[rows])
        if len(at):
            positive = which[at] - 1
            below = self._phasors(positive, points.take(at))
            size = np.abs(below)
            f = np.abs(phasor[at]) * self._way(rows[at], phasor[at]) / size
            other = (f * below.conj() / size**2)[:, None]
            by_current[:, at] = by_current[:, at] / size - (other * self.response[positive]).T
            by_source[:, at] = by_source[:, at] / size - (other * self.fixed[positive]).real.T
        return _Differential(by_current, by_source)

    def _phases(self, rows: IndexArray, phasor: ComplexArray, loaded: bool) -> ComplexArray:
        """Return the factor with which a change of the phasor enters f, ``df = Re(phase dx)``.

        An idle branch carries charging and magnetising current, whose direction is not that of
        customers' power: there the row's own direction is taken.  Without any load it always is,
        however large charging currents, or the unbalance of lines, may be.
        """
        size = np.abs(phasor)
        own = size < self._idle[rows] if loaded else self._directed[rows]
        phases: ComplexArray = SIGN[self.kind[rows]] * np.where(
            own,
            self._orientation[rows].conj(),
            self._way(rows, phasor) * phasor.conj() / np.maximum(size, 1e-300),
        )
        return phases

    def _orientations(self) -> ComplexArray:
        """Return the direction in which each directed row counts, shape (R,), of length 1."""
        along = self._strongest[self.phasor]
        orientation = np.where(self.kind == RowKind.CURRENT_IMPORT, -along, along)
        turned = int(self._of_sequences.sum())
        last = len(orientation) - turned
        further = slice(last - len(self._further), last)
        orientation[further] = along[further] * np.resize(directions.BESIDE, len(self._further))
        orientation[last:] = np.resize(directions.AROUND, turned)
        return orientation

    @cached_property
    def _nominal(self) -> ComplexArray:
        """The voltages at the ports without any power, at nominal held voltage, shape (J,)."""
        held = self.power_flow.network.held
        nominal: ComplexArray = self.power_flow.no_load_voltage(np.ones((held, 1)))[:, 0]
        return nominal

    # -- without a power flow -------------------------------------------------------------------

    def acts_strongly(self, rows: IndexArray) -> BoolArray:
        """Return the customers that act strongly on each row, shape (r, c)."""
        return self._reach.acts_strongly(rows)

    def acting(self, rows: IndexArray, deviations: Deviations) -> tuple[BoolArray, BoolArray]:
        """Return the customers and deviations that act strongly, shapes (r, c) and (r, d)."""
        return self._reach.acting(rows, deviations)

    def bounds(
        self, conditions: OperatingConditions, u: FloatArray, limits: RowLimits
    ) -> FloatArray:
        """Return an upper bound of every row's f over a whole box of envelopes, shape (R,).

        Rigorous and cheap; see :meth:`~security_check.monitoring.row_bounds.RowReach.bounds`.
        """
        return self._reach.bounds(conditions, u, limits)

    def drift(
        self,
        conditions: OperatingConditions,
        before: FloatArray,
        after: FloatArray,
        limits: RowLimits,
    ) -> FloatArray:
        """Return a bound of the change of each row's f between two boxes, shape (R,).

        Rigorous; see :meth:`~security_check.monitoring.row_bounds.RowReach.drift`.
        """
        return self._reach.drift(conditions, before, after, limits)

    # -- in physical units, and without load ----------------------------------------------------

    def describe(self, row: int, value: float, limits: RowLimits) -> tuple[float, float, str]:
        """Return value, limit and their unit, in physical units."""
        network = self.power_flow.network
        limit = float(limits.limit[row])
        kind = RowKind(self.kind[row])
        if kind is RowKind.VOLTAGE_MIN:
            return -value, -limit, "p.u."
        if kind is RowKind.VOLTAGE_MAX:
            return value, limit, "p.u."
        if kind is RowKind.UNBALANCE:
            return 100 * value, 100 * limit, "% unbalance"
        if kind in (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT):
            buses = len(network.voltages.elements)
            base = float(network.terminals.base_current_a[self.phasor[row] - buses])
            return value * base, limit * base, "A"
        size, unit = network.base_power_w, "W"
        if kind in (RowKind.INTERFACE_REACTIVE_MAX, RowKind.INTERFACE_REACTIVE_MIN):
            size, unit = SIGN[kind] * size, "var"
        return value * size, limit * size, unit

    @cached_property
    def no_load_gradients(self) -> tuple[ComplexArray, FloatArray]:
        """All rows' gradients with no power anywhere, at nominal voltage, as :meth:`gradients`.

        Shapes (J, R) and (h, R).  Currents are zero, so a change of power changes them directly.
        """
        rows, network = np.arange(len(self)), self.power_flow.network
        source = np.ones((network.held, len(rows)))
        nothing = np.zeros((self.response.shape[1], len(rows)), dtype=np.complex128)
        voltage = np.repeat(self._nominal[:, None], len(rows), axis=1)
        idle = OperatingPoints(nothing, source, voltage, nothing)
        change = self._differential(rows, idle, loaded=False)
        by_port = change.by_current * self.power_flow.per_power(voltage)
        if self.power_flow.compensating is not None:
            put_first(
                self.power_flow.compensating, network, self._nominal, change.by_current, by_port
            )
        return by_port, change.by_source
