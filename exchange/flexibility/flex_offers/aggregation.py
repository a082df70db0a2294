"""Groups of like offers, and the one offer that stands for a group.

All members begin by the same number of intervals after their earliest start, so the profile of the
aggregate is the sum of theirs, and it may be shifted as far as the least flexible member.

Without bounds of totals the slices of the aggregate are the sums of the members' slices; nothing of
their energy is lost.

With them, let member i have least powers ``l_i``, widths ``d_i`` and, above the sum of the least, a
total from ``a_i`` to ``b_i``.  It is given the weight ``w_i = b_i / sum(b)``.  The aggregate has,
above the sum of all ``l_i``, powers Y with

    ``0 <= Y_k <= D_k = floor(min_i d_ik / w_i)``,  ``ceil(max_i a_i / w_i) <= sum(Y) <= sum(b)``.

Then ``l_i + w_i Y`` keeps every bound of member i, and these add up to the schedule of the
aggregate.  The matrix of what members get in each interval has whole sums, bounds and totals, so
there is a division in whole watts as well (:mod:`exchange.flexibility.flex_offers.division`).
Some energy flexibility may be lost; :func:`aggregation_loss` says how much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from exchange.flexibility.flex_offers.division import divided
from exchange.flexibility.flex_offers.flex_offer import (
    EnergySlice,
    FlexOffer,
    FlexSchedule,
    check_schedule,
)


class AggregationError(ValueError):
    """Offers that no aggregate stands for; the message says why."""


@dataclass(frozen=True, slots=True)
class GroupingTolerance:
    """How much the members of a group may differ.

    Parameters
    ----------
    start, time_flexibility
        Largest difference of earliest starts, and of time flexibilities, in intervals.
    members
        Largest number of members; ``None`` is without bound.

    Raises
    ------
    ValueError
        When a difference is below 0, or the number below 1.
    """

    start: int = 0
    time_flexibility: int = 0
    members: int | None = None

    def __post_init__(self) -> None:
        if min(self.start, self.time_flexibility) < 0 or (
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
    weights
        The part of each member in what is above the least; empty where no total is bound.
    """

    offer: FlexOffer
    members: tuple[FlexOffer, ...]
    weights: tuple[Fraction, ...]

    def disaggregate(self, schedule: FlexSchedule) -> tuple[FlexSchedule, ...]:
        """Return schedules of the members, in their order, that add up to one of the aggregate.

        Raises
        ------
        ValueError
            When the aggregate does not allow the schedule.
        """
        check_schedule(self.offer, schedule)
        shift = schedule.start - self.offer.earliest
        offsets = [each.earliest - self.offer.earliest for each in self.members]
        above = [
            w - each.least_w for w, each in zip(schedule.watts, self.offer.slices, strict=True)
        ]
        length = len(above)
        widths = [
            _placed(m.widths_w, o, length) for m, o in zip(self.members, offsets, strict=True)
        ]
        parts = divided(above, widths, self.weights)
        found = []
        for member, offset, part in zip(self.members, offsets, parts, strict=True):
            own = part[offset : offset + len(member.slices)]
            watts = tuple(e.least_w + more for e, more in zip(member.slices, own, strict=True))
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
                size = tolerance.members or len(alike)
                groups += [tuple(alike[k : k + size]) for k in range(0, len(alike), size)]
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
    earliest = min(each.earliest for each in members)
    offsets = [each.earliest - earliest for each in members]
    length = max(o + len(each.slices) for o, each in zip(offsets, members, strict=True))
    placed = [
        (
            _placed([s.least_w for s in each.slices], offset, length),
            _placed(each.widths_w, offset, length),
        )
        for offset, each in zip(offsets, members, strict=True)
    ]
    least = [sum(column) for column in zip(*(part[0] for part in placed), strict=True)]
    widths = [part[1] for part in placed]
    weights: tuple[Fraction, ...] = ()
    least_total = most_total = None
    if any(each.is_bound for each in members):
        weights = _weights(members)
        room = _common_widths(widths, weights)
        base = sum(least)
        lowest = _lowest_total(members, weights)
        if lowest > sum(room):
            raise AggregationError(
                f"{aggregate_id}: its members need {lowest} watt-intervals above their least, and "
                f"their profiles have {sum(room)} in common"
            )
        least_total = base + lowest
        most_total = base + sum(each.highest_total - each.sum_least for each in members)
    else:
        room = [sum(column) for column in zip(*widths, strict=True)]
    offer = FlexOffer(
        aggregate_id,
        members[0].direction,
        earliest,
        earliest + min(each.time_flexibility for each in members),
        tuple(EnergySlice(low, low + more) for low, more in zip(least, room, strict=True)),
        least_total,
        most_total,
        members[0].energy_price_ticks,
        sum(each.shift_price_ticks for each in members),
    )
    return FlexAggregate(offer, tuple(members), weights)


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


def _placed(values: Sequence[int], offset: int, length: int) -> list[int]:
    """Return values from an offset on, and 0 elsewhere."""
    return [0] * offset + list(values) + [0] * (length - offset - len(values))


def _weights(members: Sequence[FlexOffer]) -> tuple[Fraction, ...]:
    """Return each member's part of the most that all may have above their least."""
    most = [each.highest_total - each.sum_least for each in members]
    whole = sum(most)
    return tuple(Fraction(each, whole) if whole else Fraction(0) for each in most)


def _common_widths(widths: Sequence[Sequence[int]], weights: Sequence[Fraction]) -> list[int]:
    """Return the most above the least in each slice of which every member can take its part."""
    room = []
    for column in zip(*widths, strict=True):
        reach = [own / w for own, w in zip(column, weights, strict=True) if w]
        room.append(int(min(reach, default=Fraction(0))))
    return room


def _lowest_total(members: Sequence[FlexOffer], weights: Sequence[Fraction]) -> int:
    """Return the least above the least of all slices that gives every member what it needs."""
    needs = [
        (each.lowest_total - each.sum_least) / w
        for each, w in zip(members, weights, strict=True)
        if w
    ]
    return -int(-max(needs, default=Fraction(0)) // 1)


def _runs(
    offers: Sequence[FlexOffer], values: Sequence[int], reach: int
) -> Iterable[list[FlexOffer]]:
    """Yield runs of offers, sorted by their values, whose values differ by ``reach`` at most."""
    begin = 0
    for k in range(1, len(offers) + 1):
        if k == len(offers) or values[k] - values[begin] > reach:
            yield list(offers[begin:k])
            begin = k
