"""Orders, deliveries and reports of a day as records of its result."""

from __future__ import annotations

from fractions import Fraction

from exchange.flexibility.measurement.measuring import Measured, MeasuredOrder
from exchange.flexibility.measurement.metering import SECONDS_PER_HOUR
from exchange.flexibility.measurement.monitoring import Monitored
from exchange.flexibility.measurement.orders import Activated, GivenOrder
from exchange.flexibility.settlement.activation import ActivationRefusal
from gateway.flexibility.coordination_result import ToldRecord
from gateway.flexibility.day.delivery.result import (
    ActivationResult,
    BranchRecord,
    DeliveryRecord,
    MeasurementResult,
    MonitoringResult,
    OrderRecord,
    ZoneRecord,
)
from gateway.flexibility.day.units import Units


def delivery_result(
    name: str, units: Units, result: Activated | Measured | Monitored, said: list[ToldRecord]
) -> ActivationResult | MeasurementResult | MonitoringResult:
    """Return the record of a phase about orders, deliveries or a report."""
    if isinstance(result, Activated):
        orders = [_order(units, each) for each in result.orders]
        return ActivationResult(type="activation", name=name, orders=orders, told=said)
    if isinstance(result, Measured):
        deliveries = [_delivery(units, each) for each in result.orders]
        return MeasurementResult(type="measurement", name=name, deliveries=deliveries, told=said)
    return MonitoringResult(
        type="monitoring",
        name=name,
        zones=[
            ZoneRecord(
                zone=each.zone,
                direction=each.direction.value,
                trades=each.trades,
                sold_wh=each.sold_ws / SECONDS_PER_HOUR,
                cost_eur=units.eur(each.cost),
                ordered_wh=_wh(each.ordered_ws),
                delivered_wh=_wh(each.delivered_ws),
                over_wh=_wh(each.over_ws),
                excused_wh=_wh(each.excused_ws),
            )
            for each in result.zones
        ],
        branches=[
            BranchRecord.from_fields(
                each,
                interval=units.start_of(each.interval),
                flow_min_w=each.lower_w,
                flow_max_w=each.upper_w,
            )
            for each in result.branches
        ],
        told=said,
    )


def _wh(energy_ws: Fraction) -> float:
    return float(energy_ws / SECONDS_PER_HOUR)


def _order(units: Units, each: GivenOrder) -> OrderRecord:
    order, answer = each.order, each.answer
    return OrderRecord(
        order=order.activation_id,
        resource=order.resource,
        provider=each.awards[0].provider,
        product=each.product,
        direction=order.direction.value,
        start=units.start_of(each.intervals.start),
        end=units.start_of(each.intervals.stop),
        power_w=order.power_w,
        notice=order.notice,
        hold_s=order.hold_s,
        energy_wh=0.0 if isinstance(answer, ActivationRefusal) else _wh(answer.energy_ws),
        reason=answer.reason.value if isinstance(answer, ActivationRefusal) else None,
        detail=answer.sentence if isinstance(answer, ActivationRefusal) else "",
    )


def _delivery(units: Units, each: MeasuredOrder) -> DeliveryRecord:
    order, delivery = each.given.order, each.delivery
    return DeliveryRecord(
        order=order.activation_id,
        resource=order.resource,
        direction=order.direction.value,
        start=units.start_of(each.given.intervals.start),
        baseline_w=list(each.baseline.watts),
        baseline_days=list(each.baseline.days),
        metered_w=list(each.metered_w),
        ordered_wh=_wh(delivery.ordered),
        delivered_wh=_wh(delivery.delivered),
        over_wh=_wh(sum(delivery.over_ws, Fraction(0))),
        deficient_wh=_wh(delivery.deficient),
        excused_wh=_wh(delivery.excused),
        delivered_share=float(delivery.delivered_share),
        accuracy=float(delivery.accuracy),
    )
