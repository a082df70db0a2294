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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from security_check.monitors import Kind, Monitors, RowLimits
from security_check.network import FloatArray, IndexArray
from security_check.power_flow import TOLERANCE_PU, OperatingPoints

BoolArray = npt.NDArray[np.bool_]

SECURE = 1e-9
"""Largest violation, in parts of a row's scale, that counts as rounding."""

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

    @classmethod
    def joined(cls, parts: Sequence[Vertices]) -> Vertices:
        """Return the vertices of all parts, in order."""
        return cls(
            np.concatenate([part.injects for part in parts]),
            np.concatenate([part.high for part in parts]),
        )

    def power(self, u: FloatArray) -> FloatArray:
        """Return the active powers at the vertices of the box u, shape (c, r)."""
        injection, withdrawal = np.split(u, 2)
        return np.where(self.injects, injection, -withdrawal).T

    def distinct(self, u: FloatArray) -> tuple[IndexArray, IndexArray]:
        """Return one row for each different operating point, and each row's place among them.

        A customer whose two limits are both zero is the same point either way.
        """
        return _first_of_equal(self.bits(u))

    def bits(self, u: FloatArray) -> npt.NDArray[np.uint8]:
        """Return a key of each vertex, shape (r, k): equal keys are equal points of the box u."""
        injection, withdrawal = np.split(u, 2)
        matters = (injection + withdrawal) > 0
        return np.column_stack([np.packbits(self.injects & matters, axis=1), self.high])


