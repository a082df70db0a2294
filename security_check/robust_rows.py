"""Robust constraints as packing rows ``A u <= b``, each at its own worst vertex.

With u = (injection limits, withdrawal limits) stacked, in per unit, a monitored quantity f takes
its largest value over the box of envelopes at the vertex that picks a customer's injection limit
where f grows with its power and its withdrawal limit where f falls.  So

    max f  ~  f(vertex(u0)) + A (u - u0),     A >= 0

exact at u0, by the AC power flow and its exact gradient (security.md section 3).  Each row also
has its own worst interface voltage.  Only rows that can bind are worked on: all others are ruled
out by a rigorous bound (:meth:`~security_check.monitors.Monitors.bounds`) or by their own AC
power flow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from security_check.monitors import Kind, Monitors, RowLimits
from security_check.network import FloatArray, IndexArray
from security_check.power_flow import TOLERANCE_PU, OperatingPoints

BoolArray = npt.NDArray[np.bool_]

_ASCENTS = 8
_RISE = 1e-12  # per unit of f: a smaller rise is rounding


@dataclass(frozen=True, slots=True)
class Vertices:
    """One corner of the box and of the voltage band per row; r of them.

    Parameters
    ----------
    injects
        Shape (r, c): at its injection limit (True) or at its withdrawal limit (False).
    high
        Shape (r,): the upper end of the contracted voltage band (True) or the lower.
    """

    injects: BoolArray
    high: BoolArray

    def take(self, rows: IndexArray | BoolArray) -> Self:
        """Return the vertices of the rows named."""
        return type(self)(self.injects[rows], self.high[rows])

    def power(self, u: FloatArray) -> FloatArray:
        """Return the active powers at the vertices of the box u, shape (c, r)."""
        injection, withdrawal = np.split(u, 2)
        return np.where(self.injects, injection, -withdrawal).T

    def distinct(self, u: FloatArray) -> tuple[IndexArray, IndexArray]:
        """Return one row for each different operating point, and each row's place among them.

        A customer whose two limits are both zero is the same point either way.
        """
        injection, withdrawal = np.split(u, 2)
        matters = (injection + withdrawal) > 0
        bits = np.column_stack([np.packbits(self.injects & matters, axis=1), self.high])
        key = np.ascontiguousarray(bits).view(np.dtype((np.void, bits.shape[1]))).ravel()
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        return first, inverse


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Rows at their vertices: values f, shape (r,), and the solved points, one per row."""

    values: FloatArray
    power: FloatArray
    points: OperatingPoints


@dataclass(frozen=True, slots=True)
class PackingRows:
    """Linear rows ``A u <= b`` of the monitored rows ``rows``, with their vertices.

    Parameters
    ----------
    rows
        Shape (r,), indices into the monitors' rows.
    vertices
        Where each was evaluated.
    A
        Shape (r, 2 c), >= 0, per unit of f over per unit of power.
    b
        Shape (r,), per unit of f.
    """

    rows: IndexArray
    vertices: Vertices
    A: FloatArray
    b: FloatArray

    def take(self, chosen: IndexArray | BoolArray) -> Self:
        """Return the rows chosen."""
        return replace(
            self,
            rows=self.rows[chosen],
            vertices=self.vertices.take(chosen),
            A=self.A[chosen],
            b=self.b[chosen],
        )

    def joined(self, other: PackingRows) -> PackingRows:
        """Return these rows and others."""
        return PackingRows(
            np.concatenate([self.rows, other.rows]),
            Vertices(
                np.concatenate([self.vertices.injects, other.vertices.injects]),
                np.concatenate([self.vertices.high, other.vertices.high]),
            ),
            np.concatenate([self.A, other.A]),
            np.concatenate([self.b, other.b]),
        )


@dataclass(frozen=True, slots=True)
class _Climb:
    """Rows on their way to their worst vertices: where they are, f there and its gradient."""

    vertices: Vertices
    values: FloatArray
    by_power: FloatArray
    by_voltage: FloatArray

    def take(self, rows: IndexArray) -> _Climb:
        return _Climb(
            self.vertices.take(rows), self.values[rows], self.by_power[rows], self.by_voltage[rows]
        )

    def put(self, rows: IndexArray, found: _Climb) -> None:
        self.vertices.injects[rows] = found.vertices.injects
        self.vertices.high[rows] = found.vertices.high
        self.values[rows] = found.values
        self.by_power[rows] = found.by_power
        self.by_voltage[rows] = found.by_voltage


def _differ(one: Vertices, other: Vertices, u: FloatArray) -> BoolArray:
    """Return which rows' vertices are different points of the box u."""
    injection, withdrawal = np.split(u, 2)
    matters = (injection + withdrawal) > 0
    turned: BoolArray = ((one.injects != other.injects) & matters).any(axis=1)
    return turned | (one.high != other.high)


