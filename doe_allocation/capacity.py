"""Capacities of connection points, and the fallback limits of their devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from security_check.arrays import IntArray


@dataclass(frozen=True, slots=True)
class Capacity:
    """Capacities and fallback limits of all connection points, in the network's order.

    Parameters
    ----------
    connection_points
        Ids; c of them.
    injection_w, withdrawal_w
        Shape (c,), integer watts: the capacity of the connection, an upper bound of its limits.
    fallback_injection_w, fallback_withdrawal_w
        Shape (c,), integer watts: the limits a device returns to when it loses contact, a lower
        bound of its limits.

    Raises
    ------
    ValueError
        When a value is negative or a fallback exceeds its capacity; names the connection point.
    """

    connection_points: tuple[str, ...]
    injection_w: IntArray
    withdrawal_w: IntArray
    fallback_injection_w: IntArray
    fallback_withdrawal_w: IntArray

    def __post_init__(self) -> None:
        pairs = (
            ("injection", self.injection_w, self.fallback_injection_w),
            ("withdrawal", self.withdrawal_w, self.fallback_withdrawal_w),
        )
        for name, capacity, fallback in pairs:
            for i, point in enumerate(self.connection_points):
                if not 0 <= fallback[i] <= capacity[i]:
                    raise ValueError(
                        f"{point}: 0 <= fallback {fallback[i]} W <= {name} capacity "
                        f"{capacity[i]} W does not hold"
                    )

    @classmethod
    def same(
        cls,
        connection_points: Sequence[str],
        injection_w: int,
        withdrawal_w: int,
        fallback_injection_w: int = 0,
        fallback_withdrawal_w: int = 0,
    ) -> Capacity:
        """Return the same capacities and fallbacks for every connection point."""
        n = len(connection_points)

        def each(value: int) -> IntArray:
            return np.full(n, value, dtype=np.int64)

        return cls(
            tuple(connection_points),
            each(injection_w),
            each(withdrawal_w),
            each(fallback_injection_w),
            each(fallback_withdrawal_w),
        )

    def take(self, points: npt.NDArray[np.int64]) -> Capacity:
        """Return the capacities of some connection points, given by their indices."""
        return Capacity(
            tuple(self.connection_points[i] for i in points),
            self.injection_w[points],
            self.withdrawal_w[points],
            self.fallback_injection_w[points],
            self.fallback_withdrawal_w[points],
        )

    def upper_w(self) -> npt.NDArray[np.int64]:
        """Return the capacities stacked, injection first, shape (2 c,)."""
        return np.concatenate([self.injection_w, self.withdrawal_w])

    def lower_w(self) -> npt.NDArray[np.int64]:
        """Return the fallbacks stacked, injection first, shape (2 c,)."""
        return np.concatenate([self.fallback_injection_w, self.fallback_withdrawal_w])
