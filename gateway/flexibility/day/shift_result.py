"""What a phase that calls time-shiftable offers did, as records of the result."""

from __future__ import annotations

from typing import Literal

from exchange.flexibility.flex_offers.aggregation import FlexibilityMeasure
from exchange.flexibility.flex_offers.shift_market import ShiftOutcome
from exchange.flexibility.flex_offers.shift_phase import MemberSchedule, OfferGroup, Shifted
from gateway.flexibility.coordination_result import ToldRecord
from gateway.flexibility.day.records import DayFlow, DayReason, DayShortfall, flow_record
from gateway.flexibility.day.units import Units
from gateway.formats.records import Record, Time


class MemberRecord(Record):
    """What a resource does: as called, or else as planned."""

    offer: str
    resource: str
    provider: str
    aggregate: str
    called: bool
    planned_start: Time
    planned_w: list[int]
    start: Time
    watts: list[int]
    amount_eur: str


class AggregateRecord(Record):
    """One offer that stands for its members; ``start`` is null where it is not called."""

    name: str
    provider: str
    bus: str | None
    members: list[str]
    earliest: Time
    latest: Time
    slices_w: list[list[int]]
    start: Time | None
    watts: list[int]


class FlexibilityRecord(Record):
    """How flexible offers are: intervals of shift, ranges of slices and of totals."""

    time_intervals: int
    width_kwh: str
    total_kwh: str


class ShiftOutcomeRecord(Record):
    """What a choice costs and leaves."""

    cost_eur: str
    missing_kwh: str
    deviation_kwh: str
    proved: bool


class ShiftResult(Record):
    """What a phase did."""

    type: Literal["shift"]
    name: str
    members: list[MemberRecord]
    aggregates: list[AggregateRecord]
    flexibility: FlexibilityRecord
    aggregated_flexibility: FlexibilityRecord
    outcome: ShiftOutcomeRecord
    alone: ShiftOutcomeRecord | None
    needs: list[str]
    refused: list[DayReason]
    shortfalls: list[DayShortfall]
    flows: list[DayFlow]
    told: list[ToldRecord]


def shift_result(name: str, units: Units, result: Shifted, said: list[ToldRecord]) -> ShiftResult:
    """Return the records of a phase."""
    alone = result.alone
    return ShiftResult(
        type="shift",
        name=name,
        members=[_member(units, each) for each in result.members],
        aggregates=[_aggregate(units, each) for each in result.groups],
        flexibility=_flexibility(units, result.loss.before),
        aggregated_flexibility=_flexibility(units, result.loss.after),
        outcome=_outcome(units, result.outcome),
        alone=None if alone is None else _outcome(units, alone),
        needs=list(result.needs),
        refused=[DayReason.from_fields(each) for each in result.refused],
        shortfalls=[
            DayShortfall.from_fields(each, interval=units.start_of(each.interval))
            for each in result.shortfalls
        ],
        flows=[flow_record(units, each) for each in result.flows],
        told=said,
    )


def _member(units: Units, each: MemberSchedule) -> MemberRecord:
    return MemberRecord(
        offer=each.offer.name,
        resource=each.offer.resource,
        provider=each.provider,
        aggregate=each.aggregate,
        called=each.called,
        planned_start=units.start_of(each.plan.start),
        planned_w=list(each.plan.watts),
        start=units.start_of(each.schedule.start),
        watts=list(each.schedule.watts),
        amount_eur=units.eur(each.amount),
    )


def _aggregate(units: Units, each: OfferGroup) -> AggregateRecord:
    offer, schedule = each.aggregate.offer, each.schedule
    return AggregateRecord(
        name=each.name,
        provider=each.provider,
        bus=each.bus,
        members=[member.offer_id for member in each.aggregate.members],
        earliest=units.start_of(offer.earliest),
        latest=units.start_of(offer.latest),
        slices_w=[[own.least_w, own.most_w] for own in offer.slices],
        start=None if schedule is None else units.start_of(schedule.start),
        watts=[] if schedule is None else list(schedule.watts),
    )


def _flexibility(units: Units, each: FlexibilityMeasure) -> FlexibilityRecord:
    return FlexibilityRecord(
        time_intervals=each.time,
        width_kwh=units.kwh(each.width),
        total_kwh=units.kwh(each.total),
    )


def _outcome(units: Units, each: ShiftOutcome) -> ShiftOutcomeRecord:
    return ShiftOutcomeRecord(
        cost_eur=units.eur(each.cost),
        missing_kwh=units.kwh(each.missing),
        deviation_kwh=units.kwh(each.deviation),
        proved=each.proved,
    )
