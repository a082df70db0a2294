"""Monitoring of networks with voltage-controlled generators, and the limits of generators.

A generator's reactive power follows from the voltage it holds, its active power from its share of
the imbalance.  Both are functions of its port's voltage and current, ``s = v conj(i)``, and have
limits like a line's current:

================  =============  ======================================
kind              f              limit
================  =============  ======================================
``REACTIVE_MAX``  ``Im(s)``      largest reactive power
``REACTIVE_MIN``  ``-Im(s)``     minus the smallest
``POWER_MAX``     ``Re(s)``      largest active power
``POWER_MIN``     ``-Re(s)``     minus the smallest
================  =============  ======================================
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol, cast

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.newton import ControlledFlow
from security_check.power_flow.operating_points import OperatingPoints
from security_check.uncertainty.deviations import Deviations

_SMALLEST_RANGE_W = 1e3  # W: the scale of a generator whose two limits are equal


class _GradientRows(Protocol):
    """The parts of a set of rows that :class:`_ByGradients` uses."""

    @property
    def power_flow(self) -> ControlledFlow: ...

    def __len__(self) -> int: ...

    def gradients(
        self, rows: IndexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]: ...


class _ByGradients:
    """Rows whose sensitivities come from gradients, since generators respond to customers.

    The network's impedances alone do not give the effect of customers, nor a bound of rows.
    """

    @cached_property
    def no_load_gradients(self) -> tuple[ComplexArray, FloatArray]:
        """All rows' gradients with every customer idle, shapes (J, R) and (1, R)."""
        own = cast(_GradientRows, self)
        rows = np.arange(len(own))
        return own.gradients(rows, own.power_flow.idle.take(np.zeros_like(rows)))

    @cached_property
    def _acts(self) -> BoolArray:
        rows = cast(_GradientRows, self)
        return _strongest(self.no_load_gradients[0], rows.power_flow.network)

    def acts_strongly(self, rows: IndexArray) -> BoolArray:
        """Return the customers that act strongly on each row, shape (r, c)."""
        return self._acts[rows]

    def acting(self, rows: IndexArray, deviations: Deviations) -> tuple[BoolArray, BoolArray]:
        """Return the customers that act strongly, (r, c), and no deviations, (r, d)."""
        return self._acts[rows], np.zeros((len(rows), deviations.set.count), dtype=bool)

    def bounds(
        self: _GradientRows, conditions: OperatingConditions, u: FloatArray, limits: RowLimits
    ) -> FloatArray:
        """Return infinity for all rows: no bound is known without a power flow."""
        return np.full(len(self), np.inf)

    def drift(
        self: _GradientRows,
        conditions: OperatingConditions,
        before: FloatArray,
        after: FloatArray,
        limits: RowLimits,
    ) -> FloatArray:
        """Return infinity for all rows, as :meth:`bounds`."""
        return np.full(len(self), np.inf)


class MeshedMonitors(_ByGradients, Monitors):
    """Voltages, currents and the interface's power of a network with generators.

    Parameters
    ----------
    power_flow
        The power flow; the limits of generators are in :class:`GeneratorRows`.
    """

    power_flow: ControlledFlow

    def __init__(self, power_flow: ControlledFlow) -> None:
        super().__init__(power_flow)


