"""The linear rows of the limits in force, for the optimisation of joint changes.

Rows of electrically separate parts depend on the limits of their own part only, so each part has a
matrix of its own: one over all limits of a town would be mostly zeros, and a trade changes one or
two parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from security_check.arrays import FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class PartRows:
    """The rows of one part, which depend on its own limits only.

    Parameters
    ----------
    limits
        Shape (n,), indices of its own limits among all, injection first.
    A
        Shape (r, n), >= 0, per unit of each row's quantity over per unit of power.  Never changed
        in place: the same array means the same coefficients.
    headroom
        Shape (r,), unused part of each row, per unit of its quantity; may be below zero by
        rounding.
    """

    limits: IndexArray
    A: FloatArray
    headroom: FloatArray


@cache
def every_limit(limits: int) -> IndexArray:
    """Return the indices of all limits, shape (limits,); the same array each time."""
    places = np.arange(limits)
    places.setflags(write=False)
    return places


def dense(parts: Sequence[PartRows], limits: int) -> FloatArray:
    """Return the coefficients of the rows of all parts over all limits, shape (r, limits)."""
    A = np.zeros((sum(len(part.headroom) for part in parts), limits))
    row = 0
    for part in parts:
        A[row : row + len(part.headroom), part.limits] = part.A
        row += len(part.headroom)
    return A


@dataclass(frozen=True, slots=True)
class LinearRows:
    """Rows ``A x / base_power_w <= headroom`` for changes x of the 2 c limits, in watts.

    Parameters
    ----------
    parts
        The rows of each part, in order; r in all.
    limits
        Number of limits, 2 c.
    base_power_w
        Watts of one per unit of power.
    element
        Returns the name of the element behind a row.
    """

    parts: tuple[PartRows, ...]
    limits: int
    base_power_w: float
    element: Callable[[int], str]

    @classmethod
    def of_one(
        cls,
        A: FloatArray,
        headroom: FloatArray,
        base_power_w: float,
        element: Callable[[int], str],
    ) -> LinearRows:
        """Return the rows of a network that is one part, ``A`` of shape (r, 2 c)."""
        part = PartRows(every_limit(A.shape[1]), A, headroom)
        return cls((part,), A.shape[1], base_power_w, element)

    @property
    def A(self) -> FloatArray:  # noqa: N802  # the letter of its equation
        """Coefficients over all limits, shape (r, 2 c); a new array."""
        return dense(self.parts, self.limits)

    @property
    def headroom(self) -> FloatArray:
        """Headrooms of all rows, shape (r,); a new array."""
        return np.concatenate([part.headroom for part in self.parts])
