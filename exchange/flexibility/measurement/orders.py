"""Orders for what was sold: one for each run of equal power of a resource.

The ramp begins with the first interval of a run, and the ramp back ends with the last one: nothing
is ordered outside the intervals that were sold.  Where power changes, one order ends and the next
begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.measurement.metering import Metering
from exchange.flexibility.products.vocabulary import Award
from exchange.flexibility.settlement.activation import (
    ActivationOrder,
    ActivationRefusal,
    OrderedProfile,
    order_activation,
)


@dataclass(frozen=True, slots=True)
class ActivationRules:
    """A phase in which what was sold is ordered.

    Parameters
    ----------
    name
        Its name.
    at
        When the orders are given.
    intervals
        Those whose sold watts it orders; ``None`` for all of the day.
    by_market
        Whether the market operator gives the orders; otherwise each buyer does.
    """

    name: str
    at: datetime
    intervals: range | None = None
    by_market: bool = True


@dataclass(frozen=True, slots=True)
class GivenOrder:
    """An order, the awards that it is for, and what it asks of its resource, or why it is refused.

    ``intervals`` are those of the day that it covers, each with ``order.power_w`` in all.
    """

    order: ActivationOrder
    product: str
    intervals: range
    awards: tuple[Award, ...]
    answer: OrderedProfile | ActivationRefusal


@dataclass(frozen=True, slots=True)
class Activated:
    """The orders that a phase gave."""

    orders: tuple[GivenOrder, ...]


def give_orders(
    rules: ActivationRules,
    metering: Metering,
    awards: Sequence[Award],
    product_of: Mapping[str, str],
    earlier: Sequence[GivenOrder],
) -> tuple[GivenOrder, ...]:
    """Return the orders for awards of products with terms.

    Parameters
    ----------
    rules, metering
        The phase, and the terms.
    awards
        What was sold; those outside the phase's intervals, or of other products, are not ordered.
    product_of
        The product of each need, by name.
    earlier
        Orders of earlier phases.
    """
    at: dict[tuple[str, FlexDirection], dict[int, list[Award]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for award in awards:
        inside = rules.intervals is None or award.interval in rules.intervals
        if inside and product_of[award.need] in metering.terms:
            at[award.resource, award.direction][award.interval].append(award)
    found: list[GivenOrder] = []
    for (resource, direction), own in sorted(at.items()):
        for intervals in _runs(own):
            taken = tuple(award for t in intervals for award in own[t])
            power_w = sum(each.quantity_w for each in own[intervals[0]])
            product = product_of[taken[0].need]
            others = [*earlier, *found]
            answer = _answer(
                rules, metering, (resource, direction, product), intervals, power_w, others
            )
            found.append(GivenOrder(answer[0], product, intervals, taken, answer[1]))
    return tuple(found)


def _runs(own: Mapping[int, Sequence[Award]]) -> Iterator[range]:
    """Yield the runs of intervals in which a resource sold the same power."""
    powers = {t: sum(each.quantity_w for each in own[t]) for t in sorted(own)}
    first: int | None = None
    for t, watts in powers.items():
        if first is None:
            first = t
        if powers.get(t + 1) != watts:
            yield range(first, t + 1)
            first = None


def _answer(
    rules: ActivationRules,
    metering: Metering,
    whom: tuple[str, FlexDirection, str],
    intervals: range,
    power_w: int,
    others: Sequence[GivenOrder],
) -> tuple[ActivationOrder, OrderedProfile | ActivationRefusal]:
    resource, direction, product = whom
    terms, day = metering.terms[product].activation, metering.day
    start = day.start + timedelta(seconds=day.interval_s * intervals.start)
    hold_s = day.interval_s * len(intervals) - terms.ramp_s - terms.ramp_back_s
    name = f"{resource}/{intervals.start}"
    order = ActivationOrder(name, resource, direction, power_w, rules.at, start, hold_s)
    rested = [
        each.answer
        for each in others
        if isinstance(each.answer, OrderedProfile) and not _goes_on(each, order, intervals)
    ]
    return order, order_activation(terms, order, rested)


def _goes_on(other: GivenOrder, order: ActivationOrder, intervals: range) -> bool:
    """Return whether an order follows another without a pause: it needs no rest."""
    same = other.order.resource == order.resource and other.order.direction is order.direction
    return same and intervals.start == other.intervals.stop