class RobustRows:
    """Builds and verifies robust rows of one network under one interval's limits."""

    def __init__(self, monitors: Monitors, limits: RowLimits) -> None:
        self.monitors = monitors
        self.limits = limits
        self.points = len(monitors.power_flow.network.connection_points)
        self.limited: IndexArray = np.flatnonzero(np.isfinite(limits.limit))

    def evaluate(
        self, rows: IndexArray, vertices: Vertices, u: FloatArray, tolerance_pu: float = TOLERANCE_PU
    ) -> Evaluation:
        """Run the AC power flow of each row at its vertex of the box u (equal vertices once)."""
        first, inverse = vertices.distinct(u)
        distinct = vertices.take(first)
        solved = self.monitors.power_flow.solve(
            distinct.power(u), self._interface_voltage(distinct), tolerance_pu=tolerance_pu
        )
        points = solved.take(inverse)
        power = vertices.power(u)
        return Evaluation(self.monitors.values(rows, points, power), power, points)

    def _interface_voltage(self, vertices: Vertices) -> FloatArray:
        low, high = self.limits.band
        return np.where(vertices.high, high, low)

    def start_vertices(self, rows: IndexArray) -> Vertices:
        """Return the vertices that the no-load sensitivities point to."""
        by_power, by_voltage = self._no_load_gradients
        return Vertices(by_power[rows] > 0, by_voltage[rows] > 0)

    @cached_property
    def _no_load_gradients(self) -> tuple[FloatArray, FloatArray]:
        return no_load_gradients(self.monitors)

    def worst(
        self, rows: IndexArray, vertices: Vertices, u: FloatArray
    ) -> tuple[PackingRows, FloatArray]:
        """Move each row to its worst vertex of the box u and linearise it there.

        The vertex found satisfies the first-order condition of a worst point: every gradient
        component agrees in sign with the side taken, or taking the other side was tried and did
        not raise f.  Moves are kept only where they raise f, so the ascent cannot cycle.

        Parameters
        ----------
        rows
            Shape (r,), indices into the monitors' rows.
        vertices
            Where to start.
        u
            Shape (2 c,), per unit.

        Returns
        -------
        PackingRows
            Exact at u.
        values
            Shape (r,), f by the AC power flow at the vertices found.

        Raises
        ------
        PowerFlowError
            When the power flow of a vertex does not converge.
        """
        at = self._gradients_at(rows, vertices, u)
        climbing = np.arange(len(rows))
        for _ in range(_ASCENTS):
            turned = self._turn(at.take(climbing))
            climbing_on = _differ(turned, at.vertices.take(climbing), u)
            climbing, turned = climbing[climbing_on], turned.take(climbing_on)
            if not len(climbing):
                break
            trial = self._gradients_at(rows[climbing], turned, u)
            better = trial.values > at.values[climbing] + _RISE
            climbing = climbing[better]
            at.put(climbing, trial.take(np.flatnonzero(better)))
        A = np.hstack([np.maximum(at.by_power, 0.0), np.maximum(-at.by_power, 0.0)])
        b = self.limits.limit[rows] - at.values + A @ u
        return PackingRows(rows, at.vertices, A, b), at.values

    def _gradients_at(self, rows: IndexArray, vertices: Vertices, u: FloatArray) -> _Climb:
        evaluation = self.evaluate(rows, vertices, u)
        by_power, by_voltage = self.monitors.gradients(rows, evaluation.points)
        copied = Vertices(vertices.injects.copy(), vertices.high.copy())
        return _Climb(copied, evaluation.values, by_power, by_voltage)

    @staticmethod
    def _turn(at: _Climb) -> Vertices:
        """Return the vertices that the gradients point to; a flat direction keeps its side."""
        size = np.abs(at.by_power)
        flat = size <= 1e-12 * size.max(axis=1, keepdims=True, initial=0.0)
        injects = np.where(flat, at.vertices.injects, at.by_power > 0)
        high = np.where(at.by_voltage == 0, at.vertices.high, at.by_voltage > 0)
        return Vertices(injects, high)

    def cannot_bind(self, u: FloatArray) -> BoolArray:
        """Return, for all monitored rows, whether the rigorous bound rules them out at u."""
        injection, withdrawal = np.split(u, 2)
        bounds = self.monitors.bounds(np.maximum(injection, withdrawal), self.limits)
        ruled_out: BoolArray = bounds <= self.limits.limit
        return ruled_out

    def loading(self, rows: IndexArray, values: FloatArray) -> FloatArray:
        """Return how full rows are at the values given; 1.0 is at the limit."""
        return self.monitors.loading(rows, values, self.limits)

    def violation(self, rows: IndexArray, values: FloatArray) -> FloatArray:
        """Return by how much rows exceed their limits, relative to their scale; <= 0 is secure."""
        excess: FloatArray = (values - self.limits.limit[rows]) / self.limits.scale[rows]
        return excess

    def element(self, row: int) -> str:
        """Return the name of a row's element."""
        return self.monitors.elements[row]

    def is_voltage(self, rows: IndexArray) -> BoolArray:
        """Return which rows are voltages."""
        voltage: BoolArray = self.monitors.kind[rows] <= Kind.VOLTAGE_MIN
        return voltage


def no_load_gradients(monitors: Monitors) -> tuple[FloatArray, FloatArray]:
    """Return the gradients of all rows with every customer idle, at nominal interface voltage.

    Returns
    -------
    by_power
        Shape (R, c).
    by_interface_voltage
        Shape (R,).
    """
    rows = np.arange(len(monitors))
    flow = monitors.power_flow
    idle = np.zeros((len(flow.network.connection_points), 1))
    point = flow.solve(idle, np.ones(1))
    return monitors.gradients(rows, point.take(np.zeros(len(rows), dtype=np.int64)))
