"""The interface between robust rows and monitored quantities of one network or several states."""

from __future__ import annotations

from typing import Protocol

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.implicit_zbus import TOLERANCE_PU
from security_check.power_flow.operating_points import OperatingPoints
from security_check.uncertainty.deviations import Deviations


class BatchPowerFlow(Protocol):
    """A power flow such as :class:`~security_check.power_flow.implicit_zbus.PowerFlow`."""

    network: Network

    def no_load_voltage(self, source_pu: FloatArray) -> ComplexArray:
        """Return voltages to start from, for (h, B) held magnitudes."""

    def solve(
        self,
        power_pu: ComplexArray,
        source_pu: FloatArray,
        start: ComplexArray | None = None,
        tolerance_pu: float = TOLERANCE_PU,
    ) -> OperatingPoints:
        """Solve for (J, B) port powers and (h, B) held magnitudes."""


class Monitored(Protocol):
    """Rows ``f <= limit`` such as ``Monitors`` has; R of them.

    Attributes
    ----------
    kind
        Shape (R,), :class:`~security_check.monitoring.row_kinds.RowKind` of each row.
    elements, sides
        The element of each row, and the end of a branch; ``""`` where there is no end.
    """

    kind: IndexArray
    elements: tuple[str, ...]
    sides: tuple[str, ...]

    @property
    def power_flow(self) -> BatchPowerFlow:
        """The power flow whose solutions the rows are functions of."""

    @property
    def no_load_gradients(self) -> tuple[ComplexArray, FloatArray]:
        """All rows' gradients with every customer idle, shapes (J, R) and (h, R)."""

    def __len__(self) -> int: ...

    def row_limits(self, voltage: VoltageLimits, interface: InterfaceLimits) -> RowLimits:
        """Return the limits of all rows."""

    def values(self, rows: IndexArray, points: OperatingPoints) -> FloatArray:
        """Return f of each row at its own operating point."""

    def values_at(
        self, rows: IndexArray, column: IndexArray, points: OperatingPoints
    ) -> FloatArray:
        """Return f of each row at the operating point in its ``column``, shape (r,) each."""

    def all_values(self, points: OperatingPoints, rows: IndexArray | None = None) -> FloatArray:
        """Return f of every row, or of those named, at every point, shape (r, B)."""

    def gradients(
        self, rows: IndexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]:
        """Return the gradient of each row at its own point, shapes (J, r) and (h, r)."""

    def acting(self, rows: IndexArray, deviations: Deviations) -> tuple[BoolArray, BoolArray]:
        """Return the customers and deviations that act strongly, shapes (r, c) and (r, d).

        Those with at least half the effect of the strongest, per unit of power.
        """

    def acts_strongly(self, rows: IndexArray) -> BoolArray:
        """Return the customers that act strongly on each row, shape (r, c).

        Those with at least half the effect of the strongest, per unit of power.
        """

    def bounds(
        self, conditions: OperatingConditions, u: FloatArray, limits: RowLimits
    ) -> FloatArray:
        """Return an upper bound of every row's f over a whole box of envelopes, shape (R,)."""

    def drift(
        self,
        conditions: OperatingConditions,
        before: FloatArray,
        after: FloatArray,
        limits: RowLimits,
    ) -> FloatArray:
        """Return a bound of the change of each row's f between two boxes, shape (R,)."""

    def describe(self, row: int, value: float, limits: RowLimits) -> tuple[float, float, str]:
        """Return value, limit and their unit, in physical units."""
