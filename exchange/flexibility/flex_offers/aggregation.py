"""Groups of like offers, and the one offer that stands for a group.

All members begin by the same number of intervals after their earliest start, so the aggregate may
be shifted as far as the least flexible member; its profile is a :mod:`joint_profile
<exchange.flexibility.flex_offers.joint_profile>`.  Every schedule that the aggregate allows can be
divided among the members.  The reverse does not hold: :func:`aggregation_loss` says how much
flexibility is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from exchange.flexibility.flex_offers.division import divided
from exchange.flexibility.flex_offers.flex_offer import (
    EnergySlice,
    FlexOffer,
    FlexSchedule,
    check_schedule,
)
from exchange.flexibility.flex_offers.joint_profile import (
    AggregationError,
    JointProfile,
    joint_profile,
)


@dataclass(frozen=True, slots=True)
class GroupingTolerance:
    """How much the members of a group may differ.

    Parameters
    ----------
    start, time_flexibility
        Largest difference of earliest starts, and of time flexibilities, in intervals.
    length
        Largest difference in numbers of slices; ``None`` is without bound.
    members
        Largest number of members; ``None`` is without bound.

    Raises
    ------
    ValueError
        When a difference is below 0, or the number below 1.
    """

    start: int = 0
    time_flexibility: int = 0
    length: int | None = None
    members: int | None = None

    def __post_init__(self) -> None:
        if min(self.start, self.time_flexibility, self.length or 0) < 0 or (
            self.members is not None and self.members < 1
        ):
            raise ValueError(f"{self}: no tolerance is below 0, and a group has 1 member or more")


@dataclass(frozen=True, slots=True)
class FlexAggregate:
    """One offer that stands for its members.

    Parameters
    ----------
    offer
        Every schedule that it allows can be divided among the members.
    members
        The offers.
    profile
        How its profile is made of theirs.
    """

    offer: FlexOffer
    members: tuple[FlexOffer, ...]
    profile: JointProfile

    def disaggregate(self, schedule: FlexSchedule) -> tuple[FlexSchedule, ...]:
        """Return schedules of the members, in their order, that add up to one of the aggregate.

        Raises
        ------
        ValueError
            When the aggregate does not allow the schedule.
        """
        check_schedule(self.offer, schedule)
        shift = schedule.start - self.offer.earliest
        above = [watts - low for watts, low in zip(schedule.watts, self.profile.least, strict=True)]
        parts = divided(above, self.profile.widths, self.profile.weights)
        found = []
        for member, fixed, part in zip(self.members, self.profile.fixed, parts, strict=True):
            offset = member.earliest - self.offer.earliest
            own = [low + more for low, more in zip(fixed, part, strict=True)]
            watts = tuple(own[offset : offset + len(member.slices)])
            found.append(FlexSchedule(member.offer_id, member.earliest + shift, watts))
            check_schedule(member, found[-1])
        return tuple(found)


@dataclass(frozen=True, slots=True)
class FlexibilityMeasure:
    """How flexible offers are.

    Parameters
    ----------
    time
        Sum over offers of the intervals by which each may be shifted.
    width
        Sum over offers and slices of most less least, watt-intervals.
    total
        Sum over offers of their highest less their lowest total, watt-intervals.
    """

    time: int
    width: int
    total: int


@dataclass(frozen=True, slots=True)
class AggregationLoss:
    """The flexibility of offers before and after they are aggregated."""

    before: FlexibilityMeasure
    after: FlexibilityMeasure


def grouped(
    offers: Iterable[FlexOffer], tolerance: GroupingTolerance
) -> list[tuple[FlexOffer, ...]]:
    """Return groups of offers that an aggregate may stand for.

    Members have one direction and one energy price, so the aggregate costs what they cost; either
    all have a bound total or none.  Groups begin with the earliest offer and take later ones as far
    as the tolerance goes.
    """
    groups: list[tuple[FlexOffer, ...]] = []

    def kind(each: FlexOffer) -> tuple[str, int, bool]:
        return each.direction.value, each.energy_price_ticks, each.is_bound

    for _, like in groupby(sorted(offers, key=kind), key=kind):
        by_start = sorted(like, key=lambda each: (each.earliest, each.offer_id))
        for near in _runs(by_start, [each.earliest for each in by_start], tolerance.start):
            by_time = sorted(near, key=lambda each: (each.time_flexibility, each.offer_id))
            reach = [each.time_flexibility for each in by_time]
            for alike in _runs(by_time, reach, tolerance.time_flexibility):
                groups += _of_size(_of_length(alike, tolerance.length), tolerance.members)
    return groups


def aggregate(aggregate_id: str, members: Sequence[FlexOffer]) -> FlexAggregate:
    """Return the offer that stands for members.

    Raises
    ------
    AggregationError
        When members differ in direction or energy price, two have one id, or totals are bound and
        profiles so different that the aggregate would have no schedule.
    """
    _check_members(aggregate_id, members)
    profile = joint_profile(aggregate_id, members)
    lowest, highest = profile.totals or (None, None)
    earliest = min(each.earliest for each in members)
    offer = FlexOffer(
        aggregate_id,
        members[0].direction,
        earliest,
        earliest + min(each.time_flexibility for each in members),
        tuple(EnergySlice(a, a + b) for a, b in zip(profile.least, profile.room, strict=True)),
        lowest,
        highest,
        members[0].energy_price_ticks,
        sum(each.shift_price_ticks for each in members),
    )
    return FlexAggregate(offer, tuple(members), profile)


def aggregated(
    prefix: str, offers: Iterable[FlexOffer], tolerance: GroupingTolerance
) -> list[FlexAggregate]:
    """Return aggregates of all offers, named ``prefix`` and a number.

    A group that no aggregate stands for is halved, until one does; one offer stands for itself.
    """
    found: list[FlexAggregate] = []
    waiting = grouped(offers, tolerance)[::-1]
    while waiting:
        members = waiting.pop()
        try:
            found.append(aggregate(f"{prefix}{len(found) + 1}", members))
        except AggregationError:
            if len(members) == 1:
                raise
            half = len(members) // 2
            waiting += [members[half:], members[:half]]
    return found


def flexibility_of(offers: Iterable[FlexOffer]) -> FlexibilityMeasure:
    """Return how flexible offers are."""
    offers = tuple(offers)
    return FlexibilityMeasure(
        sum(each.time_flexibility for each in offers),
        sum(sum(each.widths_w) for each in offers),
        sum(each.highest_total - each.lowest_total for each in offers),
    )


def aggregation_loss(aggregates: Iterable[FlexAggregate]) -> AggregationLoss:
    """Return the flexibility of all members by themselves, and within their aggregates.

    A shift of an aggregate shifts every member, so it counts once for each.
    """
    aggregates = tuple(aggregates)
    after = flexibility_of(each.offer for each in aggregates)
    shifts = sum(len(each.members) * each.offer.time_flexibility for each in aggregates)
    return AggregationLoss(
        flexibility_of(member for each in aggregates for member in each.members),
        FlexibilityMeasure(shifts, after.width, after.total),
    )


def _check_members(aggregate_id: str, members: Sequence[FlexOffer]) -> None:
    if not members:
        raise AggregationError(f"{aggregate_id}: it has no members")
    ids = [each.offer_id for each in members]
    if len(set(ids)) < len(ids):
        twice = next(each for each in ids if ids.count(each) > 1)
        raise AggregationError(f"{aggregate_id}: {twice} is among its members twice")
    first = members[0]
    for each in members:
        if each.direction is not first.direction:
            raise AggregationError(
                f"{aggregate_id}: {first.offer_id} is {first.direction}, {each.offer_id} is "
                f"{each.direction}"
            )
        if each.energy_price_ticks != first.energy_price_ticks:
            raise AggregationError(
                f"{aggregate_id}: {first.offer_id} asks {first.energy_price_ticks} ticks/kWh, "
                f"{each.offer_id} {each.energy_price_ticks}"
            )


def _of_length(offers: list[FlexOffer], reach: int | None) -> list[list[FlexOffer]]:
    if reach is None:
        return [offers]
    by_length = sorted(offers, key=lambda each: (len(each.slices), each.offer_id))
    return list(_runs(by_length, [len(each.slices) for each in by_length], reach))


def _of_size(groups: list[list[FlexOffer]], size: int | None) -> list[tuple[FlexOffer, ...]]:
    return [
        tuple(each[k : k + (size or len(each))])
        for each in groups
        for k in range(0, len(each), size or len(each))
    ]


def _runs(
    offers: Sequence[FlexOffer], values: Sequence[int], reach: int
) -> Iterable[list[FlexOffer]]:
    """Yield runs of offers, sorted by their values, whose values differ by ``reach`` at most."""
    begin = 0
    for k in range(1, len(offers) + 1):
        if k == len(offers) or values[k] - values[begin] > reach:
            yield list(offers[begin:k])
            begin = k
