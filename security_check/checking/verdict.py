"""Questions to the security check, and its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from security_check.arrays import IntArray
from security_check.model.envelope import Direction
from security_check.operating_range.operating_point import OperatingPoint

_WHOLE = ("A", "W", "var")  # units in which a percentage of the limit makes sense


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit; powers as whole numbers."""
    return f"{value:,.0f} {unit}" if unit in ("W", "var") else f"{value:.6g} {unit}"


def in_volts(value_pu: float, nominal_v: float | None) -> str:
    """Return " = ... V" for a voltage per unit; empty where the nominal voltage is unknown."""
    if not nominal_v:
        return ""
    volts = value_pu * nominal_v
    return f" = {volts:.1f} V" if volts < 1e3 else f" = {volts:,.0f} V"


@dataclass(frozen=True, slots=True)
class LimitChange:
    """A change of one limit of one connection point, in watts; negative lowers it."""

    connection_point: str
    direction: Direction
    change_w: int


def changed_limits(
    limits_w: IntArray, changes: Iterable[LimitChange], column: Callable[[Direction, str], int]
) -> IntArray:
    """Return limits, shape (2 c,) watts, after changes; ``column`` finds that of a point.

    Raises
    ------
    ValueError
        When a limit would be below zero.
    """
    limits = limits_w.copy()
    for change in changes:
        place = column(change.direction, change.connection_point)
        limits[place] += change.change_w
        if limits[place] < 0:
            raise ValueError(
                f"{change.connection_point}: a change of {change.change_w} W would make its "
                f"{change.direction} limit {limits[place]} W"
            )
    return limits


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is this set of envelopes secure?".

    Parameters
    ----------
    secure
        Whether the AC power flow confirms every monitored element at its worst vertex.
    element
        The element nearest its limit, for example ``"line:12"``.
    value, limit, unit
        Its worst value, its limit, and their unit (``"p.u."``, ``"A"``, ``"W"``).
    loading
        1.0 is exactly at the limit, 1.01 exceeds it by 1 % of the scale of ``RowLimits``: for a
        voltage the way from nominal (1 p.u.) to the limit, for a generator its range, else the
        limit itself.
    circumstances
        The powers, voltages and deviations at that worst vertex, in words.
    nominal_v
        Volts per unit, for a voltage whose nominal value is known.
    """

    secure: bool
    element: str
    value: float
    limit: float
    unit: str
    loading: float
    circumstances: str = ""
    nominal_v: float | None = None

    def __str__(self) -> str:
        """Return one sentence that names the element, the numbers and the worst case."""
        word = "secure" if self.secure else "not secure"
        return (
            f"{word}: {self.worst_case}" if self.element else f"{word}: nothing is near its limit"
        )

    @property
    def worst_case(self) -> str:
        """The element, its value, its limit and the circumstances."""
        when = f" with {self.circumstances}" if self.circumstances else ""
        return f"{self.element} reaches {self._reached()}{when}"

    def _reached(self) -> str:
        """Return value and limit, for currents and powers with the percentage.

        A percentage of a voltage limit would be misleading.
        """
        value, limit = (
            quantity(each, self.unit) + in_volts(each, self.nominal_v)
            for each in (self.value, self.limit)
        )
        if self.unit not in _WHOLE or self.value * self.limit <= 0.0:
            return f"{value} (limit {limit})"
        return f"{value} of {limit} ({100 * self.value / self.limit:.2f} %)"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The worst case of an element that binds limits.

    Parameters
    ----------
    verdict
        Its value at the worst vertex, and its limit.
    operating_point
        That vertex: the power of every connection point, and the interface voltage.
    row, value_pu
        The monitors' row, and its value there, per unit.
    proof
        The proof of it, in words; empty where none was asked for.
    """

    verdict: Verdict
    operating_point: OperatingPoint
    row: int
    value_pu: float
    proof: str = ""
