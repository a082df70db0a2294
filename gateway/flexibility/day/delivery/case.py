"""Meters and terms of delivery of a day's file, or what is wrong with them, each a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

from exchange.flexibility.measurement.metering import (
    SECONDS_PER_HOUR,
    DeliveryTerms,
    Meter,
    Metering,
)
from exchange.flexibility.settlement.activation import ActivationTerms
from exchange.flexibility.settlement.agreement import PenaltyTerms
from exchange.flexibility.settlement.baselines import (
    AsNominated,
    Baseline,
    MeanOfComparableDays,
    SameDayAdjustment,
)
from exchange.flexibility.settlement.delivery import EnvelopeLimits
from exchange.flexibility.settlement.records import DeliveryDay, Nomination, ResourceRecords
from gateway.flexibility.day.delivery.meter_table import Series, table_series
from gateway.flexibility.day.delivery.schema import ComparableDays, DayDelivery, DayMeter
from gateway.flexibility.day.schema import FlexibilityDayFile
from gateway.flexibility.day.units import Units, quantities
from gateway.formats.records import LARGEST_W
from security_check.errors import Fault


def metering_of(
    content: FlexibilityDayFile, units: Units, folder: Path, faults: list[Fault]
) -> Metering | None:
    """Return the meters and terms of a file; ``None`` without terms, or after adding faults.

    ``folder`` is that of the file; its table of meters is named from there.
    """
    given = {each.name: each.delivery for each in content.products if each.delivery is not None}
    if not given:
        if content.meters or content.meter_table is not None:
            faults.append(Fault("meters", "no product has delivery: nothing is measured"))
        return None
    before, step_s = len(faults), int(units.step.total_seconds())
    if SECONDS_PER_HOUR % step_s:
        detail = f"an interval of {step_s // 60} min does not divide an hour"
        faults.append(Fault("interval_min", f"{detail}; a product with delivery needs that"))
    if units.count * units.step > timedelta(days=1):
        hours = units.count * units.step / timedelta(hours=1)
        faults.append(Fault("intervals", f"they are {hours:g} hours; a baseline is for one day"))
    terms = {name: _terms(content, units, name, own, faults) for name, own in given.items()}
    series = table_series(content, units, folder, faults)
    faults += _faults(content, units, series)
    if len(faults) > before:
        return None
    day = DeliveryDay(units.start.date(), units.start, step_s, units.count)
    listed = {each.resource: each for each in content.meters}
    listed |= {name: DayMeter(resource=name) for name in series if name not in listed}
    meters = {name: _meter(each, units, series) for name, each in listed.items()}
    return Metering(day, {name: own for name, own in terms.items() if own is not None}, meters)


def _terms(
    content: FlexibilityDayFile, units: Units, name: str, own: DayDelivery, faults: list[Fault]
) -> DeliveryTerms | None:
    place = f"products.{name}.delivery"
    price = units.per_kwh(place, own.penalty_eur_per_kwh, faults)
    per_hour = SECONDS_PER_HOUR // int(units.step.total_seconds())
    try:
        activation = ActivationTerms(
            own.notice_s,
            own.ramp_s,
            own.ramp_back_s,
            own.shortest_s,
            own.longest_s,
            own.rest_s,
        )
        penalties = PenaltyTerms(
            price * per_hour, Fraction(own.tolerance), Fraction(own.least_delivered_share)
        )
        return DeliveryTerms(activation, _baseline(content, own), penalties)
    except ValueError as error:
        faults.append(Fault(place, str(error)))
        return None


def _baseline(content: FlexibilityDayFile, own: DayDelivery) -> Baseline:
    given = own.baseline
    if not isinstance(given, ComparableDays):
        return AsNominated(timedelta(minutes=given.gate_min))
    rule, adjustment = given.adjustment, None
    if rule is not None:
        adjustment = SameDayAdjustment(rule.kind, rule.intervals, Fraction(rule.cap), rule.gap)
    return MeanOfComparableDays(
        given.days,
        given.among,
        given.choice,
        adjustment,
        frozenset(content.holidays),
        given.look_back,
    )


def _faults(content: FlexibilityDayFile, units: Units, series: Series) -> Iterator[Fault]:
    names = [each.name for each in content.resources]
    for name, count in Counter(each.resource for each in content.meters).items():
        if count > 1:
            yield Fault(f"meters.{name}", f"there are {count} of this resource")
    for meter in content.meters:
        place, day = f"meters.{meter.resource}", units.start.date()
        if meter.resource not in names:
            known = ", ".join(names)
            yield Fault(place, f"there is no resource {meter.resource}; there is {known}")
        in_table = meter.resource in series
        if meter.power_w is None and not in_table:
            yield Fault(place, "it has no power_w, and no table has a column of its name")
        if in_table and (meter.power_w is not None or meter.history):
            yield Fault(place, "its power is in the table and in the file; one of them is right")
        given: dict[str, object] = {
            "power_w": meter.power_w,
            "injection_limit_w": meter.injection_limit_w,
            "withdrawal_limit_w": meter.withdrawal_limit_w,
            "nomination": meter.nomination and meter.nomination.power_w,
        }
        given |= {f"history of {each.day}": each.power_w for each in meter.history}
        for key, values in given.items():
            if isinstance(values, list) and len(values) != units.count:
                detail = f"{key} has {len(values)} values, the day {units.count} intervals"
                yield Fault(place, detail)
        for past, count in Counter(each.day for each in meter.history).items():
            if count > 1:
                yield Fault(place, f"its history has {past} {count} times")
            if past >= day:
                yield Fault(place, f"its history has {past}, which is not before {day}")


def _meter(each: DayMeter, units: Units, series: Series) -> Meter:
    count, day = units.count, units.start.date()
    metered: dict[date, Sequence[int]] = {
        past.day: quantities(past.power_w, count) for past in each.history
    }
    metered |= series.get(each.resource, {})
    if each.power_w is not None:
        metered[day] = quantities(each.power_w, count)
    nominations = {}
    if each.nomination is not None:
        own = each.nomination
        nominations[day] = Nomination(quantities(own.power_w, count), own.received)
    limits = [each.injection_limit_w, each.withdrawal_limit_w]
    envelope = None
    if any(limit is not None for limit in limits):
        envelope = EnvelopeLimits(
            *(quantities(LARGEST_W if own is None else own, count) for own in limits)
        )
    activated = frozenset(past.day for past in each.history if past.activated)
    activated |= frozenset(each.activated)
    records = ResourceRecords(each.resource, metered, activated, nominations)
    return Meter(records, envelope)
