"""Ceilings: what a group of resources may change together, in one direction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from doe_allocation.procurement.choices import FlexDirection
from exchange.clearing.highs import INFINITY
from exchange.flexibility.products.acceptance import Limit
from exchange.flexibility.products.sessions import Sold
from exchange.flexibility.products.vocabulary import (
    FlexProduct,
    Refusal,
    Resource,
)

Key = tuple[str, FlexDirection, int]
"""A resource, a direction and an interval."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most watts by which some resources may change together, in each of some intervals.

    Parameters
    ----------
    operator
        The party that states it.
    resources
        Names of the resources; aggregates are not named, but their members.
    direction, intervals
        Which way, and when.
    most_w
        How much.
    detail
        A sentence on where it comes from, with the number.
    """

    operator: str
    resources: frozenset[str]
    direction: FlexDirection
    intervals: range
    most_w: int
    detail: str

    def left_w(self, resource: str, direction: FlexDirection, interval: int, sold: Sold) -> float:
        """Return what it leaves a resource; infinity where it does not concern it."""
        mine = resource in self.resources and direction is self.direction
        return self._left_w(interval, sold) if mine and interval in self.intervals else INFINITY

    def _left_w(self, interval: int, sold: Sold) -> int:
        taken_w = sum(
            sold.of_resource.get((each, self.direction, interval), 0) for each in self.resources
        )
        return max(self.most_w - taken_w, 0)

    def limits(self, keys: Iterable[Key], sold: Sold) -> Iterator[Limit]:
        """Yield a limit for each interval with bids that it concerns."""
        groups: dict[int, list[int]] = {}
        for b, (resource, direction, t) in enumerate(keys):
            if resource in self.resources and direction is self.direction and t in self.intervals:
                groups.setdefault(t, []).append(b)
        for t, group in groups.items():
            yield Limit(dict.fromkeys(group, 1.0), -INFINITY, float(self._left_w(t, sold)))


def ceiling_limits(ceilings: Iterable[Ceiling], keys: Sequence[Key], sold: Sold) -> Iterator[Limit]:
    """Yield the limits of bids; ``keys`` has the resource, direction and interval of each."""
    for each in ceilings:
        yield from each.limits(keys, sold)


def network_refusals(
    resource: Resource,
    members: Sequence[Resource],
    product: FlexProduct,
    ceilings: Sequence[Ceiling],
    count: int,
) -> Iterator[Refusal]:
    """Yield a refusal where ceilings of single resources leave less than a product's minimum.

    Parameters
    ----------
    resource, members
        The resource, and its members; of what is no aggregate itself alone.
    product
        The product.
    ceilings
        All ceilings; those count that hold for one resource in all intervals.
    count
        Number of intervals of the day.
    """
    static = [
        each for each in ceilings if len(each.resources) == 1 and len(each.intervals) == count
    ]
    found: list[tuple[int, int, str]] = []
    for direction in product.directions:
        able_w = left_w = 0
        details = []
        for member in members:
            own = [
                each
                for each in static
                if each.direction is direction and member.name in each.resources
            ]
            able_w += member.able_w(direction)
            left_w += min([member.able_w(direction), *(each.most_w for each in own)])
            details += [each.detail for each in own if each.most_w < member.able_w(direction)]
        found.append((left_w, able_w, "; ".join(details)))
    left_w, able_w, detail = max(found)
    if left_w < product.minimum_w <= able_w:
        text = f"the network leaves it {left_w:,} of {able_w:,} W, the minimum is "
        yield Refusal(resource.name, "network", f"{text}{product.minimum_w:,} W ({detail})")
