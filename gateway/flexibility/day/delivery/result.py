"""What the phases about orders, delivery and reports write into the result of a day."""

from __future__ import annotations

from datetime import date
from typing import Literal

from gateway.flexibility.coordination_result import ToldRecord
from gateway.formats.records import Finite, Record, Time


class OrderRecord(Record):
    """An order to a resource; without a reason it is carried out."""

    order: str
    resource: str
    provider: str
    product: str
    direction: str
    start: Time
    end: Time
    power_w: int
    notice: Time
    hold_s: int
    energy_wh: Finite
    reason: str | None
    detail: str


class ActivationResult(Record):
    """The orders of a phase."""

    type: Literal["activation"]
    name: str
    orders: list[OrderRecord]
    told: list[ToldRecord]


class DeliveryRecord(Record):
    """What was delivered of an order; energies in watt-hours, powers by interval."""

    order: str
    resource: str
    direction: str
    start: Time
    baseline_w: list[int]
    baseline_days: list[date]
    metered_w: list[int]
    ordered_wh: Finite
    delivered_wh: Finite
    over_wh: Finite
    deficient_wh: Finite
    excused_wh: Finite
    delivered_share: Finite
    accuracy: Finite


class MeasurementResult(Record):
    """The delivery of all orders so far."""

    type: Literal["measurement"]
    name: str
    deliveries: list[DeliveryRecord]
    told: list[ToldRecord]


class ZoneRecord(Record):
    """What a zone sold and delivered in a direction, watt-hours."""

    zone: str
    direction: str
    trades: int
    sold_wh: Finite
    cost_eur: str
    ordered_wh: Finite
    delivered_wh: Finite
    over_wh: Finite
    excused_wh: Finite


class BranchRecord(Record):
    """A branch that was beyond a limit in the forecast, as sold or as measured."""

    branch: str
    interval: Time
    flow_min_w: Finite
    flow_max_w: Finite
    forecast_w: Finite
    sold_w: Finite
    measured_w: Finite
    overloaded: bool


class MonitoringResult(Record):
    """The report of a day."""

    type: Literal["monitoring"]
    name: str
    zones: list[ZoneRecord]
    branches: list[BranchRecord]
    told: list[ToldRecord]
