"""A phase in which a buyer has time-shiftable offers called: aggregated, scheduled, divided again.

Each provider is the manager of its offers: it aggregates those of one bus, and the market sees its
aggregates.  What is called of them is divided among the members exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.flex_offers.aggregation import (
    AggregationLoss,
    FlexAggregate,
    aggregated,
    aggregation_loss,
)
from exchange.flexibility.flex_offers.flex_offer import FlexOffer, FlexSchedule, schedule_cost
from exchange.flexibility.flex_offers.relief import planned, powers
from exchange.flexibility.flex_offers.shift_market import (
    ShiftableOffer,
    ShiftMarket,
    ShiftOutcome,
    ShiftRules,
)
from exchange.flexibility.products.payments import Cause, Payment
from exchange.flexibility.products.session_market import Supply
from exchange.flexibility.products.spot import BranchFlow, Shortfall, beyond
from exchange.flexibility.products.vocabulary import Award, Need, Refusal
from security_check.arrays import FloatArray, IntArray

_HOUR_S = 3600  # prices are for one interval, as if it lasted an hour


@dataclass(frozen=True, slots=True)
class MemberSchedule:
    """What a resource does: ``start`` and ``watts`` as called or planned; what it is paid.

    ``amount`` is in tick-watts, 0 where it is not called.
    """

    offer: ShiftableOffer
    provider: str
    aggregate: str
    called: bool
    plan: FlexSchedule
    schedule: FlexSchedule
    amount: int

    def change(self, count: int) -> IntArray:
        """Return what it does otherwise than planned in each interval, injection positive."""
        offer = self.offer.offer
        return powers(offer, self.schedule, count) - powers(offer, self.plan, count)


@dataclass(frozen=True, slots=True)
class OfferGroup:
    """An aggregate of a provider at a bus, and its schedule; ``None`` where it is not called."""

    aggregate: FlexAggregate
    provider: str
    bus: str | None
    schedule: FlexSchedule | None

    @property
    def name(self) -> str:
        """Name of the aggregate."""
        return self.aggregate.offer.offer_id


@dataclass(frozen=True, slots=True)
class Shifted:
    """What a phase did.

    Parameters
    ----------
    members, groups
        Schedules of members and of aggregates.
    loss
        The flexibility that aggregation left.
    outcome, alone
        What it costs and leaves; and what members one by one would, if that was computed.
    moves
        Changes of power against plans, each with the price 0.
    payments
        One for each member that is called.
    needs, served_w
        Names of the needs that it took; by how much each need was served in an interval.
    shortfalls, flows, refused
        What needs lack, branches beyond limits before or after, offers that were not taken.
    """

    members: tuple[MemberSchedule, ...]
    groups: tuple[OfferGroup, ...]
    loss: AggregationLoss
    outcome: ShiftOutcome
    alone: ShiftOutcome | None
    moves: tuple[Award, ...]
    payments: tuple[Payment, ...]
    needs: tuple[str, ...]
    served_w: tuple[tuple[Need, int, float], ...]
    shortfalls: tuple[Shortfall, ...]
    flows: tuple[BranchFlow, ...]
    refused: tuple[Refusal, ...]


def shift(
    rules: ShiftRules, supply: Supply, offers: Sequence[ShiftableOffer], count: int
) -> Shifted:
    """Return what a phase does; nothing is called where there is neither a need nor a target.

    Parameters
    ----------
    supply
        With needs of relief only.
    offers
        Of resources that qualify.
    count
        Number of intervals.

    Raises
    ------
    ClearingError
        When the solver finds no choice.
    """
    refused = tuple(reason for each in offers for reason in _refusals(supply, each))
    names = {each.name for each in refused}
    offers = [each for each in offers if each.name not in names]
    market = ShiftMarket(rules, supply, count, offers)
    aggregates = list(_aggregates(rules, supply, offers))
    lots = [market.lot(each.members, each.offer) for _, _, each in aggregates]
    found = market.call(lots)
    groups = [
        OfferGroup(each, provider, bus, schedule)
        for (provider, bus, each), schedule in zip(aggregates, found.schedules, strict=True)
    ]
    by_name = {each.name: each for each in offers}
    members = [member for group in groups for member in _members(group, by_name)]
    moves = tuple(move for each in members for move in _moves(rules, each, count))
    after = market.flows_after((each.offer.name, each.change(count)) for each in members)
    alone = None
    if rules.compare_alone:
        single = [market.lot((each.offer,), each.offer) for each in offers]
        alone = market.outcome(market.call(single), single)
    return Shifted(
        tuple(members),
        tuple(groups),
        aggregation_loss(each for _, _, each in aggregates),
        market.outcome(found, lots),
        alone,
        moves,
        tuple(_payments(rules, members)),
        tuple(each.name for each in supply.needs),
        tuple(market.served(after)),
        tuple(_shortfalls(market, after)),
        tuple(_flows(supply, market, after)),
        refused,
    )


def _refusals(supply: Supply, each: ShiftableOffer) -> Iterator[Refusal]:
    """Yield why an offer cannot be called: its resource was sold before, or cannot run."""
    times = range(each.offer.earliest, each.offer.latest + len(each.offer.slices))
    if any(name == each.resource and w for (name, _, _), w in supply.sold.of_resource.items()):
        yield Refusal(each.name, "used_up", f"{each.resource} was sold in an earlier phase")
    out = [t for t in times if (each.resource, t) in supply.able_w]
    if out:
        able_w = supply.able_w[each.resource, out[0]]
        detail = f"{each.resource} can do {able_w:,} W at most in interval {out[0]}"
        yield Refusal(each.name, "outage", detail)


def _aggregates(
    rules: ShiftRules, supply: Supply, offers: Sequence[ShiftableOffer]
) -> Iterator[tuple[str, str | None, FlexAggregate]]:
    """Yield the aggregates of each provider and bus."""
    places: dict[tuple[str, str | None], list[FlexOffer]] = {}
    for each in offers:
        resource = supply.resources[each.resource]
        places.setdefault((resource.provider, resource.bus), []).append(each.offer)
    for (provider, bus), own in places.items():
        prefix = f"{provider} {bus or ''}".strip() + "/"
        for aggregate in aggregated(prefix, own, rules.tolerance):
            yield provider, bus, aggregate


def _members(group: OfferGroup, offers: dict[str, ShiftableOffer]) -> Iterator[MemberSchedule]:
    """Yield what each member of an aggregate does."""
    members = group.aggregate.members
    called = group.schedule is not None
    plans = [planned(each) for each in members]
    own = plans if group.schedule is None else group.aggregate.disaggregate(group.schedule)
    for member, plan, schedule in zip(members, plans, own, strict=True):
        amount = int(schedule_cost(member, schedule, _HOUR_S)) if called else 0
        yield MemberSchedule(
            offers[member.offer_id], group.provider, group.name, called, plan, schedule, amount
        )


def _moves(rules: ShiftRules, each: MemberSchedule, count: int) -> Iterator[Award]:
    """Yield what a member does otherwise than planned."""
    change = each.change(count)
    for t in np.flatnonzero(change).tolist():
        way = FlexDirection.UPWARD if change[t] > 0 else FlexDirection.DOWNWARD
        yield Award(
            rules.name,
            "",
            rules.buyer,
            each.offer.name,
            each.offer.resource,
            each.provider,
            way,
            t,
            int(abs(change[t])),
            0,
        )


def _payments(rules: ShiftRules, members: Iterable[MemberSchedule]) -> Iterator[Payment]:
    """Yield what the buyer pays for each member that is called."""
    for each in members:
        if each.called:
            yield Payment(
                Cause.SHIFT,
                each.offer.name,
                rules.buyer,
                each.provider,
                each.schedule.start,
                max(each.schedule.watts),
                0,
                each.amount,
            )


def _shortfalls(market: ShiftMarket, after: FloatArray) -> Iterator[Shortfall]:
    for need, t, watts in market.missing_w(after):
        wanted_w = need.wanted_w(t)
        detail = (
            f"{watts:,} of {wanted_w:,} W are missing: aggregates have no schedules that relieve "
            "it further at its price"
        )
        yield Shortfall(need.name, need.buyer, t, wanted_w, watts, detail)


def _flows(supply: Supply, market: ShiftMarket, after: FloatArray) -> Iterator[BranchFlow]:
    if supply.grid is not None:
        times = range(market.count)
        before = {t: market.before_w[:, t] for t in times}
        yield from beyond(supply.grid, before, {t: after[:, t] for t in times})
