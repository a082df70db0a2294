"""The protocol of a rule of fairness, which divides limits under rows ``A u <= b``, ``A >= 0``.

A rule has bounds, :meth:`FillingRule.filled` and :meth:`FillingRule.above`.  A principle makes a
rule from bounds and weights; most simply, the rule's class is the principle.  Security, exactness
in the AC power flow, reallocation and the names of bottlenecks come with the grid.

Examples
--------
A rule that takes all limits the same part of the way from their lower to their upper bounds:

>>> from dataclasses import dataclass, replace
>>> import numpy as np
>>> from doe_allocation.fairness.rule import CAPACITY, Filled
>>> @dataclass(frozen=True)
... class SamePart:
...     lower: np.ndarray
...     upper: np.ndarray
...     weight: np.ndarray
...
...     def filled(self, A, b):
...         way = self.upper - self.lower
...         room, use = np.maximum(b - A @ self.lower, 0.0), A @ way
...         part = np.divide(room, use, out=np.ones_like(room), where=use > room)
...         least = part.min(initial=1.0)
...         stop = int(part.argmin()) if least < 1.0 else CAPACITY
...         return Filled(self.lower + least * way, np.full(len(way), stop))
...
...     def above(self, lower):
...         return replace(self, lower=lower)
>>> rule = SamePart(np.zeros(2), np.array([10.0, 30.0]), np.ones(2))
>>> rule.filled(np.array([[1.0, 1.0]]), np.array([20.0])).u.tolist()
[5.0, 15.0]

On a network: ``grid.with_fairness(SamePart).allocate(limits)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from security_check.arrays import FloatArray, IndexArray

CAPACITY = -1
"""Bottleneck of a limit that reached its own upper bound."""


PARTICIPATES = 1e-10
"""A coefficient below this part of its row's largest is rounding, not participation."""


class FillingRule(Protocol):
    """A rule that divides limits; :mod:`doe_allocation.allocation.ac_filling` applies it."""

    @property
    def lower(self) -> FloatArray:
        """Shape (m,), the limits' lower bounds, per unit: fallbacks, or limits held."""

    @property
    def upper(self) -> FloatArray:
        """Shape (m,), the limits' upper bounds, per unit: their capacities."""

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits that the rule chooses under rows ``A u <= b`` with ``A >= 0``.

        Parameters
        ----------
        A
            Shape (r, m), how much of each row a unit of each limit uses.
        b
            Shape (r,), the rows' bounds.  The lower bounds may use a little more than that.
        """

    def above(self, lower: FloatArray) -> FillingRule:
        """Return the same rule from higher lower bounds, shape (m,)."""


class Principle(Protocol):
    """A principle of fairness: makes the rule that divides limits between bounds."""

    def __call__(self, lower: FloatArray, upper: FloatArray, weight: FloatArray) -> FillingRule:
        """Return the rule for bounds and weights of shape (m,), injection first, weights > 0."""


@dataclass(frozen=True, slots=True)
class OnTop:
    """A rule that divides the increments above ``offset``, shape (m,)."""

    rule: FillingRule
    offset: FloatArray

    @property
    def lower(self) -> FloatArray:
        """Shape (m,), the limits' lower bounds."""
        least: FloatArray = self.offset + self.rule.lower
        return least

    @property
    def upper(self) -> FloatArray:
        """Shape (m,), the limits' upper bounds."""
        most: FloatArray = self.offset + self.rule.upper
        return most

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits that the rule chooses under rows ``A u <= b``."""
        added = self.rule.filled(A, b - A @ self.offset)
        return Filled(self.offset + added.u, added.bottleneck)

    def above(self, lower: FloatArray) -> OnTop:
        """Return the same rule from higher lower bounds."""
        return replace(self, rule=self.rule.above(lower - self.offset))


@dataclass(frozen=True, slots=True)
class Filled:
    """The limits that a rule chose.

    Parameters
    ----------
    u
        Shape (m,), the limits.
    bottleneck
        Shape (m,), the row that stops each limit, or :data:`CAPACITY`.
    """

    u: FloatArray
    bottleneck: IndexArray