class GeneratorRows(_ByGradients):
    """The limits of g generators, four rows for each.

    Parameters
    ----------
    power_flow
        The power flow.

    Attributes
    ----------
    kind
        Shape (4 g,), kind of each row.
    elements
        The generator of each, for example ``"gen:3"``.
    """

    def __init__(self, power_flow: ControlledFlow) -> None:
        self.power_flow = power_flow
        generators = power_flow.generators
        count = len(generators.names)
        kinds = [RowKind.REACTIVE_MAX, RowKind.REACTIVE_MIN, RowKind.POWER_MAX, RowKind.POWER_MIN]
        self.kind: IndexArray = np.repeat(np.array(kinds, dtype=np.int64), count)
        self.elements: tuple[str, ...] = generators.names * 4
        self.sides: tuple[str, ...] = ("",) * (4 * count)
        self._port = np.tile(generators.ports, 4)
        lowest = (self.kind == RowKind.REACTIVE_MIN) | (self.kind == RowKind.POWER_MIN)
        reactive = (self.kind == RowKind.REACTIVE_MAX) | (self.kind == RowKind.REACTIVE_MIN)
        # df = Re(factor ds): the factor takes the active or reactive part, with its sign.
        self._factor = np.where(lowest, -1.0, 1.0) * np.where(reactive, -1j, 1.0)
        incidence = power_flow.network.ports.incidence[:, generators.ports]
        across = incidence.T
        self._response: ComplexArray = np.tile(np.asarray(across @ power_flow.impedance), (4, 1))
        self._fixed: ComplexArray = np.tile(np.asarray(across @ power_flow.no_load), (4, 1))

    def __len__(self) -> int:
        return len(self.kind)

    def row_limits(self, voltage: VoltageLimits, interface: InterfaceLimits) -> RowLimits:
        """Return the limits of all rows: the generators' own limits.

        The active power of a generator without a share of the imbalance never changes, so it has
        no limit here if its schedule is within its limits.
        """
        generators = self.power_flow.generators
        base = self.power_flow.network.base_power_w
        (q_low, q_high), (p_low, p_high) = (
            generators.reactive_limits_pu.T,
            (generators.power_limits_pu.T),
        )
        settled = (generators.participation == 0.0) & (
            (p_low <= generators.power_pu) & (generators.power_pu <= p_high)
        )
        p_low, p_high = np.where(settled, -np.inf, p_low), np.where(settled, np.inf, p_high)
        limit = np.concatenate([q_high, -q_low, p_high, -p_low])
        widths = np.concatenate([q_high - q_low, q_high - q_low, p_high - p_low, p_high - p_low])
        scale = np.where(np.isfinite(widths), widths, np.abs(limit))
        scale = np.maximum(scale, _SMALLEST_RANGE_W / base)
        return RowLimits(limit, scale, voltage.minimum_pu)

    def values(self, rows: IndexArray, points: OperatingPoints) -> FloatArray:
        """Return f of each row at its own operating point, shape (r,)."""
        return self.values_at(rows, np.arange(len(rows)), points)

    def values_at(
        self, rows: IndexArray, column: IndexArray, points: OperatingPoints
    ) -> FloatArray:
        """Return f of each row at the operating point in its ``column``, shape (r,)."""
        values: FloatArray = (self._factor[rows] * points.power_pu[self._port[rows], column]).real
        return values

    def all_values(self, points: OperatingPoints, rows: IndexArray | None = None) -> FloatArray:
        """Return f of every row, or of those named, at every one of B points, shape (r, B)."""
        rows = np.arange(len(self)) if rows is None else rows
        values: FloatArray = (self._factor[rows, None] * points.power_pu[self._port[rows]]).real
        return values

    def gradients(
        self, rows: IndexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]:
        """Return the exact gradient of f of each row at its own operating point.

        As ``gradients``, by ``ds = dv conj(i) + v conj(di)``.
        """
        each, port = np.arange(len(rows)), self._port[rows]
        factor = self._factor[rows]
        follows = factor * points.current[port, each].conj()
        by_current = (follows[:, None] * self._response[rows]).T
        by_current[port, each] += (factor * points.voltage[port, each]).conj()
        by_port, by_source = self.power_flow.gradients(by_current, points)
        return by_port, by_source + (follows[:, None] * self._fixed[rows]).real.T

    def describe(self, row: int, value: float, limits: RowLimits) -> tuple[float, float, str]:
        """Return value and limit in watts or volt-amperes reactive, and that unit."""
        base = self.power_flow.network.base_power_w
        kind = RowKind(self.kind[row])
        size = -base if kind in (RowKind.REACTIVE_MIN, RowKind.POWER_MIN) else base
        unit = "var" if kind in (RowKind.REACTIVE_MAX, RowKind.REACTIVE_MIN) else "W"
        return size * value, size * float(limits.limit[row]), unit


def _strongest(by_port: ComplexArray, network: Network) -> BoolArray:
    """Return the customers with at least half the strongest effect on each row, shape (R, c).

    Parameters
    ----------
    by_port
        Shape (J, R), gradients by port power.
    network
        The network, with the shares of customers' power at ports.
    """
    size = (network.port_shares.T @ np.abs(by_port)).T
    acts: BoolArray = size >= 0.5 * size.max(axis=1, keepdims=True, initial=0.0)
    return acts