def _first_of_equal(keys: npt.NDArray[np.uint8]) -> tuple[IndexArray, IndexArray]:
    """Return the index of the first of each group of equal rows, and each row's group."""
    whole = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1]))).ravel()
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
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

    def placed(self, where: IndexArray, found: PackingRows) -> PackingRows:
        """Return these rows with those at ``where`` replaced by the ones found."""
        injects, high = self.vertices.injects.copy(), self.vertices.high.copy()
        rows, A, b = self.rows.copy(), self.A.copy(), self.b.copy()
        rows[where], A[where], b[where] = found.rows, found.A, found.b
        injects[where], high[where] = found.vertices.injects, found.vertices.high
        return PackingRows(rows, Vertices(injects, high), A, b)

    @classmethod
    def none(cls, points: int) -> PackingRows:
        """Return no rows, for a network of that many connection points."""
        empty = np.zeros(0, dtype=np.int64)
        vertices = Vertices(np.zeros((0, points), dtype=bool), np.zeros(0, dtype=bool))
        return cls(empty, vertices, np.zeros((0, 2 * points)), np.zeros(0))

    @classmethod
    def joined(cls, parts: Sequence[PackingRows]) -> PackingRows:
        """Return the rows of all parts, in order."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            Vertices.joined([part.vertices for part in parts]),
            np.concatenate([part.A for part in parts]),
            np.concatenate([part.b for part in parts]),
        )

    def distinct(self, u: FloatArray) -> IndexArray:
        """Return the first of each group of rows that are the same row at the same point of u."""
        key = np.column_stack([self.rows.view(np.uint8).reshape(-1, 8), self.vertices.bits(u)])
        return np.sort(_first_of_equal(key)[0])


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


def differ(one: Vertices, other: Vertices, u: FloatArray) -> BoolArray:
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
    def lookouts(self) -> tuple[IndexArray, Vertices]:
        """Return where rows far from their limits are watched: rows and vertices.

        Every limited row is watched at the vertex that the no-load sensitivities point to; a
        current or the interface's power, whose worst interface voltage shows only under load,
        at both ends of the band.
        """
        once = self.start_vertices(self.limited)
        again = self.monitors.kind[self.limited] > Kind.VOLTAGE_MIN
        other = Vertices(once.injects[again], ~once.high[again])
        rows = np.concatenate([self.limited, self.limited[again]])
        return rows, Vertices.joined([once, other])

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
            climbing_on = differ(turned, at.vertices.take(climbing), u)
            climbing, turned = climbing[climbing_on], turned.take(climbing_on)
            if not len(climbing):
                break
            trial = self._gradients_at(rows[climbing], turned, u)
            better = trial.values > at.values[climbing] + _RISE
            climbing = climbing[better]
            at.put(climbing, trial.take(np.flatnonzero(better)))
        return self._packing(rows, at, u), at.values

    def exact(
        self, rows: IndexArray, vertices: Vertices, u: FloatArray
    ) -> tuple[PackingRows, FloatArray]:
        """Linearise rows at the vertices given, without looking for worse ones."""
        at = self._gradients_at(rows, vertices, u)
        return self._packing(rows, at, u), at.values

    def _packing(self, rows: IndexArray, at: _Climb, u: FloatArray) -> PackingRows:
        """Return the packing rows: a limit counts on the side its vertex takes, where f rises.

        Where f would fall as the limit grows, the coefficient is zero: the row stays on the safe
        side, and the other end of that customer's range belongs to another vertex.
        """
        injects = at.vertices.injects
        A = np.hstack(
            [
                np.where(injects, np.maximum(at.by_power, 0.0), 0.0),
                np.where(injects, 0.0, np.maximum(-at.by_power, 0.0)),
            ]
        )
        b = self.limits.limit[rows] - at.values + A @ u
        return PackingRows(rows, at.vertices, A, b)

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

    def challenge(self, known: PackingRows, u: FloatArray, near: float = 2e-2) -> PackingRows:
        """Return the (row, vertex) pairs nearest their limits that are not among those known.

        A function with several local maxima over the box (currents; voltages where reactances
        and losses count) needs several vertices.  So every row that the rigorous bound does not
        rule out is tried from the no-load sensitivities' vertex, from all-inject, from
        all-withdraw and, near its limit, from the best single change of a customer whose
        influence turns sign within the box.

        Parameters
        ----------
        known
            Pairs already worked on: worst to first order, and exact at u.
        u
            Shape (2 c,), per unit.
        near
            Pairs whose distance to the limit is under this part of the row's scale are returned.
        """
        rows = self.limited[~self.cannot_bind(u)[self.limited]]
        found = []
        for injects in self._starts(rows):
            ends = [Vertices(injects, np.full(len(rows), high)) for high in (False, True)]
            low, high = (self.evaluate(rows, end, u).values for end in ends)
            close = self.violation(rows, np.maximum(low, high)) > -near
            start = Vertices(injects[close], (high > low)[close])
            found.append(self.worst(rows[close], start, u)[0])
        pairs = PackingRows.joined([known, *found])
        pairs = pairs.take(pairs.distinct(u))
        pairs = PackingRows.joined([known, pairs, self.try_changes(pairs, u)])
        chosen = pairs.distinct(u)
        fresh = pairs.take(chosen[chosen >= len(known.rows)])
        return fresh.take(self.violation(fresh.rows, self.values(fresh, u)) > -near)

    def values(self, packing: PackingRows, u: FloatArray) -> FloatArray:
        """Return f as the linear rows have it, shape (r,); exact where they were taken."""
        linear: FloatArray = self.limits.limit[packing.rows] - packing.b + packing.A @ u
        return linear

    def _starts(self, rows: IndexArray) -> list[BoolArray]:
        one = np.ones((len(rows), self.points), dtype=bool)
        return [self.start_vertices(rows).injects, one, ~one]

    def try_changes(self, pairs: PackingRows, u: FloatArray, near: float = 1e-3) -> PackingRows:
        """Change one customer's side in the pairs nearest their limits, and climb from there.

        Only customers whose influence turns sign between a vertex and its opposite are tried:
        for all others the gradient at the vertex already says that changing does not pay.

        Returns
        -------
        PackingRows
            The pairs found that are worse than where they started; often none.
        """
        close = pairs.take(self.violation(pairs.rows, self.values(pairs, u)) > -near)
        opposite = Vertices(~close.vertices.injects, close.vertices.high)
        if not len(close.rows):
            return close
        there = self._gradients_at(close.rows, opposite, u)
        width = u[: self.points] + u[self.points :]
        turns = ((there.by_power > 0) == opposite.injects) & (
            np.abs(there.by_power) * width > _RISE
        )
        pair, point = np.nonzero(turns)
        if not len(pair):
            return close
        trial = close.vertices.take(pair)
        trial.injects[np.arange(len(pair)), point] ^= True
        values = self.evaluate(close.rows[pair], trial, u).values
        rises = values > self.values(close, u)[pair] + _RISE
        return self.worst(close.rows[pair[rises]], trial.take(rises), u)[0]

    def violation(self, rows: IndexArray, values: FloatArray) -> FloatArray:
        """Return by how much values exceed their limits, in parts of the row's scale.

        At most 0 is secure; ``1 + violation`` is how full the row is.
        """
        excess: FloatArray = (values - self.limits.limit[rows]) / self.limits.scale[rows]
        return excess

    def element(self, row: int) -> str:
        """Return the name of a row's element."""
        return self.monitors.elements[row]


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
