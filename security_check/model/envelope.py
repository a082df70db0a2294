"""Envelopes: the power that each connection point may inject and withdraw in one interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from security_check.arrays import IntArray


class Direction(StrEnum):
    """The two limits of an envelope; injection into the network is positive power."""

    INJECTION = "injection"
    WITHDRAWAL = "withdrawal"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The limits of one connection point.

    Parameters
    ----------
    connection_point
        Its id, for example ``"load:0"``.
    injection_limit_w, withdrawal_limit_w
        Magnitudes in watts, >= 0: the connection point may exchange any power in
        ``[-withdrawal_limit_w, +injection_limit_w]``.
    injection_bottleneck, withdrawal_bottleneck
        The element that binds the limit: a network element such as ``"line:12"`` or
        ``"bus:4"``, ``"interface"``, ``"capacity"`` for the connection's own capacity, or
        ``""`` where it is not known.
    """

    connection_point: str
    injection_limit_w: int
    withdrawal_limit_w: int
    injection_bottleneck: str = ""
    withdrawal_bottleneck: str = ""


class EnvelopeSet:
    """The envelopes of all connection points in one interval.

    Iterating yields one :class:`Envelope` per connection point, in the network's order.

    Parameters
    ----------
    connection_points
        Ids, in the network's order; n of them.
    injection_w, withdrawal_w
        Shape (n,), integer watts, >= 0.  Copied and frozen.
    injection_bottlenecks, withdrawal_bottlenecks
        Names as in :class:`Envelope`; empty means unknown.
    fairness_gap
        The largest part by which a limit could rise without lowering one that the rule of
        fairness puts before it: 0 where the limits are those that the rule chooses, ``None``
        where this is not known, or the limits do not come from an allocation.

    Raises
    ------
    ValueError
        When a shape does not fit or a limit is negative; names the connection point.
    """

    __slots__ = (
        "connection_points",
        "fairness_gap",
        "injection_bottlenecks",
        "injection_w",
        "withdrawal_bottlenecks",
        "withdrawal_w",
    )

    def __init__(
        self,
        connection_points: Sequence[str],
        injection_w: npt.ArrayLike,
        withdrawal_w: npt.ArrayLike,
        injection_bottlenecks: Sequence[str] = (),
        withdrawal_bottlenecks: Sequence[str] = (),
        fairness_gap: float | None = None,
    ) -> None:
        self.connection_points = tuple(connection_points)
        self.injection_w = self._limits("injection", injection_w)
        self.withdrawal_w = self._limits("withdrawal", withdrawal_w)
        unknown = ("",) * len(self.connection_points)
        self.injection_bottlenecks = tuple(injection_bottlenecks) or unknown
        self.withdrawal_bottlenecks = tuple(withdrawal_bottlenecks) or unknown
        self.fairness_gap = fairness_gap

    def _limits(self, name: str, values: npt.ArrayLike) -> IntArray:
        given = np.asarray(values)
        if given.shape != (len(self.connection_points),):
            raise ValueError(
                f"{name} limits have shape {given.shape}, "
                f"but there are {len(self.connection_points)} connection points"
            )
        limits = given.astype(np.int64)
        wrong = np.flatnonzero((limits < 0) | (limits != given))
        if wrong.size:
            point = self.connection_points[wrong[0]]
            raise ValueError(
                f"{point}: {name} limit {given[wrong[0]]} W is not a whole number of watts >= 0"
            )
        limits.setflags(write=False)
        return limits

    def __len__(self) -> int:
        return len(self.connection_points)

    def __iter__(self) -> Iterator[Envelope]:
        return iter(self.envelopes())

    def envelopes(self) -> list[Envelope]:
        """Return the envelopes as a list, one per connection point."""
        return [
            Envelope(*row)
            for row in zip(
                self.connection_points,
                self.injection_w.tolist(),
                self.withdrawal_w.tolist(),
                self.injection_bottlenecks,
                self.withdrawal_bottlenecks,
                strict=True,
            )
        ]

    def limits_w(self, direction: Direction) -> IntArray:
        """Return the limits of one direction, shape (n,), watts, read-only."""
        return self.injection_w if direction is Direction.INJECTION else self.withdrawal_w

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EnvelopeSet):
            return NotImplemented
        return (
            self.connection_points == other.connection_points
            and np.array_equal(self.injection_w, other.injection_w)
            and np.array_equal(self.withdrawal_w, other.withdrawal_w)
        )

    __hash__ = None  # type: ignore[assignment]  # compared by value, holds arrays
