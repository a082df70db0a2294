"""What a rule of fairness is: it divides limits under packing rows ``A u <= b``, ``A >= 0``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from security_check.arrays import FloatArray, IndexArray

CAPACITY = -1
"""Bottleneck of a limit that reached its own upper bound."""


PARTICIPATES = 1e-10
"""A coefficient below this part of its row's largest is rounding, not participation."""


class FillingRule(Protocol):
    """How limits are divided: what ``fill_securely`` asks of a rule."""

    @property
    def lower(self) -> FloatArray:
        """Shape (m,), what everyone gets in any case."""

    @property
    def upper(self) -> FloatArray:
        """Shape (m,), what nobody exceeds."""

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits of its choice under rows ``A u <= b`` with ``A >= 0``."""

    def above(self, lower: FloatArray) -> FillingRule:
        """Return the same rule from higher lower bounds."""


class Principle(Protocol):
    """What is fair: makes the rule that divides limits between bounds; often a rule's class."""

    def __call__(self, lower: FloatArray, upper: FloatArray, weight: FloatArray) -> FillingRule:
        """Return the rule for bounds and weights of shape (m,), injection first, weights > 0."""


@dataclass(frozen=True, slots=True)
class OnTop:
    """A rule that divides what is added to ``offset``, shape (m,)."""

    rule: FillingRule
    offset: FloatArray

    @property
    def lower(self) -> FloatArray:
        """Shape (m,), what everyone gets in any case."""
        least: FloatArray = self.offset + self.rule.lower
        return least

    @property
    def upper(self) -> FloatArray:
        """Shape (m,), what nobody exceeds."""
        most: FloatArray = self.offset + self.rule.upper
        return most

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits of the rule's choice under rows ``A u <= b``."""
        added = self.rule.filled(A, b - A @ self.offset)
        return Filled(self.offset + added.u, added.bottleneck)

    def above(self, lower: FloatArray) -> OnTop:
        """Return the same from higher lower bounds."""
        return replace(self, rule=self.rule.above(lower - self.offset))


@dataclass(frozen=True, slots=True)
class Filled:
    """The limits ``u``, shape (m,), and the bottleneck row of each limit, shape (m,)."""

    u: FloatArray
    bottleneck: IndexArray
