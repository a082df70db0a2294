"""Fairness that reaches the customers below a child, which its parent knows only as classes.

The power through a child's interface is the sum of its customers' powers, and the child's network
stops some customers at smaller shares than others.  The child states this as classes of customers,
each with a weight and the most power that it can use.  The parent's principle of fairness divides
among its own customers and these classes alike ("nested" in the limits of the child); the classes
of a child are added up again to its envelope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.fairness.rule import CAPACITY, Filled, FillingRule, Principle
from security_check.arrays import FloatArray, IndexArray

CLASSES = 8
"""Largest number of classes that a child states, for injection and for withdrawal."""

_BISECTIONS = 60  # of a common share: beyond the 53 bits of a float
_SAME = 1e-3  # relative difference of the shares of two classes below which they are joined


@dataclass(frozen=True, slots=True)
class CustomerClass:
    """Customers below a child that are stopped at about the same share of power.

    Parameters
    ----------
    weight
        Their total weight.
    largest_w
        The power that they can use together, as power through the child's interface.
    """

    weight: float
    largest_w: float

    @property
    def share_w(self) -> float:
        """Power per unit of weight at which the customers are stopped."""
        return self.largest_w / self.weight


def classes_of(
    members: Sequence[CustomerClass], through_w: float, most: int = CLASSES
) -> tuple[CustomerClass, ...]:
    """Return few classes in place of many, joining those of similar shares.

    Parameters
    ----------
    members
        At least one.
    through_w
        Power through the interface when all of them use all they can: their sum and the losses on
        the way.  All classes are scaled to it.
    most
        The largest number of classes.
    """
    usable = sum(each.largest_w for each in members)
    scale = through_w / usable if usable > 0.0 else 1.0
    ordered = sorted(members, key=lambda each: each.share_w)
    whole = sum(each.weight for each in members)
    weights, largest = np.zeros(most), np.zeros(most)
    before = 0.0
    for each in ordered:
        k = min(int(most * (before + 0.5 * each.weight) / whole), most - 1)
        weights[k] += each.weight
        largest[k] += each.largest_w
        before += each.weight
    found: list[CustomerClass] = []
    for k in np.flatnonzero(weights > 0.0).tolist():
        own = CustomerClass(scale * float(weights[k]), scale * float(largest[k]))
        if found and own.share_w <= (1.0 + _SAME) * found[-1].share_w:
            last = found.pop()
            own = CustomerClass(last.weight + own.weight, last.largest_w + own.largest_w)
        found.append(own)
    return tuple(found)


def divide_at_common_share(
    total: float, lower: FloatArray, upper: FloatArray, weight: FloatArray
) -> FloatArray:
    """Return parts of a total with one common share t: ``clip(weight t, lower, upper)``.

    The lower bounds if they add up to more than the total, the upper bounds if to less.
    """
    if total <= lower.sum():
        return lower.copy()
    if total >= upper.sum():
        return upper.copy()
    low, high = 0.0, float((upper / weight).max(initial=0.0))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if np.clip(weight * middle, lower, upper).sum() > total:
            high = middle
        else:
            low = middle
    parts: FloatArray = np.clip(weight * low, lower, upper)
    return parts


@dataclass(frozen=True, slots=True)
class NestedRule:
    """A rule that divides among the parts that m limits consist of; M parts.

    Parameters
    ----------
    rule
        Divides among the parts.
    limit
        Shape (M,), the limit that each part belongs to.
    offset, lower, upper
        Shape (m,): a limit is its offset plus its parts, within its bounds.
    weight
        Shape (M,), of the parts.
    """

    rule: FillingRule
    limit: IndexArray
    offset: FloatArray
    lower: FloatArray
    upper: FloatArray
    weight: FloatArray

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits under rows ``A u <= b``.

        The bottleneck of a limit is that of a part that is below its upper bound.
        """
        parts = self.rule.filled(A[:, self.limit], b - A @ self.offset)
        summed = np.bincount(self.limit, parts.u, len(self.lower))
        stopped = np.full(len(self.lower), CAPACITY, dtype=np.int64)
        np.maximum.at(stopped, self.limit, parts.bottleneck)
        u = np.clip(self.offset + summed, self.lower, self.upper)
        return Filled(u, stopped)

    def above(self, lower: FloatArray) -> NestedRule:
        """Return the same rule from higher lower bounds, which parts share at a common level."""
        least = self.rule.lower.copy()
        for k in np.flatnonzero(lower > self.lower):
            own = self.limit == k
            least[own] = divide_at_common_share(
                lower[k] - self.offset[k], least[own], self.rule.upper[own], self.weight[own]
            )
        return replace(self, rule=self.rule.above(least), lower=lower)


@dataclass(frozen=True, slots=True)
class NestedPrinciple:
    """A principle of fairness that divides among customers and classes of customers alike.

    Parameters
    ----------
    principle
        The principle that divides.
    classes
        For each of m limits, its classes, injection first; empty for a customer.
    idle_w
        Shape (m,): the power of a limit before any class is granted power, of either sign.
    base_power_w
        Watts per unit of the bounds.
    """

    principle: Principle
    classes: tuple[tuple[CustomerClass, ...], ...]
    idle_w: FloatArray
    base_power_w: float

    def __call__(self, lower: FloatArray, upper: FloatArray, weight: FloatArray) -> NestedRule:
        """Return the rule between bounds and weights of shape (m,), injection first."""
        offset, idle = np.zeros(len(lower)), self.idle_w / self.base_power_w
        parts = []
        for k, classes in enumerate(self._paired()):
            if not classes:
                parts.append((lower[[k]], upper[[k]], weight[[k]]))
                continue
            weights = np.array([each.weight for each in classes])
            largest = np.array([each.largest_w for each in classes]) / self.base_power_w
            least = divide_at_common_share(lower[k] - idle[k], 0.0 * largest, largest, weights)
            offset[k] = lower[k] - least.sum()
            parts.append(
                (
                    least,
                    divide_at_common_share(upper[k] - offset[k], least, largest, weights),
                    weights,
                )
            )
        count = [len(part[0]) for part in parts]
        least, most, weights = (np.concatenate([part[i] for part in parts]) for i in range(3))
        limit = np.repeat(np.arange(len(parts)), count)
        rule = self.principle(least, most, weights)
        return NestedRule(rule, limit, offset, lower, upper, weights)

    def _paired(self) -> list[tuple[CustomerClass, ...]]:
        """Return the classes, equally many for a limit's injection and for its withdrawal.

        Principles take the first half of the parts as injection.
        """
        half = len(self.classes) // 2
        count = [max(len(self.classes[k]), len(self.classes[k + half])) for k in range(half)]
        return [
            _divided(classes, number)
            for classes, number in zip(self.classes, count * 2, strict=True)
        ]


def _divided(classes: tuple[CustomerClass, ...], count: int) -> tuple[CustomerClass, ...]:
    """Return ``count`` classes, the last one divided in equal parts; none if there are none."""
    if not classes:
        return ()
    *first, last = classes
    pieces = count - len(first)
    return (*first, *[CustomerClass(last.weight / pieces, last.largest_w / pieces)] * pieces)
