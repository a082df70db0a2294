"""The rows of several states of one network, as one set of rows.

Envelopes that are secure with every element in service, after each outage of a list (N-1) and at
every position of taps in a range must keep the limits of every state.  So all states' rows are put
together; each state, here a *case*, has its own admittances, power flow and monitored quantities.
Customers, ports and the interface's voltage are the same in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.element import USUAL, Element, State
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.monitoring.case_power_flow import Case, CaseFlow, CasePoints
from security_check.monitoring.generator_rows import GeneratorRows, MeshedMonitors
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.protocol import Monitored
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.power_flow.newton import ControlledFlow
from security_check.power_flow.operating_points import OperatingPoints
from security_check.uncertainty.deviations import Deviations


class CaseMonitors:
    """The monitored quantities of all cases as one set of rows.

    An element's name contains its state: ``"line:12 without line:3"``.

    Parameters
    ----------
    cases
        The cases; the first is the network in its usual state.

    Raises
    ------
    NetworkFaults
        As :class:`CaseFlow`.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.power_flow = CaseFlow(cases)
        parts = [(k, case, part) for k, case in enumerate(cases) for part in case.monitors]
        self._parts = [part for _, _, part in parts]
        self._case = np.array([k for k, _, _ in parts])
        count = [len(part) for part in self._parts]
        self._first = np.concatenate([[0], np.cumsum(count)])
        self._part: IndexArray = np.repeat(np.arange(len(parts)), count)
        self.kind: IndexArray = np.concatenate([part.kind for part in self._parts])
        self.elements: tuple[str, ...] = tuple(
            str(Element(element, case.state))
            for _, case, part in parts
            for element in part.elements
        )
        self.sides: tuple[str, ...] = tuple(side for part in self._parts for side in part.sides)

    def __len__(self) -> int:
        return len(self.kind)

    def _own(self, rows: IndexArray) -> list[tuple[int, IndexArray, IndexArray]]:
        """Return the parts of rows: index of the part, positions among ``rows``, its own rows."""
        part = self._part[rows]
        found = []
        for p in np.unique(part):
            at = np.flatnonzero(part == p)
            found.append((int(p), at, rows[at] - self._first[p]))
        return found

    def _solved(self, part: int, points: OperatingPoints, columns: IndexArray) -> OperatingPoints:
        """Return some of the operating points, solved in a part's own case."""
        assert isinstance(points, CasePoints)
        return points.of_case(int(self._case[part]), columns)

    def _limits_of(self, part: int, limits: RowLimits) -> RowLimits:
        own = slice(self._first[part], self._first[part + 1])
        return RowLimits(limits.limit[own], limits.scale[own], limits.voltage_min_pu)

    def row_limits(self, voltage: VoltageLimits, interface: InterfaceLimits) -> RowLimits:
        """Return the limits of all rows: the same in every case."""
        parts = [part.row_limits(voltage, interface) for part in self._parts]
        return RowLimits(
            np.concatenate([part.limit for part in parts]),
            np.concatenate([part.scale for part in parts]),
            voltage.minimum_pu,
        )

    def values(self, rows: IndexArray, points: OperatingPoints) -> FloatArray:
        """Return f of each row at its own operating point, shape (r,)."""
        values = np.zeros(len(rows))
        for p, at, own in self._own(rows):
            values[at] = self._parts[p].values(own, self._solved(p, points, at))
        return values

    def values_at(
        self, rows: IndexArray, column: IndexArray, points: OperatingPoints
    ) -> FloatArray:
        """Return f of each row at the operating point in its ``column``, shape (r,)."""
        values = np.zeros(len(rows))
        for p, at, own in self._own(rows):
            used, where = np.unique(column[at], return_inverse=True)
            solved = self._solved(p, points, used)
            values[at] = self._parts[p].values_at(own, where, solved)
        return values

    def all_values(self, points: OperatingPoints, rows: IndexArray | None = None) -> FloatArray:
        """Return f of every row, or of those named, at every one of B points, shape (r, B)."""
        assert isinstance(points, CasePoints)
        every = points.every
        rows = np.arange(len(self)) if rows is None else rows
        values = np.zeros((len(rows), len(every)))
        for p, at, own in self._own(rows):
            solved = self._solved(p, points, every)
            values[at] = self._parts[p].all_values(solved, own)
        return values

    def gradients(
        self, rows: IndexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]:
        """Return the exact gradient of f of each row at its own operating point.

        By port power, shape (J, r), and by held magnitude, shape (h, r).
        """
        network = self.power_flow.network
        by_port = np.zeros((len(network.ports.names), len(rows)), dtype=np.complex128)
        by_source = np.zeros((network.held, len(rows)))
        for p, at, own in self._own(rows):
            solved = self._solved(p, points, at)
            by_port[:, at], by_source[:, at] = self._parts[p].gradients(own, solved)
        return by_port, by_source

    @cached_property
    def no_load_gradients(self) -> tuple[ComplexArray, FloatArray]:
        """All rows' gradients with every customer idle, shapes (J, R) and (h, R)."""
        parts = [part.no_load_gradients for part in self._parts]
        return (
            np.concatenate([by_port for by_port, _ in parts], axis=1),
            np.concatenate([by_source for _, by_source in parts], axis=1),
        )

    def acts_strongly(self, rows: IndexArray) -> BoolArray:
        """Return the customers that act strongly on each row, shape (r, c)."""
        acts = np.zeros((len(rows), len(self.power_flow.network.connection_points)), dtype=bool)
        for p, at, own in self._own(rows):
            acts[at] = self._parts[p].acts_strongly(own)
        return acts

    def acting(self, rows: IndexArray, deviations: Deviations) -> tuple[BoolArray, BoolArray]:
        """Return the customers and deviations that act strongly, shapes (r, c) and (r, d)."""
        customers = np.zeros((len(rows), len(self.power_flow.network.connection_points)), bool)
        deviating = np.zeros((len(rows), deviations.set.count), dtype=bool)
        for p, at, own in self._own(rows):
            customers[at], deviating[at] = self._parts[p].acting(own, deviations)
        return customers, deviating

    def bounds(
        self, conditions: OperatingConditions, u: FloatArray, limits: RowLimits
    ) -> FloatArray:
        """Return an upper bound of every row's f over a whole box of envelopes, shape (R,)."""
        return np.concatenate(
            [
                part.bounds(conditions, u, self._limits_of(p, limits))
                for p, part in enumerate(self._parts)
            ]
        )

    def drift(
        self,
        conditions: OperatingConditions,
        before: FloatArray,
        after: FloatArray,
        limits: RowLimits,
    ) -> FloatArray:
        """Return a bound of the change of each row's f between two boxes, shape (R,)."""
        return np.concatenate(
            [
                part.drift(conditions, before, after, self._limits_of(p, limits))
                for p, part in enumerate(self._parts)
            ]
        )

    def describe(self, row: int, value: float, limits: RowLimits) -> tuple[float, float, str]:
        """Return value, limit and their unit, in physical units."""
        p = int(self._part[row])
        own = row - int(self._first[p])
        return self._parts[p].describe(own, value, self._limits_of(p, limits))


def monitors_of(network: Network, states: Sequence[NetworkState] = ()) -> Monitored:
    """Return the monitored quantities of a network, and of it in further states.

    Parameters
    ----------
    network
        The network in its usual state.
    states
        Further states in which all limits must hold, too.

    Raises
    ------
    ModuleNotFoundError
        When there are voltage-controlled generators and ``lightsim2grid`` is not installed.
    NetworkFaults
        When a state's network does not fit the network; names the state.
    """
    first = _case(USUAL, network)
    if not states and len(first.monitors) == 1:
        return first.monitors[0]
    return CaseMonitors([first, *(_case(each.state, each.network) for each in states)])


def _case(state: State, network: Network) -> Case:
    if network.generators is None:
        flow = PowerFlow(network)
        return Case(state, flow, (Monitors(flow),))
    controlled = ControlledFlow(network)
    return Case(state, controlled, (MeshedMonitors(controlled), GeneratorRows(controlled)))
