"""What was delivered of each order: metered power against the baseline of its product."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from exchange.flexibility.measurement.metering import Meter, Metering
from exchange.flexibility.measurement.orders import GivenOrder
from exchange.flexibility.settlement.activation import OrderedProfile
from exchange.flexibility.settlement.baselines import BaselineProfile
from exchange.flexibility.settlement.delivery import Delivery, EnvelopeLimits, measured


@dataclass(frozen=True, slots=True)
class MeasurementRules:
    """A phase in which what was ordered is compared with what was metered."""

    name: str


@dataclass(frozen=True, slots=True)
class MeasuredOrder:
    """An order with the baseline and the metered power of its intervals, and the delivery."""

    given: GivenOrder
    baseline: BaselineProfile
    metered_w: tuple[int, ...]
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Measured:
    """The delivery of all orders so far."""

    orders: tuple[MeasuredOrder, ...]


def measure(metering: Metering, orders: Iterable[GivenOrder]) -> tuple[MeasuredOrder, ...]:
    """Return the delivery of each order that was not refused.

    Raises
    ------
    BaselineError
        When a resource has no baseline.
    ValueError
        When its metered power or its envelope has another number of intervals than the day.
    """
    found = []
    for given in orders:
        if isinstance(given.answer, OrderedProfile):
            meter = metering.meters[given.order.resource]
            found.append(_measured(metering, meter, given, given.answer))
    return tuple(found)


def _measured(
    metering: Metering, meter: Meter, given: GivenOrder, profile: OrderedProfile
) -> MeasuredOrder:
    day, window = metering.day, given.intervals
    baseline = metering.terms[given.product].baseline.of(
        meter.records, day, window, given.order.notice
    )
    metered = meter.records.metered_w[day.day]
    if len(metered) != day.count:
        raise ValueError(
            f"{given.order.resource}: {len(metered)} intervals are metered, the day has {day.count}"
        )
    metered_w = tuple(metered[t] for t in window)
    envelope = meter.envelope
    if envelope is not None:
        part = slice(window.start, window.stop)
        envelope = EnvelopeLimits(envelope.injection_w[part], envelope.withdrawal_w[part])
    first = day.start + timedelta(seconds=day.interval_s * window.start)
    delivery = measured(profile, first, day.interval_s, baseline.watts, metered_w, envelope)
    return MeasuredOrder(given, baseline, metered_w, delivery)
