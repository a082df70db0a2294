"""The cheapest starts and powers of time-shiftable offers, under limits or along a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from exchange.flexibility.flex_offers.aggregation import (
    AggregationLoss,
    GroupingTolerance,
    aggregated,
    aggregation_loss,
)
from exchange.flexibility.flex_offers.flex_offer import (
    FlexOffer,
    FlexSchedule,
    check_schedule,
    schedule_cost,
    total_power,
)
from exchange.flexibility.flex_offers.program import OfferProgram, PowerBand
from exchange.flexibility.settlement.records import whole_watts

_NODES = 2_000
_TICK_WATTS = 1e3  # of a tick
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class PowerLimits:
    """The least and the most total power of each interval, whole watts, injection positive."""

    least_w: Sequence[int]
    most_w: Sequence[int]


@dataclass(frozen=True, slots=True)
class PowerTarget:
    """The total power wanted in each interval, and ticks per kWh, above 0, of any deviation."""

    watts: Sequence[int]
    price_ticks: int


@dataclass(frozen=True, slots=True)
class OfferSchedules:
    """Schedules of offers.

    Parameters
    ----------
    schedules
        One for each offer, in their order.
    watts
        Total power of each interval, injection positive.
    cost
        What owners are paid, exact tick-watts.
    deviation_cost
        What the deviation from a target costs, exact tick-watts; 0 with limits.
    bound
        No schedules of what was optimised cost less, tick-watts, to the solver's accuracy.
    proved
        Whether no cheaper ones exist, but for the gap that was allowed; otherwise the search was
        ended at its last node.
    """

    schedules: tuple[FlexSchedule, ...]
    watts: tuple[int, ...]
    cost: Fraction
    deviation_cost: Fraction
    bound: float
    proved: bool


@dataclass(frozen=True, slots=True)
class NoSchedule:
    """Limits that no schedules keep.

    ``excess_w`` is by how much the best ones break the limit of each interval; the sum is least.
    """

    sentence: str
    excess_w: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupedSchedules:
    """Schedules by way of aggregates, and the flexibility that these had."""

    outcome: OfferSchedules | NoSchedule
    aggregates: int
    loss: AggregationLoss


def schedule(
    offers: Sequence[FlexOffer],
    band: PowerLimits | PowerTarget,
    interval_s: int,
    nodes: int = _NODES,
    gap: float = 0.0,
) -> OfferSchedules | NoSchedule:
    """Return the cheapest schedules of all offers; each is scheduled within the intervals given.

    Parameters
    ----------
    offers
        With different ids.
    band
        Limits that hold, or a target with a price of deviation.
    interval_s
        Length of an interval, whole seconds.
    nodes
        Bound on the search, in nodes.
    gap
        The search ends when nothing is cheaper by more than this part of the cost.

    Raises
    ------
    ValueError
        When an offer does not fit into the intervals, or an argument is out of its range.
    ArithmeticError
        When the solver fails.
    """
    _check(offers, interval_s, nodes, gap)
    power = _band(band)
    starts = [_starts(each, len(power.least_w)) for each in offers]
    if not offers:
        nothing = total_power((), (), len(power.least_w))
        within = (power.least_w <= 0).all() and (power.most_w >= 0).all()
        if power.price_ticks is None and not within:
            return _refusal(power, nothing, 0)
        return _result((), (), band, interval_s, 0.0, True)
    choice = OfferProgram(offers, starts, power, interval_s).choose(nodes, gap)
    if choice is None:
        return _least_excess(offers, starts, power, interval_s, nodes)
    fixed = [[each] for each in choice.starts]
    found = OfferProgram(offers, fixed, power, interval_s).fill()
    if found is None:
        raise ArithmeticError("the starts that the solver chose have no powers")
    return _result(offers, found, band, interval_s, _TICK_WATTS * choice.bound, choice.proved)


def schedule_in_groups(
    offers: Sequence[FlexOffer],
    band: PowerLimits | PowerTarget,
    interval_s: int,
    tolerance: GroupingTolerance,
    nodes: int = _NODES,
    gap: float = 0.0,
) -> GroupedSchedules:
    """Return schedules found for aggregates and divided among the offers, in their order.

    Members have one energy price and shift together, so aggregates cost what their members cost.
    The bound is one for aggregates: other schedules of the offers may cost less.  Limits that
    aggregates cannot keep may be kept by the offers one by one.
    Parameters and errors are those of :func:`schedule`.
    """
    _check(offers, interval_s, nodes, gap)
    for each in offers:
        _starts(each, _length(band))
    aggregates = aggregated("aggregate ", offers, tolerance)
    loss = aggregation_loss(aggregates)
    outcome = schedule([each.offer for each in aggregates], band, interval_s, nodes, gap)
    if isinstance(outcome, OfferSchedules):
        own = {
            part.offer_id: part
            for group, whole in zip(aggregates, outcome.schedules, strict=True)
            for part in group.disaggregate(whole)
        }
        members = tuple(own[each.offer_id] for each in offers)
        outcome = _result(offers, members, band, interval_s, outcome.bound, outcome.proved)
    return GroupedSchedules(outcome, len(aggregates), loss)


def _check(offers: Sequence[FlexOffer], interval_s: int, nodes: int, gap: float) -> None:
    if interval_s < 1:
        raise ValueError(f"an interval has {interval_s} s; it must have 1 or more")
    if nodes < 1 or not 0.0 <= gap < 1.0:
        raise ValueError(
            f"a search of {nodes} nodes to a gap of {gap}: 1 node or more and a gap from 0 to "
            "below 1 are needed"
        )
    seen: set[str] = set()
    for each in offers:
        if each.offer_id in seen:
            raise ValueError(f"{each.offer_id}: two offers have this id")
        seen.add(each.offer_id)


def _length(band: PowerLimits | PowerTarget) -> int:
    return len(band.least_w if isinstance(band, PowerLimits) else band.watts)


def _starts(offer: FlexOffer, count: int) -> list[int]:
    """Return where an offer may begin so that it ends within the intervals."""
    last = min(offer.latest, count - len(offer.slices))
    if last < offer.earliest:
        raise ValueError(
            f"{offer.offer_id}: it begins in interval {offer.earliest} at the earliest and has "
            f"{len(offer.slices)} slices; there are {count} intervals"
        )
    return list(range(offer.earliest, last + 1))


def _band(band: PowerLimits | PowerTarget) -> PowerBand:
    if isinstance(band, PowerTarget):
        if band.price_ticks <= 0:
            raise ValueError(f"the price of deviation is {band.price_ticks}; it must be above 0")
        target = np.array(whole_watts("target", band.watts), dtype=np.float64)
        return PowerBand(target, target, float(band.price_ticks))
    least, most = whole_watts("least", band.least_w), whole_watts("most", band.most_w)
    if len(least) != len(most):
        raise ValueError(f"there are {len(least)} lower and {len(most)} upper limits")
    for t, (low, high) in enumerate(zip(least, most, strict=True)):
        if low > high:
            raise ValueError(f"interval {t}: its limits are from {low} to {high} W")
    return PowerBand(np.array(least, dtype=np.float64), np.array(most, dtype=np.float64), None)


def _result(
    offers: Sequence[FlexOffer],
    schedules: tuple[FlexSchedule, ...],
    band: PowerLimits | PowerTarget,
    interval_s: int,
    bound: float,
    proved: bool,
) -> OfferSchedules:
    """Return schedules with their sums, after a check of offers and limits in integers."""
    for offer, each in zip(offers, schedules, strict=True):
        check_schedule(offer, each)
    watts = total_power(offers, schedules, _length(band))
    cost = sum(
        (schedule_cost(o, s, interval_s) for o, s in zip(offers, schedules, strict=True)),
        Fraction(0),
    )
    deviation = Fraction(0)
    if isinstance(band, PowerTarget):
        off = sum(abs(w - int(wanted)) for w, wanted in zip(watts, band.watts, strict=True))
        deviation = Fraction(off * interval_s * band.price_ticks, _SECONDS_PER_HOUR)
    else:
        for t, excess in enumerate(_excess(watts, band.least_w, band.most_w)):
            if excess:
                raise ArithmeticError(f"interval {t}: a limit is broken by {excess} W")
    return OfferSchedules(schedules, watts, cost, deviation, bound, proved)


def _excess(watts: Sequence[int], least_w: Sequence[int], most_w: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        max(int(low) - each, each - int(high), 0)
        for each, low, high in zip(watts, least_w, most_w, strict=True)
    )


def _least_excess(
    offers: Sequence[FlexOffer],
    starts: Sequence[Sequence[int]],
    power: PowerBand,
    interval_s: int,
    nodes: int,
) -> NoSchedule:
    """Return by how much limits are broken at least."""
    priced = PowerBand(power.least_w, power.most_w, 1.0)
    choice = OfferProgram(offers, starts, priced, interval_s, with_cost=False).choose(nodes, 0.0)
    found = None
    if choice is not None:
        fixed = [[each] for each in choice.starts]
        found = OfferProgram(offers, fixed, priced, interval_s, with_cost=False).fill()
    if choice is None or found is None:
        raise ArithmeticError("no schedules were found even without limits")
    refusal = _refusal(power, total_power(offers, found, len(power.least_w)), len(offers))
    if not any(refusal.excess_w):
        raise ArithmeticError("the solver called limits impossible that schedules keep")
    return refusal


def _refusal(power: PowerBand, watts: tuple[int, ...], count: int) -> NoSchedule:
    least, most = power.least_w.astype(int).tolist(), power.most_w.astype(int).tolist()
    excess = _excess(watts, least, most)
    worst = max(range(len(excess)), key=lambda t: excess[t])
    return NoSchedule(
        f"no schedules of {count} offers keep the limits: interval {worst} would have "
        f"{watts[worst]} W, allowed are {least[worst]} to {most[worst]} W; in all "
        f"{sum(excess)} W are too much",
        excess,
    )
