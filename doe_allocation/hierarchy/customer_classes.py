"""Fairness that reaches the customers below a child, of whom its parent knows only classes.

What a child's interface carries is the sum of what its customers are given, and their own network
stops some of them early: so its use of power bends down as everyone's share rises.  A child states
that as classes of customers, each with a weight and the most that it can use; a principle of
fairness divides among customers and classes alike, and the classes of a child are summed up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.fairness.rule import CAPACITY, Filled, FillingRule, Principle
from security_check.arrays import FloatArray, IndexArray

CLASSES = 8
"""How many classes of customers a child states at most, for injection and for withdrawal."""

_BISECTIONS = 60
_SAME = 1e-3  # classes whose shares differ by less than this part are one


@dataclass(frozen=True, slots=True)
class CustomerClass:
    """Customers below a child who are stopped at about the same share of power.

    Parameters
    ----------
    weight
        What they weigh together.
    largest_w
        What they can use together, as power through the child's interface.
    """

    weight: float
    largest_w: float

    @property
    def share_w(self) -> float:
        """Return the share per unit of weight at which they stop."""
        return self.largest_w / self.weight


def classes_of(
    members: Sequence[CustomerClass], through_w: float, most: int = CLASSES
) -> tuple[CustomerClass, ...]:
    """Return few classes in place of many, those of similar shares together.

    Parameters
    ----------
    members
        At least one.
    through_w
        What crosses the interface when all of them use what they can: their sum and the losses on
        the way, by which all of them are scaled.
    most
        How many classes may be left.
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
    """Return parts of a total at one common share: ``clip(weight t, lower, upper)``.

    The lower or the upper bounds themselves where these add up to more or less than the total.
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
    """A rule over parts, whose sums are the limits; M parts of m limits.

    Parameters
    ----------
    rule
        Divides among the parts.
    limit
        Shape (M,), the limit that each part belongs to.
    offset, lower, upper
        Shape (m,): a limit is its offset and its parts, and within its own bounds.
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

        A limit's bottleneck is that of any of its parts that is below what it can use.
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
    """A principle of fairness over customers and the classes of customers below children.

    Parameters
    ----------
    principle
        What divides among them.
    classes
        For each of m limits, the classes it is made of, injection first; empty for customers.
    idle_w
        Shape (m,): what a limit carries before any class is given anything, of either sign.
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
        """Return the classes, as many of each limit's injection as of its withdrawal.

        Principles take the first half of what they divide as injection.
        """
        half = len(self.classes) // 2
        count = [max(len(self.classes[k]), len(self.classes[k + half])) for k in range(half)]
        return [
            _divided(classes, number)
            for classes, number in zip(self.classes, count * 2, strict=True)
        ]


def _divided(classes: tuple[CustomerClass, ...], count: int) -> tuple[CustomerClass, ...]:
    """Return that many classes, the last one in equal parts; none if there are none."""
    if not classes:
        return ()
    *first, last = classes
    pieces = count - len(first)
    return (*first, *[CustomerClass(last.weight / pieces, last.largest_w / pieces)] * pieces)
